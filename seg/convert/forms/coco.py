"""COCO's JSON of instances: run lengths as pycocotools writes them, or polygons.

Every region is an annotation with ``iscrowd`` 0, because it is an object, and not a crowd, which evaluations leave out;
pycocotools reads run lengths of both. Categories count from 1, in the order of the label map. Polygons go along the
sides of pixels; a hole is joined to its outline by a way there and back, which pycocotools fills as a hole.
"""

import json
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from seg.convert.coco import check_pycocotools, unpacked
from seg.convert.forms.form import JoinedForm, Picture, Redrawn, numbers_of
from seg.convert.outlines import find_outlines, join
from seg.convert.regions import Regions
from seg.convert.runs import coco_counts, drawn


class CocoForm(JoinedForm):
    """One file, ``annotations/instances_default.json``; raises ValueError for polygons without pycocotools."""

    write, kinds = "coco", ("masks", "polygons")
    file = "annotations/instances_default.json"

    @classmethod
    def check(cls, shapes: str | None, tolerance: float) -> None:
        """Refuse polygons without pycocotools, too."""
        super().check(shapes, tolerance)
        if shapes == "polygons":
            check_pycocotools("shapes=polygons")

    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return a line for the image, and one for each annotation, without what only the whole file knows."""
        regions, lost = self.regions(picture, columns=True), 0
        if self.shapes == "masks":
            size = list(regions.shape)
            shapes: list[object] = [{"size": size, "counts": counts} for counts in coco_counts(regions)]
        else:
            shapes, lost = self._polygons(regions, picture.mask)
        height, width = regions.shape
        lines: list[dict[str, object]] = [{"file_name": picture.image, "height": height, "width": width}]
        measures = regions.areas.tolist(), regions.boxes.tolist(), self.scores(picture, regions, "score")
        lines += [
            {"category_id": value + 1, "segmentation": shape, "area": area, "bbox": box, "iscrowd": 0, **score}
            for value, shape, area, box, score in zip(regions.classes.tolist(), shapes, *measures, strict=True)
        ]
        return "\n".join(map(json.dumps, lines)).encode(), lost

    def text(self, parts: Callable[[], Iterator[list[str]]]) -> Iterator[str]:
        """Yield the images, then the annotations, both numbered from 1."""
        names = enumerate(self.labels.names, start=1)
        categories = [{"id": number, "name": name, "supercategory": ""} for number, name in names]
        yield f'{{"info": {{}}, "licenses": [],\n"categories": {json.dumps(categories)},\n"images": [\n'
        for image, (first, *_) in enumerate(parts(), start=1):
            yield ",\n" * (image > 1) + f'{{"id": {image}, {first[1:]}'
        yield '\n],\n"annotations": [\n'
        lines = ((image, line) for image, (_, *rest) in enumerate(parts(), start=1) for line in rest)
        for number, (image, line) in enumerate(lines, start=1):
            yield ",\n" * (number > 1) + f'{{"id": {number}, "image_id": {image}, {line[1:]}'
        yield "\n]}\n"

    def _polygons(self, regions: Regions, mask: NDArray[np.uint8]) -> tuple[list[object], int]:
        """Return the polygons of each region, and the pixels that they lose when pycocotools fills them."""
        from pycocotools.mask import frPyObjects, merge

        shapes: list[object] = []
        filled = []
        for number, (left, top, width, height) in enumerate(regions.boxes.tolist()):
            rings = [join(each).round(2) for each in find_outlines(regions.pixels(number), "edges", self.tolerance)]
            packed = merge(frPyObjects([ring.ravel().tolist() for ring in rings], height, width))
            pixels = drawn(np.array(unpacked(packed["counts"])), (width, height)).T
            filled.append((int(pixels.sum()), number, pixels))
            shapes.append([numbers_of(np.add(ring, (left, top))) for ring in rings])
        redrawn = Redrawn(regions)
        for _, number, pixels in sorted(filled, key=lambda each: -each[0]):  # as the reader does
            redrawn.draw(number, pixels)
        return shapes, redrawn.lost(mask, self.without)
