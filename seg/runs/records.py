"""The files of a run folder, by name, and how they are read."""

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import yaml
from numpy.typing import NDArray

from seg.files import read_file
from seg.metrics.catalogue import Metric, catalogue_of

if TYPE_CHECKING:
    import _csv

CONFIG, ENVIRONMENT, EPOCHS = "config.yaml", "environment.json", "metrics.jsonl"
LAST, BEST, PER_IMAGE, DONE = "last.pt", "best.pt", "per_image.csv", "done.json"
PER_IMAGE_METRICS = "per_image_metrics.csv"
BOXES = "boxes.json"
PAIRS = "pairs.csv"
EVALUATION, PREDICTIONS, TEST = "metrics.json", "predictions", "test"
PROBABILITIES = "probabilities"
CARD = "README.md"
PREVIOUS, KEPT = "previous.pt", "epoch-{:04}.pt"
REPLAY = "replay-{}.pt"
PICTURES, CURVES = "pictures", "curves.png"
LOG = "log.txt"

COLUMNS = ("image", "class", "intersection", "prediction", "target")
"""The columns of ``per_image.csv``; the last three in pixels."""

METRIC_COLUMNS = ("image", "metric", "class", "value")
"""The columns of ``per_image_metrics.csv``; the class is empty where the value is that of the whole image."""

PAIR_COLUMNS = ("part", "name", "image_bytes", "mask_bytes", "image_pixels", "mask_pixels")
"""The columns of ``pairs.csv``; the last two are checksums of decoded pixels, which older versions did not keep."""

TESTED = "test"
"""The part of the pairs that ``seg-evaluate`` judged a run on."""


@dataclass(frozen=True)
class RunRecord:
    """The contents of a run folder.

    Attributes:
        config: as resolved.
        environment: with the chosen option of each group under ``choices``.
        lines: one per epoch, as in ``metrics.jsonl``.
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
    def catalogue(self) -> dict[str, Metric]:
        """What is known of its scores.

        Raises:
            ValueError: its ``metrics.json`` cannot be read.
        """
        path = self.folder / EVALUATION
        return catalogue_of(_read_json(path) if path.exists() else {})

    @property
    def score(self) -> float | None:
        """The best monitored score, NaN if it never was a number; None while the run is not complete."""
        return None if self.done is None else _number(self.done["best"]["score"])

    @property
    def miou(self) -> float:
        """That of the last epoch of a complete run, NaN if it is not defined."""
        assert self.done is not None
        return _number(self.done["last"]["miou"])

    @property
    def seconds(self) -> float:
        """Training time, without validation."""
        return float(sum(line["seconds"] for line in self.lines))


@dataclass(frozen=True)
class PerImage:
    """The contents of ``per_image.csv``.

    Attributes:
        images, classes: names, in the order of the file.
        counts: (images, classes, 3) int64 pixels: intersection, prediction, target.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def read(folder: str | os.PathLike[str]) -> RunRecord:
    """Read the record of a run, complete or not.

    Raises:
        ValueError: the reason why it cannot be read; the message names the file.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ValueError(f"run: expected a folder with {CONFIG}, got '{folder}'; give a folder that seg-train made")
    config, environment = read_config(folder / CONFIG), _read_json(folder / ENVIRONMENT)
    if not isinstance(environment.get("choices"), dict):
        raise ValueError(f"run: expected 'choices' in '{folder / ENVIRONMENT}', got none; the file was edited")
    lines = tuple(read_lines(folder / EPOCHS))
    done = _read_json(folder / DONE) if (folder / DONE).exists() else None
    return RunRecord(folder, config, environment, lines, done)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``metrics.jsonl``, without a last one that was torn by a crash; a missing file has none.

    Raises:
        ValueError: another line is not what `append_line` wrote.
    """
    if not path.exists():
        return
    for number, text in enumerate(read_file(path).decode().splitlines(keepends=True), start=1):
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
    """Read the counts of each image and class, as a run or ``seg-evaluate`` wrote them.

    Raises:
        ValueError: no such file, other columns, or not every class once for every image.
    """
    *names, intersection, prediction, target = _columns(Path(path), COLUMNS)
    images, classes = (tuple(dict.fromkeys(column)) for column in names)
    wanted = [[image for image in images for _ in classes], list(classes) * len(images)]
    if not names[0] or names != wanted:
        raise ValueError(
            f"run: expected each of {len(classes)} classes once for each of {len(images)} images in '{path}', got "
            f"{len(names[0])} rows; the file was edited or cut short"
        )
    try:
        numbers = [[*map(int, column)] for column in (intersection, prediction, target)]
        counts = np.array(numbers, np.int64).T.reshape(len(images), len(classes), 3)
    except ValueError as error:
        raise ValueError(f"run: expected whole numbers of pixels in '{path}', got something else ({error})") from None
    return PerImage(images, classes, counts)


