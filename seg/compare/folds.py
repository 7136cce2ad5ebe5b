"""Folds of a set as one run: every image judged by the model that was not trained on it.

What such a comparison shows: how the levels do on these images, and, of several seeds, what seeds do. What it does not
show: other training images. The training sets of two folds share most of theirs, so that the scores of folds are not
independent, and no estimate of the variance of cross validation that is made of one cross validation is unbiased:
Bengio and Grandvalet, "No unbiased estimator of the variance of K-fold cross-validation" (JMLR 2004); Nadeau and
Bengio, "Inference for the generalization error" (Machine Learning 2003). Hence folds are never taken for repetitions
here, and the report says what its intervals leave out. How much that may be is simulated in
``benchmarks/results/folds-2026-11-30.md``: of thirty images and ten seeds, 12 to 14 % of comparisons of equal learners
have a verdict that is false of other training images, and 2 % one that is false of these very models.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seg import runs
from seg.compare.evidence import Content, Entry, checked_scores, number
from seg.compare.scores import COUNTED
from seg.files import checks
from seg.metrics.catalogue import KEY
from seg.metrics.scores import calibration_error, ratio

_FOLDS, _FOLD = "data.folds", "data.fold"
_CALIBRATION = {"ece": "reliability", "ece_tempered": "reliability_tempered"}
"""Calibration errors, and the tables of ``metrics.json`` that they follow from."""


def joined(entries: Sequence[Entry]) -> tuple[list[Entry], list[tuple[Entry, str]], list[str]]:
    """Put the folds of each level and seed together; runs that are none stay as they are.

    Returns:
        Runs; those that are left out, because other folds are missing, with the reason; and what a reader must know.
    """
    kept, left_out, numbers = [], list[tuple[Entry, str]](), set[int]()
    families: dict[str, dict[int, Entry]] = defaultdict(dict)
    for entry in entries:
        fold = entry.settings.get(_FOLD)
        if not checks.is_whole(fold):
            kept.append(entry)
        elif (first := families[_family(entry)].setdefault(fold, entry)) is not entry:
            left_out.append((entry, f"the same fold ({fold}) and seed ({entry.seed}) as '{first.folder}'"))
    for folds in families.values():
        some = [folds[fold] for fold in sorted(folds)]
        if reason := _reason_against(folds):
            left_out += [(entry, reason) for entry in some]
        else:
            kept.append(_as_one(some))
            numbers.add(len(some))
    return kept, left_out, [_about(number) for number in sorted(numbers)]


def _family(entry: Entry) -> str:
    """Return what folds that belong together agree in."""
    settings = {key: value for key, value in entry.settings.items() if key != _FOLD}
    choices = {group: name for group, name in entry.choices.items() if group not in ("sweep", "until", "experiment")}
    return json.dumps([entry.seed, settings, choices], sort_keys=True)


def _reason_against(folds: Mapping[int, Entry]) -> str:
    """Say why folds cannot be put together; nothing if they can."""
    some = list(folds.values())
    wanted = some[0].settings.get(_FOLDS)
    if missing := [fold for fold in range(wanted if checks.is_whole(wanted) else 0) if fold not in folds]:
        which = f"fold{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} of {wanted}"
        return (
            f"{which} of seed {some[0].seed} {'are' if len(missing) > 1 else 'is'} missing: folds are compared together"
        )
    if any(entry.classes != some[0].classes for entry in some):
        return "the classes of its folds are not the same"
    names = [name for entry in some for name in entry.images]
    return "an image is in two of its folds" if len({*names}) < len(names) else ""


def _as_one(folds: Sequence[Entry]) -> Entry:
    """Return one run that was judged on the images of all folds."""
    first = folds[0]
    names = [name for entry in folds for name in entry.images]
    order = sorted(range(len(names)), key=lambda i: names[i])
    counts = np.concatenate([entry.counts for entry in folds])[order]
    metrics = set.intersection(*(set(entry.values) for entry in folds))
    values = {metric: np.concatenate([entry.values[metric] for entry in folds])[order] for metric in metrics}
    data = {**first.config["data"], "fold": None}
    memory = [entry.memory for entry in folds]
    calibrated = {key: table for key in _CALIBRATION if (table := _calibration(folds, key)) is not None}
    return replace(
        first,
        config={**first.config, "data": data},
        lines=(),
        settings={**first.settings, _FOLD: None},
        images=tuple(names[i] for i in order),
        counts=counts,
        values=values,
        trained_on=_together([entry.trained_on for entry in folds]),
        judged_on=_together([entry.judged_on for entry in folds]),
        validated_on=frozenset(names),
        scores=checked_scores(_means(folds) | {key: _error(table) for key, table in calibrated.items()}, counts),
        judged={
            "checkpoint": runs.LAST,
            **{k: v for k, v in (first.judged or {}).items() if k == KEY},
            **{_CALIBRATION[key]: table for key, table in calibrated.items()},
        },
        memory=max(known) if len(known := [m for m in memory if m is not None]) == len(folds) else None,
        folds=len(folds),
    )


def _means(folds: Sequence[Entry]) -> dict[str, Any]:
    """Return the scores that do not follow from counts: their means over folds, by the number of images."""
    weights = [len(entry.images) for entry in folds]
    shared = set.intersection(*(set(entry.scores) for entry in folds)) - {*COUNTED}
    values = {name: [number(entry.scores[name]) for entry in folds] for name in shared}
    return {name: float(np.average(some, weights=weights)) for name, some in values.items() if not np.isnan(some).any()}


def _calibration(folds: Sequence[Entry], error: str) -> dict[str, Any] | None:
    """Return the table of a calibration error over the pixels of all folds; None where one has none, or other bins."""
    tables = [table for entry in folds if (table := (entry.judged or {}).get(_CALIBRATION[error]))]
    if len(tables) < len(folds) or len({len(table["pixels"]) for table in tables}) > 1:
        return None
    keys = "pixels", "confidence", "accuracy"
    pixels, *means = (np.array([table[key] for table in tables], np.float64) for key in keys)
    confidence, accuracy = (ratio(np.nansum(pixels * part, axis=0), pixels.sum(0)) for part in means)
    return {"pixels": pixels.sum(0).tolist(), "confidence": confidence.tolist(), "accuracy": accuracy.tolist()}


def _error(table: Mapping[str, Any]) -> float:
    """Return the calibration error of a table."""
    pixels, *means = (np.array(table[key], np.float64) for key in ("pixels", "confidence", "accuracy"))
    return float(calibration_error(np.stack([pixels, *(np.nan_to_num(pixels * part) for part in means)], -1)))


def _together(parts: Sequence[Content]) -> Content:
    """Return the content of all parts; nothing of what one of them does not tell."""
    sizes = {name: size for part in parts for name, size in part.sizes.items()} if all(p.sizes for p in parts) else {}
    pixels = (
        {name: sums for part in parts for name, sums in part.pixels.items()} if all(p.pixels for p in parts) else {}
    )
    return Content(sizes, pixels)


def _about(folds: int) -> str:
    shared = f"any two training sets share {100 * (folds - 2) / (folds - 1):.0f} % of their images" if folds > 2 else ""
    why = f", because {shared}" if shared else ""
    return (
        f"the {folds} folds of each level and seed are put together: every image is judged by the model that was not "
        "trained on it, and levels are paired by image, fold and seed; scores that do not follow from pixels counted "
        "together are means over folds. Intervals are about new images like these, and new seeds where there are "
        f"several: what other training images would change is not in them, and cannot be learnt from folds{why} "
        "(Nadeau and Bengio 2003; Bengio and Grandvalet 2004)"
    )
