"""MLflow and W&B for real, where they are installed: pip install 'seg-toolkit[mlflow,wandb]'.

python -m pytest tests/training/test_trackers.py
"""

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import script_path, train_options
from torch.utils.tensorboard import SummaryWriter

from seg.files import write_png
from seg.files.errors import Failed
from seg.training.trackers import MLflow, WandB, _flat, check_installed

WRITERS = {"mlflow": MLflow, "wandb": WandB}


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=rf"logger={name}: expected the package {name}, got none; pip install 'seg-t"):
        check_installed(WRITERS[name])
    check_installed(SummaryWriter)


def test_parameters_are_flat() -> None:
    assert dict(_flat({"a": {"b": 1, "c": {}}, "d": [1, None]})) == {"a.b": "1", "a.c": "{}", "d": "[1, None]"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    many = {f"key{number}": number for number in range(150)}
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 3, "fit": {"epochs": 2}, **many}))
    return folder


def tell(writer: MLflow, epoch: int, loss: float) -> None:
    writer.add_scalar("train/loss", loss, epoch)
    writer.add_scalar("val/iou/sky|blue (\u00fc)", loss / 2, epoch)
    for number in range(150):
        writer.add_scalar(f"val/iou/{number}", float(number), epoch)
    writer.flush()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
def test_mlflow_goes_on_with_one_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = MLflow(str(folder), 0)
    tell(first, 0, 1.0)
    tell(first, 1, 0.5)  # and then it is killed before epoch 1 is saved
    first.add_scalar("train/loss", 0.1, 2)  # within an epoch
    second = MLflow(str(folder), 1)
    tell(second, 1, 0.5)
    tell(second, 2, 0.25)
    picture = np.zeros((8, 8, 3), np.uint8)
    write_png(folder / "pictures" / "s1.png", picture)
    second.add_image("val/s1", picture, 2, dataformats="HWC")
    second.close()

    client = mlflow.MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "seg"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "a"
    assert run.info.status == "FINISHED"
    assert run.data.params["fit.epochs"] == "2"
    assert len(run.data.params) == 152
    for name, scale in (("train/loss", 1.0), ("val/iou/sky_blue _\u00fc_", 0.5), ("val/iou/149", None)):
        told = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        values = [149.0] * 3 if scale is None else [1.0 * scale, 0.5 * scale, 0.25 * scale]
        assert told == list(enumerate(values)), name
    assert [file.path for file in client.list_artifacts(run.info.run_id, "val")] == ["val/s1.png"]


def test_a_database_that_cannot_be_reached_is_one_line(folder: Path) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    with pytest.raises(Failed, match="logger=mlflow: nonsense://here: "):
        MLflow(str(folder), 0, uri="nonsense://here")


def test_wandb_goes_on_with_one_run(tmp_path: Path, data: Path) -> None:
    """In processes of their own: W&B, once imported, shares a folder with its forks that the first one removes."""
    pytest.importorskip("wandb")
    for options in (["fit.epochs=1"], ["fit.epochs=2", "extend=true"]):
        words = [script_path("seg-train"), *train_options(data), *options, "logger=wandb", "name=a"]
        result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert "wandb" not in result.stdout
    identity = (tmp_path / "runs/a/wandb.txt").read_text().strip()
    parts = sorted((tmp_path / "runs/a/wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert all(part.name.endswith(identity) for part in parts)
    for part in parts:
        assert len(list((part / "files/media/images/val").glob("*.png"))) == 1
    assert [history(part) for part in parts] == [[0], [1]]


def history(part: Path) -> list[int]:
    """Steps that an offline run holds losses of; its file is a log as LevelDB writes it, of 32 kB blocks."""
    from wandb.proto import wandb_internal_pb2

    (file,) = part.glob("*.wandb")
    content, place, whole, steps = file.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # all of a record, or its end
            record = wandb_internal_pb2.Record.FromString(whole)
            if any("train/loss" in (item.key, *item.nested_key) for item in record.history.item):
                steps.append(record.history.step.num)
            whole = b""
    return steps
