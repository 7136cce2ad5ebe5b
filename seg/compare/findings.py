"""The result of a comparison, as plain data."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seg.compare.looks import Looks
from seg.compare.ranks import Ranks
from seg.compare.variance import Interval, VarianceParts
from seg.files.notebook import said, table
from seg.metrics.catalogue import Metric

Floats = NDArray[np.float64]

IMAGES, BOTH = "images only", "seeds and images"
OPEN = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean, or a difference of means, and how far the truth may be from it.

    Attributes:
        interval: 95 %; of ``interval_kind``: `IMAGES` or `BOTH`.
        wide: 95 % interval that is about new seeds too; None for one seed.
        variance: of the mean, in parts.
    """

    interval: Interval
    interval_kind: str
    wide: Interval | None
    variance: VarianceParts

    @property
    def widest(self) -> Interval:
        """The interval that verdicts follow: about new seeds too, where they show."""
        return self.wide or self.interval


@dataclass(frozen=True, kw_only=True)
class LevelResult(Estimate):
    """What is known of one level.

    Attributes:
        level: its name.
        seeds, scores: of its runs.
        images: number of images.
        mean: of its seeds' scores.
        rank, rank_interval: 1 for the best.
        rank_shares: probability of each rank.
        scatter: how far a seed moves this level (standard deviation, in units of the metric), but for what it does to
            all levels alike, as far as all of them together tell; None of two levels, or of one seed.
        scatters_more: probability that this level scatters more than most do, 0..1; None likewise.
        bounds: that no score lies beyond.
    """

    level: str
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    images: int
    mean: float
    rank: int
    rank_interval: tuple[int, int]
    rank_shares: tuple[float, ...]
    scatter: float | None
    scatters_more: float | None
    bounds: Interval = (-math.inf, math.inf)

    @property
    def of_these_runs(self) -> Interval:
        """The 95 % interval that is about these very runs on new images."""
        low, high = self.variance.interval(self.mean, new_seeds=False)
        return max(low, self.bounds[0]), min(high, self.bounds[1])


@dataclass(frozen=True, kw_only=True)
class PairResult(Estimate):
    """What is known of the difference between two levels: a minus b.

    Attributes:
        a, b: names.
        seeds: that were paired, those that both have. Of fewer than two, all seeds of both levels are compared, not
            paired, and this is empty. Of several looks, those of the look that settled the pair.
        difference: of the means over these seeds.
        wins, ties, losses: images on which a's score, averaged over seeds, is better than, equal to, worse than b's.
        p_holm: paired Wilcoxon signed-rank test over images (or groups), adjusted for all pairs after Holm.
        effect: matched-pairs rank-biserial correlation, -1..1: the share of the ranks of differences between images
            that speaks for a, less that for b (Kerby, "The simple difference formula", 2014). Of the usual effect
            sizes the one that belongs to the Wilcoxon test; unlike Cohen's d it is not blown up by images that are all
            equally easy, nor hidden by a few outliers.
        p_better, p_equivalent, p_worse: probabilities that a is better than b by more than the rope, that they differ
            by less, that it is worse: areas under the t distribution of the ``wide`` interval.
        p_kind: `BOTH`; for one seed `IMAGES`: these probabilities are about these very runs.
        verdict: on a: better, worse, equivalent or inconclusive, after `seg.compare.variance.verdict` with the ``wide``
            interval; of several pairs each must have ``p_verdict`` below 0.05. For one seed always inconclusive.
        p_verdict: that of `seg.compare.variance.strongest`, adjusted for all pairs after Shaffer, or for those with
            the reference after Holm; and for the looks.
        more_seeds, more_images: so many more, of one or the other (of groups, if there are any), would settle an
            inconclusive verdict if the difference stays as it is; None if no number would, or it is settled.
    """

    a: str
    b: str
    seeds: tuple[int, ...]
    difference: float
    wins: int
    ties: int
    losses: int
    p_holm: float
    effect: float
    p_better: float
    p_equivalent: float
    p_worse: float
    p_kind: str
    verdict: str
    p_verdict: float
    more_seeds: int | None
    more_images: int | None

    def seen_from(self, level: str) -> "PairResult":
        """Return the pair with ``level`` first, signs swapped where needed."""
        if self.a == level:
            return self
        return replace(
            self,
            a=self.b,
            b=self.a,
            difference=-self.difference,
            interval=turned(self.interval),
            wide=self.wide and turned(self.wide),
            wins=self.losses,
            losses=self.wins,
            effect=-self.effect,
            p_better=self.p_worse,
            p_worse=self.p_better,
            verdict=OPPOSITE.get(self.verdict, self.verdict),
        )


