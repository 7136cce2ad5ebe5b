"""How differently seeds do on one level and on another, learnt from all levels, which need not scatter alike.

**The model.** A score is ``level + seed + rest``. What a seed does to all levels alike (``seed``) may be anything and
drops out of every difference. The rest is normal, with a deviation of the level's own: most levels have the same one,
a few a multiple of it (`DIFFERENT`, `multiples_of`). How far all of them scatter is not known beforehand (Jeffreys),
which level is which neither: both follow from the scores, by Bayes' rule, each possibility with its weight. So three
seeds of seven levels that scatter alike count as twenty-one, one that scatters far more is judged by its own scatter,
and takes nothing away from the others.

**Why it holds.** Three seeds of a level that scatters far more may happen to lie as close together as those of the
others, and no method can see that. So p values from the weights are a little too small where few levels scatter so, and
too large where none does. `CAREFUL` makes up for it: by how much depends on the number of levels and seeds alone, never
on the scores. It was chosen by simulation, in the worlds of ``benchmarks/bench_scatter.py``, so that about 5 % of the
comparisons have any false verdict in the worst of them: of 212 rows (2 to 5 seeds, normal scores, images that do
nothing), 210 have at most 4.9 %, two 5.2 and 5.4 (``benchmarks/results/scatter-2026-11-29.md``). The same worlds chose
and judged it. With other random numbers, ten times as many, the two have 4.7 and 5.2 %; where every level has a scatter
of its own (log-normal) at most 4.7 % (``scatter-further-2026-11-30.md``). With images, few or in scenes, and a rope, at
most 2.7 % (``worlds-2026-11-30.md``, which also has what more or less care would find). Scores that are not normal were
not tried.

Levels need not have the same number of seeds, as long as those of one are among those of another: a level that got no
more of them (`seg.compare.looks`) still tells what it knows.

Two levels have no others to learn from: `seg.compare.statistics` judges them by the paired t test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

DIFFERENT = 0.2
"""Probability, before any score is seen, that a level does not scatter like the others."""
STEPS = (-4, 12)
"""Half octaves that it may differ by: a quarter of the others' deviation to 64 times that."""
FADING = 2.5
"""Natural logarithm of the multiple, to either side, by which its probability falls to 1 / e."""
CHAINS, FORGOTTEN, KEPT = 256, 10, 30
"""Chains that are sampled side by side, the steps in which they forget their beginning, and those that count."""
CAREFUL_SEEDS, CAREFUL_LEVELS = (2, 3, 5, 10), (3, 4, 7, 12, 20)
CAREFUL = (
    (0.55, 0.70, 0.90, 1.00, 1.00),
    (0.45, 0.60, 0.95, 0.65, 0.70),
    (0.55, 0.65, 0.80, 0.80, 0.85),
    (0.45, 0.85, 0.90, 0.95, 1.00),
)
"""The share of 0.05 at which a claim is made, a row for each number of seeds, a column for each number of levels."""
NEAR, FAR = 0.05, 0.01
"""The p values at which a pair's t distribution is fitted; the second one is smaller where there are many pairs."""
LEAST_DEGREES, MOST_DEGREES = 0.2, 1e5


@dataclass(frozen=True)
class SeedInteraction:
    """How far seeds move each of L levels, but for what they do to all alike, as D equally likely possibilities.

    Attributes:
        variances: (D, L) of the scores of a level, each with the same doubt: that of ``degrees``.
        degrees: of freedom of each possibility, (L - 1) (S - 1) of S seeds each.
        more: (L,) probability that a level scatters more than most do, 0..1.
        seeds: (L,) of each level.
    """

    variances: Floats
    degrees: int
    more: Floats
    seeds: tuple[int, ...]

    @property
    def levels(self) -> Floats:
        """The variance of each level (L,): half of the possibilities are smaller."""
        found: Floats = np.median(self.variances, axis=0)
        return found

    def scales(self, draws: int, rng: np.random.Generator) -> Floats:
        """Draw deviations (draws, L), in those of `levels`."""
        doubt = self.degrees / rng.chisquare(self.degrees, (draws, 1))
        chosen = doubt * self.variances[rng.integers(len(self.variances), size=draws)]
        found: Floats = np.sqrt(chosen / np.where(self.levels > 0, self.levels, 1.0))
        return found

    def pair(self, a: int, b: int, pairs: int, share: float = 1.0) -> tuple[float, float]:
        """Return variance, and degrees of freedom, of the difference of a seed's scores on two levels.

        They are those of the t distribution that agrees with the possibilities where verdicts are made: at p = 0.05,
        which the last of ``pairs`` must reach, and at 0.05 / ``pairs``, which the first one must; both times ``share``,
        where this is one of several looks.
        """
        variances = self.variances[:, a] + self.variances[:, b]
        if not variances.all():
            return 0.0, MOST_DEGREES
        far = min(NEAR / pairs, FAR)
        care = careful(len(self.seeds), min(self.seeds[a], self.seeds[b]))
        return _fitted(variances, self.degrees, (NEAR * share, far * share), care)


