"""How often 95 % intervals hold the truth, and how often equal levels are called different, by simulation.

nice -n 10 python benchmarks/bench_statistics.py [--rounds 1500]        # one thread, 8 minutes of a processor
nice -n 10 python benchmarks/bench_statistics.py --verdicts             # many equal levels at once, 2 minutes
nice -n 10 python benchmarks/bench_statistics.py --ranks                # who is the best of seven, a minute

Worlds are those of ``tests/made_scores.py``. Ways to make an interval are compared on the same runs of the same worlds,
for 100 images and 10, 5 or 3 seeds:

- percentile: of the bootstrap over images and seeds;
- expanded percentile: its quantiles moved outwards for so few seeds (Hesterberg, "What teachers should know about the
  bootstrap", The American Statistician 2015);
- BCa: bias-corrected and accelerated (Efron, "Better bootstrap confidence intervals", JASA 1987); the acceleration is
  that of images and seeds together, each by the jackknife;
- t, bootstrap: Student's t with the same parts of the variance as in `seg.compare.variance`, but those of images by the
  bootstrap, with n - 1 degrees of freedom, and Satterthwaite's degrees of freedom for their sum;
- t, jackknife: the same by the jackknife, with the degrees of freedom of `seg.compare.variance.image_degrees`;
- ours: `seg.compare.variance`: the same with the quantiles of Cochran and Cox, which are more careful.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import itertools
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.stats import norm, t

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from made_scores import WORLDS, World, miou

from seg.compare.multiplicity import adjusted, holm_steps
from seg.compare.ranks import joint_draws, rank_draws
from seg.compare.scatter import seed_interaction
from seg.compare.scores import LevelScores, scored
from seg.compare.statistics import compare
from seg.compare.variance import (
    VarianceParts,
    difference_parts,
    parts,
    strongest,
    variance_parts,
    verdict,
)

Floats = NDArray[np.float64]
Interval = tuple[float, float]
RESULTS = Path(__file__).parent / "results"
IMAGES, DRAWS = 100, 1000
ROPE = 0.005
GAP = 0.2
"""Log odds by which level a is better, where levels differ: about 2 points of mIoU."""

WAYS = ("percentile", "expanded percentile", "BCa", "t, bootstrap", "t, jackknife", "ours")


def bootstrap(counts: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """mIoU (draws, levels, S) of resampled images, the same for all runs, from counts (levels, S, images, C, 3)."""
    drawn = rng.integers(IMAGES, size=(DRAWS, IMAGES)) + IMAGES * np.arange(DRAWS)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=DRAWS * IMAGES).reshape(DRAWS, IMAGES).astype(float)
    shape = counts.shape
    sums = weights @ np.moveaxis(counts, 2, 0).reshape(IMAGES, -1)
    return miou(sums.reshape(DRAWS, *shape[:2], *shape[3:]))


def percentile(means: Floats, tail: float = 0.025) -> Interval:
    low, high = np.quantile(means, (tail, 1 - tail))
    return low, high


def expanded(means: Floats, units: int) -> Interval:
    return percentile(means, norm.cdf(np.sqrt(units / (units - 1)) * t.ppf(0.025, units - 1)))


def bca(means: Floats, center: float, without: list[Floats]) -> Interval:
    """The interval, with the means without each image and without each seed."""
    moved = np.concatenate([(len(each) - 1) / len(each) * (each.mean() - each) for each in without])
    acceleration = (moved**3).sum() / (6 * (moved**2).sum() ** 1.5)
    bias = norm.ppf(np.clip((means < center).mean(), 1e-3, 1 - 1e-3))
    z = bias + norm.ppf((0.025, 0.975))
    low, high = np.quantile(means, norm.cdf(bias + z / (1 - acceleration * z)))
    return low, high


def by_bootstrap(scores: Floats, draws: Floats) -> VarianceParts:
    """The same parts as `variance_parts`, from the bootstrap (draws, S)."""
    unbiased, seeds = IMAGES / (IMAGES - 1), len(scores)
    together, apart = unbiased * draws.mean(1).var(), unbiased * draws.var(0).mean()
    remainder = max(apart - together, 0.0) / (seeds - 1)
    by_seeds = float(np.var(scores, ddof=1)) / seeds
    return parts(by_seeds, together, remainder, (seeds, IMAGES), (seeds - 1.0, IMAGES - 1.0))


def satterthwaite(center: float, found: VarianceParts, new_seeds: bool) -> Interval:
    by_seeds, degrees = (found.seeds or 0.0) + found.remainder, found.image_degrees
    if new_seeds:
        doubt = by_seeds**2 / found.seed_degrees + found.images**2 / found.image_degrees
        degrees = (by_seeds + found.images) ** 2 / doubt
    reach = found.error(new_seeds=new_seeds) * t.ppf(0.975, degrees)
    return center - reach, center + reach


def intervals(
    scores: Floats, without: Floats, draws: Floats, found: VarianceParts, rng: np.random.Generator, new_seeds: bool
) -> list[Interval]:
    """In the order of `WAYS`."""
    seeds, center = len(scores), float(scores.mean())
    chosen = rng.integers(seeds, size=draws.shape)
    means = (np.take_along_axis(draws, chosen, 1) if new_seeds else draws).mean(1)
    units = [without.mean(1), (scores.sum() - scores) / (seeds - 1)][: 1 + new_seeds]
    return [
        percentile(means),
        expanded(means, seeds if new_seeds else IMAGES),
        bca(means, center, units),
        satterthwaite(center, by_bootstrap(scores, draws), new_seeds),
        satterthwaite(center, found, new_seeds),
        found.interval(center, new_seeds=new_seeds),
    ]


def once(
    world: World, rng: np.random.Generator, seeds: int, gap: float
) -> tuple[Floats, dict[str, tuple[float, list[Interval]]]]:
    """The runs of one experiment, and what is found for ``level`` and ``pair``: value and intervals."""
    runs = world.seeds(rng, 2, seeds)
    counts = world.counts(rng, runs, IMAGES, gap=gap)
    draws = bootstrap(counts, rng)
    a, b = (scored(LevelScores(tuple(range(seeds)), each), "miou", np.arange(IMAGES)) for each in counts)
    _, of_pair = difference_parts((a.scores, a.without), (b.scores, b.without), paired=True)
    level = a.scores, a.without, draws[:, 0], variance_parts(a.scores, a.without)
    pair = a.scores - b.scores, a.without - b.without, draws[:, 0] - draws[:, 1], of_pair
    found = {
        f"{name}, {kind}": (float(each[0].mean()), intervals(*each, rng, kind == "new seeds"))
        for name, each in (("level", level), ("pair", pair))
        for kind in ("new seeds", "these seeds")
    }
    return runs, found


def simulate(name: str, seeds: int, gap: float, rounds: int) -> Iterator[list[str]]:
    """Rows of the table for one world."""
    world, rng = WORLDS[name], np.random.default_rng([list(WORLDS).index(name), seeds, round(100 * gap)])
    found = defaultdict(list)
    truths = []
    for _ in range(rounds):
        runs, values = once(world, rng, seeds, gap)
        truths.append(world.truth(rng, runs, 3000, gap=gap) if seeds < 10 else np.full(2, np.nan))
        for quantity, value in values.items():
            found[quantity].append(value)
    many = np.mean([world.truth(rng, world.seeds(rng, 2, 50), 500, gap=gap) for _ in range(150)], axis=0)
    if gap == 0:
        many = np.full(2, many.mean())
    for quantity, values in found.items():
        truth = np.broadcast_to(many, (rounds, 2)) if "new" in quantity else np.array(truths)
        truth = truth[:, 0] if "level" in quantity else truth[:, 0] - truth[:, 1]
        if np.isnan(truth).any():
            continue
        centers, ends = np.array([center for center, _ in values]), np.array([each for _, each in values])
        yield row(name, seeds, gap, quantity, centers, ends, truth)


def row(world: str, seeds: int, gap: float, quantity: str, centers: Floats, ends: Floats, truth: Floats) -> list[str]:
    """Coverage of each way, and of ours also its width, bias, and verdicts."""
    held = ((ends[..., 0] <= truth[:, None]) & (truth[:, None] <= ends[..., 1])).mean(0)
    average = truth + (centers - truth).mean()
    held_average = ((ends[:, -1, 0] <= average) & (average <= ends[:, -1, 1])).mean()
    different, verdicts = "", ""
    if quantity == "pair, new seeds":
        apart = ((ends[:, -1, 0] > 0) | (ends[:, -1, 1] < 0)).mean()
        different = f"{100 * apart:.1f}"
        decided = [verdict((low, high), ROPE) for low, high in ends[:, -1]]
        verdicts = " / ".join(f"{100 * decided.count(v) / len(decided):.1f}" for v in ("better", "worse", "equivalent"))
    return [
        world,
        str(seeds),
        quantity + (", different" if gap and "pair" in quantity else ""),
        *(f"{100 * share:.1f}" for share in held),
        f"{100 * held_average:.1f}",
        f"{100 * (ends[:, -1, 1] - ends[:, -1, 0]).mean():.2f}",
        f"{(centers - truth).mean() / (centers - truth).std():+.2f}",
        different,
        verdicts,
    ]


def main() -> None:
    """Simulate, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1500)
    parser.add_argument("--verdicts", action="store_true")
    parser.add_argument("--ranks", action="store_true")
    if parser.parse_args().verdicts:
        return verdicts()
    if parser.parse_args().ranks:
        return ranks()
    rounds = parser.parse_args().rounds
    start, rows = time.process_time(), []
    for seeds, gap in ((10, 0.0), (10, GAP), (5, 0.0), (3, 0.0)):
        for world in WORLDS:
            for each in simulate(world, seeds, gap, rounds):
                rows.append(each)
                print(" | ".join(each), flush=True)
    return write(rows, rounds, time.process_time() - start)


