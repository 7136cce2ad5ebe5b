"""What ``seg-train`` wires: a request becomes a run, which trains itself."""

import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
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
from seg.data.source import Data, file_sizes
from seg.inference.trained import Description
from seg.metrics.catalogue import check_monitor
from seg.runs.environment import environment
from seg.tasks.building import make_objective
from seg.training.device import gpu_names, library_versions, make_fabric
from seg.training.fabric import Fabric
from seg.training.loaders import make_loaders
from seg.training.optim import parameter_groups
from seg.training.processes import broadcast_from_first, fail_together, is_first, shared_cache
from seg.training.replay import replay
from seg.training.run import Run
from seg.training.start import first_model, read_data
from seg.training.state import State

log = logging.getLogger(__name__)


def train_one(config: DictConfig) -> Path | None:
    """Train as the configuration says, from where the folder stands; return the folder of the complete run.

    None on all processes but the first, which alone knows when it is complete.
    """
    speak(is_first())
    choices = HydraConfig.get().runtime.choices
    config.name = config.name or runs.run_name(HydraConfig.get().overrides.task, choices, config.seed)
    asked = request(plain(config), choices)
    if asked.data.render is not None:
        asked.data.render()
    if runs.is_complete(asked.folder, asked.config):
        _check_still_the_same(asked)
        log.info(f"{asked.folder} is complete; remove it, or give another name=... or seed=..., to train anew")
        return asked.folder if is_first() else None
    # processes first, because reading takes long: one reads for all; the folder last, because what is refused until
    # then leaves none behind
    fabric = make_fabric(asked.device)
    data = broadcast_from_first(fabric, lambda: read(asked))
    cache = shared_cache(asked.data.cache, data, fabric)
    run = fail_together(fabric, lambda: build(asked, data, fabric, cache))
    if asked["replay"] is not None:
        replay(asked["replay"], run.state)
        return None
    about = environment(
        asked["seed"],
        asked.choices,
        asked.device.precision,
        libraries=library_versions(),
        threads=torch.get_num_threads(),
        gpus=gpu_names(),
    )
    with ExitStack() as stack:
        opened = partial(runs.opened, asked.folder, asked.config, about, data.files)
        broadcast_from_first(fabric, lambda: stack.enter_context(opened()))
        run.train(asked.folder)
    return asked.folder if is_first() else None


def read(asked: Request) -> Data:
    """Pair, split and check the images and masks of a run."""
    return read_data(asked.data, asked.folder, asked["labels"], overfit=asked.fit.overfit, few=asked.few)


def _check_still_the_same(asked: Request) -> None:
    """Refuse to call a run complete whose data have changed since."""
    try:
        train, val = asked.data.take(overfit=asked.fit.overfit, few=asked.few)
    except ValueError:  # they may have been moved away, now that nobody needs them
        return
    runs.check_pairs(asked.folder, {"train": file_sizes(train), "val": file_sizes(val)})


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