def seed_interaction(scores: Floats) -> SeedInteraction:
    """Return how seeds move levels, of scores (L, S) of the same seeds, three levels and two seeds at least.

    The same scores give the same result to the bit; it takes half a second for 20 levels.

    Args:
        scores: NaN for the last seeds of a level that has fewer than others.

    Raises:
        ValueError: too few of them, or seeds that one level has are not among those that another one has more of.
    """
    there = ~np.isnan(scores)
    levels, seeds = scores.shape
    if levels < 3 or seeds < 2 or not there[:, :2].all():
        fewest = int(there.sum(1).min(initial=seeds))
        raise ValueError(
            f"scores: expected at least 3 levels and 2 seeds, got {levels} and {fewest}; compare two levels as a pair"
        )
    if (there[:, 1:] > there[:, :-1]).any():
        raise ValueError("scores: expected levels that lack their last seeds alone, got others; give the shared seeds")
    moved, counts = contrasts(scores), tuple(there.sum(1).tolist())
    sizes = there[:, 1:].sum(0)
    degrees = int((sizes - 1).sum())
    size = float(np.sqrt(((moved - there[:, 1:] * moved.sum(0) / sizes) ** 2).mean()))
    if size <= 1e-12 * max(float(np.abs(scores[there]).max()), 1e-300):  # rounding
        return SeedInteraction(np.zeros((1, levels)), degrees, np.zeros(levels), counts)
    variances, more = _chains(
        [_Alike(there[:, 1:][:, sizes == n][:, 0], moved[:, sizes == n] / size) for n in {*sizes}]
    )
    return SeedInteraction(size**2 * variances, degrees, more, counts)


def contrasts(scores: Floats) -> Floats:
    """Return what each seed adds to those before it (L, S - 1), 0 where a level has none: the level itself is gone.

    Helmert's contrasts: of independent scores of one variance they are independent, and have the same.
    """
    before = np.arange(1, scores.shape[1])
    found: Floats = (scores[:, 1:] - scores.cumsum(1)[:, :-1] / before) * np.sqrt(before / (before + 1))
    return np.nan_to_num(found)


class _Alike(NamedTuple):
    """The contrasts that the same levels have: which ones (L,), and what they are (L, T), 0 for the others."""

    there: NDArray[np.bool_]
    moved: Floats


def multiples_of(seeds: int) -> tuple[Floats, Floats]:
    """Return the deviations that a level may have, in those of most levels, and their probabilities.

    The more seeds there are, the finer they tell deviations apart, and the finer are the steps.
    """
    finer = max(1, round(math.sqrt((seeds - 1) / 2)))
    logs = np.arange(finer * STEPS[0], finer * STEPS[1] + 1) * math.log(2) / 2 / finer
    shares = np.where(logs == 0, 0.0, np.exp(-np.abs(logs) / FADING))
    return np.exp(logs), np.where(logs == 0, 1 - DIFFERENT, DIFFERENT * shares / shares.sum())


