"""Which level is better, how sure that is, and what more data would settle: plain arrays in, plain data out.

    compared = compare({"dice": Sample(seeds, counts), "focal": Sample(seeds, counts)}, metric="miou", rope=0.005)

**What is estimated**: the score that such runs get on average with new seeds and as many new images like these; with
``interval_kind`` "images only", the score of these very runs on new images.

**Intervals** are Student's t around the score that was found, with the variance that images and seeds give it; see
`seg.compare.spread`. ``benchmarks/results/statistics-2026-11-26.md`` shows how often they hold the truth: more reliably
than percentile, expanded percentile and BCa intervals of the bootstrap over images and seeds do, and without draws.
Below `ENOUGH` seeds intervals are about these very runs; ``wide`` ones are about new seeds, and verdicts follow them:
with few seeds they are wide, as they should be.

**Verdicts** stand for one pair each; among many pairs of equal levels some will be called different.
"""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

from seg.compare.ranks import Ranks, joint_draws, rank_draws
from seg.compare.sample import (
    COUNTED,
    LOWER_IS_BETTER,
    Sample,
    Scored,
    check_samples,
    group_numbers,
    image_scores,
    scored,
)
from seg.compare.spread import Interval, Spread, difference_spread, more_needed, spread, verdict
from seg.scores import mean

Floats = NDArray[np.float64]

ENOUGH = 10
"""Seeds from which on intervals are about new seeds too."""

IMAGES, BOTH = "images only", "seeds and images"


@dataclass(frozen=True)
class LevelResult:
    """What is known of one level.

    Attributes:
        level: its name.
        seeds: of its runs.
        images: number of images.
        mean: of its seeds' scores.
        interval: 95 %; of ``interval_kind``: `IMAGES` or `BOTH`.
        wide: 95 % interval that is about new seeds too; None for one seed.
        rank, rank_interval: 1 for the best.
        rank_shares: probability of each rank.
        spread: the variance of the mean, in parts.
    """

    level: str
    seeds: tuple[int, ...]
    images: int
    mean: float
    interval: Interval
    interval_kind: str
    wide: Interval | None
    rank: int
    rank_interval: tuple[int, int]
    rank_shares: tuple[float, ...]
    spread: Spread


@dataclass(frozen=True)
class PairResult:
    """What is known of the difference between two levels: a minus b.

    Attributes:
        a, b: names.
        seeds: that were paired, those that both have. Of fewer than two, all seeds of both levels are compared, not
            paired, and this is empty.
        difference: of the means over these seeds.
        interval, interval_kind, wide: as for a level.
        wins, ties, losses: images on which a's score, averaged over seeds, is better than, equal to, worse than b's.
        p_holm: paired Wilcoxon signed-rank test over images (or groups), adjusted for all pairs after Holm.
        effect: matched-pairs rank-biserial correlation, -1..1: the share of the ranks of differences between images
            that speaks for a, less that for b (Kerby, "The simple difference formula", 2014). Of the usual effect
            sizes the one that belongs to the Wilcoxon test; unlike Cohen's d it is not blown up by images that are all
            equally easy, nor hidden by a few outliers.
        p_better, p_equivalent, p_worse: probabilities that a is better than b by more than the rope, that they differ
            by less, that it is worse: areas under the t distribution of ``verdict_kind``.
        verdict: on a: better, worse, equivalent or inconclusive, by `seg.compare.spread.verdict` from ``wide``; for
            one seed from ``interval``.
        verdict_kind: `BOTH`; `IMAGES` for one seed, where it is about these very runs.
        more_seeds, more_images: so many more, of one or the other, would settle an inconclusive verdict if the
            difference stays as it is; None if no number would, or it is settled.
        spread: the variance of the difference, in parts.
    """

    a: str
    b: str
    seeds: tuple[int, ...]
    difference: float
    interval: Interval
    interval_kind: str
    wide: Interval | None
    wins: int
    ties: int
    losses: int
    p_holm: float
    effect: float
    p_better: float
    p_equivalent: float
    p_worse: float
    verdict: str
    verdict_kind: str
    more_seeds: int | None
    more_images: int | None
    spread: Spread


