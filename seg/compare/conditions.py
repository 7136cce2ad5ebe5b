"""Along which axis runs can be compared, and what they have to agree in for that."""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from seg import runs
from seg.compare.evidence import Content, Entry
from seg.compare.scores import COUNTED, class_metrics, is_counted, measure

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
    varying = runs.differences([entry.choices for entry in entries], [entry.settings for entry in entries])
    return {name: sorted(set(values)) for name, values in varying.items()}


def level_of(entry: Entry, axis: str | None) -> str:
    """Return the value of the axis, as text.

    Raises:
        ValueError: this run has no such thing.
    """
    if axis is None:
        named = [runs.as_text(entry.choices[group]) for group in ("model", "loss") if group in entry.choices]
        return "-".join(named) or "run"
    if axis in entry.choices:
        return runs.as_text(entry.choices[axis])
    if axis in entry.settings:
        return runs.as_text(entry.settings[axis])
    try:
        return runs.as_text(_node(entry.config, axis))
    except LookupError:
        raise ValueError(f"it has no {axis}") from None


def _node(config: Any, path: str) -> Any:
    """Return the node of a configuration at a dotted path; raise LookupError if there is none."""
    for part in path.split("."):
        if not isinstance(config, Mapping):
            raise LookupError(path)
        config = config[part]
    return config


def by_level(entries: Sequence[Entry], axis: str | None) -> dict[str, list[Entry]]:
    """Return the runs of each level, in their order."""
    levels: dict[str, list[Entry]] = {}
    for entry in entries:
        levels.setdefault(level_of(entry, axis), []).append(entry)
    return levels


def conditions(axis: str | None, metric: str) -> list[Callable[[list[Entry]], Kept]]:
    """Return what runs must agree in; one after the other."""

    def same_training_set(entries: list[Entry]) -> Kept:
        return _same_content(entries, lambda entry: entry.trained_on, "trained")

    def same_own_settings(entries: list[Entry]) -> Kept:
        return agree_on(entries, lambda entry: settings_of_axis(entry, axis))

    of_data = axis is not None and runs.owns("data", axis)
    return [
        lambda entries: with_axis(entries, axis),
        lambda entries: _with_metric(entries, metric),
        _same_classes,
        _same_images,
        lambda entries: _same_content(entries, lambda entry: entry.judged_on, "judged"),
        _same_targets,
        lambda entries: _same_values(entries, metric),
        _not_chosen,
        lambda entries: _each_level(entries, axis, same_own_settings),
        lambda entries: _same_other_settings(entries, axis),
        lambda entries: _each_level(entries, axis, same_training_set) if of_data else same_training_set(entries),
        lambda entries: _once(entries, axis),
    ]


def _without(entries: list[Entry], reason: Callable[[Entry], str]) -> Kept:
    """Leave out the runs that have a reason against them; it is empty for the others."""
    pairs = [(entry, reason(entry)) for entry in entries]
    return [entry for entry, text in pairs if not text], [pair for pair in pairs if pair[1]]


def with_axis(entries: list[Entry], axis: str | None, option: str = "axis") -> Kept:
    """Leave out runs that do not have the axis.

    Raises:
        ValueError: none has it; the message lists what they differ in.
    """

    def reason(entry: Entry) -> str:
        try:
            level_of(entry, axis)
        except ValueError as error:
            return str(error)
        return ""

    kept, others = _without(entries, reason)
    if others and not kept:
        shown = ", ".join(_varying(entries)) or "nothing"
        raise ValueError(f"{option}: expected a configuration group or key, got '{axis}'; these runs differ in {shown}")
    return kept, others


def _with_metric(entries: list[Entry], metric: str) -> Kept:
    if metric in COUNTED:
        return entries, []
    reason = f"it has no {metric} for each image"
    kept, others = _without(
        entries, lambda entry: "" if metric in (*entry.values, *class_metrics(entry.classes)) else reason
    )
    if entries and not (kept and all(measure(metric, entry.catalogue) for entry in kept)):
        names = {name for entry in entries for name in entry.values if measure(name, entry.catalogue)}
        of_classes = {name: None for entry in entries for name in class_metrics(entry.classes)}
        known = ", ".join([*COUNTED, *sorted(names - set(COUNTED)), *of_classes])
        raise ValueError(f"metric: expected one that the runs have ({known}), got '{metric}'; choose one")
    return kept, others


def _same_values(entries: list[Entry], metric: str) -> Kept:
    """Leave out runs whose metric is defined for other images."""
    if is_counted(metric):
        return entries, []
    reason = f"it has {metric} for other images than most runs"
    return largest_group(entries, lambda entry: np.isnan(entry.values[metric]).tobytes(), lambda *_: reason)


def largest_group(
    entries: list[Entry], key: Callable[[Entry], Hashable], reason: Callable[[Entry, Entry], str]
) -> Kept:
    """Keep the largest group of runs with the same key; on a tie, that of the first run.

    Args:
        reason: why a run is left out, given it and the first run of the group.
    """
    if not entries:
        return [], []
    (main, _), *_ = Counter(map(key, entries)).most_common(1)
    first = next(entry for entry in entries if key(entry) == main)
    return _without(entries, lambda entry: "" if key(entry) == main else reason(entry, first))


def _each_level(entries: list[Entry], axis: str | None, same: Callable[[list[Entry]], Kept]) -> Kept:
    kept, others = [], []
    for members in by_level(entries, axis).values():
        some, odd = same(members)
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
        new = len(set(entry.images) - set(main.images))
        if not new:
            return f"it was judged on {len(entry.images)} of the {len(main.images)} images of most runs"
        return f"it was judged on {len(entry.images)} images, {new} of which are not among those of most runs"

    return largest_group(entries, lambda entry: entry.images, reason)


