"""Annotation files of labelme: shapes with the names of their classes, drawn as labelme draws them.

A file holds ``imageHeight``, ``imageWidth`` and ``shapes``, each with ``label``, ``points`` and ``shape_type``. Shapes
are drawn in their order, a later one over an earlier one, by Pillow's ImageDraw with its outline: the rule of labelme's
own ``shape_to_mask``, lines 10 pixels wide and points of radius 5. Groups, flags and the picture itself play no part.

A folder that labelme exported (``labelme_export_json``, once ``labelme_json_to_dataset``) holds ``label.png``, whose
values mean something else in each folder: what the lines of its ``label_names.txt`` say.
"""

import base64
import binascii
import difflib
import io
import json
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.convert.reader import Mapped, Stamp
from seg.labels import IGNORE, LabelMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BACKGROUND = ("_background_", "background")
"""The class that pixels without a shape belong to, if the label map has it."""
_NAMES = "label_names.txt"
_IGNORED = "__ignore__"  # labelme's own name for what shall not count
_LINE_WIDTH, _POINT_RADIUS = 10, 5
_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "point": 1, "mask": 2,
           "oriented_rectangle": 4}  # fmt: skip
"""The kinds of shapes that are drawn, with the fewest points of each."""


class ShapeReader:
    """Reads annotation files and exported labels as masks, under one label map, as `LabelReader` reads others.

    Args:
        unknown: ``error``: a label that the map does not have fails its file, and so do pixels without a shape if the
            map has no class ``_background_`` or ``background``; ``ignore``: both become 255.
        max_pixels: larger images are refused.

    Raises:
        ValueError: an option out of range.
    """

    suffixes = (".json", "label.png")

    def __init__(self, labels: LabelMap, *, unknown: str = "error", max_pixels: int = 1 << 28) -> None:
        if unknown not in ("error", "ignore"):
            raise ValueError(
                f"unknown must be error or ignore with read=labelme, came {unknown!r}: names have no distance"
            )
        self.labels, self.max_pixels = labels, max_pixels
        self.options: dict[str, Any] = {"unknown": unknown, "max_distance": None, "read": "labelme"}
        index = {name: number for number, name in enumerate(labels.names)}
        self._classes = {_IGNORED: IGNORE} | {label.name: index.get(label.name, IGNORE) for label in labels.labels}
        self._background = next((self._classes[name] for name in BACKGROUND if name in self._classes), None)

    @property
    def key(self) -> str:
        """What a mask depends on besides its source."""
        return " ".join(map(str, (self.labels.digest, *self.options.values())))

    def file(self, path: Path) -> tuple[Mapped, Stamp]:
        """Mask of an annotation file or of an exported ``label.png``.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is none, or has a label or a shape that is not known; the message names it.
        """
        data, status = path.read_bytes(), path.stat()
        if path.suffix.lower() == ".json":
            return self.drawn(data), Stamp(len(data), status.st_mtime_ns, zlib.crc32(data))
        try:
            names = (path.parent / _NAMES).read_bytes()
        except FileNotFoundError:
            raise ValueError(f"no {_NAMES} beside it, which says what its values mean; export it again") from None
        # The size of both is that of no file: each run reads them again, because the names may change alone.
        stamp = Stamp(len(data) + len(names), status.st_mtime_ns, zlib.crc32(names, zlib.crc32(data)))
        return self.exported(data, names.decode(errors="replace").splitlines()), stamp

    def drawn(self, data: bytes) -> Mapped:
        """Mask of the content of a file; raises as `file` does."""
        import numpy as np

        height, width, shapes = _content(data)
        _check_size(height, width, self.max_pixels)
        covered = np.zeros((height, width), bool)
        mask = np.full((height, width), IGNORE if self._background is None else self._background, np.uint8)
        for number, shape in enumerate(shapes, start=1):
            try:
                value = self._value(shape.get("label") if isinstance(shape, dict) else None)
                pixels = _pixels(shape, height, width)
            except ValueError as error:
                raise ValueError(f"shape {number} {error}") from None
            mask[pixels] = value
            covered |= pixels
        self._check_background(covered)
        return _counted(mask)

    def exported(self, data: bytes, names: list[str]) -> Mapped:
        """Mask of the content of ``label.png``, ``names[i]`` being the label of value i; raises as `file` does."""
        import numpy as np

        values = _indices(data, self.max_pixels)
        table = np.full(256, IGNORE, np.uint8)
        for value in np.unique(values).tolist():
            if value < len(names) and names[value] in BACKGROUND:
                self._check_background(values != value)
                table[value] = IGNORE if self._background is None else self._background
            elif value < len(names):
                try:
                    table[value] = self._value(names[value])
                except ValueError as error:
                    raise ValueError(f"value {value} {error}") from None
            elif value != IGNORE:  # labelme's -1
                raise ValueError(f"value {value} has no name: {_NAMES} has {len(names)} lines, from 0 on")
        return _counted(table[values])

    def _check_background(self, covered: "NDArray[np.bool_]") -> None:
        if self._background is None and self.options["unknown"] == "error" and not covered.all():
            y, x = divmod(int(covered.argmin()), covered.shape[1])
            raise ValueError(
                f"{int((~covered).sum())} pixels lie in no shape, the first at x={x}, y={y}; add a class "
                f"'{BACKGROUND[0]}' to the label map, or use unknown=ignore"
            )

    def _value(self, label: Any) -> int:
        if not isinstance(label, str):
            raise ValueError(f"has no label: expected a name, came {label!r}")
        if label in self._classes:
            return self._classes[label]
        if self.options["unknown"] == "ignore":
            return IGNORE
        names = {name.casefold(): name for name in self._classes if name != _IGNORED}
        near = difflib.get_close_matches(label.casefold(), names, n=1, cutoff=0.0)
        raise ValueError(
            f"has label '{label}', which is not in the label map; nearest is '{names[near[0]]}'; add it to the label "
            "map, or use unknown=ignore"
        )


