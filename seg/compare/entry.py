"""One run as evidence: its settings, its counts for each image, its cost."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg import runs
from seg.scores import scores

Floats = NDArray[np.float64]

_PARTS = ("train", "val", "test", "image_template", "template", "val_share", "split_seed", "group")
_WHERE = ("labels", *(f"data.{key}" for key in _PARTS))
"""Settings that say where files lie, and which are for what: the pairs themselves are compared."""


@dataclass(frozen=True)
class Entry:
    """A complete run, or the evaluation of one.

    Attributes:
        folder: that it was read from.
        seed: of the run.
        choices: the chosen option of each configuration group.
        settings: dotted key -> value, of everything that may explain another result.
        config: the whole configuration.
        environment: versions, hardware, command.
        classes, images: names; those of the images in order.
        counts: (images, classes, 3) int64 pixels: intersection, prediction, target.
        values: metric -> value of each image, NaN where it is not defined.
        trained_on: names and sizes of the training pairs; empty if they are not known.
        validated_on: names of the validation pairs.
        lines: one an epoch; none if they are not known.
        scores: of all images, by the names of ``metrics.jsonl`` without ``val_``.
        judged: what the evaluation found, curves and tables; None for a run of an older version.
        memory: bytes that training took at most; None if it is not known.
    """

    folder: Path
    seed: int
    choices: Mapping[str, Any]
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    classes: tuple[str, ...]
    images: tuple[str, ...]
    counts: NDArray[np.int64]
    values: Mapping[str, Floats]
    trained_on: frozenset[tuple[str, ...]]
    validated_on: frozenset[str]
    lines: tuple[dict[str, Any], ...]
    scores: Mapping[str, Any]
    judged: Mapping[str, Any] | None
    memory: int | None

    @property
    def seconds(self) -> float | None:
        """Training time, without validation; None if it is not known."""
        return float(sum(line["seconds"] for line in self.lines)) if self.lines else None

    @property
    def images_per_second(self) -> float | None:
        """Of training; None if it is not known."""
        if not self.lines or any(line.get("images_per_second") is None for line in self.lines):
            return None
        images = sum(line["images_per_second"] * line["seconds"] for line in self.lines)
        return float(images / max(sum(line["seconds"] for line in self.lines), 1e-9))


def is_entry(folder: Path) -> bool:
    """Whether a folder holds a run, complete or not, or the evaluation of one."""
    return (folder / runs.CONFIG).is_file()


def read_entry(folder: Path) -> Entry:
    """What a run, or the evaluation of one, contributes.

    Raises:
        ValueError: the reason why it cannot be compared.
    """
    record = runs.read(folder)
    judged, epochs = _judged(folder), record.config["fit"]["epochs"]
    if record.done is None and (judged is None or (folder / runs.LAST).exists()):
        raise ValueError(f"not complete: {len(record.lines)} of {epochs} epochs")
    table = runs.read_per_image(folder / runs.PER_IMAGE)
    _check(table, folder)
    found = judged if judged is not None else (record.done or {})["last"]
    if not math.isclose(miou := scores(table.counts.sum(0)).miou, told := number(found.get("miou")), abs_tol=1e-6):
        raise ValueError(
            f"expected one mIoU in its files, got {told:.6g} and, from {runs.PER_IMAGE}, {miou:.6g}; they were edited"
        )
    if record.lines and math.isnan(number(record.lines[-1].get("loss"))):
        raise ValueError("its training loss is not a number")
    settings = runs.settings(record.config)
    settings = {k: v for k, v in settings.items() if k != "seed" and not any(_is_within(k, where) for where in _WHERE)}
    pairs, order = _pairs(folder), sorted(range(len(table.images)), key=lambda i: table.images[i])
    settings["device.precision"] = record.environment.get("precision")  # where the request may be "auto"
    return Entry(
        folder=folder,
        seed=int(record.config["seed"]),
        choices=record.choices,
        settings=settings,
        config=record.config,
        environment=record.environment,
        classes=table.classes,
        images=tuple(table.images[i] for i in order),
        counts=table.counts[order],
        values={metric: values[order] for metric, values in _values(folder, table.images).items()},
        trained_on=frozenset(row[1:] for row in pairs if row[0] == "train"),
        validated_on=frozenset(row[1] for row in pairs if row[0] == "val"),
        lines=record.lines,
        scores=found,
        judged=judged,
        memory=(record.done or {}).get("peak_memory"),
    )


def _is_within(key: str, group: str) -> bool:
    return key == group or key.startswith(f"{group}.")


def _judged(folder: Path) -> dict[str, Any] | None:
    path = folder / runs.JUDGED
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ValueError(f"expected scores in {runs.JUDGED}, got something else; the file was edited or cut short")
    return data


def _check(table: runs.PerImage, folder: Path) -> None:
    """Make sure that the counts are those of masks."""
    intersection, prediction, target = np.moveaxis(table.counts, 2, 0)
    wrong = (intersection < 0) | (intersection > np.minimum(prediction, target))
    if wrong.any():
        image, name = (int(i) for i in np.argwhere(wrong)[0])
        where, found = f"'{table.classes[name]}' in '{table.images[image]}'", table.counts[image, name].tolist()
        raise ValueError(
            f"expected an intersection within prediction and target in {runs.PER_IMAGE}, got {found} for {where}; it "
            "was edited"
        )


def number(value: Any) -> float:
    """A score as a file holds it; NaN where there is none."""
    return float(value) if isinstance(value, int | float) else math.nan


def _values(folder: Path, images: tuple[str, ...]) -> dict[str, Floats]:
    """Values of whole images; those of files that another version wrote, or none."""
    if not (folder / runs.PER_IMAGE_METRICS).is_file():
        return {}
    found = runs.read_per_image_metrics(folder / runs.PER_IMAGE_METRICS)
    return {
        metric: np.array([values.get((image, ""), math.nan) for image in images]) for metric, values in found.items()
    }


def _pairs(folder: Path) -> list[tuple[str, ...]]:
    """Part, name and sizes of the pairs of a run; none where a version did not keep them."""
    if not (folder / runs.PAIRS).is_file():
        return []
    with (folder / runs.PAIRS).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [tuple(row) for row in csv.reader(file) if row]
