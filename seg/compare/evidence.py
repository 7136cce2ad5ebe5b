"""One run as evidence: its settings, its counts for each image, its cost."""

import csv
import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg import runs
from seg.compare.looks import Design
from seg.files import checks
from seg.metrics.catalogue import KNOWN, SHARE, Metric, catalogue_of
from seg.metrics.scores import by_class, by_image, image_ious, scores_of

Floats = NDArray[np.float64]

_PARTS = ("train", "val", "test", "image_template", "template", "val_share", "split_seed", "group")
_WHERE = ("labels", *(f"data.{key}" for key in _PARTS))
"""Settings that say where files lie, and which are for what: the pairs themselves are compared."""
_MACHINE = ("platform", "cpu_count", "torch_threads", "gpus")
"""Of ``environment.json``: machines that differ in it do not compare by time or memory."""


@dataclass(frozen=True)
class Content:
    """What a run tells of the files of some pairs; an older version may have kept less.

    Attributes:
        sizes: name -> bytes of image and mask.
        pixels: name -> checksums of the decoded pixels of image and mask.
    """

    sizes: Mapping[str, tuple[str, ...]]
    pixels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Entry(runs.RunRecord):
    """A complete run, or the evaluation of one, whose ``lines`` and ``done`` may not be known.

    Attributes:
        seed: of the run.
        settings: dotted key -> value, of everything that may explain another result.
        classes, images: names; those of the images in order.
        counts: (images, classes, 3) int64 pixels: intersection, prediction, target.
        values: metric -> value of each image, NaN where it is not defined.
        trained_on, judged_on: content of the training pairs, and of the images; empty if it is not known.
        validated_on: names of the validation pairs.
        scores: of all images, by the names of ``metrics.jsonl`` without ``val_``.
        judged: scores, curves and tables of the evaluation; None for a run of an older version.
        memory: bytes that training took at most; None if it is not known.
        folds: that were put together, see `seg.compare.folds`; 0 of a run by itself.
    """

    seed: int
    settings: Mapping[str, Any]
    classes: tuple[str, ...]
    images: tuple[str, ...]
    counts: NDArray[np.int64]
    values: Mapping[str, Floats]
    trained_on: Content
    judged_on: Content
    validated_on: frozenset[str]
    scores: Mapping[str, Any]
    judged: Mapping[str, Any] | None
    memory: int | None
    folds: int = 0

    @property
    def catalogue(self) -> dict[str, Metric]:
        """What is known of ``scores`` and ``values``."""
        return catalogue_of(self.judged or {})

    @property
    def training_time(self) -> float | None:
        """Seconds, without validation; None if they are not known."""
        return self.seconds if self.lines else None

    @property
    def steps(self) -> int | None:
        """Optimizer steps that were asked for; None of a run that was asked for epochs."""
        steps = self.config["fit"].get("steps")
        return steps if checks.is_whole(steps) else None

    @property
    def images_trained(self) -> int | None:
        """Images that it was trained on, each as often as it was drawn; None if it is not known."""
        speed = self.images_per_second
        return None if speed is None else round(speed * self.seconds)

    @property
    def images_per_second(self) -> float | None:
        """Of training; None if it is not known."""
        if not self.lines or any(line.get("images_per_second") is None for line in self.lines):
            return None
        images = sum(line["images_per_second"] * line["seconds"] for line in self.lines)
        return float(images / max(self.seconds, 1e-9))


def machines(entries: Sequence[Entry]) -> int:
    """Count the kinds of machine that runs were made on, by system, processor, cores, threads and GPUs.

    The processor counts where all runs tell it; older versions did not.
    """
    told = all("cpu" in entry.environment for entry in entries)
    keys = (*_MACHINE, *(["cpu"] if told else []))
    return len({json.dumps([entry.environment.get(key) for key in keys]) for entry in entries})


