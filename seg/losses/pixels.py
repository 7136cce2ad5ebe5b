"""What the losses compute pixel by pixel: ignored pixels masked, the logarithm of the true class, safe powers."""

import torch
from torch import Tensor

from seg.labels import IGNORE
from seg.losses.arguments import check_shapes
from seg.losses.processes import over_batches, over_processes


def prepare(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check the arguments and mask the ignored pixels.

    Returns:
        logits (N, C, H, W) float64 if they were so and float32 otherwise, with 0 at ignored pixels;
        labels (N, H, W) int64 with 0 at ignored pixels; valid (N, H, W) bool, False at ignored pixels.
    """
    check_shapes(logits, target)
    valid = target != IGNORE
    # where() and not a product, because NaN times zero is NaN; and here, before the softmax, and not on the loss:
    # masked afterwards, the zero gradient would still be multiplied by the NaN derivative of the softmax
    logits = torch.where(valid.unsqueeze(1), logits, 0)
    if logits.dtype != torch.float64:
        logits = logits.float()
    # 0 is a class, any class: `gather` and `scatter` must not meet 255
    return logits, torch.where(valid, target, 0).long(), valid


def per_pixel(value: Tensor, pixels: Tensor) -> Tensor:
    """Divide a sum over labelled pixels by their number, both over all that share the step; 0 if there is none."""
    value, pixels = over_batches(*over_processes(value, pixels))
    return value / pixels.clamp(min=1)


def true_class(log_p: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``-ln p_t`` and ``1 - p_t`` of each pixel's true class t.

    The second is summed over the other classes, because 1 - p_t loses everything below 6e-8 in float32.

    Args:
        log_p: (N, C, H, W) logarithm of the softmax.
        labels: (N, H, W) int64 in 0..C-1.
    """
    index = labels.unsqueeze(1)
    rest = log_p.exp().scatter(1, index, 0.0).sum(1)
    return -log_p.gather(1, index).squeeze(1), rest


def precise_minus_log(rough: Tensor, rest: Tensor) -> Tensor:
    """Return ``-ln(1 - rest)``: from ``rest`` where it is small, else ``rough``, a difference of two logarithms.

    Near 0 only the rounding of these two is left in ``rough``; ``rest`` keeps its digits there, and loses them near 1.
    """
    small = rest < 0.5
    # the inner where() keeps log1p(-1) = -inf out of the graph: its infinite slope times 0 would be NaN
    return torch.where(small, -torch.log1p(-torch.where(small, rest, 0)), rough)


def safe_power(base: Tensor, exponent: float) -> Tensor:
    """Return ``base ** exponent`` for ``exponent > 0``; 0 with slope 0 where ``base`` is denormal, 0 or below.

    Below the smallest normal number the slope of a power < 1 would be infinite, and infinity times 0 is NaN.
    """
    if exponent == 1:
        return base
    # two where(), one before and one after: the backward pass of the outer one alone would multiply 0 by pow's infinity
    positive = base > torch.finfo(base.dtype).tiny
    return torch.where(positive, torch.where(positive, base, 1).pow(exponent), 0)
