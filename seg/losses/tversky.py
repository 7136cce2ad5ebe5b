"""Tversky and focal Tversky loss."""

from collections.abc import Iterable

from torch import Tensor

from seg.files import checks
from seg.losses.pixels import safe_power
from seg.losses.regions import Absent, RegionLoss, RegionSums, divide


class Tversky(RegionLoss):
    """``(1 - TI)^exponent`` with ``TI = (TP + s) / (TP + alpha FP + beta FN + s)``, averaged over classes.

    Salehi et al. 2017; with an exponent Abraham and Khan 2019, whose gamma = 4/3 is ``exponent=0.75``: the power is
    taken per class, and its slope at a perfect prediction is 0. ``alpha = beta = 0.5`` is `Dice` with twice the
    ``smooth``, ``alpha = beta = 1`` is `Jaccard`.

    Args:
        alpha: weight of false positives, >= 0.
        beta: weight of false negatives, >= 0.
        exponent: > 0; below 1 it gives more weight to classes that are nearly right, above 1 less.
        smooth: s, added to numerator and denominator, >= 0.
        batch, absent, weight: how classes are averaged, see `seg.losses.regions.RegionLoss`.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        exponent: float = 1.0,
        smooth: float = 1.0,
        batch: bool = True,
        absent: Absent = "skip",
        weight: Iterable[float] | None = None,
    ) -> None:
        super().__init__(smooth=smooth, batch=batch, absent=absent, weight=weight)
        checks.number("alpha", alpha, least=0)
        checks.number("beta", beta, least=0)
        checks.number("exponent", exponent, above=0)
        self.alpha, self.beta, self.exponent = alpha, beta, exponent

    def miss(self, sums: RegionSums) -> Tensor:
        missed = self.alpha * (sums.predicted - sums.hit) + self.beta * (sums.labelled - sums.hit)
        return safe_power(divide(missed, sums.hit + missed + self.smooth), self.exponent)
