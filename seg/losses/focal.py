"""Focal loss: cross entropy that fades where the prediction is already good."""

from collections.abc import Iterable

from torch import Tensor

from seg.files import checks
from seg.losses.pixels import per_pixel
from seg.losses.sums import LABELLED, Need, PixelSums, SumLoss, cross_entropy_needs
from seg.losses.weight import ClassWeight


class Focal(SumLoss):
    """Softmax focal loss, ``-a_t (1 - p_t)^gamma ln p_t``, averaged over the labelled pixels (Lin et al. 2017).

    The paper's loss, of a detector, is a sigmoid one with a scalar alpha for the positives, divided by their number.
    Here every labelled pixel is a positive of its class, alpha is a class vector that is not renormalised, and the
    divisor is the number of labelled pixels, so that the scale of the loss does not depend on the content of the crop.
    ``gamma=0`` equals `CrossEntropy` bit for bit; value and gradient are finite for any ``gamma``, also below 1.

    Args:
        gamma: how fast the loss of good predictions fades, >= 0.
        weight: the paper's alpha, one number per class; None = 1 for all.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    spans_batches = True

    def __init__(self, *, gamma: float = 2.0, weight: Iterable[float] | None = None) -> None:
        super().__init__()
        checks.number("gamma", gamma, least=0)
        self.gamma = gamma
        self.weight = ClassWeight(weight)

    def sums_needed(self) -> tuple[Need, ...]:
        return cross_entropy_needs() if self.gamma == 0 else (LABELLED, Need("focal", self.gamma))

    def from_sums(self, sums: PixelSums) -> Tensor:
        weight = self.weight(sums.like)
        if self.gamma == 0:
            return per_pixel(sums.cross_entropy(weight), sums.pixels())
        return per_pixel(sums.over_all(Need("focal", self.gamma), weight), sums.pixels())
