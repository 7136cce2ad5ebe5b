"""Soft Jaccard (IoU) loss."""

from torch import Tensor

from seg.losses.regions import RegionLoss, RegionSums, divide


class Jaccard(RegionLoss):
    """``1 - (TP + s) / (P + Y - TP + s)``, averaged over classes (Rahman and Wang 2016).

    Args:
        smooth: s, added to numerator and denominator, >= 0.
        batch, absent, weight: how classes are averaged, see `seg.losses.regions.RegionLoss`.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def miss(self, sums: RegionSums) -> Tensor:
        whole = sums.predicted + sums.labelled
        return divide(whole - 2 * sums.hit, whole - sums.hit + self.smooth)
