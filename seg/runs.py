"""The run folder ``runs/<name>/``: its files, who writes them, and how they are read back. Needs no torch.

====================  ==========================================================================================
``config.yaml``       the whole configuration, resolved
``environment.json``  versions, git state, hardware, seed, the chosen option of each group
``metrics.jsonl``     one line an epoch
``last.pt``           the state to go on from (`seg.trained`)
``best.pt``           the weights with the best validation score
``per_image.csv``     pixels of each class in each validation image, of the last epoch
``done.json``         scores of the last epoch; written last, it marks a complete run
``pictures/``         validation images with their predictions; ``curves.png`` beside it
====================  ==========================================================================================
"""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from seg.files import finite, make_folder, whole, write_csv, write_json

CONFIG, ENVIRONMENT, METRICS = "config.yaml", "environment.json", "metrics.jsonl"
LAST, BEST, PER_IMAGE, DONE = "last.pt", "best.pt", "per_image.csv", "done.json"
PICTURES, CURVES = "pictures", "curves.png"

COLUMNS = ("image", "class", "intersection", "prediction", "target")
"""Of ``per_image.csv``; the last three in pixels."""

CHOICES = ("data", "model", "loss")
"""Groups that stand in every run's name; others stand there when the command line chose them."""

MACHINE = (
    "runs",
    "name",
    "pictures",
    "logger",
    "sweep",
    "seeds",
    "data.render",
    "loader.workers",
    "max_pixels",
    "device.accelerator",
    "device.devices",
)
"""Keys that may change between an interrupted run and its resumption: they say where, not what."""

_RENAMED = {"seg.training.cosine": "seg.optim.cosine", "seg.training.constant": "seg.optim.constant"}
"""Targets in the configurations of older runs, and what they are called today."""


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says.

    Attributes:
        config: as resolved.
        environment: with the chosen option of each group under ``choices``.
        lines: one an epoch, as `seg.training.Watcher.line` was told them.
        done: scores and majority baseline of the last epoch; None while the run is not complete.
    """

    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    lines: tuple[dict[str, Any], ...]
    done: dict[str, Any] | None

    @property
    def choices(self) -> dict[str, Any]:
        """The chosen option of each configuration group."""
        choices: dict[str, Any] = self.environment["choices"]
        return choices

    @property
    def seconds(self) -> float:
        """Training time, without validation."""
        return float(sum(line["seconds"] for line in self.lines))


@dataclass(frozen=True)
class PerImage:
    """What ``per_image.csv`` holds.

    Attributes:
        images, classes: names, in the order of the file.
        counts: (images, classes, 3) int64 pixels: intersection, prediction, target.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]


def read(folder: str | os.PathLike[str]) -> RunRecord:
    """What is known of a run, complete or not.

    Raises:
        ValueError: the reason why it cannot be read; the message names the file.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ValueError(f"run: expected a folder with {CONFIG}, got '{folder}'; give a folder that seg-train made")
    config, environment = _read_yaml(folder / CONFIG), _read_json(folder / ENVIRONMENT)
    if not isinstance(environment.get("choices"), dict):
        raise ValueError(f"run: expected 'choices' in '{folder / ENVIRONMENT}', got none; the file was edited")
    lines = tuple(read_lines(folder / METRICS)) if (folder / METRICS).exists() else ()
    done = _read_json(folder / DONE) if (folder / DONE).exists() else None
    return RunRecord(folder, config, environment, lines, done)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; a last one that was torn by a crash is left out.

    Raises:
        ValueError: another line is not what `append_line` wrote.
    """
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        if not text.endswith("\n"):
            return
        try:
            line = json.loads(text)
            line["epoch"], line["seconds"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f"run: expected an epoch's numbers in '{path}', line {number}, got {text.strip()[:40]!r}; "
                "remove the damaged lines, or the folder to train anew"
            ) from None
        yield line


