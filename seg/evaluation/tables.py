"""What ``seg-evaluate`` prints: tables that fit 80 columns, and lines on what a mean hides."""

import logging
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from seg.evaluation.evaluate import Evaluation
from seg.metrics.boundaries import at_tolerance
from seg.metrics.calibration import BINS
from seg.metrics.components import SIZES
from seg.metrics.scores import POLICY, Scores, boundary_f1, class_means, image_ious, majority_scores, scores_of
from seg.report import tables
from seg.report.console import console
from seg.report.tables import percent

log = logging.getLogger(__name__)


_SHOWN = {"miou", "mdice", "accuracy", "miou_i", "miou_c", "boundary_iou", "boundary_iou_i", "boundary_iou_c"}
_SHOWN |= {"boundary_f1", "nsd", "hd95", "ece", "ece_i", "ece_tempered", "ece_tempered_i", "ap", "ap50", "loss"}
"""Scores that have their place in tables or lines of their own; all others stand in one table."""


def print_tables(judged: Evaluation, data: dict[str, Any], *, title: str, sizes: Sequence[int]) -> None:
    """Print scores by class, the three means, components by size, all other scores, and what the means hide.

    Args:
        data: what ``metrics.json`` holds.
        sizes: pixels from which a component is medium, and large.
    """
    total = judged.total("counts").sum(0)
    final, majority = scores_of(total), majority_scores(total)
    console.print(scores_table(final, judged.names, title=title))
    console.print(_class_table(judged))
    if "components" in data:
        console.print(_size_table(data["components"], sizes))
    console.print(_means_table(data))
    for table in _slice_tables(data.get("slices", ())):
        console.print(table)
    if (further := further_table(judged, without=_SHOWN)).row_count:
        console.print(further)
    for line in (*_lines(judged, data), verdict(final, majority, data["majority"]["class"])):
        log.info(line)


def further_table(found: Evaluation, without: Collection[str] = ("miou", "mdice", "accuracy", "loss")) -> Table:
    """Make a table of the scores that are one number each, but for those that stand elsewhere."""
    table = tables.table("further scores", "score", ("value", "better"))
    for name, metric in found.metrics.items():
        if name not in without and not metric.by_class:
            table.add_row(metric.title, metric.shown(found.scores.get(name)), metric.better)
    return table


def _class_table(found: Evaluation) -> Table:
    """Make a table of one row a class: the IoU over pixels and that over images, and how well boundaries are placed."""
    counts, headings = found.total("counts"), ["images", "IoU %\n(D)", "IoU %\n(C)"]
    columns = [scores_of(counts.sum(0)).iou, class_means(image_ious(counts))]
    title = "IoU"
    if "boundary_f1_curve" in (told := found.tables()):
        reach = told["boundary_f1_curve"]["tolerances"][0]
        title = f"boundary F1 within {tolerance(reach)}"
        headings += ["boundary\nIoU % (D)", "boundary\nF1 % (C)"]
        f1 = boundary_f1(at_tolerance(found.total("edges"), 0))
        columns += [scores_of(found.total("bands").sum(0)).iou, class_means(f1)]
    table = tables.table(title, "class", headings)
    table.caption = "D: pixels of all images summed; C: mean over the images whose target has the class"
    for name, images, *values in zip(found.names, (counts[..., 2] > 0).sum(0), *columns, strict=True):
        table.add_row(name, f"{images:,}", *map(percent, values))
    return table


def _size_table(components: dict[str, Any], sizes: Sequence[int]) -> Table:
    """Make a table of one row a class: recall of its connected components, and how many there are."""
    bounds = (f"below {sizes[0]:,} px", f"below {sizes[1]:,} px", "larger")
    headings = [f"{size}\n{bound}" for size, bound in zip(SIZES, bounds, strict=True)]
    table = tables.table("mean recall % of connected components (and their number), by size", "class", headings)
    for name, by_size in components.items():
        cells = (f"{percent(found['recall'])} ({found['number']:,})" for found in by_size.values())
        table.add_row(name, *cells)
    return table


_OF_SLICES = {"miou": "mIoU %\n(D)", "miou_i": "mIoU %\n(I)", "accuracy": "accuracy\n%"}
_OF_SLICES |= {"boundary_f1": "boundary\nF1 %", "ece": "ECE %"}
"""Scores of slices that are printed, and their headings."""