def is_entry(folder: Path) -> bool:
    """Tell by two of its files whether a folder holds a run, complete, damaged or neither, or the evaluation of one.

    A ``config.yaml`` alone may be of anything, and a damaged run may lack one of its files.
    """
    names = (runs.CONFIG, runs.ENVIRONMENT, runs.EPOCHS, runs.PER_IMAGE, runs.DONE)
    return sum(os.path.lexists(folder / name) for name in names) > 1


def read_entry(folder: Path) -> Entry:
    """Return what a run, or the evaluation of one, contributes.

    Raises:
        ValueError: the reason why it cannot be compared.
    """
    try:
        return _read(folder)
    except OSError as error:
        raise ValueError(f"cannot read '{error.filename}': {error.strerror}") from None
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error) as error:
        raise ValueError(
            f"expected the files that seg-train wrote, got others ({type(error).__name__}: {error}); they were edited"
        ) from None


def _read(folder: Path) -> Entry:
    record = runs.read(folder)
    json.dumps(record.config)  # TypeError for what no configuration holds, such as dates
    judged, epochs = read_judged(folder), record.config["fit"]["epochs"]
    if record.done is None and (judged is None or (folder / runs.LAST).exists()):
        raise ValueError(f"not complete: {len(record.lines)} of {epochs} epochs")
    table = runs.read_per_image(folder / runs.PER_IMAGE)
    check_counts(table, folder)
    scores = checked_scores(judged if judged is not None else (record.done or {})["last"], table.counts)
    _check_lines(record)
    settings = runs.settings(record.config)
    settings = {k: v for k, v in settings.items() if k != "seed" and not any(runs.owns(where, k) for where in _WHERE)}
    pairs, order = runs.read_pairs(folder / runs.PAIRS), sorted(range(len(table.images)), key=lambda i: table.images[i])
    memory = (record.done or {}).get("peak_memory")
    runs.tuned_keys(record.config)  # this and the next ones raise if they were edited
    Design.of(record.config)
    catalogue_of(judged or {})
    settings["device.precision"] = record.environment.get("precision")  # where the request may be "auto"
    return Entry(
        **vars(record),
        seed=_whole("seed", record.config["seed"]),
        settings=settings,
        classes=table.classes,
        images=tuple(table.images[i] for i in order),
        counts=table.counts[order],
        values={metric: values[order] for metric, values in values_of(folder, table.images).items()},
        trained_on=_content(pairs, "train"),
        judged_on=_content(pairs, runs.TESTED if record.done is None else "val", table.images),
        validated_on=frozenset(row[1] for row in pairs if row[0] == "val"),
        scores=scores,
        judged=judged,
        memory=None if memory is None else _whole("peak_memory", memory),
    )


def read_judged(folder: Path) -> dict[str, Any] | None:
    """Return what ``metrics.json`` of a folder holds; None where there is none.

    Raises:
        ValueError: it is damaged.
    """
    path = folder / runs.EVALUATION
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ValueError(f"expected scores in {runs.EVALUATION}, got something else; the file was edited or cut short")
    for key, columns in _CURVES.items():
        if (curve := data.get(key)) is not None and len({len(_numbers(key, curve[name])) for name in columns}) != 1:
            raise ValueError(
                f"expected as many numbers in each column of {key}, got others; {runs.EVALUATION} was edited"
            )
    return data


_CURVES = {"boundary_f1_curve": ("tolerances", "i"), "reliability": ("pixels", "confidence", "accuracy")}
"""Of ``metrics.json``: tables of numbers, by column."""


def _numbers(key: str, values: Any) -> list[float | None]:
    if not isinstance(values, list) or not all(value is None or _is_number(value) for value in values):
        raise ValueError(f"expected lists of numbers in {key}, got something else; {runs.EVALUATION} was edited")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)  # also the NaN of a run that failed


def _whole(key: str, value: Any) -> int:
    if not checks.is_whole(value):
        raise ValueError(f"expected a whole number as its {key}, got {value!r}; it was edited")
    return value


