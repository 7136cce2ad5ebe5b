"""How far a mean over seeds and images may lie from the truth: variance in parts, intervals, and what more data do."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from seg.scores import mean

Floats = NDArray[np.float64]
Interval = tuple[float, float]

MOST = 1_000_000
"""More seeds or images than this are never asked for."""


@dataclass(frozen=True)
class Spread:
    """The variance of a mean over S seeds that were all judged on the same n images, in parts that add up.

    Seeds and images are crossed, as readers and cases are in radiology, and the variances are found as there: the
    bootstrap over images sees what images do and what images do differently to each seed (the remainder); the scatter
    of the seeds' scores sees what seeds do and the remainder once more. Gallas, "One-shot estimate of MRMC variance:
    AUC" (Academic Radiology 2006); Obuchowski and Rockette, "Hypothesis testing of diagnostic accuracy for multiple
    readers and multiple tests" (Communications in Statistics 1995). Degrees of freedom after Satterthwaite, as Hillis,
    "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis" (Statistics in Medicine
    2007), with a term for the images, whose variance he takes for known.

    Attributes:
        seeds: variance that more seeds would reduce; None for one seed, which does not show it.
        images: variance that more images would reduce.
        remainder: variance that either would reduce; 0 for one seed, where it is part of ``images``.
        seed_count: S.
        seed_degrees: degrees of freedom of the scatter of seeds, S - 1.
        image_count: n.
    """

    seeds: float | None
    images: float
    remainder: float
    seed_count: int
    seed_degrees: float
    image_count: int

    def error(self, *, new_seeds: bool) -> float:
        """Standard error; of these very seeds on new images, or of new seeds on new images."""
        return math.sqrt(self.images + self.remainder + ((self.seeds or 0.0) if new_seeds else 0.0))

    def degrees(self, *, new_seeds: bool) -> float:
        """Degrees of freedom of the squared standard error."""
        if not new_seeds or self.seeds is None:
            return self.image_count - 1.0
        by_seeds = self.seeds + self.remainder
        doubt = by_seeds**2 / self.seed_degrees + self.images**2 / (self.image_count - 1)
        return (by_seeds + self.images) ** 2 / doubt if doubt > 0 else self.image_count - 1.0

    def interval(self, center: float, *, new_seeds: bool, level: float = 0.95) -> Interval:
        """Student's t interval around a mean."""
        reach = self.error(new_seeds=new_seeds) * float(stdtrit(self.degrees(new_seeds=new_seeds), (1 + level) / 2))
        return center - reach, center + reach

    def below(self, bound: float, center: float, *, new_seeds: bool) -> float:
        """Probability that the truth is below a bound: the share of Student's t around the mean."""
        error = self.error(new_seeds=new_seeds)
        if error == 0:
            return float(center < bound)
        return float(stdtr(self.degrees(new_seeds=new_seeds), (bound - center) / error))

    def scaled(self, *, seeds: int = 0, images: int = 0) -> "Spread":
        """What is expected with so many more seeds or images of the same kind."""
        by_seeds, by_images = 1 + seeds / self.seed_count, 1 + images / self.image_count
        return replace(
            self,
            seeds=None if self.seeds is None else self.seeds / by_seeds,
            images=self.images / by_images,
            remainder=self.remainder / by_seeds / by_images,
            seed_count=self.seed_count + seeds,
            seed_degrees=self.seed_degrees * (self.seed_count + seeds - 1) / max(self.seed_count - 1, 1),
            image_count=self.image_count + images,
        )


def spread(scores: Floats, draws: Floats, images: int) -> Spread:
    """The parts of the variance of the mean of several seeds.

    Args:
        scores: (S,) of each seed on all images.
        draws: (draws, S) of each seed on resampled images, the same ones for all seeds.
        images: number of images, or of groups, that were resampled.
    """
    by_images, remainder = image_parts(draws, images)
    if len(scores) == 1:
        return parts(None, by_images, 0.0, 1, 0.0, images)
    by_seeds = float(np.var(scores, ddof=1)) / len(scores)
    return parts(by_seeds, by_images, remainder, len(scores), len(scores) - 1.0, images)


