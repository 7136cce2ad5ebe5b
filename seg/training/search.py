"""A search for the best options of a run: trials, judged by what they come to, the hopeless ones not to their end.

A trial is a run, and all that is known of it is read from its folder. So a search that was cut off comes to the same
trials, and gives up the same ones, when it is started again.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seg import runs
from seg.data.source import Source
from seg.files import checks, write_json
from seg.files.errors import Failed
from seg.report.console import say
from seg.training.run import never
from seg.training.start import check_unchanged

SEED = 10_000  # of trials; the runs that are compared begin at 0
BEST = "best.json"

STEPS = 1000
"""What optuna calls the steps of a trial: its epochs, as parts of so many of the whole run."""
FIRST, EARLIEST = 5, STEPS // 2
"""Trials that are trained to their end, whatever they promise, and the step before which none is given up."""


@dataclass(frozen=True)
class TuneOptions:
    """How options are searched for: the group ``tune``.

    Args:
        trials: for each level; 0 = none.
        share: of the training images, on which trials are judged.
        epochs: of a trial; None = as many as of the run.
        prune: end trials halfway, or later, that are behind half of those before them.
        space: what is searched, in the words of Hydra's sweeps.

    Raises:
        ValueError: another value.
    """

    trials: int = 0
    share: float = 0.25
    epochs: int | None = None
    prune: bool = True
    space: tuple[str, ...] | list[str] = ()

    def __post_init__(self) -> None:
        if self.trials != 0 or isinstance(self.trials, bool):
            checks.whole("tune.trials", self.trials, 1)
        if self.epochs is not None:
            checks.whole("tune.epochs", self.epochs, 1)
        checks.flag("tune.prune", self.prune)
        checks.share("tune.share", self.share, "the training images", least=False, most=False)


def check_possible(val: Mapping[str, Any] | None, devices: object) -> None:
    """Refuse a search whose trials would see validation images, that needs several processes, or what is not there."""
    if not (val or {}).get("images"):
        raise ValueError(
            "tune.trials: expected data.val.images, so that trials can be judged on training images alone, got a share "
            "or a list of the training images; put the validation images into folders of their own"
        )
    if devices != 1:
        raise ValueError(f"tune.trials: expected device.devices=1, got {devices!r}; tune on one")
    if find_spec("optuna") is None:
        raise ValueError("tune.trials: expected optuna, got none; pip install 'seg-toolkit[tune]'")


@contextmanager
def searching(folder: Path) -> Iterator[dict[str, Any] | None]:
    """Hold the folder of a level, at which another process may be for another seed; yield what was found there."""
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".searching"):
        found = folder / BEST
        yield json.loads(found.read_text(encoding="utf-8"))["values"] if found.is_file() else None


def check_same_images(source: Source, folder: Path, *, overfit: int | None = None) -> None:
    """Refuse values that were found with other training images than there are now.

    Args:
        source: the images of a trial.
        folder: of the trials.
    """
    for path in sorted(folder.glob(f"trial-*/{runs.PAIRS}"))[:1]:
        try:
            check_unchanged(source, path.parent, overfit=overfit, few=None)
        except ValueError as error:
            changed = str(error).partition(" got ")[2].partition(";")[0]
            raise ValueError(
                f"tune.trials: expected the training images of the trials in '{folder}', got {changed}; remove that "
                "folder to search again"
            ) from None


class Trial:
    """A trial of optuna, told what the folder of its run tells: the monitored score after each epoch."""

    def __init__(self, asked: Any) -> None:
        self.asked, self.reported = asked, 0

    def report(self, folder: Path, epochs: int) -> None:
        """Tell the scores that are new.

        Args:
            epochs: of the whole run.
        """
        record = runs.read(folder)
        for line in record.lines[self.reported :]:
            scores = {key.removeprefix("val_"): value for key, value in line.items() if key.startswith("val_")}
            if (score := goodness(record, scores)) is not None:
                self.asked.report(score, STEPS * (line["epoch"] + 1) // epochs)
        self.reported = len(record.lines)

    def give_up(self, folder: Path, epochs: int) -> bool:
        """Tell whether the pruner gives it up, see `GiveUp`."""
        self.report(folder, epochs)
        return bool(self.asked.should_prune())


def goodness(record: runs.RunRecord, scores: Mapping[str, Any]) -> float | None:
    """Return the score that a run monitors, negated where lower is better; None where it is not there, or not a number.

    Args:
        scores: by the names of ``metrics.json``.
    """
    name, _, rest = record.config["fit"]["monitor"].partition(".")
    value = scores.get(name)
    if rest and isinstance(value, Mapping):
        value = value.get(rest)
    if not checks.is_number(value) or math.isnan(value):
        return None
    return float(value) if record.config["fit"]["mode"] == "max" else -float(value)


def search(
    train: Callable[..., Path | None],
    configured: Callable[[int, dict[str, Any]], Any],
    space: Mapping[str, Callable[[Any], Any]],
    tune: TuneOptions,
    folder: Path,
) -> dict[str, Any]:
    """Train trials; write down and return the values of the best one.

    Of those that were trained to their end, it is the one with the best monitored score of the last epoch. With
    ``tune.prune`` a trial ends after an epoch at which the best of its scores so far is below the median of those that
    the trials before it had there (`optuna.pruners.MedianPruner`; what was given up does not count).

    Args:
        train: what is configured, and ``give_up`` (a `GiveUp`) -> the folder of a run.
        configured: number and values of a trial -> what ``train`` takes.
        space: key -> what asks a trial of optuna for a value.
        folder: for `BEST`.

    Raises:
        Failed: no trial could be trained.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told, complete = list[dict[str, Any]](), list[tuple[float, dict[str, Any]]]()

    def judge(asked: Any) -> float:
        trial, values = Trial(asked), {key: suggest(asked) for key, suggest in space.items()}
        trained = train(configured(asked.number, values), give_up=trial.give_up if tune.prune else never)
        assert trained is not None  # there is one process
        record = runs.read(trained)
        told.append({"values": values, **_found(record)})
        shown = ", ".join(f"{key}={_short(value)}" for key, value in values.items())
        say(f"trial {asked.number + 1}/{tune.trials}: {shown}: {_told(record)}")
        if tune.prune:
            trial.report(trained, _planned(record))
        if told[-1]["pruned"]:
            raise optuna.TrialPruned
        score = goodness(record, (record.done or {})["last"])
        complete.append((-math.inf if score is None else score, values))
        return complete[-1][0]

    pruner = optuna.pruners.MedianPruner(FIRST, EARLIEST) if tune.prune else optuna.pruners.NopPruner()
    sampler = optuna.samplers.TPESampler(seed=SEED)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(judge, n_trials=tune.trials, catch=(Failed,))
    if not complete:
        raise Failed(
            f"tune.trials: expected that one trial of {tune.trials} can be trained, got none; narrow tune.space"
        )
    _, values = max(complete, key=lambda each: each[0])
    write_json(folder / BEST, {"values": values, "trials": told})
    return values


def _planned(record: runs.RunRecord) -> int:
    """Return the epochs that a run would have had; older versions ended none before."""
    done = record.done or {}
    return int(done.get("planned_epochs", done["epochs"]))


def _found(record: runs.RunRecord) -> dict[str, Any]:
    """Return what is kept of a trial: scores of its last epoch, epochs, seconds, and whether it was given up."""
    done = record.done or {}
    score = goodness(record, done["last"])
    return {
        "monitor": record.config["fit"]["monitor"],
        "score": score if score is None or record.config["fit"]["mode"] == "max" else -score,
        "miou": record.miou,
        "epochs": done["epochs"],
        "pruned": bool(done.get("given_up")),
        "seconds": record.seconds,
    }


def _told(record: runs.RunRecord) -> str:
    """Say what a trial came to."""
    found = _found(record)
    metric, score = record.catalogue.get(found["monitor"]), found["score"]
    shown = f"{metric.title} {metric.shown(score)}" if metric else f"{found['monitor']} {score}"
    return f"{shown}, given up after {found['epochs']} of {_planned(record)} epochs" if found["pruned"] else shown


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
