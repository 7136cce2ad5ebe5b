"""Which level is better, how sure that is, and what more data would settle: plain arrays in, plain data out.

    compared = compare({"dice": LevelScores(seeds, counts), "focal": LevelScores(seeds, others)}, metric="miou")

**What is estimated**: the score that such runs get on average with new seeds and as many new images like these; with
``interval_kind`` "images only", the score of these very runs on new images.

**Intervals** are Student's t around the score that was found, with the variance that images and seeds give it; see
`seg.compare.variance`. ``benchmarks/results/statistics-2026-11-26.md`` shows how often they hold the truth: more
reliably than percentile, expanded percentile and BCa intervals of the bootstrap over images and seeds do, and without
draws. Below `ENOUGH` seeds intervals are about these very runs; ``wide`` ones are about new seeds, and verdicts follow
them: with few seeds they are wide, as they should be. So few seeds are not asked pair by pair: what all levels say of
how the seeds that they share scatter counts for every pair (`seg.compare.scatter`).

**Verdicts** hold together: if levels are equal, the probability that any pair is called better or worse is about 5 %
at the most, however many pairs there are and whichever levels scatter more than others: up to 5.4 % in what
`seg.compare.scatter` was simulated in. So a verdict may be open where a pair's own
interval lies beyond the rope; fewer pairs, as with a ``reference``, settle more. One seed settles nothing: it does not
tell a better level from a luckier run.
"""

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

from seg.compare.findings import BOTH, IMAGES, Comparison, LevelResult, PairResult
from seg.compare.multiplicity import adjusted, holm_steps, shaffer_steps
from seg.compare.ranks import Ranks, joint_draws, rank_draws
from seg.compare.scatter import SeedInteraction, seed_interaction
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
from seg.compare.variance import (
    Interval,
    Scatter,
    VarianceParts,
    difference_parts,
    more_needed,
    strongest,
    variance_parts,
)
from seg.files import checks
from seg.metrics.catalogue import Metric
from seg.metrics.scores import mean

Floats = NDArray[np.float64]

ENOUGH = 10
"""Seeds from which on intervals are about new seeds too, and a pair is judged by its own scatter alone."""


def compare(
    samples: Mapping[str, LevelScores],
    *,
    metric: str | Metric = "miou",
    groups: Sequence[Hashable] | None = None,
    rope: float | None = None,
    reference: str | None = None,
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
    sign, together = about.sign, _together(levels)
    ranks = _ranks(levels, sign, together, draws, np.random.default_rng(seed))
    by_image = {name: image_scores(sample, metric, numbers) for name, sample in samples.items()}
    wanted = [(name, reference) for name in samples if name != reference] if reference else None
    names = wanted or list(itertools.combinations(samples, 2))
    steps = holm_steps(len(names)) if wanted else shaffer_steps(len(samples))
    scatter = [_scatter(pair, levels, together, among or len(names)) for pair in names]
    pairs = [
        _pair(pair, levels, by_image, sign=sign, rope=rope, scatter=known)
        for pair, known in zip(names, scatter, strict=True)
    ]
    return Comparison(
        metric=metric,
        measure=about,
        rope=rope,
        draws=draws,
        seed=seed,
        units=int(numbers.max()) + 1,
        groups=numbers,
        levels=tuple(_level(name, level, metric, ranks, i, together) for i, (name, level) in enumerate(levels.items())),
        pairs=tuple(pairs if among else adjust_for_multiplicity(pairs, steps, sign, rope)),
        ranks=ranks,
        rank_kind=BOTH if all(len(sample.seeds) > 1 for sample in samples.values()) else IMAGES,
        class_iou=np.stack([mean(level.class_iou, axis=0) for level in levels.values()]),
        class_interval=np.stack([_class_intervals(level, numbers) for level in levels.values()]),
    )


class _Together(NamedTuple):
    """What all levels say of how seeds scatter: their names in the order of ``interaction``, and how many seeds."""

    names: list[str]
    seeds: int
    interaction: SeedInteraction


def _together(levels: Mapping[str, Scored]) -> _Together | None:
    """Return the scatter over all levels, by name, of the seeds that all have; None where it does not show."""
    shared = sorted(set[int].intersection(*(set(level.sample.seeds) for level in levels.values())))
    if len(levels) < 3 or not 2 <= len(shared) < ENOUGH:
        return None
    names = sorted(levels)  # random numbers go to levels by name: the order in which they are given does not matter
    scores = np.stack([levels[name].of_seeds(shared)[0] for name in names])
    return _Together(names, len(shared), seed_interaction(scores))


def _scatter(
    pair: tuple[str, str], levels: Mapping[str, Scored], together: _Together | None, pairs: int
) -> Scatter | None:
    """Return what all levels say of the scatter of a pair; None where its own scores say more, or all say nothing."""
    seeds = len(set(levels[pair[0]].sample.seeds) & set(levels[pair[1]].sample.seeds))
    if together is None or not 2 <= seeds < ENOUGH:
        return None
    a, b = (together.names.index(name) for name in pair)
    known = together.interaction.pair(min(a, b), max(a, b), pairs)
    return known if seeds == together.seeds or known[1] > seeds - 1 else None


def _ranks(
    levels: Mapping[str, Scored], sign: int, together: _Together | None, draws: int, rng: np.random.Generator
) -> Ranks:
    names = sorted(levels)
    seeds = [sorted(levels[name].sample.seeds) for name in names]
    inputs = [levels[name].of_seeds(own) for name, own in zip(names, seeds, strict=True)]
    paired, pooled = all(own == seeds[0] for own in seeds), together and together.interaction
    joint = joint_draws(inputs, draws, rng, paired=paired, pooled=pooled)[:, [names.index(name) for name in levels]]
    return rank_draws(sign * np.array([level.scores.mean() for level in levels.values()]), sign * joint)


def _intervals(center: float, parts: VarianceParts, seeds: int) -> tuple[Interval, str, Interval | None]:
    """Return the interval, its kind, and the wide one."""
    wide = None if parts.seeds is None else parts.interval(center, new_seeds=True)
    if wide is not None and seeds >= ENOUGH:
        return wide, BOTH, wide
    return parts.interval(center, new_seeds=False), IMAGES, wide


def _level(name: str, level: Scored, metric: str, ranks: Ranks, index: int, together: _Together | None) -> LevelResult:
    center, parts, sample = float(level.scores.mean()), variance_parts(level.scores, level.without), level.sample
    interval, kind, wide = _intervals(center, parts, len(sample.seeds))
    bounds = (0.0, 1.0) if is_counted(metric) else (-np.inf, np.inf)
    place = together and together.names.index(name)
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
        scatter=together and float(np.sqrt(together.interaction.levels[place])),
        scatters_more=together and float(together.interaction.more[place]),
        variance=parts,
        bounds=bounds,
    )


