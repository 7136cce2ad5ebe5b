"""Tell kept comparisons anew, by today's rules, from what was kept of them: ``results.csv`` and ``statistics.json``.

python benchmarks/retell.py [FOLDER ...]        # seconds; by default all kept comparisons of benchmarks/results

Scores of every seed are in ``results.csv``; the variance that images give each level and each pair, and the degrees of
freedom of it (by the width of the interval about these very runs), are in ``statistics.json``. From these follow, as
from the runs themselves, how seeds scatter, intervals, verdicts and what would settle them. Ranks are drawn from the
same parts, where they were drawn from images before. Counts of single images were not kept: p and effect over images,
classes, curves, hard images and galleries stay what they were. A comparison of a score that ``results.csv`` lacks, such
as AP, cannot be told anew, and is left as it is.
"""

import csv
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import t

from seg.compare import overview, plots, tables
from seg.compare.about import definitions
from seg.compare.answer import answer, cautions, standings
from seg.compare.findings import BOTH, IMAGES, Comparison, LevelResult, PairResult
from seg.compare.multiplicity import shaffer_steps
from seg.compare.pairs import adjust_for_multiplicity
from seg.compare.ranks import Ranks, rank_draws
from seg.compare.results import write_statistics
from seg.compare.scatter import SeedInteraction, seed_interaction
from seg.compare.variance import parts, strongest
from seg.metrics.catalogue import KNOWN
from seg.report.document import Block, Bullets, Figure, Heading, Text, to_markdown

RESULTS = Path(__file__).parent / "results"
OF_RUNS = "## Do other metrics agree?"
"""Where a report begins to tell what it takes the runs to know."""
HOW = "## How to read this"


class Kept:
    """What was kept of a comparison."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, Any] = json.loads((folder / "statistics.json").read_text())
        with (folder / "results.csv").open(newline="") as file:
            self.rows = list(csv.DictReader(file))
        self.names = [level["level"] for level in self.found["levels"]]
        self.metric = self.found["metric"]

    def scores(self, metric: str) -> NDArray[np.float64]:
        """The score of each level and seed (L, S)."""
        by_level = [[float(row[metric]) for row in self.rows if row["level"] == name] for name in self.names]
        return np.array(by_level)

    def of_images(self, estimate: dict[str, Any]) -> tuple[float, float, float]:
        """The variance over images of a mean, the remainder within it, and its degrees of freedom."""
        images, both = (estimate["variance"][key] for key in ("images", "both"))
        low, high = estimate["interval"]
        reach = (high - low) / 2 / np.sqrt(images + both)

        def apart(log: float) -> float:
            return float(t.ppf(0.975, np.exp(log))) - reach

        degrees = np.exp(brentq(apart, np.log(0.5), np.log(1e6))) if apart(np.log(1e6)) < 0 else 1e6
        return images + both, both, float(degrees)


def retold(kept: Kept) -> Comparison:
    """The comparison, by today's rules."""
    metric, found = KNOWN[kept.metric], kept.found
    scores = kept.scores(kept.metric)
    order = np.argsort(kept.names)
    interaction = seed_interaction(scores[order])
    place = {kept.names[row]: at for at, row in enumerate(order)}
    for level, row in zip(found["levels"], scores, strict=True):
        assert abs(level["mean"] - row.mean()) < 2e-6, f"{kept.folder}: another mean of {level['level']}"
        assert level["interval_kind"] == IMAGES
    ranks = draw_ranks(kept, scores, interaction, place)
    levels = [level_of(kept, row, scores, ranks, interaction, place) for row in range(len(scores))]
    pairs = [pair_of(kept, pair, scores, interaction, place) for pair in found["pairs"]]
    p = [pair.p_holm for pair in pairs]  # adjusted already
    adjusted = adjust_for_multiplicity(pairs, shaffer_steps(len(levels)), metric.sign, found["rope"])
    together = [replace(pair, p_holm=kept_p) for pair, kept_p in zip(adjusted, p, strict=True)]
    nothing = np.full((len(levels), 0), np.nan)
    return Comparison(
        metric=metric.name,
        measure=metric,
        rope=found["rope"],
        draws=found["draws"],
        seed=found["seed"],
        units=found["levels"][0]["images"],
        groups=np.arange(found["levels"][0]["images"]),
        levels=tuple(levels),
        pairs=tuple(together),
        ranks=ranks,
        rank_kind=BOTH,
        class_iou=nothing,
        class_interval=nothing[..., None],
    )


