"""What a training request asks for, as objects: every part of the configuration is built once, and checks itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from seg import models, regularizers
from seg.commands.cli import instantiate
from seg.commands.cli.targets import Deferred, check_target, source_of
from seg.commands.metrics import wanted_metrics
from seg.commands.sweep import check_test, check_until
from seg.commands.tasks import FurtherTask, further_tasks
from seg.convert.weights import check_rules
from seg.data.batches import LoaderOptions
from seg.data.source import Source
from seg.files import checks
from seg.inference.heads import check_views, is_evaluated
from seg.metrics.catalogue import Metric, check_monitor, direction
from seg.metrics.wanted import Wanted, checked_catalogue
from seg.runs.card import check_license
from seg.tasks.objective import SEGMENTATION
from seg.training import FitOptions
from seg.training.device import AUTO, DeviceOptions
from seg.training.optim import RateOptions, check_plateau, parameter_groups
from seg.training.resume import settled_precision
from seg.training.smoke import SHORT, few_pairs, smoke_folder
from seg.training.start import NormalizationOptions
from seg.training.trackers import check_installed


@dataclass(frozen=True)
class Request:
    """The objects of a training request; what needs the data, or the model, is deferred.

    Attributes:
        config: all of it as plain data, for the record.
        choices: the option of each group.
        folder: of the run.
        few: training and validation pairs of a smoke test.
        catalogue: what is known of the scores of ``metrics``, and of the heads of ``tasks``.
        loss: None where it needs class weights of the training masks.
    """

    config: dict[str, Any]
    choices: Mapping[str, str]
    folder: Path
    fit: FitOptions
    data: Source
    few: tuple[int, int] | None
    loader: LoaderOptions
    device: DeviceOptions
    normalization: NormalizationOptions
    rates: RateOptions
    augment: Any
    model: Deferred
    regularizer: Deferred | None
    loss: nn.Module | None
    tasks: dict[str, FurtherTask]
    box_loss: Any
    weighting: Deferred
    optimizer: Deferred
    scheduler: Deferred
    inference: Deferred
    metrics: list[Wanted]
    catalogue: dict[str, Metric]
    average: Deferred | None
    logger: Deferred | None

    @property
    def heads(self) -> dict[str, Deferred]:
        """The heads of the tasks that have one."""
        return {name: task.head for name, task in self.tasks.items() if task.head}

    def __getitem__(self, key: str) -> Any:
        """Return a plain option of the top level, such as ``seed``."""
        return self.config[key]


def request(cfg: dict[str, Any], choices: Mapping[str, str]) -> Request:
    """Build what a configuration asks for, and refuse what cannot work, before data are read.

    Args:
        cfg: the configuration as plain data; it becomes that of the run: of a smoke test, and without ``auto``.
        choices: the option of each group.

    Raises:
        ValueError: options that are nonsense, or do not go together.
    """
    check_license(cfg["license"])
    check_test(cfg["sweep"]["test"])
    checks.file("replay", cfg["replay"], "a file that a run left when its loss was not finite")
    checks.choice("sweep.equal", cfg["sweep"]["equal"], ("steps", "minutes"))
    folder, few = Path(str(cfg["runs"]), str(cfg["name"])), None
    loader: LoaderOptions = instantiate(cfg["loader"], group="loader")
    if cfg["smoke"]:
        cfg["fit"] |= SHORT
        cfg["pictures"] = min(cfg["pictures"], 1)
    tasks = further_tasks(cfg["task"])
    metrics = wanted_metrics(cfg["metric"])
    data = source_of(cfg["data"])
    scores = checked_catalogue(metrics, loss=True, names=data.known_names(cfg["labels"])) | _of_heads(tasks)
    if cfg["fit"]["mode"] is None:
        cfg["fit"]["mode"] = direction(str(cfg["fit"]["monitor"]), scores)
    fit: FitOptions = instantiate(cfg["fit"], group="fit")
    if cfg["smoke"]:
        folder, few = smoke_folder(folder, emptied=cfg["replay"] is None), few_pairs(loader.batch, fit)
        cfg["runs"] = str(folder.parent)
    if cfg["device"]["precision"] == AUTO:
        cfg["device"]["precision"] = settled_precision(cfg["device"]["accelerator"], folder)
    for group in (name for name in ("augment", "loss", "box_loss") if name in cfg):
        check_target(cfg[group], group)
    asked = Request(
        config=cfg,
        choices=choices,
        folder=folder,
        fit=fit,
        data=data,
        few=few,
        loader=loader,
        device=instantiate(cfg["device"], group="device"),
        normalization=instantiate(cfg["normalization"], group="normalization"),
        rates=instantiate(cfg["rates"], group="rates"),
        augment=instantiate(cfg["augment"], group="augment"),
        model=Deferred(cfg["model"], "model"),
        regularizer=_deferred(cfg, "regularizer"),
        loss=None if check_rules(cfg["loss"]) else instantiate(cfg["loss"], group="loss"),
        tasks=tasks,
        box_loss=instantiate(cfg["box_loss"], group="box_loss") if "box_loss" in cfg else None,
        weighting=Deferred(cfg["weighting"], "weighting"),
        optimizer=Deferred(cfg["optimizer"], "optimizer"),
        scheduler=Deferred(cfg["scheduler"], "scheduler"),
        inference=Deferred(cfg["inference"], "inference"),
        metrics=metrics,
        catalogue=scores,
        average=_deferred(cfg, "average"),
        logger=_deferred(cfg, "logger"),
    )
    _check_together(asked)
    return asked


def _deferred(config: Mapping[str, Any], group: str) -> Deferred | None:
    return Deferred(config[group], group) if config.get(group) else None


def _try_out(asked: Request) -> None:
    """Call what is deferred for the sake of the model, with a tiny one, so that wrong options are found now.

    Raises:
        ValueError: an option that a constructor refuses.
    """
    if asked.model.make.func is models.build:
        asked.model.by(models.try_build).told(in_channels=asked.data.reading.channels)()
    if asked.regularizer is not None and asked.regularizer.make.func is regularizers.attach:
        asked.regularizer.by(regularizers.check_settings)()
    asked.weighting([SEGMENTATION])
    asked.inference(lambda images: images)
    model = nn.Linear(1, 1)
    check_plateau(asked.scheduler.told(steps=1000)(asked.optimizer(parameter_groups(model))))
    if asked.average is not None:
        asked.average(model)


def _of_heads(tasks: Mapping[str, FurtherTask]) -> dict[str, Metric]:
    """Describe the scores of those heads that are evaluated."""
    heads: list[Any] = [task.head.make.func for task in tasks.values() if task.head]
    return {metric.name: metric for head in heads if is_evaluated(head) for metric in head.metrics}


def _check_together(asked: Request) -> None:
    """Refuse options that do not go together, or that their objects would refuse once the data were read."""
    fit, cfg, channels = asked.fit, asked.config, asked.data.reading.channels
    if asked.logger is not None:
        check_installed(asked.logger.make.func)
    _try_out(asked)
    check_monitor(fit.monitor, fit.mode, asked.catalogue)
    check_until(cfg, asked.catalogue)
    for name, made in asked.heads.items():
        if is_evaluated(head := made.make.func):
            getattr(head, "check", lambda: None)()
            check_views(name, asked.inference.make)
    if (given := cfg["model"].get("in_channels", channels)) != channels:
        raise ValueError(
            f"model.in_channels: expected none, because it follows from data.bands ({channels} channels), got {given!r}"
            "; leave it out, and choose the bands"
        )
    asked.normalization.given(channels)
    if callable(check := getattr(asked.augment, "check_channels", None)):
        try:
            check(channels)
        except ValueError as error:
            raise ValueError(f"augment: {error}") from None
    if asked.average is not None and fit.steps is None and fit.freeze >= fit.epochs:
        raise ValueError(
            f"average: expected a model that is trained, got fit.freeze={fit.freeze} of {fit.epochs} epochs; "
            "lower fit.freeze, or give average=none"
        )
