"""The table at the end of a sweep."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from seg import runs
from seg.commands import _show


def print_table(folders: Sequence[Path]) -> None:
    """One row for each combination of choices: mIoU of the last epoch over its seeds, IoU of each class, seconds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in map(runs.read, folders):
        assert record.done is not None  # only runs of this process that were trained to their end are here
        result = {**record.done["last"], "seconds": record.seconds}
        found.setdefault(json.dumps(record.choices, sort_keys=True), []).append(result)
    groups = [(json.loads(key), results) for key, results in found.items()]
    # a composite's own choices, such as loss@loss.terms.region, stand in its runs alone
    names = dict.fromkeys(name for choices, _ in groups for name in choices)
    varied = [n for n in names if len({str(choices[n]) for choices, _ in groups if n in choices}) > 1] or ["loss"]
    groups.sort(key=lambda group: -_mean(group[1], "miou"))
    classes = list(groups[0][1][0]["iou"])
    table = Table(title="last epoch, mean over seeds (standard deviation)", title_justify="left")
    for column in varied:
        table.add_column(column)
    for column in ("seeds", "mIoU %", *classes, "seconds"):
        table.add_column(column, justify="right")
    for choices, results in groups:
        spread = statistics.stdev([r["miou"] for r in results]) if len(results) > 1 else float("nan")
        table.add_row(
            *(str(choices.get(name, "")) for name in varied),
            str(len(results)),
            f"{_show.percent(_mean(results, 'miou'))} ({_show.percent(spread)})",
            *(_show.percent(_class_mean(results, name)) for name in classes),
            f"{_mean(results, 'seconds'):.0f}",
        )
    _show.console.print(table)


def _mean(results: Sequence[dict[str, Any]], key: str) -> float:
    return statistics.fmean(r[key] for r in results)


def _class_mean(results: Sequence[dict[str, Any]], name: str) -> float:
    """Mean IoU of one class over the runs in which it occurs in target or prediction."""
    found = [r["iou"][name] for r in results if r["iou"][name] is not None]
    return statistics.fmean(found) if found else float("nan")