def level_of(
    kept: Kept,
    row: int,
    scores: NDArray[np.float64],
    ranks: Ranks,
    interaction: SeedInteraction,
    place: dict[str, int],
) -> LevelResult:
    told = kept.found["levels"][row]
    by_images, both, degrees = kept.of_images(told)
    seeds = scores.shape[1]
    variance = parts(float(np.var(scores[row], ddof=1)) / seeds, by_images, both, (seeds, told["images"]),
                     (seeds - 1.0, degrees))  # fmt: skip
    low, high = variance.interval(told["mean"], new_seeds=True)
    at = place[told["level"]]
    return LevelResult(
        level=told["level"],
        seeds=tuple(told["seeds"]),
        scores=tuple(scores[row].tolist()),
        images=told["images"],
        mean=told["mean"],
        interval=tuple(told["interval"]),
        interval_kind=IMAGES,
        wide=(max(low, 0.0), min(high, 1.0)),
        rank=ranks.ranks[row],
        rank_interval=ranks.intervals[row],
        rank_shares=tuple(ranks.shares[row].tolist()),
        scatter=float(np.sqrt(interaction.levels[at])),
        scatters_more=float(interaction.more[at]),
        variance=variance,
        bounds=(0.0, 1.0),
    )


def pair_of(
    kept: Kept,
    told: dict[str, Any],
    scores: NDArray[np.float64],
    interaction: SeedInteraction,
    place: dict[str, int],
) -> PairResult:
    """A pair before its adjustment."""
    by_images, both, degrees = kept.of_images(told)
    seeds, sign, rope = scores.shape[1], KNOWN[kept.metric].sign, kept.found["rope"]
    a, b = (place[told[key]] for key in "ab")
    scatter, of_seeds = interaction.pair(min(a, b), max(a, b), len(kept.found["pairs"]))
    variance = parts(scatter / seeds, by_images, both, (seeds, kept.found["levels"][0]["images"]), (of_seeds, degrees))
    gain = sign * told["difference"]
    worse, better = (variance.below(-rope, way * gain, new_seeds=True) for way in (1, -1))
    claim, p = strongest(gain, variance, rope)
    same = {key: told[key] for key in ("a", "b", "difference", "wins", "ties", "losses", "p_holm", "effect")}
    return PairResult(
        **same,
        seeds=tuple(told["seeds"]),
        interval=tuple(told["interval"]),
        interval_kind=IMAGES,
        wide=variance.interval(told["difference"], new_seeds=True),
        p_better=better,
        p_equivalent=max(1 - better - worse, 0.0),
        p_worse=worse,
        p_kind=BOTH,
        verdict=claim,
        p_verdict=p,
        more_seeds=None,
        more_images=None,
        variance=variance,
    )


def draw_ranks(kept: Kept, scores: NDArray[np.float64], interaction: SeedInteraction, place: dict[str, int]) -> Ranks:
    """Ranks in draws of what the levels may truly be worth, as `seg.compare.ranks.joint_draws` makes them."""
    rng, draws = np.random.default_rng(kept.found["seed"]), kept.found["draws"]
    own = [kept.of_images(level) for level in kept.found["levels"]]
    by_images, remainder = (np.diag([each[k] for each in own]) for k in (0, 1))
    degrees = []
    for pair in kept.found["pairs"]:
        a, b = (kept.names.index(pair[key]) for key in "ab")
        *of_pair, known = kept.of_images(pair)
        degrees.append(known)
        for matrix, variance in zip((by_images, remainder), of_pair, strict=True):
            matrix[a, b] = matrix[b, a] = (matrix[a, a] + matrix[b, b] - variance) / 2
    at = [place[name] for name in kept.names]
    by_seeds = np.diag(interaction.levels[at]) / scores.shape[1]
    remainder = mended(remainder)
    by_seeds, by_images = remainder + mended(by_seeds - remainder), mended(by_images - remainder)
    chi = np.sqrt(np.median(degrees) / rng.chisquare(np.median(degrees), (draws, 1)))
    size = (draws, len(scores))
    found = scores.mean(1) + interaction.scales(draws, rng)[:, at] * (rng.standard_normal(size) @ root(by_seeds))
    found += chi * (rng.standard_normal(size) @ root(by_images))
    sign = KNOWN[kept.metric].sign
    return rank_draws(sign * scores.mean(1), sign * found)


