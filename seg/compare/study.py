"""Which runs are compared along which axis, and which are left out for which reason."""

import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg import runs
from seg.compare.entry import Entry, is_entry, read_entry
from seg.compare.sample import COUNTED, Sample


@dataclass(frozen=True)
class Level:
    """One value of the axis, and the runs that have it, by seed."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs, in order."""
        return tuple(entry.seed for entry in self.entries)

    def sample(self) -> Sample:
        """Its runs, for statistics."""
        metrics = set.intersection(*(set(entry.values) for entry in self.entries))
        counts = np.stack([entry.counts for entry in self.entries])
        return Sample(self.seeds, counts, {m: np.stack([entry.values[m] for entry in self.entries]) for m in metrics})


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
    """

    root: Path
    axis: str | None
    levels: tuple[Level, ...]
    excluded: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    on_test: bool

    def named(self, entry: Entry) -> str:
        """The run's folder, seen from the root."""
        return _named(self.root, entry.folder.parent if self.on_test else entry.folder)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All runs that are compared."""
        return tuple(entry for level in self.levels for entry in level.entries)


def read_study(root: str | os.PathLike[str], axis: str | None = None, metric: str = "miou") -> Study:
    """Find the runs in a folder and its subfolders, and the axis along which they can be compared.

    Args:
        axis: configuration group, such as ``loss``, or dotted key, such as ``optimizer.lr``; by default the one that
            varies.
        metric: that all runs must have.

    Raises:
        ValueError: there is no run, no such axis or metric, or several things vary; the message lists them.
    """
    root = Path(root)
    folders = list(_folders(root))
    if not folders:
        raise ValueError(f"runs: expected a folder with runs of seg-train in it, got '{root}'; give another one")
    entries, excluded = _read_all(root, folders)
    on_test = bool(entries) and all(_has_test(entry.folder) for entry in entries)
    warnings = []
    if on_test:
        entries, damaged = _read_all(root, [entry.folder / runs.TEST for entry in entries])
        excluded += damaged
    elif some := sum(_has_test(entry.folder) for entry in entries):
        warnings.append(f"{some} of {len(entries)} runs were judged on a test set; validation scores are compared")
    axis = axis or _only_axis(entries)
    kept = entries
    for same in _conditions(axis, metric):
        kept, others = same(kept)
        excluded += [(_named(root, entry.folder), reason) for entry, reason in others]
    levels = _levels(kept, axis)
    warnings += [*_missing_seeds(levels), *_environments(kept)]
    return Study(root, axis, levels, tuple(excluded), tuple(warnings), on_test)


Kept = tuple[list[Entry], list[tuple[Entry, str]]]
"""Runs that go on, and those that do not, with the reason."""


def _folders(root: Path) -> Iterator[Path]:
    seen = set()
    for top, below, _ in os.walk(root, followlinks=True):
        real = os.path.realpath(top)
        below[:] = sorted(name for name in below if not name.startswith(".")) if real not in seen else []
        if real not in seen and is_entry(Path(top)):
            yield Path(top)
            below.clear()  # a run's own evaluation is looked for beside it
        seen.add(real)


def _named(root: Path, folder: Path) -> str:
    name = folder.relative_to(root).as_posix()
    return folder.resolve().name if name == "." else name


def _read_all(root: Path, folders: Sequence[Path]) -> tuple[list[Entry], list[tuple[str, str]]]:
    entries, excluded = [], []
    for folder in folders:
        try:
            entries.append(read_entry(folder))
        except (ValueError, OSError) as error:
            excluded.append((_named(root, folder), str(error)))
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"expected the files that seg-train wrote, got others ({type(error).__name__}: {error})"
            excluded.append((_named(root, folder), f"{reason}; they were edited"))
    return entries, excluded


def _has_test(folder: Path) -> bool:
    return is_entry(folder / runs.TEST)


# --- the axis


def _only_axis(entries: Sequence[Entry]) -> str | None:
    """What varies, among more than three quarters of the runs; None if nothing does.

    Raises:
        ValueError: several things do.
    """
    varying = _varying(entries)
    if len(varying) > 1:
        for axis in varying:  # a few runs that differ in more are left out later, with the reason
            (_, most), *_ = Counter(json.dumps(_rest(entry, axis), sort_keys=True) for entry in entries).most_common(1)
            if most > 0.75 * len(entries):
                return axis
        shown = "; ".join(f"{key}: {', '.join(values)}" for key, values in varying.items())
        raise ValueError(
            f"axis: expected runs that differ in one thing, got {len(varying)} ({shown}); give axis=NAME: the runs "
            "that agree in the others are compared"
        )
    return next(iter(varying), None)


def _varying(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Groups and keys with more than one value, and these values."""
    found = runs.differences([entry.choices for entry in entries], [entry.settings for entry in entries])
    return {name: sorted(set(values)) for name, values in found.items()}


