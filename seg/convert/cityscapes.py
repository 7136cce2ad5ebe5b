"""Polygons of Cityscapes, ``*_gtFine_polygons.json``, drawn as cityscapesScripts draws them.

A file holds ``imgHeight``, ``imgWidth`` and ``objects``, each with ``label`` and ``polygon``. Objects are drawn in
their order, a later one over an earlier one, by Pillow without an outline: the rule of ``json2labelImg``, so that the
mask is that of ``*_labelIds.png``. Objects that are ``deleted`` are left out. A label such as ``cargroup`` that the
label map does not have means ``car``, and a ``license plate`` that it does not have stays what lies below. Every
polygon is an object, but for groups, which have no number.
"""

import math
from pathlib import Path
from typing import Any

from seg.convert.annotations import AnnotationReader, Point, check_polygon, parsed, points_of, sides
from seg.convert.objects import checked_number
from seg.convert.reader import Mapped

_GROUP, _PLATE = "group", "license plate"


class CityscapesReader(AnnotationReader):
    """Reads polygons of Cityscapes as masks, see `AnnotationReader`."""

    read = "cityscapes_polygons"

    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Draw the mask of the content of a file; raises as `file` does."""
        import numpy as np
        from PIL import Image, ImageDraw

        content = parsed(data, "as Cityscapes has it", "objects")
        size = content.get("imgHeight"), content.get("imgWidth")
        height, width = sides(*size, "imgHeight and imgWidth", "take the original file")
        drawing = self.empty(height, width)
        image = Image.fromarray(drawing.mask)
        numbers = Image.new("I", image.size) if self.instances else None
        draw = [ImageDraw.Draw(canvas) for canvas in (image, numbers) if canvas is not None]
        for number, item in enumerate(content["objects"], start=1):
            try:
                if (value := self._value(item)) is None:
                    continue
                points = points_of(item.get("polygon"), "polygon")
                check_polygon(points, height, width)
            except ValueError as error:
                raise ValueError(f"object {number}, {error}") from None
            drawing.look_at(f"object {number}", points, _covers(points, height, width))
            group = item["label"].endswith(_GROUP)
            drawing.groups += group and self.instances
            for canvas, fill in zip(draw, (value, 0 if group else checked_number(number)), strict=False):
                canvas.polygon(points, fill=fill)
        if not content["objects"]:
            drawing.note("none")
        drawing.mask = np.array(image)
        drawing.numbers = None if numbers is None else np.array(numbers).astype(np.uint16)
        return drawing.mapped()

    def _value(self, item: Any) -> int | None:
        """Return the mask value of an object; None = it is not drawn."""
        if not isinstance(item, dict):
            raise ValueError(f"expected an object with label and polygon, got {str(item)[:60]}; mend or remove it")
        label = item.get("label")
        if item.get("deleted") or (label == _PLATE and not self.knows(_PLATE)):
            return None
        if isinstance(label, str) and not self.knows(label) and self.knows(label.removesuffix(_GROUP)):
            label = label.removesuffix(_GROUP)
        return self.value(label)


def _covers(points: list[Point], height: int, width: int) -> bool:
    """Tell whether a polygon covers a pixel of the image, drawn alone on the part of it where it lies."""
    from PIL import Image, ImageDraw

    xs, ys = zip(*points, strict=True)
    left, top = max(math.floor(min(xs)), 0), max(math.floor(min(ys)), 0)
    right, bottom = min(math.ceil(max(xs)) + 1, width), min(math.ceil(max(ys)) + 1, height)
    if left >= right or top >= bottom:
        return False
    image = Image.new("1", (right - left, bottom - top))
    ImageDraw.Draw(image).polygon([(x - left, y - top) for x, y in points], fill=1)
    return image.getbbox() is not None
