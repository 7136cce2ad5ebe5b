"""Along which axis runs can be compared, and what they have to agree in for that."""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg import runs
from seg.compare.evidence import Entry
from seg.compare.scores import COUNTED, measure

Kept = tuple[list[Entry], list[tuple[Entry, str]]]
"""Runs that go on, and those that do not, with the reason."""


def only_axis(entries: Sequence[Entry]) -> str | None:
    """Return what varies, among more than three quarters of the runs; None if nothing does.

    Raises:
        ValueError: several things do.
    """
    tuned = {key for entry in entries for key in runs.tuned_keys(entry.config)}
    varying = {key: values for key, values in _varying(entries).items() if key not in tuned}
    if len(varying) > 1:
        for axis in varying:  # a few runs that differ in more are left out later, with the reason
            (_, most), *_ = Counter(
                json.dumps(other_settings(entry, axis), sort_keys=True) for entry in entries
            ).most_common(1)
            if most > 0.75 * len(entries):
                return axis
        shown = "; ".join(f"{key}: {', '.join(values)}" for key, values in varying.items())
        raise ValueError(
            f"axis: expected runs that differ in one thing, got {len(varying)} ({shown}); give axis=NAME: the runs "
            "that agree in the others are compared"
        )
    return next(iter(varying), None)