def read_per_image(path: str | os.PathLike[str]) -> PerImage:
    """Counts of each image and class, as a run or ``seg-evaluate`` wrote them.

    Raises:
        ValueError: no such file, other columns, or not every class once for every image.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"run: expected a file, got '{path}'; a run writes it when it is complete")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    header = rows.pop(0) if rows else ["nothing"]
    if tuple(header) != COLUMNS:
        raise ValueError(f"run: expected the columns {','.join(COLUMNS)} in '{path}', got {','.join(header)}")
    images, classes = (tuple(dict.fromkeys(row[column] for row in rows)) for column in (0, 1))
    if not rows or [row[:2] for row in rows] != [[image, name] for image in images for name in classes]:
        raise ValueError(
            f"run: expected each of {len(classes)} classes once for each of {len(images)} images in '{path}', got "
            f"{len(rows)} rows; the file was edited or cut short"
        )
    try:
        counts = np.array([row[2:] for row in rows]).astype(np.int64).reshape(len(images), len(classes), 3)
    except ValueError as error:
        raise ValueError(f"run: expected whole numbers of pixels in '{path}', got something else ({error})") from None
    return PerImage(images, classes, counts)


def write_per_image(
    path: str | os.PathLike[str], images: Sequence[str], classes: Sequence[str], counts: NDArray[np.int64]
) -> None:
    """The inverse of `read_per_image`; ``counts (images, classes, 3)``."""
    write_csv(
        path,
        COLUMNS,
        (
            (image, name, *numbers)
            for image, table in zip(images, counts.tolist(), strict=True)
            for name, numbers in zip(classes, table, strict=True)
        ),
    )


def open_run(folder: Path, config: dict[str, Any], environment: dict[str, Any]) -> None:
    """Make the folder with its configuration and environment.

    Raises:
        ValueError: it cannot be written to.
    """
    make_folder(folder, "runs")
    with whole(folder / CONFIG) as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    write_json(folder / ENVIRONMENT, environment)


def append_line(folder: Path, line: dict[str, Any]) -> None:
    """Add an epoch to ``metrics.jsonl``."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite(line), ensure_ascii=False) + "\n")


def cut_lines(folder: Path, epoch: int) -> None:
    """Drop the lines of ``metrics.jsonl`` from ``epoch`` on, and a torn last line: they will be written again."""
    path = folder / METRICS
    if not path.exists():
        return
    kept = []
    for text, line in zip(path.read_text(encoding="utf-8").splitlines(keepends=True), read_lines(path), strict=False):
        if line["epoch"] >= epoch:
            break
        kept.append(text)
    with whole(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def finish(folder: Path, done: dict[str, Any]) -> None:
    """Mark a run as complete."""
    write_json(folder / DONE, done)


def is_complete(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether this run has been trained to its end.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """
    if not ((folder / CONFIG).exists() and (folder / LAST).exists()):
        return False  # nothing to lose: even a run that never saved may be started with other settings
    before, now = (dict(_leaves(_comparable(c))) for c in (_read_yaml(folder / CONFIG), config))
    changed = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    if changed:
        shown = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ValueError(
            f"'{folder}' holds a run of another configuration ({shown}{more}); give another name=..., or remove the "
            "folder to start again"
        )
    return (folder / DONE).exists()


def run_name(overrides: Sequence[str], choices: Mapping[str, str], seed: int) -> str:
    """A slug of choices and seed, free of ``= , /`` and of time; other settings are told apart by a short hash."""
    groups = {key: value for key, value in choices.items() if not key.startswith("hydra")}
    given = dict(o.lstrip("+~").partition("=")[::2] for o in overrides)
    named = [key for key in groups if key in CHOICES or (key in given and key not in MACHINE)]
    named.sort(key=lambda key: (CHOICES.index(key) if key in CHOICES else len(CHOICES), key))
    words = [groups[key] for key in named if groups[key] not in (None, "null", "folders")]
    rest = sorted(o for o in overrides if (k := o.lstrip("+~").partition("=")[0]) not in groups and not _free(k))
    slug = "-".join([*words, f"seed{seed}"])
    if rest:
        slug += "-" + hashlib.sha256("\n".join(rest).encode()).hexdigest()[:6]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", slug)


def _free(key: str) -> bool:
    return key == "seed" or key.startswith("hydra.") or any(key == m or key.startswith(f"{m}.") for m in MACHINE)


def _comparable(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        key: _comparable(value, f"{prefix}{key}.") if isinstance(value, Mapping) else _today(key, value)
        for key, value in config.items()
        if f"{prefix}{key}" not in MACHINE
    }


def _today(key: str, value: Any) -> Any:
    return _RENAMED.get(value, value) if key == "_target_" else value


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(config, Mapping):
        yield prefix.rstrip("."), config
        return
    for key, value in config.items():
        yield from _leaves(value, f"{prefix}{key}.")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        data = error
    if not isinstance(data, dict):
        raise ValueError(
            f"run: expected a configuration in '{path}', got something else; remove the folder to train anew"
        )
    return data


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"run: expected '{path}', got '{error.strerror}'; the folder was edited") from None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ValueError(f"run: expected names and values as JSON in '{path}', got something else; the file was edited")
    return data
