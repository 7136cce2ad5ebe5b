"""MLflow and Weights & Biases, with the methods of TensorBoard's ``SummaryWriter`` that a run uses.

A logger of your own has the same: ``add_scalar`` and ``add_image`` take a number and a picture (H, W, 3) of an epoch,
``flush`` finishes the epoch, and ``close`` the run.

Both keep the identity of their run in a file of the run folder, so that a resumed run goes on where it was, and are
told all numbers of an epoch at once, so that one that is cut off leaves none of them.
"""

import importlib.util
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seg import runs
from seg.files import write_text
from seg.files.errors import Failed
from seg.images import Image

log = logging.getLogger(__name__)

_MOST = 100  # parameters, or numbers, that MLflow takes at once


def check_installed(writer: Any) -> None:
    """Refuse a writer whose package is not installed, before data are read.

    Args:
        writer: class, or function that makes it.

    Raises:
        ValueError: it is not installed.
    """
    name = getattr(writer, "extra", None)
    if name is not None and importlib.util.find_spec(name) is None:
        raise ValueError(
            f"logger={name}: expected the package {name}, got none; pip install 'seg-toolkit[{name}]', or give another "
            "logger"
        )


class MLflow:
    """Writes to MLflow.

    Args:
        log_dir: run folder.
        purge_step: first epoch that will be trained.
        uri: of the tracking server or database; None = ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` beside the run
            folders.
        experiment: name; made if it is not there.

    Raises:
        Failed: it cannot be reached.
    """

    extra = "mlflow"

    def __init__(self, log_dir: str, purge_step: int, *, uri: str | None = None, experiment: str = "seg") -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else its import looks a host up
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells how it makes its tables
        self.folder = Path(log_dir)
        self.entities = mlflow.entities
        beside = self.folder.absolute().parent
        uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{beside / 'mlflow.db'}"
        local = (beside / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        try:
            self.client = mlflow.MlflowClient(uri)
            self.run = self._run(experiment, local)
            told = self.client.get_metric_history(self.run, "train/loss")
        except Exception as error:
            raise Failed(f"logger=mlflow: {uri}: {_line(error)}") from error
        self.last = max((metric.step for metric in told), default=-1)
        self.numbers: list[tuple[str, float, int]] = []

    def _run(self, experiment: str, artifacts: str | None) -> str:
        """Find the run of this folder; make it with its parameters if it is not there."""
        kept = self.folder / "mlflow.txt"
        if kept.exists():
            run = str(self.client.get_run(kept.read_text().strip()).info.run_id)
            self.client.update_run(run, status="RUNNING")
            return run
        found = self.client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self.client.create_experiment(experiment, artifacts)
        run = str(self.client.create_run(number, run_name=self.folder.name).info.run_id)
        values = list(_flat(runs.read_config(self.folder / runs.CONFIG)))
        for start in range(0, len(values), _MOST):
            some = [self.entities.Param(key, text) for key, text in values[start : start + _MOST]]
            self.client.log_batch(run, params=some)
        write_text(kept, run + "\n")
        return run

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Leave out what an epoch said before it was cut off."""
        if global_step > self.last:
            name = re.sub(r"[^\w.\-/ :]", "_", tag)  # MLflow refuses others, which names of classes may have
            self.numbers.append((name, scalar_value, global_step))

    def add_image(self, tag: str, img_tensor: Image, global_step: int, dataformats: str) -> None:
        """Replace the picture of the epoch before."""
        path = self.folder / runs.PICTURES / f"{tag.removeprefix('val/')}.png"
        try:
            self.client.log_artifact(self.run, str(path), str(Path(tag).parent))
        except Exception as error:
            log.warning(f"logger=mlflow: {path} was not taken: {_line(error)}")

    def flush(self) -> None:
        now = int(1000 * time.time())
        try:
            while self.numbers:
                some = [self.entities.Metric(key, value, now, step) for key, value, step in self.numbers[:_MOST]]
                self.client.log_batch(self.run, metrics=some)
                del self.numbers[:_MOST]
        except Exception as error:
            log.warning(f"logger=mlflow: not told now, but with the next epoch: {_line(error)}")

    def close(self) -> None:
        self.flush()
        self.client.set_terminated(self.run)


class WandB:
    """Writes to Weights & Biases: into the run folder, unless ``WANDB_MODE=online``.

    Args:
        log_dir: run folder.
        purge_step: first epoch that will be trained.
        project: name of the project.

    Raises:
        Failed: it cannot be started.
    """

    extra = "wandb"

    def __init__(self, log_dir: str, purge_step: int, *, project: str = "seg") -> None:
        folder = Path(log_dir)
        if os.environ.get("WANDB_MODE", "offline") == "offline":  # nothing leaves, nothing is written elsewhere
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
            os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "wandb" / "cache"))
        import wandb

        kept = folder / "wandb.txt"
        if not kept.exists():
            write_text(kept, os.urandom(8).hex() + "\n")
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        try:
            self.run = wandb.init(
                project=project,
                dir=str(folder),
                id=kept.read_text().strip(),
                name=folder.name,
                config=runs.read_config(folder / runs.CONFIG),
                mode=mode,
                resume="allow" if mode == "online" else None,
                settings=wandb.Settings(silent=True, console="off"),
            )
        except Exception as error:
            raise Failed(f"logger=wandb: {_line(error)}") from error
        self.image = wandb.Image
        self.epoch: dict[str, Any] = {}
        self.step = purge_step

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.epoch[tag], self.step = scalar_value, global_step

    def add_image(self, tag: str, img_tensor: Image, global_step: int, dataformats: str) -> None:
        self.epoch[tag], self.step = self.image(img_tensor), global_step

    def flush(self) -> None:
        """Log all numbers of an epoch at once; W&B takes none of steps that are there already."""
        self.run.log(self.epoch, step=self.step)
        self.epoch = {}

    def close(self) -> None:
        self.run.finish()


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield keys with dots, and values as text."""
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from _flat(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), str(config)[:500]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
