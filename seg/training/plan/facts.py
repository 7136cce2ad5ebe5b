"""What a plan needs to know of the data."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.pairs import Pair
from seg.data.source import Data
from seg.images import read_mask

_MASKS = 200  # that are looked at for objects and for up and down
_UPRIGHT = 0.15  # of `tilt`: CamVid (streets) has 0.86, the embedded scenes 0.85, UUAD (from above) 0.01
_IGNORE = 255


@dataclass(frozen=True)
class Facts:
    """What a plan needs to know of the data.

    Attributes:
        train, val: numbers of images.
        size: height and width of the training image of median area.
        largest: height and width of the largest validation image.
        channels: of the images.
        classes: names, in the order of the next three.
        shares: of the labelled training pixels.
        images_with: share of the training images that hold the class.
        widths: pixels across a typical object, its area over its longer side, as seen from a pixel of the class drawn
            at random; 0 where none was looked at.
        tilt: share of the pixels whose class tells the upper half of an image from the lower one, 0..1.
    """

    train: int
    val: int
    size: tuple[int, int]
    largest: tuple[int, int]
    channels: int
    classes: tuple[str, ...]
    shares: tuple[float, ...]
    images_with: tuple[float, ...]
    widths: tuple[float, ...]
    tilt: float

    @property
    def upright(self) -> bool:
        """Whether the images have an up and a down, as streets have and satellite tiles have not."""
        return self.tilt > _UPRIGHT

    @property
    def rarest(self) -> int:
        """The index of the class with the fewest pixels, among those that occur."""
        return min((share, index) for index, share in enumerate(self.shares) if share)[1]

    @property
    def thinnest(self) -> float:
        """Pixels across the thinnest typical objects; infinity where none was looked at."""
        return min((width for width in self.widths if width), default=math.inf)

    def plain(self) -> dict[str, Any]:
        """Return them as plain data."""
        return asdict(self)

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """Return what `plain` was made of."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()
        }
        return cls(**fields)

    def lines(self) -> list[str]:
        """Say them, for a person."""
        height, width = self.size
        across = [(width, name) for width, name in zip(self.widths, self.classes, strict=True) if width]
        thin = f"; the thinnest objects, '{min(across)[1]}', are {min(across)[0]:.0f} pixels across" if across else ""
        sides = "have an up and a down" if self.upright else "have no up and down"
        return [
            f"{self.train} training and {self.val} validation images of {width}x{height}, {self.channels} channels",
            f"{len(self.classes)} classes; the rarest, '{self.classes[self.rarest]}', has "
            f"{100 * self.shares[self.rarest]:.2g} % of the pixels{thin}",
            f"the images {sides} (classes differ by {100 * self.tilt:.0f} % between upper and lower half)",
        ]


def look(data: Data) -> Facts:
    """Return what a plan needs to know of the data; decodes some of their masks."""
    counts = data.train_counts
    shown = counts.sum(0)
    widths, tilt = _look_at_masks(_spread(data.train), len(shown))
    by_area = sorted(data.train_sizes, key=lambda size: (size[0] * size[1], size))
    return Facts(
        train=len(data.train),
        val=len(data.val),
        size=by_area[len(by_area) // 2],
        largest=max(data.val_sizes, key=lambda size: (size[0] * size[1], size)),
        channels=data.reading.channels,
        classes=tuple(data.labels.names),
        shares=tuple((shown / shown.sum()).tolist()),
        images_with=tuple((counts > 0).mean(0).tolist()),
        widths=widths,
        tilt=tilt,
    )


def _spread(pairs: Sequence[Pair]) -> list[Pair]:
    """Return some pairs, spread over all of them."""
    return [pairs[index] for index in np.linspace(0, len(pairs) - 1, min(len(pairs), _MASKS)).round().astype(int)]


def _look_at_masks(pairs: Sequence[Pair], classes: int) -> tuple[tuple[float, ...], float]:
    """Return what `Facts` calls widths and tilt."""
    found: list[list[tuple[float, int]]] = [[] for _ in range(classes)]
    halves = np.zeros((2, classes))
    for each in pairs:
        mask = read_mask(each.mask, classes)
        middle = len(mask) // 2
        for half, rows in enumerate((mask[:middle], mask[len(mask) - middle :])):
            halves[half] += np.bincount(rows[rows != _IGNORE], minlength=classes)[:classes]
        for index in np.unique(mask[mask != _IGNORE]).tolist():
            found[index] += _widths(mask == index)
    shares = halves / np.maximum(halves.sum(1, keepdims=True), 1)
    return tuple(map(_middle, found)), round(float(np.abs(shares[0] - shares[1]).sum() / 2), 4)


def _middle(found: list[tuple[float, int]]) -> float:
    """Return the width on whose either side half of the area lies."""
    if not found:
        return 0.0
    widths, areas = np.array(sorted(found)).T
    return round(float(widths[np.searchsorted(areas.cumsum(), areas.sum() / 2)]), 1)


def _widths(region: NDArray[Any]) -> list[tuple[float, int]]:
    """Return the pixels across each connected object, and its area."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    area, sides = boxes[1:, cv2.CC_STAT_AREA], boxes[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return list(zip((area / sides.max(1, initial=1)).tolist(), area.tolist(), strict=True))
