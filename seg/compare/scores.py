"""What is compared: scores of the same images by several trained models, and metrics as ratios of sums over images."""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from seg.files import checks
from seg.metrics.catalogue import KNOWN, SHARE, Metric, of_images
from seg.metrics.scores import image_means, mean, ratio

Floats = NDArray[np.float64]

COUNTED = ("miou", "miou_i", "miou_c", "mdice", "accuracy")
"""Metrics that follow from pixel counts, in 0..1, as ``iou.NAME`` of a class does; others are means over images of
given values."""

_OF_CLASS = "iou."


def is_counted(metric: str) -> bool:
    """Tell whether a metric follows from pixel counts."""
    return metric in COUNTED or metric.startswith(_OF_CLASS)


def class_metrics(classes: Sequence[str]) -> list[str]:
    """Name the IoU of each class."""
    return [_OF_CLASS + name for name in classes]


def measure(name: str, catalogue: Mapping[str, Metric] = KNOWN) -> Metric | None:
    """Describe what runs are compared by under this name; None if it is not known which way is better."""
    if name.startswith(_OF_CLASS):
        return Metric(name, f"IoU of {name.removeprefix(_OF_CLASS)}")
    return catalogue.get(name) if name in COUNTED else of_images(name, catalogue)


def check_rope(rope: object, metric: str) -> None:
    """Refuse a difference that cannot be one of this metric; None is the usual one.

    Raises:
        ValueError: what was expected.
    """
    known = measure(metric)
    widest = 1.0 if known is not None and known.unit == SHARE else math.inf
    if rope is not None and not (checks.is_number(rope) and 0 <= rope < widest):
        raise ValueError(
            f"rope: expected a difference in units of the metric, from 0{' to below 1' * (widest == 1)}, got {rope!r}; "
            "give 0.005 for half a point"
        )


@dataclass(frozen=True)
class LevelScores:
    """The runs of one level.

    Attributes:
        seeds: (S,) of the runs.
        counts: (S, images, C, 3) pixels: intersection, prediction, target.
        values: metric -> (S, images) value of each image, NaN where the image does not define it.
        classes: (C,) names, which ``iou.NAME`` needs.
    """

    seeds: tuple[int, ...]
    counts: NDArray[np.int64]
    values: Mapping[str, Floats] = field(default_factory=dict)
    classes: Sequence[str] = ()

    def only(self, metric: str) -> slice:
        """Return the classes that a metric is about: one, or all."""
        if not metric.startswith(_OF_CLASS):
            return slice(None)
        index = class_metrics(self.classes).index(metric)
        return slice(index, index + 1)


@dataclass(frozen=True)
class Sums:
    """A metric of each run as the mean over k of ``sum of numerator[k] / sum of denominator[k]``, sums over images.

    Every metric has this form; so that what it would be without an image, or without a group of them, is a subtraction.

    Attributes:
        numerator, denominator: (images or groups, S, K).
    """

    numerator: Floats
    denominator: Floats

    def grouped(self, groups: NDArray[np.intp]) -> "Sums":
        """Return sums over the images of each group; a group of one image is the image.

        Args:
            groups: (images,) in 0..G - 1.
        """
        if len(groups) == groups.max() + 1:
            return self
        shape = (groups.max() + 1, *self.numerator.shape[1:])
        numerator, denominator = np.zeros(shape), np.zeros(shape)
        np.add.at(numerator, groups, self.numerator)
        np.add.at(denominator, groups, self.denominator)
        return Sums(numerator, denominator)

    def scores(self) -> Floats:
        """Return the metric of each run (S,)."""
        return mean(self.ratios(), axis=1)

    def ratios(self) -> Floats:
        """Return (S, K), NaN where nothing was counted."""
        return ratio(self.numerator.sum(0), self.denominator.sum(0))

    def without_each(self) -> Floats:
        """Return the ratios (images or groups, S, K) of all images but one: the jackknife."""
        return ratio(self.numerator.sum(0) - self.numerator, self.denominator.sum(0) - self.denominator)


