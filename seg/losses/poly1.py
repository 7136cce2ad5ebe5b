"""Poly-1 cross entropy."""

from torch import Tensor

from seg.files import checks
from seg.losses.pixels import per_pixel
from seg.losses.sums import HIT, Need, PixelSums, SumLoss, cross_entropy_needs


class Poly1(SumLoss):
    """``-ln p_t + epsilon (1 - p_t)``, averaged over the labelled pixels (Leng et al. 2022, PolyLoss).

    Cross entropy is the series ``sum_j (1 - p_t)^j / j``; this loss changes the coefficient of its first term.

    Args:
        epsilon: added to that coefficient, >= -1; 0 is cross entropy.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    spans_batches = True

    def __init__(self, *, epsilon: float = 1.0) -> None:
        super().__init__()
        checks.number("epsilon", epsilon, least=-1)
        self.epsilon = epsilon

    def sums_needed(self) -> tuple[Need, ...]:
        return (*cross_entropy_needs(), HIT)

    def from_sums(self, sums: PixelSums) -> Tensor:
        value = sums.cross_entropy()
        if self.epsilon:
            value = value + self.epsilon * sums.missed()
        return per_pixel(value, sums.pixels())
