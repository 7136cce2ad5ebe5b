"""The critical-difference diagram: mean ranks over images, and bars over levels that a test does not tell apart.

Demšar, "Statistical comparisons of classifiers over multiple data sets" (JMLR 2006), with the tests that Benavoli,
Corani and Mangili, "Should we really use post-hoc tests based on mean-ranks?" (JMLR 2016) ask for: Friedman's over all,
and Wilcoxon's signed-rank test of each pair, adjusted after Holm, instead of Nemenyi's.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from seg.compare.findings import Compared, LevelResult
from seg.report.document import Block, Figure, Heading, Text
from seg.report.figure import labels, save_figure

CAVEAT = (
    "A critical-difference diagram says nothing of new seeds or of how large a difference is: with many images even "
    "the smallest is significant. A mean rank depends on which other levels are compared. The verdicts on pairs do "
    "better."
)


def by_rank(found: Compared) -> list[LevelResult]:
    """Levels, the lowest mean rank over images first."""
    return sorted(found.levels, key=lambda level: level.image_rank)


def groups(found: Compared) -> list[tuple[int, int]]:
    """First and last place, in the order of `by_rank`, of levels that are not told apart; only the largest groups.

    Args:
        found: with the pairs of all levels.
    """
    order = [level.level for level in by_rank(found)]
    if found.friedman_p >= 0.05:
        return [(0, len(order) - 1)]
    apart = {frozenset((pair.a, pair.b)) for pair in found.pairs if pair.p_holm < 0.05}
    largest: list[tuple[int, int]] = []
    for first in range(len(order)):
        alike = (
            last
            for last in range(first + 1, len(order))
            if not any(frozenset(pair) in apart for pair in combinations(order[first : last + 1], 2))
        )
        last = max(alike, default=first)
        if last > max(first, largest[-1][1] if largest else 0):
            largest.append((first, last))
    return largest


def section(folder: Path, found: Compared) -> Iterator[Block]:
    """The diagram, its test and its caveat."""
    yield Heading("Critical differences")
    yield Text(CAVEAT)
    over_all = "" if found.friedman_p != found.friedman_p else f" Friedman's test over all: p = {found.friedman_p:.3g}."
    name = draw(folder, found)
    yield Figure(
        name, f"Mean rank over images, of scores averaged over seeds; a bar joins what is not told apart.{over_all}"
    )


def draw(folder: Path, found: Compared) -> str:
    """The diagram; returns the name of its file."""
    order, joined = by_rank(found), groups(found)
    half = (len(order) + 1) // 2
    shown = labels(level.level for level in order)

    def on(figure: Any) -> None:
        axes = figure.subplots()
        axes.axis("off")
        axes.set_xlim(0.4 - 0.25 * len(order), len(order) + 0.6 + 0.25 * len(order))
        axes.set_ylim(half + 0.5 + 0.35 * len(joined), -0.9)
        axes.plot([1, len(order)], [0, 0], color="black", linewidth=1)
        for rank in range(1, len(order) + 1):
            axes.plot([rank, rank], [0, -0.15], color="black", linewidth=1)
            axes.text(rank, -0.25, str(rank), ha="center", va="bottom", fontsize=9)
        for row, (first, last) in enumerate(joined, start=1):
            ends = [order[first].image_rank - 0.04, order[last].image_rank + 0.04]
            axes.plot(ends, [0.35 * row] * 2, color="#4a78a8", linewidth=4, solid_capstyle="butt")
        for place, level in enumerate(order):
            left = place < half
            end = 0.6 if left else len(order) + 0.4
            below = 0.35 * len(joined) + 0.5 + (place if left else len(order) - 1 - place)
            axes.plot([level.image_rank, level.image_rank, end], [0, below, below], color="#8c96a0", linewidth=0.9)
            text, side = f"{shown[level.level]} ({level.image_rank:.2f})", "right" if left else "left"
            axes.text(end + (-0.06 if left else 0.06), below, text, ha=side, va="center", fontsize=9)

    width = max(8.5, 0.45 * len(order)) + 0.14 * max(0, *(len(label) - 16 for label in shown.values()))
    return save_figure(folder, "critical", on, (width, 1.0 + 0.3 * (half + len(joined))))
