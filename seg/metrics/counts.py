"""Pixel counts of one image, which `seg.metrics.scores` turns into scores; ignored pixels (255) count nowhere."""

import torch
from torch import Tensor

from seg.labels import IGNORE


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int) -> Tensor:
    """Pixel counts of every (target, prediction) pair.

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


def image_counts(matrix: Tensor) -> Tensor:
    """What paired statistics need of one image: (C, C) confusion matrix -> (C, 3) int64 pixel counts.

    Columns: intersection, prediction, target.
    """
    return torch.stack([matrix.diagonal(), matrix.sum(0), matrix.sum(1)], dim=1)