def read_per_image_metrics(path: str | os.PathLike[str]) -> dict[str, dict[tuple[str, str], float]]:
    """Read scores of each image, as a run or ``seg-evaluate`` wrote them: metric -> (image, class or "") -> value.

    A score that is not defined, such as the boundary F1 of a class that the image's target lacks, is left out.

    Raises:
        ValueError: no such file, other columns, a value that is no number, or two for one thing.
    """
    scores: dict[str, dict[tuple[str, str], float]] = {}
    for line, row in _rows(Path(path), METRIC_COLUMNS):
        try:
            image, metric, name, text = row
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (image, name) in scores.setdefault(metric, {}):
            raise ValueError(
                f"run: expected one number for each image, metric and class in '{path}', got '{','.join(row)}' in "
                f"line {line}; the file was edited or cut short"
            )
        scores[metric][image, name] = value
    return scores


def read_pairs(path: Path) -> list[tuple[str, ...]]:
    """Read the rows of ``pairs.csv``; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [tuple(row) for row in csv.reader(file) if row][1:]


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table below its header, each with the number of its last line."""
    with _opened(path, columns) as (rows, _):
        for row in rows:
            yield rows.line_num, row


def _columns(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Return the columns of a table; a cell that a row lacks is empty.

    Without quotes it is split at once, in half the time: a comparison reads hundreds of such tables.
    """
    with _opened(path, columns) as (_, file):
        text, number = file.read(), len(columns)
    lines = text.removesuffix("\n").split("\n")
    if '"' not in text and {line.count(",") for line in lines} == {number - 1}:
        cells = ",".join(lines).split(",")
        return [cells[column::number] for column in range(number)]
    rows = csv.reader(io.StringIO(text, newline=""))
    return [*map(list, zip(*(_filled(row, number) for row in rows), strict=True))] or [[]] * number


def _filled(row: list[str], number: int) -> list[str]:
    """Return a row with as many cells; fail with LookupError where it has not even two."""
    return [row[0], row[1], *row[2:number], *[""] * (number - len(row))]


@contextmanager
def _opened(path: Path, columns: Sequence[str]) -> "Iterator[tuple[_csv.Reader, TextIO]]":
    """Open a table below its header, to be read row by row, or as a text."""
    if not path.is_file():
        raise ValueError(f"run: expected a file, got '{path}'; a run writes it when it is complete")
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file)
        if tuple(header := next(rows, ["nothing"])) != columns:
            raise ValueError(f"run: expected the columns {','.join(columns)} in '{path}', got {','.join(header)}")
        yield rows, file


_REFERENCES = 20


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's ``config.yaml``.

    Raises:
        ValueError: it is none.
    """
    try:
        text = read_file(path).decode()
        # references to references make gigabytes of a few lines; ours has none, or one or two
        many = len(re.findall(r"\*\w", text)) > _REFERENCES
        if many and sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)) > _REFERENCES:
            raise ValueError("too many references")
        data = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        data = error
    if not isinstance(data, dict):
        raise ValueError(
            f"run: expected a configuration in '{path}', got something else; remove the folder to train anew"
        )
    return data


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_file(path))
    except OSError as error:
        raise ValueError(f"run: expected '{path}', got '{error.strerror}'; the folder was edited") from None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ValueError(f"run: expected names and values as JSON in '{path}', got something else; the file was edited")
    return data
