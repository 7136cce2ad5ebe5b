"""What the readers of annotation files share: JSON, names to classes, polygons, and the pixels outside every shape."""

import difflib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from seg.convert.objects import checked_number
from seg.convert.reader import Mapped, Stamp, count
from seg.convert.sources import Source, list_sources
from seg.files import checks, decoded
from seg.labels import IGNORE, LabelMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BACKGROUND = ("_background_", "background")
"""The class of pixels outside every shape, if none is named and the label map has it."""

Point = tuple[float, float]


class AnnotationReader(ABC):
    """Reads annotation files as masks, under one label map, as `LabelReader` reads label images.

    Args:
        unknown: ``error``: a name that the map does not have fails its file; ``ignore``: it becomes 255.
        background: class of the pixels outside every shape; None = that of `BACKGROUND`, if the map has one, else 255.
        max_pixels: larger images are refused.
        instances: number the objects too.

    Raises:
        ValueError: an option out of range.
    """

    read: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    names: ClassVar[dict[str, int]] = {}
    """Names that the format itself gives a meaning, and their values."""

    def __init__(
        self,
        labels: LabelMap,
        *,
        unknown: str = "error",
        background: str | None = None,
        max_pixels: int = 1 << 28,
        instances: bool = False,
    ) -> None:
        if unknown not in ("error", "ignore"):
            raise ValueError(
                f"unknown: expected error or ignore with read={self.read}, got {unknown!r}; choose one of them, names "
                "have no distance"
            )
        self.labels, self.max_pixels, self.instances = labels, max_pixels, instances
        self.options: dict[str, Any] = {"unknown": unknown, "max_distance": None, "read": self.read}
        index = {name: number for number, name in enumerate(labels.names)}
        self._classes = self.names | {label.name: index.get(label.name, IGNORE) for label in labels.labels}
        if background is not None:
            self.options["background"] = background = str(background)  # a command line gives 5 as a number
            if background not in self._classes:
                listed = ", ".join(label.name for label in labels.labels)
                raise ValueError(
                    f"background: expected a class of the map ({listed}), got '{background}'; choose one of them"
                )
        if instances:
            self.options["instances"] = True
        wanted = (background,) if background is not None else BACKGROUND
        self.background = next((self._classes[name] for name in wanted if name in self._classes), None)

    @property
    def key(self) -> str:
        """Everything that a mask depends on besides its source, as text."""
        return " ".join(map(str, (self.labels.digest, *self.options.values())))

    def sources(self, source: Path, destination: Path, pattern: str) -> Iterable[Source]:
        """List what `file` reads below a folder; see `list_sources`."""
        return list_sources(source, destination, pattern, self.suffixes)

    def file(self, path: Path) -> tuple[Mapped, Stamp]:
        """Read an annotation file as a mask.

        Raises:
            OSError: the file cannot be read.
            ValueError: another kind of file, or an unknown label or shape, which the message names.
        """
        data, status = path.read_bytes(), path.stat()
        return self.drawn(data, path.parent), Stamp(len(data), status.st_mtime_ns, zlib.crc32(data))

    @abstractmethod
    def drawn(self, data: bytes, folder: Path | None = None) -> Mapped:
        """Draw the mask of the content of a file that lies in ``folder``; raises as `file` does."""

    def empty(self, height: int, width: int) -> "Drawing":
        """Return a mask (H, W) of background; raises ValueError if it is too large."""
        import numpy as np

        checks.size(width, height, self.max_pixels)
        mask = np.full((height, width), IGNORE if self.background is None else self.background, np.uint8)
        return Drawing(mask, np.zeros((height, width), np.uint16) if self.instances else None)

    def knows(self, label: str) -> bool:
        """Tell whether the label map, or the format, has the name."""
        return label in self._classes

    def value(self, label: Any) -> int:
        """Return the mask value of a name; raises ValueError if it is unknown."""
        if not isinstance(label, str):
            raise ValueError(f"label: expected a name, got {label!r}; name it")
        if label in self._classes:
            return self._classes[label]
        if self.options["unknown"] == "ignore":
            return IGNORE
        names = {name.casefold(): name for name in self._classes if name not in self.names}
        near = difflib.get_close_matches(label.casefold(), names, n=1, cutoff=0.0)
        raise ValueError(
            f"label: expected a name in the label map, got '{label}', nearest is '{names[near[0]]}'; add it to the "
            "label map, or use unknown=ignore"
        )


