"""The plots of a report, each as PNG and SVG."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg.compare.answer import NAMES, decided_by, seen_from
from seg.compare.statistics import Compared, LevelResult
from seg.compare.study import Level
from seg.files import whole
from seg.scores import image_ious, image_means, worst

Floats = NDArray[np.float64]

COLORS = {"better": "#2d8a4e", "worse": "#c1352b", "equivalent": "#4a78a8", "inconclusive": "#8c96a0"}


def _saved(folder: Path, name: str, draw: Callable[[Any], None], size: tuple[float, float]) -> str:
    """Draw on new axes; returns the name of the PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots())
    for ending in ("png", "svg"):
        with whole(folder / f"{name}.{ending}") as temporary:
            figure.savefig(temporary, format=ending, dpi=120)
    return f"{name}.png"


def draw_forest(folder: Path, found: Compared, reference: str) -> str:
    """Differences from the reference, with their intervals, and the region where they do not matter."""
    pairs = [seen_from(pair, reference) for pair in found.pairs if reference in (pair.a, pair.b)]
    pairs.sort(key=lambda pair: -pair.difference)

    def draw(axes: Any) -> None:
        axes.axvspan(-100 * found.rope, 100 * found.rope, color="#e3e8ee", zorder=0, label="does not matter")
        axes.axvline(0, color="#8c96a0", linewidth=0.8)
        for row, pair in enumerate(pairs):
            color = COLORS[pair.verdict]
            low, high = decided_by(pair)
            axes.plot([100 * low, 100 * high], [row, row], color=color, linewidth=2)
            axes.plot(100 * pair.difference, row, "o", color=color)
        axes.set_yticks(range(len(pairs)), [f"{pair.b}: {pair.verdict}" for pair in pairs])
        axes.set_ylim(-0.7, len(pairs) - 0.3)
        axes.set_xlabel(f"{reference} minus the other, points of {NAMES.get(found.metric, found.metric)}")

    return _saved(folder, "forest", draw, (7.5, 1.2 + 0.36 * len(pairs)))


def draw_seeds(folder: Path, found: Compared, scores: Mapping[str, Sequence[float]]) -> str:
    """The score of every run, and the interval of every level.

    Args:
        scores: level -> score of each of its runs.
    """
    levels = in_order(found)

    def draw(axes: Any) -> None:
        for row, level in enumerate(reversed(levels)):
            low, high = level.wide or level.interval
            axes.plot([100 * low, 100 * high], [row, row], color="#b6bec7", linewidth=5, solid_capstyle="butt")
            axes.plot([100 * s for s in scores[level.level]], [row] * len(scores[level.level]), "o", color="#4a78a8")
            axes.plot(100 * level.mean, row, "|", color="black", markersize=14)
        axes.set_yticks(range(len(levels)), [level.level for level in reversed(levels)])
        axes.set_ylim(-0.7, len(levels) - 0.3)
        axes.set_xlabel(f"{NAMES.get(found.metric, found.metric)} %: runs, mean, 95 % interval")

    return _saved(folder, "seeds", draw, (7.5, 1.2 + 0.36 * len(levels)))


def in_order(found: Compared) -> list[LevelResult]:
    """Levels, the best one first."""
    return sorted(found.levels, key=lambda level: level.rank)


def draw_classes(folder: Path, found: Compared, classes: Sequence[str]) -> str:
    """IoU of each class and level, with half the width of its interval."""
    order = [found.levels.index(level) for level in in_order(found)]
    iou, interval = 100 * found.class_iou[order], 100 * found.class_interval[order]

    def draw(axes: Any) -> None:
        axes.imshow(iou, cmap="viridis", vmin=0, vmax=100, aspect="auto")
        for (row, column), value in np.ndenumerate(iou):
            if math.isnan(value):
                continue
            half = (interval[row, column, 1] - interval[row, column, 0]) / 2
            text = f"{value:.0f}" + ("" if math.isnan(half) else f"\n±{half:.0f}")
            dark = "white" if value < 60 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=dark)
        axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
        axes.set_yticks(range(len(order)), [found.levels[i].level for i in order])

    return _saved(folder, "classes", draw, (max(6.0, 1.8 + 0.6 * len(classes)), 1.6 + 0.42 * len(order)))


def draw_curves(folder: Path, levels: Sequence[Level]) -> str | None:
    """mIoU over the epochs: mean over seeds, and from the lowest to the highest; None where no run kept it."""
    curves = {level.name: list(_curves(level)) for level in levels}
    if not any(curves.values()):
        return None

    def draw(axes: Any) -> None:
        for name, runs in curves.items():
            by_epoch: dict[int, list[float]] = {}
            for epoch, score in (point for run in runs for point in run):
                by_epoch.setdefault(epoch, []).append(100 * score)
            epochs = sorted(by_epoch)
            (line,) = axes.plot(epochs, [np.mean(by_epoch[e]) for e in epochs], label=name, marker=".", linewidth=1.4)
            low, high = ([pick(by_epoch[e]) for e in epochs] for pick in (min, max))
            axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15)
        axes.set_xlabel("epoch")
        axes.set_ylabel("mIoU %, mean and range of seeds")
        axes.legend(fontsize=8)

    return _saved(folder, "curves", draw, (7.5, 4.2))


def _curves(level: Level) -> Iterator[list[tuple[int, float]]]:
    for entry in level.entries:
        found = [(line["epoch"] + 1, line["val_miou"]) for line in entry.lines if line.get("val_miou") is not None]
        if found:
            yield found


def draw_worst(folder: Path, levels: Sequence[Level]) -> str:
    """Mean of the worst q % of images, by q: what a model does where it does badly."""

    def draw(axes: Any) -> None:
        for level in levels:
            by_image = np.mean([image_means(image_ious(entry.counts)) for entry in level.entries], axis=0)
            axes.plot(range(1, 101), 100 * worst(by_image), label=level.name, linewidth=1.4)
        axes.set_xlabel("worst q % of the images")
        axes.set_ylabel("their mean mIoU %")
        axes.legend(fontsize=8)

    return _saved(folder, "worst", draw, (7.5, 4.2))