def difference_spread(
    a: tuple[Floats, Floats], b: tuple[Floats, Floats], images: int, *, paired: bool
) -> tuple[float, Spread]:
    """The difference of the means of two levels, and the parts of its variance.

    Args:
        a, b: scores (S,) and draws (draws, S) of a level; the images of a draw are the same in both.
        paired: whether the seeds are the same ones in both, in the same order; if not, their variances add up (Welch).
    """
    difference = float(a[0].mean() - b[0].mean())
    if paired:
        return difference, spread(a[0] - b[0], a[1] - b[1], images)
    by_images, _ = image_parts((mean(a[1], axis=1) - mean(b[1], axis=1))[:, None], images)
    count = min(len(a[0]), len(b[0]))
    if count < 2:
        return difference, parts(None, by_images, 0.0, 1, 0.0, images)
    each = [float(np.var(scores, ddof=1)) / len(scores) for scores, _ in (a, b)]
    remainder = sum(image_parts(draws, images)[1] for _, draws in (a, b))
    doubt = sum(part**2 / (len(scores) - 1) for part, (scores, _) in zip(each, (a, b), strict=True))
    degrees = sum(each) ** 2 / doubt if doubt > 0 else 2.0 * (count - 1)
    return difference, parts(sum(each), by_images, remainder, count, degrees, images)


def image_parts(draws: Floats, images: int) -> tuple[float, float]:
    """Variance over resampled images of the mean over seeds, and the remainder that is within it.

    Args:
        draws: (draws, S).
    """
    unbiased = images / (images - 1)
    together = unbiased * _variance(mean(draws, axis=1))
    if draws.shape[1] == 1:
        return together, 0.0
    apart = unbiased * float(np.mean([_variance(draws[:, seed]) for seed in range(draws.shape[1])]))
    return together, max(apart - together, 0.0) / (draws.shape[1] - 1)


def parts(
    by_seeds: float | None, by_images: float, remainder: float, count: int, degrees: float, images: int
) -> Spread:
    """Parts that add up, from two variances that both contain the remainder; no part is negative."""
    remainder = min(remainder, by_images)
    seeds = None if by_seeds is None else max(by_seeds - remainder, 0.0)
    return Spread(seeds, by_images - remainder, remainder, count, degrees, images)


def _variance(values: Floats) -> float:
    return float(mean((values - mean(values)) ** 2))


def verdict(interval: Interval, rope: float) -> str:
    """``better`` or ``worse`` if the interval lies beyond the rope, ``equivalent`` if within it, else ``inconclusive``.

    The rule of Kruschke, "Rejecting or accepting parameter values in Bayesian estimation" (Advances in Methods and
    Practices in Psychological Science 2018). The rope is the difference, to either side of 0, that would not matter.
    """
    low, high = interval
    if low > rope:
        return "better"
    if high < -rope:
        return "worse"
    return "equivalent" if -rope <= low and high <= rope else "inconclusive"


def more_needed(difference: float, found: Spread, rope: float) -> tuple[int | None, int | None]:
    """How many more seeds, or else images, would settle an inconclusive difference, if it stays as large as it is.

    By chance it will come out larger or smaller, so that this many settle it in about half of all cases.

    Returns:
        seeds for each level, and images; None if no number of them would, or if one seed cannot tell.
    """
    new_seeds = found.seeds is not None

    def settled(more: Spread) -> bool:
        return verdict(more.interval(difference, new_seeds=new_seeds), rope) != "inconclusive"

    seeds = _least(lambda n: settled(found.scaled(seeds=n))) if new_seeds else None
    return seeds, _least(lambda n: settled(found.scaled(images=n)))


def _least(enough: Callable[[int], bool]) -> int | None:
    """The least number that is enough, where every larger one is too."""
    high = 1
    while not enough(high):
        if high > MOST:
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
