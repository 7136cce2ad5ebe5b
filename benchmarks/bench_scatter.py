"""How often verdicts are false, and what they find, where levels scatter differently: by simulation.

nice -n 15 python benchmarks/bench_scatter.py [--rounds 1000] [--minutes 60]

A row is a design (levels x seeds), a world (which levels scatter how much), and where the levels truly are. It goes on
where it was stopped, from ``benchmarks/results/scatter-DATE.jsonl``, and writes the table after every row.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from datetime import date

import numpy as np
from bench_statistics import RESULTS, hardware
from numpy.typing import NDArray

from seg.compare.multiplicity import adjusted, shaffer_steps
from seg.compare.scatter import seed_interaction
from seg.compare.variance import difference_parts, strongest

Floats = NDArray[np.float64]
BLOCK = 50
"""Comparisons between two looks at the clock."""

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
    "log-normal": None,
}
TRUTHS = {"one better": 4.0, "two groups": 8.0}
"""Where levels are: the last one apart by so many deviations of most levels, or the second half."""


def scores(rng: np.random.Generator, world: str, truth: str, levels: int, seeds: int) -> tuple[Floats, Floats]:
    """Draw true scores (L,), and scores (L, S) that all seeds share effects of."""
    deviations = np.ones(levels)
    given = WORLDS[world]
    if given is None:
        deviations = np.exp(0.5 * rng.standard_normal(levels))
    else:
        deviations[: len(given)] = given[:levels]
    true = np.where(np.arange(levels) >= (levels - 1 if truth == "one better" else levels // 2), TRUTHS[truth], 0.0)
    noise = deviations[:, None] * rng.standard_normal((levels, seeds)) + 2 * rng.standard_normal(seeds)
    return true, true[:, None] + noise


def judge(true: Floats, found: Floats) -> tuple[bool, float]:
    """Say whether any verdict is false, and which share of the pairs that differ is found; images do nothing."""
    still, known, pairs = np.zeros((30, 1)), seed_interaction(found), list(itertools.combinations(range(len(true)), 2))
    claims, values = [], []
    for a, b in pairs:
        each = [(found[i], still + found[i]) for i in (a, b)]
        seeds = known.pair(a, b, len(pairs))
        claim, p = strongest(*difference_parts(each[0], each[1], paired=True, seeds=seeds), 0.0)
        claims.append({"better": 1, "worse": -1}.get(claim, 0))
        values.append(p)
    held = np.array(claims) * (np.array(adjusted(values, shaffer_steps(len(true)))) < 0.05)
    truth = np.array([np.sign(true[a] - true[b]) for a, b in pairs])
    return bool(((held != 0) & (held != truth)).any()), float((held == truth)[truth != 0].mean())


def bounds(wrong: int, rounds: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, Journal of the American Statistical Association 1927)."""
    z, share = 1.96, wrong / rounds
    middle, reach = share + z**2 / 2 / rounds, z * np.sqrt(share * (1 - share) / rounds + z**2 / 4 / rounds**2)
    return (middle - reach) / (1 + z**2 / rounds), (middle + reach) / (1 + z**2 / rounds)


def rows() -> Iterator[tuple[int, int, str, str]]:
    """List what is simulated, the designs and worlds that are asked for most first."""
    for truth, (levels, seeds), world in itertools.product(TRUTHS, DESIGNS, WORLDS):
        if len(WORLDS[world] or ()) < levels:
            yield levels, seeds, world, truth


def main() -> None:
    """Simulate as long as there is time, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    kept = RESULTS / f"scatter-{date.today()}.jsonl"
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for goal in range(BLOCK * 2, options.rounds + 1, BLOCK * 2):
        for number, row in enumerate(rows()):
            have = [each for each in done if each["row"] == list(row)]
            while len(have) * BLOCK < goal:
                rng = np.random.default_rng([number, len(have)])
                levels, seeds, world, truth = row
                found = [judge(*scores(rng, world, truth, levels, seeds)) for _ in range(BLOCK)]
                wrong, power = sum(each[0] for each in found), float(np.mean([each[1] for each in found]))
                have.append({"row": list(row), "wrong": wrong, "found": power})
                done.append(have[-1])
                with kept.open("a") as file:
                    file.write(json.dumps(have[-1]) + "\n")
                if time.monotonic() > end:
                    return write(done)
    return write(done)


def write(done: list[dict[str, object]]) -> None:
    """Write the table of what is done."""
    lines = []
    for row in rows():
        have = [each for each in done if each["row"] == list(row)]
        if have:
            rounds, wrong = BLOCK * len(have), sum(int(str(each["wrong"])) for each in have)
            low, high = bounds(wrong, rounds)
            power = np.mean([float(str(each["found"])) for each in have])
            levels, seeds, world, truth = row
            cells = f"{rounds} | {100 * wrong / rounds:.1f} | {100 * low:.1f} to {100 * high:.1f} | {100 * power:.0f}"
            lines.append(f"| {levels} x {seeds} | {world} | {truth} | {cells} |")
    text = [
        f"# Verdicts where levels scatter differently, {date.today()}",
        "",
        "**False**: share, in %, of simulated comparisons with any false verdict, all pairs together, rope 0, and its "
        "95 % interval (Wilson); it should be at most 5. **Found**: share of the pairs that truly differ that are "
        "called so. Scores are normal; a seed moves all levels together by two deviations; images do nothing. The "
        "world says "
        'how many levels scatter how much, in the deviations of the others; "log-normal": deviations of all, by 0.5 in '
        "the logarithm. One better: the last level, by 4 deviations; two groups: the second half, by 8. "
        f"{hardware()} Made by `benchmarks/bench_scatter.py`.",
        "",
        "| levels x seeds | world | truth | comparisons | false | interval | found |",
        "|---|---|---|--:|--:|--:|--:|",
        *lines,
    ]
    RESULTS.joinpath(f"scatter-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
