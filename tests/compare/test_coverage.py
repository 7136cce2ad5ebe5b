"""How often intervals hold the truth of simulated worlds; the slow part asks more worlds and more often.

python -m pytest tests/compare/test_coverage.py -m ""

``benchmarks/results/statistics-2026-11-26.md`` has the same for other ways to make intervals.
"""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from made_scores import WORLDS, World

from seg.compare.multiplicity import adjusted, shaffer_steps
from seg.compare.ranks import joint_draws, rank_draws
from seg.compare.scatter import seed_interaction
from seg.compare.scores import LevelScores, Scored, scored
from seg.compare.statistics import compare
from seg.compare.variance import difference_parts, strongest, variance_parts, verdict

IMAGES = 100

Found = dict[str, list[tuple[float, float, float]]]
"""By what is estimated: low and high end of the interval, and the truth."""


def experiments(world: World, seeds: int, rounds: int) -> Found:
    """Intervals about new seeds of equal levels, with the score of very many images and seeds as the truth."""
    rng = np.random.default_rng(seeds)
    truth = float(np.mean([world.truth(rng, world.seeds(rng, 2, 50), 500) for _ in range(40)]))
    found: Found = defaultdict(list)
    for _ in range(rounds):
        a, b = judged(world.counts(rng, world.seeds(rng, 2, seeds), IMAGES))
        level = variance_parts(a.scores, a.without).interval(a.scores.mean(), new_seeds=True)
        difference, parts = difference_parts((a.scores, a.without), (b.scores, b.without), paired=True)
        found["level"].append((*level, truth))
        found["pair"].append((*parts.interval(difference, new_seeds=True), 0.0))
    return found


def experiments_with_these_seeds(world: World, seeds: int, rounds: int) -> Found:
    """Intervals about these very runs, with their score on 3000 images as the truth."""
    rng = np.random.default_rng(seeds)
    found: Found = defaultdict(list)
    for _ in range(rounds):
        runs = world.seeds(rng, 2, seeds)
        a, b = judged(world.counts(rng, runs, IMAGES))
        truth = world.truth(rng, runs, 3000)
        level = variance_parts(a.scores, a.without).interval(a.scores.mean(), new_seeds=False)
        difference, parts = difference_parts((a.scores, a.without), (b.scores, b.without), paired=True)
        found["level"].append((*level, truth[0]))
        found["pair"].append((*parts.interval(difference, new_seeds=False), truth[0] - truth[1]))
    return found


def judged(counts: np.ndarray) -> list[Scored]:
    return [scored(LevelScores(tuple(range(len(each))), each), "miou", np.arange(IMAGES)) for each in counts]


def check(found: Found, low: float, high: float) -> None:
    """Make sure that the share of intervals that hold the truth is in a range, widened by two standard errors."""
    for name, values in found.items():
        share = np.mean([a <= truth <= b for a, b, truth in values])
        doubt = 2 * np.sqrt(0.05 * 0.95 / len(values))
        assert low - doubt <= share <= high + doubt, name


def false_verdicts(found: Found, rope: float) -> float:
    """The share of equal pairs that are called better or worse."""
    return float(np.mean([verdict((low, high), rope) in ("better", "worse") for low, high, _ in found["pair"]]))


def test_intervals_about_new_seeds_hold_the_truth() -> None:
    found = experiments(WORLDS["as usual"], 10, 300)
    check(found, 0.93, 0.97)
    assert false_verdicts(found, 0.005) < 0.05


def test_intervals_about_these_seeds_hold_the_truth() -> None:
    check(experiments_with_these_seeds(WORLDS["as usual"], 3, 100), 0.92, 0.98)


def test_few_seeds_do_not_make_equal_levels_different() -> None:
    """Where seeds matter, intervals of three runs on these images are often apart; verdicts must not be."""
    world, rng = WORLDS["seeds matter"], np.random.default_rng(0)
    wrong, apart, rounds = 0, 0, 100
    for _ in range(rounds):
        counts = world.counts(rng, world.seeds(rng, 2, 3), IMAGES)
        (pair,) = compare(
            {name: LevelScores((0, 1, 2), each) for name, each in zip("ab", counts, strict=True)}, draws=100
        ).pairs
        wrong += pair.verdict in ("better", "worse")
        apart += not pair.interval[0] <= 0 <= pair.interval[1]
    assert wrong <= 0.05 * rounds + 2 * np.sqrt(0.05 * 0.95 * rounds)
    assert apart > 0.5 * rounds


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(("levels", "seeds"), [(2, 5), (7, 3), (4, 10)])
def test_no_pair_of_many_is_called_different(name: str, levels: int, seeds: int) -> None:
    """In all but 5 % of the comparisons of equal levels; unadjusted it would be every second of 7 levels."""
    world, rng, rounds = WORLDS[name], np.random.default_rng(0), 300
    wrong = 0
    for _ in range(rounds):
        counts = world.counts(rng, world.seeds(rng, levels, seeds), IMAGES)
        samples = {str(level): LevelScores(tuple(range(seeds)), each) for level, each in enumerate(counts)}
        wrong += any(pair.verdict in ("better", "worse") for pair in compare(samples, draws=100).pairs)
    assert wrong <= 0.05 * rounds + 2 * np.sqrt(0.05 * 0.95 * rounds)


