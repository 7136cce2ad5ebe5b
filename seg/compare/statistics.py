"""Which level is better, how sure that is, and what more data would settle: plain arrays in, plain data out.

    compared = compare({"dice": LevelScores(seeds, counts), "focal": LevelScores(seeds, others)}, metric="miou")

**What is estimated**: the score that such runs get on average with new seeds and as many new images like these; with
``interval_kind`` "images only", the score of these very runs on new images.

**Intervals** are Student's t around the score that was found, with the variance that images and seeds give it; see
`seg.compare.variance`. ``benchmarks/results/statistics-2026-11-26.md`` shows how often they hold the truth: more
reliably than percentile, expanded percentile and BCa intervals of the bootstrap over images and seeds do, and without
draws. Below ten seeds intervals are about these very runs; ``wide`` ones are about new seeds, and verdicts follow them:
with few seeds they are wide, as they should be. So few seeds are not asked pair by pair: what all levels say of how
seeds scatter counts for every pair (`seg.compare.scatter`, `seg.compare.pairs`).

**Verdicts** hold together: if levels are equal, the probability that any pair is called better or worse is about 5 %
at the most, however many pairs there are and whichever levels scatter more than others: up to 5.4 % in what
`seg.compare.scatter` was simulated in. So a verdict may be open where a pair's own
interval lies beyond the rope; fewer pairs, as with a ``reference``, settle more. One seed settles nothing: it does not
tell a better level from a luckier run.
"""

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from seg.compare.findings import BOTH, IMAGES, Comparison, LevelResult
from seg.compare.looks import Looks
from seg.compare.multiplicity import holm_steps, shaffer_steps
from seg.compare.pairs import ENOUGH, Judge, Together, intervals, together
from seg.compare.ranks import Ranks, joint_draws, rank_draws
from seg.compare.scores import (
    LevelScores,
    Scored,
    check_levels,
    group_numbers,
    image_scores,
    is_counted,
    measure,
    scored,
)
from seg.compare.variance import Interval, variance_parts
from seg.files import checks
from seg.metrics.catalogue import Metric
from seg.metrics.scores import mean

Floats = NDArray[np.float64]


def compare(
    samples: Mapping[str, LevelScores],
    *,
    metric: str | Metric = "miou",
    groups: Sequence[Hashable] | None = None,
    rope: float | None = None,
    reference: str | None = None,
    looks: Looks | None = None,
    draws: int = 10_000,
    seed: int = 0,
    among: int | None = None,
) -> Comparison:
    """Compare levels that were judged on the same images.

    Args:
        samples: the runs of each level, by name.
        metric: ``miou`` (D), ``miou_i``, ``miou_c``, ``mdice``, ``accuracy``, ``iou.NAME`` of a class, or the mean over
            images of given values; a `Metric` says which way is better, and the unit, of one that is not ours.
        groups: one id an image, such as its scene or patient: images of one group count as one.
        rope: difference that would not matter, in units of the metric; by default 0.005 of a share, half a point,
            and half a pixel of a length.
        reference: level with which the others are compared; by default all are compared with each other.
        looks: at which these runs were compared while they were made, a seed at a time, until they were settled;
            verdicts hold over all of them. None = this is the only one, and their number depends on no score.
        draws: of the levels' true scores, for ranks and the probability of a false claim.
        seed: of these draws; the same one gives the same result to the bit.
        among: so many pairs are judged together, these and others of other comparisons: nothing is adjusted here yet,
            each verdict is of its pair alone (see `seg.compare.slices`).

    Raises:
        ValueError: the levels cannot be compared, or a number is out of range.

    Counts of any tool will do: two losses, three seeds each, 40 images, two classes:

    >>> import numpy as np
    >>> from seg.compare import compare
    >>> from seg.compare.scores import LevelScores
    >>> rng = np.random.default_rng(0)
    >>> target = rng.integers(500, 1000, (1, 40, 2)).repeat(3, axis=0)  # the same images for all
    >>> def level(hit):  # intersection, prediction, target: pixels of each class
    ...     right = (target * rng.normal(hit, 0.02, target.shape).clip(0, 1)).astype(int)
    ...     return LevelScores(seeds=(0, 1, 2), counts=np.stack([right, target, target], axis=-1))
    >>> compared = compare({"dice": level(0.9), "focal": level(0.8)}, rope=0.005)
    >>> compared
    Comparison(miou of 2 levels, best dice 81.7 %, 1 of 1 pairs settled, rope 0.005)
    >>> compared.pairs[0].verdict
    'better'
    """
    about = metric if isinstance(metric, Metric) else measure(metric) or Metric(metric, metric)
    metric, rope = about.name, about.rope if rope is None else rope
    checks.number("rope", rope, least=0, what="a difference that would not matter", remedy="give such as 0.005")
    checks.whole("draws", draws, 100, remedy="10000 give steady ranks")
    check_levels(samples, metric, groups)
    if reference is not None and reference not in samples:
        raise ValueError(f"reference: expected one of {', '.join(samples)}, got '{reference}'; give another one")
    numbers = group_numbers(groups, next(iter(samples.values())).counts.shape[1])
    levels = {name: scored(sample, metric, numbers) for name, sample in samples.items()}
    sign, scatter = about.sign, together(levels, ENOUGH if looks is None else math.inf)
    ranks = _ranks(levels, sign, scatter, draws, np.random.default_rng(seed))
    by_image = {name: image_scores(sample, metric, numbers) for name, sample in samples.items()}
    wanted = [(name, reference) for name in samples if name != reference] if reference else None
    names = wanted or list(itertools.combinations(samples, 2))
    steps = holm_steps(len(names)) if wanted else shaffer_steps(len(samples))
    judge = Judge(levels, by_image, steps, sign, rope, looks)
    return Comparison(
        metric=metric,
        measure=about,
        rope=rope,
        draws=draws,
        seed=seed,
        units=int(numbers.max()) + 1,
        groups=numbers,
        levels=tuple(_level(name, level, metric, ranks, i, scatter) for i, (name, level) in enumerate(levels.items())),
        pairs=tuple(judge.judge(names) if among is None else judge.each(names, among)),
        ranks=ranks,
        rank_kind=BOTH if all(len(sample.seeds) > 1 for sample in samples.values()) else IMAGES,
        class_iou=np.stack([mean(level.class_iou, axis=0) for level in levels.values()]),
        class_interval=np.stack([_class_intervals(level, numbers) for level in levels.values()]),
        reference=reference,
        looks=looks,
    )


