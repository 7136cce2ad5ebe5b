"""Erasing parts of an image: Cutout, GridMask, random erasing.

``fill`` is what is painted: a share of the range of values (0 black, 1 white), or one for each channel. ``label`` says
what becomes of the mask there: ``keep`` makes the model infer what it cannot see, ``ignore`` (255) asks nothing of it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seg.files import checks
from seg.labels import IGNORE
from seg.transforms.draw import (
    chance,
    check_length,
    integer,
    pixels,
    ratio,
    uniform,
)
from seg.transforms.pixels import white

Fill = float | Sequence[float]
Box = tuple[slice, slice]


class _Eraser:
    """What to paint, and what to do with the mask under it."""

    def __init__(self, fill: Fill | None, label: str) -> None:
        shares = list(fill) if isinstance(fill, Sequence) else [fill]
        if not all(share is None or (checks.is_number(share) and 0 <= share <= 1) for share in shares):
            raise ValueError(
                f"fill: expected a number from 0 to 1, one for each channel, or null for noise, got {fill!r}; give one"
            )
        checks.choice("label", label, ("keep", "ignore"))
        self.fill, self.label = fill, label

    def check_channels(self, channels: int) -> None:
        """Make sure that ``fill`` is for images of so many channels.

        Raises:
            ValueError: it is a list of another number.
        """
        if isinstance(self.fill, Sequence) and len(self.fill) not in (1, channels):
            raise ValueError(
                f"fill: expected 1 number or {channels}, one for each channel, got {len(self.fill)}; correct it"
            )

    def color(self, image: Tensor) -> Tensor:
        """(C, 1, 1) or (1, 1, 1) in the type of the image."""
        shares = torch.tensor(self.fill, dtype=torch.float32).view(-1, 1, 1)
        if len(shares) not in (1, len(image)):
            raise ValueError(f"fill: expected 1 number or {len(image)}, one for each channel, got {len(shares)}")
        shares = shares * white(image)
        return (shares if image.is_floating_point() else shares.round()).to(image.dtype)

    def paint(self, image: Tensor, mask: Tensor, boxes: Sequence[Box]) -> tuple[Tensor, Tensor]:
        """Copy image and mask with these boxes erased: painted with ``fill``, or with noise if it is None."""
        image = image.clone()
        if self.label == "ignore":
            mask = mask.clone()
        color = None if self.fill is None else self.color(image)
        for rows, columns in boxes:
            part = image[:, rows, columns]
            if color is not None:
                part.copy_(color)
            elif image.is_floating_point():
                part.copy_(torch.rand(part.shape))
            else:
                part.copy_(torch.randint(256, part.shape))
            if self.label == "ignore":
                mask[rows, columns] = IGNORE
        return image, mask


class Cutout(_Eraser):
    """Erase rectangles with centres uniform over the image, clipped at its border (DeVries & Taylor 2017).

    Args:
        size: side of a square, or (height, width), in pixels (whole numbers) or shares of the image's sides. A hole
            that is not clipped has exactly that size, odd or even.
        holes: their number; they may overlap.
        fill, label: see `seg.transforms.erase`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        size: float | tuple[float, float],
        holes: int = 1,
        fill: Fill = 0.0,
        label: str = "keep",
        *,
        p: float = 1.0,
    ) -> None:
        super().__init__(fill, label)
        sides = tuple(size) if isinstance(size, Sequence) else (size, size)
        if len(sides) != 2:
            raise ValueError(f"size: expected one length or (height, width), got {sides}")
        self.size = tuple(check_length("size", side) for side in sides)
        self.holes, self.p = checks.whole("holes", holes, 1), checks.share("p", p)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        return self.paint(image, mask, [self._box(mask) for _ in range(self.holes)])

    def _box(self, mask: Tensor) -> Box:
        spans = []
        for side, extent in zip(self.size, mask.shape, strict=True):
            length = pixels(side, extent)
            start = integer(extent - 1) - length // 2
            spans.append(slice(max(start, 0), max(start + length, 0)))
        return spans[0], spans[1]


