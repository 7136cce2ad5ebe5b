"""What a training run writes while it goes on: lines, checkpoints, what loggers are told."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from seg import runs
from seg.data.batches import Batch
from seg.files import second_name
from seg.images import Image
from seg.inference import trained
from seg.metrics import Metric
from seg.training import State, replay

log = logging.getLogger(__name__)

_NOTABLE_WAIT = 0.1  # share of an epoch that is worth a word


@dataclass
class Recorder:
    """The `seg.training.Watcher` of a run folder; on all processes but the first it does nothing.

    Args:
        state: what is saved.
        epochs: of the whole run.
        names: of the training pairs.
        about: what its checkpoints say besides the state.
        make_logger: ``(log_dir, purge_step)`` -> a logger, see `seg.training.trackers`; None without one.
        draw: writes pictures into a folder, and returns them by name, for the logger after every validation.
        shown: scores that stand in the line of an epoch.
        told: called with (epochs done, epochs) after each.
    """

    folder: Path
    state: State
    epochs: int
    names: Sequence[str]
    about: trained.Description
    make_logger: InitVar[Callable[..., Any] | None]
    draw: Callable[[Path], list[tuple[str, Image]]]
    shown: Sequence[Metric]
    told: Callable[[int, int], None]

    def __post_init__(self, make_logger: Callable[..., Any] | None) -> None:
        self.writes = self.state.fabric.is_global_zero
        # events of the epochs that will be trained again are struck out
        about = {"log_dir": str(self.folder), "purge_step": self.state.position.epoch}
        self.logger = make_logger(**about) if self.writes and make_logger else None

    def line(self, line: dict[str, Any]) -> None:
        if not self.writes:
            return
        # how long data were waited for is the machine's business, and not what a resumed run repeats
        runs.append_line(self.folder, {key: value for key, value in line.items() if key != "wait"})
        self._log(line)
        self.told(line["epoch"] + 1, self.epochs)
        validated = f"  val loss {line['val_loss']:.3f}" if "val_loss" in line else ""
        for metric in self.shown if "val_miou" in line else ():
            validated += f"  {metric.title} {metric.shown(line.get(f'val_{metric.name}'))}"
        log.info(
            f"epoch {line['epoch'] + 1:>3}/{self.epochs}  loss {line['loss']:.3f}{validated}  "
            f"{line['seconds']:.0f} s  {line['images_per_second']:.1f} images/s"
            + (f"  {100 * line['wait']:.0f} % waiting for data" if line["wait"] >= _NOTABLE_WAIT else "")
        )

    def save(self, kind: Literal["last", "best"]) -> None:
        if not self.writes:
            return
        if kind == "best":
            self._save(runs.BEST, resumable=False)
            return
        if (self.folder / runs.LAST).exists():
            second_name(self.folder / runs.LAST, self.folder / runs.PREVIOUS)
        self._save(runs.LAST, resumable=True)

    def keep(self, epochs: Sequence[int]) -> None:
        if not self.writes:
            return
        names = [runs.KEPT.format(epoch + 1) for epoch in epochs]
        if (latest := self.state.position.epoch - 1) in epochs:
            self._save(runs.KEPT.format(latest + 1), resumable=False)
        for older in self.folder.glob(runs.KEPT.format(0).replace("0000", "*")):
            if older.name not in names:
                older.unlink()

    def not_finite(self, batches: Sequence[Batch], skipped: bool) -> str:
        fabric, position = self.state.fabric, self.state.position
        indices = fabric.all_gather(torch.cat([batch.index for batch in batches])).flatten().tolist()  # type: ignore[union-attr]
        names = ", ".join(f"'{self.names[index]}'" for index in indices[:8])
        more = f" and {len(indices) - 8} more" if len(indices) > 8 else ""
        path = self.folder / runs.REPLAY.format(fabric.global_rank)
        replay.save(path, self.state, batches)
        told = f"with the images {names}{more}; replay={path} with the same options shows where it begins"
        if skipped:
            log.warning(
                f"left out step {position.step + 1} of epoch {position.epoch + 1}: its loss is not finite, {told}"
            )
        return told

    def _save(self, name: str, *, resumable: bool) -> None:
        trained.save(self.folder / name, self.state.state_dict(), self.about, resumable=resumable)

    def close(self) -> None:
        """Finish what the logger writes."""
        if self.logger is not None:
            self.logger.close()

    def _log(self, line: dict[str, Any]) -> None:
        if self.logger is None:
            return
        for key, value in _scalars(line):
            self.logger.add_scalar(key, value, line["epoch"])
        if "val_miou" in line:
            for name, picture in self.draw(self.folder / runs.PICTURES):
                self.logger.add_image(f"val/{name}", picture, line["epoch"], dataformats="HWC")
        self.logger.flush()


def _scalars(line: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Name the numbers of a metrics line for loggers: ``train/loss``, ``val/miou``, ``val/iou/road``."""
    found = []
    for key, value in line.items():
        if isinstance(value, dict):
            found += _scalars(value, f"val/{key[4:]}/" if key.startswith("val_") else f"train/{key}/")
        elif key != "epoch":
            group = prefix or ("val/" if key.startswith("val_") else "train/")
            found.append((f"{group}{key.removeprefix('val_')}", float(value)))
    return found