def mended(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def as_study(kept: Kept) -> Any:
    """As much of a study as tables take."""
    levels = []
    for name in kept.names:
        entries = [
            SimpleNamespace(scores={k: float(v) for k, v in row.items() if k not in ("run", "level") and v})
            for row in kept.rows
            if row["level"] == name
        ]
        levels.append(SimpleNamespace(name=name, entries=entries))
    excluded = [(each["run"], each["reason"]) for each in kept.found["excluded"]]
    same = {"axis": kept.found["axis"], "warnings": kept.found["warnings"]}
    return SimpleNamespace(levels=levels, excluded=excluded, ensembles=(), **same)


def blocks(kept: Kept, result: Comparison, reference: str) -> Iterator[Block]:
    """The report, as far as it is told anew."""
    for sentence in answer(result, reference):
        yield Text(sentence, strong=True)
    yield Figure(plots.draw_seeds(kept.folder, result), standings(result))
    told = (
        f"Told anew on {date.today()} by benchmarks/retell.py, from the scores of each seed and the variance that "
        "images give them. The counts of single images were not kept: p and effect over images, and all from Do other "
        "metrics agree? on, are those of the first report."
    )
    yield Bullets([told, *kept.found["warnings"], *cautions(result)])
    yield Heading("Levels")
    yield Text(tables.about_levels(result))
    yield tables.level_table(as_study(kept), result)
    pairs = sorted(result.pairs_with(reference), key=lambda pair: -pair.difference)
    yield Heading("Pairs")
    yield from tables.pair_matrix(result)
    yield from tables.new_seeds_table(pairs, reference, result)
    forest = plots.draw_forest(kept.folder, result, reference)
    yield Figure(forest, f"Differences, 95 % intervals, and what does not matter (grey). {tables.LEGEND}.")
    yield Heading("These very runs, image by image")
    yield from tables.these_runs_table(pairs, reference, [""] * len(pairs))
    yield Heading("What makes it uncertain")
    yield from tables.parts_table(result.by_rank, result)


def of_runs(report: str) -> str:
    """What a report, of these rules or of those before, tells of the runs."""
    if OF_RUNS in report:
        return report[report.index(OF_RUNS) : report.index(HOW)]
    rankings = report[report.index("Ranked by other metrics") : report.index("## Seeds")]
    costs = report[report.index("What training took") : report.index("## Pairs")]
    figure = report[report.index("## Cost") + len("## Cost\n\n") : report.index("## Classes")]
    return f"{OF_RUNS}\n\n{rankings}## Cost\n\n{costs}{figure}{report[report.index('## Classes') : report.index(HOW)]}"


def tell(kept: Kept, reference: str | None) -> Comparison:
    """Write report, figures and statistics of a kept comparison anew."""
    result = retold(kept)
    reference = reference or result.levels[result.ranks.winner].level
    path = kept.folder / "report.md"
    before = path.read_text()
    title = re.match("# (.*)", before)
    new = to_markdown(title[1] if title else "Comparison", list(blocks(kept, result, reference)))
    end = to_markdown("", list(definitions(result))).partition("\n\n")[2]
    path.write_text(f"{new}\n{of_runs(before)}{end}")
    for figure in kept.folder.glob("*.svg"):
        figure.unlink()
    write_statistics(kept.folder / "statistics.json", as_study(kept), result)
    return result


def main() -> None:
    """Tell the comparisons of some folders anew, or all that were kept."""
    folders = [Path(word) for word in sys.argv[1:]] or sorted(RESULTS.iterdir())
    for folder in folders:
        if (folder / "statistics.json").exists():
            alone(folder)
        elif (folder / "overview.json").exists():
            together(folder)


def alone(folder: Path) -> None:
    kept = Kept(folder)
    if kept.metric not in kept.rows[0]:
        print(f"{folder.name}: left as it is, results.csv has no {kept.metric}")
        return
    # the regularizers were compared with none
    result = tell(kept, "none" if folder.name.startswith("uuad") else None)
    settled = sum(pair.verdict != "inconclusive" for pair in result.pairs)
    print(f"{folder.name}: {settled} of {len(result.pairs)} pairs settled")


def together(folder: Path) -> None:
    """Tell a comparison by values anew."""
    told = json.loads((folder / "overview.json").read_text())
    found = {each["value"]: Kept(folder / each["folder"]) for each in told["values"]}
    by_value = {value: tell(kept, told["reference"]) for value, kept in found.items()}
    over = overview.look_over(told["by"], by_value, told["reference"])
    excluded = [(each["run"], each["reason"]) for each in told["excluded"]]
    doubts = overview.of_values(told["by"], {value: list(cautions(result)) for value, result in by_value.items()})
    overview.write_overview(folder, over, excluded, doubts)
    for name in ("report.html", "overview.svg"):
        (folder / name).unlink()
    for value, result in by_value.items():
        settled = sum(pair.verdict != "inconclusive" for pair in result.pairs)
        print(f"{folder.name}, {value}: {settled} of {len(result.pairs)} pairs settled")


if __name__ == "__main__":
    main()
