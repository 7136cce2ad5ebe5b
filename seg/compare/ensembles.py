"""Evaluations of ensembles, by ``seg-evaluate checkpoint=[...]``: which level's seeds were judged together."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg import runs
from seg.compare.evidence import Entry, Floats, check_counts, is_entry, read_judged, values_of

MEMBERS = "members"
"""Of ``metrics.json``: the checkpoints of an ensemble."""


@dataclass(frozen=True)
class Ensemble:
    """Seeds of a level that were judged as one model.

    Attributes:
        folder: that ``seg-evaluate`` wrote.
        level: its name.
        seeds: of its members.
        counts, values: of the images of the study, see `seg.compare.evidence.Entry`.
    """

    folder: Path
    level: str
    seeds: tuple[int, ...]
    counts: NDArray[np.int64]
    values: Mapping[str, Floats]


def read_ensembles(
    root: Path, levels: Mapping[str, Sequence[Entry]], *, on_test: bool
) -> tuple[tuple[Ensemble, ...], list[str]]:
    """Find evaluations of several runs of one level in a folder; of all of them that compare, and why others do not.

    Those whose members are not among the runs are none of this study.

    Args:
        levels: the runs that are compared, by level.
        on_test: they were judged on a test set, in a folder of each run.
    """
    known = {
        (entry.folder.parent if on_test else entry.folder).resolve(): (name, entry)
        for name, entries in levels.items()
        for entry in entries
    }
    found: dict[str, Ensemble] = {}
    reasons = []
    for folder in _folders(root):
        try:
            if (one := _read(folder, known)) is None:
                continue
        except (ValueError, OSError, LookupError, TypeError) as error:
            reasons.append(f"the evaluation of several runs in {folder} is left out: {error}")
            continue
        if (other := found.setdefault(one.level, one)) is not one:
            most, least = (one, other) if len(one.seeds) > len(other.seeds) else (other, one)
            found[one.level] = most
            reasons.append(f"the evaluation of several runs in {least.folder} is left out: there is {most.folder}")
    return tuple(found.values()), reasons


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders with an evaluation that is of no single run."""
    for top, below, files in os.walk(root):
        if is_entry(Path(top)):
            below.clear()
        elif {runs.EVALUATION, runs.PER_IMAGE} <= {*files}:
            yield Path(top)
        below[:] = sorted(name for name in below if not name.startswith("."))


def _read(folder: Path, known: Mapping[Path, tuple[str, Entry]]) -> Ensemble | None:
    """Return the ensemble that was evaluated into a folder; None where its members are not known.

    Raises:
        ValueError: the reason why it does not compare.
    """
    judged = read_judged(folder)
    if judged is None or not isinstance(members := judged.get(MEMBERS), list):
        return None
    files = [Path(str(member)) for member in members]
    runs_of = [_run_of(file, known) for file in files]
    mine = [run for run in runs_of if run is not None]
    if not mine:
        return None
    if len(mine) < len(files):
        raise ValueError(f"'{files[runs_of.index(None)]}' is not among the runs that are compared")
    if len(names := {name for name, _ in mine}) > 1:
        raise ValueError(f"its members are of several levels, {', '.join(sorted(names))}")
    (level,), entries = names, [entry for _, entry in mine]
    _check_files(files, entries)
    counts, values = _judged_alike(folder, entries[0])
    return Ensemble(folder, level, tuple(sorted(entry.seed for entry in entries)), counts, values)


def _run_of(file: Path, known: Mapping[Path, tuple[str, Entry]]) -> tuple[str, Entry] | None:
    """Return level and run of a checkpoint: by its folder, or, where runs were moved, by the folder's name alone."""
    if (run := known.get(file.parent.resolve())) is not None:
        return run
    alike = [run for folder, run in known.items() if folder.name == file.parent.name]
    return alike[0] if len(alike) == 1 else None


def _check_files(files: Sequence[Path], entries: Sequence[Entry]) -> None:
    """Refuse other weights than those that the runs were judged by: their gain would be of both."""
    for file, entry in zip(files, entries, strict=True):
        own = Path(str((entry.judged or {}).get("checkpoint", runs.LAST))).name
        if file.name != own:
            raise ValueError(f"'{file}' is a member, where the run was judged by {own}; evaluate these together")


def _judged_alike(folder: Path, entry: Entry) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return counts and values of the images of a run."""
    table = runs.read_per_image(folder / runs.PER_IMAGE)
    check_counts(table, folder)
    order = sorted(range(len(table.images)), key=lambda i: table.images[i])
    counts = table.counts[order]
    same = tuple(table.images[i] for i in order) == entry.images and table.classes == entry.classes
    if not same or (counts[..., 2] != entry.counts[..., 2]).any():
        raise ValueError("it is of other images, masks or classes than the runs")
    return counts, {metric: values[order] for metric, values in values_of(folder, table.images).items()}