@dataclass(frozen=True)
class Compared:
    """Everything that the comparison found.

    Attributes:
        metric, rope, draws, seed: as asked for.
        units: number of images, or of groups.
        levels: in the order given.
        pairs: of all levels, the first named first.
        ranks: of the levels; with the winner and the probability that it is a false claim.
        class_iou: (L, C) IoU of each class over the dataset, mean over seeds; NaN where it does not occur.
        class_interval: (L, C, 2) their 95 % intervals, each of its level's kind; NaN for a class in fewer than two
            images.
    """

    metric: str
    rope: float
    draws: int
    seed: int
    units: int
    levels: tuple[LevelResult, ...]
    pairs: tuple[PairResult, ...]
    ranks: Ranks
    class_iou: Floats
    class_interval: Floats


def compare(
    samples: Mapping[str, Sample],
    *,
    metric: str = "miou",
    groups: Sequence[Hashable] | None = None,
    rope: float = 0.005,
    draws: int = 10_000,
    seed: int = 0,
) -> Compared:
    """Compare levels that were judged on the same images.

    Args:
        samples: the runs of each level, by name.
        metric: ``miou`` (D), ``miou_i``, ``miou_c``, ``mdice``, ``accuracy``, or the mean over images of given values.
        groups: one id an image, such as its scene or patient: images of one group count as one.
        rope: difference that would not matter, in units of the metric; 0.005 is half a point of IoU.
        draws: of the levels' true scores, for ranks and the probability of a false claim.
        seed: of these draws; the same one gives the same result to the bit.

    Raises:
        ValueError: the levels cannot be compared, or a number is out of range.
    """
    _check_numbers(rope, draws)
    check_samples(samples, metric, groups)
    numbers = group_numbers(groups, next(iter(samples.values())).counts.shape[1])
    found = {name: scored(sample, metric, numbers) for name, sample in samples.items()}
    sign = -1 if metric in LOWER_IS_BETTER else 1
    ranks = _ranks(samples, found, sign, draws, np.random.default_rng(seed))
    levels = tuple(_level(name, samples[name], found[name], metric, ranks, i) for i, name in enumerate(samples))
    scores = {name: image_scores(sample, metric, numbers) for name, sample in samples.items()}
    pairs = [_pair(names, samples, found, scores, sign=sign, rope=rope) for names in itertools.combinations(samples, 2)]
    adjusted = holm([pair.p_holm for pair in pairs])
    return Compared(
        metric=metric,
        rope=rope,
        draws=draws,
        seed=seed,
        units=int(numbers.max()) + 1,
        levels=levels,
        pairs=tuple(replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)),
        ranks=ranks,
        class_iou=np.stack([mean(found[name].class_iou, axis=0) for name in samples]),
        class_interval=np.stack([_class_intervals(samples[name], found[name], numbers) for name in samples]),
    )


def _check_numbers(rope: float, draws: int) -> None:
    if not 0 <= rope < np.inf:
        raise ValueError(f"rope: expected a difference that would not matter, 0 or more, got {rope}; give 0.005, say")
    if draws < 100:
        raise ValueError(f"draws: expected at least 100, got {draws}; 10000 give steady ranks")


def _ranks(
    samples: Mapping[str, Sample], found: Mapping[str, Scored], sign: int, draws: int, rng: np.random.Generator
) -> Ranks:
    names = sorted(samples)  # random numbers go to levels by name: the order in which they are given does not matter
    paired = len({tuple(sorted(sample.seeds)) for sample in samples.values()}) == 1
    inputs = [_of(found[name], _in_order(samples[name].seeds)) for name in names]
    joint = joint_draws(inputs, draws, rng, paired=paired)[:, [names.index(name) for name in samples]]
    return rank_draws(sign * np.array([found[name].scores.mean() for name in samples]), sign * joint)


def _of(found: Scored, runs: list[int]) -> tuple[Floats, Floats]:
    """Scores and scores without each image, of some runs."""
    return found.scores[runs], found.without[:, runs]


def _in_order(seeds: Sequence[int]) -> list[int]:
    return sorted(range(len(seeds)), key=lambda i: seeds[i])


def _intervals(center: float, found: Spread, seeds: int) -> tuple[Interval, str, Interval | None]:
    """The interval, its kind, and the wide one."""
    wide = None if found.seeds is None else found.interval(center, new_seeds=True)
    if wide is not None and seeds >= ENOUGH:
        return wide, BOTH, wide
    return found.interval(center, new_seeds=False), IMAGES, wide