def _within(interval: Interval, bounds: Interval) -> Interval:
    return max(interval[0], bounds[0]), min(interval[1], bounds[1])


def _pair(
    names: tuple[str, str],
    levels: Mapping[str, Scored],
    by_image: Mapping[str, Floats],
    *,
    sign: int,
    rope: float,
    scatter: Scatter | None,
) -> PairResult:
    """Return what is known of a pair; its p values are not adjusted yet."""
    a, b = (levels[name] for name in names)
    seeds = tuple(sorted(set(a.sample.seeds) & set(b.sample.seeds)))
    paired = len(seeds) > 1
    inputs = [level.of_seeds(seeds if paired else level.sample.seeds) for level in (a, b)]
    difference, parts = difference_parts(inputs[0], inputs[1], paired=paired, seeds=scatter)
    interval, kind, wide = _intervals(difference, parts, parts.seed_count)
    gain, new_seeds = sign * difference, wide is not None
    worse = parts.below(-rope, gain, new_seeds=new_seeds)
    better = parts.below(-rope, -gain, new_seeds=new_seeds)
    claim, p = strongest(gain, parts, rope)
    return PairResult(
        a=names[0],
        b=names[1],
        seeds=seeds if paired else (),
        difference=difference,
        interval=interval,
        interval_kind=kind,
        wide=wide,
        **image_test(sign * (by_image[names[0]] - by_image[names[1]])),
        p_better=better,
        p_equivalent=max(1 - better - worse, 0.0),
        p_worse=worse,
        verdict=claim,
        p_verdict=p,
        p_kind=BOTH if new_seeds else IMAGES,
        more_seeds=None,
        more_images=None,
        variance=parts,
    )


def adjust_for_multiplicity(
    pairs: Sequence[PairResult], steps: Sequence[int], sign: int, rope: float
) -> Iterator[PairResult]:
    """Yield the pairs with p values that are adjusted for one another, and what follows from them.

    Args:
        steps: of verdicts, see `seg.compare.multiplicity.adjusted`.
    """
    images_p = adjusted([pair.p_holm for pair in pairs], holm_steps(len(pairs)))
    verdict_p = adjusted([pair.p_verdict for pair in pairs], steps)
    settled = sum(p < 0.05 for p in verdict_p)
    for pair, p_holm, p in zip(pairs, images_p, verdict_p, strict=True):
        together = replace(pair, p_holm=p_holm, p_verdict=p)
        if p >= 0.05:
            needed = more_needed(sign * pair.difference, pair.variance, rope, level=1 - 0.05 / steps[settled])
            together = replace(together, verdict="inconclusive", more_seeds=needed[0], more_images=needed[1])
        yield together


def image_test(gains: Floats) -> dict[str, Any]:
    """Return wins, ties, losses, p and effect size of differences (images,), NaN where an image has no score."""
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


def _class_intervals(level: Scored, groups: NDArray[np.intp]) -> Floats:
    """Return the intervals (C, 2) of the mean over seeds of each class's IoU."""
    counts = level.sample.counts
    intervals = np.full((counts.shape[2], 2), np.nan)
    for index in range(len(intervals)):
        if len(np.unique(groups[counts[0, :, index, 2] > 0])) > 1:
            scores = level.class_iou[:, index]
            parts = variance_parts(scores, level.class_without[:, :, index])
            interval, *_ = _intervals(float(scores.mean()), parts, len(scores))
            intervals[index] = _within(interval, (0.0, 1.0))
    return intervals
