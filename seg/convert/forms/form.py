"""What all forms have: options, the place of their files, and what polygons lose."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg.convert.annotations import BACKGROUND
from seg.convert.regions import Regions, find_regions
from seg.files import checks, whole
from seg.labels import IGNORE, LabelMap

_MOST_TOLERANCE = 100.0  # pixels


class Picture(NamedTuple):
    """A mask to be written.

    Attributes:
        name: path without suffix, relative to the folder of masks.
        image: file name of the image, for the tool.
        mask: (H, W) uint8.
        numbers: (H, W) uint16, of the object at each pixel, 0 = none; None without objects.
        confidence: (H, W) uint8, 255 = certain; None: it is not known.
        file: the image, if it is known.
        target: where the part will be.
    """

    name: str
    image: str
    mask: NDArray[np.uint8]
    numbers: NDArray[np.uint16] | None
    confidence: NDArray[np.uint8] | None
    file: Path | None
    target: Path


class Form(ABC):
    """A form of annotation.

    Args:
        shapes: ``masks`` or ``polygons``; None: the first that the form has.
        tolerance: how many pixels an outline of polygons may move where corners are left out; 0 = none are.
        background: a class that is in no region; None: every class is written.

    Raises:
        ValueError: an option out of range, or that the form does not have.
    """

    write: ClassVar[str]
    folder: ClassVar[str]
    """Where parts are, below the destination."""
    suffix: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("masks",)
    objects: ClassVar[bool] = True
    """It can hold numbers of objects."""

    def __init__(
        self, labels: LabelMap, *, shapes: str | None = None, tolerance: float = 0.0, background: str | None = None
    ) -> None:
        self.check(shapes, tolerance)
        self.labels, self.shapes, self.tolerance = labels, shapes or self.kinds[0], float(tolerance)
        if background is not None and (background := str(background)) not in labels.names:
            raise ValueError(
                f"background: expected a class of the map ({', '.join(labels.names)}), got '{background}'; choose one"
            )
        self.without = None if background is None else labels.names.index(background)

    @classmethod
    def check(cls, shapes: str | None, tolerance: float) -> None:
        """Refuse shapes that the form does not have, and a tolerance out of range; see `Form`."""
        if shapes is not None and shapes not in cls.kinds:
            raise ValueError(
                f"shapes: expected {' or '.join(cls.kinds)} with write={cls.write}, got {shapes!r}; leave it out"
            )
        checks.number("tolerance", tolerance, least=0, most=_MOST_TOLERANCE, remedy="give pixels")
        if tolerance and (shapes or cls.kinds[0]) != "polygons":
            raise ValueError(f"tolerance: expected only with polygons, got {tolerance} with masks; leave it out")

    @property
    def key(self) -> str:
        """Everything that a part depends on besides its mask, as text."""
        return " ".join(map(str, ("write", self.write, self.labels.digest, self.shapes, self.tolerance, self.without)))

    @property
    def taken_for(self) -> str:
        """The class that ignored pixels may be taken for when masks are read back; empty without one."""
        if self.without is not None:
            return self.labels.names[self.without]
        return next((name for name in BACKGROUND if name in self.labels.names), "")

    def place(self, name: str) -> str:
        """Return the path of the part of a mask, relative to the destination."""
        return f"{self.folder}/{name}{self.suffix}"

    @abstractmethod
    def part(self, picture: Picture) -> tuple[bytes, int]:
        """Return what is written of a mask, and the pixels that polygons lose.

        Raises:
            ValueError: the mask has what the form cannot hold.
        """

    def finish(self, target: Path, names: Sequence[str]) -> None:  # noqa: B027  # some forms have nothing
        """Write what belongs to all parts together, whose masks have these names; none: remove it."""

    def regions(self, picture: Picture, *, columns: bool = False) -> Regions:
        """Return the regions of a mask; see `find_regions`."""
        return find_regions(picture.mask, picture.numbers, columns=columns, without=self.without)

    def scores(self, picture: Picture, regions: Regions, key: str) -> list[dict[str, float]]:
        """Return the mean confidence of each region, from 0 to 1, under ``key``; nothing where it is not known."""
        if picture.confidence is None:
            return [{} for _ in regions.classes]
        if picture.confidence.shape != regions.shape:
            raise ValueError("expected a map of confidence of the size of the mask, got another; predict again")
        return [{key: round(mean / 255, 4)} for mean in regions.means(picture.confidence).tolist()]


class JoinedForm(Form):
    """A form of one file for all images."""

    folder, suffix = ".parts", ".txt"
    file: ClassVar[str]
    """Where that is, below the destination."""

    @abstractmethod
    def text(self, parts: Callable[[], Iterator[list[str]]]) -> Iterator[str]:
        """Yield the text of the file, piece by piece.

        Args:
            parts: yields the lines of each part, in the order of the names.
        """

    def finish(self, target: Path, names: Sequence[str]) -> None:
        """Write the file, without having more than one part in memory; without any mask, remove it."""
        path = target / self.file
        if not names:
            path.unlink(missing_ok=True)
            return

        def parts() -> Iterator[list[str]]:
            return ((target / self.place(name)).read_text(encoding="utf-8").splitlines() for name in names)

        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self.text(parts))


class Redrawn:
    """A mask as its polygons are drawn, to count the pixels that they lose."""

    def __init__(self, regions: Regions) -> None:
        self.regions, self.mask = regions, np.full(regions.shape, IGNORE, np.uint8)

    def draw(self, number: int, pixels: NDArray[np.bool_]) -> None:
        """Draw the pixels of a region, within its box."""
        left, top, width, height = self.regions.boxes[number].tolist()
        self.mask[top : top + height, left : left + width][pixels] = self.regions.classes[number]

    def lost(self, mask: NDArray[np.uint8], without: int | None) -> int:
        """Count the pixels of another class than in the mask."""
        wanted = mask if without is None else np.where(mask == without, np.uint8(IGNORE), mask)
        return int(np.count_nonzero(wanted != self.mask))


def numbers_of(ring: NDArray[np.float64]) -> list[float]:
    """Return x, y, x, y, ... of a ring, whole where they are whole, else with two decimals."""
    return [int(value) if value == int(value) else round(value, 2) for value in ring.ravel().tolist()]


def check_text(name: str, form: str) -> str:
    """Return a name that a form can hold as text.

    Raises:
        ValueError: it has characters that XML and YAML cannot hold.
    """
    if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", name):
        raise ValueError(f"expected a name that is text, which {form} can hold, got {name!r}; rename it")
    return name
