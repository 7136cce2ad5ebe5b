"""What a complete run leaves beside its weights."""

import logging
import math
from pathlib import Path

from seg import runs
from seg.data.source import Data
from seg.evaluation.evaluate import Evaluation
from seg.evaluation.files import as_data, write
from seg.evaluation.plots import draw_curves
from seg.evaluation.tables import further_table, scores_table, verdict
from seg.files import write_json, write_text
from seg.inference.trained import Description
from seg.metrics.scores import majority_scores, scores_of
from seg.report.console import console
from seg.runs.card import Card
from seg.training.options import FitOptions
from seg.training.state import Position

log = logging.getLogger(__name__)


def write_results(
    folder: Path,
    judged: Evaluation,
    data: Data,
    options: FitOptions,
    position: Position,
    epochs: int,
    about: Description,
    memory: int | None,
) -> None:
    """Write tables, plots, curves and the model card, print the table of the last epoch; ``done.json`` comes last.

    Args:
        epochs: that the run would have had, did it not end early.
    """
    counts = judged.total("counts").sum(0)
    write(judged, folder)
    write_json(folder / runs.EVALUATION, {"checkpoint": runs.LAST, **as_data(judged)})
    lines = list(runs.read_lines(folder / runs.EPOCHS))
    draw_curves(folder / runs.CURVES, lines)
    majority = majority_scores(counts, data.majority)
    best = position.best if options.mode == "max" else -position.best
    done = {
        "epochs": position.epoch,
        "planned_epochs": epochs,
        "stopped_early": position.stopped,
        "given_up": position.stopped and not _impatient(options, position),
        "skipped_steps": position.skipped,
        "peak_memory": memory,
        "best": {"monitor": options.monitor, "score": best, "epoch": position.top[0][1] if position.top else None},
        "best_miou": max((line["val_miou"] for line in lines if line.get("val_miou") is not None), default=None),
        "last": judged.scores,
        "majority": {"class": data.labels.names[data.majority], "miou": majority.miou, "accuracy": majority.accuracy},
    }
    card = Card(
        runs.read(folder),
        done,
        data.labels,
        (len(data.train), len(data.val)),
        (_pixels(data.train_sizes), _pixels(data.val_sizes)),
        data.train_counts.sum(0),
        counts[:, 2],
        data.majority,
        about.normalization,
        data.reading,
        judged.metrics,
    )
    write_text(folder / runs.CARD, card.text())
    runs.mark_complete(folder, done)
    final, names = scores_of(counts), data.labels.names
    console.print(scores_table(final, names, title=f"validation, {len(data.val)} images, last epoch"))
    console.print(further_table(judged))
    log.info(verdict(final, majority, names[data.majority]))
    _say_end(folder, judged, options, position, epochs)


def _impatient(options: FitOptions, position: Position) -> bool:
    """Return whether the run has waited in vain for a better score."""
    return options.patience is not None and position.since_best >= options.patience


def _say_end(folder: Path, judged: Evaluation, options: FitOptions, position: Position, epochs: int) -> None:
    """Say why the run ended before its ``epochs``, if it did, and where its best is."""
    best = position.best if options.mode == "max" else -position.best
    if _impatient(options, position):
        log.info(f"ended early: {options.monitor} has not been better for {options.patience} validations")
    elif position.stopped:
        log.info(f"ended early, after {position.epoch} of {epochs} epochs: it was given up")
    if not math.isfinite(best):
        log.warning(
            f"fit.monitor: {options.monitor} never was a number, so that {runs.BEST} is not the best of anything"
        )
    metric = judged.metrics.get(options.monitor)
    shown = f"{metric.title} {metric.shown(best)}" if metric else f"{options.monitor} {best:.4g}"
    log.info(f"best {shown} in {folder / runs.BEST}; pictures in {folder / runs.PICTURES}")


def _pixels(sizes: list[tuple[int, int]]) -> int:
    return sum(height * width for height, width in sizes)
