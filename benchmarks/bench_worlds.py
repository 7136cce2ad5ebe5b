"""Verdicts in worlds that the other simulations leave out: few images, grouped images, ten seeds; and what is planned.

nice -n 15 python benchmarks/bench_worlds.py scores      # ten seeds, two levels, ladders: needs g++; minutes
nice -n 15 python benchmarks/bench_worlds.py frontier    # what more care costs, and other rules; minutes
nice -n 15 python benchmarks/bench_worlds.py planner     # does "n more seeds would settle it" hold? half an hour
nice -n 15 python benchmarks/bench_worlds.py images      # few images, and images in scenes; two hours

Each goes on where it was stopped, from ``build/worlds.jsonl``, and writes all tables after a row.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench_scatter import BUILD, SPREADS, WORLDS, answer_of, bounds, built, look
from bench_statistics import RESULTS, hardware
from made_scores import WORLDS as COUNTED
from made_scores import World

from seg.compare import scatter
from seg.compare.findings import OPEN, PairResult
from seg.compare.multiplicity import adjusted, holm_steps, shaffer_steps
from seg.compare.pairs import ENOUGH, Judge
from seg.compare.scores import LevelScores, Scored, group_numbers, scored
from seg.compare.variance import variance_parts

Floats = NDArray[np.float64]
ROUNDS = 1000
ROPE = 0.005
CHAINS = 64
"""A quarter of those of `seg.compare.scatter`: verdicts of a thousand comparisons need no possibility so exactly."""

Numbers = list[float]


# Scores alone: images do nothing.

TRUTHS = {"equal": ("one", 0.0), "one better": ("one", 4.0), "two groups": ("halves", 8.0), "ladder": ("ladder", 2.0)}
"""Where levels are, as for ``scatter.cpp``, in deviations of most levels."""
MORE = ((2, 3), (2, 5), (2, 10), (3, 10), (4, 10), (7, 10), (12, 10), (20, 10), (12, 5))
"""Levels and seeds."""


def score_rows() -> Iterator[tuple[int, int, str, str]]:
    """List designs, worlds and truths of scores alone."""
    worlds = [*WORLDS, *SPREADS]
    designs = [(*design, truth) for design in MORE for truth in ("one better", "two groups")]
    designs = [row for row in designs if row[0] > 2] + [(2, seeds, "equal") for seeds in (3, 5, 10)]
    designs += [(*design, "ladder") for design in ((4, 3), (7, 3), (12, 3), (4, 5), (7, 5), (7, 10), (20, 10))]
    designs += [(*design, "equal") for design in ((7, 3), (7, 10), (20, 10))]
    for (levels, seeds, truth), world in itertools.product(designs, worlds):
        if len(WORLDS.get(world) or ()) < max(levels, 2):
            yield levels, seeds, world, truth


def of_scores(levels: int, seeds: int, world: str, truth: str) -> Numbers:
    """Return the comparisons with a false verdict, and the share of the differing pairs that is found."""
    given = WORLDS.get(world, ())
    deviations = (3,) * (levels // 2) if given is None else given
    words = (levels, seeds, seeds, ROUNDS, *TRUTHS[truth], 3, 0.0, SPREADS.get(world, 0.0), *deviations)
    alone = levels == 2 or seeds >= ENOUGH
    wrong, found, _ = answer_of(BUILD / "scatter", words, look(levels, seeds, 1.0, alone=alone))
    return [wrong, found]


# What more care costs, and other rules.

CARES = (0.1, 0.3, 0.6, 1.0)
WORST = ("one x5", "three x5", "one x3", "half x3", "log-normal 1")
RULES = (
    "paired t, Holm",
    "Welch, Holm",
    "paired t, Shaffer",
    "one variance for all, Holm",
    "one-sided empirical Bayes, Holm",
    "one-sided empirical Bayes, Shaffer",
)


def frontier_rows() -> Iterator[tuple[int, int, str]]:
    """List designs, and rules: care of ours, or the name of another one."""
    for (levels, seeds), rule in itertools.product(((7, 3), (7, 5)), (*map(str, CARES), "ours", *RULES)):
        yield levels, seeds, rule


def of_frontier(levels: int, seeds: int, rule: str) -> Numbers:
    """Return, of one better level: most false comparisons of all worlds, and what is found without and with noise."""
    call = _by_rule if rule in RULES else _by_ours
    rows = {world: call(levels, seeds, rule, world) for world in ("all alike", *WORST)}
    return [max(wrong for wrong, _ in rows.values()), rows["all alike"][1], rows["one x5"][1], rows["all alike"][0]]


def _by_ours(levels: int, seeds: int, care: str, world: str) -> tuple[float, float]:
    given = WORLDS.get(world, ())
    deviations = (3,) * (levels // 2) if given is None else given
    words = (levels, seeds, seeds, ROUNDS, "one", 4.0, 4, 0.0, SPREADS.get(world, 0.0), *deviations)
    told = look(levels, seeds, 1.0)
    if care != "ours":
        first, _, rest = told.partition("\n")
        share, _, number = first.split()
        told = f"{share} {care} {number}\n{rest}"
    wrong, found, _ = answer_of(BUILD / "scatter", words, told)
    return wrong, found


def _by_rule(levels: int, seeds: int, rule: str, world: str) -> tuple[float, float]:
    """Return the same of a rule that needs no sampling."""
    from scipy.stats import t

    rng, wrong, found = np.random.default_rng(4), 0, 0
    pairs = list(itertools.combinations(range(levels), 2))
    a, b = np.transpose(pairs)
    steps = shaffer_steps(levels) if "Shaffer" in rule else holm_steps(len(pairs))
    for _ in range(ROUNDS):
        scores = 2 * rng.standard_normal(seeds) + _deviations(rng, levels, world) * rng.standard_normal((levels, seeds))
        scores[-1] += 4
        variance, degrees = _errors_of(rule, scores, a, b)
        difference = scores.mean(1)[a] - scores.mean(1)[b]
        p = adjusted((2 * t.sf(np.abs(difference) / np.sqrt(variance), degrees)).tolist(), steps)
        said = np.array(p) < 0.05
        wrong += bool((said & ((b < levels - 1) | (difference > 0))).any())
        found += (said & (b == levels - 1) & (difference < 0)).sum() / (levels - 1)
    return wrong, found / ROUNDS


def _errors_of(rule: str, scores: Floats, a: NDArray[np.intp], b: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the variance of each pair's difference of means, and its degrees of freedom."""
    levels, seeds = scores.shape
    if "paired" in rule:
        return np.var(scores[a] - scores[b], axis=1, ddof=1) / seeds, np.full(len(a), seeds - 1.0)
    if "one variance" in rule:
        rest = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
        degrees = (levels - 1.0) * (seeds - 1)
        return np.full(len(a), 2 * (rest**2).sum() / degrees / seeds), np.full(len(a), degrees)
    each, own = np.var(scores, axis=1, ddof=1), np.full(levels, seeds - 1.0)
    if "Bayes" in rule:
        each, own = _moderated_upwards(scores)
    variance = each[a] + each[b]
    return variance / seeds, variance**2 / (each[a] ** 2 / own[a] + each[b] ** 2 / own[b])