class Drawing:
    """A mask in the making.

    Attributes:
        mask: (H, W) uint8.
        numbers: (H, W) uint16, of the object at each pixel, 0 = none; None if they are not wanted.
        groups: of objects that were painted without a number.
        nothing: by its kind, how many annotations draw nothing that can be meant, and the first: ``none`` of no
            annotations at all, ``fractions`` between 0 and 1, ``blank`` that cover no pixel.
    """

    def __init__(self, mask: "NDArray[np.uint8]", numbers: "NDArray[np.uint16] | None") -> None:
        self.mask, self.numbers, self.groups = mask, numbers, 0
        self.nothing: dict[str, tuple[int, str]] = {}

    def look_at(self, where: str, points: list[Point], covers: bool) -> None:
        """Take note of an annotation that draws nothing, or the first pixel, as fractions of the size do.

        Args:
            where: the annotation, for the message.
            points: its corners, if it has any.
            covers: it covers a pixel.
        """
        if points and max(self.mask.shape) > 1 and all(0 <= number <= 1 for point in points for number in point):
            self.note("fractions", where)
        elif not covers:
            self.note("blank", where)

    def note(self, kind: str, where: str = "") -> None:
        """Count one more of ``nothing``."""
        times, first = self.nothing.get(kind, (0, where))
        self.nothing[kind] = times + 1, first

    def paint(self, pixels: "NDArray[np.bool_]", value: int, number: int) -> None:
        """Give pixels a mask value, and the number of their object; 0 = a group of objects.

        Raises:
            ValueError: more objects than 16 bits count.
        """
        self.mask[pixels] = value
        if self.numbers is not None:
            self.numbers[pixels] = checked_number(number)
            self.groups += number == 0

    def mapped(self) -> Mapped:
        """Return what was drawn, with the pixels of each mask value."""
        return Mapped(
            self.mask, count(self.mask), instances=self.numbers, groups=self.groups, nothing=self.nothing or None
        )


def parsed(data: bytes, kind: str, key: str) -> dict[str, Any]:
    """Return the JSON object of a file, with a list under ``key``.

    Args:
        kind: whose JSON it is, for the message.

    Raises:
        ValueError: something else.
    """
    text = decoded(data)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"expected JSON {kind}, got another or a damaged file; save it again") from None
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise ValueError(f"expected an object with a list of {key}, {kind}, got other JSON; save it again")
    return content


def sides(height: Any, width: Any, keys: str, advice: str) -> tuple[int, int]:
    """Return height and width if both are sizes; else raise ValueError."""
    if not all(checks.is_whole(side) and side > 0 for side in (height, width)):
        raise ValueError(f"{keys}: expected whole numbers of at least 1, got {height!r} and {width!r}; {advice}")
    return height, width


def points_of(points: Any, what: str = "points") -> list[Point]:
    """Return corners from ``[[x, y], ...]``; raise ValueError for others, and for numbers that no image can mean."""
    try:
        corners = [(_number(x), _number(y)) for x, y in points]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what}: expected [[x, y], ...], got {str(points)[:60]}; mend or remove it") from None
    if not all(abs(number) < 1e6 for point in corners for number in point):  # false for NaN, too
        raise ValueError(f"{what}: expected numbers less than a million pixels away, got others; mend or remove it")
    return corners


def check_polygon(points: list[Point], height: int, width: int) -> None:
    """Raise ValueError for fewer than three corners, and if all of it lies outside the image."""
    if len(points) < 3:
        raise ValueError(f"polygon: expected at least 3 points, got {len(points)}; mend or remove it")
    xs, ys = zip(*points, strict=True)
    if max(xs) < 0 or max(ys) < 0 or min(xs) > width or min(ys) > height:
        raise ValueError(
            f"polygon: expected one within the {width} x {height} pixels of the image, got x from {min(xs):g} to "
            f"{max(xs):g} and y from {min(ys):g} to {max(ys):g}; mend or remove it"
        )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
