"""What commands print and draw: tables of scores, progress, pictures."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from seg import inference
from seg.files import whole, write_png
from seg.images import read_image, read_mask
from seg.labels import LabelMap
from seg.metrics import Scores
from seg.pairs import Pair

PER_IMAGE = ("image", "class", "intersection", "prediction", "target")

console = Console(highlight=False)


def say(text: str) -> None:
    """A line on standard output, never broken by us."""
    console.print(text, soft_wrap=True, markup=False)


def scores_dict(scores: Scores, names: Sequence[str]) -> dict[str, Any]:
    """Plain data for ``metrics.json`` and ``metrics.jsonl``."""
    return {
        "miou": scores.miou,
        "mdice": scores.mdice,
        "accuracy": scores.accuracy,
        "iou": dict(zip(names, scores.iou, strict=True)),
        "dice": dict(zip(names, scores.dice, strict=True)),
    }


def scores_table(scores: Scores, names: Sequence[str], *, title: str) -> Table:
    """One row a class: IoU, Dice, precision, recall and share of the labelled pixels, all in percent."""
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    for column in ("IoU %", "Dice %", "precision %", "recall %", "pixels %"):
        table.add_column(column, justify="right")
    total = max(sum(scores.target), 1)
    columns = (scores.iou, scores.dice, scores.precision, scores.recall, [t / total for t in scores.target])
    for name, *values in zip(names, *columns, strict=True):
        table.add_row(name, *map(percent, values))
    table.add_section()
    table.add_row("mean", percent(scores.miou), percent(scores.mdice), "", "", "", style="bold")
    return table


def percent(value: float) -> str:
    """One decimal, a dash for NaN."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def verdict(scores: Scores, majority: Scores, majority_name: str) -> str:
    """The line that puts a model beside the predictor of one class."""
    return (
        f"mIoU {percent(scores.miou)} %, pixel accuracy {percent(scores.accuracy)} %; answering '{majority_name}' "
        f"everywhere: mIoU {percent(majority.miou)} %, accuracy {percent(majority.accuracy)} %"
    )


@contextmanager
def progress_bars(*, unit: str = "") -> Iterator[Progress]:
    """Bars on a terminal, nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal or console.quiet
    ) as progress:
        yield progress


def track(items: Iterable[Any], title: str, total: int, done: int = 0) -> Iterator[Any]:
    """Yield the items while a bar shows how far they are."""
    with progress_bars() as progress:
        task = progress.add_task(title, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


def draw(path: Path, pair: Pair, prediction: inference.Image, labels: LabelMap) -> inference.Image:
    """Write image | target | prediction of one pair as PNG and return it."""
    target = read_mask(pair.mask, labels.classes)
    picture = inference.panel(read_image(pair.image), prediction, labels.palette, labels.names, target=target)
    write_png(path, picture)
    return picture


def draw_curves(path: Path, metrics: Path) -> None:
    """Losses and mIoU over the epochs of ``metrics.jsonl``."""
    import json

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for key, label in (("loss", "training"), ("val_loss", "validation")):
        shown = [(line["epoch"] + 1, line[key]) for line in lines if line.get(key) is not None]
        left.plot(*zip(*shown, strict=True), label=label) if shown else None
    left.set(xlabel="epoch", ylabel="loss")
    left.legend()
    shown = [(line["epoch"] + 1, 100 * line["val_miou"]) for line in lines if line.get("val_miou") is not None]
    right.plot(*zip(*shown, strict=True)) if shown else None
    right.set(xlabel="epoch", ylabel="validation mIoU %", ylim=(0, 100))
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
