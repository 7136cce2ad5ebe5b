"""What commands print: tables of scores, progress."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from seg.commands._text import plain_console
from seg.metrics import Scores

console = plain_console()


def say(text: str) -> None:
    """A line on standard output, never broken by us."""
    console.print(text, soft_wrap=True)


def warn(text: str) -> None:
    """A line on standard error, before the work starts."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


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
    """The line that compares a model with the majority-class baseline."""
    ours = f"mIoU {percent(scores.miou)} %{_over(scores)}, pixel accuracy {percent(scores.accuracy)} %"
    baseline = f"mIoU {percent(majority.miou)} %, accuracy {percent(majority.accuracy)} %"
    return f"{ours}; majority-class baseline ('{majority_name}'): {baseline}"


def _over(scores: Scores) -> str:
    """Which classes a mean leaves out, where it does."""
    known = sum(not math.isnan(value) for value in scores.iou)
    return "" if known == len(scores.iou) else f" (mean over {known} of {len(scores.iou)} classes)"


@contextmanager
def progress_bars(*, unit: str = "") -> Iterator[Progress]:
    """Bars on a terminal, nothing elsewhere."""
    columns = (
        TextColumn("{task.description}", markup=False),
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