def verdicts(rounds: int = 300) -> None:
    """How often any pair of equal levels is called different, and how often a better level is found; write both."""
    rows = []
    for levels, seeds in ((2, 3), (2, 10), (4, 5), (7, 3), (7, 10)):
        for name in ("as usual", "seeds matter", "rare classes"):
            world, rng = WORLDS[name], np.random.default_rng([levels, seeds])
            wrong, right = [], []
            for _ in range(rounds):
                calls = _calls(world, rng, levels, seeds, 0.0)
                wrong.append([bool({"better", "worse"} & set(each)) for each in calls])
            for _ in range(rounds // 3):
                calls = _calls(world, rng, levels, seeds, GAP)[2:]
                right.append([each[: levels - 1].count("better") / (levels - 1) for each in calls])
            shares = " | ".join(f"{100 * share:.1f}" for share in (*np.mean(wrong, axis=0), *np.mean(right, axis=0)))
            rows.append(f"| {name} | {levels} | {seeds} | {shares} |")
            print(rows[-1], flush=True)
    text = [
        f"# How often equal levels are called different, and better ones better, {date.today()}",
        "",
        f"**False**: share, in %, of {rounds} simulated comparisons in which a pair of equal levels is called better "
        f"or worse, rope={ROPE}, {IMAGES} images, 10 classes; 5.0 has a standard error of "
        f"{100 * np.sqrt(0.05 * 0.95 / rounds):.1f}. **Found**: share of the pairs with a level that is better, by "
        f"{GAP} in the log odds that a pixel is right, that are called so, in {rounds // 3} comparisons. {hardware()} "
        "Made by `benchmarks/bench_statistics.py --verdicts`.",
        "",
        "- **these runs**: by the interval about these very runs, without a thought of seeds (from 10 seeds on the "
        "toolkit's interval is about new seeds);",
        "- **each pair alone**: by the interval about new seeds and images;",
        "- **own scatter**: by what seeds do to the pair itself, adjusted for all pairs after Holm;",
        "- **ours**: the same, but of fewer than 10 seeds by what they do to all levels (`seg.compare.scatter`).",
        "",
        "| world | levels | seeds | false: these runs | each pair alone | own scatter | ours | found: own scatter "
        "| ours |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
    ]
    RESULTS.joinpath(f"verdicts-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _calls(world: World, rng: np.random.Generator, levels: int, seeds: int, gap: float) -> list[list[str]]:
    """What each way calls the pairs of new runs: these runs, each pair alone, own seed_interaction, ours."""
    counts = world.counts(rng, world.seeds(rng, levels, seeds), IMAGES, gap=gap)
    samples = {str(level): LevelScores(tuple(range(seeds)), each) for level, each in enumerate(counts)}
    pairs = compare(samples, rope=ROPE, draws=100).pairs
    found = {name: scored(sample, "miou", np.arange(IMAGES)) for name, sample in samples.items()}
    of = {name: (each.scores, each.without) for name, each in found.items()}
    own = [strongest(*difference_parts(of[pair.a], of[pair.b], paired=True), ROPE) for pair in pairs]
    together = adjusted([p for _, p in own], holm_steps(len(own)))
    return [
        [verdict(pair.interval, ROPE) for pair in pairs],
        [verdict(pair.wide or pair.interval, ROPE) for pair in pairs],
        [claim if p < 0.05 else "inconclusive" for (claim, _), p in zip(own, together, strict=True)],
        [pair.verdict for pair in pairs],
    ]


def ranks(rounds: int = 400) -> None:
    """How often rank intervals of few seeds hold the true ranks, and how often the winner is a false claim."""
    rows = []
    for deviations in ((1,) * 7, (5, 1, 1, 1, 1, 1, 1), (0.3, 0.5, 0.7, 1, 1.5, 2, 3)):
        for seeds, apart in itertools.product((2, 3, 5), (0.5, 2, 6)):
            rng = np.random.default_rng([seeds, round(2 * apart)])
            found = [_ranked(rng, np.array(deviations), seeds, apart) for _ in range(rounds)]
            false, of_ways = np.mean([each[0] for each in found]), np.mean([each[1] for each in found], axis=0)
            text = " | ".join(f"{100 * held:.1f} | {claim:.2f}" for held, claim in of_ways)
            rows.append(f"| {', '.join(map(str, deviations))} | {seeds} | {apart} | {text} | {false:.2f} |")
            print(rows[-1], flush=True)
    text = [
        f"# How firm rankings by few seeds are, {date.today()}",
        "",
        f"Seven levels, {rounds} simulated comparisons a row; true scores are normal with the standard deviation "
        "**apart**, a seed moves a level by **scatter**, one number a level, and all levels together; images do "
        "nothing. **held**: how often, in %, 95 % rank intervals held the true rank. **claim**: mean probability that "
        "the winner is a false claim; **false**: how often it was not the best. "
        f"{hardware()} Made by `benchmarks/bench_statistics.py --ranks`.",
        "",
        "- **own scatter**: draws by what seeds do to each pair of levels;",
        "- **ours**: of fewer than 10 seeds, by what they do to all levels (`seg.compare.scatter`).",
        "",
        "Draws know nothing of how far apart levels may be: where that is less than the scatter, a winner is false "
        "more often than is said.",
        "",
        "| scatter | seeds | apart | held: own scatter | claim | held: ours | claim | false |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
    ]
    RESULTS.joinpath(f"ranks-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _ranked(
    rng: np.random.Generator, deviations: Floats, seeds: int, apart: float
) -> tuple[bool, list[tuple[float, float]]]:
    """Whether the winner is not the best, and of each way the share of true ranks held, and its probability of that."""
    truth = apart * rng.standard_normal(len(deviations))
    of_levels = deviations[:, None] * rng.standard_normal((len(deviations), seeds))
    scores = truth[:, None] + of_levels + 2 * rng.standard_normal(seeds)
    levels = [(each, np.zeros((50, 1)) + each) for each in scores]
    places = (-truth).argsort().argsort() + 1
    ways = []
    for pooled in (None, seed_interaction(scores)):
        found = rank_draws(scores.mean(1), joint_draws(levels, DRAWS, rng, paired=True, pooled=pooled))
        low, high = np.transpose(found.intervals)
        ways.append((float(((low <= places) & (places <= high)).mean()), found.false_claim))
    return bool(truth.argmax() != found.winner), ways


def hardware() -> str:
    """Processor, commit and versions, as a sentence."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    cpu = Path("/proc/cpuinfo")
    names = cpu.read_text().splitlines() if cpu.exists() else []
    processor = next((line.partition(":")[2].strip() for line in names if "model name" in line), platform.processor())
    return f"{processor}, commit {commit.strip()}, NumPy {np.__version__}, SciPy {scipy.__version__}."


def write(rows: list[list[str]], rounds: int, seconds: float) -> None:
    """The table, with hardware and commit."""
    head = ["world", "seeds", "of", *WAYS, "expected score", "width", "bias", "apart", "verdicts"]
    worlds = [f"- **{name}**: {describe(world)}" for name, world in WORLDS.items()]
    text = [
        f"# How often intervals hold the truth, {date.today()}",
        "",
        f"95 % intervals of mIoU in {rounds} simulated experiments a row (a share of 95.0 has a standard error of "
        f"{100 * np.sqrt(0.05 * 0.95 / rounds):.1f}), {IMAGES} images, 10 classes, {DRAWS} draws of the bootstrap; "
        f"{seconds / 60:.0f} minutes of one thread. {hardware()} `benchmarks/bench_statistics.py` makes this file and "
        "says what the ways are; the toolkit uses the last one.",
        "",
        "- **of**: the score of one level or the difference of a pair; the truth is that for new seeds and very many "
        "images, or for these seeds and very many images. Levels of a pair are equal but for the rows \"different\".",
        "- columns of ways: how often, in %, the interval held the truth.",
        "- **expected score**: the last way, where the truth is the score expected for as many images as there were. "
        "mIoU of few images is biased; **bias** is that in standard deviations.",
        "- **width**: mean width of the last way, in points. **apart**: how often it does not hold 0, in %: where "
        "levels are equal, how often a verdict with rope=0 is false. "
        f"**verdicts**: better / worse / equivalent with rope={ROPE}, in %.",
        "",
        *worlds,
        "",
        "| " + " | ".join(head) + " |",
        "|---|---|---|" + "--:|" * (len(head) - 3),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]  # fmt: skip
    RESULTS.joinpath(f"statistics-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def describe(world: World) -> str:
    """How a world differs from the first one."""
    usual = WORLDS["as usual"]
    if world == replace(usual):
        return ", ".join(f"{key} {value}" for key, value in vars(world).items())
    return ", ".join(f"{key} {value}" for key, value in vars(world).items() if value != getattr(usual, key))


if __name__ == "__main__":
    main()
