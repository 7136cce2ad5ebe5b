"""Cross entropy over the labelled pixels."""

from typing import Literal

from torch import Tensor

from seg.files import checks
from seg.losses.pixels import per_pixel
from seg.losses.processes import over_batches, over_processes
from seg.losses.sums import Need, PixelSums, SumLoss, cross_entropy_needs


class CrossEntropy(SumLoss):
    """Softmax cross entropy, averaged over the labelled pixels.

    The value of `torch.nn.CrossEntropyLoss` with four differences: without a labelled pixel the loss is 0 with zero
    gradients (torch: NaN), non-finite logits at ignored pixels do not matter, float16 and bfloat16 logits are reduced
    in float32, and uint8 targets need no conversion.

    Args:
        label_smoothing: share of the target spread evenly over all classes, in 0..1 (Szegedy et al. 2016).
        reduction: ``mean`` over the labelled pixels, or ``sum``.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    spans_batches = True

    def __init__(self, *, label_smoothing: float = 0.0, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        checks.share("label_smoothing", label_smoothing)
        checks.choice("reduction", reduction, ["mean", "sum"])
        self.label_smoothing = label_smoothing
        self.reduction = reduction

    def sums_needed(self) -> tuple[Need, ...]:
        return cross_entropy_needs(self.label_smoothing)

    def from_sums(self, sums: PixelSums) -> Tensor:
        value = sums.cross_entropy(label_smoothing=self.label_smoothing)
        if self.reduction == "mean":
            return per_pixel(value, sums.pixels())
        return over_batches(*over_processes(value, sums.pixels()))[0]
