"""Cross entropy with class weights."""

from collections.abc import Iterable
from typing import Literal

from torch import Tensor

from seg.losses.cross_entropy import CrossEntropy
from seg.losses.processes import over_batches, over_processes
from seg.losses.regions import divide
from seg.losses.sums import LABELLED, PixelSums
from seg.losses.weight import ClassWeight


class WeightedCrossEntropy(CrossEntropy):
    """Softmax cross entropy with a weight for each class, divided by the summed weights of the labelled pixels.

    The value of `torch.nn.CrossEntropyLoss(weight)`, but 0 where that is NaN: without a labelled pixel, or if all
    labelled pixels have weight 0. For weights from class frequencies see Eigen and Fergus 2015 (median frequency).

    Args:
        weight: one number per class.
        label_smoothing: share of the target, in 0..1, spread evenly over all classes, each with its own weight.
        reduction: ``mean`` (by the summed weights of the true classes) or ``sum``.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(
        self,
        *,
        weight: Iterable[float],
        label_smoothing: float = 0.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__(label_smoothing=label_smoothing, reduction=reduction)
        if weight is None:
            raise ValueError("weight: expected one number per class, got None; without weights use CrossEntropy")
        self.weight = ClassWeight(weight)

    def from_sums(self, sums: PixelSums) -> Tensor:
        weight = self.weight(sums.like)
        value = sums.cross_entropy(weight, self.label_smoothing)
        value, divisor = over_processes(value, sums.over_all(LABELLED, weight))
        value, divisor = over_batches(value, divisor, weight)
        return value if self.reduction == "sum" else divide(value, divisor)
