"""Verdicts and intervals of few images, of images in scenes, of ten seeds, of folds; and whether plans are kept.

python -m pytest tests/compare/test_worlds.py -m ""

``benchmarks/bench_worlds.py`` and ``bench_folds.py`` ask more worlds, a thousand times each. Bounds are two standard
errors beyond what is promised.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from made_scores import WORLDS, World, judge
from scipy.stats import ttest_rel

from seg.compare.pairs import OPEN
from seg.compare.scores import LevelScores
from seg.compare.statistics import compare
from seg.compare.variance import Interval

SCENES = replace(WORLDS["images matter"], per_group=5)


def most(rounds: int) -> float:
    """So many of the comparisons may have a false verdict."""
    return 0.05 * rounds + 2 * np.sqrt(0.05 * 0.95 * rounds)


def compared(
    world: World, levels: int, seeds: int, images: int, rounds: int, *, told: bool = False
) -> Iterator[tuple[bool, list[Interval], list[Interval]]]:
    """Whether a verdict on equal levels is false, and the intervals for new seeds of pairs and levels."""
    rng = np.random.default_rng([levels, seeds, images])
    groups = [image // world.per_group for image in range(images)] if told else None
    for _ in range(rounds):
        counts = world.counts(rng, world.seeds(rng, levels, seeds), images)
        samples = {str(level): LevelScores(tuple(range(seeds)), each) for level, each in enumerate(counts)}
        found = compare(samples, draws=100, groups=groups)
        wrong = any(pair.verdict in ("better", "worse") for pair in found.pairs)
        yield wrong, [pair.widest for pair in found.pairs], [level.widest for level in found.levels]


def held(intervals: list[list[Interval]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for some in intervals for low, high in some]))


@pytest.mark.parametrize(
    ("levels", "seeds", "images", "rounds"),
    [
        (2, 3, 10, 60),
        pytest.param(2, 10, 10, 300, marks=pytest.mark.slow),
        pytest.param(7, 3, 10, 150, marks=pytest.mark.slow),
        pytest.param(7, 10, 20, 100, marks=pytest.mark.slow),
    ],
)
def test_few_images_do_not_make_equal_levels_different(levels: int, seeds: int, images: int, rounds: int) -> None:
    wrong, pairs, _ = zip(*compared(WORLDS["as usual"], levels, seeds, images, rounds), strict=True)
    assert sum(wrong) <= most(rounds)
    assert held(list(pairs), 0.0) > 0.95 - 2 * np.sqrt(0.05 * 0.95 / rounds)


@pytest.mark.parametrize("rounds", [40, pytest.param(250, marks=pytest.mark.slow)])
def test_images_of_scenes_count_as_one_where_that_is_told(rounds: int) -> None:
    """Taken for independent, they make intervals of levels that hold the truth in seven of ten cases."""
    rng = np.random.default_rng(0)
    truth = float(np.mean([SCENES.truth(rng, SCENES.seeds(rng, 2, 20), 1000) for _ in range(20)]))
    (_, _, apart), (wrong, pairs, levels) = (
        zip(*compared(SCENES, 2, 10, 100, rounds, told=told), strict=True) for told in (False, True)
    )
    assert sum(wrong) <= most(rounds)
    doubt = 2 * np.sqrt(0.05 * 0.95 / rounds)
    assert held(list(pairs), 0.0) > 0.95 - doubt
    assert (
        held(list(levels), truth) > 0.95 - 1.5 * doubt
    )  # two levels, which are not independent; mIoU of few is biased
    assert held(list(apart), truth) < 0.85


@pytest.mark.parametrize("rounds", [100, pytest.param(600, marks=pytest.mark.slow)])
def test_ten_seeds_of_levels_that_scatter_differently(rounds: int) -> None:
    """Each pair is judged by its own scatter then."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(rounds):
        scores = np.array([5, 3, 1, 1, 0.2])[:, None] * rng.standard_normal((5, 10)) + 2 * rng.standard_normal(10)
        found = judge(scores, None)
        wrong += any(pair.verdict != OPEN for pair in found.judge(list(itertools.combinations(found.levels, 2))))
    assert wrong <= most(rounds)


def test_a_plan_is_the_least_that_would_settle_it() -> None:
    """Of two levels by the paired t test, were difference and scatter to stay the same."""
    rng, planned = np.random.default_rng(0), 0
    for _ in range(20):
        scores = rng.standard_normal((2, 4)) + np.array([[0.5], [0]])
        (pair,) = judge(scores, None).judge([("a", "b")])
        if pair.verdict != OPEN or (more := pair.more_seeds) is None or more > 500:
            continue
        planned += 1
        apart = scores[0] - scores[1]
        p = []
        for seeds in (4 + more - 1, 4 + more):
            moved = rng.standard_normal(seeds)
            moved = (moved - moved.mean()) / moved.std(ddof=1) * apart.std(ddof=1) + apart.mean()
            p.append(float(ttest_rel(moved, np.zeros(seeds)).pvalue))
        assert p[1] < 0.05 <= p[0]
    assert planned > 5


@pytest.mark.parametrize("rounds", [12, pytest.param(120, marks=pytest.mark.slow)])
def test_plans_are_kept_in_half_of_all_cases_or_more(rounds: int) -> None:
    """Of an open pair that truly differs; twice as many seeds settle more of them, half of them fewer."""
    rng, settled = np.random.default_rng(0), []
    for _ in range(rounds):
        scores = rng.standard_normal((4, 200)) + np.array([0, 0, 0, 1.5])[:, None]
        names = list(itertools.combinations("abcd", 2))
        pair = judge(scores[:, :3], None).judge(names)[-1]
        if pair.verdict == OPEN and pair.more_seeds is not None and pair.more_seeds <= 60:
            counts = [-(-pair.more_seeds // 2), pair.more_seeds, 2 * pair.more_seeds]
            then = [judge(scores[:, : 3 + count], None).judge(names)[-1].verdict for count in counts]
            settled.append([verdict == "worse" for verdict in then])
    half, planned, twice = np.mean(settled, axis=0)
    doubt = 2 * np.sqrt(0.25 / len(settled))
    assert 0.7 - doubt <= planned <= 0.7 + doubt
    assert half <= planned <= twice
