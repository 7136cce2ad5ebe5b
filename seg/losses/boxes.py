"""Losses of bounding boxes: ``(pred, target, *, weight=None, reduction="mean") -> scalar``.

Boxes are rows ``xyxy``: ``pred (N, 4)`` and ``target (N, 4)`` floating, paired row by row. A ratio whose divisor is 0
is 0, so that values and gradients stay finite: two boxes without area have IoU 0, even if they are equal. Half
precision is computed in float32, and without boxes the loss is 0. ``weight (N,)`` multiplies the loss of each box.
``reduction`` is ``mean`` (over the N boxes, or over their weights; `smooth_l1`: over the 4 numbers of each as well),
``sum`` or ``none``; in a distributed run each process takes the mean over its own boxes.

Raises:
    ValueError: an option out of range, boxes of the wrong shape or type, corners that are swapped (x2 < x1 or y2 < y1;
        the message names the row), or a weight that is negative or not finite.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seg.files import checks

Reduction = Literal["mean", "sum", "none"]


def smooth_l1(
    pred: Tensor, target: Tensor, *, weight: Tensor | None = None, beta: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """``d^2 / (2 beta)`` where ``d = |pred - target| < beta``, else ``d - beta / 2``, per number (Girshick 2015)."""
    checks.number("beta", beta, least=0)
    pred, target = _checked(pred, target)
    if weight is None and reduction == "mean" and len(pred):  # in one pass
        return F.smooth_l1_loss(pred, target, beta=beta)
    return _reduce(F.smooth_l1_loss(pred, target, reduction="none", beta=beta), weight, reduction)


def iou(
    pred: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    form: Literal["linear", "log"] = "linear",
    reduction: Reduction = "mean",
) -> Tensor:
    """``1 - IoU``, or ``-ln IoU`` (Yu et al. 2016, UnitBox) with IoU clamped to the machine epsilon.

    Boxes that do not overlap have no gradient.
    """
    checks.choice("form", form, ["linear", "log"])
    overlap = _overlap(*_prepare(pred, target)).iou
    if form == "linear":
        return _reduce(1 - overlap, weight, reduction)
    return _reduce(-overlap.clamp(min=torch.finfo(overlap.dtype).eps).log(), weight, reduction)


def giou(pred: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:
    """``1 - IoU + (A - U) / A`` with U the union and A the box around both (Rezatofighi et al. 2019)."""
    both = _overlap(*_prepare(pred, target))
    around = _area(both.around)
    return _reduce(1 - both.iou + _ratio(around - both.union, around), weight, reduction)


def diou(pred: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:
    """``1 - IoU + d^2 / c^2``: d between the centres, c the diagonal of the box around both (Zheng et al. 2020)."""
    corners = _prepare(pred, target)
    both = _overlap(*corners)
    return _reduce(1 - both.iou + _distance(*corners, both), weight, reduction)


def ciou(pred: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:
    """`diou` ``+ a v`` with ``v = (4 / pi^2) (difference of atan(w / h))^2`` and ``a = v / (1 - IoU + v)``.

    Zheng et al. 2020; ``a`` is a factor without gradient.
    """
    corners = _prepare(pred, target)
    both = _overlap(*corners)
    # atan2(w, h) and not atan(w / h): value and slope stay finite for a box without height
    angle, wanted = (torch.atan2(*(high - low).unbind()) for low, high in corners)
    shape = (4 / math.pi**2) * (wanted - angle).square()
    with torch.no_grad():
        factor = _ratio(shape, 1 - both.iou + shape)
    return _reduce(1 - both.iou + _distance(*corners, both) + factor * shape, weight, reduction)


_Corners = tuple[Tensor, ...]
"""Top left and bottom right (2, N): x in the first row, y in the second."""


class _Overlap(NamedTuple):
    """For each pair: IoU (N,), area of the union (N,), and width and height of the box around both (2, N)."""

    iou: Tensor
    union: Tensor
    around: Tensor


def _overlap(pred: _Corners, target: _Corners) -> _Overlap:
    (low, high), (other_low, other_high) = pred, target
    shared = _area((high.minimum(other_high) - low.maximum(other_low)).clamp(min=0))
    around = high.maximum(other_high) - low.minimum(other_low)
    union = _area(high - low) + _area(other_high - other_low) - shared
    return _Overlap(_ratio(shared, union), union, around)


def _area(sides: Tensor) -> Tensor:
    """Return the areas for widths and heights (2, N)."""
    width, height = sides.unbind()
    return width * height


def _distance(pred: _Corners, target: _Corners, both: _Overlap) -> Tensor:
    apart = (pred[0] + pred[1] - target[0] - target[1]) / 2
    return _ratio(apart.square().sum(0), both.around.square().sum(0))


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return the quotient of numbers of at least 0; 0 with gradient 0 where the divisor is 0."""
    some = whole > 0
    return torch.where(some, part, 0) / (whole + ~some)


def _prepare(pred: Tensor, target: Tensor) -> tuple[_Corners, _Corners]:
    """Return the corners, with numbers that are computed with each other one after the other in memory."""
    corners, others = (torch.stack(boxes.unbind(1)).chunk(2) for boxes in _checked(pred, target))
    return corners, others


def _checked(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both (N, 4) in the type to compute with, float32 at least."""
    for name, boxes in (("pred", pred), ("target", target)):
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
            raise ValueError(f"{name}: expected floating (N, 4), got {boxes.dtype} {tuple(boxes.shape)}")
    if pred.shape != target.shape:
        raise ValueError(f"target: expected shape {tuple(pred.shape)} to match pred, got {tuple(target.shape)}")
    for name, boxes in (("pred", pred), ("target", target)):
        if len(boxes) and (boxes[:, 2:] - boxes[:, :2]).detach().amin() < 0:
            swapped = (boxes[:, 2:] < boxes[:, :2]).any(1).nonzero()[:, 0]
            row, more = int(swapped[0]), f" and {len(swapped) - 1} more" if len(swapped) > 1 else ""
            raise ValueError(
                f"{name}: expected x1 <= x2 and y1 <= y2, got {boxes[row].tolist()} in row {row}{more}; sort the "
                "corners, or predict sides that cannot be negative"
            )
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)


def _reduce(values: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Reduce values (N,) or (N, 4)."""
    checks.choice("reduction", reduction, ["mean", "sum", "none"])
    total = max(values.numel(), 1)
    if weight is not None:
        _check_weight(weight, len(values))
        factors = weight.to(values.dtype).view(-1, *[1] * (values.ndim - 1)).expand_as(values)
        values = values * factors
        if reduction == "mean":
            return _ratio(values.sum(), factors.sum())
    if reduction == "none":
        return values
    return values.sum() / total if reduction == "mean" else values.sum()


def _check_weight(weight: Tensor, boxes: int) -> None:
    if weight.shape != (boxes,) or not weight.is_floating_point():
        raise ValueError(
            f"weight: expected floating ({boxes},), one for each box, got {weight.dtype} {tuple(weight.shape)}"
        )
    if not (weight.isfinite() & (weight >= 0)).all():
        raise ValueError(
            f"weight: expected finite numbers of at least 0, got from {weight.min():g} to {weight.max():g}"
        )
