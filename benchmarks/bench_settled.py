"""Sweeps that stop when they are settled: false verdicts over all looks, what is found, and the seeds that are saved.

nice -n 15 python benchmarks/bench_settled.py [--rounds 1000]          # needs g++; about twenty minutes

A row is a design (levels, and FIRST..MOST seeds), a world (which levels scatter how much) and where the levels truly
are. The rounds of `seg.compare.rounds`, with the shares of `seg.compare.looks`, are simulated by ``scatter.cpp``, a
second implementation, beside a sweep of MOST seeds for all. It goes on where it was stopped, from
``build/settled.jsonl``.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from datetime import date

from bench_scatter import BUILD, SPREADS, WORLDS, answer_of, bounds, built, look
from bench_statistics import RESULTS, hardware

from seg.compare.looks import Looks
from seg.compare.pairs import ENOUGH

WIDE = ("all alike", "one x5", "three x5", "one x3", "half x3", "one x0.2", "log-normal 0.5", "log-normal 1")
DESIGNS = (
    (7, Looks(3, 10), ("one better", "two groups", "ladder", "one better, rope"), WIDE),
    (4, Looks(3, 10), ("one better", "ladder"), WIDE),
    (3, Looks(3, 10), ("one better", "two groups"), WIDE),
    (2, Looks(3, 10), ("no difference",), WIDE[:2]),
    (7, Looks(2, 5), ("one better",), WIDE),
    (12, Looks(3, 10), ("two groups",), WIDE[:5]),
    (20, Looks(3, 5), ("two groups",), ("three x5", "half x3", "log-normal 1")),
)
"""Levels and seeds; truths and worlds that are simulated of them."""
TRUTHS = {"one better": ("one", 4.0, 0.0), "two groups": ("halves", 8.0, 0.0), "ladder": ("ladder", 2.0, 0.0),
          "one better, rope": ("one", 4.0, 0.5), "no difference": ("one", 0.0, 0.0)}  # fmt: skip
"""Where levels are, as for ``scatter.cpp``, and the rope, in deviations of most levels."""

Row = tuple[int, Looks, str, str]


def rows() -> Iterator[Row]:
    """List what is simulated; a world has one level at least that scatters as most do."""
    for levels, looks, truths, worlds in DESIGNS:
        for truth, world in itertools.product(truths, worlds):
            if len(WORLDS.get(world) or ()) < levels:
                yield levels, looks, world, truth


def simulate(row: Row, rounds: int) -> dict[str, list[float]]:
    """Return of rounds, and of as many seeds for all: false comparisons, share of pairs found, mean seeds."""
    levels, looks, world, truth = row
    given = WORLDS.get(world, ())
    deviations = (3,) * (levels // 2) if given is None else given
    where, size, rope = TRUTHS[truth]
    about = (rounds, where, size, 1, rope, SPREADS.get(world, 0.0), *deviations)
    text = "\n".join(look(levels, seeds, looks.share(seeds), alone=levels == 2) for seeds in looks.numbers)
    program, most = BUILD / "scatter", looks.most
    last = look(levels, most, 1.0, alone=levels == 2 or most >= ENOUGH)
    return {
        "rounds": answer_of(program, (levels, looks.first, most, *about), text),
        "fixed": answer_of(program, (levels, most, most, *about), last),
    }


def main() -> None:
    """Simulate what is not done yet, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    rounds, kept = parser.parse_args().rounds, BUILD / "settled.jsonl"
    built()
    done = dict(map(json.loads, kept.read_text().splitlines())) if kept.exists() else {}
    names = {row: " | ".join(map(str, (*row, rounds))) for row in rows()}
    for row, name in names.items():
        if name not in done:
            done[name] = simulate(row, rounds)
            with kept.open("a") as file:
                file.write(json.dumps([name, done[name]]) + "\n")
        write({each: done[key] for each, key in names.items() if key in done}, rounds)


def write(done: dict[Row, dict[str, list[float]]], rounds: int) -> None:
    """Write the table."""
    lines = []
    for (levels, looks, world, truth), found in done.items():
        (wrong, right, seeds), (all_wrong, all_right, _) = found["rounds"], found["fixed"]
        low, high = bounds(int(wrong), rounds)
        cells = f"{100 * wrong / rounds:.1f} | {100 * low:.1f} to {100 * high:.1f} | {100 * right:.0f} | {seeds:.1f}"
        fixed = f"{100 * all_wrong / rounds:.1f} | {100 * all_right:.0f} | {100 * (1 - seeds / looks.most):.0f}"
        lines.append(f"| {levels} x {looks} | {world} | {truth} | {cells} | {fixed} |")
    text = [
        f"# Sweeps that stop when they are settled, {date.today()}",
        "",
        f"**False**: share, in %, of {rounds} simulated sweeps with any false verdict at any look, all pairs together, "
        "and its 95 % interval (Wilson); it should be at most 5. **Found**: share of the pairs that truly differ that "
        "are called so. **Seeds**: of a level, on average. **Fixed**: the same with all seeds for all levels, judged "
        "once; **saved**: the share of its runs, in %, that rounds do without. Scores are normal; a seed moves all "
        "levels together by two deviations; images do nothing. The world says how many levels scatter how much, in the "
        "deviations of the others; log-normal: every level has its own, with this deviation of the logarithm. One "
        "better: the last level, by 4 deviations; two groups: the second half, by 8; ladder: each by 2 from the one "
        "before. The rope is 0, or, where it says so, half a deviation: then equal levels are given up where seeds to "
        f"come would hardly show that they are equivalent. {hardware()} Made by `benchmarks/bench_settled.py`, whose "
        "`scatter.cpp` is a second implementation of the rule.",
        "",
        "| levels x seeds | world | truth | false | interval | found | seeds | fixed: false | found | saved |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
        *lines,
    ]
    RESULTS.joinpath(f"settled-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
