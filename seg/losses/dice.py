"""Soft Dice loss."""

from collections.abc import Iterable

from torch import Tensor

from seg.losses.regions import Absent, RegionLoss, RegionSums, divide


class Dice(RegionLoss):
    """``1 - (2 TP + s) / (P + Y + s)``, averaged over classes.

    P and Y sum probabilities and labels (Sudre et al. 2017) or their squares (Milletari et al. 2016, V-Net). Where a
    prediction is confidently wrong the softmax saturates and the gradient vanishes: combine it with a cross entropy.

    Args:
        smooth: s, added to numerator and denominator, >= 0.
        squared: sum squares in the denominator.
        batch, absent, weight: how classes are averaged, see `seg.losses.regions.RegionLoss`.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(
        self,
        *,
        smooth: float = 1.0,
        squared: bool = False,
        batch: bool = True,
        absent: Absent = "skip",
        weight: Iterable[float] | None = None,
    ) -> None:
        super().__init__(smooth=smooth, batch=batch, absent=absent, weight=weight)
        self.squared = squared

    def miss(self, sums: RegionSums) -> Tensor:
        whole = sums.predicted + sums.labelled
        return divide(whole - 2 * sums.hit, whole + self.smooth)
