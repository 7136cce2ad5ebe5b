"""The same number of trials for every level of a sweep, before its runs: learning rates, parameters of losses.

Trials are judged on a part of the training images, and are trained on the rest; validation images are never looked at.
They are runs like others, in ``runs/.tune``, with a seed of their own, so that a search that was cut off goes on where
it stood: the same trials come out in the same order, and those that are complete are not trained again.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seg import runs
from seg.commands.cli import plain
from seg.commands.sweep import paused
from seg.files import write_json
from seg.files.errors import Failed
from seg.report.tables import percent

log = logging.getLogger(__name__)

_SEED = 10_000  # of trials; those that are compared begin at 0
_BEST = "best.json"

Train = Callable[[DictConfig], Path | None]


def tuned(config: DictConfig, train: Train) -> DictConfig:
    """The configuration with the best values that were found for its level; the same one if none are looked for.

    Raises:
        ValueError: a request that makes no sense, or optuna is not installed.
    """
    if config.tune.trials == 0:
        return config
    cfg = plain(config)
    _check(cfg)
    space = _space(config)
    try:
        from filelock import FileLock
        from optuna.trial import Trial  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError("tune.trials: expected optuna, got none; pip install 'seg-toolkit[tune]'") from None
    settings = {key: value for key, value in runs.settings(cfg).items() if key != "seed"}
    level = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:10]
    folder = Path(str(config.runs), ".tune", level)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".searching"):  # another process may be at the same level for another seed
        if not (folder / _BEST).is_file():
            with paused():
                _search(config, space, train, folder)
    best = json.loads((folder / _BEST).read_text(encoding="utf-8"))
    return _with(config, best["values"])


def _check(cfg: dict[str, Any]) -> None:
    tune = cfg["tune"]
    for key, value, least in (("trials", tune["trials"], 1), ("epochs", tune["epochs"] or 1, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"tune.{key}: expected a whole number of at least {least}, got {value!r}; give one")
    share = tune["share"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(
            f"tune.share: expected a share of the training images, between 0 and 1, got {share!r}; give one"
        )
    if not (cfg["data"]["val"] or {}).get("images"):
        raise ValueError(
            "tune.trials: expected data.val.images, so that trials can be judged on training images alone, got a share "
            "or a list of the training images; put the validation images into folders of their own"
        )
    if cfg["device"]["devices"] != 1:
        raise ValueError(f"tune.trials: expected device.devices=1, got {cfg['device']['devices']!r}; tune on one")


def _space(config: DictConfig) -> dict[str, Callable[[Any], Any]]:
    """Key -> what asks a trial of optuna for a value.

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
        if OmegaConf.select(config, key) is None:
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


def _search(config: DictConfig, space: dict[str, Callable[[Any], Any]], train: Train, folder: Path) -> None:
    """Train the trials, and write down the best."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told: list[dict[str, Any]] = []

    def judge(trial: Any) -> float:
        values = {key: suggest(trial) for key, suggest in space.items()}
        trained = train(_trial(config, values, folder, trial.number))
        assert trained is not None  # there is one process
        record = runs.read(trained)
        score = float((record.done or {})["last"]["miou"] or 0.0)
        told.append({"values": values, "miou": score, "seconds": record.seconds})
        shown = ", ".join(f"{key}={_short(value)}" for key, value in values.items())
        print(f"trial {trial.number + 1}/{config.tune.trials}: {shown}: mIoU {percent(score)} %", flush=True)
        return score

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=_SEED))
    study.optimize(judge, n_trials=config.tune.trials, catch=(Failed,))
    if not told:
        raise Failed(
            f"tune.trials: expected that one trial of {config.tune.trials} can be trained, got none; narrow tune.space"
        )
    write_json(folder / _BEST, {"values": max(told, key=lambda each: each["miou"])["values"], "trials": told})


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _trial(config: DictConfig, values: dict[str, Any], folder: Path, number: int) -> DictConfig:
    """The run of a trial."""
    changed: dict[str, Any] = {
        "runs": str(folder),
        "name": f"trial-{number:03}",
        "seed": _SEED,
        "logger": None,
        "pictures": 0,
        "tune.trials": 0,
        "sweep.test": None,
        "data.val.images": None,
        "data.val.masks": None,
        "data.val.instances": None,
        "data.val.list": None,
        "data.val_share": config.tune.share,
        **({"fit.epochs": config.tune.epochs} if config.tune.epochs else {}),
    }
    return _with(config, values | changed)


def _with(config: DictConfig, values: dict[str, Any]) -> DictConfig:
    copy = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    assert isinstance(copy, DictConfig)
    for key, value in values.items():
        OmegaConf.update(copy, key, value)
    return copy
