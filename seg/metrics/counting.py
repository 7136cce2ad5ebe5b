"""One pass over logits: prediction, confusion matrices, and how right the model is at each confidence.

On the CPU native code reads logits in float32, bfloat16 or float16 once, contiguous or channels_last; everything else
takes the plain path, and with ``SEG_FUSED=0`` in the environment all does. Prediction and confusion are the same to the
bit; confidences agree to rounding.
"""

import os
from typing import NamedTuple

import torch
from torch import Tensor

from seg.labels import IGNORE


class Counted(NamedTuple):
    """What `count` found in a batch, on the device of the logits; of Apple's GPUs on the CPU, as they lack float64.

    Attributes:
        prediction: (N, H, W) uint8, the class of the largest logit; the first of equal ones, and NaN above all others.
        confusion: (N, C, C) int64 pixels; row = target, column = prediction.
        bins: (N, B, 3) float64; labelled pixels of each bin of confidence, sum of their confidences, and how many of
            them are right.
    """

    prediction: Tensor
    confusion: Tensor
    bins: Tensor


def count(logits: Tensor, mask: Tensor, *, bins: int = 0) -> Counted:
    """Count a batch; ignored pixels (255) count nowhere.

    On a GPU it waits for the device once, to learn whether the mask is right, and copies nothing else.

    Args:
        logits: (N, C, H, W), at most 256 classes.
        mask: (N, H, W) uint8, 255 = ignore.
        bins: number B of bins of equal width over [0, 1], each closed at its upper bound (0.2 lies in 0.1..0.2), for
            the confidence: the softmax of the predicted class, in float32, or float64 for logits in float64 (Guo et
            al., "On calibration of modern neural networks", 2017). torchmetrics closes bins at the lower bound instead.

    Raises:
        ValueError: a mask value outside 0..C-1 that is not 255; shapes that do not fit; too many classes.
    """
    n, classes, *size = logits.shape
    if mask.shape != (n, *size):
        raise ValueError(
            f"mask: expected shape {(n, *size)} to match logits, got {tuple(mask.shape)}; give one class index "
            "for each pixel"
        )
    if not 1 <= classes <= 256:
        raise ValueError(f"logits: expected 1..256 classes, as masks of 8 bits have them, got {classes}; merge classes")
    if logits.device.type == "mps":
        logits, mask = logits.cpu(), mask.cpu()
    return _native(logits, mask, bins) or _plain(logits, mask, bins)


def _native(logits: Tensor, mask: Tensor, bins: int) -> Counted | None:
    """Count natively; None where the plain path must be taken, if only to say which mask is wrong."""
    readable = (
        type(logits) is Tensor  # a subclass may have no memory to view
        and logits.device.type == mask.device.type == "cpu"
        and logits.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and mask.dtype in (torch.uint8, torch.int64)
        and os.environ.get("SEG_FUSED") != "0"
        and not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
    )
    if not readable:
        return None
    try:
        from seg import _losses
    except ImportError:  # a checkout where it was not built
        return None
    logits = logits.detach()
    logits = logits.float() if logits.dtype == torch.float16 else logits
    scores = logits.view(torch.uint16) if logits.dtype == torch.bfloat16 else logits  # NumPy has no bfloat16
    *found, in_range = _losses.count(scores.numpy(), mask.contiguous().numpy(), bins, threads=torch.get_num_threads())
    return Counted(*map(torch.from_numpy, found)) if in_range else None


def _plain(logits: Tensor, mask: Tensor, bins: int) -> Counted:
    n, classes = logits.shape[:2]
    prediction, valid = logits.argmax(1), mask != IGNORE
    if bool((valid & ((mask < 0) | (mask >= classes))).any()):
        for one, target in zip(prediction, mask, strict=True):
            confusion_matrix(one, target, classes)  # raises
    image = torch.arange(n, device=logits.device).view(-1, 1, 1)
    # ignored pixels have a cell of their own, behind all others: to drop them before, a GPU would have to be asked how
    # many they are; for the same reason this is no bincount
    cells = n * classes**2
    pair = torch.where(valid, (image * classes + mask.long()) * classes + prediction, cells).flatten()
    confusion = pair.new_zeros(cells + 1).scatter_add_(0, pair, torch.ones_like(pair))[:-1]
    table = torch.zeros(n * bins + 1, 3, dtype=torch.float64, device=logits.device)
    if bins:
        sure = (logits if logits.dtype == torch.float64 else logits.float()).softmax(1).amax(1)
        place = (sure * bins).ceil().nan_to_num(1).clamp(1, bins).long() - 1
        place = torch.where(valid, image * bins + place, n * bins).flatten()
        columns = torch.ones_like(sure), sure, prediction == mask
        table.index_add_(0, place, torch.stack([column.double().flatten() for column in columns], 1))
    return Counted(prediction.to(torch.uint8), confusion.view(n, classes, classes), table[:-1].view(n, bins, 3))


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int) -> Tensor:
    """Count the pixels of every (target, prediction) pair.

    Args:
        prediction: class indices, any shape, integer.
        target: class indices of the same shape, integer, 255 = ignore.
        classes: number of classes C.

    Returns:
        (C, C) int64; row = target, column = prediction.

    Raises:
        ValueError: shapes differ, or an index is outside 0..C-1 where the target is not ignored.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    valid = target != IGNORE
    target, prediction = target[valid].long(), prediction[valid].long()
    for name, index in (("target", target), ("prediction", prediction)):
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < classes:
            raise ValueError(f"{name}: class indices are 0..{classes - 1}, got {int(index.min())}..{int(index.max())}")
    return torch.bincount(target * classes + prediction, minlength=classes**2).view(classes, classes)


def counted_masks(prediction: Tensor, mask: Tensor, classes: int) -> Counted:
    """Count predicted masks (N, H, W) uint8 instead of logits; without confidences.

    Raises:
        ValueError: one of them has no class at a pixel that is labelled.
    """
    pairs = zip(prediction, mask, strict=True)
    confusion = torch.stack([confusion_matrix(one, target, classes) for one, target in pairs])
    return Counted(prediction, confusion, torch.zeros(len(mask), 0, 3, dtype=torch.float64))
