"""Which runs are compared along which axis, and which are left out for which reason."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seg import runs
from seg.compare.conditions import by_level, conditions, only_axis, with_axis
from seg.compare.ensembles import Ensemble, read_ensembles
from seg.compare.evidence import Entry, is_entry, machines, read_entry
from seg.compare.folds import joined
from seg.compare.looks import Design, designs_of, one_after_the_other, widest
from seg.compare.scores import Floats, LevelScores, image_scores
from seg.compare.trained import axis_of_training, changes, judged_otherwise
from seg.files import checks
from seg.metrics.catalogue import Metric


@dataclass(frozen=True)
class Level:
    """One value of the axis, and the runs that have it, by seed."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs, in order."""
        return tuple(entry.seed for entry in self.entries)

    def sample(self) -> LevelScores:
        """Return its runs, for statistics."""
        metrics = set.intersection(*(set(entry.values) for entry in self.entries))
        counts = np.stack([entry.counts for entry in self.entries])
        values = {metric: np.stack([entry.values[metric] for entry in self.entries]) for metric in metrics}
        return LevelScores(self.seeds, counts, values, self.entries[0].classes)

    def image_scores(self, metric: str) -> Floats:
        """Return the score of each image (images,), averaged over seeds; see `seg.compare.scores.image_scores`."""
        return image_scores(self.sample(), metric, np.arange(len(self.entries[0].images)))