def _level(name: str, sample: Sample, found: Scored, metric: str, ranks: Ranks, index: int) -> LevelResult:
    center, parts = float(found.scores.mean()), spread(found.scores, found.without)
    interval, kind, wide = _intervals(center, parts, len(sample.seeds))
    bounds = (0.0, 1.0) if metric in COUNTED else (-np.inf, np.inf)
    return LevelResult(
        level=name,
        seeds=sample.seeds,
        images=sample.counts.shape[1],
        mean=center,
        interval=_within(interval, bounds),
        interval_kind=kind,
        wide=wide and _within(wide, bounds),
        rank=ranks.ranks[index],
        rank_interval=ranks.intervals[index],
        rank_shares=tuple(ranks.shares[index].tolist()),
        spread=parts,
    )


def _within(interval: Interval, bounds: Interval) -> Interval:
    return max(interval[0], bounds[0]), min(interval[1], bounds[1])


def _pair(
    names: tuple[str, str],
    samples: Mapping[str, Sample],
    found: Mapping[str, Scored],
    scores: Mapping[str, Floats],
    *,
    sign: int,
    rope: float,
) -> PairResult:
    """What is known of a pair; ``p_holm`` is not adjusted yet."""
    a, b = names
    seeds = tuple(sorted(set(samples[a].seeds) & set(samples[b].seeds)))
    paired = len(seeds) > 1
    inputs = [
        _of(found[name], [samples[name].seeds.index(s) for s in (seeds if paired else samples[name].seeds)])
        for name in names
    ]
    difference, parts = difference_spread(inputs[0], inputs[1], paired=paired)
    interval, kind, wide = _intervals(difference, parts, parts.seed_count)
    gain = sign * difference
    decided = verdict(_mirrored(wide or interval, sign), rope)
    new_seeds = wide is not None
    worse = parts.below(-rope, gain, new_seeds=new_seeds)
    better = parts.below(-rope, -gain, new_seeds=new_seeds)
    more = more_needed(gain, parts, rope) if decided == "inconclusive" else (None, None)
    return PairResult(
        a=a,
        b=b,
        seeds=seeds if paired else (),
        difference=difference,
        interval=interval,
        interval_kind=kind,
        wide=wide,
        **_by_image(sign * (scores[a] - scores[b])),
        p_better=better,
        p_equivalent=max(1 - better - worse, 0.0),
        p_worse=worse,
        verdict=decided,
        verdict_kind=BOTH if new_seeds else IMAGES,
        more_seeds=more[0],
        more_images=more[1],
        spread=parts,
    )


def _mirrored(interval: Interval, sign: int) -> Interval:
    return interval if sign > 0 else (-interval[1], -interval[0])


def _by_image(gains: Floats) -> dict[str, Any]:
    """Wins, ties, losses, p and effect size of differences (images,), NaN where an image has no score."""
    gains = gains[~np.isnan(gains)]
    gains = np.where(np.abs(gains) < 1e-9, 0, gains)  # means of equal scores differ by rounding
    moved = gains[gains != 0]
    ranks = rankdata(np.abs(moved))
    return {
        "wins": int((gains > 0).sum()),
        "ties": int((gains == 0).sum()),
        "losses": int((gains < 0).sum()),
        "p_holm": float(wilcoxon(moved).pvalue) if moved.size else 1.0,
        "effect": float(ranks @ np.sign(moved) / ranks.sum()) if moved.size else 0.0,
    }


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values, in the same order: Holm, "A simple sequentially rejective multiple test procedure" (1979)."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted.tolist()


def _class_intervals(sample: Sample, found: Scored, groups: NDArray[np.intp]) -> Floats:
    """Intervals (C, 2) of the mean over seeds of each class's IoU."""
    intervals = np.full((sample.counts.shape[2], 2), np.nan)
    for index in range(len(intervals)):
        if len(np.unique(groups[sample.counts[0, :, index, 2] > 0])) > 1:
            scores = found.class_iou[:, index]
            interval, *_ = _intervals(
                float(scores.mean()), spread(scores, found.class_without[:, :, index]), len(scores)
            )
            intervals[index] = _within(interval, (0.0, 1.0))
    return intervals
