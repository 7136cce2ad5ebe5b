"""Polygons of Cityscapes, ``*_gtFine_polygons.json``, drawn as cityscapesScripts draws them.

A file holds ``imgHeight``, ``imgWidth`` and ``objects``, each with ``label`` and ``polygon``. Objects are drawn in
their order, a later one over an earlier one, by Pillow without an outline: the rule of ``json2labelImg``, so that the
mask is that of ``*_labelIds.png``. Objects that are ``deleted`` are left out. A label such as ``cargroup`` that the
label map does not have means ``car``, and a ``license plate`` that it does not have stays what lies below. Every
polygon is an object, but for groups, which have no number.
"""

from pathlib import Path
from typing import Any

from seg.convert.annotations import AnnotationReader, check_polygon, checked_number, parsed, points_of, sides
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
            group = item["label"].endswith(_GROUP)
            drawing.groups += group and self.instances
            for canvas, fill in zip(draw, (value, 0 if group else checked_number(number)), strict=False):
                canvas.polygon(points, fill=fill)
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