@dataclass(frozen=True)
class Study:
    """Runs that differ in one thing, and in their seeds.

    Attributes:
        root: folder that was searched.
        axis: configuration group or dotted key that varies; None if nothing does.
        levels: by name, numbers by size.
        excluded: run and the reason why it is left out.
        warnings: what else a reader must know.
        on_test: whether they were judged on the images of a test set.
        ensembles: runs of a level that were judged as one model.
    """

    root: Path
    axis: str | None
    levels: tuple[Level, ...]
    excluded: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    on_test: bool
    ensembles: tuple[Ensemble, ...] = ()

    def named(self, entry: Entry) -> str:
        """Return the run's folder, seen from the root."""
        name = _named(self.root, entry.folder.parent if self.on_test else entry.folder)
        return f"{name} and {entry.folds - 1} more folds" if entry.folds else name

    @property
    def described(self) -> str:
        """Say what is compared, in a line."""
        levels = f"{len(self.levels)} levels of {self.axis}" if len(self.levels) > 1 else self.levels[0].name
        return f"comparing {len(self.entries)} runs: {levels}, on {len(self.entries[0].images)} images"

    @property
    def catalogue(self) -> dict[str, Metric]:
        """What is known of the scores of its runs."""
        return {name: metric for entry in self.entries for name, metric in entry.catalogue.items()}

    @property
    def design(self) -> Design | None:
        """What was fixed before these runs were made in rounds; None: they were not."""
        return widest(designs_of(self.entries))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All runs that are compared."""
        return tuple(entry for level in self.levels for entry in level.entries)


def check_destination(destination: Path) -> None:
    """Refuse the folder of a run, whose plots have the same names.

    Raises:
        ValueError: it is one, or lies within one.
    """
    for folder in (destination.resolve(), *destination.resolve().parents):
        if is_entry(folder):
            raise ValueError(f"destination: expected a folder of its own, got one of the run '{folder}'; give another")


def only_reference(pairs: str, reference: str | None) -> str | None:
    """Return the only level that others are compared with, where ``pairs`` is ``reference`` and not ``all``.

    Raises:
        ValueError: it is neither, or no level is named.
    """
    checks.choice("pairs", pairs, ("all", "reference"))
    if pairs == "reference" and reference is None:
        raise ValueError(
            "pairs: expected reference=LEVEL beside pairs=reference, got none; name the level before you look, because "
            "the best one is known from the runs alone"
        )
    return reference if pairs == "reference" else None


def read_study(root: str | os.PathLike[str], axis: str | None = None, metric: str = "miou") -> Study:
    """Find the runs in a folder and its subfolders, and the axis along which they can be compared.

    Args:
        axis: configuration group, such as ``loss``, or dotted key, such as ``optimizer.lr``; by default the one that
            varies, or where nothing else does, the training data.
        metric: that all runs must have.

    Raises:
        ValueError: there is no run, no such axis or metric, or several things vary; the message lists them.
    """
    collected = _find(Path(root))
    return _study(collected, axis or _only_axis(collected.entries), metric)


def read_studies(
    root: str | os.PathLike[str], by: str, axis: str | None = None, metric: str = "miou"
) -> dict[str, Study]:
    """Return the same for each value of a second thing; the runs of one value are compared with each other alone.

    Args:
        by: configuration group or dotted key.

    Raises:
        ValueError: see `read_study`, or ``by`` has one value.
    """
    collected = _find(Path(root))
    kept, others = with_axis(collected.entries, by, "by")
    values = by_level(kept, by)
    if len(values) < 2:
        left = "".join(f"; {run} cannot be compared: {reason}" for run, reason in collected.excluded[:1])
        raise ValueError(
            f"by: expected a key of which the runs have several values, got '{by}' with {len(values)} among "
            f"{len(collected.entries)} runs{left}; leave it out"
        )
    axis = axis or _only_axis(next(iter(values.values())))
    left_out = [*collected.excluded, *((_named(collected.root, entry.folder), reason) for entry, reason in others)]
    studies = {}
    for value in sorted(values, key=_by_size):
        try:
            studies[value] = _study(replace(collected, entries=values[value], excluded=left_out), axis, metric)
        except ValueError as error:
            raise ValueError(f"{by}={value}: {error}") from None
        left_out = []  # told once
    return studies


@dataclass(frozen=True)
class _Runs:
    """The runs in a folder."""

    root: Path
    entries: list[Entry]
    excluded: list[tuple[str, str]]
    warnings: list[str]
    on_test: bool


def _find(root: Path) -> _Runs:
    unread: list[tuple[str, str]] = []
    folders = list(_folders(root, unread))
    if not folders and (not unread or not os.access(root, os.R_OK | os.X_OK)):
        raise ValueError(f"runs: expected a folder with runs of seg-train in it, got '{root}'; give another one")
    entries, excluded = _read_all(root, folders)
    excluded += unread
    tested = [is_entry(entry.folder / runs.TEST) for entry in entries]
    on_test = bool(entries) and all(tested)
    warnings = []
    if on_test:
        entries, damaged = _read_all(root, [entry.folder / runs.TEST for entry in entries])
        excluded += damaged
    elif collected := sum(tested):
        warnings.append(f"{collected} of {len(entries)} runs were judged on a test set; validation scores are compared")
    if not on_test:
        entries, odd, told = joined(entries)
        excluded += [(_named(root, entry.folder), reason) for entry, reason in odd]
        warnings += told
    return _Runs(root, entries, excluded, warnings, on_test)


def _only_axis(entries: Sequence[Entry]) -> str | None:
    return only_axis(entries) or axis_of_training(entries)


def _study(collected: _Runs, axis: str | None, metric: str) -> Study:
    kept, excluded = collected.entries, list(collected.excluded)
    for same in conditions(axis, metric):
        kept, others = same(kept)
        excluded += [(_named(collected.root, entry.folder), reason) for entry, reason in others]
    levels = _levels(kept, axis)
    by_name = {level.name: level.entries for level in levels}
    ensembles, odd = read_ensembles(collected.root, by_name, on_test=collected.on_test)
    warnings = (
        *collected.warnings,
        *judged_otherwise(collected.entries, axis),
        *changes(by_name, axis),
        *_missing_seeds(levels),
        *_unknown_content(kept),
        *_environments(kept),
        *_budget(levels),
        *odd,
        *one_after_the_other(designs_of(kept)),
    )
    return Study(collected.root, axis, levels, tuple(excluded), warnings, collected.on_test, ensembles)


def _folders(root: Path, unread: list[tuple[str, str]]) -> Iterator[Path]:
    """Yield the folders of runs, and by name those that cannot be looked into, with the reason."""

    def closed(error: OSError) -> None:
        unread.append((_named(root, Path(error.filename)), f"cannot be read: {error.strerror}"))

    seen = set()
    for top, below, files in os.walk(root, followlinks=True, onerror=closed):
        real = os.path.realpath(top)
        below[:] = sorted(name for name in below if not name.startswith(".")) if real not in seen else []
        if real not in seen and is_entry(Path(top)):
            yield Path(top)
            below.clear()  # a run's own evaluation is looked for beside it
        else:
            paths = (Path(top, name) for name in files)
            unread += [(_named(root, path), "a link to nothing") for path in paths if not path.exists()]
        seen.add(real)


def _named(root: Path, folder: Path) -> str:
    name = folder.relative_to(root).as_posix()
    return folder.resolve().name if name == "." else name


def _read_all(root: Path, folders: Sequence[Path]) -> tuple[list[Entry], list[tuple[str, str]]]:
    entries, excluded = [], []
    for folder in folders:
        try:
            entries.append(read_entry(folder))
        except ValueError as error:
            excluded.append((_named(root, folder), str(error)))
    return entries, excluded


def _levels(entries: Sequence[Entry], axis: str | None) -> tuple[Level, ...]:
    members = by_level(entries, axis)
    return tuple(
        Level(name, tuple(sorted(members[name], key=lambda entry: entry.seed)))
        for name in sorted(members, key=_by_size)
    )


def meant(wanted: str, names: Sequence[str]) -> str:
    """Return the name that is meant, 0.001 by 1e-3 too; what was wanted if there is none."""
    text = runs.as_text(wanted)
    alike = (name for name in names if _by_size(name) == _by_size(text))
    return text if text in names else next(alike, text)


def _by_size(name: str) -> tuple[float, str]:
    """Return what sorts names: numbers by size, before all others."""
    try:
        return float(name), ""
    except ValueError:
        return np.inf, name


def _missing_seeds(levels: Sequence[Level]) -> Iterator[str]:
    seeds = sorted({seed for level in levels for seed in level.seeds})
    several = max((len(level.seeds) for level in levels), default=0) > 1
    told: dict[tuple[str, str], list[str]] = {}
    for level in levels:
        missing = ", ".join(str(seed) for seed in seeds if seed not in level.seeds)
        apart = ", ".join(other.name for other in levels if len({*level.seeds} & {*other.seeds}) < 2)
        told.setdefault((missing, apart if several else ""), []).append(level.name)
    for (missing, apart), names in told.items():
        if missing:
            yield (
                f"{', '.join(names)} lack{'s' * (len(names) == 1)} seed {missing}; pairs are compared by the seeds "
                "that both have"
                + (f", but with {apart}, where those are fewer than two, by all seeds unpaired" if apart else "")
            )


def _unknown_content(entries: Sequence[Entry]) -> Iterator[str]:
    if unknown := sum(not entry.judged_on.sizes for entry in entries):
        yield (
            f"{unknown} of {len(entries)} runs do not tell what their images and masks held, which older versions did "
            "not write down: names and numbers of pixels agree, pixels may differ"
        )


def _environments(entries: Sequence[Entry]) -> Iterator[str]:
    for key in ("seg", "torch", "torchvision", "segmentation_models_pytorch"):
        if len(versions := sorted({str(entry.environment.get(key)) for entry in entries})) > 1:
            yield f"the runs were made with {key} {' and '.join(versions)}"
    if (kinds := machines(entries)) > 1:
        yield f"the runs were made on {kinds} kinds of machine: their times do not compare"


def _budget(levels: Sequence[Level]) -> Iterator[str]:
    """Say what was equal among runs that had ``fit.minutes``: their steps, or their time."""
    entries = [entry for level in levels for entry in level.entries]
    minutes = entries[0].settings.get("fit.minutes") if entries else None  # runs agree in it, or are not compared
    if minutes is None:
        return
    steps = {level.name: {entry.config["fit"].get("steps") for entry in level.entries} for level in levels}
    if not all(isinstance(count, int) for counts in steps.values() for count in counts):
        return
    given, every = f"fit.minutes={minutes:g}", set().union(*steps.values())
    if entries[0].settings["sweep.equal"] == "minutes":
        shown = ", ".join(f"{name} {_range(counts)}" for name, counts in steps.items())
        yield f"equal time was asked for (sweep.equal=minutes, {given}): levels differ in steps ({shown})"
    elif len(every) == 1:
        yield (
            f"equal steps were asked for (sweep.equal=steps): {_range(every)} in each run, for which the first one had "
            f"time ({given})"
        )
    else:
        yield (
            f"{given} in each run, which chose its steps by itself ({_range(every)}); in one sweep, sweep.equal=steps "
            "gives all of them as many"
        )


def _range(numbers: set[int]) -> str:
    """Return the least and the greatest number."""
    return " to ".join(map(str, sorted({min(numbers), max(numbers)})))
