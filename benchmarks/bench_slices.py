"""How often verdicts on slices are false, what they find, and how long they take, by simulation.

nice -n 10 python benchmarks/bench_slices.py [--rounds 300]        # one thread, 20 minutes of a processor

Worlds are those of ``tests/made_scores.py``: 100 images, parted in two ways, into halves and into quarters, so that
every image is in two of six slices. **False**: a pair of equal levels is called better or worse on any slice.
**Found**: the share of the pairs with a level that is better everywhere that are called so, slice by slice.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from made_scores import WORLDS, World

from seg.compare.scores import LevelScores
from seg.compare.slices import Sliced, compare_slices
from seg.compare.statistics import compare
from seg.data.attributes import Slice, Slices

RESULTS = Path(__file__).parent / "results"
IMAGES, GAP = 100, 0.4
DESIGNS = (
    ("as usual", 4, 3, None),
    ("as usual", 4, 3, "level 00"),
    ("as usual", 2, 5, None),
    ("seeds matter", 4, 3, None),
    ("seeds matter", 7, 3, "level 00"),
    ("rare classes", 4, 3, None),
)
"""World, levels, seeds, and the level that the others are compared with."""


def parted(images: int) -> Slices:
    """Halves and quarters of the images."""
    halves = [Slice("half", str(k), tuple(range(k, images, 2))) for k in range(2)]
    quarters = [Slice("quarter", str(k), tuple(range(k * images // 4, (k + 1) * images // 4))) for k in range(4)]
    return Slices((*halves, *quarters), ())


def made(world: World, rng: np.random.Generator, levels: int, seeds: int, gap: float) -> dict[str, LevelScores]:
    counts = world.counts(rng, world.seeds(rng, levels, seeds), IMAGES, gap=gap)
    return {f"level {i:02}": LevelScores(tuple(range(seeds)), each) for i, each in enumerate(counts)}


def share(sliced: Sliced) -> float:
    """Of the pairs with the first level, seen from it, those in which it is called better."""
    verdicts = [pair.verdict for _, found in sliced.compared for pair in found.pairs_with("level 00")]
    return verdicts.count("better") / len(verdicts)


def simulate(name: str, levels: int, seeds: int, reference: str | None, rounds: int) -> str:
    """A row of the table."""
    world, rng, slices = WORLDS[name], np.random.default_rng([levels, seeds]), parted(IMAGES)
    false, found = 0, []
    for _ in range(rounds):
        sliced = compare_slices(made(world, rng, levels, seeds, 0.0), slices, reference=reference)
        false += any(pair.verdict in ("better", "worse") for _, each in sliced.compared for pair in each.pairs)
    for _ in range(rounds // 5):
        found.append(share(compare_slices(made(world, rng, levels, seeds, GAP), slices, reference=reference)))
    wrong = false / rounds
    doubt = np.sqrt(max(wrong * (1 - wrong), 0.25 / rounds) / rounds)
    pairs = f"with {reference}" if reference else "all"
    shares = f"{100 * wrong:.1f} ± {100 * doubt:.1f} | {100 * np.mean(found):.0f}"
    row = f"| {name} | {levels} | {seeds} | {pairs} | {shares} |"
    print(row, flush=True)
    return row


def timed() -> tuple[float, float]:
    """Seconds of a comparison of 20 levels, 10 seeds and 1000 images of 19 classes, and of its six slices."""
    world, rng = World(presence=tuple(np.linspace(1, 0.2, 19))), np.random.default_rng(0)
    counts = world.counts(rng, world.seeds(rng, 20, 10), 1000)
    samples = {f"level {i:02}": LevelScores(tuple(range(10)), each) for i, each in enumerate(counts)}
    start = time.process_time()
    compare(samples)
    whole = time.process_time() - start
    compare_slices(samples, parted(1000))
    return whole, time.process_time() - start - whole


def main() -> None:
    """Simulate, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    rows = [simulate(*design, rounds) for design in DESIGNS]
    whole, sliced = timed()
    names = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.partition(":")[2].strip() for line in names if "model name" in line), platform.processor())
    text = [
        f"# Verdicts on slices of the images, {date.today()}",
        "",
        f"Made by `benchmarks/bench_slices.py`: {IMAGES} images in halves and in quarters, six slices, {rounds} "
        f"simulated comparisons a row, rope 0.005; one thread of {processor}, commit {commit.strip()}, NumPy "
        f"{np.__version__}.",
        "",
        "- **false**: share, in %, of comparisons of equal levels in which a pair is called better or worse on any "
        "slice; about 5 at the most is promised. Behind it a standard error.",
        f"- **found**: share, in %, of the pairs with a level that is better by {GAP} in the log odds that a pixel is "
        f"right, on every slice, that are called so, in {rounds // 5} comparisons.",
        "",
        "| world | levels | seeds | pairs | false % | found % |",
        "|---|--:|--:|---|--:|--:|",
        *rows,
        "",
        f"20 levels x 10 seeds x 1,000 images x 19 classes: {whole:.1f} s of the processor for all images, "
        f"{sliced:.1f} s for the six slices (twice as many images), load {os.getloadavg()[0]:.1f}.",
    ]
    (RESULTS / f"slices-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