class GridMask(_Eraser):
    """Erase a regular grid of squares (Chen et al. 2020).

    The unit of the grid is d pixels, uniform in d_min .. d_max, at a random offset. In each unit a strip of the share
    ``ratio`` of either axis is kept, and the square of side (1 - ratio) d between the strips is erased. Every pixel is
    kept with probability 1 - (1 - ratio)^2: if (1 - ratio) d is not whole, it is rounded up or down at random, with the
    probabilities that make the expected area exact.

    Args:
        d_min, d_max: in pixels (whole numbers), or shares of the image's shorter side.
        ratio: share of each axis of a unit that is kept, in 0..1.
        fill, label: see `seg.transforms.erase`.
        p: probability that an image gets a grid.
        ramp: share of the run, in 0..1, over which the probability rises linearly from 0 to ``p``, driven by
            `set_progress`; 0 = ``p`` from the start.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        d_min: float,
        d_max: float,
        ratio: float,
        fill: Fill = 0.0,
        label: str = "keep",
        *,
        p: float = 1.0,
        ramp: float = 0.0,
    ) -> None:
        super().__init__(fill, label)
        self.d_min, self.d_max = check_length("d_min", d_min), check_length("d_max", d_max)
        if type(d_min) is not type(d_max) or d_min > d_max:
            raise ValueError(f"d_min, d_max: expected d_min <= d_max in the same unit, got {d_min} and {d_max}")
        self.ratio, self.p, self.ramp = checks.share("ratio", ratio), checks.share("p", p), checks.share("ramp", ramp)
        self._done = 0.0

    def set_progress(self, step: int, total: int) -> None:
        """Tell the ramp that ``step`` of the ``total`` steps of the run are done."""
        self._done = step / max(total, 1)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        p = self.p * min(self._done / self.ramp, 1.0) if self.ramp else self.p
        if not chance(p):
            return image, mask
        least, most = (pixels(d, min(mask.shape)) for d in (self.d_min, self.d_max))
        unit = least + integer(most - least)
        hole = self._hole(unit)
        rows, columns = (_periodic(side, unit, hole) for side in mask.shape)
        return self.paint(image, mask, [(row, column) for row in rows for column in columns])

    def _hole(self, unit: int) -> int:
        """Side of the squares, at random; the mean of its square is ((1 - ratio) unit)^2."""
        # rounding up adds 2 lower + 1 to the square: this probability makes up for what rounding down takes
        exact = (1 - self.ratio) * unit
        lower = math.floor(exact)
        return lower + chance((exact**2 - lower**2) / (2 * lower + 1))


def _periodic(side: int, unit: int, hole: int) -> list[slice]:
    """Holes along an axis, at a random offset."""
    first = integer(unit - 1) - unit  # one unit ahead: its hole may reach into the image
    if hole == 0:
        return []
    starts = range(first, side, unit)
    return [slice(max(start, 0), min(start + hole, side)) for start in starts if start + hole > 0]


class RandomErasing(_Eraser):
    """Erase one rectangle of random area and shape that lies within the image (Zhong et al. 2020).

    Args:
        area: least and greatest share of the image's area, uniform.
        aspect: least and greatest height / width; a ratio and its inverse are equally likely (the authors' code draws
            the ratio uniformly, which favours tall shapes).
        fill: see `seg.transforms.erase`; None = noise, uniform, independent for each pixel and channel.
        label: see `seg.transforms.erase`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        *,
        area: tuple[float, float] = (0.02, 0.4),
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
        fill: Fill | None = 0.0,
        label: str = "keep",
        p: float = 0.5,
    ) -> None:
        super().__init__(fill, label)
        self.area, self.aspect = checks.bounds("area", area, above=0, most=1), checks.bounds("aspect", aspect, above=0)
        self.p = checks.share("p", p)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        height, width = mask.shape
        for _ in range(100):  # as in the paper's code: a rectangle that does not fit is drawn again
            area, shape = uniform(*self.area) * height * width, ratio(self.aspect)
            rows, columns = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < rows <= height and 0 < columns <= width:
                top, left = integer(height - rows), integer(width - columns)
                return self.paint(image, mask, [(slice(top, top + rows), slice(left, left + columns))])
        return image, mask
