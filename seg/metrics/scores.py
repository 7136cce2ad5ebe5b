"""Scores from counts: IoU over the set, by image and by class, worst images, boundary F1, calibration. Plain NumPy.

Counts are integers that add up, so that a set of any size is evaluated in flat memory and distributed processes agree
exactly. ``per_image.csv`` of a run folder holds the counts ``(images, C, 3)`` that the first functions take: pixels of
intersection, prediction and target of every class in every image.

Three means of one score, after Wang et al., "Revisiting Evaluation Metrics for Semantic Segmentation" (NeurIPS 2023):

- **D**, over the dataset: counts are summed over images first; the mean goes over the classes that occur in target or
  prediction.
- **I**, by image: the mean over the classes that the image's target has, then over images. Small objects count like
  large ones, and every image counts the same.
- **C**, by class: for each class the mean over the images whose target has it, then over classes.

What does not occur is NaN and left out of means; an image without a labelled pixel is left out of I and C.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

POLICY = (
    "D: pixels of all images summed, mean over classes in target or prediction; I: mean over the classes in an image's "
    "target, then over images; C: mean over the images whose target has a class, then over classes"
)
"""What the letters mean, and which classes a mean leaves out: for whatever shows such scores."""


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
        """Return plain data for ``metrics.json`` and ``metrics.jsonl``: means, then IoU and Dice by class name."""
        return {
            "miou": self.miou,
            "mdice": self.mdice,
            "accuracy": self.accuracy,
            "iou": dict(zip(names, self.iou, strict=True)),
            "dice": dict(zip(names, self.dice, strict=True)),
        }


def scores_of(counts: ArrayLike) -> Scores:
    """Compute scores (D) from counts (C, 3) that were summed over images."""
    counts = np.asarray(counts)
    intersection, prediction, target = counts.astype(np.float64).T
    iou = ratio(intersection, prediction + target - intersection)
    dice = ratio(2 * intersection, prediction + target)
    return Scores(
        iou=tuple(iou.tolist()),
        dice=tuple(dice.tolist()),
        precision=tuple(ratio(intersection, prediction).tolist()),
        recall=tuple(ratio(intersection, target).tolist()),
        target=tuple(counts[:, 2].tolist()),
        miou=float(mean(iou)),
        mdice=float(mean(dice)),
        accuracy=float(ratio(intersection.sum(), target.sum())),
    )


def majority_scores(counts: ArrayLike, majority: int | None = None) -> Scores:
    """Score the majority-class baseline, which predicts one class for every pixel.

    Args:
        counts: (C, 3) as for `scores_of`; only the target column is read.
        majority: the class predicted; by default the most frequent one of the target.
    """
    target = np.asarray(counts)[:, 2]
    majority = int(target.argmax()) if majority is None else majority
    constant = np.zeros((len(target), 3), np.int64)
    constant[:, 2] = target
    constant[majority, :2] = target[majority], target.sum()
    return scores_of(constant)


def image_ious(counts: ArrayLike) -> Floats:
    """Compute the IoU of each image and class (images, C); NaN where the image's target lacks the class.

    Args:
        counts: (images, C, 3).
    """
    intersection, prediction, target = np.moveaxis(np.asarray(counts).astype(np.float64), -1, 0)
    return np.where(target > 0, ratio(intersection, prediction + target - intersection), np.nan)


def image_means(values: Floats) -> Floats:
    """Return the mean over the classes of each image (images,), of values (images, C); NaN without any."""
    return mean(values, axis=1)


def class_means(values: Floats) -> Floats:
    """Return the mean over its images of each class (C,), from values (images, C); NaN for a class without any."""
    return mean(values, axis=0)


def by_image(values: Floats) -> float:
    """Return the mean I of values (images, C)."""
    return float(mean(image_means(values)))


def by_class(values: Floats) -> float:
    """Return the mean C of values (images, C)."""
    return float(mean(class_means(values)))


def worst(values: Floats) -> Floats:
    """Return the worst-q curve (100,): the mean of the lowest q % of the values (images,), q = 1..100.

    Of N values that are not NaN, the lowest ``max(1, floor(q N / 100))`` count, as in the code of Wang et al.
    """
    known = np.sort(values[~np.isnan(values)])
    if not known.size:
        return np.full(100, np.nan)
    taken = np.maximum(np.arange(1, 101) * known.size // 100, 1)
    curve: Floats = np.cumsum(known)[taken - 1] / taken
    return curve


def boundary_f1(counts: ArrayLike) -> Floats:
    """Compute boundary F1 of each image and class (images, C); NaN where the target has no boundary of the class.

    The harmonic mean of precision (share of the predicted boundary near the target's) and recall (share of the
    target's boundary near the predicted one); Csurka et al., "What is a good evaluation measure for semantic
    segmentation?" (BMVC 2013). 0 where there is no predicted boundary, or nothing is near.

    Args:
        counts: (images, C, 4) boundary pixels: predicted, target, predicted that are near, target that are near; see
            `seg.metrics.Boundaries`.
    """
    predicted, target, predicted_near, target_near = np.moveaxis(np.asarray(counts).astype(np.float64), -1, 0)
    precision, recall = ratio(predicted_near, predicted), ratio(target_near, target)
    found = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return np.where(target > 0, found, np.nan)


def surface_dice(counts: ArrayLike) -> Floats:
    """Compute the normalised surface Dice (images, C): share of both boundaries that is near the other one.

    Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck anatomy" (2018);
    boundary pixels stand for surface elements. NaN where the target has no boundary of the class.

    Args:
        counts: (images, C, 4), as for `boundary_f1`.
    """
    predicted, target, predicted_near, target_near = np.moveaxis(np.asarray(counts).astype(np.float64), -1, 0)
    return np.where(target > 0, ratio(predicted_near + target_near, predicted + target), np.nan)


def calibration_error(bins: ArrayLike) -> Floats:
    """Return the expected calibration error, in 0..1: the mean over pixels of |accuracy - confidence| of their bin.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning" (AAAI 2015).

    Args:
        bins: (..., B, 3): labelled pixels of each bin of confidence, sum of their confidences, how many are right; see
            `seg.metrics.counting.count`. Summed over images it gives the pooled error, else that of each image.

    Returns:
        (...); NaN where there is no labelled pixel.
    """
    pixels, confidence, right = np.moveaxis(np.asarray(bins).astype(np.float64), -1, 0)
    return ratio(np.abs(right - confidence).sum(-1), pixels.sum(-1))


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Return ``numerator / denominator``, NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator != 0, numerator / denominator, np.nan)


def mean(values: Floats, axis: int | None = None) -> Floats:
    """Return the mean of what is not NaN; NaN where nothing is."""
    return ratio(np.nansum(values, axis), (~np.isnan(values)).sum(axis))
