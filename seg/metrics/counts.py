"""Scores from pixel counts: confusion matrix -> IoU, Dice, accuracy; per class, per image, over a set.

Counts are integers and add up, so that a set of any size is evaluated in flat memory and distributed processes
agree exactly. Ignored pixels (255) count nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Scores:
    """Scores of a set of pixels; NaN where a class occurs in neither target nor prediction.

    Attributes:
        iou, dice, precision, recall: one value a class, in 0..1 or NaN.
        target: labelled pixels a class.
        miou, mdice: means over the classes that occur in target or prediction.
        accuracy: share of the labelled pixels that are right.
    """

    iou: tuple[float, ...]
    dice: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    target: tuple[int, ...]
    miou: float
    mdice: float
    accuracy: float

    def named(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain data for ``metrics.json`` and ``metrics.jsonl``: means, then IoU and Dice by class name."""
        return {
            "miou": self.miou,
            "mdice": self.mdice,
            "accuracy": self.accuracy,
            "iou": dict(zip(names, self.iou, strict=True)),
            "dice": dict(zip(names, self.dice, strict=True)),
        }


def scores(counts: Tensor) -> Scores:
    """Scores from summed counts (C, 3) as `image_counts` gives them (sum over images first, then divide)."""
    intersection, prediction, target = counts.to(torch.float64).unbind(1)
    iou = intersection / (prediction + target - intersection)
    dice = 2 * intersection / (prediction + target)
    return Scores(
        iou=tuple(iou.tolist()),
        dice=tuple(dice.tolist()),
        precision=tuple((intersection / prediction).tolist()),
        recall=tuple((intersection / target).tolist()),
        target=tuple(counts[:, 2].tolist()),
        miou=float(iou.nanmean()),
        mdice=float(dice.nanmean()),
        accuracy=float(intersection.sum() / target.sum()),
    )


def majority_scores(counts: Tensor, majority: int | None = None) -> Scores:
    """Scores of the majority-class baseline, which predicts one class for every pixel.

    Args:
        counts: (C, 3) as for `scores`; only the target column is read.
        majority: the class predicted; by default the most frequent one of the target.
    """
    target = counts[:, 2]
    majority = int(target.argmax()) if majority is None else majority
    constant = torch.zeros_like(counts)
    constant[:, 2] = target
    constant[majority, 0] = target[majority]
    constant[majority, 1] = target.sum()
    return scores(constant)
