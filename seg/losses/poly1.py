"""Poly-1 cross entropy."""

from torch import Tensor, nn

from seg.losses._check import check_number
from seg.losses._fused import pixel_sums
from seg.losses._pixels import cross_entropy_sum, mean_over, per_pixel, prepare, true_class
from seg.losses._sums import HIT, LABELLED, Need, PixelSums, cross_entropy_needs


class Poly1(nn.Module):
    """``-ln p_t + epsilon (1 - p_t)``, averaged over the labelled pixels (Leng et al. 2022, PolyLoss).

    Cross entropy is the series ``sum_j (1 - p_t)^j / j``; this changes the coefficient of its first term.

    Args:
        epsilon: what is added to that coefficient, >= -1; 0 is cross entropy.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(self, *, epsilon: float = 1.0) -> None:
        super().__init__()
        check_number("epsilon", epsilon, least=-1)
        self.epsilon = epsilon

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if (native := pixel_sums(self, logits, target)) is not None:
            return self.from_sums(native).float()
        logits, labels, valid = prepare(logits, target)
        if self.epsilon == 0:
            return per_pixel(cross_entropy_sum(logits, target), valid)
        minus_log, rest = true_class(logits.log_softmax(1), labels)
        return mean_over(valid, minus_log + self.epsilon * rest)

    def sums_needed(self) -> tuple[Need, ...]:
        return (*cross_entropy_needs(), HIT)

    def from_sums(self, sums: PixelSums) -> Tensor:
        missed = self.epsilon * (sums[LABELLED] - sums[HIT]).sum() if self.epsilon else 0
        return (sums.cross_entropy() + missed) / sums.pixels()