def sums(sample: LevelScores, metric: str) -> Sums:
    """Return the metric as ratios of sums; see `seg.metrics.scores` for the means D (``miou``), I and C.

    Args:
        metric: one of `COUNTED`, the IoU of a class, or a key of ``values``.
    """
    counts = sample.counts[:, :, sample.only(metric)]
    intersection, prediction, target = np.moveaxis(counts, 3, 0).astype(np.float64)
    union = prediction + target - intersection
    if metric == "miou" or metric.startswith(_OF_CLASS):
        parts = intersection, union
    elif metric == "mdice":
        parts = 2 * intersection, prediction + target
    elif metric == "accuracy":
        parts = intersection.sum(-1, keepdims=True), target.sum(-1, keepdims=True)
    elif metric == "miou_c":
        parts = _known(_present(ratio(intersection, union), target))
    elif metric == "miou_i":
        parts = _known(mean(_present(ratio(intersection, union), target), axis=2)[..., None])
    else:
        parts = _known(sample.values[metric][..., None])
    numerator, denominator = (np.ascontiguousarray(part.swapaxes(0, 1)) for part in parts)
    return Sums(numerator, denominator)


@dataclass(frozen=True)
class Scored:
    """The scores of a level.

    Attributes:
        sample: whose scores these are.
        scores: (S,) of each seed on all images.
        without: (n, S) without each image, or group.
        class_iou, class_without: (S, C) and (n, S, C) IoU over the dataset, NaN where a class does not occur.
    """

    sample: LevelScores
    scores: Floats
    without: Floats
    class_iou: Floats
    class_without: Floats

    def of_seeds(self, seeds: Sequence[int]) -> tuple[Floats, Floats]:
        """Return scores, and scores without each image, of the runs with these seeds, in this order."""
        runs = [self.sample.seeds.index(seed) for seed in seeds]
        return self.scores[runs], self.without[:, runs]

    def among(self, seeds: Collection[int]) -> "Scored":
        """Return what there would be without the runs of other seeds."""
        kept = [run for run, seed in enumerate(self.sample.seeds) if seed in seeds]
        return Scored(
            replace(
                self.sample,
                seeds=tuple(self.sample.seeds[run] for run in kept),
                counts=self.sample.counts[kept],
                values={metric: values[kept] for metric, values in self.sample.values.items()},
            ),
            self.scores[kept],
            self.without[:, kept],
            self.class_iou[kept],
            self.class_without[:, kept],
        )


def scored(sample: LevelScores, metric: str, groups: NDArray[np.intp]) -> Scored:
    """Return scores with and without each image, or group.

    Args:
        groups: (images,) as numbers, see `group_numbers`.
    """
    wanted, iou = (sums(sample, name).grouped(groups) for name in (metric, "miou"))
    return Scored(sample, wanted.scores(), mean(wanted.without_each(), axis=2), iou.ratios(), iou.without_each())


def image_scores(sample: LevelScores, metric: str, groups: NDArray[np.intp]) -> Floats:
    """Return a score of each image or group (G,), averaged over seeds, then over its images; NaN if not defined.

    An image's score is the mean over the classes of its target of IoU or Dice, its accuracy, or its given value.
    """
    counts = sample.counts[:, :, sample.only(metric)]
    intersection, prediction, target = np.moveaxis(counts, 3, 0).astype(np.float64)
    if metric == "accuracy":
        by_run = ratio(intersection.sum(-1), target.sum(-1))
    elif is_counted(metric):
        dice = metric == "mdice"
        union = prediction + target if dice else prediction + target - intersection
        values = _present(ratio(intersection * (2 if dice else 1), union), target)
        by_run = np.stack([image_means(run) for run in values])
    else:
        by_run = sample.values[metric]
    scores = mean(by_run, axis=0)
    known = ~np.isnan(scores)
    total = np.bincount(groups, np.where(known, scores, 0))
    return ratio(total, np.bincount(groups, known))


def group_numbers(groups: Sequence[Hashable] | None, images: int) -> NDArray[np.intp]:
    """Return groups as numbers 0..G - 1 in order of appearance (images,); each image is its own by default."""
    numbers: dict[Hashable, int] = {}
    groups = range(images) if groups is None else groups
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.intp)


def _present(values: Floats, target: Floats) -> Floats:
    return np.where(target > 0, values, np.nan)


def _known(values: Floats) -> tuple[Floats, Floats]:
    known = ~np.isnan(values)
    return np.where(known, values, 0.0), known.astype(np.float64)


