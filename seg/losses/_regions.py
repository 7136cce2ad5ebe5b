"""Pieces that look at a whole region: sums per class, and means over classes.

The region losses differ only in `RegionLoss.miss`.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seg.losses._check import check_choice, check_number
from seg.losses._fused import pixel_sums
from seg.losses._pixels import prepare
from seg.losses._shared import total
from seg.losses._sums import HIT, LABELLED, PREDICTED, SQUARES, Need, PixelSums
from seg.losses._weight import ClassWeight

Absent = Literal["skip", "count"]


class Sums(NamedTuple):
    """Sums over the labelled pixels of the batch, on all processes (B = 1), or of each image (B = N), each (B, C).

    Attributes:
        hit: TP, probability of class c at pixels of class c.
        predicted: P, probability of class c (or its square).
        labelled: Y, pixels of class c.
    """

    hit: Tensor
    predicted: Tensor
    labelled: Tensor


def region_sums(p: Tensor, labels: Tensor, valid: Tensor, *, batch: bool, squared: bool = False) -> Sums:
    """Sum probabilities per class, in their precision and without a one-hot target.

    Args:
        p: (N, C, H, W) probabilities, 0 at pixels that are not ``valid``.
        labels: (N, H, W) int64 in 0..C-1.
        batch: one row of sums for all images, else a row for each.
        squared: ``predicted`` sums squares.
    """
    classes = p.shape[1]
    sums = Sums(
        hit=_by_class(p.gather(1, labels.unsqueeze(1)).squeeze(1), labels, classes),
        predicted=(p * p if squared else p).sum((2, 3)),
        labelled=_by_class(valid.to(p.dtype), labels, classes),
    )
    return Sums(*total(*(part.sum(0, keepdim=True) for part in sums))) if batch else sums


def region_of(sums: PixelSums, *, batch: bool, squared: bool = False) -> Sums:
    """The same of sums that were taken already."""
    parts = (sums[HIT], sums[SQUARES if squared else PREDICTED], sums[LABELLED])
    return Sums(*(part.sum(0, keepdim=True) for part in parts)) if batch else Sums(*parts)


def _by_class(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sum (N, H, W) values per class into (N, C): row by row first, or float32 would lose the small terms."""
    n, height, _ = values.shape
    return values.new_zeros(n, height, classes).scatter_add(2, labels, values).sum(1)


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, 0 with gradient 0 where the denominator is not positive."""
    positive = denominator > 0
    return torch.where(positive, numerator / torch.where(positive, denominator, 1), 0)


def class_mean(
    values: Tensor, labelled: Tensor, *, batch: bool, absent: Absent, weight: Tensor | None = None
) -> Tensor:
    """Mean over classes, then over the rows that have a class to average.

    Args:
        values: (B, C), finite.
        labelled: (B, C) pixels of each class; a row without any pixel does not count.
        batch: there is one row, made of the sums of all processes; else all processes' rows are averaged.
        absent: ``skip`` averages over the classes of the row that have pixels, ``count`` over all.
        weight: (C,) of the classes in the mean.
    """
    present = labelled > 0
    shares = (present if absent == "skip" else present.any(1, keepdim=True).expand_as(present)).to(values.dtype)
    if weight is not None:
        shares = shares * weight
    whole = shares.sum(1)
    return row_mean(divide((shares * values).sum(1), whole), whole > 0, batch=batch)


def row_mean(values: Tensor, rows: Tensor, *, batch: bool) -> Tensor:
    """Mean of ``values (B,)`` over the ``rows (B,)`` that count, 0 if none does; ``batch`` as in `class_mean`."""
    value, count = torch.where(rows, values, 0).sum(), rows.sum()
    if not batch:
        value, count = total(value, count)
    return value / count.clamp(min=1)


class RegionLoss(nn.Module):
    """A loss that is a mean over classes of what `miss` makes of their sums."""

    squared = False

    def __init__(self, *, smooth: float, batch: bool, absent: Absent, weight: Iterable[float] | None) -> None:
        super().__init__()
        check_number("smooth", smooth)
        check_choice("absent", absent, "skip", "count")
        self.smooth, self.batch = smooth, batch
        self.absent: Absent = absent
        self.weight = ClassWeight(weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if (native := pixel_sums(self, logits, target)) is not None:
            return self.from_sums(native).float()
        logits, labels, valid = prepare(logits, target)
        p = torch.where(valid.unsqueeze(1), logits.softmax(1), 0)
        return self._mean(region_sums(p, labels, valid, batch=self.batch, squared=self.squared))

    def sums_needed(self) -> tuple[Need, ...]:
        return LABELLED, HIT, SQUARES if self.squared else PREDICTED

    def from_sums(self, sums: PixelSums) -> Tensor:
        return self._mean(region_of(sums, batch=self.batch, squared=self.squared))

    def _mean(self, sums: Sums) -> Tensor:
        return class_mean(
            self.miss(sums), sums.labelled, batch=self.batch, absent=self.absent, weight=self.weight(sums.labelled)
        )

    def miss(self, sums: Sums) -> Tensor:
        """What each class missed, (B, C): 0 = perfect."""
        raise NotImplementedError
