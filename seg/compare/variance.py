"""How far a mean over seeds and images may lie from the truth: variance in parts, intervals, and what more data do."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Scatter = tuple[float, float]
"""Variance and its degrees of freedom."""

MOST = 1_000_000
"""More seeds or images than about this many are never asked for."""


@dataclass(frozen=True)
class VarianceParts:
    """The variance of a mean over S seeds that were all judged on the same n images, in parts that add up.

    Seeds and images are crossed, as readers and cases are in radiology, and the variances are found as there: leaving
    out images in turn (the jackknife) shows what images do and what they do differently to each seed (the remainder);
    the scatter of the seeds' scores shows what seeds do and the remainder once more. Obuchowski and Rockette,
    "Hypothesis testing of diagnostic accuracy for multiple readers and multiple tests" (Communications in Statistics
    1995).

    Attributes:
        seeds: variance that more seeds would reduce; None for one seed, which does not show it.
        images: variance that more images would reduce.
        remainder: variance that either would reduce; 0 for one seed, where it is part of ``images``.
        seed_count: S.
        seed_degrees: degrees of freedom of the scatter of seeds: S - 1, or what all levels together give.
        image_count: n, or the number of groups of images.
        image_degrees: degrees of freedom of the variance over images, see `image_degrees`.
    """

    seeds: float | None
    images: float
    remainder: float
    seed_count: int
    seed_degrees: float
    image_count: int
    image_degrees: float

    def error(self, *, new_seeds: bool) -> float:
        """Return standard error; of these very seeds on new images, or of new seeds on new images."""
        variance = self.images + self.remainder + ((self.seeds or 0.0) if new_seeds else 0.0)
        return math.sqrt(max(variance, 0.0))  # rounding, where images do nothing

    def quantile(self, share: float, *, new_seeds: bool) -> float:
        """Return the quantile of the standardized mean: Student's t of the parts, weighted by their variance.

        After Cochran and Cox ("Experimental Designs", 1957, section 4.14). It errs on the wide side (Mickey and Brown,
        "Bounds on the distribution functions of the Behrens-Fisher statistic", Annals of Mathematical Statistics 1966),
        where Satterthwaite's degrees of freedom err on the narrow one for few seeds: a scatter that came out small by
        chance takes away its own doubt.
        """
        by_images = float(stdtrit(self.image_degrees, share))
        by_seeds = (self.seeds or 0.0) + self.remainder
        if not new_seeds or self.seeds is None or by_seeds == 0:
            return by_images
        weight = by_seeds / (by_seeds + self.images)
        return weight * float(stdtrit(self.seed_degrees, share)) + (1 - weight) * by_images

    def interval(self, center: float, *, new_seeds: bool, level: float = 0.95) -> Interval:
        """Return the interval around a mean."""
        reach = self.error(new_seeds=new_seeds) * self.quantile((1 + level) / 2, new_seeds=new_seeds)
        return center - reach, center + reach

    def below(self, bound: float, center: float, *, new_seeds: bool) -> float:
        """Return the probability that the truth is below a bound: the inverse of `quantile`, around the mean."""
        error = self.error(new_seeds=new_seeds)
        if error == 0:
            return float(center < bound)
        distance = -abs(bound - center) / error
        ends = sorted(max(float(stdtr(n, distance)), 1e-300) for n in (self.seed_degrees or 1, self.image_degrees))
        away = [self.quantile(end, new_seeds=new_seeds) - distance for end in ends]
        if away[0] * away[1] >= 0:  # one part alone, or at the mean
            share = ends[int(abs(away[1]) < abs(away[0]))]
        else:
            share = brentq(lambda u: self.quantile(u, new_seeds=new_seeds) - distance, *ends, xtol=1e-15, rtol=1e-12)
        return float(share if bound < center else 1 - share)

    def scaled(self, *, seeds: int = 0, images: int = 0) -> "VarianceParts":
        """Return what is expected with so many more seeds or images of the same kind."""
        by_seeds, by_images = 1 + seeds / self.seed_count, 1 + images / self.image_count
        return replace(
            self,
            seeds=None if self.seeds is None else self.seeds / by_seeds,
            images=self.images / by_images,
            remainder=self.remainder / by_seeds / by_images,
            seed_count=self.seed_count + seeds,
            seed_degrees=self.seed_degrees * (self.seed_count + seeds - 1) / max(self.seed_count - 1, 1),
            image_count=self.image_count + images,
            image_degrees=self.image_degrees * by_images,
        )


def variance_parts(scores: Floats, without: Floats, seeds: Scatter | None = None) -> VarianceParts:
    """Return the parts of the variance of the mean of several seeds.

    Args:
        scores: (S,) of each seed on all images.
        without: (n, S) of each seed without each of the images, or groups of them, in turn.
        seeds: variance and degrees of freedom of the scores of a seed, where more is known of it than these scores.
    """
    by_images, remainder = image_parts(without)
    degrees = image_degrees(without.mean(1))
    if len(scores) == 1:
        return parts(None, by_images, 0.0, (1, len(without)), (0.0, degrees))
    variance, seed_degrees = seeds or (float(np.var(scores, ddof=1)), len(scores) - 1.0)
    counts = len(scores), len(without)
    return parts(variance / len(scores), by_images, remainder, counts, (seed_degrees, degrees))


def difference_parts(
    a: tuple[Floats, Floats], b: tuple[Floats, Floats], *, paired: bool, seeds: Scatter | None = None
) -> tuple[float, VarianceParts]:
    """Return the difference of the means of two levels, and the parts of its variance.

    Args:
        a, b: scores (S,) of a level, and scores (n, S) without each image, which are the same in both.
        paired: whether the seeds are the same ones in both, in the same order; if not, their variances add up (Welch).
        seeds: of the difference, see `variance_parts`; only of paired seeds.
    """
    difference = float(a[0].mean() - b[0].mean())
    if paired:
        return difference, variance_parts(a[0] - b[0], a[1] - b[1], seeds)
    together = a[1].mean(1) - b[1].mean(1)
    by_images, _ = image_parts(together[:, None])
    counts, degrees = (min(len(a[0]), len(b[0])), len(together)), image_degrees(together)
    if counts[0] < 2:
        return difference, parts(None, by_images, 0.0, (1, counts[1]), (0.0, degrees))
    each = [float(np.var(scores, ddof=1)) / len(scores) for scores, _ in (a, b)]
    remainder = sum(image_parts(without)[1] for _, without in (a, b))
    doubt = sum(part**2 / (len(scores) - 1) for part, (scores, _) in zip(each, (a, b), strict=True))
    by_seeds = sum(each) ** 2 / doubt if doubt > 0 else 2.0 * (counts[0] - 1)
    return difference, parts(sum(each), by_images, remainder, counts, (by_seeds, degrees))


def independent(a: VarianceParts, b: VarianceParts) -> VarianceParts:
    """Return the parts for the difference, or sum, of two means that have neither runs nor images in common."""

    def degrees(first: float, n: float, second: float, m: float) -> float:  # Welch, Satterthwaite
        doubt = sum(part**2 / k for part, k in ((first, n), (second, m)) if k > 0)
        return (first + second) ** 2 / doubt if doubt > 0 else max(n, m)

    known = a.seeds is not None and b.seeds is not None
    by_seeds = (a.seeds or 0.0, b.seeds or 0.0)
    return VarianceParts(
        seeds=sum(by_seeds) if known else None,
        images=a.images + b.images,
        remainder=a.remainder + b.remainder,
        seed_count=min(a.seed_count, b.seed_count),
        seed_degrees=degrees(by_seeds[0], a.seed_degrees, by_seeds[1], b.seed_degrees) if known else 0.0,
        image_count=min(a.image_count, b.image_count),
        image_degrees=degrees(a.images, a.image_degrees, b.images, b.image_degrees),
    )


def covariance(without: Floats) -> Floats:
    """Return the jackknife covariance (L, L) of scores (n, L) without each image.

    For such ratios it is seldom too small, where the bootstrap's is if a class occurs in few images (Efron and Stein,
    "The jackknife estimate of variance", Annals of Statistics 1981).
    """
    moved = without - without.mean(0)
    scaled: Floats = (len(without) - 1) / len(without) * moved.T @ moved
    return scaled


def image_parts(without: Floats) -> tuple[float, float]:
    """Return variance over images of the mean over seeds, and the remainder within it, of scores (n, S)."""
    of_seeds = covariance(without)
    together, apart = float(of_seeds.mean()), float(np.trace(of_seeds)) / len(of_seeds)
    return together, max(apart - together, 0.0) / max(len(of_seeds) - 1, 1)


def image_degrees(without: Floats) -> float:
    """Return the degrees of freedom of a jackknife variance: n - 1, or less if few images make up most of it.

    A sample variance varies by ``2 / (n - 1) + excess kurtosis / n`` of its square; ``2 / degrees`` is that of a
    multiple of chi-squared.

    Args:
        without: (n,) or, for several levels at once, (n, L) scores without each image.
    """
    squares = ((without - without.mean(0)) ** 2).reshape(len(without), -1).sum(1)
    n, total = len(squares), squares.sum()
    excess = n * (squares**2).sum() / total**2 - 3 if total > 0 else 0.0
    return float(2 / (2 / (n - 1) + max(excess, 0.0) / n))


def parts(
    by_seeds: float | None, by_images: float, remainder: float, counts: tuple[int, int], degrees: tuple[float, float]
) -> VarianceParts:
    """Make parts that add up, none of them negative, from two variances that both contain the remainder.

    Args:
        counts, degrees: of seeds and images.
    """
    remainder = min(remainder, by_images)
    seeds = None if by_seeds is None else max(by_seeds - remainder, 0.0)
    return VarianceParts(seeds, by_images - remainder, remainder, counts[0], degrees[0], counts[1], degrees[1])


def verdict(interval: Interval, rope: float) -> str:
    """Return ``better`` or ``worse`` for an interval beyond the rope, ``equivalent`` within, else ``inconclusive``.

    The rule of Kruschke, "Rejecting or accepting parameter values in Bayesian estimation" (Advances in Methods and
    Practices in Psychological Science 2018). The rope is the difference, to either side of 0, that would not matter.
    """
    low, high = interval
    if low > rope:
        return "better"
    if high < -rope:
        return "worse"
    return "equivalent" if -rope <= low and high <= rope else "inconclusive"


def strongest(difference: float, parts: VarianceParts, rope: float) -> tuple[str, float]:
    """Return what a difference speaks for most, and its p: that of the widest interval that still gives this verdict.

    Of one pair alone a claim with p < 0.05 is the `verdict` of the 95 % interval; p values of several can be adjusted.
    One seed leaves it open (p = 1): it does not tell a better level from a luckier run.
    """
    if parts.seeds is None:
        return "inconclusive", 1.0
    if parts.error(new_seeds=True) == 0:
        return verdict((difference, difference), rope), 0.0
    below = {sign: parts.below(rope, sign * difference, new_seeds=True) for sign in (1, -1)}
    beyond = [parts.below(-rope, sign * difference, new_seeds=True) for sign in (1, -1)]
    claims = {"better": below[1], "worse": below[-1], "equivalent": max(beyond)}
    claim = min(claims, key=lambda name: claims[name])
    return claim, min(2 * claims[claim], 1.0)


def more_needed(
    difference: float, parts: VarianceParts, rope: float, *, level: float = 0.95
) -> tuple[int | None, int | None]:
    """Count how many more seeds, or else images, would settle an inconclusive difference that stays as large as it is.

    By chance it will come out larger or smaller. Of simulated pairs that are open and truly differ, this many seeds
    settle 68 to 95 % (``benchmarks/results/worlds-2026-11-30.md``).

    Args:
        level: of the interval that has to lie within the rope, or beyond it.

    Returns:
        seeds for each level, and images or groups; None if no number of them would, or if one seed cannot tell.
    """
    if parts.seeds is None:
        return None, None

    def settled(more: VarianceParts) -> bool:
        return verdict(more.interval(difference, new_seeds=True, level=level), rope) != "inconclusive"

    return _least(lambda n: settled(parts.scaled(seeds=n))), _least(lambda n: settled(parts.scaled(images=n)))


def _least(enough: Callable[[int], bool]) -> int | None:
    """Return the least number that is enough, where every larger one is too."""
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