def _level(entry: Entry, axis: str | None) -> str:
    """Value of the axis, as text.

    Raises:
        ValueError: this run has no such thing.
    """
    if axis is None:
        return "run"
    if axis in entry.choices:
        return runs.as_text(entry.choices[axis])
    if axis in entry.settings:
        return runs.as_text(entry.settings[axis])
    value: Any = entry.config
    for part in axis.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise ValueError(f"it has no {axis}")
        value = value[part]
    return runs.as_text(value)


# --- conditions


def _conditions(axis: str | None, metric: str) -> list[Callable[[list[Entry]], Kept]]:
    """What runs must agree in; one after the other."""
    of_data = axis is not None and runs.owns("data", axis)

    def on_axis(entries: list[Entry]) -> Kept:
        return _with_axis(entries, axis)

    def measured(entries: list[Entry]) -> Kept:
        return _with_metric(entries, metric)

    def within(entries: list[Entry]) -> Kept:
        return _each_level(entries, axis, lambda some: _alike(some, lambda entry: own_settings(entry, axis)))

    def rest(entries: list[Entry]) -> Kept:
        _check_rest(entries, axis)
        return _alike(entries, lambda entry: _rest(entry, axis))

    def training_set(entries: list[Entry]) -> Kept:
        def same(some: list[Entry]) -> Kept:
            return _most(some, lambda e: e.trained_on, lambda e, _: "it was trained on other images than most runs")

        return _each_level(entries, axis, same) if of_data else same(entries)

    def once(entries: list[Entry]) -> Kept:
        return _once(entries, axis)

    return [on_axis, measured, _same_classes, _same_images, _not_chosen, within, rest, training_set, once]


def _with_axis(entries: list[Entry], axis: str | None) -> Kept:
    kept, others = [], []
    for entry in entries:
        try:
            _level(entry, axis)
        except ValueError as error:
            others.append((entry, str(error)))
        else:
            kept.append(entry)
    if others and not kept:
        varying = _varying(entries)
        shown = ", ".join(varying) or "nothing"
        raise ValueError(f"axis: expected a configuration group or key, got '{axis}'; these runs differ in {shown}")
    return kept, others


def _with_metric(entries: list[Entry], metric: str) -> Kept:
    if metric in COUNTED:
        return entries, []
    kept = [entry for entry in entries if metric in entry.values]
    if entries and not kept:
        known = ", ".join([*COUNTED, *sorted({name for entry in entries for name in entry.values} - set(COUNTED))])
        raise ValueError(f"metric: expected one that the runs have ({known}), got '{metric}'; choose one")
    return kept, [(entry, f"it has no {metric} for each image") for entry in entries if metric not in entry.values]


def _most(entries: list[Entry], key: Callable[[Entry], Hashable], reason: Callable[[Entry, Entry], str]) -> Kept:
    """Those that agree with the most others; of as many, with the first."""
    if not entries:
        return [], []
    keys = [key(entry) for entry in entries]
    (main, _), *_ = Counter(keys).most_common(1)
    first = entries[keys.index(main)]
    kept = [entry for entry, k in zip(entries, keys, strict=True) if k == main]
    return kept, [(e, reason(e, first)) for e, k in zip(entries, keys, strict=True) if k != main]


def _each_level(entries: list[Entry], axis: str | None, same: Callable[[list[Entry]], Kept]) -> Kept:
    kept, others = [], []
    for name in dict.fromkeys(_level(entry, axis) for entry in entries):
        some, odd = same([entry for entry in entries if _level(entry, axis) == name])
        kept += some
        others += odd
    return kept, others


def _same_classes(entries: list[Entry]) -> Kept:
    return _most(
        entries,
        lambda entry: entry.classes,
        lambda entry, main: f"its {len(entry.classes)} classes are others than the {len(main.classes)} of most runs",
    )


def _same_images(entries: list[Entry]) -> Kept:
    def reason(entry: Entry, main: Entry) -> str:
        if entry.images == main.images:
            return "it was judged on the same images with other masks than most runs"
        new = len(set(entry.images) - set(main.images))
        return f"it was judged on {len(entry.images)} images, {new} of them others than the {len(main.images)} of most"

    return _most(entries, lambda entry: (entry.images, entry.counts[..., 2].tobytes()), reason)


