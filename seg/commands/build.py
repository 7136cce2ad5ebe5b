"""What ``seg-train`` wires: a request becomes a run, which trains itself."""

import copy
import logging
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from torch import nn

from seg import runs
from seg.commands import sweep
from seg.commands.cli import instantiate, plain
from seg.commands.cli.terminal import speak
from seg.commands.request import Request, request
from seg.commands.tasks import told_run
from seg.convert.weights import with_weights
from seg.data.cache import Cache
from seg.data.source import Data
from seg.files import checks
from seg.files.clock import Stopwatch
from seg.inference.trained import Description
from seg.metrics.catalogue import check_monitor
from seg.runs.environment import environment
from seg.tasks.building import make_objective
from seg.training.device import hardware, make_fabric
from seg.training.fabric import Fabric
from seg.training.loaders import make_loaders
from seg.training.optim import parameter_groups
from seg.training.options import check_length
from seg.training.pace import Budget
from seg.training.processes import broadcast_from_first, fail_together, is_first, shared_cache
from seg.training.rehearsal import fix_steps
from seg.training.replay import replay
from seg.training.run import GiveUp, Run, never
from seg.training.start import check_unchanged, first_model, read_data
from seg.training.state import State

log = logging.getLogger(__name__)


def train_one(config: DictConfig, watch: Stopwatch | None = None, give_up: GiveUp = never) -> Path | None:
    """Train as the configuration says, from where the folder stands; return the folder of the complete run.

    None on all processes but the first, which alone knows when it is complete. ``fit.minutes`` count by ``watch``.
    """
    watch = watch or Stopwatch()
    speak(is_first())
    choices = HydraConfig.get().runtime.choices
    config.name = config.name or runs.run_name(HydraConfig.get().overrides.task, choices, config.seed)
    check_length(config.fit, HydraConfig.get().overrides.task)
    asked = request(plain(config), choices)
    if asked.data.render is not None:
        asked.data.render()
    if asked["replay"] is None and runs.is_complete(asked.folder, asked.config):
        check_unchanged(asked.data, asked.folder, overfit=asked.fit.overfit, few=asked.few)
        log.info(f"{asked.folder} is complete; remove it, or give another name=... or seed=..., to train anew")
        return asked.folder if is_first() else None
    if asked["extend"] and HydraConfig.get().mode is RunMode.RUN and not (asked.folder / runs.LAST).exists():
        checks.idle("extend", True, False, f"the name=... of a run that is there ('{asked.folder}' is none)")
    # processes first, because reading takes long: one reads for all; the folder last, because what is refused until
    # then leaves none behind
    fabric = make_fabric(asked.device)
    data = broadcast_from_first(fabric, lambda: read(asked))
    cache = shared_cache(asked.data.cache, data, fabric)
    if asked["replay"] is not None:
        replay(asked["replay"], fail_together(fabric, lambda: build(asked, data, fabric, cache)).state)
        return None
    with ExitStack() as stack, ExitStack() as until_opened:
        asked, budget = _with_steps(asked, data, fabric, cache, watch, until_opened)
        run = fail_together(fabric, lambda: build(asked, data, fabric, cache))
        about = environment(asked["seed"], asked.choices, asked.device.precision, **hardware())
        opened = partial(runs.opened, asked.folder, asked.config, about, data.files)
        broadcast_from_first(fabric, lambda: stack.enter_context(opened()))
        until_opened.close()
        replace(run, budget=budget, give_up=give_up).train(asked.folder)
    return asked.folder if is_first() else None


def _with_steps(
    asked: Request, data: Data, fabric: Fabric, cache: Cache | None, watch: Stopwatch, until_opened: ExitStack
) -> tuple[Request, Budget | None]:
    """Choose the steps of a run that has ``fit.minutes``: as it, or its sweep, has before; else by a rehearsal."""
    if asked.fit.minutes is None:
        return asked, None
    config, budget = asked.config, None

    def kept() -> int | None:
        return runs.fixed_steps(asked.folder, config, until_opened.enter_context(sweep.fixing(config)))

    if (steps := broadcast_from_first(fabric, kept)) is None:
        copied = partial(build, copy.deepcopy(asked), data, fabric, cache)
        before = runs.extended(asked.folder, config)
        steps, budget = fix_steps(lambda: fail_together(fabric, copied), watch, before=before)
    config["fit"]["steps"] = steps
    return replace(asked, fit=replace(asked.fit, steps=steps)), budget


def read(asked: Request) -> Data:
    """Pair, split and check the images and masks of a run."""
    return read_data(asked.data, asked.folder, asked["labels"], overfit=asked.fit.overfit, few=asked.few)


def build(asked: Request, data: Data, fabric: Fabric, cache: Cache | None = None) -> Run:
    """Build every object of a run; nothing asks the configuration again.

    Raises:
        ValueError: an option that a constructor refuses.
    """
    labels, seed = data.labels, asked["seed"]
    check_monitor(asked.fit.monitor, asked.fit.mode, asked.catalogue, labels.names)
    torch.manual_seed(seed)
    deferred = asked.model.given(classes=labels.classes)
    if data.reading.channels != 3:  # a model of the user's own needs not know of them
        deferred = deferred.given(in_channels=data.reading.channels)
    model_config = deferred.config

    def heads(in_channels: int) -> dict[str, nn.Module]:
        told = {name: told_run(head, labels, in_channels=in_channels) for name, head in asked.heads.items()}
        model_config["heads"] = {name: head.config for name, head in told.items()}
        return {name: head() for name, head in told.items()}

    model, normalization = first_model(
        deferred.make,
        data,
        asked.normalization,
        make_heads=heads if asked.heads else None,
        regularize=asked.regularizer,  # not in the checkpoint's model: in evaluation there is none
        sync_batchnorm=asked.device.sync_batchnorm,
        init=asked["init"],
        frozen=asked.rates.frozen,
    )
    loss = asked.loss
    if loss is None:
        loss = instantiate(with_weights(asked["loss"], data.train_counts), group="loss")
    known = {"loss": loss} | ({} if asked.box_loss is None else {"box_loss": asked.box_loss})
    tasks = {name: told_run(task.task, labels, **known)() for name, task in asked.tasks.items()}
    weights = {name: task.weight for name, task in asked.tasks.items()}
    objective = make_objective(loss, labels, asked.weighting, tasks, weights)
    about = {"normalization": normalization, "seed": seed, "cache": cache}
    loaders = make_loaders(
        data, asked.loader, asked.fit, fabric, augment=asked.augment, prepare=objective.prepare, **about
    )
    _, steps = asked.fit.length(len(loaders.batches))
    fabric.to_device(objective)
    apart = [] if (weighting := objective.weighting) is None else [(weighting, weighting.rate)]
    lr = asked.optimizer.config.get("lr")
    optimizer = asked.optimizer(parameter_groups(model, objective, lr=lr, rates=asked.rates, apart=apart))
    scheduler = asked.scheduler.told(steps=steps)(optimizer)  # torch's schedules take no steps
    more = {"average": asked.average, "compile": asked.device.compile, "seed": seed}
    return Run(
        options=asked.fit,
        data=data,
        state=State(model, objective, optimizer, scheduler, fabric, **more),
        loaders=loaders,
        pictures=asked["pictures"],
        about=Description(model_config, labels, normalization, data.reading, asked.config),
        infer=asked.inference.make,
        metrics=asked.metrics,
        catalogue=asked.catalogue,
        make_logger=asked.logger,
        extend=asked["extend"],
        told=sweep.advance,
    )