OPPOSITE = {"better": "worse", "worse": "better"}
LIKELY = 0.5
"""Probability above which a level is said to scatter more than others: rather than not."""
SIGNS = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"}
"""What stands for a verdict where words would be noise: told apart without colours."""


def turned(interval: Interval) -> Interval:
    """Return the interval of the difference with the opposite sign."""
    return -interval[1], -interval[0]


@dataclass(frozen=True)
class Comparison:
    """The result of `seg.compare.compare`.

    Attributes:
        metric, rope, draws, seed, reference, looks: as asked for.
        measure: what is known of the metric.
        units: number of images, or of groups.
        groups: (images,) the group of each image, 0..units - 1.
        levels: in the order given.
        pairs: of all levels, the first named first; or of each with the reference.
        ranks: of the levels; with the winner and the probability that it is a false claim.
        rank_kind: `BOTH`; `IMAGES` if a level has one seed: ranks are about these very runs.
        class_iou: (L, C) IoU of each class over the dataset, mean over seeds; NaN where it does not occur.
        class_interval: (L, C, 2) their 95 % intervals, each of its level's kind; NaN for a class in fewer than two
            images.
    """

    metric: str
    measure: Metric
    rope: float
    draws: int
    seed: int
    units: int
    groups: NDArray[np.intp]
    levels: tuple[LevelResult, ...]
    pairs: tuple[PairResult, ...]
    ranks: Ranks
    rank_kind: str
    class_iou: Floats
    class_interval: Floats
    reference: str | None = None
    looks: Looks | None = None

    def __repr__(self) -> str:
        best = self.by_rank[0]
        settled = sum(pair.verdict != OPEN for pair in self.pairs)
        of = f"{settled} of {len(self.pairs)} pairs settled" if self.pairs else ""
        first = f"best {best.level} {self.measure.shown(best.mean)}"
        return said("Comparison", f"{self.metric} of {len(self.levels)} levels", first, of, f"rope {self.rope:g}")

    def _repr_html_(self) -> str:
        """Return the ranking and the verdicts, for notebooks."""
        shown = self.measure.shown
        ranking = [
            (
                str(level.rank),
                level.level,
                str(len(level.seeds)),
                shown(level.mean),
                " to ".join(map(shown, level.widest)),
            )
            for level in self.by_rank
        ]
        number, unit = self.measure.number, self.measure.differences
        verdicts = [
            (f"{pair.a} - {pair.b}", number(pair.difference), " to ".join(map(number, pair.widest)), pair.verdict)
            for pair in self.pairs
        ]
        head = ("rank", "level", "seeds", self.measure.title, "95 % interval")
        told = table("", ("pair", f"difference, {unit}", "95 % interval", "verdict"), verdicts) if verdicts else ""
        return table("", head, ranking) + told

    @property
    def by_rank(self) -> list[LevelResult]:
        """The levels, the best one first."""
        return sorted(self.levels, key=lambda level: level.rank)

    @property
    def best(self) -> list[str]:
        """Names of the levels that share the best score: one, as a rule."""
        return [level.level for level in self.levels if level.rank == 1]

    def pairs_with(self, level: str) -> list[PairResult]:
        """Return the pairs of a level, seen from it."""
        return [pair.seen_from(level) for pair in self.pairs if level in (pair.a, pair.b)]
