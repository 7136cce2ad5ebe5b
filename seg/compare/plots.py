"""The plots of a report, each as PNG and SVG."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from seg.compare.answer import of_which
from seg.compare.brackets import brackets
from seg.compare.findings import LIKELY, SIGNS, Comparison, LevelResult
from seg.compare.study import Level
from seg.metrics.catalogue import KNOWN, Metric
from seg.metrics.scores import ratio, worst
from seg.report.figure import add_legend, as_numbers, labels, saved_figure, scale_numbers, short, styles_of

_SIZE = (6.6, 4.2)  # inches, without the legend
COLORS = {"better": "#0072b2", "worse": "#d55e00", "equivalent": "#009e73", "inconclusive": "#8c96a0"}
"""Of verdicts; after Okabe and Ito, whose colours those who see no red or no green tell apart."""
MARKERS = {"better": "^", "worse": "v", "equivalent": "s", "inconclusive": "o"}
_BAR, _DOT = "#b6bec7", "#4a78a8"
_BRACKET = 0.24  # inches from one to the next


class _Curves:
    """A plot with a curve for each level, in the style of the level."""

    def __init__(self, axes: Any, names: Sequence[str]) -> None:
        self.axes, self.styles, self.lines = axes, styles_of(names), dict[str, Any]()

    def add(self, name: str, x: Any, y: Any, *, dots: bool = True) -> None:
        style = self.styles[name]
        marker = style.marker if dots else ""
        (self.lines[name],) = self.axes.plot(
            x, y, color=style.color, linestyle=style.line, marker=marker, markersize=3, linewidth=1.4
        )


@contextmanager
def _curves(
    folder: Path, name: str, levels: Sequence[Level], x: str, y: str, size: tuple[float, float] = _SIZE
) -> Iterator[_Curves]:
    """Yield a plot to add curves to, with the names of its axes, and write it with a legend."""
    with saved_figure(folder, name, size) as axes:
        curves = _Curves(axes, [level.name for level in levels])
        yield curves
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        add_legend(axes, curves.lines, curves.styles)


def draw_forest(folder: Path, result: Comparison, reference: str) -> str:
    """Draw differences from the reference, with their intervals, and the region where they do not matter."""
    pairs = sorted(result.pairs_with(reference), key=lambda pair: -pair.difference)
    shown, metric, scale = labels(level.level for level in result.levels), result.measure, result.measure.scale
    with saved_figure(folder, "forest", (7.5, 1.2 + 0.36 * len(pairs))) as axes:
        axes.axvspan(-scale * result.rope, scale * result.rope, color="#e3e8ee", zorder=0, label="does not matter")
        axes.axvline(0, color="#8c96a0", linewidth=0.8)
        for row, pair in enumerate(pairs):
            color, hollow = COLORS[pair.verdict], {"markerfacecolor": "white"} if pair.verdict == "inconclusive" else {}
            axes.plot([scale * end for end in pair.widest], [row, row], color=color, linewidth=2)
            axes.plot(scale * pair.difference, row, MARKERS[pair.verdict], color=color, **hollow)
        marks = [f"{'*' * bool(of_which(pair, result))}  {SIGNS[pair.verdict]}" for pair in pairs]
        axes.set_yticks(range(len(pairs)), [shown[pair.b] + mark for pair, mark in zip(pairs, marks, strict=True)])
        axes.set_title(f"{shown[reference]} is, against", loc="left", fontsize=10)
        axes.set_ylim(-0.7, len(pairs) - 0.3)
        axes.set_xlabel(f"{shown[reference]} minus the other, {metric.differences} of {metric.title}")
    return "forest.png"


def draw_seeds(folder: Path, result: Comparison) -> str:
    """Draw the answer: the levels in order, their runs, the intervals of their means, and which are not told apart."""
    levels, metric, scale = result.by_rank[::-1], result.measure, result.measure.scale
    shown, rows = labels(level.level for level in levels), {level.level: row for row, level in enumerate(levels)}
    names = [shown[x.level] + "\n(scatters more)" * ((x.scatters_more or 0) > LIKELY) for x in levels]
    groups = brackets(result)
    with saved_figure(folder, "seeds", (7.5, 1.2 + 0.36 * len(levels))) as axes:
        low, high = _reach(levels, scale)
        for row, level in enumerate(levels):
            ends = [scale * end for end in level.widest]
            axes.plot(ends, [row, row], color=_BAR, linewidth=7 if level.wide else 2, solid_capstyle="butt")
            for mark, end in (("<", low), (">", high)):  # of an interval that goes on
                if (ends[0] < end) if mark == "<" else (ends[1] > end):
                    axes.plot(end, row, mark, color="#6b7681", markersize=6, clip_on=False)
            axes.plot(scale * level.mean, row, "|", color="black", markersize=15)
            scores = [scale * score for score in level.scores]
            axes.plot(scores, [row] * len(scores), "o", color=_DOT, markersize=5, alpha=0.75)
        axes.set_xlim(low, high)
        axes.set_ylim(-0.7, len(levels) - 0.3)
        axes.set_yticks(range(len(levels)), names)
        axes.set_xlabel(f"{metric.title} {metric.symbol}: runs, mean, 95 % interval")
        axes.grid(axis="x", color="#eaeef2")
        axes.set_axisbelow(True)
        _draw_brackets(axes, [[rows[name] for name in group] for group in groups])
    return "seeds.png"


def _reach(levels: Sequence[LevelResult], scale: int) -> tuple[float, float]:
    """Return the ends of the x axis: intervals may be so wide that nothing else would be seen."""
    scores = [scale * score for level in levels for score in level.scores]
    ends = [scale * end for level in levels for end in level.widest]
    span = (max(scores) - min(scores)) or max(ends) - min(ends) or 1.0
    low, high = max(min(ends), min(scores) - span), min(max(ends), max(scores) + span)
    low, high = min(low, *scores), max(high, *scores)
    return low - 0.03 * (high - low or span), high + 0.03 * (high - low or span)


def _draw_brackets(axes: Any, groups: Sequence[Sequence[int]]) -> None:
    """Draw a bracket for each group of rows, beside the axes, with a tick at each of its rows."""
    if not groups:
        return
    width, x, y = axes.figure.get_size_inches()[0], list[float](), list[float]()
    for place, group in enumerate(groups, start=1):
        right, tick = 1 + place * _BRACKET / width, 0.07 / width
        for ends, rows in (
            ((right, right), (min(group), max(group))),
            *(((right - tick, right), (r, r)) for r in group),
        ):
            x += [*ends, math.nan]  # one line with gaps: hundreds of them would take seconds
            y += [*rows, math.nan]
    # x in shares of the axes, y in rows
    axes.plot(x, y, color="black", linewidth=1.2, transform=axes.get_yaxis_transform(), clip_on=False)
    axes.text(1.02, 1.01, "not told apart", transform=axes.transAxes, fontsize=8, ha="left", va="bottom")


def draw_axis(folder: Path, result: Comparison, axis: str | None) -> str | None:
    """Draw the score over the values of the axis, with every run and the interval of every level.

    Returns:
        The PNG file; None where the values are no numbers, or few.
    """
    if (numbers := as_numbers(level.level for level in result.levels)) is None or axis is None:
        return None
    metric, scale = result.measure, result.measure.scale
    levels = sorted(zip(numbers, result.levels, strict=True), key=lambda pair: pair[0])
    with saved_figure(folder, "axis", _SIZE) as axes:
        for number, level in levels:
            axes.plot([number] * 2, [scale * end for end in level.widest], color="#b6bec7", linewidth=5)
            axes.plot([number] * len(level.scores), [scale * score for score in level.scores], "o", color="#4a78a8")
        axes.plot(sorted(numbers), [scale * level.mean for _, level in levels], color="black", linewidth=1.2)
        scale_numbers(axes, numbers)
        axes.set_xlabel(short(axis))
        axes.set_ylabel(f"{metric.title} {metric.symbol}: runs, mean, 95 % interval")
    return "axis.png"


def draw_classes(folder: Path, result: Comparison, classes: Sequence[str]) -> str:
    """Draw the IoU of each class and level, with half the width of its interval."""
    order = [result.levels.index(level) for level in result.by_rank]
    rows, columns = (list(labels(names).values()) for names in ([result.levels[i].level for i in order], classes))
    iou, interval = 100 * result.class_iou[order], 100 * result.class_interval[order]
    slanted = 0.06 * max(map(len, columns))  # inches of height
    size = max(6.0, 1.8 + 0.6 * len(columns)), 1.2 + slanted + 0.42 * len(rows)
    with saved_figure(folder, "classes", size) as axes:
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
    return "classes.png"


def draw_curves(folder: Path, levels: Sequence[Level]) -> str | None:
    """Draw mIoU over the epochs: mean over seeds, and from the lowest to the highest.

    Returns:
        The PNG file; None where no run kept two epochs.
    """
    scores = {
        level.name: [
            [(line["epoch"] + 1, line["val_miou"]) for line in entry.lines if line.get("val_miou") is not None]
            for entry in level.entries
        ]
        for level in levels
    }
    if max(len(run) for some in scores.values() for run in some) < 2:
        return None
    with _curves(folder, "curves", levels, "epoch", "mIoU %, mean and range of seeds") as curves:
        for name, runs in scores.items():
            by_epoch: dict[int, list[float]] = {}
            for epoch, score in (point for run in runs for point in run):
                by_epoch.setdefault(epoch, []).append(100 * score)
            epochs = sorted(by_epoch)
            curves.add(name, epochs, [np.mean(by_epoch[e]) for e in epochs])
            low, high = ([pick(by_epoch[e]) for e in epochs] for pick in (min, max))
            curves.axes.fill_between(epochs, low, high, color=curves.styles[name].color, alpha=0.15)
        curves.axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return "curves.png"


def draw_worst(folder: Path, levels: Sequence[Level], metric: Metric = KNOWN["miou"]) -> str:
    """Draw the mean of the worst q % of images, by q: what a model does where it does badly."""
    about = f"their mean {metric.title} {metric.symbol}"
    with _curves(folder, "worst", levels, "worst q % of the images", about) as curves:
        for level in levels:
            curve = metric.sign * worst(metric.sign * level.image_scores(metric.name))
            curves.add(level.name, range(1, 101), metric.scale * curve, dots=False)
    return "worst.png"


def draw_tolerances(folder: Path, levels: Sequence[Level]) -> str | None:
    """Draw boundary F1 by tolerance, mean over seeds.

    Returns:
        The PNG file; None unless all runs have it for the same tolerances.
    """
    tables = [(entry.judged or {}).get("boundary_f1_curve") for level in levels for entry in level.entries]
    lists = {tuple(table["tolerances"]) if table else () for table in tables}
    if len(lists) > 1 or () in lists:
        return None
    tolerances = np.array(lists.pop())
    relative = tolerances < 1
    places = np.where(relative, len(tolerances) - relative.sum() + np.cumsum(relative) - 0.5, np.cumsum(~relative) - 1)
    with _curves(folder, "tolerances", levels, "", "boundary F1 %, by image") as curves:
        for shift, level in zip(np.linspace(-0.25, 0.25, len(levels)), levels, strict=True):
            f1 = [entry.judged["boundary_f1_curve"]["i"] for entry in level.entries if entry.judged]
            means = 100 * np.mean(f1, axis=0)
            curves.add(level.name, places[~relative], means[~relative])
            # a share of the diagonal is more pixels in a larger image: it has no place on the curve
            style = curves.styles[level.name]
            curves.axes.plot(places[relative] + shift, means[relative], style.marker, color=style.color)
        ticks = [f"{100 * t:g} %\nof diagonal" if t < 1 else f"{t:g} px" for t in tolerances]
        curves.axes.set_xticks(places, ticks, fontsize=8)
    return "tolerances.png"


def draw_reliability(folder: Path, levels: Sequence[Level]) -> str | None:
    """Draw accuracy by confidence, pixels of all seeds together.

    Returns:
        The PNG file; None unless all runs have it.
    """
    tables = {level.name: [(entry.judged or {}).get("reliability") for entry in level.entries] for level in levels}
    if not all(table for some in tables.values() for table in some):
        return None
    with _curves(folder, "reliability", levels, "confidence %", "right %", (5.2, 4.6)) as curves:
        curves.axes.plot([0, 100], [0, 100], color="#8c96a0", linewidth=0.8)
        for name, some in tables.items():
            keys = "pixels", "confidence", "accuracy"
            pixels, *means = (np.array([table[key] for table in some if table], np.float64) for key in keys)
            confidence, right = (ratio(np.nansum(pixels * part, axis=0), pixels.sum(0)) for part in means)
            curves.add(name, 100 * confidence, 100 * right)
    return "reliability.png"


ERRORS = {"boundary": "#9db8d2", "extent": "#4a78a8", "missed": "#c1352b"}
"""Kinds of wrong pixels, and their colours."""


def draw_errors(folder: Path, levels: Sequence[Level]) -> str | None:
    """Draw wrong pixels by kind, mean over seeds.

    Returns:
        The PNG file; None unless all runs have them.
    """
    keys = [f"error_{kind}" for kind in ERRORS]
    if not all(isinstance(entry.scores.get(key), float) for level in levels for entry in level.entries for key in keys):
        return None
    rows = list(reversed(levels))
    shown = labels(level.name for level in rows)
    with saved_figure(folder, "errors", (7.5, 1.3 + 0.36 * len(rows))) as axes:
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
    return "errors.png"


def draw_cost(folder: Path, result: Comparison, levels: Sequence[Level]) -> tuple[str, list[str]] | None:
    """Draw the score against training time.

    Returns:
        The PNG file, and the Pareto front; None unless all times are known.
    """
    seconds = {level.name: [entry.training_time for entry in level.entries] for level in levels}
    known = {name: np.mean([s for s in some if s is not None]) for name, some in seconds.items() if None not in some}
    if len(levels) < 2 or len(known) < len(levels):
        return None
    metric, sign, scale = result.measure, result.measure.sign, result.measure.scale
    by_time = sorted(result.levels, key=lambda level: (known[level.level], -sign * level.mean))
    front, best = [], -math.inf
    for level in by_time:
        if sign * level.mean > best:
            front.append(level)
            best = sign * level.mean
    with _curves(
        folder, "cost", levels, "seconds of training, mean over seeds", f"{metric.title} {metric.symbol}"
    ) as dots:
        dots.axes.plot(
            [known[level.level] for level in front], [scale * level.mean for level in front], color="#b6bec7"
        )
        for level in result.by_rank:
            style = dots.styles[level.level]
            (dots.lines[level.level],) = dots.axes.plot(
                known[level.level], scale * level.mean, style.marker, color=style.color
            )
    return "cost.png", [level.level for level in front]
