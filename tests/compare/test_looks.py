"""Comparisons at several looks, and levels with unequal seeds.

python -m pytest tests/compare/test_looks.py -m ""
"""

import itertools
from typing import Any

import numpy as np
import pytest
from made_scores import judge

from seg.compare.looks import Design, Looks, designs_of, one_after_the_other
from seg.compare.multiplicity import shaffer_steps
from seg.compare.pairs import OPEN
from seg.compare.rounds import may_settle
from seg.compare.scatter import _Alike, _given, contrasts, seed_interaction
from seg.compare.scores import LevelScores
from seg.compare.statistics import compare
from seg.compare.variance import difference_parts, strongest
from seg.runs.budget import Spending


def judged(scores: np.ndarray, looks: Looks | None, rope: float = 0.0) -> dict[tuple[str, str], tuple[str, int, float]]:
    """Verdict, seeds and p of each pair."""
    found = judge(scores, looks, rope)
    pairs = found.judge(list(itertools.combinations(found.levels, 2)))
    return {(pair.a, pair.b): (pair.verdict, len(pair.seeds), pair.p_verdict) for pair in pairs}


def slowly(scores: np.ndarray, looks: Looks) -> dict[tuple[str, str], tuple[str, int]]:
    """The same in one loop, written after the papers."""
    names, steps = "abcdefghijkl"[: len(scores)], shaffer_steps(len(scores))
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for seeds in looks.numbers:
        known = seed_interaction(scores[:, :seeds])
        there = ~np.isnan(scores[:, seeds - 1])
        left = []
        for a, b in itertools.combinations(range(len(scores)), 2):
            if (names[a], names[b]) not in found and there[a] and there[b]:
                each = [(row, np.zeros((50, 1)) + row) for row in (scores[a, :seeds], scores[b, :seeds])]
                fit = known.pair(a, b, len(steps), looks.share(seeds))
                claim, p = strongest(*difference_parts(each[0], each[1], paired=True, seeds=fit), 0.0)
                left.append((p, claim, (names[a], names[b])))
        for p, claim, pair in sorted(left):
            if p * steps[len(found)] >= 0.05 * looks.share(seeds):
                break
            found[pair] = claim, seeds
    return found


@pytest.mark.parametrize("seed", range(3))
def test_looks_are_what_they_are_one_by_one(seed: int) -> None:
    """Levels that scatter differently, one of them without its last seeds."""
    rng, looks = np.random.default_rng(seed), Looks(3, 6)
    scores = (
        2 * rng.normal(size=6)
        + np.array([0, 0, 1, 3, 9])[:, None]
        + rng.normal(size=(5, 6)) * [[1], [1], [3], [1], [1]]
    )
    scores[4, 4:] = np.nan
    found, expected = judged(scores, looks), slowly(scores, looks)
    assert {pair: told[:2] for pair, told in found.items() if told[0] != OPEN} == expected
    assert len({seeds for _, seeds in expected.values()}) > 1 or len(expected) < 2
    assert all((p < 0.05) == (pair in expected) for pair, (*_, p) in found.items())
    assert all(seeds == (4 if "e" in pair else 6) for pair, (told, seeds, _) in found.items() if told == OPEN)


