"""CVAT's XML for images 1.1: masks and polygons.

Shapes are drawn by ``z_order``, of equal ones in the order of the file, a later one over an earlier one. Polygons are
filled by pycocotools, as where CVAT itself exports masks. Every shape is an object. Tags say something of the whole
image and are left out; boxes, lines and points are no pixels, and refused.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from seg.convert.annotations import points_of, sides
from seg.convert.coco import check_pycocotools, pixels_of, runs_of
from seg.convert.many import ManyReader, name_of
from seg.convert.part import Part
from seg.convert.reader import Mapped
from seg.convert.sources import Source
from seg.files import checks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHAPES = ("mask", "polygon", "box", "ellipse", "polyline", "points", "cuboid", "skeleton")
_KEPT = ("label", "z_order", "rle", "left", "top", "width", "height", "points")


class CvatReader(ManyReader):
    """Reads CVAT's XML as masks, see `ManyReader`."""

    read, suffixes = "cvat", (".xml",)

    def parts(self, file: Source) -> list[Source]:
        """List the images of a file."""
        try:
            images = [*_images(file.path.read_bytes())]
            if not images:
                raise ValueError("image: expected at least one, got none; take another file")
        except (OSError, ValueError) as error:
            return [file._replace(mask="", reason=str(error))]
        inner, listed = PurePosixPath(file.name).parent, []
        for number, image in enumerate(images):
            name, reason = name_of(image.pop("name"), self.last, "name")
            mask = str(inner / PurePosixPath(name).with_suffix(".png")) if name else ""
            shown = str(inner / name) if name else f"{file.name}, image {number}"
            data = json.dumps({"xml": file.path.name, **image}).encode()
            listed.append(Source(Part.of(file.path, data), shown, mask, reason))
        return listed

    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Draw the mask of a `Part`; raises as `file` does."""
        image = json.loads(data)
        try:
            height, width = sides(_whole(image["height"]), _whole(image["width"]), "height and width", "mend it")
            drawing = self.empty(height, width)
            if not image["shapes"]:
                drawing.note("none")
            ordered = sorted(enumerate(image["shapes"], start=1), key=lambda each: _whole(each[1].get("z_order")) or 0)
            for number, shape in ordered:
                try:
                    value = self.value(shape.get("label"))
                    pixels = _pixels(shape, height, width)
                except ValueError as error:
                    raise ValueError(f"shape {number}: {error}") from None
                drawing.look_at(f"shape {number}", [], bool(pixels.any()))
                drawing.paint(pixels, value, number)
        except ValueError as error:
            raise ValueError(f"{image['xml']}, {error}") from None
        return drawing.mapped()


def _images(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield name, size and shapes of each image."""
    if b"<!DOCTYPE" in data:
        raise ValueError("expected CVAT's XML, got one with a document type, which may have no end; export it again")
    shapes: list[dict[str, str]] = []
    try:
        for _, element in ElementTree.iterparse(io.BytesIO(data), ("end",)):
            if element.tag in _SHAPES:
                shapes.append(
                    {"kind": element.tag, **{key: element.attrib[key] for key in _KEPT if key in element.attrib}}
                )
            elif element.tag == "track":
                raise ValueError("expected CVAT's XML for images, got that for video; export 'CVAT for images 1.1'")
            elif element.tag == "image":
                yield {key: element.get(key) for key in ("name", "height", "width")} | {"shapes": shapes}
                shapes = []
                element.clear()
    except ElementTree.ParseError as error:
        raise ValueError(f"expected CVAT's XML, got another or a damaged file ({error}); export it again") from None


def _whole(text: str | None) -> int | None:
    """Return a whole number; None of anything else."""
    try:
        return int(text or "")
    except ValueError:
        return None


def _pixels(shape: dict[str, str], height: int, width: int) -> "NDArray[np.bool_]":
    """Return the pixels that a shape covers (H, W)."""
    if shape["kind"] == "mask":
        return _mask(shape, height, width)
    if shape["kind"] != "polygon":
        raise ValueError(f"expected a mask or a polygon, got <{shape['kind']}>; draw a mask, or remove it")
    check_pycocotools("polygon")
    try:
        points = points_of(
            [[float(number) for number in pair.split(",")] for pair in shape.get("points", "").split(";")]
        )
    except ValueError:
        raise ValueError(f"points: expected x,y;x,y;..., got '{shape.get('points', '')[:60]}'; mend it") from None
    return pixels_of(runs_of([[number for point in points for number in point]], height, width), height, width)


def _mask(shape: dict[str, str], height: int, width: int) -> "NDArray[np.bool_]":
    """Return the pixels of run lengths within a box."""
    import numpy as np

    from seg.convert.runs import drawn

    box = [_whole(shape.get(key)) for key in ("left", "top", "width", "height")]
    left, top, across, down = (-1 if side is None else side for side in box)
    if min(left, top, across - 1, down - 1) < 0 or left + across > width or top + down > height:
        raise ValueError(f"mask: expected a box within {width} x {height} pixels, got {box}; export it again")
    runs = [_whole(run) for run in shape.get("rle", "").split(",")]
    if not all(checks.is_whole(run) and run >= 0 for run in runs) or sum(filter(None, runs)) != across * down:
        raise ValueError(f"rle: expected run lengths of {across * down} pixels together, got others; export it again")
    pixels = np.zeros((height, width), bool)
    pixels[top : top + down, left : left + across] = drawn(np.array(runs, np.int64), (down, across))
    return pixels
