"""Plots of what was found: curves, confusion, the worst images, reliability."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seg.files import whole
from seg.metrics.scores import ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curves(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Draw losses and mIoU over the epochs of ``metrics.jsonl``; a panel without any point is left out."""

    def shown(key: str, scale: float = 1.0) -> tuple[list[int], list[float]]:
        known = [line for line in lines if line.get(key) is not None]
        return [line["epoch"] + 1 for line in known], [scale * line[key] for line in known]

    losses = {label: points for key, label in (("loss", "training"), ("val_loss", "validation"))
              if (points := shown(key))[0]}  # fmt: skip
    scores = {"": points} if (points := shown("val_miou", 100))[0] else {}
    panels = [panel for panel in (("loss", losses), ("validation mIoU %", scores)) if panel[1]] or [("loss", losses)]
    with _figure(path, 4.5 * len(panels), 3.5) as figure:
        for axes, (title, drawn) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for label, points in drawn.items():
                axes.plot(*points, label=label, marker="o", markersize=3)  # else a single one is not seen
            axes.set(xlabel="epoch", ylabel=title)
            if drawn is losses and drawn:
                axes.legend()
            if drawn is scores:
                axes.set_ylim(0, 100)


def draw_confusion(path: Path, confusion: NDArray[np.int64], names: Sequence[str]) -> None:
    """Draw the shares of each target class (rows) that were taken for each class, in percent."""
    percent = 100 * ratio(confusion, confusion.sum(1, keepdims=True))
    few = len(names) <= 40
    side = 2.5 + (0.42 if few else 0.16) * len(names)
    with _figure(path, max(side, 4.0), max(side, 4.0)) as figure:
        axes = figure.subplots()
        axes.imshow(percent, vmin=0, vmax=100, cmap="Blues")
        axes.set(xlabel="prediction", ylabel="target", title="% of the target's pixels")
        shown = [name.replace("$", "\\$") for name in names]  # which begins a formula
        axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=9 if few else 6)
        axes.set_yticks(range(len(names)), shown, fontsize=9 if few else 6)
        for row, column in np.argwhere(percent >= 0.5) if few else ():
            color = "white" if percent[row, column] > 50 else "black"
            text = f"{percent[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)


def draw_worst(path: Path, curve: Sequence[float]) -> None:
    """Draw the worst-q curve: mean mIoU of the worst q % of the images."""
    with _figure(path, 4.5, 3.5) as figure:
        axes = figure.subplots()
        axes.plot(range(1, 101), [100 * value for value in curve])
        axes.set(xlabel="worst q % of the images", ylabel="mean mIoU (I) %", xlim=(0, 100), ylim=(0, 100))


def draw_reliability(path: Path, curves: Mapping[str, NDArray[np.float64]]) -> None:
    """Draw accuracy and share of the pixels over confidence.

    Args:
        curves: bins (B, 3) as `seg.metrics.counting.count` gives them, of ``confidence`` and perhaps ``tempered``.
    """
    with _figure(path, 4.5, 4.5) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot((0, 1), (0, 1), color="gray", linestyle=":")
        for name, bins in curves.items():
            label = {"confidence": "model", "tempered": "with temperature"}[name]
            pixels, confidence, right = bins.T
            upper.plot(ratio(confidence, pixels), ratio(right, pixels), marker="o", markersize=3, label=label)
            edges = np.linspace(0, 1, len(bins) + 1)
            lower.stairs(ratio(pixels, pixels.sum()), edges, label=label)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        upper.legend()
        lower.set(xlabel="confidence", ylabel="share of pixels")


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield a figure of this size in inches, written as PNG when the block ends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # names of classes in scripts that its fonts lack
        with whole(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
