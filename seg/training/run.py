"""What ``seg-train`` wires: the configuration becomes built objects in one pass, and `seg.training.fit` gets them."""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric import Fabric
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader

from seg import inference, runs, training
from seg.commands._inference import inference_of
from seg.commands._memory import forget_peak, peak_memory
from seg.commands._request import check_monitor, check_request
from seg.commands.cli import instantiate, plain
from seg.commands.cli.targets import parameters
from seg.commands.cli.terminal import speak
from seg.data.batches import EvaluationBatches, TrainBatches, make_loader
from seg.data.cache import Cache, make_cache
from seg.data.dataset import SegmentationDataset
from seg.data.sampling import sampling_weights
from seg.data.source import Data, file_sizes, load_data, pair_up, render, with_weights
from seg.evaluation.evaluate import Validation, evaluate
from seg.evaluation.files import Judged, Predictions
from seg.evaluation.plots import ValidationPictures
from seg.metrics import (
    BINS,
    KINDS,
    TOLERANCE,
    TOLERANCES,
    Boundaries,
    Components,
    ErrorKinds,
    MaskMeter,
    MeanLoss,
    Meter,
    PixelCounts,
)
from seg.report.progress import track
from seg.runs.environment import environment
from seg.tasks import boxes
from seg.tasks.building import has_boxes, instances_of, make_objective
from seg.tasks.objective import MultiTask, Segmentation
from seg.training.device import AUTO, is_first, make_fabric, told_by_first, told_once
from seg.training.finish import finish
from seg.training.optim import parameter_groups
from seg.training.preflight import explained, fitting_batch, try_sizes
from seg.training.recorder import RunWatcher
from seg.training.replay import replay
from seg.training.resume import resume, settled_precision
from seg.training.signals import stop_signals
from seg.training.smoke import chosen, smoke_test
from seg.training.start import first_model

log = logging.getLogger(__name__)

_ONLY_JUDGED = {"size_iou", "size_recall", *(f"error_{kind}" for kind in KINDS)}
"""Scores that no line of an epoch has: they take long."""


