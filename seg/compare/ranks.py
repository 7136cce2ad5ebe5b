"""How firm a ranking is: ranks in random draws of the levels' true scores, and agreement between rankings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from seg.compare.scatter import SeedInteraction
from seg.compare.variance import Interval, covariance, image_degrees, image_parts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """Ranks of L levels, 1 for the best.

    Attributes:
        ranks: (L,) by the scores that were found; equal levels share the better one.
        intervals: (L,) lowest and highest rank in the middle 95 % of the draws.
        shares: (L, L) share of the draws in which a level (row) has a rank (column).
        winner: index of the level with the best score.
        false_claim: share of the draws in which another level is better than the winner; they take any distance
            between levels for as likely as another, so that it is too low where levels are closer than seeds scatter.
        tau, tau_interval: Kendall's tau between the ranking of a draw and the one found: mean, middle 95 %; NaN for one
            level, or if all scores are equal.
    """

    ranks: tuple[int, ...]
    intervals: tuple[tuple[int, int], ...]
    shares: Floats
    winner: int
    false_claim: float
    tau: float
    tau_interval: Interval


_DIGITS = 9


def rank_draws(scores: Floats, draws: Floats) -> Ranks:
    """Measure how firm the ranking of scores is.

    Args:
        scores: (L,) that were found; the higher the better.
        draws: (draws, L) what the true ones may be.
    """
    levels = len(scores)
    draws = draws.round(_DIGITS)  # or levels that are equal would have an order
    ranks = rankdata(-draws, "min", axis=1)
    shares = np.stack([(ranks == rank).mean(0) for rank in range(1, levels + 1)], axis=1)
    low, high = np.quantile(ranks, (0.025, 0.975), axis=0, method="inverted_cdf")
    winner = int(scores.argmax())
    taus = _taus(scores, draws)
    middle = np.quantile(taus, (0.025, 0.975)) if levels > 1 else (np.nan, np.nan)
    return Ranks(
        ranks=tuple(rankdata(-scores.round(_DIGITS), "min").astype(int).tolist()),
        intervals=tuple((int(a), int(b)) for a, b in zip(low, high, strict=True)),
        shares=shares,
        winner=winner,
        false_claim=float((draws.max(1) > draws[:, winner]).mean()),
        tau=float(taus.mean()),
        tau_interval=(float(middle[0]), float(middle[1])),
    )


def _taus(scores: Floats, draws: Floats) -> Floats:
    """Return Kendall's tau-b of each draw (draws,); draws have no ties."""
    total, pairs, untied = np.zeros(len(draws)), 0, 0
    for a in range(len(scores)):
        order = np.sign(scores[a] - scores[a + 1 :])
        total += np.sign(draws[:, a, None] - draws[:, a + 1 :]) @ order
        pairs, untied = pairs + len(order), untied + int((order != 0).sum())
    return total / np.sqrt(pairs * untied) if untied else np.full(len(draws), np.nan)


def joint_draws(
    levels: Sequence[tuple[Floats, Floats]],
    draws: int,
    rng: np.random.Generator,
    *,
    paired: bool,
    pooled: SeedInteraction | None = None,
) -> Floats:
    """Draw what the true scores of all levels may be together, around those found: (draws, L).

    To those a multivariate t is added for seeds, and one for images, as Behrens and Fisher would. Their covariances are
    the parts of `seg.compare.variance.VarianceParts`, between all levels at once, mended where chance gave a part a
    negative direction. A level of one seed makes all of it about these very seeds.

    Args:
        levels: scores (S,) of each, and scores (n, S) without each image; images are the same in all.
        paired: whether all levels have the same seeds; if not, seeds are independent between levels.
        pooled: of paired levels, what all say of how seeds scatter. What a seed does to all levels alike is left out
            then: it changes no rank.
    """
    seeds = [len(scores) for scores, _ in levels]
    means = np.stack([without.mean(1) for _, without in levels], axis=1)
    together = covariance(means)
    by_seeds = remainder = np.zeros_like(together)
    degrees = max(min(seeds) - 1.0, 1.0)
    if min(seeds) > 1 and paired:
        left = np.stack([without for _, without in levels], axis=2)
        apart = np.mean([covariance(left[:, seed]) for seed in range(seeds[0])], axis=0)
        remainder = _mended((apart - together) / (seeds[0] - 1))
        by_seeds = np.atleast_2d(np.cov([scores for scores, _ in levels])) / seeds[0]
        if pooled is not None:
            by_seeds = np.diag(pooled.levels) / seeds[0]
    elif min(seeds) > 1:
        remainder = np.diag([image_parts(without)[1] for _, without in levels])
        by_seeds = np.diag([np.var(scores, ddof=1) / len(scores) for scores, _ in levels])
    by_seeds, by_images = remainder + _mended(by_seeds - remainder), _mended(together - remainder)
    # each part has its own doubt; ranks depend on differences between levels alone, and so do degrees of freedom
    of_images = image_degrees(means - means.mean(1, keepdims=True))
    found = np.tile([scores.mean() for scores, _ in levels], (draws, 1))
    for part, known, each in ((by_seeds, degrees, pooled), (by_images, of_images, None)):
        scale = np.sqrt(known / rng.chisquare(known, (draws, 1))) if each is None else each.scales(draws, rng)
        found += scale * (rng.standard_normal((draws, len(levels))) @ _root(part))
    return found


def _mended(matrix: Floats) -> Floats:
    """Return the nearest positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    found: Floats = (vectors * np.maximum(values, 0)) @ vectors.T
    return found


def _root(matrix: Floats) -> Floats:
    """Return the symmetric square root, which does not depend on the order of the levels."""
    values, vectors = np.linalg.eigh(matrix)
    values[values < 1e-12 * values[-1]] = 0  # rounding, which the root would make larger
    found: Floats = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return found


def agreement(scores: Mapping[str, Sequence[float]]) -> Floats:
    """Return Kendall's tau-b between the rankings of the same levels by several metrics (metrics, metrics).

    NaN where a metric has no order: all of its scores are equal, or one is NaN.

    Args:
        scores: metric -> score of each level; the higher the better.
    """
    values = [np.asarray(of_metric) for of_metric in scores.values()]
    return np.array([[_tau(a, b) for b in values] for a in values])


def _tau(a: Floats, b: Floats) -> float:
    if np.isnan(a).any() or np.isnan(b).any() or len(a) < 2:
        return float("nan")
    return float(kendalltau(a, b).statistic)