def called(scores: np.ndarray) -> dict[tuple[int, int], bool]:
    """Whether each pair of levels of scores (L, S) is called different; images do nothing."""
    still, known = np.zeros((50, 1)), seed_interaction(scores)
    pairs = list(itertools.combinations(range(len(scores)), 2))
    found = []
    for a, b in pairs:
        each = [(scores[i], still + scores[i]) for i in (a, b)]
        seeds = known.pair(a, b, len(pairs))
        found.append(strongest(*difference_parts(each[0], each[1], paired=True, seeds=seeds), 0.0)[1])
    return {pair: p < 0.05 for pair, p in zip(pairs, adjusted(found, shaffer_steps(len(scores))), strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("deviations", [(1,) * 7, (5, *[1] * 6), (5, 5, *[1] * 5), (5, 1, 1, 1), (5, 1, 1)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_levels_may_scatter_differently(seeds: int, deviations: tuple[float, ...]) -> None:
    """In at most 5 % of the comparisons a verdict is false, whichever levels scatter more, with a better level or not.

    The worlds that are worst for so many levels; the bound is two standard errors above 5 %.
    """
    rng, rounds, levels = np.random.default_rng(0), 400, len(deviations)
    scale, better = np.array(deviations)[:, None], 4 * np.eye(levels)[:, [-1]]
    wrong = 0
    for _ in range(rounds):
        found = called(scale * rng.standard_normal((levels, seeds)) + better)
        wrong += any(said for pair, said in found.items() if levels - 1 not in pair)
    assert wrong <= 0.05 * rounds + 2 * np.sqrt(0.05 * 0.95 * rounds)


@pytest.mark.slow
def test_one_noisy_level_does_not_hide_the_others() -> None:
    """Of seven levels and five seeds one scatters five times as much; by one scatter for all 23 % were found."""
    rng, rounds = np.random.default_rng(0), 100
    scale, better = np.array([5.0, *[1] * 6])[:, None], 4 * np.eye(7)[:, [6]]
    found = [called(scale * rng.standard_normal((7, 5)) + better) for _ in range(rounds)]
    assert np.mean([each[other, 6] for each in found for other in range(6)]) > 0.7


def test_three_seeds_find_what_is_far_better() -> None:
    """One of seven levels that is better by eight times the scatter of a seed; pair by pair they find it in a fifth."""
    rng, rounds = np.random.default_rng(0), 25
    found = [called(rng.standard_normal((7, 3)) + 8 * np.eye(7)[:, :1]) for _ in range(rounds)]
    assert np.mean([each[0, other] for each in found for other in range(1, 7)]) > 0.85


@pytest.mark.parametrize("seeds", [2, 3, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("deviations", [(1,) * 7, (5, *[1] * 6), (0.3, 0.5, 0.7, 1, 1.5, 2, 3)])
def test_rank_intervals_of_few_seeds_hold_the_true_ranks(seeds: int, deviations: tuple[float, ...]) -> None:
    """Of levels that are hardly apart; by the scatter of each pair two seeds hold 83 % of them."""
    rng, held, rounds = np.random.default_rng(0), [], 40
    for _ in range(rounds):
        truth = 0.5 * rng.standard_normal(7)
        scores = truth[:, None] + np.array(deviations)[:, None] * rng.standard_normal((7, seeds))
        levels = [(each, np.zeros((50, 1)) + each) for each in scores]
        draws = joint_draws(levels, 500, rng, paired=True, pooled=seed_interaction(scores))
        low, high = np.transpose(rank_draws(scores.mean(1), draws).intervals)
        places = (-truth).argsort().argsort() + 1
        held.append(((low <= places) & (places <= high)).mean())
    assert np.mean(held) >= 0.95 - 2 * np.std(held) / np.sqrt(rounds)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_hold_the_truth_in_many_worlds(name: str) -> None:
    found = experiments(WORLDS[name], 10, 1500)
    check(found, 0.93, 0.97)
    assert false_verdicts(found, 0.005) < 0.05
    assert false_verdicts(found, 0.0) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_about_three_runs_hold_the_truth_in_many_worlds(name: str) -> None:
    check(experiments_with_these_seeds(WORLDS[name], 3, 800), 0.92, 0.98)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("name", WORLDS)
def test_few_seeds_are_never_too_sure(name: str, seeds: int) -> None:
    """Intervals about new seeds may be too wide, where seeds do little, but hardly too narrow."""
    found = experiments(WORLDS[name], seeds, 1000)
    check(found, 0.91 if seeds == 2 else 0.93, 1.0)
    assert false_verdicts(found, 0.005) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)