def test_what_is_settled_stays_so() -> None:
    """Seeds to come that speak against it do not take it back; without looks they would."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 6)) * 0.1
    scores[3, :3] += 5
    scores[3, 3:] -= 4
    found = judged(scores, Looks(3, 6))
    assert {told[:2] for pair, told in found.items() if "d" in pair} == {("worse", 3)}
    assert {told for told, *_ in judged(scores, None).values()} == {OPEN}


def test_shares_are_the_five_percent() -> None:
    for looks in (Looks(3, 10), Looks(2, 2), Looks(2, 30)):
        assert sum(looks.share(seeds) for seeds in looks.numbers) == pytest.approx(1)
        assert [looks.spent(seeds) for seeds in (looks.first - 1, looks.most, looks.most + 9)] == [0, 1, 1]
    assert Looks.read("3..10") == Looks(3, 10)
    assert Looks(3, 10).share(3) == pytest.approx(0.09)
    one = judged(np.random.default_rng(0).normal(size=(4, 3)), Looks(3, 3))
    assert one == judged(np.random.default_rng(0).normal(size=(4, 3)), None)


def test_pairs_before_their_first_look_are_open() -> None:
    scores = np.array([[0.0, 1], [100, 101], [200, np.nan]])
    for told, _, p in judged(scores, Looks(3, 5)).values():
        assert (told, p) == (OPEN, 1)
    pairs = judge(scores, Looks(3, 5)).judge([("a", "b"), ("a", "c")])
    assert [pair.more_seeds for pair in pairs] == [1, 2]


def test_one_look_of_many_pays_for_its_own_share() -> None:
    """Slices are judged once, when the sweep has ended: at whichever look that was."""
    scores, looks = np.random.default_rng(0).normal(size=(4, 3)) + np.arange(4)[:, None], Looks(3, 10)
    names = list(itertools.combinations("abcd", 2))
    once, alone = (judge(scores, some).each(names, 30) for some in (looks, None))
    for pair, other in zip(once, alone, strict=True):
        assert pair.p_verdict > other.p_verdict or other.p_verdict == 1
        assert pair.difference == other.difference
    two = judge(scores[:, :2], looks).each(names, 30)
    assert {pair.p_verdict for pair in two} == {1.0}


def test_other_seeds_than_those_of_most_pairs() -> None:
    """Verdicts of two levels alone follow from the paired t test."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(2, 5)) + np.array([[0], [9]])
    ((told, seeds, p),) = judged(scores, Looks(3, 5)).values()
    assert (told, seeds) == ("worse", next(n for n in (3, 4, 5) if _t_test(scores, n) < 0.05 * Looks(3, 5).share(n)))
    assert p == pytest.approx(_t_test(scores, seeds) / Looks(3, 5).share(seeds), rel=1e-6)


def _t_test(scores: np.ndarray, seeds: int) -> float:
    from scipy.stats import ttest_rel

    return float(ttest_rel(scores[0, :seeds], scores[1, :seeds]).pvalue)


def test_seeds_of_some_levels_alone_weigh_as_in_an_analysis_of_variance() -> None:
    """What each weight of a level does, against a weighted regression on dummies of all levels and seeds."""
    rng, weights = np.random.default_rng(0), np.array([0.1, 0.5, 1, 4])
    scores = rng.normal(size=(4, 6))
    scores[2:, 4:] = np.nan
    scores[3, 2:] = np.nan
    there, moved = ~np.isnan(scores), contrasts(scores)
    sizes = there[:, 1:].sum(0)
    parts = [_Alike(there[:, 1:][:, sizes == n][:, 0], moved[:, sizes == n]) for n in sorted({*sizes})]
    others = rng.uniform(0.2, 2, (1, 4))
    for level in range(4):
        alone = np.where(np.arange(4) == level, 0, others)
        doubt, left = _given(alone, parts, weights, level)
        expected = []
        for weight in weights:
            own = np.where(np.arange(4) == level, weight, others[0])
            rows, columns = np.nonzero(there)
            design = np.hstack([np.eye(4)[rows], np.eye(6)[columns]]) * np.sqrt(own[rows])[:, None]
            values = scores[there] * np.sqrt(own[rows])
            rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
            eigenvalues = np.linalg.eigvalsh(design.T @ design)[1:]  # seeds and levels share one direction
            # integrating over levels takes the weight of each once; what is left is the doubt of the seeds
            expected.append((rest @ rest, -0.5 * np.log(eigenvalues).sum() + 0.5 * np.log(own).sum()))
        assert left[0] == pytest.approx([value for value, _ in expected])
        assert np.diff(doubt[0]) == pytest.approx(np.diff([value for _, value in expected]))