@dataclass(frozen=True)
class Parts:
    """What a training run is made of.

    Attributes:
        describe: what a checkpoint says besides the state: the further arguments of `seg.inference.trained.save`.
        infer: makes of the model one for images of any size.
        make_logger: ``(log_dir, purge_step)`` -> a `seg.training.trackers.Writer`; None without one.
    """

    options: training.FitOptions
    data: Data
    state: training.State
    objective: Segmentation | MultiTask
    batches: TrainBatches
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    pictures: ValidationPictures
    describe: dict[str, Any]
    infer: Callable[[inference.Model], inference.Model]
    make_logger: Callable[..., Any] | None

    def reduce(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, on the CPU."""
        total = self.state.fabric.all_reduce(tensor, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total.cpu()

    def predict(self, images: Tensor) -> Tensor:
        """Logits of images of any size, in the precision of the run.

        By the model itself: the wrapper of several processes waits for the others at every call, and they validate on
        other numbers of batches, if any.
        """
        return self._predicted(self.state.evaluated.eval(), images)

    def _predicted(self, model: nn.Module, images: Tensor) -> Tensor:
        precision = self.state.fabric.strategy.precision
        with precision.forward_context():
            logits = self.infer(model)(precision.convert_input(images))
        converted: Tensor = precision.convert_output(logits)
        return converted

    def validate(self, stop: Callable[[], bool]) -> Validation:
        """Loss, pixel counts, boundaries, calibration and, with a head for them, boxes of the validation set; of a part
        of it after ``stop()``."""
        masks = [Boundaries(len(self.data.val), self.data.labels.classes, tolerances=[TOLERANCE])]
        return self._evaluated(masks, stop)

    def judge(self, folder: Path, stop: Callable[[], bool] = lambda: False) -> Judged:
        """All that ``seg-evaluate`` finds, and the predicted masks in the run's folder; of a part after ``stop()``."""
        names, classes = [pair.name for pair in self.data.val], self.data.labels.classes
        masks: list[MaskMeter] = [
            Boundaries(len(names), classes, tolerances=TOLERANCES),
            Components(classes),
            ErrorKinds(len(names)),
            Predictions(folder / runs.PREDICTIONS, names),
        ]
        return Judged(names, self.data.labels.names, TOLERANCES, self._evaluated(masks, stop))

    def _evaluated(self, masks: Sequence[MaskMeter], stop: Callable[[], bool]) -> Validation:
        if self.state.fabric.world_size > 1:  # the running statistics of each process are those of its own images
            models = dict.fromkeys((self.state.model, self.state.evaluated))  # in one order on all of them
            for buffer in (buffer for model in models for buffer in model.buffers()):
                torch.distributed.broadcast(buffer, 0)
        images, names = len(self.data.val), self.data.labels.names
        meters: list[Meter] = [
            MeanLoss(lambda logits, mask: self.objective.losses(logits, mask).total),
            PixelCounts(images, names, bins=BINS, masks=masks),
        ]
        predict: inference.Model = self.predict
        if (head := boxes.head_of(model := self.state.evaluated)) is not None:
            meters.append(meter := boxes.BoxMeter(images, names, head, instances_of(self.data.val)))
            predict = meter.reading(partial(self._predicted, boxes.joined(model).eval()))
        return evaluate(
            predict,
            takewhile(lambda _: not stop(), track(self.val_loader, "validation", len(self.val_loader))),
            meters,
            reduce=self.reduce,
        )


def train(config: DictConfig) -> Path | None:
    """Train as the configuration says, from where the folder stands; returns the folder of the complete run.

    None on all processes but the first, which alone knows when it is complete.
    """
    speak(is_first())
    choices = HydraConfig.get().runtime.choices
    config.name = config.name or runs.run_name(HydraConfig.get().overrides.task, choices, config.seed)
    if config.data.render is not None:
        render(plain(config.data.render))
    cfg = plain(config)
    check_request(cfg)
    folder = Path(str(cfg["runs"]), str(cfg["name"]))
    if cfg["smoke"]:
        folder = smoke_test(cfg, folder)
    if cfg["device"]["precision"] == AUTO:
        cfg["device"]["precision"] = settled_precision(cfg["device"]["accelerator"], folder)
    if runs.is_complete(folder, cfg):
        _check_still_the_same(folder, cfg)
        log.info(f"{folder} is complete; remove it, or give another name=... or seed=..., to train anew")
        return folder if is_first() else None
    device = {key: cfg["device"][key] for key in ("accelerator", "devices", "precision", "deterministic")}
    fabric = make_fabric(**device)
    data = load_data(cfg["data"], cfg["labels"], folder, fabric, partial(chosen, cfg))
    cache = make_cache(cfg["data"]["cache"], data, fabric)
    parts = told_once(fabric, lambda: build(cfg, data, fabric, cache))
    if cfg["replay"] is not None:
        replay(cfg["replay"], parts.state, parts.objective)
        return None
    with ExitStack() as stack:
        opened = partial(
            runs.opened, folder, cfg, environment(cfg["seed"], choices, cfg["device"]["precision"]), parts.data.files
        )
        told_by_first(fabric, lambda: stack.enter_context(opened()))
        run(parts, folder)
    return folder if is_first() else None


def run(parts: Parts, folder: Path) -> None:
    """Train to the end, from where the folder stands, and write what a complete run has."""
    fabric = parts.state.fabric
    forget_peak(fabric.device)
    resume(parts.state, folder, extend=parts.describe["config"]["extend"])
    if parts.state.position == training.Position():
        with explained(partial(fitting_batch, parts.state, parts.train_loader, parts.batches)):
            try_sizes(parts.predict, parts.train_loader.dataset, parts.data, parts.batches, fabric.device)
    epochs, _ = parts.options.length(len(parts.batches))
    names = [pair.name for pair in parts.data.train]
    watcher = RunWatcher(folder, parts.state, epochs, names, parts.describe, parts.make_logger, parts.pictures)
    judged: Judged | None = None
    with stop_signals() as stop, explained(partial(fitting_batch, parts.state, parts.train_loader, parts.batches)):

        def validate() -> Validation:
            """Of the last epoch all that is found, so that no image is predicted twice."""
            nonlocal judged
            if parts.state.position.epoch + 1 < epochs:
                return parts.validate(stop)
            judged = parts.judge(folder, stop)
            scores = {key: value for key, value in judged.found.scores.items() if key not in _ONLY_JUDGED}
            return replace(judged.found, scores=scores)

        training.fit(
            parts.state,
            parts.train_loader,
            parts.batches,
            options=parts.options,
            validate=validate,
            watcher=watcher,
            # all processes have to stop after the same step
            stop=stop if fabric.world_size == 1 else lambda: bool(parts.reduce(torch.tensor(int(stop())))),
            track=track,
        )
    if judged is None:  # patience was at its end, or the epochs were done before
        judged = parts.judge(folder)
    if fabric.is_global_zero:
        watcher.close()
        parts.pictures.draw(parts.state.evaluated, folder / runs.PICTURES)
        memory = peak_memory(fabric.device)
        finish(folder, judged, parts.data, parts.options, parts.state.position, parts.describe, memory)


def _check_still_the_same(folder: Path, cfg: dict[str, Any]) -> None:
    """Refuse to call a run complete whose data have grown since."""
    try:
        found = chosen(cfg, *pair_up(cfg["data"]))
    except ValueError:  # they may have been moved away, now that nobody needs them
        return
    runs.check_pairs(folder, file_sizes(*found))


def build(cfg: dict[str, Any], data: Data, fabric: Fabric, cache: Cache | None = None) -> Parts:
    """Every object of a run, built from the resolved configuration; nothing asks it again.

    Raises:
        ValueError: an option that a constructor refuses.
    """
    options: training.FitOptions = instantiate(cfg["fit"], group="fit")
    check_monitor(options, data.labels.names, with_boxes=has_boxes(cfg["task"]))
    torch.manual_seed(cfg["seed"])
    model_config = {**cfg["model"], "classes": data.labels.classes}
    if data.reading.channels != 3:  # a model of the user's own needs not know of them
        model_config["in_channels"] = data.reading.channels
    model, normalization, model_config = first_model(cfg, model_config, data)
    objective = make_objective(cfg, instantiate(with_weights(cfg["loss"], data), group="loss"), data.labels)
    dataset = partial(
        SegmentationDataset,
        classes=data.labels.classes,
        mean=normalization[0],
        std=normalization[1],
        reading=data.reading,
        seed=cfg["seed"],
        cache=cache,
    )
    share = {"rank": fabric.global_rank, "world": fabric.world_size}
    batches = TrainBatches(
        len(data.train),
        batch=cfg["loader"]["batch"],
        seed=cfg["seed"],
        accumulate=options.accumulate,
        weights=sampling_weights(cfg["loader"], data.train_counts),
        **share,
    )
    epochs, steps = options.length(len(batches))
    loader = partial(make_loader, workers=cfg["loader"]["workers"], device=fabric.device, fabric=fabric)
    training_set = dataset(
        data.train,
        transform=instantiate(cfg["augment"], group="augment"),
        epochs=epochs,
        prepare=objective.prepare,
    )
    # nothing prepared for validation: maps of whole images would fill the shared memory, and it waits anyway
    val_batches = EvaluationBatches(data.val_sizes, batch=_val_batch(cfg, data, fabric.world_size), **share)
    train_loader, val_loader = loader(training_set, batches), loader(dataset(data.val), val_batches)
    fabric.to_device(objective)
    infer = inference_of(cfg["inference"])
    state = _state(cfg, model, objective, fabric, steps)
    return Parts(
        options,
        data,
        state,
        objective,
        batches,
        train_loader,
        val_loader,
        ValidationPictures(data.val, cfg["pictures"], data.labels, normalization, data.reading, fabric.device, infer),
        {
            "model_config": model_config,
            "labels": data.labels,
            "normalization": normalization,
            "reading": data.reading,
            "config": cfg,
        },
        infer,
        partial(instantiate, cfg["logger"]) if cfg.get("logger") else None,
    )


def _val_batch(cfg: dict[str, Any], data: Data, world: int) -> int:
    """How many whole images are validated at once: more than one is faster, and a training step needs more memory."""
    if cfg["loader"]["val_batch"] is not None:
        return int(cfg["loader"]["val_batch"])
    crop = ((cfg["augment"] or {}).get("crop") or {}).get("size") or max(data.train_sizes)
    images: int = cfg["loader"]["batch"] // world
    largest = max(height * width for height, width in data.val_sizes)
    wanted: int = images * math.prod(crop) // largest
    return max(1, min(images, wanted))


def _state(
    cfg: dict[str, Any], model: nn.Module, objective: Segmentation | MultiTask, fabric: Fabric, steps: int
) -> training.State:
    """What moves on in a run of so many steps."""
    apart = [] if (weighting := objective.weighting) is None else [(weighting, weighting.rate)]
    groups = parameter_groups(model, objective, lr=cfg["optimizer"].get("lr"), apart=apart, **cfg["rates"])
    optimizer = instantiate(cfg["optimizer"], groups, group="optimizer")
    return training.State(
        model,
        objective,
        optimizer,
        _scheduler(cfg["scheduler"], optimizer, steps),
        fabric,
        average=partial(instantiate, cfg["average"], group="average") if cfg["average"] else None,
        compile=cfg["device"]["compile"],
        seed=cfg["seed"],
    )


def _scheduler(config: dict[str, Any], optimizer: Any, steps: int) -> Any:
    """A schedule of ours, which is told the steps of the run, or one of torch's, which is not."""
    told = {"steps": steps} if "steps" in parameters(str(config["_target_"]))[0] else {}
    return instantiate(config, optimizer, group="scheduler", **told)
