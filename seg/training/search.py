"""A search for the best options of a run: trials, judged by what they come to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seg import runs
from seg.files import checks, write_json
from seg.files.errors import Failed
from seg.report.console import say
from seg.report.tables import percent

SEED = 10_000  # of trials; the runs that are compared begin at 0
BEST = "best.json"


@dataclass(frozen=True)
class TuneOptions:
    """How options are searched for: the group ``tune``.

    Args:
        trials: for each level; 0 = none.
        share: of the training images, on which trials are judged.
        epochs: of a trial; None = as many as of the run.
        space: what is searched, in the words of Hydra's sweeps.

    Raises:
        ValueError: another value.
    """

    trials: int = 0
    share: float = 0.25
    epochs: int | None = None
    space: tuple[str, ...] | list[str] = ()

    def __post_init__(self) -> None:
        if self.trials != 0 or isinstance(self.trials, bool):
            checks.whole("tune.trials", self.trials, 1)
        if self.epochs is not None:
            checks.whole("tune.epochs", self.epochs, 1)
        checks.share("tune.share", self.share, "the training images", least=False, most=False)


def check_apart(val: Mapping[str, Any] | None, devices: object) -> None:
    """Refuse a search whose trials would see validation images, or that would need several processes."""
    if not (val or {}).get("images"):
        raise ValueError(
            "tune.trials: expected data.val.images, so that trials can be judged on training images alone, got a share "
            "or a list of the training images; put the validation images into folders of their own"
        )
    if devices != 1:
        raise ValueError(f"tune.trials: expected device.devices=1, got {devices!r}; tune on one")


def search(
    train: Callable[[int, dict[str, Any]], Path | None],
    space: Mapping[str, Callable[[Any], Any]],
    trials: int,
    folder: Path,
) -> None:
    """Train trials, and write down the values of the best one.

    Args:
        train: number and values of a trial -> the folder of its run.
        space: key -> what asks a trial of optuna for a value.
        folder: for `BEST`.

    Raises:
        Failed: no trial could be trained.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told: list[dict[str, Any]] = []

    def judge(trial: Any) -> float:
        values = {key: suggest(trial) for key, suggest in space.items()}
        trained = train(trial.number, values)
        assert trained is not None  # there is one process
        record = runs.read(trained)
        score = float((record.done or {})["last"]["miou"] or 0.0)
        told.append({"values": values, "miou": score, "seconds": record.seconds})
        shown = ", ".join(f"{key}={_short(value)}" for key, value in values.items())
        say(f"trial {trial.number + 1}/{trials}: {shown}: mIoU {percent(score)} %")
        return score

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    study.optimize(judge, n_trials=trials, catch=(Failed,))
    if not told:
        raise Failed(f"tune.trials: expected that one trial of {trials} can be trained, got none; narrow tune.space")
    write_json(folder / BEST, {"values": max(told, key=lambda each: each["miou"])["values"], "trials": told})


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
