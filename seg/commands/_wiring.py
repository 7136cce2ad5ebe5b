"""What ``seg-train`` wires: data, model, loss and optimizer meet here and are handed to `seg.training.fit`."""

import logging
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric import Fabric
from omegaconf import DictConfig
from torch import Tensor, nn

from seg import checkpoint, inference, models, training
from seg.commands import _run, _show, instantiate, plain
from seg.commands._data import Data, load_data, render, with_weights
from seg.dataset import (
    EvaluationBatches,
    SegmentationDataset,
    TrainBatches,
)
from seg.files import write_csv, write_json
from seg.images import read_image
from seg.losses import distances_for
from seg.metrics import Scores, majority_scores, scores
from seg.regularizers import describe


def train(config: DictConfig) -> Path:
    """Train as the configuration says; returns the folder of the complete run."""
    choices = HydraConfig.get().runtime.choices
    config.name = config.name or _run.run_name(HydraConfig.get().overrides.task, choices, config.seed)
    if config.data.render is not None:
        render(plain(config.data.render))
    cfg = plain(config)
    _check_whole_numbers(cfg)
    folder = Path(cfg["runs"], cfg["name"])
    if _run.is_complete(folder, cfg):
        _show.say(f"{folder} is complete; remove it, or give another name=... or seed=..., to train anew")
        return folder
    fabric = _fabric(**cfg["device"])
    _show.console.quiet = not fabric.is_global_zero
    data = load_data(cfg["data"], cfg["labels"])
    run = Run(cfg, folder, data, fabric)
    if fabric.is_global_zero:
        _run.open_run(folder, cfg, choices)
    fabric.barrier()
    run.train()
    return folder


