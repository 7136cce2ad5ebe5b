"""What ``seg-train`` refuses before it reads data: options that are nonsense, or do not go together."""

from collections.abc import Sequence
from typing import Any

import torch

from seg import training
from seg.commands._inference import inference_of
from seg.commands._reading import reading_of
from seg.commands.cli import instantiate
from seg.commands.sweep import check_test
from seg.data.cache import check_cache
from seg.data.sampling import check_sampler
from seg.runs.card import check_license
from seg.tasks.building import check_boxes, check_tasks, has_boxes
from seg.training.trackers import check_logger

BEST_HIGH = ("miou", "miou_i", "miou_c", "mdice", "accuracy", "boundary_iou", "boundary_f1")
BEST_LOW = ("loss", "ece")
MONITORED, BY_CLASS = BEST_HIGH + BEST_LOW, ("iou", "dice")
"""Scores of the validation of a training run: numbers, and those that hold one for each class."""
OF_BOXES = ("ap", "ap50")
"""The scores that task=boxes has besides, higher is better."""


def check_request(cfg: dict[str, Any]) -> None:
    """Refuse what cannot work, before data are read."""
    _check_whole_numbers(cfg)
    check_license(cfg["license"])
    check_logger(cfg.get("logger"))
    check_sampler(cfg["loader"])
    check_cache(cfg["data"]["cache"])
    _check_channels(cfg)
    check_tasks(cfg["task"])
    options: training.FitOptions = instantiate(cfg["fit"], group="fit")
    check_monitor(options, with_boxes=has_boxes(cfg["task"]))
    inference_of(cfg["inference"])
    if has_boxes(cfg["task"]):
        check_boxes(cfg["inference"])
    check_test(cfg["sweep"]["test"])
    if cfg["average"] and options.steps is None and options.freeze >= options.epochs:
        raise ValueError(
            f"average: expected a model that is trained, got fit.freeze={options.freeze} of {options.epochs} epochs; "
            "lower fit.freeze, or give average=none"
        )
    if options.patience is not None and options.validate_every > options.epochs and options.steps is None:
        raise ValueError(
            f"fit.patience: expected validations to wait for, got one every {options.validate_every} of "
            f"{options.epochs} epochs; lower fit.validate_every"
        )
    for key in ("compile", "deterministic", "sync_batchnorm"):
        if not isinstance(cfg["device"][key], bool):
            raise ValueError(f"device.{key}: expected true or false, got {cfg['device'][key]!r}; give one")
    if cfg["device"]["sync_batchnorm"] and not torch.cuda.is_available():
        raise ValueError(
            "device.sync_batchnorm: expected GPUs, got none; torch synchronises it on them alone: leave it out"
        )


def _check_channels(cfg: dict[str, Any]) -> None:
    """Refuse options that do not go with the bands of the images, before these are read."""
    channels = reading_of(cfg["data"]).channels
    if (given := cfg["model"].get("in_channels", channels)) != channels:
        raise ValueError(
            f"model.in_channels: expected none, because it follows from data.bands ({channels} channels), got {given!r}"
            "; leave it out, and choose the bands"
        )
    check = getattr(instantiate(cfg["augment"]), "check_channels", None)
    if callable(check):
        try:
            check(channels)
        except ValueError as error:
            raise ValueError(f"augment: {error}") from None


def check_monitor(
    options: training.FitOptions, classes: Sequence[str] | None = None, *, with_boxes: bool = False
) -> None:
    """Refuse a score that validation does not compute.

    Args:
        classes: names, once they are known.
        with_boxes: boxes are predicted too.
    """
    name, _, of = options.monitor.partition(".")
    monitored = MONITORED + (OF_BOXES if with_boxes else ())
    known = f"one of {', '.join(monitored)}, or {' or '.join(f'{by}.NAME' for by in BY_CLASS)} of a class"
    if name not in (BY_CLASS if of else monitored):
        raise ValueError(f"fit.monitor: expected {known}, got '{options.monitor}'; choose a score that is computed")
    if of and classes is not None and of not in classes:
        raise ValueError(f"fit.monitor: expected a class among {', '.join(classes)}, got '{of}'; choose one")
    best = "min" if name in BEST_LOW else "max"
    if options.mode != best:
        raise ValueError(
            f"fit.mode: expected {best} with fit.monitor={options.monitor}, got {options.mode}; give {best}"
        )


def _check_whole_numbers(cfg: dict[str, Any]) -> None:
    for key, value, least in (
        ("seed", cfg["seed"], 0),
        ("pictures", cfg["pictures"], 0),
        ("loader.batch", cfg["loader"]["batch"], 1),
        ("loader.val_batch", 1 if cfg["loader"]["val_batch"] is None else cfg["loader"]["val_batch"], 1),
        ("loader.workers", cfg["loader"]["workers"], 0),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{key}: expected a whole number of at least {least}, got {value!r}; give one")
