"""YOLO's text for segments: a line for each part of a region, its class number and its corners as shares of the size.

Corners are the middles of pixels, so that ``cv2.fillPoly`` of their whole parts, as ultralytics draws them, gives the
pixels back at the size of the mask. The form has no holes: a hole is joined to its outline by a way there and back
through the region. Objects of several parts fall into those.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from seg.convert.forms.form import Form, Picture, Redrawn, check_text
from seg.convert.outlines import find_outlines, join
from seg.files import write_text
from seg.labels import LabelMap

_NAMES = "data.yaml"
_LEAST = 3  # corners, below which a line is that of a box


class YoloForm(Form):
    """``labels/NAME.txt`` and ``data.yaml``; raises ValueError for a class name that YAML cannot hold."""

    write, folder, suffix, kinds = "yolo", "labels", ".txt", ("polygons",)

    def __init__(self, labels: LabelMap, **options: object) -> None:
        super().__init__(labels, **options)  # type: ignore[arg-type]
        for name in labels.names:
            check_text(name, "YAML")

    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return the file."""
        regions, lines = self.regions(picture), []
        redrawn, (rows, columns) = Redrawn(regions), regions.shape
        for number, (left, top, width, height) in enumerate(regions.boxes.tolist()):
            pixels = np.zeros((height, width), np.uint8)
            for outline in find_outlines(regions.pixels(number), "centres", self.tolerance):
                ring = join(outline).round()
                cv2.fillPoly(pixels, [ring.astype(np.int32)], (1,))
                corners = np.add(ring, (left + 0.5, top + 0.5)) / (columns, rows)
                corners = np.concatenate([corners, *[corners[-1:]] * (_LEAST - len(corners))])
                lines.append(" ".join([str(regions.classes[number]), *(f"{value:.7g}" for value in corners.ravel())]))
            redrawn.draw(number, pixels.astype(bool))
        return "".join(f"{line}\n" for line in lines).encode(), redrawn.lost(picture.mask, self.without)

    def finish(self, target: Path, names: Sequence[str]) -> None:
        """Write the names of the classes, in the form of a data set of ultralytics."""
        classes = [
            f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(self.labels.names)
        ]
        about = ["path: .", "train: images", "val: images", "names:"]
        write_text(target / _NAMES, "\n".join([*about, *classes]) + "\n")