def check_levels(samples: Mapping[str, LevelScores], metric: str, groups: Sequence[Hashable] | None) -> None:
    """Make sure that the samples can be compared.

    Raises:
        ValueError: the reason why they cannot.
    """
    if not samples:
        raise ValueError("levels: expected at least one, got none; give the runs of each level")
    first = next(iter(samples.values()))
    for name, sample in samples.items():
        _check_counts(name, sample)
        if sample.counts.shape[1:] != first.counts.shape[1:]:
            (images, classes), (others, more) = first.counts.shape[1:3], sample.counts.shape[1:3]
            raise ValueError(
                f"{name}: expected {images} images and {classes} classes as for the first level, got {others} and "
                f"{more}; compare runs that were judged on the same images"
            )
        if (sample.counts[..., 2] != first.counts[:1, ..., 2]).any():
            raise ValueError(
                f"{name}: expected the same target pixels in every run, got others; give the images of all runs in "
                "the same order"
            )
        _check_values(name, sample, metric, first)
    if groups is not None and len(groups) != first.counts.shape[1]:
        raise ValueError(
            f"groups: expected one for each of {first.counts.shape[1]} images, got {len(groups)}; leave groups out to "
            "treat every image as one of its own"
        )
    if len(_scored_in(first, metric, groups)) < 2:
        what = "images" if groups is None else "groups of images"
        raise ValueError(f"{metric}: expected a score in at least 2 {what}, got fewer; judge the runs on more images")


def _scored_in(sample: LevelScores, metric: str, groups: Sequence[Hashable] | None) -> set[Hashable]:
    """Return the images or groups in which the metric is defined."""
    if is_counted(metric):
        known = sample.counts[0, :, sample.only(metric), 2].any(1)
    else:
        known = ~np.isnan(sample.values[metric][0])
    return {i if groups is None else groups[i] for i in np.flatnonzero(known).tolist()}


def _check_counts(name: str, sample: LevelScores) -> None:
    counts, seeds = sample.counts, sample.seeds
    if counts.ndim != 4 or counts.shape[3] != 3 or counts.shape[0] != len(seeds) or not seeds or not counts.shape[2]:
        raise ValueError(
            f"{name}: expected counts (seeds, images, classes, 3) of {len(seeds)} seeds, got shape {counts.shape}; "
            "stack the counts of the runs"
        )
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{name}: expected each seed once, got {sorted(seeds)}; leave the repeated run out")
    if counts.shape[1] < 2:
        raise ValueError(f"{name}: expected at least 2 images, got {counts.shape[1]}; judge the runs on more")
    if not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"{name}: expected counts as whole numbers, got {counts.dtype}; give numbers of pixels")
    intersection, prediction, target = np.moveaxis(counts, 3, 0)
    wrong = (intersection < 0) | (intersection > np.minimum(prediction, target))
    if wrong.any():
        seed, image, index = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name}: expected an intersection within prediction and target, got {counts[seed, image, index].tolist()} "
            f"for seed {seeds[seed]}, image {image}, class {index}; the counts were mixed up"
        )
    if not target.any():
        raise ValueError(f"{name}: expected labelled pixels, got none; judge the runs on images with labels")


def _check_values(name: str, sample: LevelScores, metric: str, first: LevelScores) -> None:
    if metric in (*COUNTED, *class_metrics(sample.classes)):
        return
    if metric not in sample.values:
        known = ", ".join([*COUNTED, *class_metrics(sample.classes), *sorted(sample.values)])
        raise ValueError(f"metric: expected one of {known}, got '{metric}' for {name}; give another one")
    values = sample.values[metric]
    if values.shape != sample.counts.shape[:2]:
        raise ValueError(
            f"{name}: expected {metric} as (seeds, images) {sample.counts.shape[:2]}, got {values.shape}; give one "
            "value for each run and image"
        )
    undefined = np.isnan(values)
    if np.isinf(values).any() or undefined.all() or (undefined != np.isnan(first.values[metric][:1])).any():
        raise ValueError(
            f"{name}: expected {metric} to be a number for the same images in every run, got NaN or infinite values; "
            "compare another metric, or leave these runs out"
        )
