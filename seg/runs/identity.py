"""Which run it is: its name, and whether a folder holds this run or another one."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seg.runs.records import CONFIG, DONE, LAST, PROBABILITIES, read_config

CHOICES = ("data", "model", "loss")
"""Groups that stand in every run's name; others stand there when the command line chose them."""

MACHINE = (
    "runs",
    "name",
    "pictures",
    "logger",
    "metric",
    "sweep",
    "seeds",
    "until",
    "budget",
    "data.cache",
    "data.render.destination",
    "loader.val_batch",
    "loader.workers",
    "license",  # changes no number, where "seed", which is not here, changes all
    "max_pixels",
    "extend",
    "device.accelerator",
    "device.devices",
    "fit.save_every",
    "smoke",
    "replay",
    "fit.probabilities",
)
"""Keys that may change between an interrupted run and its resumption: they say where, not what."""


_MOVED = {
    "seg.averaging.": "seg.training.averaging.",
    "seg.boxes.": "seg.tasks.boxes.",
    "seg.commands._sweep.": "seg.commands.sweep.",
    "seg.commands._tracking.": "seg.training.trackers.",
    "seg.synthetic.write_dataset": "seg.synthetic.Rendering",
    "seg.optim.": "seg.training.optim.",
    "seg.training.constant": "seg.training.optim.constant",
    "seg.training.cosine": "seg.training.optim.cosine",
    "seg.weighting.": "seg.losses.weighting.",
}
"""Beginnings of targets in the configurations of older runs, and what they are today."""


_SINCE = {
    "augment.crop.wanted": 0.0,
    "data.exif": "apply",
    "data.fold": None,
    "data.folds": None,
    "data._target_": "seg.data.source.Source",
    "data.instance_template": "{}",
    "data.test._target_": "seg.data.source.Part",
    "data.train._target_": "seg.data.source.Part",
    "data.val._target_": "seg.data.source.Part",
    "device.compile": False,
    "device.deterministic": False,
    "device.sync_batchnorm": False,
    "device._target_": "seg.training.device.DeviceOptions",
    "fit.accumulate": 1,
    "fit.freeze": 0,
    "fit.freeze_norm": True,
    "fit.keep": 1,
    "fit.minutes": None,
    "fit.mode": "max",
    "fit.monitor": "miou",
    "fit.overfit": None,
    "fit.patience": None,
    "fit.skip": 0,
    "fit.steps": None,
    "inference._target_": "seg.inference.whole",
    "loader._target_": "seg.data.batches.LoaderOptions",
    "loader.repeat_below": 0.5,
    "loader.sampler": None,
    "normalization._target_": "seg.training.start.NormalizationOptions",
    "normalization.mean": None,
    "normalization.std": None,
    "rates._target_": "seg.training.optim.RateOptions",
    "rates.encoder": 1.0,
    "rates.frozen": 0.0,
    "rates.layer_decay": 1.0,
    "scheduler.warmup": 0.0,
    "tune.epochs": None,
    "tune.share": 0.25,
    "tune.space": ["optimizer.lr=tag(log,interval(1e-4,1e-2))"],
    "tune.trials": 0,
    "weighting._target_": "seg.losses.weighting.Fixed",
}
"""Defaults for keys that older configurations lack."""


def run_name(overrides: Sequence[str], choices: Mapping[str, str], seed: int) -> str:
    """Make a slug of choices and seed, free of ``= , /`` and of time; other settings are told apart by a short hash."""
    groups = {key: value for key, value in choices.items() if not key.startswith("hydra")}
    given = dict(o.lstrip("+~").partition("=")[::2] for o in overrides)
    named = [key for key in groups if key in CHOICES or (key in given and key not in MACHINE)]
    named.sort(key=lambda key: (CHOICES.index(key) if key in CHOICES else len(CHOICES), key))
    words = [groups[key] for key in named if groups[key] not in (None, "null", "folders")]
    free = ("seed", "hydra", "data.fold", *MACHINE)  # seed and fold stand in the name
    keys = {override: override.lstrip("+~").partition("=")[0] for override in overrides}
    rest = sorted(o for o in overrides if keys[o] not in groups and not any(owns(node, keys[o]) for node in free))
    if given.get("data.fold", "null") != "null":
        words.append(f"fold{given['data.fold']}")
    slug = "-".join([*words, f"seed{seed}"])
    if rest:
        slug += "-" + hashlib.sha256("\n".join(rest).encode()).hexdigest()[:6]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", slug)


LENGTHS = ("fit.epochs", "fit.steps", "fit.minutes")
"""Keys that say how long a run is, each in its own way."""