def _chains(parts: Sequence[_Alike]) -> tuple[Floats, Floats]:
    """Sample variances (D, L), and how often a level has more than most have (L,): Gibbs, in parallel chains.

    Only the multiples are sampled, a level at a time. Given these, the rest is known: the common deviation and what a
    seed does to all levels follow from a weighted analysis of variance.

    Args:
        parts: the contrasts of all seeds.
    """
    rng = np.random.default_rng(0)  # always the same numbers: the result depends on the scores alone
    own = sum(part.there * part.moved.shape[1] for part in parts)
    levels, degrees = len(own), sum((int(part.there.sum()) - 1) * part.moved.shape[1] for part in parts)
    multiples, shares = multiples_of(int(own.max()) + 1)
    weights = multiples**-2
    chosen = rng.choice(len(weights), p=shares, size=(CHAINS, levels))
    kept, more = [], np.zeros(levels)
    for step in range(FORGOTTEN + KEPT):
        for level in range(levels):
            others = weights[chosen]
            others[:, level] = 0
            fit, left = _given(others, parts, weights, level)
            fit += np.log(shares) - own[level] * np.log(multiples) - degrees / 2 * np.log(left)
            share = np.exp(fit - fit.max(1, keepdims=True)).cumsum(1)
            chosen[:, level] = (share < rng.random((CHAINS, 1)) * share[:, -1:]).sum(1)
        if step >= FORGOTTEN:  # of the last level, what is left has just been found
            rest = left[np.arange(CHAINS), chosen[:, -1]] / degrees
            kept.append(rest[:, None] / weights[chosen])
            more += (weights[chosen] < 1).mean(0) / KEPT
    return np.concatenate(kept), more


def _given(others: Floats, parts: Sequence[_Alike], weights: Floats, level: int) -> tuple[Floats, Floats]:
    """Return what each weight (CHAINS, K) of one level does to the doubt of the seeds that are common to all.

    Args:
        others: weights (CHAINS, L) of the other levels.

    Returns:
        The logarithm of that doubt, and the weighted sum of squares that the common seeds leave.
    """
    doubt, left = np.zeros((2, len(others), len(weights)))
    for there, moved in parts:
        mine, lengths = weights * there[level], (moved**2).sum(1)
        apart, total = others @ moved, (others @ there)[:, None] + mine
        both = (others @ lengths)[:, None] + weights * lengths[level]
        along = (apart**2).sum(1)[:, None] + 2 * weights * (apart @ moved[level])[:, None] + weights**2 * lengths[level]
        left += np.maximum(both - along / total, np.finfo(float).eps * both)
        doubt -= moved.shape[1] / 2 * np.log(total)
    return doubt, left


def careful(levels: int, seeds: int) -> float:
    """Return the share of 0.05 at which claims are made, 0..1: `CAREFUL`, and what lies between its numbers."""
    rows = [np.interp(math.log(levels), np.log(CAREFUL_LEVELS), row) for row in CAREFUL]
    return float(np.interp(math.log(seeds), np.log(CAREFUL_SEEDS), rows))


def _fitted(variances: Floats, given: int, shares: tuple[float, float], careful: float) -> tuple[float, float]:
    """Return variance and degrees of freedom of the t distribution with the same two-sided quantiles at two shares.

    Args:
        shares: of the t distribution, the larger one first.
        careful: times these, the shares of the mixture of t distributions with these variances.
        given: their degrees of freedom.
    """
    counts, edges = np.histogram(np.log(variances), bins=128)
    deviations, weights = np.exp((edges[1:] + edges[:-1]) / 4)[counts > 0], counts[counts > 0] / len(variances)
    near, far = (_quantile(deviations, weights, given, share * careful) for share in shares)
    ratio = math.log(far / near)

    def apart(degrees: float) -> float:
        return math.log(float(stdtrit(degrees, shares[1] / 2) / stdtrit(degrees, shares[0] / 2))) - ratio

    if apart(MOST_DEGREES) >= 0:
        degrees = MOST_DEGREES
    elif apart(LEAST_DEGREES) <= 0:
        degrees = LEAST_DEGREES
    else:
        degrees = math.exp(brentq(lambda n: apart(math.exp(n)), math.log(LEAST_DEGREES), math.log(MOST_DEGREES)))
    quantiles = [-float(stdtrit(degrees, share / 2)) for share in shares]
    # where no t distribution is as wide or narrow, the wider fit
    return max(near / quantiles[0], far / quantiles[1]) ** 2, degrees


def _quantile(deviations: Floats, weights: Floats, degrees: int, share: float) -> float:
    """Return what a mixture of centred t distributions exceeds, to either side, with a probability.

    It lies between what its narrowest and its widest part exceed; in logarithms the way there is nearly straight.

    Args:
        deviations: of the parts, rising.
    """
    wanted = math.log(share / 2)

    def beyond(log: float) -> float:
        return math.log(weights @ stdtr(degrees, -math.exp(log) / deviations)) - wanted

    middle = math.log(-float(stdtrit(degrees, share / 2)))
    ends = middle + math.log(deviations[0]) - 1e-6, middle + math.log(deviations[-1]) + 1e-6
    return math.exp(brentq(beyond, *ends, xtol=1e-10))
