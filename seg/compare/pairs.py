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
            found.append(self._with_images(self._claimed(pair, self.levels, known, among, share)[0]))
        return found

    def _at_looks(self, names: Sequence[Names], looks: Looks) -> dict[Names, PairResult]:
        """Judge what is open at one look after the other, by the seeds of then, where both levels have the last one."""
        seeds = sorted({seed for level in self.levels.values() for seed in level.sample.seeds})
        found = {pair: self._before(pair, looks) for pair in names}
        for number in looks.numbers[: max(len(seeds) - looks.first + 1, 0)]:
            there = {name: level.among(seeds[:number]) for name, level in self.levels.items()}
            late = {name for name, level in there.items() if seeds[number - 1] not in level.sample.seeds}
            open_ones = [pair for pair in names if found[pair].verdict == OPEN]
            now = [pair for pair in open_ones if not late & {*pair}]
            judged = self._look(now, there, len(names), looks, number, settled=len(names) - len(open_ones))
            found |= dict(zip(now, judged, strict=True))
        return found

    def _before(self, pair: Names, looks: Looks) -> PairResult:
        """Return a pair that has not been looked at."""
        known = self._pair(pair, self.levels, None)
        missing = looks.first - known.variance.seed_count
        return replace(known, verdict=OPEN, p_verdict=1.0, more_seeds=max(missing, 1))

    def _look(
        self, now: Sequence[Names], levels: Mapping[str, Scored], pairs: int, looks: Looks, seeds: int, settled: int
    ) -> Iterator[PairResult]:
        """Yield pairs that are open, with the verdicts of one look.

        Args:
            pairs: in all.
            settled: how many of them were before.
        """
        known = self._scatter(levels) if now else None
        each = [self._claimed(pair, levels, known, pairs, looks.share(seeds)) for pair in now]
        last = looks.share(looks.most)
        yield from verdicts(each, self.steps[settled:], self.sign, self.rope, last)

    def _scatter(self, levels: Mapping[str, Scored]) -> Together | None:
        several = {name: level for name, level in levels.items() if len(level.sample.seeds) > 1}
        return together(several, ENOUGH if self.looks is None else math.inf)

    def _claimed(
        self, names: Names, levels: Mapping[str, Scored], known: Together | None, pairs: int, share: float
    ) -> tuple[PairResult, VarianceParts]:
        """Return a pair with what it speaks for most and its p, over the share of the 5 % that may be spent on it.

        And the variance by which that was found: claims are made farther out where the share is small, and another t
        distribution fits there what all levels say.
        """
        result = self._pair(names, levels, known and known.of_pair(names, pairs, 1.0))
        parts = result.variance
        if 0 < share < 1:
            parts = self._difference(names, levels, known and known.of_pair(names, pairs, share))[2]
        claim, p = strongest(self.sign * result.difference, parts, self.rope)
        return replace(result, verdict=claim, p_verdict=min(p / share, 1.0) if share else 1.0), parts

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


def verdicts(
    claimed: Sequence[tuple[PairResult, VarianceParts]],
    steps: Sequence[int],
    sign: int,
    rope: float,
    share: float = 1.0,
) -> Iterator[PairResult]:
    """Yield pairs whose p values were of each alone, adjusted for one another, and what would settle the open ones.

    Args:
        claimed: each with the variance by which it is judged.
        steps: see `seg.compare.multiplicity.adjusted`; of the first ones there are as many as pairs.
        share: of the 5 %, which may be spent on verdicts to come.
    """
    verdict_p = adjusted([pair.p_verdict for pair, _ in claimed], steps[: len(claimed)])
    settled = sum(p < 0.05 for p in verdict_p)
    for (pair, parts), p in zip(claimed, verdict_p, strict=True):
        if p < 0.05:
            yield replace(pair, p_verdict=p)
            continue
        level = 1 - 0.05 * share / steps[settled]
        seeds, images = more_needed(sign * pair.difference, parts, rope, level=level)
        yield replace(pair, verdict=OPEN, p_verdict=p, more_seeds=seeds, more_images=images)


def adjust_for_multiplicity(
    pairs: Sequence[PairResult], steps: Sequence[int], sign: int, rope: float, share: float = 1.0
) -> Iterator[PairResult]:
    """Yield the pairs with p values that are adjusted for one another, and what follows from them; see `verdicts`."""
    images_p = adjusted([pair.p_holm for pair in pairs], holm_steps(len(pairs)))
    judged = verdicts([(pair, pair.variance) for pair in pairs], steps, sign, rope, share)
    for pair, p_holm in zip(judged, images_p, strict=True):
        yield replace(pair, p_holm=p_holm)


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