def checked_scores(told: Mapping[str, Any], counts: NDArray[np.int64]) -> dict[str, Any]:
    """Return the scores of a file; those that follow from pixel counts are recomputed and checked.

    Raises:
        ValueError: it tells others, or no share.
    """
    if not counts[..., 2].any():
        raise ValueError(f"expected labelled pixels in {runs.PER_IMAGE}, got none")
    total, by_images = scores_of(counts.sum(0)), image_ious(counts)
    counted = {
        "miou": total.miou,
        "mdice": total.mdice,
        "accuracy": total.accuracy,
        "miou_i": by_image(by_images),
        "miou_c": by_class(by_images),
    }
    for key, value in counted.items():
        if key in told and not math.isclose(value, number(told[key]), abs_tol=1e-6):
            raise ValueError(
                f"expected one {key} in its files, got {number(told[key]):.6g} and, from {runs.PER_IMAGE}, "
                f"{value:.6g}; they were edited"
            )
    for key, metric in KNOWN.items():
        if metric.unit != SHARE or metric.by_class:
            continue
        share = told.get(key)
        if share is not None and not (_is_number(share) and (math.isnan(share) or 0 <= share <= 1)):
            raise ValueError(f"expected {key} from 0 to 1, got {share!r}; it was edited")
    return {**told, **counted}


def _check_lines(record: runs.RunRecord) -> None:
    """Check that the log has every epoch once, so that its seconds are those of the training.

    Raises:
        ValueError: it has not, or the loss is not a number.
    """
    lines, epochs = record.lines, (record.done or {}).get("epochs", len(record.lines))
    if not lines:
        return
    if len(lines) != epochs or any(line["epoch"] != number for number, line in enumerate(lines)):
        raise ValueError(
            f"expected each of {epochs} epochs once in {runs.EPOCHS}, got {len(lines)} lines with others; it was "
            "edited or cut short"
        )
    for line in lines:
        optional = [line[key] for key in ("images_per_second", "val_miou") if line.get(key) is not None]
        if not all(_is_number(value) and 0 <= value < math.inf for value in (line["seconds"], *optional)):
            raise ValueError(f"expected numbers in the line of epoch {line['epoch']} in {runs.EPOCHS}; it was edited")
    if not math.isfinite(number(lines[-1].get("loss"))):
        raise ValueError("its training loss is not a number")


def check_counts(table: runs.PerImage, folder: Path) -> None:
    """Check that the counts are possible: intersection <= min(prediction, target)."""
    intersection, prediction, target = np.moveaxis(table.counts, 2, 0)
    wrong = (intersection < 0) | (intersection > np.minimum(prediction, target))
    if wrong.any():
        image, name = (int(i) for i in np.argwhere(wrong)[0])
        where, counts = f"'{table.classes[name]}' in '{table.images[image]}'", table.counts[image, name].tolist()
        raise ValueError(
            f"expected an intersection within prediction and target in {runs.PER_IMAGE}, got {counts} for {where}; it "
            "was edited"
        )


def number(value: Any) -> float:
    """Return a score as a file holds it; NaN where there is none."""
    return float(value) if _is_number(value) else math.nan


def values_of(folder: Path, images: tuple[str, ...]) -> dict[str, Floats]:
    """Return the values of whole images; none where a version did not write them."""
    if not (folder / runs.PER_IMAGE_METRICS).is_file():
        return {}
    return {
        metric: np.array([values.get((image, ""), math.nan) for image in images])
        for metric, values in runs.read_per_image_metrics(folder / runs.PER_IMAGE_METRICS).items()
    }


def _content(pairs: Iterable[tuple[str, ...]], part: str, names: Collection[str] | None = None) -> Content:
    """Return what ``pairs.csv`` tells of a part; nothing where it is about others than these names."""
    rows = {row[1]: row[2:] for row in pairs if row[0] == part}
    if names is not None and rows.keys() != {*names}:
        rows = {}
    if any(len(row) not in (2, 4) for row in rows.values()):
        raise ValueError(f"expected sizes and checksums of each pair in {runs.PAIRS}, got others; it was edited")
    whole = all(len(row) == 4 for row in rows.values())
    return Content({name: row[:2] for name, row in rows.items()}, {n: r[2:] for n, r in rows.items()} if whole else {})