def _not_chosen(entries: list[Entry]) -> Kept:
    """Leave out checkpoints that were chosen by the images that they are judged on."""
    kept, others = [], []
    for entry in entries:
        checkpoint = Path(str((entry.judged or {}).get("checkpoint", runs.LAST))).name
        if checkpoint != runs.LAST and entry.validated_on & set(entry.images):
            others.append((entry, f"{checkpoint} was chosen by the images that it is judged on; judge {runs.LAST}"))
        else:
            kept.append(entry)
    return kept, others


def own_settings(entry: Entry, axis: str | None) -> dict[str, Any]:
    """The settings that the axis sets: those of its group; all of them for a group that sets keys of others."""
    if axis is None:
        return {}
    own = {key: value for key, value in entry.settings.items() if runs.owns(runs.package(axis), key)}
    return own or (dict(entry.settings) if axis in entry.choices else {})


def _rest(entry: Entry, axis: str | None) -> dict[str, Any]:
    own = own_settings(entry, axis)
    return {key: value for key, value in entry.settings.items() if key not in own}


def _check_rest(entries: Sequence[Entry], axis: str | None) -> None:
    """Make sure that most runs agree in all but the axis.

    Raises:
        ValueError: two parts of the same size do not; the message lists what they differ in.
    """
    sizes = Counter(json.dumps(_rest(entry, axis), sort_keys=True) for entry in entries).most_common(2)
    if len(sizes) == 2 and sizes[0][1] == sizes[1][1]:
        varying = {key: values for key, values in _varying(entries).items() if key != axis}
        shown = "; ".join(f"{key}: {', '.join(values)}" for key, values in varying.items())
        raise ValueError(
            f"axis={axis}: expected runs that differ in it alone, got as many of one kind as of another ({shown}); put "
            "those of one kind into a folder of their own"
        )


def _alike(entries: list[Entry], settings: Callable[[Entry], dict[str, Any]]) -> Kept:
    def reason(entry: Entry, main: Entry) -> str:
        mine, others = settings(entry), settings(main)
        keys = [key for key in sorted(mine | others) if mine.get(key) != others.get(key)]
        shown = ", ".join(
            f"{key}: {runs.as_text(mine.get(key))} instead of {runs.as_text(others.get(key))}" for key in keys[:3]
        )
        return f"its settings are others than those of most ({shown}{', ...' if len(keys) > 3 else ''})"

    return _most(entries, lambda entry: json.dumps(settings(entry), sort_keys=True), reason)


def _once(entries: list[Entry], axis: str | None) -> Kept:
    kept: dict[tuple[str, int], Entry] = {}
    others = []
    for entry in entries:
        first = kept.setdefault((_level(entry, axis), entry.seed), entry)
        if first is not entry:
            others.append((entry, f"the same level and seed ({entry.seed}) as '{first.folder}'"))
    return list(kept.values()), others


# --- what is left


def _levels(entries: Sequence[Entry], axis: str | None) -> tuple[Level, ...]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(_level(entry, axis), []).append(entry)
    levels = [Level(name, tuple(sorted(some, key=lambda entry: entry.seed))) for name, some in found.items()]
    return tuple(sorted(levels, key=lambda level: _by_size(level.name)))


def _by_size(name: str) -> tuple[float, str]:
    try:
        return float(name), ""
    except ValueError:
        return np.inf, name


def _missing_seeds(levels: Sequence[Level]) -> Iterator[str]:
    seeds = sorted({seed for level in levels for seed in level.seeds})
    for level in levels:
        if missing := [str(seed) for seed in seeds if seed not in level.seeds]:
            yield f"{level.name} lacks seed {', '.join(missing)}; pairs are compared by the seeds that both have"


def _environments(entries: Sequence[Entry]) -> Iterator[str]:
    for key in ("seg", "torch", "torchvision", "segmentation_models_pytorch"):
        if len(found := sorted({str(entry.environment.get(key)) for entry in entries})) > 1:
            yield f"the runs were made with {key} {' and '.join(found)}"
    machines = {json.dumps([e.environment.get(k) for k in ("platform", "cpu_count", "gpus")]) for e in entries}
    if len(machines) > 1:
        yield f"the runs were made on {len(machines)} kinds of machine: their times do not compare"