def _moderated_upwards(scores: Floats) -> tuple[Floats, Floats]:
    """Return each level's variance, moderated (Smyth 2004) where that makes it larger, and its degrees of freedom."""
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    levels, seeds = scores.shape
    rest, d, variance = scores - scores.mean(1, keepdims=True), seeds - 1.0, np.ones(levels)
    for _ in range(4):  # what seeds have in common is a mean weighted by 1 / variance
        weights = (1 / variance) / (1 / variance).sum()
        variance = ((rest - weights @ rest) ** 2).sum(1) / d / (1 - weights)
    logs = np.log(variance) - digamma(d / 2) + np.log(d / 2)
    spread = np.var(logs, ddof=1) - polygamma(1, d / 2)
    if spread > 1e-6:
        prior = 2 * brentq(lambda half: polygamma(1, half) - spread, 1e-6, 2e6)
        middle = np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2))
        moderated = (prior * middle + d * variance) / (prior + d)
    else:  # levels scatter no more differently than chance has it
        prior, moderated = 1e6, np.full(levels, np.exp(logs.mean()))
    return np.maximum(variance, moderated), np.where(moderated > variance, prior + d, d)


def _deviations(rng: np.random.Generator, levels: int, world: str) -> Floats:
    """Return how far the levels of a world scatter (levels, 1)."""
    given = WORLDS.get(world, ())
    noisy = (3,) * (levels // 2) if given is None else given
    found = np.concatenate([noisy, np.ones(levels - len(noisy))]) * np.exp(
        SPREADS.get(world, 0.0) * rng.standard_normal(levels)
    )
    return found[:, None]


# What is planned.

PLANS = (
    (4, 3, "all alike", 1.5),
    (4, 3, "all alike", 3.0),
    (4, 3, "one x5", 3.0),
    (7, 3, "all alike", 3.0),
    (7, 5, "all alike", 1.5),
    (7, 5, "one x5", 3.0),
)
"""Levels, seeds, world, and by how many deviations the last level is better."""
FURTHEST = 60
"""Seeds beyond which a plan is not followed."""


def of_plan(levels: int, seeds: int, world: str, gap: float) -> Numbers:
    """Return what comes of the plans for the pair of the last two levels, where it is open.

    Shares: of comparisons in which it is open; of these, of plans for at most `FURTHEST` seeds; and of these, of pairs
    that are settled with half of the seeds that were planned, with as many, with twice as many, and rightly so with as
    many. Then the quartiles of the seeds that were planned.
    """
    rng, plans, settled = np.random.default_rng(5), [], []
    open_ones = 0
    for _ in range(ROUNDS // 2):
        deviations = _deviations(rng, levels, world)
        scores = 2 * rng.standard_normal(3 * FURTHEST) + deviations * rng.standard_normal((levels, 3 * FURTHEST))
        scores[-1] += gap
        pair = _last_pair(scores[:, :seeds])
        if pair.verdict != OPEN:
            continue
        open_ones += 1
        if (more := pair.more_seeds) is not None and more <= FURTHEST:
            then = [_last_pair(scores[:, : seeds + count]).verdict for count in (-(-more // 2), more, 2 * more)]
            plans.append(more)
            settled.append([*(verdict != OPEN for verdict in then), then[1] == "worse"])
    shares = np.mean(settled, axis=0).tolist() if settled else [np.nan] * 4
    quartiles = np.quantile(plans, (0.25, 0.5, 0.75)).tolist() if plans else [np.nan] * 3
    return [open_ones / (ROUNDS // 2), len(plans) / max(open_ones, 1), *shares, *quartiles, float(len(plans))]


def _last_pair(scores: Floats) -> PairResult:
    """Return the pair of the last two levels of scores (L, S) on images that do nothing."""
    levels = {}
    for number, own in enumerate(scores):
        without = np.zeros((50, 1)) + own
        sample = LevelScores(tuple(range(len(own))), np.ones((len(own), 50, 1, 3), np.int64))
        levels[f"{number:02}"] = Scored(sample, own, without, own[:, None], without[..., None])
    still = dict.fromkeys(levels, np.zeros(50))
    judge = Judge(levels, still, shaffer_steps(len(levels)), 1, 0.0, None)
    return judge.judge(list(itertools.combinations(levels, 2)))[-1]


# Few images, and images in scenes.

USUAL, SCENES = "as usual", {"per_group": 5}
FEW = (
    # levels, seeds, images, world, further effects, grouped as they are, how far the second level scatters, gap
    (7, 3, 10, USUAL, {}, False, 1, 0.4),
    (7, 3, 20, USUAL, {}, False, 1, 0.4),
    (7, 3, 20, USUAL, {}, False, 5, 0.4),
    (7, 3, 60, USUAL, {"presence": [1.0] * 5}, False, 1, 0.73),
    (7, 3, 60, USUAL, {"presence": [1.0] * 5}, False, 5, 0.73),
    (7, 10, 10, USUAL, {}, False, 1, 0.2),
    (7, 10, 20, USUAL, {}, False, 5, 0.2),
    (2, 3, 10, USUAL, {}, False, 1, 0.0),
    (2, 5, 20, USUAL, {}, False, 1, 0.0),
    (2, 10, 10, USUAL, {}, False, 1, 0.0),
    (2, 10, 20, "images matter", {}, False, 1, 0.0),
    (2, 10, 100, "images matter", SCENES, True, 1, 0.0),
    (2, 10, 100, "images matter", SCENES, False, 1, 0.0),
    (7, 10, 100, USUAL, SCENES, True, 1, 0.2),
    (7, 10, 100, USUAL, SCENES, False, 1, 0.2),
    (7, 3, 100, USUAL, SCENES, True, 1, 0.4),
    (7, 3, 100, USUAL, SCENES, False, 1, 0.4),
    (7, 3, 100, "images matter", SCENES, True, 1, 0.4),
    (7, 3, 100, "images matter", SCENES, False, 1, 0.4),
    (7, 5, 20, USUAL, {}, False, 5, 0.4),
    (7, 5, 60, USUAL, {"presence": [1.0] * 5}, False, 5, 0.73),
    (7, 5, 50, "rare classes", {}, False, 1, 0.4),
    (7, 3, 20, "rare classes", {}, False, 1, 0.4),
)


def of_images(
    levels: int, seeds: int, images: int, name: str, more: dict[str, Any], told: bool, noisy: float, gap: float
) -> Numbers:
    """Return false comparisons, the share of pairs with the better level that is found, and what intervals held.

    Of pairs and of levels, for new seeds and images: the truth of very many; of levels also the score that is expected
    of as many images.
    """
    world = replace(COUNTED[name], **more)
    rng, deviations = np.random.default_rng([levels, seeds, images, int(told)]), np.ones((levels, 1, 1))
    deviations[1] = noisy
    lift = np.zeros((levels, 1, 1))
    lift[0], lift[1] = gap, 0.0 if noisy == 1 else _balance(world, noisy)
    truth = _truth(world, deviations, lift, noisy != 1)
    groups = [image // world.per_group for image in range(images)] if told else None
    rows, wrong, found = [], 0, []
    for _ in range(ROUNDS):
        runs = deviations * world.seeds(rng, levels, seeds) + lift
        counts = world.counts(rng, runs, images)
        pairs, own = _judged(counts, groups)
        apart = np.array([truth[int(pair.a)] - truth[int(pair.b)] for pair in pairs])
        steps = shaffer_steps(levels)
        said = [p < 0.05 for p in adjusted([pair.p_verdict for pair in pairs], steps)]
        wrong += any(claim and _is_false(*each) for claim, *each in zip(said, pairs, apart, strict=True))
        ours = zip(said, pairs, strict=True)
        found.append(np.mean([claim and pair.verdict == "better" for claim, pair in ours if pair.a == "00"]))
        wide = np.array([pair.widest for pair in pairs])
        rows.append((np.mean((wide[:, 0] <= apart) & (apart <= wide[:, 1])), own))
    ends = np.array([own for _, own in rows])  # (rounds, levels, 3): low, high, mean
    expected = ends[..., 2].mean(0)
    held = [np.mean((ends[..., 0] <= middle) & (middle <= ends[..., 1])) for middle in (truth, expected)]
    return [wrong, float(np.mean(found)), float(np.mean([share for share, _ in rows])), *map(float, held)]


def _judged(counts: NDArray[np.int64], groups: list[int] | None) -> tuple[list[PairResult], Floats]:
    """Return all pairs, each with the claim that it is for most and its own p, and what is known of each level.

    Of each level its interval and mean (levels, 3), of counts (levels, S, images, C, 3).
    """
    numbers = group_numbers(groups, counts.shape[2])
    samples = {f"{i:02}": LevelScores(tuple(range(len(each))), each) for i, each in enumerate(counts)}
    levels = {name: scored(sample, "miou", numbers) for name, sample in samples.items()}
    still = dict.fromkeys(levels, np.zeros(int(numbers.max()) + 1))  # tests over images are not asked
    judge = Judge(levels, still, shaffer_steps(len(levels)), 1, ROPE, None)
    own = []
    for level in levels.values():
        center = float(level.scores.mean())
        own.append((*variance_parts(level.scores, level.without).interval(center, new_seeds=True), center))
    names = list(itertools.combinations(levels, 2))
    return judge.each(names, len(names)), np.array(own)


def _is_false(pair: PairResult, truth: float) -> bool:
    false = {"better": truth <= ROPE, "worse": truth >= -ROPE, "equivalent": abs(truth) > ROPE, OPEN: False}
    return false[pair.verdict]


def _truth(world: World, deviations: Floats, lift: Floats, noisy: bool) -> Floats:
    """Return mIoU (levels,) of very many images and seeds; levels that are made alike have the same."""
    rng, found = np.random.default_rng(1), []
    shape = [lift[0, 0, 0], 0.0]
    for _ in range(100):
        half = world.seeds(rng, 2, 10)
        runs = np.concatenate([half, -half], 1) + np.array(shape)[:, None, None]
        found.append(world.truth(rng, runs, 500))
    better, usual = np.mean(found, axis=0)
    truth = np.full(len(lift), usual)
    truth[0] = better if lift[0, 0, 0] else usual
    return truth  # a noisy level was lifted to the others, see `_balance`


def _balance(world: World, deviation: float) -> float:
    """Return the log odds that a level which scatters so needs to be as good as the others on average."""

    def apart(lift: float) -> float:
        rng, found = np.random.default_rng(2), []
        for _ in range(100):
            half = world.seeds(rng, 1, 10)
            noisy = np.concatenate([deviation * half, -deviation * half], 1) + lift
            found.append(world.truth(rng, np.concatenate([noisy, np.concatenate([half, -half], 1)]), 500))
        noisy_score, usual = np.mean(found, axis=0)
        return float(noisy_score - usual)

    at_none, at_some = apart(0.0), apart(0.1)
    return 0.1 * at_none / (at_none - at_some)


# The file.


def _share(wrong: float) -> str:
    low, high = bounds(int(wrong), ROUNDS)
    return f"{100 * wrong / ROUNDS:.1f} | {100 * low:.1f} to {100 * high:.1f}"


def _scores_line(row: tuple[Any, ...], numbers: Numbers) -> str:
    levels, seeds, world, truth = row
    found = "" if truth == "equal" else f"{100 * numbers[1]:.0f}"
    return f"| {levels} x {seeds} | {world} | {truth} | {_share(numbers[0])} | {found} |"


def _frontier_line(row: tuple[Any, ...], numbers: Numbers) -> str:
    levels, seeds, rule = row
    rule = f"ours, care {rule}" if rule not in RULES and rule != "ours" else rule
    rule = f"**{rule}**" if row[2] == "ours" else rule
    worst, alike, noisy, _ = numbers
    return f"| {levels} x {seeds} | {rule} | {_share(worst)} | {100 * alike:.0f} | {100 * noisy:.0f} |"


def _plan_line(row: tuple[Any, ...], numbers: Numbers) -> str:
    levels, seeds, world, gap = row
    is_open, planned, half, whole, twice, right, low, middle, high, count = numbers
    shares = " | ".join(f"{100 * share:.0f}" for share in (is_open, planned, half, whole, twice, right))
    quartiles = f"{low:.0f} / {middle:.0f} / {high:.0f}"
    return f"| {levels} x {seeds} | {world} | {gap:g} | {shares} | {quartiles} | {count:.0f} |"


def _images_line(row: tuple[Any, ...], numbers: Numbers) -> str:
    levels, seeds, images, name, more, told, noisy, gap = row
    wrong, found, pairs, own, expected = numbers
    scenes = (
        f" in {images // more['per_group']} scenes, {'told' if told else 'not told'}" if "per_group" in more else ""
    )
    world = name + ", 5 classes" * ("presence" in more) + f", one x{noisy}" * (noisy != 1)
    power = f"{100 * found:.0f}" if gap else ""
    held = " | ".join(f"{100 * share:.1f}" for share in (pairs, own, expected))
    return f"| {levels} x {seeds} | {images}{scenes} | {world} | {gap or ''} | {_share(wrong)} | {power} | {held} |"


TABLES: dict[str, tuple[Callable[[], Iterator[tuple[Any, ...]]], Callable[..., Numbers], Callable[..., str]]] = {
    "scores": (score_rows, of_scores, _scores_line),
    "frontier": (frontier_rows, of_frontier, _frontier_line),
    "planner": (lambda: iter(PLANS), of_plan, _plan_line),
    "images": (lambda: iter(FEW), of_images, _images_line),
}

ABOUT = {
    "images": (
        "Few images, and images in scenes",
        "Pixel counts of the worlds of `tests/made_scores.py`, 10 classes where nothing else is said, mIoU, rope "
        f"{ROPE}. The first level is better by **gap** in the log odds that a pixel is right (0.4 is about 4.6 "
        "deviations of a seed, 0.73 in 5 classes 8); *one x5*: the second one's seeds scatter five times as much. Five "
        "images of a scene have 80 % of the variance between images in common; *told*: `group=` says so, and scenes "
        "are drawn whole. **Pairs**, **levels**, **expected**: how often, in %, the 95 % interval for new seeds and "
        "images held the truth of very many images, of pairs and of levels, and, of levels, the score that is expected "
        "of as many images: mIoU of few images is biased.",
        "| levels x seeds | images | world | gap | false | interval | found | pairs | levels | expected |\n"
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ),
    "planner": (
        "What is planned",
        "The pair of the last two levels, of which the last one is better by **gap** deviations; images do nothing, "
        "rope 0. **Open**: share, in %, of the comparisons in which it is open; **planned**: of these, those in which "
        f"at most {FURTHEST} more seeds are said to settle it. Of these, with all levels trained on: **half**, **as "
        "planned**, **twice**: share that is settled with half of the seeds that were planned, with as many, with "
        "twice as many; **rightly**: with as many, and the better level is called better. **Plan**: quartiles of the "
        "seeds that were planned; **n**: plans.",
        "| levels x seeds | world | gap | open | planned | half | as planned | twice | rightly | plan | n |\n"
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ),
    "frontier": (
        "What care costs, and other rules",
        "One level is better by 4 deviations. **Worst**: the most, in %, of six worlds (all alike, one x5, three x5, "
        "one x3, half x3, log-normal 1), of comparisons with any false verdict. **Found**: share of the "
        "pairs with the better level, where all levels scatter alike, and with one that scatters five times as much. "
        "*Ours*: with the care that `seg.compare.scatter` has for the design, calibrated in more worlds than these; "
        "*care*: the same with another one. Read it as a frontier: more care, fewer false verdicts, less found. The "
        "most of six estimates is a little too high. *One-sided empirical Bayes*: a level's own variance, moderated "
        "(Smyth 2004) where that makes it larger.",
        "| levels x seeds | rule | worst | interval | found: alike | found: one x5 |\n|---|---|--:|--:|--:|--:|",
    ),
    "scores": (
        "Ten seeds, two levels, ladders, equal levels",
        "Columns and worlds are those of scatter-2026-11-29: scores are normal, images do nothing, rope 0. *Equal*: "
        "all levels are; *ladder*: each is better by 2 deviations than the one before. From ten seeds on, and of two "
        "levels, each pair is judged by its own scatter, as by paired t tests: of 5 in "
        "truth, a thousand comparisons show 3.7 to 6.4 in most rows, and more in the highest of so many.",
        "| levels x seeds | world | truth | false | interval | found |\n|---|---|---|--:|--:|--:|",
    ),
}


def write(done: dict[str, Numbers]) -> None:
    """Write the tables of what is done."""
    text = [
        f"# Verdicts in further worlds, {date.today()}",
        "",
        f"**False**: share, in %, of {ROUNDS} simulated comparisons with any false verdict, all pairs together, and "
        "its 95 % interval (Wilson); it should be at most 5. **Found**: share, in %, of the pairs that truly differ "
        f"that are called so. {hardware()} Made by `benchmarks/bench_worlds.py`.",
    ]
    for table, (title, about, head) in ABOUT.items():
        rows, _, line = TABLES[table]
        lines = [line(row, done[key]) for row in rows() if (key := _key(table, row)) in done]
        if lines:
            text += ["", f"## {title}", "", about, "", head, *lines]
    RESULTS.joinpath(f"worlds-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    """Simulate what is not done yet of the tables that are asked for, and write all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", nargs="*")
    asked = parser.parse_args().tables or [*TABLES]
    scatter.CHAINS = CHAINS
    if {"scores", "frontier"} & {*asked}:
        built()
    for table in asked:
        rows, of, _ = TABLES[table]
        for row in rows():
            if (key := _key(table, row)) not in _done():
                numbers = of(*row)
                with KEPT.open("a") as file:
                    file.write(json.dumps([key, numbers]) + "\n")
                print(key, numbers, flush=True)
                write(_done())


KEPT = BUILD / "worlds.jsonl"


def _done() -> dict[str, Numbers]:
    return dict(map(json.loads, KEPT.read_text().splitlines())) if KEPT.exists() else {}


def _key(table: str, row: tuple[Any, ...]) -> str:
    return json.dumps([table, *row, ROUNDS])


if __name__ == "__main__":
    main()
