"""How often verdicts are false, and what they find, where levels scatter differently: by simulation.

nice -n 15 python benchmarks/bench_scatter.py [--rounds 1000]          # needs g++; about a quarter of an hour
nice -n 15 python benchmarks/bench_scatter.py --further                # what these worlds left open; a few minutes

A row is a design (levels x seeds), a world (which levels scatter how much), and where the levels truly are. The rule of
`seg.compare.scatter`, with its prior and its care, is simulated by ``scatter.cpp``, a second implementation, which is a
hundred times as fast. It goes on where it was stopped, from ``build/scatter.jsonl``, and writes the table after a row.
"""

import argparse
import itertools
import json
import math
import subprocess
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from bench_statistics import RESULTS, hardware

from seg.compare.scatter import careful, multiples_of

BUILD = Path(__file__).parents[1] / "build"

DESIGNS = ((7, 3), (4, 3), (7, 5), (3, 3), (12, 3), (4, 5), (20, 3), (3, 5), (20, 5), (7, 2))
WORLDS = {
    "all alike": (),
    "one x5": (5,),
    "two x5": (5, 5),
    "three x5": (5, 5, 5),
    "one x3": (3,),
    "two x3": (3, 3),
    "three x3": (3, 3, 3),
    "one x2": (2,),
    "one x20": (20,),
    "one x0.2": (0.2,),
    "half x3": None,
}
SPREADS = {"log-normal 0.5": 0.5, "log-normal 1": 1.0}
"""Worlds in which every level has a deviation of its own: the standard deviation of its logarithm."""
TRUTHS = {"one better": 4.0, "two groups": 8.0}
"""Where levels are: the last one apart by so many deviations of most levels, or the second half."""


