"""What ``seg-train`` wires: a request becomes a run, which trains itself."""

import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric import Fabric
from omegaconf import DictConfig
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from seg import models, runs, training
from seg.commands import sweep
from seg.commands.cli import instantiate, plain
from seg.commands.cli.targets import Deferred
from seg.commands.cli.terminal import speak
from seg.commands.request import Request, request
from seg.convert.weights import with_weights
from seg.data.batches import EvaluationBatches, TrainBatches, make_loader
from seg.data.cache import Cache
from seg.data.dataset import SegmentationDataset
from seg.data.pairs.folders import check_apart
from seg.data.sampling import sampling_weights
from seg.data.source import Data, file_sizes
from seg.inference.trained import Description
from seg.labels import LabelMap
from seg.losses import WeightedSum
from seg.losses.weighting import Fixed
from seg.metrics.catalogue import check_monitor
from seg.runs.environment import environment
from seg.tasks.building import class_indices
from seg.tasks.objective import SEGMENTATION, MultiTask, Segmentation
from seg.training.device import gpu_names, library_versions, make_fabric
from seg.training.optim import parameter_groups
from seg.training.pictures import ValidationPictures
from seg.training.processes import broadcast_from_first, fail_together, is_first, shared_cache
from seg.training.replay import replay
from seg.training.resume import kept_reading
from seg.training.run import Run
from seg.training.start import first_normalization, take_weights, tell_regularizers, with_encoder_file

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
        replay(asked["replay"], run.state, run.objective)
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
    """Pair, split and check the images and masks of a run, which may be one that goes on."""
    pairs = asked.data.take(overfit=asked.fit.overfit, few=asked.few)
    check_apart(asked.folder, asked.data.folders, "runs")
    runs.check_pairs(asked.folder, {"train": file_sizes(pairs[0]), "val": file_sizes(pairs[1])})
    labels = asked.data.load_labels(asked["labels"])
    return asked.data.read(pairs, labels, kept_reading(asked.data.reading, asked.folder))


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
    check_monitor(asked.fit.monitor, asked.fit.mode, asked.catalogue, data.labels.names)
    torch.manual_seed(asked["seed"])
    model, about = _first_model(asked, data)
    objective = _objective(asked, data)
    dataset = partial(
        SegmentationDataset,
        classes=data.labels.classes,
        mean=about.normalization[0],
        std=about.normalization[1],
        reading=data.reading,
        seed=asked["seed"],
        cache=cache,
    )
    share = {"rank": fabric.global_rank, "world": fabric.world_size}
    options = asked.loader
    batches = TrainBatches(
        len(data.train),
        batch=options.batch,
        seed=asked["seed"],
        accumulate=asked.fit.accumulate,
        weights=sampling_weights(options.sampler, options.repeat_below, data.train_counts),
        **share,
    )
    epochs, steps = asked.fit.length(len(batches))
    # nothing prepared for validation: maps of whole images would fill the shared memory, and it waits anyway
    training_set = dataset(data.train, transform=asked.augment, epochs=epochs, prepare=objective.prepare)
    crop = getattr(asked.augment, "crop_size", None) or max(data.train_sizes)
    val_batch = options.validation_batch(crop, data.val_sizes, world=fabric.world_size)
    loader = partial(make_loader, workers=options.workers, device=fabric.device, fabric=fabric)
    train_loader = loader(training_set, batches)
    val_loader = loader(dataset(data.val), EvaluationBatches(data.val_sizes, batch=val_batch, **share))
    fabric.to_device(objective)
    infer = asked.inference.make
    drawn = (data.val, asked["pictures"], data.labels, about.normalization, data.reading, fabric.device, infer)
    return Run(
        options=asked.fit,
        data=data,
        state=_state(asked, model, objective, fabric, steps),
        objective=objective,
        batches=batches,
        train_loader=train_loader,
        val_loader=val_loader,
        pictures=ValidationPictures(*drawn),
        about=about,
        infer=infer,
        metrics=asked.metrics,
        catalogue=asked.catalogue,
        make_logger=asked.logger,
        extend=asked["extend"],
        told=sweep.advance,
    )


def _first_model(asked: Request, data: Data) -> tuple[nn.Module, Description]:
    """Build the model with its heads, regularizers and first weights; say what checkpoints say of it."""
    deferred = asked.model.given(classes=data.labels.classes)
    if data.reading.channels != 3:  # a model of the user's own needs not know of them
        deferred = deferred.given(in_channels=data.reading.channels)
    encoder, path = deferred.config.get("encoder_name", ""), deferred.config.get("encoder_weights")
    normalization = first_normalization(asked.normalization, data, encoder, path)
    if deferred.make.func is models.build and models.is_file(path):
        model = with_encoder_file(deferred.make, str(path), normalization)
    else:
        model = deferred()
    model_config = deferred.config
    if asked.tasks:
        known = {"in_channels": models.features_of(model)}
        heads = {name: _told(task.head, data.labels, **known) for name, task in asked.tasks.items()}
        model = models.WithHeads(model, {name: head() for name, head in heads.items()})
        model_config = {**model_config, "heads": {name: head.config for name, head in heads.items()}}
    if asked.device.sync_batchnorm:  # before regularizers find their places among the normalisations
        model = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if asked.regularizer is not None:  # not in the checkpoint's model: in evaluation there is none
        model = asked.regularizer(model)
    tell_regularizers(model)
    if asked["init"] is not None:
        normalization = take_weights(asked["init"], model, data.labels, data.reading) or normalization
    return model, Description(model_config, data.labels, normalization, data.reading, asked.config)


def _objective(asked: Request, data: Data) -> Segmentation | MultiTask:
    """Build what is minimised: the loss, its terms weighed, or the loss and those of further tasks."""
    loss, classes = asked.loss, data.labels.classes
    if loss is None:
        loss = instantiate(with_weights(asked["loss"], data.train_counts), group="loss")
    if not asked.tasks:
        weighting = asked.weighting(list(loss.terms) if isinstance(loss, WeightedSum) else [SEGMENTATION])
        return Segmentation(loss, classes, None if type(weighting) is Fixed else weighting)
    known = {} if asked.box_loss is None else {"box_loss": asked.box_loss}
    tasks = {name: _told(task.task, data.labels, **known)() for name, task in asked.tasks.items()}
    weights = {name: task.weight for name, task in asked.tasks.items()}
    return MultiTask(Segmentation(loss, classes), tasks, asked.weighting([SEGMENTATION, *tasks]), weights)


def _told(deferred: Deferred, labels: LabelMap, **known: Any) -> Deferred:
    """Tell a head or a task what it takes of what only a run knows."""
    deferred = deferred.told(classes=labels.classes, names=labels.names, **known)
    if (countable := deferred.config.get("countable")) is None:
        return deferred
    return deferred.given(countable=class_indices(countable, labels.names))


def _state(
    asked: Request, model: nn.Module, objective: Segmentation | MultiTask, fabric: Fabric, steps: int
) -> training.State:
    """Build what moves on in a run of so many steps."""
    apart = [] if (weighting := objective.weighting) is None else [(weighting, weighting.rate)]
    lr = asked.optimizer.config.get("lr")
    optimizer = asked.optimizer(parameter_groups(model, objective, lr=lr, rates=asked.rates, apart=apart))
    return training.State(
        model,
        objective,
        optimizer,
        asked.scheduler.told(steps=steps)(optimizer),  # torch's schedules take no steps
        fabric,
        average=asked.average,
        compile=asked.device.compile,
        seed=asked["seed"],
    )
