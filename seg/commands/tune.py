"""The same number of trials for every level of a sweep, before its runs: learning rates, parameters of losses.

Trials are judged on a part of the training images, and are trained on the rest; validation images are never looked at.
They are runs like others, in ``runs/.tune``, with a seed of their own, so that a search that was cut off goes on where
it stood: the same trials come out in the same order, and those that are complete, or given up, are not trained again.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from seg import runs
from seg.commands.cli import plain
from seg.commands.cli.targets import source_of
from seg.commands.request import request
from seg.commands.sweep import paused
from seg.report.console import muted
from seg.training.search import BEST, SEED, TuneOptions, check_possible, check_same_images, search, searching

log = logging.getLogger(__name__)


def tuned(config: DictConfig, train: Callable[..., Path | None]) -> DictConfig:
    """Return the configuration with the best values of its level; the same one if none are wanted, as for two steps.

    Raises:
        ValueError: a request that makes no sense, also of the run itself, or optuna is not installed.
    """
    if config.tune.trials == 0 or config.smoke or config.replay is not None:
        return config
    cfg = plain(config)
    tune = TuneOptions(**cfg["tune"])
    check_possible(cfg["data"]["val"], cfg["device"]["devices"])
    space = _space(config)
    with muted():  # what is wrong with the run itself is to be known before hours of trials
        asked = request(plain(config), HydraConfig.get().runtime.choices)
        if asked.data.render is None:
            asked.data.pairs()
    folder, trial = Path(str(config.runs), ".tune", runs.level(cfg)), partial(_trial, config)
    with searching(folder) as best, paused():
        if best is None:
            best = search(train, partial(trial, folder), space, tune, folder)
        else:
            check_same_images(source_of(plain(trial(folder, 0, {}))["data"]), folder, overfit=cfg["fit"]["overfit"])
    log.info(f"tuned: {', '.join(f'{key}={value}' for key, value in best.items())}, of {folder / BEST}")
    return _with(config, best)


def _space(config: DictConfig) -> dict[str, Callable[[Any], Any]]:
    """Return, by key, what asks a trial of optuna for a value.

    Raises:
        ValueError: a text that is no such thing, or no key that this run has.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    found, missing = {}, []
    for text in config.tune.space:
        try:
            (override,) = OverridesParser.create().parse_overrides([str(text)])
            suggest = _suggestion(override)
        except (OverrideParseException, ValueError):
            raise ValueError(
                "tune.space: expected KEY=interval(LOW,HIGH), KEY=tag(log,interval(LOW,HIGH)) or KEY=choice(A,B), "
                f"got '{text}'; change it"
            ) from None
        key = override.get_key_element()
        if OmegaConf.select(config, key, default=...) is ...:
            missing.append(key)
        else:
            found[key] = suggest
    if not found:
        shown = f"{', '.join(missing)}, which this run lacks" if missing else "none"
        raise ValueError(f"tune.space: expected keys of the configuration, got {shown}; give such as optimizer.lr")
    if missing:
        log.warning(f"tune.space: this run has no {', '.join(missing)}; the trials are for {', '.join(found)}")
    return found


def _suggestion(override: Any) -> Callable[[Any], Any]:
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, QuotedString

    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep) and value.start is not None and value.end is not None:
        low, high, log = value.start, value.end, "log" in value.tags
        if not low < high or (log and low <= 0):
            raise ValueError
        if isinstance(low, int) and isinstance(high, int):
            return lambda trial: trial.suggest_int(key, low, high, log=log)
        return lambda trial: trial.suggest_float(key, low, high, log=log)
    if isinstance(value, ChoiceSweep):
        texts = [each.text if isinstance(each, QuotedString) else each for each in value.list]
        return lambda trial: trial.suggest_categorical(key, texts)
    raise ValueError


def _trial(config: DictConfig, folder: Path, number: int, values: dict[str, Any]) -> DictConfig:
    """Return the configuration of a trial's run."""
    changed: dict[str, Any] = {
        "runs": str(folder),
        "name": f"trial-{number:03}",
        "seed": SEED,
        "logger": None,
        "pictures": 0,
        "extend": False,
        "fit.probabilities": None,
        "tune.trials": 0,
        "sweep.test": None,
        "data.val.images": None,
        "data.val.masks": None,
        "data.val.instances": None,
        "data.val.list": None,
        "data.val_share": config.tune.share,
        **({"fit.epochs": config.tune.epochs, "fit.steps": None, "fit.minutes": None} if config.tune.epochs else {}),
    }
    return _with(config, values | changed)


def _with(config: DictConfig, values: dict[str, Any]) -> DictConfig:
    copy = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    assert isinstance(copy, DictConfig)
    for key, value in values.items():
        OmegaConf.update(copy, key, value)
    return copy
