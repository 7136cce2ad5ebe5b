"""Losses of bounding boxes: ``(pred, target, *, reduction="mean") -> scalar``.

Boxes are rows ``xyxy``: ``pred (N, 4)`` and ``target (N, 4)`` floating, paired row by row. A box whose corners are
swapped has no area. A ratio whose divisor is 0 is 0, so that values and gradients stay finite: two boxes without area
have IoU 0, even if they are equal. Half precision is computed in float32, and without boxes the loss is 0.
``reduction`` is ``mean`` (over the N boxes; `smooth_l1`: over the 4 N numbers), ``sum`` or ``none``; in a distributed
run each process takes the mean over its own boxes.

Raises:
    ValueError: an option out of range, or boxes of the wrong shape or type.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seg.losses._check import check_choice, check_number
from seg.losses._regions import divide

Reduction = Literal["mean", "sum", "none"]


def smooth_l1(pred: Tensor, target: Tensor, *, beta: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """``d^2 / (2 beta)`` where ``d = |pred - target| < beta``, else ``d - beta / 2``, per number (Girshick 2015)."""
    check_number("beta", beta)
    pred, target = _prepare(pred, target)
    return _reduce(F.smooth_l1_loss(pred, target, reduction="none", beta=beta), reduction)


def iou(
    pred: Tensor, target: Tensor, *, form: Literal["linear", "log"] = "linear", reduction: Reduction = "mean"
) -> Tensor:
    """``1 - IoU``, or ``-ln IoU`` (Yu et al. 2016, UnitBox) with IoU clamped to the machine epsilon.

    Boxes that do not overlap have no gradient.
    """
    check_choice("form", form, "linear", "log")
    overlap = _overlap(*_prepare(pred, target)).iou
    if form == "linear":
        return _reduce(1 - overlap, reduction)
    return _reduce(-overlap.clamp(min=torch.finfo(overlap.dtype).eps).log(), reduction)


def giou(pred: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """``1 - IoU + (A - U) / A`` with U the union and A the box around both (Rezatofighi et al. 2019)."""
    both = _overlap(*_prepare(pred, target))
    around = both.width * both.height
    return _reduce(1 - both.iou + divide(around - both.union, around), reduction)


def diou(pred: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """``1 - IoU + d^2 / c^2``: d between the centres, c the diagonal of the box around both (Zheng et al. 2020)."""
    pred, target = _prepare(pred, target)
    both = _overlap(pred, target)
    return _reduce(1 - both.iou + _distance(pred, target, both), reduction)


def ciou(pred: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """`diou` ``+ a v`` with ``v = (4 / pi^2) (difference of atan(w / h))^2`` and ``a = v / (1 - IoU + v)``.

    Zheng et al. 2020; ``a`` is a weight and has no gradient.
    """
    pred, target = _prepare(pred, target)
    both = _overlap(pred, target)
    # atan2(w, h) and not atan(w / h): value and slope stay finite for a box without height
    angle, wanted = (torch.atan2(*_size(box)) for box in (pred, target))
    shape = (4 / math.pi**2) * (wanted - angle).square()
    with torch.no_grad():
        weight = divide(shape, 1 - both.iou + shape)
    return _reduce(1 - both.iou + _distance(pred, target, both) + weight * shape, reduction)


class _Overlap(NamedTuple):
    """For each pair (N,): IoU, area of the union, width and height of the box around both."""

    iou: Tensor
    union: Tensor
    width: Tensor
    height: Tensor


def _overlap(pred: Tensor, target: Tensor) -> _Overlap:
    inner = torch.cat([pred[:, :2].maximum(target[:, :2]), pred[:, 2:].minimum(target[:, 2:])], 1)
    outer = torch.cat([pred[:, :2].minimum(target[:, :2]), pred[:, 2:].maximum(target[:, 2:])], 1)
    shared, one, other = (width * height for width, height in map(_size, (inner, pred, target)))
    union = one + other - shared
    return _Overlap(divide(shared, union), union, *_size(outer))


def _size(box: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height (N,), 0 where corners are swapped."""
    width, height = (box[:, 2:] - box[:, :2]).clamp(min=0).unbind(1)
    return width, height


def _distance(pred: Tensor, target: Tensor, both: _Overlap) -> Tensor:
    apart = (pred[:, :2] + pred[:, 2:] - target[:, :2] - target[:, 2:]) / 2
    return divide(apart.square().sum(1), both.width.square() + both.height.square())


def _prepare(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    for name, boxes in (("pred", pred), ("target", target)):
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
            raise ValueError(f"{name}: expected floating (N, 4), got {boxes.dtype} {tuple(boxes.shape)}")
    if pred.shape != target.shape:
        raise ValueError(f"target: expected shape {tuple(pred.shape)} to match pred, got {tuple(target.shape)}")
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)


def _reduce(values: Tensor, reduction: str) -> Tensor:
    check_choice("reduction", reduction, "mean", "sum", "none")
    if reduction == "none":
        return values
    return values.sum() / max(values.numel(), 1) if reduction == "mean" else values.sum()
