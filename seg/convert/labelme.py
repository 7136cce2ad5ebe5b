"""Annotation files of labelme: shapes with class names, drawn as labelme draws them.

A file holds ``imageHeight``, ``imageWidth`` and ``shapes``, each with ``label``, ``points`` and ``shape_type``. Shapes
are drawn in their order, a later one over an earlier one, by Pillow's ImageDraw with its outline: the rule of labelme's
own ``shape_to_mask``, lines 10 pixels wide and points of radius 5. Flags and the embedded image are not used. Every
shape is an object; those of one label and ``group_id`` are one together.

A folder that labelme exported (``labelme_export_json``, once ``labelme_json_to_dataset``) holds ``label.png``, whose
values mean something else in each folder: value i is the class on line i of its ``label_names.txt``, from 0.
"""

import base64
import binascii
import io
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from seg.convert.annotations import BACKGROUND, AnnotationReader, parsed, points_of
from seg.convert.reader import Mapped, Stamp, count
from seg.files import checks, decoded, read_file
from seg.labels import IGNORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMES = "label_names.txt"
_LINE_WIDTH, _POINT_RADIUS = 10, 5
_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "point": 1, "mask": 2,
           "oriented_rectangle": 4}  # fmt: skip
"""The kinds of shapes that are drawn, with the least number of points of each."""


