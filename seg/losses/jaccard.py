"""Soft Jaccard (IoU) loss."""

from collections.abc import Iterable

from torch import Tensor

from seg.losses.regions import Absent, RegionLoss, RegionSums, divide


class Jaccard(RegionLoss):
    """``1 - (TP + s) / (P + Y - TP + s)``, averaged over classes (Rahman and Wang 2016).

    Args:
        smooth: s, added to numerator and denominator, >= 0.
        batch: sum over the batch; False takes the loss of each image and averages over those with a labelled pixel.
        absent: ``skip`` averages over the classes that the target has (in the batch, or in each image), ``count``
            over all.
        weight: one number per class for a weighted mean over the classes averaged; None = 1 for all.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(
        self,
        *,
        smooth: float = 1.0,
        batch: bool = True,
        absent: Absent = "skip",
        weight: Iterable[float] | None = None,
    ) -> None:
        super().__init__(smooth=smooth, batch=batch, absent=absent, weight=weight)

    def miss(self, sums: RegionSums) -> Tensor:
        whole = sums.predicted + sums.labelled
        return divide(whole - 2 * sums.hit, whole - sums.hit + self.smooth)
