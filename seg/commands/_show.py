"""What commands print: tables of scores, progress."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.table import Table

from seg.commands._progress import bulk_progress
from seg.commands._text import plain_console
from seg.metrics.scores import Scores

console = plain_console()
speaks = True  # false in processes that leave the talking to the first one
_warned: set[str] = set()


def say(text: str) -> None:
    """A line on standard output, never broken by us."""
    console.print(text, soft_wrap=True)


def warn(text: str) -> None:
    """A line on standard error, before the work starts; of several processes or runs the first one tells."""
    if speaks and text not in _warned:
        _warned.add(text)
        print(f"warning: {text}", file=sys.stderr, flush=True)


def table(title: str, first: str, columns: Sequence[str]) -> Table:
    """An empty table of names and of numbers, which stand to the right."""
    found = Table(title=title, title_justify="left", caption_justify="left")
    found.add_column(first)
    for column in columns:
        found.add_column(column, justify="right")
    return found


def scores_table(scores: Scores, names: Sequence[str], *, title: str) -> Table:
    """One row a class: IoU, Dice, precision, recall and share of the labelled pixels, all in percent."""
    found = table(title, "class", ("IoU %", "Dice %", "precision %", "recall %", "pixels %"))
    found.caption = "pixels of all images summed (D); means over classes in target or prediction"
    total = max(sum(scores.target), 1)
    columns = (scores.iou, scores.dice, scores.precision, scores.recall, [t / total for t in scores.target])
    for name, *values in zip(names, *columns, strict=True):
        found.add_row(name, *map(percent, values))
    found.add_section()
    found.add_row("mean", percent(scores.miou), percent(scores.mdice), "", "", "", style="bold")
    return found


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


def track(items: Iterable[Any], title: str, total: int, done: int = 0, unit: str = "steps") -> Iterator[Any]:
    """Yield the items, of which ``done`` lie behind, while a bar or a line now and then says how far they are."""
    with bulk_progress(title, unit, console) as tell:
        for count, item in enumerate(items, start=done + 1):
            tell(count - 1, total=total)
            yield item
        tell(total, total=total)