def _same_content(entries: list[Entry], content: Callable[[Entry], Content], how: str) -> Kept:
    """Leave out runs whose files hold something else, by their pixels, or by the sizes where a run knows no more."""

    def reason(entry: Entry, main: Entry) -> str:
        mine, others = content(entry), content(main)
        both = (mine.pixels, others.pixels) if mine.pixels and others.pixels else (mine.sizes, others.sizes)
        return f"it was {how} on other {_changed(*both)} than most runs"

    known = [content(entry) for entry in entries]
    stored = {_frozen(one.sizes): _frozen(one.pixels) for one in known if one.pixels}

    def key(entry: Entry) -> Hashable:  # the same pixels may be stored in several ways
        sizes, pixels = _frozen(content(entry).sizes), _frozen(content(entry).pixels)
        return pixels or stored.get(sizes, sizes)

    _, others = largest_group([entry for entry in entries if content(entry).sizes], key, reason)
    left_out = {entry.folder for entry, _ in others}
    return [entry for entry in entries if entry.folder not in left_out], others


def _frozen(known: Mapping[str, tuple[str, ...]]) -> frozenset[tuple[str, tuple[str, ...]]]:
    return frozenset(known.items())


def _changed(mine: Mapping[str, tuple[str, ...]], others: Mapping[str, tuple[str, ...]]) -> str:
    """Say of which pairs the images, or the masks, are not the same."""
    shared = sorted(mine.keys() & others.keys())
    parts = [
        (kind, [name for name in shared if mine[name][place] != others[name][place]])
        for place, kind in enumerate(("images", "masks"))
    ]
    if mine.keys() != others.keys():
        return "images"
    return " and ".join(f"{kind} ({shown_names(names)})" for kind, names in parts if names) or "pixels"


def shown_names(names: Sequence[str]) -> str:
    """Return how many there are, and the first three."""
    return f"{len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _same_targets(entries: list[Entry]) -> Kept:
    def reason(entry: Entry, main: Entry) -> str:
        other = (entry.counts[..., 2] != main.counts[..., 2]).any(1)
        names = [name for name, differs in zip(entry.images, other, strict=True) if differs]
        return f"it was judged on the same images with other masks ({shown_names(names)}) than most runs"

    return largest_group(entries, lambda entry: entry.counts[..., 2].tobytes(), reason)


def _not_chosen(entries: list[Entry]) -> Kept:
    """Leave out checkpoints that were chosen by the images that they are judged on."""

    def reason(entry: Entry) -> str:
        checkpoint = Path(str((entry.judged or {}).get("checkpoint", runs.LAST))).name
        if checkpoint == runs.LAST or not entry.validated_on & set(entry.images):
            return ""
        return f"{checkpoint} was chosen by the images that it is judged on; judge {runs.LAST}"

    return _without(entries, reason)


def settings_of_axis(entry: Entry, axis: str | None) -> dict[str, Any]:
    """Return the settings that the axis controls: its own group and tuned keys, or all if it overrides other groups."""
    if axis is None:
        return {}
    node = runs.package(axis)
    own = {key: value for key, value in entry.settings.items() if runs.owns(node, key)}
    tuned = {key: entry.settings[key] for key in runs.tuned_keys(entry.config) if key in entry.settings}
    if own or axis not in entry.choices:
        return own | tuned
    with suppress(LookupError):  # an option may set nothing: regularizer=none
        _node(entry.config, node)
        return own | tuned
    return dict(entry.settings)


def other_settings(entry: Entry, axis: str | None) -> dict[str, Any]:
    """Return the settings that the axis does not control."""
    own = settings_of_axis(entry, axis)
    return {key: value for key, value in entry.settings.items() if key not in own}


def _same_other_settings(entries: list[Entry], axis: str | None) -> Kept:
    """Leave out runs that differ from most in more than the axis.

    Raises:
        ValueError: two parts of the same size differ; the message lists in what.
    """
    sizes = Counter(json.dumps(other_settings(entry, axis), sort_keys=True) for entry in entries).most_common(2)
    if len(sizes) == 2 and sizes[0][1] == sizes[1][1]:
        varying = {key: values for key, values in _varying(entries).items() if key != axis}
        shown = "; ".join(f"{key}: {', '.join(values)}" for key, values in varying.items())
        raise ValueError(
            f"axis={axis}: expected runs that differ in it alone, got as many of one kind as of another ({shown}); put "
            "those of one kind into a folder of their own"
        )
    return agree_on(entries, lambda entry: other_settings(entry, axis))


def agree_on(entries: list[Entry], settings: Callable[[Entry], dict[str, Any]]) -> Kept:
    """Keep the largest group of runs with the same settings."""

    def reason(entry: Entry, main: Entry) -> str:
        mine, others = settings(entry), settings(main)
        a, b = ({key: runs.as_text(value) for key, value in some.items()} for some in (mine, others))
        keys = [key for key in sorted(a | b) if a.get(key) != b.get(key)]
        shown = ", ".join(f"{key}: {a.get(key, 'nothing')} instead of {b.get(key, 'nothing')}" for key in keys[:3])
        return f"its settings differ from those of most runs ({shown}{', ...' if len(keys) > 3 else ''})"

    return largest_group(entries, lambda entry: json.dumps(settings(entry), sort_keys=True), reason)


def _once(entries: list[Entry], axis: str | None) -> Kept:
    """Leave out a second run of one level and seed."""
    seen: dict[tuple[str, int], Entry] = {}

    def reason(entry: Entry) -> str:
        first = seen.setdefault((level_of(entry, axis), entry.seed), entry)
        return "" if first is entry else f"the same level and seed ({entry.seed}) as '{first.folder}'"

    return _without(entries, reason)