def _check_whole_numbers(cfg: dict[str, Any]) -> None:
    for key, value, least in (
        ("seed", cfg["seed"], 0),
        ("pictures", cfg["pictures"], 0),
        ("loader.batch", cfg["loader"]["batch"], 1),
        ("loader.workers", cfg["loader"]["workers"], 0),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{key}: expected a whole number of at least {least}, got {value!r}")


def _fabric(*, accelerator: str, devices: int, precision: str) -> Fabric:
    for noisy in ("lightning.fabric", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    except Exception as error:  # Fabric's MisconfigurationException derives from Exception alone
        wanted = f"accelerator={accelerator} devices={devices} precision={precision}"
        raise ValueError(f"device: {wanted} cannot be had here: {error}") from None
    fabric.launch()
    return fabric


class Run:
    """One training run: the objects that the configuration names, and the files of its folder."""

    def __init__(self, cfg: dict[str, Any], folder: Path, data: Data, fabric: Fabric) -> None:
        self.cfg, self.folder, self.data, self.fabric = cfg, folder, data, fabric
        self.normalization = models.normalization(
            cfg["model"].get("encoder_name", ""), cfg["model"].get("encoder_weights")
        )
        self.options: training.FitOptions = instantiate(cfg["fit"])
        torch.manual_seed(cfg["seed"])
        self.model_config = {**cfg["model"], "classes": data.labels.classes}
        model = instantiate(self.model_config)
        if cfg["regularizer"]:  # not in the checkpoint's model: in evaluation there is none
            model = instantiate(cfg["regularizer"], model)
        if (found := describe(model).splitlines()) != ["no regularizers"]:
            _show.say("\n  ".join(["regularizers:", *found]))
        if cfg["init"] is not None:
            self._start_from(checkpoint.load(cfg["init"]), model)
        loss: nn.Module = instantiate(with_weights(cfg["loss"], data))
        self._make_loaders(extra=distances_for(loss, data.labels.classes))
        loss = fabric.to_device(loss)
        optimizer = instantiate(cfg["optimizer"], training.parameter_groups(model, loss))
        scheduler = instantiate(cfg["scheduler"], optimizer, steps=self.options.epochs * len(self.batches))
        self.state = training.State(model, loss, optimizer, scheduler, fabric, cfg["seed"])
        self.validation: training.Validation | None = None

    def _start_from(self, start: dict[str, Any], model: nn.Module) -> None:
        left = models.transfer(model, start["model"])
        self.normalization = tuple(start["normalization"]["mean"]), tuple(start["normalization"]["std"])
        _show.say(f"init: weights of {self.cfg['init']}" + (f", except {len(left)} such as {left[0]}" if left else ""))

    def _make_loaders(self, *, extra: Callable[[Tensor], Tensor] | None) -> None:
        cfg, data, fabric = self.cfg, self.data, self.fabric
        mean, std = self.normalization
        dataset = partial(SegmentationDataset, classes=data.labels.classes, mean=mean, std=std, seed=cfg["seed"])
        share = {"rank": fabric.global_rank, "world": fabric.world_size}
        self.batches = TrainBatches(len(data.train), batch=cfg["loader"]["batch"], seed=cfg["seed"], **share)
        loader = partial(training.make_loader, workers=cfg["loader"]["workers"], device=fabric.device, fabric=fabric)
        # not for validation: maps of whole images would fill the shared memory, and it waits for every batch anyway
        training_set = dataset(
            data.train, transform=instantiate(cfg["augment"]), epochs=self.options.epochs, extra=extra
        )
        self.train_loader = loader(training_set, self.batches)
        self.val_loader = loader(
            dataset(data.val), EvaluationBatches(data.val_sizes, batch=cfg["loader"]["batch"], **share)
        )

    def train(self) -> None:
        """Resume where the folder says, train to the end, and write what a complete run has."""
        if (self.folder / "last.pt").exists():
            self._resume(self.folder / "last.pt")
            _show.say(f"resuming {self.folder} at epoch {self.state.epoch + 1}, step {self.state.step}")
        if self.fabric.is_global_zero:
            _run.cut_metrics(self.folder / "metrics.jsonl", self.state.epoch)
        self.logger = self._logger()
        with stop_signals() as stop:
            training.fit(
                self.state,
                self.train_loader,
                self.batches,
                options=self.options,
                validate=self.validate,
                record=self.record,
                save=self.save,
                stop=stop if self.fabric.world_size == 1 else lambda: self._any(stop()),
                track=_show.track,
            )
        if self.validation is None:  # all epochs were done, and only what follows was not
            self.validate()
        self.finish()

    def _resume(self, path: Path) -> None:
        try:
            self.state.load_state_dict(checkpoint.load(path))
        except KeyError as error:
            raise ValueError(
                f"'{path}' lacks {error}: another version wrote it; finish the run with that version, or start again "
                "under another name=..., with init= to keep the weights"
            ) from None

    def validate(self) -> dict[str, Any]:
        """Evaluate the validation set; keeps the counts and returns the scores."""
        self.state.model.eval()
        self.validation = training.evaluate(
            self._predict,
            _show.track(self.val_loader, "validation", len(self.val_loader)),
            images=len(self.data.val),
            classes=self.data.labels.classes,
            loss=self.state.loss,
            reduce=self._sum,
        )
        return {"loss": self.validation.loss, **_show.scores_dict(self._scores(), self.data.labels.names)}

    def _sum(self, tensor: Tensor) -> Tensor:
        total = self.fabric.all_reduce(tensor, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total.cpu()

    def _any(self, flag: bool) -> bool:
        """Whether a process says so: all have to stop after the same step."""
        return bool(self._sum(torch.tensor(int(flag))))

    def _predict(self, images: Tensor) -> Tensor:
        return inference.whole_image(self.state.model, images)

    def _scores(self) -> Scores:
        assert self.validation is not None
        return scores(self.validation.counts.sum(0))

    def record(self, line: dict[str, Any]) -> None:
        """Append to ``metrics.jsonl`` and TensorBoard, print a line, draw the pictures."""
        if not self.fabric.is_global_zero:
            return
        _run.append_metrics(self.folder / "metrics.jsonl", line)
        epoch = line["epoch"]
        if self.logger is not None:
            for key, value in _scalars(line):
                self.logger.add_scalar(key, value, epoch)
            if "val_miou" in line:
                for name, picture in self._pictures():
                    self.logger.add_image(f"val/{name}", picture, epoch, dataformats="HWC")
            self.logger.flush()
        validated = (
            f"  val loss {line['val_loss']:.3f}  mIoU {_show.percent(line['val_miou'])} %" if "val_miou" in line else ""
        )
        _show.say(
            f"epoch {epoch + 1:>3}/{self.options.epochs}  loss {line['loss']:.3f}{validated}  "
            f"{line['seconds']:.0f} s  {line['images_per_second']:.1f} images/s"
        )

    def save(self, name: str) -> None:
        """Write a checkpoint that also says how to rebuild the model and what its outputs mean."""
        if not self.fabric.is_global_zero:
            return
        mean, std = self.normalization
        state = self.state.state_dict()
        if name == "best.pt":  # for use, not for going on: a third of the size
            state = {key: state[key] for key in ("model", "loss", "epoch", "best")}
        checkpoint.save(
            self.folder / name,
            {
                **state,
                "config": self.cfg,
                "model_config": self.model_config,
                "labels": self.data.labels.to_list(),
                "normalization": {"mean": list(mean), "std": list(std)},
            },
        )

    def finish(self) -> None:
        """Counts, pictures, curves and the table of the last epoch; ``done.json`` last."""
        if not self.fabric.is_global_zero:
            return
        assert self.validation is not None
        names = self.data.labels.names
        rows = training.image_rows([p.name for p in self.data.val], names, self.validation.counts)
        write_csv(self.folder / "per_image.csv", _show.PER_IMAGE, rows)
        self._pictures()
        _show.draw_curves(self.folder / "curves.png", self.folder / "metrics.jsonl")
        if self.logger is not None:
            self.logger.close()
        final = self._scores()
        majority = majority_scores(self.validation.counts.sum(0), self.data.majority)
        write_json(
            self.folder / "done.json",
            {
                "epochs": self.state.epoch,
                "best_miou": self.state.best,
                "last": _show.scores_dict(final, names),
                "majority": {
                    "class": names[self.data.majority],
                    "miou": majority.miou,
                    "accuracy": majority.accuracy,
                },
            },
        )
        _show.console.print(
            _show.scores_table(final, names, title=f"validation, {len(self.data.val)} images, last epoch")
        )
        _show.say(_show.verdict(final, majority, names[self.data.majority]))
        best = _show.percent(self.state.best)
        _show.say(f"best mIoU {best} % in {self.folder / 'best.pt'}; pictures in {self.folder / 'pictures'}")

    def _pictures(self) -> list[tuple[str, inference.Image]]:
        mean, std = self.normalization
        self.state.module.eval()
        drawn = []
        count = min(self.cfg["pictures"], len(self.data.val))
        # spread over the set: neighbours in a list of names are often neighbours in the world
        for p in (self.data.val[i * len(self.data.val) // count] for i in range(count)):
            mask = inference.predict(
                self.state.module, read_image(p.image), mean=mean, std=std, device=self.fabric.device
            )
            path = self.folder / "pictures" / f"{p.name}.png"
            drawn.append((p.name, _show.draw(path, p, mask, self.data.labels)))
        return drawn

    def _logger(self) -> Any:
        if not self.cfg.get("logger") or not self.fabric.is_global_zero:
            return None
        return instantiate(self.cfg["logger"], log_dir=str(self.folder), purge_step=self.state.epoch)


def _scalars(line: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Numbers of a metrics line with names for TensorBoard: ``train/loss``, ``val/miou``, ``val/iou/road``."""
    found = []
    for key, value in line.items():
        if isinstance(value, dict):
            found += _scalars(value, f"val/{key[4:]}/" if key.startswith("val_") else f"train/{key}/")
        elif key != "epoch":
            group = prefix or ("val/" if key.startswith("val_") else "train/")
            found.append((f"{group}{key.removeprefix('val_')}", float(value)))
    return found


class stop_signals:
    """Within it, the first Ctrl-C or SIGTERM only sets what ``stop()`` returns; a second Ctrl-C ends at once."""

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        self.before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return lambda: self.asked

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this step; Ctrl-C again stops at once, without saving", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


warnings.filterwarnings("ignore", message=".*does not have many workers.*")
