"""Options that have no effect in a request, because of what stands beside them.

A line of `NEEDS` says what options of a command need, and whether it is there; those of the command line are held
against it, where they are not as they are by default. A sweep is not: an option may be for some of its runs.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from seg.files import checks

_SHARED_OUT = "a validation set that is a share of the training pairs (no data.val.images, no data.val.list)"

_OF_A_RUN = "best.pt or last.pt of a run"


def _is_shared_out(config: Any) -> bool:
    others = [(config.data.get(part) or {}).get(key) for part in ("val", "test") for key in ("images", "list")]
    return config.get("images") is None and not any(others)


def _is_a_share(config: Any) -> bool:
    return _is_shared_out(config) and config.data.get("folds") is None


def _counts_objects(config: Any) -> bool:
    return bool({*(config.get("task") or ())} - {"auxiliary"})


def _has(key: str) -> Callable[[Any], bool]:
    return lambda config: config[key] is not None


def _is_exported(checkpoint: Any) -> bool:
    files = [checkpoint] if isinstance(checkpoint, str) else checkpoint
    return all(Path(str(file)).suffix.lower() in (".onnx", ".pt2") for file in files)


NEEDS: dict[str, list[tuple[Sequence[str], str, Callable[[Any], Any]]]] = {
    "train": [
        (["fit.epochs"], "fit.steps=null", lambda config: config.fit.steps is None),
        (["sweep.equal"], "fit.minutes", lambda config: config.fit.minutes is not None),
        (["sweep.equal"], "a sweep", lambda _: False),
        (["fit.freeze_norm"], "fit.freeze", lambda config: config.fit.freeze),
        (["loader.repeat_below"], "loader.sampler=repeat", lambda config: config.loader.sampler == "repeat"),
        (["tune.share", "tune.epochs", "tune.prune", "tune.space"], "tune.trials", lambda config: config.tune.trials),
        (["data.val_share"], f"{_SHARED_OUT} without data.folds", _is_a_share),
        (["data.split_seed"], _SHARED_OUT, _is_shared_out),
        (["data.train.instances", "data.val.instances"], "task=boxes", _counts_objects),
        (["data.test.images", "data.test.masks", "data.test.list"], "seg-audit", lambda _: False),
        (["budget"], "until=settled", lambda config: config.get("until")),
        (["seeds"], "a sweep", lambda _: False),
    ],
    "evaluate": [
        (["inference", "device", "trust", "temperature_images", "temperature_masks"], "checkpoint", _has("checkpoint")),
        (["trust"], _OF_A_RUN, lambda config: not _is_exported(config.checkpoint)),
        (["pictures"], "images", lambda config: config.checkpoint is not None or config.images is not None),
        (["tolerances"], "metric=boundaries", lambda config: {"boundaries", "errors"} & {*config.metric}),
        (["surface"], "metric=boundaries", lambda config: "boundaries" in config.metric),
        (["sizes"], "metric=components", lambda config: "components" in config.metric),
    ],
    "predict": [
        (["image_template"], "a folder of images", lambda config: Path(str(config.images)).is_dir()),
        (["trust"], _OF_A_RUN, lambda config: not _is_exported(config.checkpoint)),
        (["number", "labelled"], "rank=true", lambda config: config.rank),
    ],
    "diagnose": [
        (["classes", "regularizer"], "model", lambda config: config.checkpoint is None),
        (["trust"], "checkpoint", _has("checkpoint")),
    ],
    "plan": [
        (
            ["data", "labels", "device", "workers", "encoder_name", "encoder_weights", "max_pixels"],
            "measured=null",
            lambda config: config.measured is None,
        ),
        (["data.test.images", "data.test.masks", "data.test.list"], "seg-audit", lambda _: False),
    ],
    "audit": [
        (["number", "tolerance", "least", "masks_destination", "corrected", "write"], "suspects", _has("suspects")),
        (["json", "read", "threads"], "suspects=null", lambda config: config.suspects is None),
        (["data.val_share"], f"{_SHARED_OUT} without data.folds", _is_a_share),
        (["data.split_seed", "data.folds", "data.fold"], _SHARED_OUT, _is_shared_out),
        (["data.train.instances", "data.val.instances", "data.cache"], "seg-train", lambda _: False),
    ],
}


def check_idle(config: DictConfig, conf: Path, name: str) -> None:
    """Refuse options of the command line without effect.

    Args:
        conf: the configuration folder.
        name: of the command's file in it.

    Raises:
        ValueError: the message names the option and what it needs.
    """
    words = HydraConfig.get().overrides.task
    typed = {match[1]: match[2] for text in words if (match := re.match(r"\+{0,2}([\w.]+)=(.*)", text))}
    for keys, needed, there in NEEDS.get(name, []):
        for key in [word for word in typed if any(f"{word}.".startswith(f"{each}.") for each in keys)]:
            if OmegaConf.select(config, key) != _default(conf, name, key) and not there(config):
                checks.idle(key, typed[key], None, needed)
    for key, value in typed.items():
        _check_rate(config, key, value)


def _default(conf: Path, name: str, key: str) -> Any:
    """Return what an option is by default, by the file of the command or of the chosen group; None if none says."""
    group, _, option = key.partition(".")
    chosen = HydraConfig.get().runtime.choices.get(group)
    for path, part in ((conf / f"{name}.yaml", key), (conf / group / f"{chosen}.yaml", option)):
        if part and path.is_file():
            declared = OmegaConf.select(OmegaConf.create(yaml.safe_load(path.read_text(encoding="utf-8"))), part)
            if declared is not None:
                return declared
    return None


def _check_rate(config: DictConfig, key: str, value: str) -> None:
    """Refuse an option of what never happens, ``augment.blur.sigma`` beside ``augment.blur.p=0``, or never counts."""
    part, _, option = key.rpartition(".")
    rates = {"augment": ["p"], "regularizer": ["p", "beta"]}.get(key.partition(".")[0], [])
    for rate in rates:
        if option not in rates and part and OmegaConf.select(config, f"{part}.{rate}") == 0:
            checks.idle(key, value, None, f"{part}.{rate} above 0")
    if (term := re.match(r"loss\.terms\.(\w+)\.", key)) and OmegaConf.select(config, f"loss.weights.{term[1]}") == 0:
        checks.idle(key, value, None, f"loss.weights.{term[1]} above 0")
