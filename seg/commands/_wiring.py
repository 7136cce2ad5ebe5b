"""What ``seg-train`` wires: the configuration becomes built objects in one pass, and `seg.training.fit` gets them."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric import Fabric
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader

from seg import evaluation, inference, models, runs, trained, training
from seg.commands import _show, instantiate, plain
from seg.commands._data import Data, load_data, render, with_weights
from seg.commands._environment import environment
from seg.commands._pictures import ValidationPictures, draw_curves
from seg.commands._signals import stop_signals
from seg.commands._watcher import RunWatcher
from seg.dataset import SegmentationDataset
from seg.loading import EvaluationBatches, TrainBatches, make_loader
from seg.metrics import MeanLoss, PixelCounts, majority_scores, scores
from seg.objective import Segmentation
from seg.optim import parameter_groups
from seg.regularizers import describe


@dataclass(frozen=True)
class Parts:
    """What a training run is made of.

    Attributes:
        describe: what a checkpoint says besides the state: the further arguments of `seg.trained.save`.
        make_logger: ``purge_step`` -> a TensorBoard writer; None without one.
    """

    options: training.FitOptions
    data: Data
    state: training.State
    objective: Segmentation
    batches: TrainBatches
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    pictures: ValidationPictures
    describe: dict[str, Any]
    make_logger: Callable[..., Any] | None

    def reduce(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, on the CPU."""
        total = self.state.fabric.all_reduce(tensor, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total.cpu()

    def validate(self) -> evaluation.Validation:
        """Loss and pixel counts of the validation set."""
        self.state.wrapped.eval()
        return evaluation.evaluate(
            partial(inference.whole_image, self.state.wrapped),
            _show.track(self.val_loader, "validation", len(self.val_loader)),
            [
                MeanLoss(lambda logits, mask: self.objective.losses(logits, mask).total),
                PixelCounts(len(self.data.val), self.data.labels.names),
            ],
            reduce=self.reduce,
        )


def train(config: DictConfig) -> Path:
    """Train as the configuration says, from where the folder stands; returns the folder of the complete run."""
    choices = HydraConfig.get().runtime.choices
    config.name = config.name or runs.run_name(HydraConfig.get().overrides.task, choices, config.seed)
    if config.data.render is not None:
        render(plain(config.data.render))
    cfg = plain(config)
    _check_whole_numbers(cfg)
    folder = Path(cfg["runs"], cfg["name"])
    if runs.is_complete(folder, cfg):
        _show.say(f"{folder} is complete; remove it, or give another name=... or seed=..., to train anew")
        return folder
    fabric = make_fabric(**cfg["device"])
    _show.console.quiet = not fabric.is_global_zero
    parts = build(cfg, load_data(cfg["data"], cfg["labels"], fabric), fabric)
    if fabric.is_global_zero:
        runs.open_run(folder, cfg, environment(cfg["seed"], choices))
    fabric.barrier()
    resume(parts.state, folder)
    watcher = RunWatcher(folder, parts.state, parts.options.epochs, parts.describe, parts.make_logger, parts.pictures)
    with stop_signals() as stop:
        validation = training.fit(
            parts.state,
            parts.train_loader,
            parts.batches,
            options=parts.options,
            validate=parts.validate,
            watcher=watcher,
            # all processes have to stop after the same step
            stop=stop if fabric.world_size == 1 else lambda: bool(parts.reduce(torch.tensor(int(stop())))),
            track=_show.track,
        )
    if validation is None:  # all epochs were done, and only what follows was not
        validation = parts.validate()
    if fabric.is_global_zero:
        watcher.close()
        finish(folder, parts, validation)
    return folder


def build(cfg: dict[str, Any], data: Data, fabric: Fabric) -> Parts:
    """Every object of a run, built from the resolved configuration; nothing asks it again.

    Raises:
        ValueError: an option that a constructor refuses.
    """
    options: training.FitOptions = instantiate(cfg["fit"])
    torch.manual_seed(cfg["seed"])
    model_config = {**cfg["model"], "classes": data.labels.classes}
    model, normalization = _model(cfg, model_config)
    objective = Segmentation(instantiate(with_weights(cfg["loss"], data)), data.labels.classes)
    mean, std = normalization
    dataset = partial(SegmentationDataset, classes=data.labels.classes, mean=mean, std=std, seed=cfg["seed"])
    share = {"rank": fabric.global_rank, "world": fabric.world_size}
    batches = TrainBatches(len(data.train), batch=cfg["loader"]["batch"], seed=cfg["seed"], **share)
    loader = partial(make_loader, workers=cfg["loader"]["workers"], device=fabric.device, fabric=fabric)
    training_set = dataset(
        data.train, transform=instantiate(cfg["augment"]), epochs=options.epochs, prepare=objective.prepare
    )
    # nothing prepared for validation: maps of whole images would fill the shared memory, and it waits anyway
    val_batches = EvaluationBatches(data.val_sizes, batch=cfg["loader"]["batch"], **share)
    train_loader, val_loader = loader(training_set, batches), loader(dataset(data.val), val_batches)
    fabric.to_device(objective)
    optimizer = instantiate(cfg["optimizer"], parameter_groups(model, objective))
    scheduler = instantiate(cfg["scheduler"], optimizer, steps=options.epochs * len(batches))
    state = training.State(model, objective, optimizer, scheduler, fabric, seed=cfg["seed"])
    return Parts(
        options,
        data,
        state,
        objective,
        batches,
        train_loader,
        val_loader,
        ValidationPictures(data.val, cfg["pictures"], data.labels, normalization, fabric.device),
        {"model_config": model_config, "labels": data.labels, "normalization": normalization, "config": cfg},
        partial(instantiate, cfg["logger"]) if cfg.get("logger") else None,
    )


def _model(cfg: dict[str, Any], model_config: dict[str, Any]) -> tuple[nn.Module, models.Normalization]:
    """The model with its regularizers and first weights; the normalisation of its images."""
    normalization = models.normalization(cfg["model"].get("encoder_name", ""), cfg["model"].get("encoder_weights"))
    model: nn.Module = instantiate(model_config)
    if cfg["regularizer"]:  # not in the checkpoint's model: in evaluation there is none
        model = instantiate(cfg["regularizer"], model)
    if (found := describe(model).splitlines()) != ["no regularizers"]:
        _show.say("\n  ".join(["regularizers:", *found]))
    if cfg["init"] is not None:
        start = trained.read(cfg["init"])
        left = models.transfer(model, start["model"])
        normalization = tuple(start["normalization"]["mean"]), tuple(start["normalization"]["std"])
        _show.say(f"init: weights of {cfg['init']}" + (f", except {len(left)} such as {left[0]}" if left else ""))
    return model, normalization


def resume(state: training.State, folder: Path) -> None:
    """Go on from ``last.pt``, if there is one.

    Raises:
        ValueError: it is not what this version can go on from.
    """
    path = folder / runs.LAST
    if path.exists():
        try:
            state.load_state_dict(trained.read(path))
        except KeyError as error:
            raise ValueError(
                f"expected {error} in '{path}', got a checkpoint of another version; finish the run with that version, "
                "or start again under another name=..., with init= to keep the weights"
            ) from None
        _show.say(f"resuming {folder} at epoch {state.position.epoch + 1}, step {state.position.step}")
    if state.fabric.is_global_zero:
        runs.cut_lines(folder, state.position.epoch)


def finish(folder: Path, parts: Parts, validation: evaluation.Validation) -> None:
    """Counts, pictures, curves and the table of the last epoch; ``done.json`` last."""
    labels, majority_class = parts.data.labels, parts.data.majority
    counts = validation.totals["counts"]
    runs.write_per_image(folder / runs.PER_IMAGE, [p.name for p in parts.data.val], labels.names, counts.numpy())
    parts.pictures.draw(parts.state.model, folder / runs.PICTURES)
    draw_curves(folder / runs.CURVES, list(runs.read_lines(folder / runs.METRICS)))
    final, majority = scores(counts.sum(0)), majority_scores(counts.sum(0), majority_class)
    done = {
        "epochs": parts.state.position.epoch,
        "best_miou": parts.state.position.best,
        "last": final.named(labels.names),
        "majority": {"class": labels.names[majority_class], "miou": majority.miou, "accuracy": majority.accuracy},
    }
    runs.finish(folder, done)
    title = f"validation, {len(parts.data.val)} images, last epoch"
    _show.console.print(_show.scores_table(final, labels.names, title=title))
    _show.say(_show.verdict(final, majority, labels.names[majority_class]))
    best = _show.percent(parts.state.position.best)
    _show.say(f"best mIoU {best} % in {folder / runs.BEST}; pictures in {folder / runs.PICTURES}")


def make_fabric(*, accelerator: str, devices: int, precision: str) -> Fabric:
    """Device, precision and processes, launched.

    Raises:
        ValueError: they cannot be had here.
    """
    for noisy in ("lightning.fabric", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    except Exception as error:  # Fabric's MisconfigurationException derives from Exception alone
        wanted = f"accelerator={accelerator} devices={devices} precision={precision}"
        raise ValueError(f"device: expected what this machine has, got {wanted}: {error}") from None
    fabric.launch()
    return fabric


def _check_whole_numbers(cfg: dict[str, Any]) -> None:
    for key, value, least in (
        ("seed", cfg["seed"], 0),
        ("pictures", cfg["pictures"], 0),
        ("loader.batch", cfg["loader"]["batch"], 1),
        ("loader.workers", cfg["loader"]["workers"], 0),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{key}: expected a whole number of at least {least}, got {value!r}; give one")