def simulate(program: Path, row: tuple[int, int, str, str], rounds: int, seed: int = 1) -> tuple[int, float]:
    """Return how many comparisons had a false verdict, and which share of the pairs that differ was found."""
    levels, seeds, world, truth = row
    deviations = WORLDS.get(world, ())
    given = (3,) * (levels // 2) if deviations is None else deviations
    where = ("one" if truth == "one better" else "halves", TRUTHS[truth])
    words = (levels, seeds, seeds, rounds, *where, seed, 0.0, SPREADS.get(world, 0.0), *given)
    wrong, found, _ = answer_of(program, words, look(levels, seeds, 1.0))
    return int(wrong), found


def look(levels: int, seeds: int, share: float, *, alone: bool = False) -> str:
    """Return what ``scatter.cpp`` reads of the look after so many seeds that spends a share of the 5 %.

    Args:
        alone: each pair is judged by itself, which needs no care.
    """
    prior = list(zip(*multiples_of(seeds), strict=True))
    care = 1.0 if alone else careful(levels, seeds)
    return "\n".join([f"{share} {care} {len(prior)}", *(f"{multiple} {chance}" for multiple, chance in prior)])


def answer_of(program: Path, words: Iterable[object], looks: str) -> list[float]:
    """Return the numbers that ``scatter.cpp`` prints."""
    command = [str(program), *map(str, words)]
    answer = subprocess.run(command, input=looks, capture_output=True, text=True, check=True)
    return [float(number) for number in answer.stdout.split()]


def built() -> Path:
    """Compile ``scatter.cpp``."""
    BUILD.mkdir(exist_ok=True)
    source, program = Path(__file__).with_name("scatter.cpp"), BUILD / "scatter"
    subprocess.run(["g++", "-std=c++17", "-O3", "-ffast-math", "-o", program, source], check=True)
    return program


def bounds(wrong: int, rounds: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, Journal of the American Statistical Association 1927)."""
    z, share = 1.96, wrong / rounds
    middle, reach = share + z**2 / 2 / rounds, z * math.sqrt(share * (1 - share) / rounds + z**2 / 4 / rounds**2)
    return (middle - reach) / (1 + z**2 / rounds), (middle + reach) / (1 + z**2 / rounds)


def rows() -> Iterator[tuple[int, int, str, str]]:
    """List what is simulated, the designs and worlds that are asked for most first."""
    for truth, (levels, seeds), world in itertools.product(TRUTHS, DESIGNS, WORLDS):
        if len(WORLDS[world] or ()) < levels:
            yield levels, seeds, world, truth


def main() -> None:
    """Simulate what is not done yet, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--further", action="store_true")
    if parser.parse_args().further:
        further(built())
        return
    rounds = parser.parse_args().rounds
    program, kept = built(), BUILD / "scatter.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    done = {tuple(row): tuple(found) for row, found in map(json.loads, lines)}
    for row in rows():
        key = (*row, rounds, careful(*row[:2]))
        if key not in done:
            done[key] = simulate(program, row, rounds)
            with kept.open("a") as file:
                file.write(json.dumps([key, done[key]]) + "\n")
        write({row: done[key] for row in rows() if (key := (*row, rounds, careful(*row[:2]))) in done}, rounds)


def further(program: Path) -> None:
    """Simulate the rows that were above 5 % once more, with other numbers, and worlds that are not among the first."""
    above = [(4, 3, "one x5", "two groups"), (3, 5, "one x0.2", "two groups")]
    worlds = [(*design, world, truth) for design in DESIGNS[:7] for world in SPREADS for truth in TRUTHS]
    lines = []
    for row, rounds in [*((row, 10_000) for row in above), *((row, 1000) for row in worlds)]:
        wrong, power = simulate(program, row, rounds, seed=2)
        lines.append(line(row, rounds, wrong, power, f" {rounds} |"))
        print(lines[-1], flush=True)
    text = [
        f"# Verdicts where levels scatter differently, further worlds, {date.today()}",
        "",
        "The two rows of scatter-2026-11-29 that were above 5 %, in ten times as many comparisons with other random "
        "numbers, and worlds in which every level has a deviation of its own: log-normal, with this deviation of the "
        f"logarithm. Columns are those of that table. {hardware()} Made by `benchmarks/bench_scatter.py --further`.",
        "",
        "| levels x seeds | world | truth | comparisons | false | interval | found |",
        "|---|---|---|--:|--:|--:|--:|",
        *lines,
    ]
    RESULTS.joinpath(f"scatter-further-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def line(row: tuple[int, int, str, str], rounds: int, wrong: int, power: float, more: str = "") -> str:
    """Return the line of a table."""
    (levels, seeds, world, truth), (low, high) = row, bounds(wrong, rounds)
    cells = f"{100 * wrong / rounds:.1f} | {100 * low:.1f} to {100 * high:.1f} | {100 * power:.0f}"
    return f"| {levels} x {seeds} | {world} | {truth} |{more} {cells} |"


def write(done: dict[tuple[int, int, str, str], tuple[int, float]], rounds: int) -> None:
    """Write the table of what is done."""
    lines = [line(row, rounds, wrong, power) for row, (wrong, power) in done.items()]
    text = [
        f"# Verdicts where levels scatter differently, {date.today()}",
        "",
        f"**False**: share, in %, of {rounds} simulated comparisons with any false verdict, all pairs together, "
        "rope 0, and its 95 % interval (Wilson); it should be at most 5. **Found**: share of the pairs that truly "
        "differ that are called so. Scores are normal; a seed moves all levels together by two deviations; images do "
        "nothing. The world says how many levels scatter how much, in the deviations of the others. One better: the "
        f"last level, by 4 deviations; two groups: the second half, by 8. {hardware()} Made by "
        "`benchmarks/bench_scatter.py`, whose `scatter.cpp` is a second implementation of the rule.",
        "",
        "| levels x seeds | world | truth | false | interval | found |",
        "|---|---|---|--:|--:|--:|",
        *lines,
    ]
    RESULTS.joinpath(f"scatter-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
