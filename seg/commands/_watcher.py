"""What a training run writes while it goes on: lines, checkpoints, TensorBoard events."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from seg import runs, trained
from seg.commands import _show
from seg.commands._pictures import ValidationPictures
from seg.training import State


class RunWatcher:
    """The `seg.training.Watcher` of a run folder; on all processes but the first it does nothing.

    Args:
        state: what is saved.
        epochs: of the whole run.
        describe: the further arguments of `seg.trained.save`.
        make_logger: ``(log_dir, purge_step)`` -> a TensorBoard writer, or None.
        pictures: drawn for the logger after every validation.
    """

    def __init__(
        self,
        folder: Path,
        state: State,
        epochs: int,
        describe: Mapping[str, Any],
        make_logger: Callable[..., Any] | None,
        pictures: ValidationPictures,
    ) -> None:
        self.folder, self.state, self.epochs, self.describe = folder, state, epochs, describe
        self.pictures = pictures
        self.writes = state.fabric.is_global_zero
        # events of the epochs that will be trained again are struck out
        logs = self.writes and make_logger is not None
        self.logger = (
            make_logger(log_dir=str(folder), purge_step=state.position.epoch) if logs and make_logger else None
        )

    def line(self, line: dict[str, Any]) -> None:
        if not self.writes:
            return
        runs.append_line(self.folder, line)
        self._log(line)
        validated = (
            f"  val loss {line['val_loss']:.3f}  mIoU {_show.percent(line['val_miou'])} %" if "val_miou" in line else ""
        )
        _show.say(
            f"epoch {line['epoch'] + 1:>3}/{self.epochs}  loss {line['loss']:.3f}{validated}  "
            f"{line['seconds']:.0f} s  {line['images_per_second']:.1f} images/s"
        )

    def save(self, kind: Literal["last", "best"]) -> None:
        if self.writes:
            name = {"last": runs.LAST, "best": runs.BEST}[kind]
            trained.save(self.folder / name, self.state.state_dict(), resumable=kind == "last", **self.describe)

    def close(self) -> None:
        """Finish the event file."""
        if self.logger is not None:
            self.logger.close()

    def _log(self, line: dict[str, Any]) -> None:
        if self.logger is None:
            return
        for key, value in _scalars(line):
            self.logger.add_scalar(key, value, line["epoch"])
        if "val_miou" in line:
            for name, picture in self.pictures.draw(self.state.model, self.folder / runs.PICTURES):
                self.logger.add_image(f"val/{name}", picture, line["epoch"], dataformats="HWC")
        self.logger.flush()


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
