"""Cross entropy over the labelled pixels."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.labels import IGNORE
from seg.losses._check import check_shapes


class CrossEntropy(nn.Module):
    """Softmax cross entropy, averaged over the labelled pixels.

    Differs from `torch.nn.CrossEntropyLoss` where that is not usable: without a labelled pixel the loss is 0 with
    zero gradients (torch: NaN), non-finite logits at ignored pixels have no influence, float16 and bfloat16 logits
    are reduced in float32, and uint8 targets are taken as they are.

    Args:
        label_smoothing: share of the target spread evenly over all classes, in 0..1 (Szegedy et al. 2016).
        reduction: ``mean`` over labelled pixels or ``sum``.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(self, *, label_smoothing: float = 0.0, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing: expected 0..1, got {label_smoothing}")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction: expected 'mean' or 'sum', got {reduction!r}")
        self.label_smoothing = label_smoothing
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        check_shapes(logits, target)
        valid = target != IGNORE
        # where() and not multiplication: NaN times zero is NaN, in the gradient too
        logits = torch.where(valid.unsqueeze(1), logits, 0)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        total = F.cross_entropy(
            logits,
            target.long(),
            ignore_index=IGNORE,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total / valid.sum().clamp(min=1) if self.reduction == "mean" else total
