"""``results.csv``: a row a run, for scripts and spreadsheets."""

import math
from collections.abc import Iterator
from pathlib import Path

from seg.compare.study import Study
from seg.files import write_csv

SCORES = ("miou", "miou_i", "miou_c", "mdice", "accuracy", "boundary_f1", "ece")
COLUMNS = ("run", "level", "seed", "images", *SCORES, "seconds")
"""Scores in 0..1, of all images; a score that a run does not have is left empty."""


def write_results(path: Path, study: Study) -> None:
    """Write ``results.csv``.

    Raises:
        OSError: it cannot be written.
    """
    write_csv(path, COLUMNS, _rows(study))


def _rows(study: Study) -> Iterator[tuple[str, ...]]:
    for level in study.levels:
        for entry in level.entries:
            values = [entry.scores.get(key) for key in SCORES]
            named = (study.named(entry), level.name, str(entry.seed), str(len(entry.images)))
            yield (*named, *map(_text, values), _text(entry.seconds))


def _text(value: object) -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    return f"{value:.6f}"