def test_hopeless_pairs_get_no_more_seeds() -> None:
    """Equal levels by a narrow rope will not be settled; those that are nearly told apart will."""
    looks, rng = Looks(3, 6), np.random.default_rng(0)
    counts = rng.integers(400, 700, (1, 40, 1)) * np.ones((4, 1, 1), int)
    target = np.full_like(counts, 1000)

    def level(gain: float) -> LevelScores:
        hit = (counts + gain + rng.normal(0, 6, (4, 1, 1))).astype(int)
        return LevelScores((0, 1, 2, 3), np.stack([hit, target, target], -1))

    samples = {"a": level(0), "b": level(1), "c": level(10), "d": level(200)}
    found = compare(samples, metric="accuracy", rope=0.0001, looks=looks, draws=100)
    hopeful = {(pair.a, pair.b): may_settle(pair, found) for pair in found.pairs if pair.verdict == OPEN}
    assert not hopeful["a", "b"]
    assert hopeful["a", "c"]
    assert ("a", "d") not in hopeful
    last = compare(samples, metric="accuracy", rope=0.0001, looks=Looks(3, 4), draws=100)
    assert not any(may_settle(pair, last) for pair in last.pairs if pair.verdict == OPEN)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"until": "settled", "seeds": "3..10"}, "until: expected settled, got 'settled'"),
        ({"until": {"when": 3}, "seeds": "3..10"}, "until: expected settled, got {'when': 3}"),
        ({"until": {}, "seeds": 3}, r"seeds: expected FIRST..MOST with until=settled, such as 3..10, got 3"),
        ({"until": {}, "seeds": "4..3"}, "seeds: expected FIRST..MOST, such as 3..10, got 4..3"),
        ({"until": {"metric": 3}, "seeds": "3..10"}, "until.metric: expected a text, got 3"),
        ({"until": {"rope": "x"}, "seeds": "3..10"}, "rope: expected a difference in units of the metric"),
        ({"until": {"group": "["}, "seeds": "3..10"}, r"until.group: expected a regular expression, got '\['"),
    ],
)
def test_designs_that_are_none(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Design.of(config)


def test_designs_of_runs() -> None:
    class Run:
        def __init__(self, **config: object) -> None:
            self.config = config

    runs = [Run(until={"rope": 0.01}, seeds=f"3..{most}") for most in (5, 5, 9)]
    assert designs_of([*runs, Run(seeds=3)]) == [Design(Looks(3, 5), rope=0.01), Design(Looks(3, 9), rope=0.01)]
    assert not list(one_after_the_other(designs_of(runs[:2])))
    (told,) = one_after_the_other(designs_of(runs))
    assert "seeds=3..5 and seeds=3..9, one after the other" in told
    assert told.endswith("up to 10 %")


def test_budgets() -> None:
    assert [Spending.read(text).most for text in (None, "90m", "1.5h", "2d", "30runs")] == [
        None,
        5400,
        5400,
        172800,
        30,
    ]
    for text in ("0h", "6", "6x", "-1h", "1.5runs", "", 0, True):
        with pytest.raises(ValueError, match="budget: expected a time such as 90m, 6h or 2d, or a number of runs"):
            Spending.read(text)


@pytest.mark.slow
@pytest.mark.parametrize("deviations", [(1, 1, 1, 1), (5, 5, 1, 1), (3, 1, 1, 1)])
def test_verdicts_are_seldom_false_over_all_looks(deviations: tuple[float, ...]) -> None:
    """In at most 5 % of the sweeps any verdict is false at any look; the bound is two standard errors above.

    With ``benchmarks/bench_settled.py``, whose second implementation has the designs and worlds that take longer.
    """
    rng, rounds, looks = np.random.default_rng(0), 150, Looks(3, 6)
    truth, wrong = 4 * np.eye(4)[:, [3]], 0
    for _ in range(rounds):
        scores = np.array(deviations)[:, None] * rng.normal(size=(4, 6)) + truth
        found = judged(scores, looks)
        wrong += any(told != OPEN and ("d" not in pair or told != "worse") for pair, (told, *_) in found.items())
    assert wrong <= 0.05 * rounds + 2 * np.sqrt(0.05 * 0.95 * rounds)