def _counted(mask: "NDArray[np.uint8]") -> Mapped:
    import numpy as np

    values, counts = np.unique(mask, return_counts=True)
    return Mapped(mask, dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _indices(data: bytes, max_pixels: int) -> "NDArray[np.uint8]":
    """The stored values of a palette or gray PNG, which most readers would turn into colours."""
    import numpy as np
    from PIL.PngImagePlugin import PngImageFile

    try:
        with PngImageFile(io.BytesIO(data)) as image:
            if image.mode not in ("P", "L"):
                raise ValueError(f"expected a palette PNG, as labelme writes it, came Pillow's mode {image.mode}")
            _check_size(image.height, image.width, max_pixels)
            return np.array(image)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"a PNG that cannot be decoded: {error}") from None


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise ValueError(f"too large: {width} x {height} pixels, the limit is {max_pixels} (max_pixels)")


def _content(data: bytes) -> tuple[int, int, list[Any]]:
    """Height, width and shapes of an annotation file."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):  # ValueError of JSON or of UTF-8
        raise ValueError("not JSON: broken, or not saved by labelme") from None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise ValueError("not an annotation file of labelme: expected an object with a list of shapes")
    sides = [content.get(key) for key in ("imageHeight", "imageWidth")]
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise ValueError(
            f"imageHeight and imageWidth must be whole numbers of at least 1, came {sides[0]!r} and {sides[1]!r}"
        )
    return sides[0], sides[1], content["shapes"]  # type: ignore[return-value]  # checked above


def _pixels(shape: dict[str, Any], height: int, width: int) -> "NDArray[np.bool_]":
    """What a shape covers (H, W)."""
    import numpy as np
    from PIL import Image, ImageDraw

    kind = shape.get("shape_type") or "polygon"  # old versions had no other
    if not isinstance(kind, str) or kind not in _POINTS:
        raise ValueError(f"is of the kind '{kind}'; known are {', '.join(_POINTS)}")
    points = _points(shape.get("points"))
    if len(points) < _POINTS[kind]:
        raise ValueError(f"is a {kind} of {len(points)} points, it needs {_POINTS[kind]}; mend or remove it in labelme")
    if kind == "mask":
        return _stored(shape.get("mask"), points, height, width)
    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points[:2]
        draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill=1, outline=1)
    elif kind in ("line", "linestrip"):
        draw.line(points, fill=1, width=_LINE_WIDTH)
    elif kind in ("circle", "point"):
        (x, y), radius = points[0], _POINT_RADIUS if kind == "point" else math.dist(*points[:2])
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
    else:
        draw.polygon(points, fill=1, outline=1)
    return np.array(image, bool)


def _points(points: Any) -> list[tuple[float, float]]:
    try:
        found = [(_number(x), _number(y)) for x, y in points]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"has no points: expected [[x, y], ...], came {str(points)[:60]}") from None
    if not all(abs(number) < 1e6 for point in found for number in point):  # false for NaN, too
        raise ValueError("has a point that is no number, or a million pixels away")
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _stored(data: Any, points: list[tuple[float, float]], height: int, width: int) -> "NDArray[np.bool_]":
    """A mask that the file holds as a PNG, with the corners of where it belongs."""
    import numpy as np
    from PIL.PngImagePlugin import PngImageFile

    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in points[:2])
    within = 0 <= left <= right < width and 0 <= top <= bottom < height
    try:
        with PngImageFile(io.BytesIO(base64.b64decode(data, validate=True))) as image:
            size = image.size
            fits = within and size == (right - left + 1, bottom - top + 1)
            part = np.array(image).astype(bool) if fits else None
    except (TypeError, OSError, SyntaxError, binascii.Error, ValueError):
        raise ValueError("is a mask that cannot be decoded") from None
    if part is None:
        raise ValueError(f"is a mask of {size} pixels that does not fit its corners {points[:2]}")
    pixels = np.zeros((height, width), bool)
    pixels[top : bottom + 1, left : right + 1] = part
    return pixels