def _varying(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return groups and keys with more than one value, and these values."""
    found = runs.differences([entry.choices for entry in entries], [entry.settings for entry in entries])
    return {name: sorted(set(values)) for name, values in found.items()}


def level_of(entry: Entry, axis: str | None) -> str:
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


def conditions(axis: str | None, metric: str) -> list[Callable[[list[Entry]], Kept]]:
    """Return what runs must agree in; one after the other."""
    of_data = axis is not None and runs.owns("data", axis)

    def on_axis(entries: list[Entry]) -> Kept:
        return with_axis(entries, axis)

    def measured(entries: list[Entry]) -> Kept:
        return _with_metric(entries, metric)

    def within(entries: list[Entry]) -> Kept:
        return _each_level(entries, axis, lambda some: agree_on(some, lambda entry: settings_of_axis(entry, axis)))

    def rest(entries: list[Entry]) -> Kept:
        _check_rest(entries, axis)
        return agree_on(entries, lambda entry: other_settings(entry, axis))

    def training_set(entries: list[Entry]) -> Kept:
        def same(some: list[Entry]) -> Kept:
            return largest_group(
                some, lambda e: e.trained_on, lambda e, _: "it was trained on other images than most runs"
            )

        return _each_level(entries, axis, same) if of_data else same(entries)

    def once(entries: list[Entry]) -> Kept:
        return _once(entries, axis)

    def defined(entries: list[Entry]) -> Kept:
        if metric in COUNTED:
            return entries, []
        return largest_group(
            entries,
            lambda entry: np.isnan(entry.values[metric]).tobytes(),
            lambda *_: f"it has {metric} for other images than most runs",
        )

    return [on_axis, measured, _same_classes, _same_images, defined, _not_chosen, within, rest, training_set, once]


def with_axis(entries: list[Entry], axis: str | None, option: str = "axis") -> Kept:
    kept, others = [], []
    for entry in entries:
        try:
            level_of(entry, axis)
        except ValueError as error:
            others.append((entry, str(error)))
        else:
            kept.append(entry)
    if others and not kept:
        varying = _varying(entries)
        shown = ", ".join(varying) or "nothing"
        raise ValueError(f"{option}: expected a configuration group or key, got '{axis}'; these runs differ in {shown}")
    return kept, others


def _with_metric(entries: list[Entry], metric: str) -> Kept:
    if metric in COUNTED:
        return entries, []
    kept = [entry for entry in entries if metric in entry.values]
    if entries and not (kept and all(measure(metric, entry.catalogue) for entry in kept)):
        found = {name for entry in entries for name in entry.values if measure(name, entry.catalogue)}
        known = ", ".join([*COUNTED, *sorted(found - set(COUNTED))])
        raise ValueError(f"metric: expected one that the runs have ({known}), got '{metric}'; choose one")
    return kept, [(entry, f"it has no {metric} for each image") for entry in entries if metric not in entry.values]


def largest_group(
    entries: list[Entry], key: Callable[[Entry], Hashable], reason: Callable[[Entry, Entry], str]
) -> Kept:
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
    for name in dict.fromkeys(level_of(entry, axis) for entry in entries):
        some, odd = same([entry for entry in entries if level_of(entry, axis) == name])
        kept += some
        others += odd
    return kept, others


def _same_classes(entries: list[Entry]) -> Kept:
    return largest_group(
        entries,
        lambda entry: entry.classes,
        lambda entry, main: f"its {len(entry.classes)} classes are not the {len(main.classes)} of most runs",
    )


def _same_images(entries: list[Entry]) -> Kept:
    def reason(entry: Entry, main: Entry) -> str:
        if entry.images == main.images:
            return "it was judged on the same images with other masks than most runs"
        new = len(set(entry.images) - set(main.images))
        if not new:
            return f"it was judged on {len(entry.images)} of the {len(main.images)} images of most runs"
        return f"it was judged on {len(entry.images)} images, {new} of which are not among those of most runs"

    return largest_group(entries, lambda entry: (entry.images, entry.counts[..., 2].tobytes()), reason)


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


def settings_of_axis(entry: Entry, axis: str | None) -> dict[str, Any]:
    """Return the settings that the axis controls: its own group and tuned keys, or all if it overrides other groups."""
    if axis is None:
        return {}
    node = runs.package(axis)
    own = {key: value for key, value in entry.settings.items() if runs.owns(node, key)}
    tuned = {key: entry.settings[key] for key in runs.tuned_keys(entry.config) if key in entry.settings}
    if own or _has(entry.config, node) or axis not in entry.choices:  # an option may set nothing: regularizer=none
        return own | tuned
    return dict(entry.settings)


def _has(config: Any, node: str) -> bool:
    """Tell whether the configuration has this node, even an empty one."""
    for part in node.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True


def other_settings(entry: Entry, axis: str | None) -> dict[str, Any]:
    own = settings_of_axis(entry, axis)
    return {key: value for key, value in entry.settings.items() if key not in own}


def _check_rest(entries: Sequence[Entry], axis: str | None) -> None:
    """Make sure that most runs agree in all but the axis.

    Raises:
        ValueError: two parts of the same size do not; the message lists what they differ in.
    """
    sizes = Counter(json.dumps(other_settings(entry, axis), sort_keys=True) for entry in entries).most_common(2)
    if len(sizes) == 2 and sizes[0][1] == sizes[1][1]:
        varying = {key: values for key, values in _varying(entries).items() if key != axis}
        shown = "; ".join(f"{key}: {', '.join(values)}" for key, values in varying.items())
        raise ValueError(
            f"axis={axis}: expected runs that differ in it alone, got as many of one kind as of another ({shown}); put "
            "those of one kind into a folder of their own"
        )


def agree_on(entries: list[Entry], settings: Callable[[Entry], dict[str, Any]]) -> Kept:
    def reason(entry: Entry, main: Entry) -> str:
        mine, others = settings(entry), settings(main)
        a, b = ({key: runs.as_text(value) for key, value in some.items()} for some in (mine, others))
        keys = [key for key in sorted(a | b) if a.get(key) != b.get(key)]
        shown = ", ".join(f"{key}: {a.get(key, 'nothing')} instead of {b.get(key, 'nothing')}" for key in keys[:3])
        return f"its settings differ from those of most runs ({shown}{', ...' if len(keys) > 3 else ''})"

    return largest_group(entries, lambda entry: json.dumps(settings(entry), sort_keys=True), reason)


def _once(entries: list[Entry], axis: str | None) -> Kept:
    kept: dict[tuple[str, int], Entry] = {}
    others = []
    for entry in entries:
        first = kept.setdefault((level_of(entry, axis), entry.seed), entry)
        if first is not entry:
            others.append((entry, f"the same level and seed ({entry.seed}) as '{first.folder}'"))
    return list(kept.values()), others
