"""The table of several runs: a row for each combination of what they differ in."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from seg.metrics.catalogue import KNOWN, Metric
from seg.report import tables
from seg.runs.identity import differences, settings
from seg.runs.records import RunRecord

_ALWAYS = {"I": "miou_i", "BF1": "boundary_f1", "ECE": "ece"}
"""Scores of ours with a column, by its heading; others stand in the reports of ``seg-compare``."""


def results_table(records: Sequence[RunRecord]) -> Table:
    """Make a table of complete runs: scores of the last epoch over seeds, those of the user's own metrics included."""
    own = [{key: value for key, value in settings(record.config).items() if key != "seed"} for record in records]
    varied = differences([record.choices for record in records], own)
    varied = varied or {"loss": [str(record.choices.get("loss", "")) for record in records]}
    levels = list(zip(*varied.values(), strict=True))
    results: dict[tuple[str, ...], list[dict[str, Any]]] = {level: [] for level in levels}
    for record, level in zip(records, levels, strict=True):
        assert record.done is not None  # only runs that were trained to their end are here
        results[level].append({**record.done["last"], "seconds": record.seconds})
    shown = _shown(records)
    first, *others = (key.rpartition(".")[2] for key in varied)
    table = tables.table("last epoch, mean over seeds (standard deviation)", first, others)
    told = [f"{m.name}: {m.title}, {m.better} is better" for m in shown.values() if m.name not in KNOWN]
    table.caption = "; ".join(["I: by image; BF1: boundary F1; ECE: calibration error", *told])
    for named in table.columns:
        named.overflow = "fold"
    for heading in ("seeds", "mIoU %", *shown, "seconds"):
        table.add_column(heading, justify="right", overflow="fold")
    for level, some in sorted(results.items(), key=lambda item: -_mean(item[1], "miou")):
        known = _known(some, "miou")
        scatter = statistics.stdev(known) if len(known) > 1 else math.nan
        table.add_row(
            *level,
            str(len(some)),
            f"{tables.percent(_mean(some, 'miou'))} ({tables.percent(scatter)})",
            *("-" if math.isnan(mean := _mean(some, m.name)) else m.number(mean) for m in shown.values()),
            f"{_mean(some, 'seconds'):.0f}",
        )
    return table


def _shown(records: Sequence[RunRecord]) -> dict[str, Metric]:
    """Choose the scores with a column, by heading: a few of ours, and all that are not ours."""
    catalogue = {name: metric for record in records for name, metric in record.catalogue.items()}
    own = [metric for name, metric in catalogue.items() if name not in KNOWN and not metric.by_class]
    ours = {f"{heading} %": KNOWN[name] for heading, name in _ALWAYS.items()}
    return ours | {f"{metric.name} {metric.symbol}": metric for metric in own}


def _known(results: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [result[key] for result in results if result.get(key) is not None]


def _mean(results: Sequence[dict[str, Any]], key: str) -> float:
    return statistics.fmean(known) if (known := _known(results, key)) else math.nan