class ShapeReader(AnnotationReader):
    """Reads annotation files and exported labels as masks, see `AnnotationReader`.

    With ``unknown=error``, pixels outside every shape fail their file if there is no background for them.
    """

    read = "labelme"
    suffixes = (".json", "label.png")
    names: ClassVar = {"__ignore__": IGNORE}  # labelme's own name for ignored pixels

    def file(self, path: Path) -> tuple[Mapped, Stamp]:
        """Read an annotation file, or an exported ``label.png``, as a mask.

        Raises:
            OSError: the file cannot be read.
            ValueError: another kind of file, or an unknown label or shape, which the message names.
        """
        if path.suffix.lower() == ".json":
            return super().file(path)
        data, status = path.read_bytes(), path.stat()
        try:
            names = read_file(path.parent / _NAMES)
        except FileNotFoundError:
            raise ValueError(f"expected {_NAMES} beside it, to name its values, got none; export it again") from None
        # The sum of both sizes matches no file, so that each run reads them again: the names alone may have changed.
        stamp = Stamp(len(data) + len(names), status.st_mtime_ns, zlib.crc32(names, zlib.crc32(data)))
        return self.exported(data, decoded(names).splitlines()), stamp

    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Draw the mask of the content of a file, whose image may lie in ``folder``; raises as `file` does."""
        import numpy as np

        height, width, shapes = _content(data, folder)
        drawing = self.empty(height, width)
        covered = np.zeros((height, width), bool)
        first: dict[tuple[str, str], int] = {}
        for number, shape in enumerate(shapes, start=1):
            try:
                value = self.value(shape.get("label") if isinstance(shape, dict) else None)
                pixels = _pixels(shape, height, width)
                group = shape.get("group_id")
                key = shape["label"], str(number if group is None else ("group", group))
                corners = [] if shape.get("shape_type") == "mask" else points_of(shape["points"])
                drawing.look_at(f"shape {number}", corners, bool(pixels.any()))
                drawing.paint(pixels, value, first.setdefault(key, number))
            except ValueError as error:
                raise ValueError(f"shape {number}, {error}") from None
            covered |= pixels
        self._check_background(covered)
        if not shapes:
            drawing.note("none")
        return drawing.mapped()

    def exported(self, data: bytes, names: list[str]) -> Mapped:
        """Read the content of ``label.png``, ``names[i]`` being the label of value i; raises as `file` does."""
        import numpy as np

        if self.instances:
            raise ValueError("expected shapes, of which each is an object, got classes alone; take the .json files")
        values = _indices(data, self.max_pixels)
        table = np.full(256, IGNORE, np.uint8)
        for value in np.unique(values).tolist():
            if value < len(names) and names[value] in BACKGROUND:
                self._check_background(values != value)
                table[value] = IGNORE if self.background is None else self.background
            elif value < len(names):
                try:
                    table[value] = self.value(names[value])
                except ValueError as error:
                    raise ValueError(f"value {value}, {error}") from None
            elif value != IGNORE:  # labelme's -1
                raise ValueError(
                    f"value {value}: expected its name in {_NAMES}, got {len(names)} lines, from 0 on; export it again"
                )
        mask = table[values]
        return Mapped(mask, count(mask))

    def _check_background(self, covered: "NDArray[np.bool_]") -> None:
        if self.background is None and self.options["unknown"] == "error" and not covered.all():
            y, x = divmod(int(covered.argmin()), covered.shape[1])
            raise ValueError(
                f"expected shapes that cover the image, got {int((~covered).sum())} pixels outside, the first at "
                f"x={x}, y={y}; add a class '{BACKGROUND[0]}' to the label map, or use unknown=ignore"
            )


def _indices(data: bytes, max_pixels: int) -> "NDArray[np.uint8]":
    """Return the stored values of a palette or gray PNG, which most readers would turn into colours."""
    import numpy as np
    from PIL.PngImagePlugin import PngImageFile

    from seg.images.headers import check_frames

    check_frames(data)
    try:
        with PngImageFile(io.BytesIO(data)) as image:
            if image.mode not in ("P", "L"):
                raise ValueError(
                    f"expected a palette PNG, as labelme writes it, got Pillow's mode {image.mode}; export it again"
                )
            checks.size(image.width, image.height, max_pixels)
            return np.array(image)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"expected a PNG, got one that cannot be decoded ({error}); export it again") from None


def _image_size(content: dict[str, Any], folder: Path | None) -> list[Any]:
    """Return height and width of the image, upright as labelme shows it: of the embedded one, else of the named one."""
    import numpy as np

    from seg.images import decode_image

    stored, name = content.get("imageData"), content.get("imagePath")
    try:
        if isinstance(stored, str) and stored:
            image = base64.b64decode(stored, validate=True)
        elif isinstance(name, str) and name and folder:
            image = read_file(folder / name.replace("\\", "/"))
        else:
            return [None, None]
        return list(np.shape(decode_image(image))[:2])
    except (OSError, ValueError):
        return [None, None]


def _content(data: bytes, folder: Path | None) -> tuple[int, int, list[Any]]:
    """Return height, width and shapes of an annotation file."""
    content = parsed(data, "as labelme saves it", "shapes")
    sides = [content.get(key) for key in ("imageHeight", "imageWidth")]
    if sides == [None, None]:
        sides = _image_size(content, folder)
    if not all(checks.is_whole(side) and side > 0 for side in sides):
        raise ValueError(
            f"imageHeight and imageWidth: expected whole numbers of at least 1, or null and an image that can be read, "
            f"got {sides[0]!r} and {sides[1]!r}; save the file again in labelme"
        )
    return sides[0], sides[1], content["shapes"]  # type: ignore[return-value]  # checked above


def _pixels(shape: dict[str, Any], height: int, width: int) -> "NDArray[np.bool_]":
    """Return the pixels that a shape covers (H, W)."""
    import numpy as np
    from PIL import Image, ImageDraw

    kind = shape.get("shape_type") or "polygon"  # old versions had no other
    if not isinstance(kind, str) or kind not in _POINTS:
        raise ValueError(f"shape_type: expected one of {', '.join(_POINTS)}, got '{kind}'; draw it again in labelme")
    points = points_of(shape.get("points"))
    if len(points) < _POINTS[kind]:
        raise ValueError(
            f"{kind}: expected at least {_POINTS[kind]} points, got {len(points)}; mend or remove it in labelme"
        )
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
    pixels = np.array(image, bool)
    if not pixels.any():
        raise ValueError(
            f"{kind}: expected one within the {width} x {height} pixels of the image, got points such as {points[0]}; "
            "mend or remove it in labelme"
        )
    return pixels


def _stored(data: Any, points: list[tuple[float, float]], height: int, width: int) -> "NDArray[np.bool_]":
    """Return the pixels of a shape that is stored as a PNG, with the corners of its place in the image."""
    import numpy as np
    from PIL.PngImagePlugin import PngImageFile

    from seg.images.headers import check_frames

    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in points[:2])
    within = 0 <= left <= right < width and 0 <= top <= bottom < height
    try:
        check_frames(content := base64.b64decode(data, validate=True))
        with PngImageFile(io.BytesIO(content)) as image:
            size = image.size
            fits = within and size == (right - left + 1, bottom - top + 1)
            part = np.array(image).astype(bool) if fits else None
    except (TypeError, OSError, SyntaxError, binascii.Error, ValueError):
        raise ValueError(
            "mask: expected a PNG in base64, got one that cannot be decoded; remove it in labelme"
        ) from None
    if part is None:
        raise ValueError(f"mask: expected a size that fits its corners {points[:2]}, got {size}; remove it in labelme")
    pixels = np.zeros((height, width), bool)
    pixels[top : bottom + 1, left : right + 1] = part
    return pixels