def _ranks(
    levels: Mapping[str, Scored], sign: int, scatter: Together | None, draws: int, rng: np.random.Generator
) -> Ranks:
    names = sorted(levels)
    seeds = [sorted(levels[name].sample.seeds) for name in names]
    inputs = [levels[name].of_seeds(own) for name, own in zip(names, seeds, strict=True)]
    paired, pooled = all(own == seeds[0] for own in seeds), scatter and scatter.interaction
    joint = joint_draws(inputs, draws, rng, paired=paired, pooled=pooled)[:, [names.index(name) for name in levels]]
    return rank_draws(sign * np.array([level.scores.mean() for level in levels.values()]), sign * joint)


def _level(name: str, level: Scored, metric: str, ranks: Ranks, index: int, scatter: Together | None) -> LevelResult:
    center, parts, sample = float(level.scores.mean()), variance_parts(level.scores, level.without), level.sample
    interval, kind, wide = intervals(center, parts, len(sample.seeds))
    bounds = (0.0, 1.0) if is_counted(metric) else (-np.inf, np.inf)
    place = scatter and scatter.names.index(name)
    return LevelResult(
        level=name,
        seeds=sample.seeds,
        scores=tuple(level.scores.tolist()),
        images=sample.counts.shape[1],
        mean=center,
        interval=_within(interval, bounds),
        interval_kind=kind,
        wide=wide and _within(wide, bounds),
        rank=ranks.ranks[index],
        rank_interval=ranks.intervals[index],
        rank_shares=tuple(ranks.shares[index].tolist()),
        scatter=scatter and float(np.sqrt(scatter.interaction.levels[place])),
        scatters_more=scatter and float(scatter.interaction.more[place]),
        variance=parts,
        bounds=bounds,
    )


def _within(interval: Interval, bounds: Interval) -> Interval:
    return max(interval[0], bounds[0]), min(interval[1], bounds[1])


def _class_intervals(level: Scored, groups: NDArray[np.intp]) -> Floats:
    """Return the intervals (C, 2) of the mean over seeds of each class's IoU."""
    counts = level.sample.counts
    found = np.full((counts.shape[2], 2), np.nan)
    for index in range(len(found)):
        if len(np.unique(groups[counts[0, :, index, 2] > 0])) > 1:
            scores = level.class_iou[:, index]
            parts = variance_parts(scores, level.class_without[:, :, index])
            interval, *_ = intervals(float(scores.mean()), parts, len(scores))
            found[index] = _within(interval, (0.0, 1.0))
    return found
