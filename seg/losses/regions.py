"""What the region losses share: the sums of each class, and means over classes.

The losses themselves differ only in `RegionLoss.miss`.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seg.files import checks
from seg.losses.processes import over_processes
from seg.losses.sums import HIT, LABELLED, PREDICTED, SQUARES, Need, PixelSums, SumLoss
from seg.losses.weight import ClassWeight

Absent = Literal["skip", "count"]


class RegionSums(NamedTuple):
    """Sums over the labelled pixels, each (B, C): of the batch on all processes (B = 1), or of each image (B = N).

    Attributes:
        hit: TP, the probabilities of class c at the pixels of class c.
        predicted: P, the probabilities of class c at all of them (or their squares).
        labelled: Y, the number of pixels of class c.
    """

    hit: Tensor
    predicted: Tensor
    labelled: Tensor


def region_sums(sums: PixelSums, *, batch: bool, squared: bool = False) -> RegionSums:
    """Return the sums of each class: one row for the batch, on all processes, or a row for each image.

    Args:
        sums: with `LABELLED`, `HIT` and `PREDICTED`, or `SQUARES` if ``squared``.
    """
    parts = sums[HIT], sums[SQUARES if squared else PREDICTED], sums[LABELLED]
    return RegionSums(*over_processes(*(part.sum(0, keepdim=True) for part in parts))) if batch else RegionSums(*parts)


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient; 0 with gradient 0 where the denominator is not positive."""
    positive = denominator > 0
    # the inner where() as well: 0 / 0 in the branch not taken would still send NaN into the gradient
    return torch.where(positive, numerator / torch.where(positive, denominator, 1), 0)


def class_mean(
    values: Tensor, labelled: Tensor, *, batch: bool, absent: Absent, weight: Tensor | None = None
) -> Tensor:
    """Average over classes, then over the rows that have a class to average.

    Args:
        values: (B, C), finite.
        labelled: (B, C) pixels of each class; a row without any pixel does not count.
        batch: whether there is one row, made of the sums of all processes; else the rows of all processes are averaged.
        absent: ``skip`` averages over the classes of the row that have pixels, ``count`` over all.
        weight: (C,), of each class in the mean.
    """
    counted = labelled > 0
    if absent == "count":
        counted = counted.any(1, keepdim=True).expand_as(counted)
    weights = counted.to(values.dtype)
    if weight is not None:
        weights = weights * weight
    divisor = weights.sum(1)
    return row_mean(divide((weights * values).sum(1), divisor), divisor > 0, batch=batch)


def row_mean(values: Tensor, rows: Tensor, *, batch: bool) -> Tensor:
    """Average ``values (B,)`` over the ``rows (B,)`` that count, 0 if none does; ``batch`` as in `class_mean`."""
    value, count = torch.where(rows, values, 0).sum(), rows.sum()
    if not batch:  # the one row of a batch is of all processes already
        value, count = over_processes(value, count)
    return value / count.clamp(min=1)


class RegionLoss(SumLoss):
    """A loss that is the mean over classes of what `miss` makes of their sums.

    Args:
        smooth: added to numerator and denominator, >= 0.
        batch: sum over the batch; False takes the loss of each image and averages over those with a labelled pixel.
        absent: ``skip`` averages over the classes that the target has (in the batch, or in each image), ``count``
            over all.
        weight: one number per class for a weighted mean over the classes averaged; None = 1 for all.
    """

    squared = False

    def __init__(
        self,
        *,
        smooth: float = 1.0,
        batch: bool = True,
        absent: Absent = "skip",
        weight: Iterable[float] | None = None,
    ) -> None:
        super().__init__()
        checks.number("smooth", smooth, least=0)
        checks.choice("absent", absent, ["skip", "count"])
        self.smooth, self.batch = smooth, batch
        self.absent: Absent = absent
        self.weight = ClassWeight(weight)

    def sums_needed(self) -> tuple[Need, ...]:
        return LABELLED, HIT, SQUARES if self.squared else PREDICTED

    def from_sums(self, sums: PixelSums) -> Tensor:
        region = region_sums(sums, batch=self.batch, squared=self.squared)
        weight = self.weight(region.labelled)
        return class_mean(self.miss(region), region.labelled, batch=self.batch, absent=self.absent, weight=weight)

    def miss(self, sums: RegionSums) -> Tensor:
        """Return how much of each class was missed (B, C); 0 = perfect."""
        raise NotImplementedError