def is_complete(folder: Path, config: Mapping[str, Any]) -> bool:
    """Tell whether this run has been trained to its end; ``extend`` moves the end to more epochs.

    Raises:
        ValueError: the folder holds a run of another configuration, or a complete one without the probabilities that
            are asked for.
    """
    if not ((folder / CONFIG).exists() and (folder / LAST).exists()):
        return False  # nothing to lose: even a run that never saved may be started with other settings
    recorded = read_config(folder / CONFIG)
    before, now = map(_wanted, (recorded, config))
    before = {key: value for key, value in _SINCE.items() if key in now} | before
    changed = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    if len(changed) == 1 and (length := changed[0]) in LENGTHS and _is_more(now[length], before[length]):
        if config.get("extend"):
            return False
        raise ValueError(
            f"{length}: expected {before[length]}, which the run in '{folder}' has, got {now[length]}; extend=true "
            "trains it on, another name=... trains anew"
        )
    if changed:
        shown = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ValueError(
            f"'{folder}' holds a run of another configuration ({shown}{more}); give another name=..., or remove the "
            "folder to start again"
        )
    complete = (folder / DONE).exists()
    if complete and (kind := (config.get("fit") or {}).get("probabilities")):
        kept = (recorded.get("fit") or {}).get("probabilities", kind)
        if kept != kind or not (folder / PROBABILITIES).exists():
            raise ValueError(
                f"fit.probabilities: expected a run that keeps them, got '{folder}', which is complete with "
                f"{kept if (folder / PROBABILITIES).exists() else 'none'}; remove the folder to train it again, give "
                "another name=... or runs=..., or leave it out"
            )
    return complete


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings that may explain the result of a run, by dotted key: not where, or on which machine, it ran.

    Keys that an older version lacked have the value that it worked by.
    """
    return _SINCE | _wanted(config)


def level(config: Mapping[str, Any]) -> str:
    """Return what tells settings apart but for the seed, in ten characters."""
    found = {key: value for key, value in settings(config).items() if key != "seed"}
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()[:10]


def tuned_keys(config: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys that were tuned for each level of a sweep before its runs."""
    tune = config.get("tune") or {}
    return [str(text).partition("=")[0] for text in tune.get("space", ())] if tune.get("trials") else []


def differences(choices: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Find what some runs differ in.

    Args:
        choices: of each run, the chosen option of each group.
        settings: of each run, see `settings`.

    Returns:
        Group or dotted key -> value of each run, as text; not the keys of a group that is among them.
    """
    varying: dict[str, list[str]] = {}
    keys = sorted({key for some in settings for key in some})
    for group in sorted({group for some in choices for group in some}):
        node = package(group)
        of_group = any(owns(node, key) for key in keys) and not any(owns(package(other), node) for other in varying)
        if of_group and len(set(values := [as_text(some.get(group)) for some in choices])) > 1:
            varying[group] = values
    for key in keys:
        values = [as_text(some.get(key)) for some in settings]
        if len(set(values)) > 1 and not any(owns(package(group), key) for group in varying):
            varying[key] = values
    return varying


def package(group: str) -> str:
    """Return the node of the configuration that a group fills: ``loss.terms.region`` for ``loss@loss.terms.region``."""
    return group.partition("@")[2] or group.replace("/", ".")


def owns(node: str, key: str) -> bool:
    """Tell whether a dotted key is this node, or below it."""
    return key == node or key.startswith(f"{node}.")


def as_text(value: Any) -> str:
    """Show a value of the configuration to people."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_more(now: Any, before: Any) -> bool:
    return isinstance(now, int | float) and isinstance(before, int | float) and now > before


def _wanted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were asked for: steps that a run has chosen for its ``fit.minutes`` are none of them."""
    wanted = dict(_leaves(_comparable(config)))
    if not (wanted.get("tune.trials") and wanted.get("tune.prune")):  # as of versions that had no such thing
        wanted.pop("tune.prune", None)
    if wanted.get("fit.minutes") is not None:
        wanted["fit.steps"] = None
        wanted["sweep.equal"] = (config.get("sweep") or {}).get("equal", "steps")
    return wanted


def _comparable(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        key: _comparable(value, f"{prefix}{key}.") if isinstance(value, Mapping) else _today(key, value)
        for key, value in config.items()
        if f"{prefix}{key}" not in MACHINE
    }


def _today(key: str, value: Any) -> Any:
    if key == "_target_" and isinstance(value, str):
        for before, now in _MOVED.items():
            if value.startswith(before):
                return now + value.removeprefix(before)
    return value


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(config, Mapping):
        yield prefix.rstrip("."), config
        return
    for key, value in config.items():
        yield from _leaves(value, f"{prefix}{key}.")