def _slice_tables(slices: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Make a table for each attribute, of one row a value."""
    shown = [key for key in _OF_SLICES if slices and key in slices[0]["scores"]]
    for attribute in dict.fromkeys(part["attribute"] for part in slices):
        table = tables.table(f"by {attribute}", attribute, ("images", *(_OF_SLICES[key] for key in shown)))
        for part in slices:
            if part["attribute"] == attribute:
                table.add_row(part["value"], f"{part['images']:,}", *(percent(part["scores"][key]) for key in shown))
        yield table


def _means_table(data: dict[str, Any]) -> Table:
    table = tables.table("means %", "", ("D", "I", "C"))
    table.caption = POLICY
    for name, key in (("mIoU", "miou"), ("boundary IoU", "boundary_iou")):
        if key in data:
            table.add_row(name, *(percent(data[f"{key}{mean}"]) for mean in ("", "_i", "_c")))
    if (curve := data.get("boundary_f1_curve")) is None:
        return table
    for reach, by_image, by_class in zip(curve["tolerances"], curve["i"], curve["c"], strict=True):
        table.add_row(f"boundary F1, {tolerance(reach)}", "", percent(by_image), percent(by_class))
    if "nsd" in data:
        table.add_row(f"NSD, {tolerance(curve['tolerances'][0])}", "", percent(data["nsd"]), "")
    return table


def tolerance(value: float) -> str:
    """Say in words how far boundaries may be apart."""
    return f"{value:g} px" if value >= 1 else f"{100 * value:g} % of diagonal"


def _lines(judged: Evaluation, data: dict[str, Any]) -> Iterator[str]:
    curve, worst = data["worst"], np.argsort(judged.mious, kind="stable")[:3]
    lowest = ", ".join(f"worst {q} %: {percent(curve[q - 1])} %" for q in (1, 5, 10, 25))
    yield f"mIoU (I) of the images: {lowest}, all: {percent(curve[-1])} %"
    named = ", ".join(f"{judged.images[i]} {percent(judged.mious[i])} %" for i in worst)
    yield f"worst images: {named}"
    for pair in data["confused"][:3]:
        yield (
            f"confused: '{pair['target']}' taken for '{pair['prediction']}': {pair['pixels']:,} pixels, "
            f"{percent(pair['share_of_target'])} % of its own, {percent(pair['share_of_errors'])} % of all "
            "errors"
        )
    if "hd95" in data:
        missing = int((np.isnan(judged.total("hd95")) & (judged.total("edges")[..., 1] > 0)).sum())
        hd95 = "-" if math.isnan(data["hd95"]) else f"{data['hd95']:.1f} px"
        yield f"HD95 (I) {hd95}; left out {missing} times, where an image's class has no predicted boundary"
    if "ap" in data:
        by_class = ", ".join(f"{name} {percent(value)} %" for name, value in data["ap_by_class"].items())
        yield (
            f"boxes: AP {percent(data['ap'])} %, at IoU 0.5 {percent(data['ap50'])} %, mean over images "
            f"{percent(data['ap_i'])} %" + (f"; {by_class}" if by_class else "")
        )
    if "ece" not in data:
        why = ", because predicted masks have no confidence" if "checkpoint" not in data else " computed"
        yield f"calibration error (ECE): none{why}"
    else:
        yield _calibration("calibration error", data, "ece")
    if "temperature" in data:
        yield _calibration(f"at temperature {data['temperature']:.3g}", data, "ece_tempered")


def _calibration(what: str, data: dict[str, Any], key: str) -> str:
    pooled, by_image = (percent(data[name]) for name in (key, f"{key}_i"))
    return f"{what} (ECE, {BINS} bins): {pooled} % over all pixels, {by_image} % as the mean over images"


def scores_table(scores: Scores, names: Sequence[str], *, title: str) -> Table:
    """Make a table of one row a class: IoU, Dice, precision, recall and share of the labelled pixels, in percent."""
    table = tables.table(title, "class", ("IoU %", "Dice %", "precision %", "recall %", "pixels %"))
    table.caption = "pixels of all images summed (D); means over classes in target or prediction"
    total = max(sum(scores.target), 1)
    columns = (scores.iou, scores.dice, scores.precision, scores.recall, [t / total for t in scores.target])
    for name, *values in zip(names, *columns, strict=True):
        table.add_row(name, *map(percent, values))
    table.add_section()
    table.add_row("mean", percent(scores.miou), percent(scores.mdice), "", "", "", style="bold")
    return table


def verdict(scores: Scores, majority: Scores, majority_name: str) -> str:
    """Compare a model with the majority-class baseline in one line."""
    known = sum(not math.isnan(value) for value in scores.iou)
    over = "" if known == len(scores.iou) else f" (mean over {known} of {len(scores.iou)} classes)"
    ours = f"mIoU {percent(scores.miou)} %{over}, pixel accuracy {percent(scores.accuracy)} %"
    baseline = f"mIoU {percent(majority.miou)} %, accuracy {percent(majority.accuracy)} %"
    return f"{ours}; majority-class baseline ('{majority_name}'): {baseline}"
