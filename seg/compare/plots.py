"""The plots of a report, each as PNG and SVG."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seg.compare.answer import decided_by, seen_from
from seg.compare.evidence import Entry
from seg.compare.findings import Compared, LevelResult
from seg.compare.study import Level
from seg.metrics.scores import image_ious, image_means, ratio, worst
from seg.report.figure import Look, add_legend, labels, looks, save_figure

_SIZE = (6.6, 4.2)  # inches, without the legend
COLORS = {"better": "#2d8a4e", "worse": "#c1352b", "equivalent": "#4a78a8", "inconclusive": "#8c96a0"}


def _saved(folder: Path, name: str, draw: Callable[[Any], None], size: tuple[float, float]) -> str:
    return save_figure(folder, name, lambda figure: draw(figure.subplots()), size)


def draw_forest(folder: Path, found: Compared, reference: str) -> str:
    """Differences from the reference, with their intervals, and the region where they do not matter."""
    pairs = [seen_from(pair, reference) for pair in found.pairs if reference in (pair.a, pair.b)]
    pairs.sort(key=lambda pair: -pair.difference)
    shown, metric, scale = labels(level.level for level in found.levels), found.measure, found.measure.scale

    def draw(axes: Any) -> None:
        axes.axvspan(-scale * found.rope, scale * found.rope, color="#e3e8ee", zorder=0, label="does not matter")
        axes.axvline(0, color="#8c96a0", linewidth=0.8)
        for row, pair in enumerate(pairs):
            color = COLORS[pair.verdict]
            low, high = decided_by(pair)
            axes.plot([scale * low, scale * high], [row, row], color=color, linewidth=2)
            axes.plot(scale * pair.difference, row, "o", color=color)
        axes.set_yticks(range(len(pairs)), [f"{shown[pair.b]}: {pair.verdict}" for pair in pairs])
        axes.set_title(f"verdict on {shown[reference]}, against", loc="left", fontsize=10)
        axes.set_ylim(-0.7, len(pairs) - 0.3)
        axes.set_xlabel(f"{shown[reference]} minus the other, {metric.differences} of {metric.title}")

    return _saved(folder, "forest", draw, (7.5, 1.2 + 0.36 * len(pairs)))


def draw_seeds(folder: Path, found: Compared, scores: Mapping[str, Sequence[float]]) -> str:
    """Return the score of every run, and the interval of every level.

    Args:
        scores: level -> score of each of its runs.
    """
    levels, metric, scale = in_order(found), found.measure, found.measure.scale
    shown = labels(scores)

    def draw(axes: Any) -> None:
        for row, level in enumerate(reversed(levels)):
            low, high = level.wide or level.interval
            axes.plot([scale * low, scale * high], [row, row], color="#b6bec7", linewidth=5, solid_capstyle="butt")
            axes.plot([scale * s for s in scores[level.level]], [row] * len(scores[level.level]), "o", color="#4a78a8")
            axes.plot(scale * level.mean, row, "|", color="black", markersize=14)
        axes.set_yticks(range(len(levels)), [shown[level.level] for level in reversed(levels)])
        axes.set_ylim(-0.7, len(levels) - 0.3)
        axes.set_xlabel(f"{metric.title} {metric.symbol}: runs, mean, 95 % interval")

    return _saved(folder, "seeds", draw, (7.5, 1.2 + 0.36 * len(levels)))


def in_order(found: Compared) -> list[LevelResult]:
    """Levels, the best one first."""
    return sorted(found.levels, key=lambda level: level.rank)


def draw_classes(folder: Path, found: Compared, classes: Sequence[str]) -> str:
    """IoU of each class and level, with half the width of its interval."""
    order = [found.levels.index(level) for level in in_order(found)]
    rows, columns = (list(labels(names).values()) for names in ([found.levels[i].level for i in order], classes))
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
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
        axes.set_yticks(range(len(rows)), rows)

    slanted = 0.06 * max(map(len, columns))  # inches of height
    return _saved(folder, "classes", draw, (max(6.0, 1.8 + 0.6 * len(columns)), 1.2 + slanted + 0.42 * len(rows)))


def draw_curves(folder: Path, levels: Sequence[Level]) -> str | None:
    """mIoU over the epochs: mean over seeds, and from the lowest to the highest; None where no run kept two of them."""
    curves = {level.name: list(_curves(level)) for level in levels}
    if max((len(run) for some in curves.values() for run in some), default=0) < 2:
        return None
    look = looks(curves)

    def draw(axes: Any) -> None:
        lines = {}
        for name, runs in curves.items():
            by_epoch: dict[int, list[float]] = {}
            for epoch, score in (point for run in runs for point in run):
                by_epoch.setdefault(epoch, []).append(100 * score)
            epochs = sorted(by_epoch)
            lines[name] = _line(axes, look[name], epochs, [np.mean(by_epoch[e]) for e in epochs])
            low, high = ([pick(by_epoch[e]) for e in epochs] for pick in (min, max))
            axes.fill_between(epochs, low, high, color=look[name].color, alpha=0.15)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_ylabel("mIoU %, mean and range of seeds")
        add_legend(axes.figure, lines, look)

    return _saved(folder, "curves", draw, _SIZE)


def _line(axes: Any, look: Look, x: ArrayLike, y: ArrayLike, *, dots: bool = True) -> Any:
    """Return the curve of a level; returns what stands for it in a legend."""
    marker = look.marker if dots else ""
    (line,) = axes.plot(x, y, color=look.color, linestyle=look.line, marker=marker, markersize=3, linewidth=1.4)
    return line


def _curves(level: Level) -> Iterator[list[tuple[int, float]]]:
    for entry in level.entries:
        found = [(line["epoch"] + 1, line["val_miou"]) for line in entry.lines if line.get("val_miou") is not None]
        if found:
            yield found


def draw_worst(folder: Path, levels: Sequence[Level]) -> str:
    """Mean of the worst q % of images, by q: what a model does where it does badly."""
    look = looks(level.name for level in levels)

    def draw(axes: Any) -> None:
        lines = {}
        for level in levels:
            by_image = np.mean([image_means(image_ious(entry.counts)) for entry in level.entries], axis=0)
            lines[level.name] = _line(axes, look[level.name], range(1, 101), 100 * worst(by_image), dots=False)
        axes.set_xlabel("worst q % of the images")
        axes.set_ylabel("their mean mIoU %")
        add_legend(axes.figure, lines, look)

    return _saved(folder, "worst", draw, _SIZE)


def draw_tolerances(folder: Path, levels: Sequence[Level]) -> str | None:
    """Boundary F1 by tolerance, mean over seeds; None unless all runs have it for the same tolerances."""
    curves = {level.name: [_curve(entry) for entry in level.entries] for level in levels}
    lists = {tuple(curve[0]) if curve else () for some in curves.values() for curve in some}
    if len(lists) > 1 or () in lists:
        return None
    tolerances = np.array(lists.pop())
    relative = tolerances < 1
    places = np.where(relative, len(tolerances) - relative.sum() + np.cumsum(relative) - 0.5, np.cumsum(~relative) - 1)
    look = looks(curves)

    def draw(axes: Any) -> None:
        lines = {}
        for shift, (name, some) in zip(np.linspace(-0.25, 0.25, len(curves)), curves.items(), strict=True):
            means = 100 * np.mean([curve[1] for curve in some if curve is not None], axis=0)
            lines[name] = _line(axes, look[name], places[~relative], means[~relative])
            # a share of the diagonal is more pixels in a larger image: it has no place on the curve
            axes.plot(places[relative] + shift, means[relative], look[name].marker, color=look[name].color)
        ticks = [f"{100 * t:g} %\nof diagonal" if t < 1 else f"{t:g} px" for t in tolerances]
        axes.set_xticks(places, ticks, fontsize=8)
        axes.set_ylabel("boundary F1 %, by image")
        add_legend(axes.figure, lines, look)

    return _saved(folder, "tolerances", draw, _SIZE)


def _curve(entry: Entry) -> tuple[list[float], list[float]] | None:
    curve = (entry.judged or {}).get("boundary_f1_curve")
    return (curve["tolerances"], curve["i"]) if curve else None


def draw_reliability(folder: Path, levels: Sequence[Level]) -> str | None:
    """Accuracy by confidence, pixels of all seeds together; None unless all runs have it."""
    found: dict[str, list[dict[str, Any]]] = {
        level.name: [(entry.judged or {}).get("reliability", {}) for entry in level.entries] for level in levels
    }
    if not all(bins for some in found.values() for bins in some):
        return None
    look = looks(found)

    def draw(axes: Any) -> None:
        lines = {}
        axes.plot([0, 100], [0, 100], color="#8c96a0", linewidth=0.8)
        for name, some in found.items():
            pixels, confidence, right = (np.array([bins[key] for bins in some], np.float64) for key in _BINS)
            total = pixels.sum(0)
            confidence, right = (ratio(np.nansum(pixels * part, axis=0), total) for part in (confidence, right))
            lines[name] = _line(axes, look[name], 100 * confidence, 100 * right)
        axes.set_xlabel("confidence %")
        axes.set_ylabel("right %")
        add_legend(axes.figure, lines, look)

    return _saved(folder, "reliability", draw, (5.2, 4.6))


_BINS = ("pixels", "confidence", "accuracy")


def draw_errors(folder: Path, levels: Sequence[Level]) -> str | None:
    """Wrong pixels by kind, mean over seeds; None unless all runs have them."""
    keys = [f"error_{kind}" for kind in ERRORS]
    if not all(isinstance(entry.scores.get(key), float) for level in levels for entry in level.entries for key in keys):
        return None
    rows = list(reversed(levels))
    shown = labels(level.name for level in rows)

    def draw(axes: Any) -> None:
        left = np.zeros(len(rows))
        for (kind, color), key in zip(ERRORS.items(), keys, strict=True):
            shares = np.array([100 * np.mean([entry.scores[key] for entry in level.entries]) for level in rows])
            axes.barh(range(len(rows)), shares, left=left, color=color, label=kind)
            left += shares
        axes.set_yticks(range(len(rows)), [shown[level.name] for level in rows])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlabel("wrong pixels, % of the labelled")
        axes.set_title(" ")  # room for the legend
        axes.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)

    return _saved(folder, "errors", draw, (7.5, 1.3 + 0.36 * len(rows)))


ERRORS = {"boundary": "#9db8d2", "extent": "#4a78a8", "missed": "#c1352b"}
"""Kinds of wrong pixels, and their colours."""


def draw_cost(folder: Path, found: Compared, levels: Sequence[Level]) -> tuple[str, list[str]] | None:
    """Score against training time; returns the file, and the Pareto front. None unless all times are known."""
    seconds = {level.name: [entry.seconds for entry in level.entries] for level in levels}
    known = {name: np.mean([s for s in some if s is not None]) for name, some in seconds.items() if None not in some}
    if len(levels) < 2 or len(known) < len(levels):
        return None
    metric, sign, scale = found.measure, found.measure.sign, found.measure.scale
    by_time = sorted(found.levels, key=lambda level: (known[level.level], -sign * level.mean))
    front, best = [], -math.inf
    for level in by_time:
        if sign * level.mean > best:
            front.append(level)
            best = sign * level.mean
    look = looks(known)

    def draw(axes: Any) -> None:
        dots = {}
        axes.plot([known[level.level] for level in front], [scale * level.mean for level in front], color="#b6bec7")
        for level in in_order(found):
            at, (marker, color) = known[level.level], (look[level.level].marker, look[level.level].color)
            (dots[level.level],) = axes.plot(at, scale * level.mean, marker, color=color)
        axes.set_xlabel("seconds of training, mean over seeds")
        axes.set_ylabel(f"{metric.title} {metric.symbol}")
        add_legend(axes.figure, dots, look)

    return _saved(folder, "cost", draw, _SIZE), [level.level for level in front]
