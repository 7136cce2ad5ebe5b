"""Pairs of levels: their difference, the verdict on it, and what more data would settle; at one look, or at several."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

from seg.compare.findings import BOTH, IMAGES, OPEN, PairResult
from seg.compare.looks import Looks
from seg.compare.multiplicity import adjusted, holm_steps
from seg.compare.scatter import SeedInteraction, seed_interaction
from seg.compare.scores import Scored
from seg.compare.variance import Interval, Scatter, VarianceParts, difference_parts, more_needed, strongest

Floats = NDArray[np.float64]
Names = tuple[str, str]

CHANCE = 0.05
"""Of any false verdict, of all pairs and looks together."""
ENOUGH = 10
"""Seeds from which on intervals are about new seeds too, and a pair is judged by its own scatter alone."""


class Together(NamedTuple):
    """What all levels say of how seeds scatter: their names in the order of ``interaction``."""

    names: list[str]
    interaction: SeedInteraction

    def of_pair(self, pair: Names, pairs: int, share: float) -> Scatter | None:
        """Return the scatter of a pair, see `SeedInteraction.pair`; None of a level that is not among these."""
        if not {*pair} <= {*self.names}:
            return None
        a, b = sorted(self.names.index(name) for name in pair)
        return self.interaction.pair(a, b, pairs, share)


def together(levels: Mapping[str, Scored], most: float = ENOUGH) -> Together | None:
    """Return the scatter over all levels, by name; None where two levels, or one seed, do not show it.

    It is that of all their seeds, if the seeds of one are always among those of another; else of those that all have.

    Args:
        most: seeds that all levels have and from which on their scatter is not needed.
    """
    names = sorted(levels)  # random numbers go to levels by name: the order in which they are given does not matter
    own = {name: set(levels[name].sample.seeds) for name in names}
    shared = set[int].intersection(*own.values()) if own else set()
    if len(levels) < 3 or not 2 <= len(shared) < most:
        return None
    nested = all(a <= b or b <= a for a in own.values() for b in own.values())
    kept = set[int].union(*own.values()) if nested else shared
    order = sorted(kept, key=lambda seed: (-sum(seed in seeds for seeds in own.values()), seed))
    scores = np.full((len(names), len(order)), np.nan)
    for row, name in zip(scores, names, strict=True):
        there = [seed for seed in order if seed in own[name]]
        row[: len(there)] = levels[name].of_seeds(there)[0]
    return Together(names, seed_interaction(scores))


@dataclass(frozen=True)
class Judge:
    """What is asked of pairs.

    Attributes:
        levels: by name.
        by_image: a score of each image (images,), by name.
        steps: how many pairs may still be equal after 0, 1, 2 ... verdicts, see `seg.compare.multiplicity`.
        sign: -1 where a lower score is better.
        rope: difference that would not matter.
        looks: at which the pairs were, or will be, judged; None = now, once.
    """

    levels: Mapping[str, Scored]
    by_image: Mapping[str, Floats]
    steps: Sequence[int]
    sign: int
    rope: float
    looks: Looks | None

    def judge(self, names: Sequence[Names]) -> list[PairResult]:
        """Return what is known of pairs, in this order, with p values that are adjusted for one another.

        With looks: each settled pair as it was at the look that settled it, and each open one as it is.
        """
        if self.looks is None:
            return list(adjust_for_multiplicity(self.each(names, len(names)), self.steps, self.sign, self.rope))
        found = self._at_looks(names, self.looks)
        whole = [self._with_images(found[pair]) for pair in names]
        images_p = adjusted([pair.p_holm for pair in whole], holm_steps(len(names)))
        return [replace(pair, p_holm=p) for pair, p in zip(whole, images_p, strict=True)]

    def each(self, names: Sequence[Names], among: int) -> list[PairResult]:
        """Return the same before anything is adjusted: the verdict of each pair alone, and its p.

        With looks, p is that of the look after as many seeds as the pair has, whichever look it happens to be.

        Args:
            among: so many pairs will be judged together.
        """
        known = self._scatter(self.levels)
        found = []
        for pair in names:
            seeds = len(set.intersection(*(set(self.levels[name].sample.seeds) for name in pair)))
            share = 1.0 if self.looks is None else self.looks.share(min(seeds, self.looks.most))
            found.append(self._with_images(self._claimed(pair, self.levels, known, among, share)))
        return found

    def _at_looks(self, names: Sequence[Names], looks: Looks) -> dict[Names, PairResult]:
        """Judge what is open at one look after the other, by the seeds of then, where both levels have the last one."""
        seeds = sorted({seed for level in self.levels.values() for seed in level.sample.seeds})
        found = {pair: self._before(pair, looks) for pair in names}
        for number in looks.numbers[: max(len(seeds) - looks.first + 1, 0)]:
            there = {name: level.among(seeds[:number]) for name, level in self.levels.items()}
            late, next_late = (
                {name for name, level in self.levels.items() if not {*some} <= {*level.sample.seeds}}
                for some in (seeds[number - 1 : number], seeds[number : number + 1])
            )
            open_ones = [pair for pair in names if found[pair].verdict == OPEN]
            now = [pair for pair in open_ones if not late & {*pair}]
            last = [
                pair for pair in now if number + 1 not in looks.numbers or number == len(seeds) or next_late & {*pair}
            ]
            found |= self._look(now, last, there, len(names), looks, number, settled=len(names) - len(open_ones))
        return found

    def _before(self, pair: Names, looks: Looks) -> PairResult:
        """Return a pair that has not been looked at."""
        known = self._pair(pair, self.levels, None)
        missing = looks.first - known.variance.seed_count
        return replace(known, verdict=OPEN, p_verdict=1.0, more_seeds=max(missing, 1))

    def _look(
        self,
        now: Sequence[Names],
        last: Sequence[Names],
        levels: Mapping[str, Scored],
        pairs: int,
        looks: Looks,
        seeds: int,
        settled: int,
    ) -> dict[Names, PairResult]:
        """Return the pairs that one look settles, and those that are open and that no further look is about.

        Args:
            now: the open pairs that it is about.
            last: those of them that no further look is about.
            pairs: in all.
            settled: how many of them were before.
        """
        if not now:
            return {}
        known = self._scatter(levels)
        claims = [self._claim(pair, levels, known, pairs, looks.share(seeds)) for pair in now]
        adjusted_p, left = holding([p for _, p, _ in claims], self.steps[settled:])
        found = {}
        for pair, (claim, _, parts), p in zip(now, claims, adjusted_p, strict=True):
            if p < CHANCE or pair in last:
                result = self._pair(pair, levels, known and known.of_pair(pair, pairs, 1.0))
                result = replace(result, verdict=claim)
                found[pair] = told(result, parts, p, left, self.sign, self.rope, looks.share(looks.most))
        return found

    def _scatter(self, levels: Mapping[str, Scored]) -> Together | None:
        several = {name: level for name, level in levels.items() if len(level.sample.seeds) > 1}
        return together(several, ENOUGH if self.looks is None else math.inf)

    def _claimed(
        self, names: Names, levels: Mapping[str, Scored], known: Together | None, pairs: int, share: float
    ) -> PairResult:
        """Return a pair with what it speaks for most, and its p, over the share of the 5 % that may be spent on it."""
        result = self._pair(names, levels, known and known.of_pair(names, pairs, 1.0))
        claim, p, _ = self._claim(names, levels, known, pairs, share)
        return replace(result, verdict=claim, p_verdict=p)

    def _claim(
        self, names: Names, levels: Mapping[str, Scored], known: Together | None, pairs: int, share: float
    ) -> tuple[str, float, VarianceParts]:
        """Return what a pair speaks for most, its p over the share of the 5 % that may be spent, and its variance.

        Claims are made farther out where the share is small, and another t distribution fits there what all levels say.
        """
        scatter = known and known.of_pair(names, pairs, share or 1.0)
        _, difference, parts = self._difference(names, levels, scatter)
        claim, p = strongest(self.sign * difference, parts, self.rope)
        return claim, min(p / share, 1.0) if share else 1.0, parts

    def _difference(
        self, names: Names, levels: Mapping[str, Scored], scatter: Scatter | None
    ) -> tuple[tuple[int, ...], float, VarianceParts]:
        """Return the seeds that are paired, the difference of the means over them, and the parts of its variance."""
        a, b = (levels[name] for name in names)
        seeds = tuple(sorted(set(a.sample.seeds) & set(b.sample.seeds)))
        paired = len(seeds) > 1
        inputs = [level.of_seeds(seeds if paired else level.sample.seeds) for level in (a, b)]
        few = self.looks is not None or len(seeds) < ENOUGH
        known = scatter if paired and few else None
        return seeds if paired else (), *difference_parts(*inputs, paired=paired, seeds=known)

    def _pair(self, names: Names, levels: Mapping[str, Scored], scatter: Scatter | None) -> PairResult:
        """Return what is known of a pair, without a verdict, and without `_with_images`."""
        seeds, difference, parts = self._difference(names, levels, scatter)
        interval, kind, wide = intervals(difference, parts, parts.seed_count)
        gain, new_seeds = self.sign * difference, wide is not None
        worse = parts.below(-self.rope, gain, new_seeds=new_seeds)
        better = parts.below(-self.rope, -gain, new_seeds=new_seeds)
        return PairResult(
            a=names[0],
            b=names[1],
            seeds=seeds,
            difference=difference,
            interval=interval,
            interval_kind=kind,
            wide=wide,
            **image_test(np.zeros(0)),
            p_better=better,
            p_equivalent=max(1 - better - worse, 0.0),
            p_worse=worse,
            verdict=OPEN,
            p_verdict=1.0,
            p_kind=BOTH if new_seeds else IMAGES,
            more_seeds=None,
            more_images=None,
            variance=parts,
        )

    def _with_images(self, pair: PairResult) -> PairResult:
        """Return a pair with what all of its runs did image by image; its p is not adjusted yet."""
        return replace(pair, **image_test(self.sign * (self.by_image[pair.a] - self.by_image[pair.b])))


def holding(p: Sequence[float], steps: Sequence[int]) -> tuple[list[float], int]:
    """Adjust p values of pairs for one another; return them, and how many pairs may be equal beside the next verdict.

    Args:
        steps: see `seg.compare.multiplicity.adjusted`; of the first ones there are as many as pairs.
    """
    found = adjusted(p, steps[: len(p)])
    return found, steps[min(sum(each < CHANCE for each in found), len(p) - 1)]


def told(
    pair: PairResult, parts: VarianceParts, p: float, left: int, sign: int, rope: float, share: float = 1.0
) -> PairResult:
    """Return a pair with its adjusted p, and, if that leaves it open, what would settle it.

    Args:
        parts: the variance by which it is judged.
        left: so many pairs may be equal beside the next verdict.
        share: of the 5 %, which may be spent on verdicts to come.
    """
    if p < CHANCE:
        return replace(pair, p_verdict=p)
    seeds, images = more_needed(sign * pair.difference, parts, rope, level=1 - CHANCE * share / left)
    return replace(pair, verdict=OPEN, p_verdict=p, more_seeds=seeds, more_images=images)


def adjust_for_multiplicity(
    pairs: Sequence[PairResult], steps: Sequence[int], sign: int, rope: float, share: float = 1.0
) -> Iterator[PairResult]:
    """Yield pairs whose p values were of each alone, adjusted for one another, and what follows from them.

    Args:
        steps, share: see `holding` and `told`.
    """
    if not pairs:
        return
    images_p = adjusted([pair.p_holm for pair in pairs], holm_steps(len(pairs)))
    verdict_p, left = holding([pair.p_verdict for pair in pairs], steps)
    for pair, p, p_holm in zip(pairs, verdict_p, images_p, strict=True):
        yield replace(told(pair, pair.variance, p, left, sign, rope, share), p_holm=p_holm)


def intervals(center: float, parts: VarianceParts, seeds: int) -> tuple[Interval, str, Interval | None]:
    """Return the interval, its kind, and the wide one."""
    wide = None if parts.seeds is None else parts.interval(center, new_seeds=True)
    if wide is not None and seeds >= ENOUGH:
        return wide, BOTH, wide
    return parts.interval(center, new_seeds=False), IMAGES, wide


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
