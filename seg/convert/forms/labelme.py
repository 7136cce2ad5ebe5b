"""labelme's JSON: a shape of the kind ``mask`` for each region, a PNG within its box."""

import base64
import json
import os
from pathlib import PurePosixPath

import cv2
import numpy as np

from seg.convert.forms.form import Form, Picture


class LabelmeForm(Form):
    """A file for each mask, ``annotations/NAME.json``, which names the image by its path from there.

    Where the folder of images is not known, the image is expected beside the file.
    """

    write, folder, suffix = "labelme", "annotations", ".json"

    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return the file."""
        regions, shapes = self.regions(picture), []
        height, width = regions.shape
        for number, (left, top, across, down) in enumerate(regions.boxes.tolist()):
            encoded = cv2.imencode(".png", regions.pixels(number).astype(np.uint8))[1]
            shapes.append(
                {
                    "label": self.labels.names[regions.classes[number]],
                    "points": [[left, top], [left + across - 1, top + down - 1]],  # of the corner pixels
                    "group_id": None,
                    "description": "",
                    "shape_type": "mask",
                    "flags": {},
                    "mask": base64.b64encode(encoded.tobytes()).decode("ascii"),
                }
            )
        image = PurePosixPath(picture.image).name
        if picture.file is not None:
            image = os.path.relpath(picture.file.absolute(), picture.target.absolute().parent)
        about = {"imagePath": image, "imageData": None, "imageHeight": height, "imageWidth": width}
        return json.dumps({"version": "5.5.0", "flags": {}, "shapes": shapes, **about}, indent=1).encode(), 0
