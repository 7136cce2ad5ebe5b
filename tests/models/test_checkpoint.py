"""python -m pytest tests/models/test_checkpoint.py"""

import os
import pickle
from pathlib import Path

import pytest
import torch

from seg.models import checkpoint


def test_saved_is_loaded(tmp_path: Path) -> None:
    state = {"model": {"w": torch.arange(3.0)}, "config": {"a": [1, "b", None, 0.5]}}
    checkpoint.save(tmp_path / "a.pt", state)
    loaded = checkpoint.load(tmp_path / "a.pt")
    assert torch.equal(loaded["model"]["w"], state["model"]["w"])
    assert loaded["config"] == state["config"]
    assert os.listdir(tmp_path) == ["a.pt"]  # noqa: PTH208


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", {"epoch": 1})
    with pytest.raises((AttributeError, pickle.PicklingError)):
        checkpoint.save(tmp_path / "a.pt", {"epoch": 2, "bad": lambda: None})
    assert checkpoint.load(tmp_path / "a.pt")["epoch"] == 1
    assert os.listdir(tmp_path) == ["a.pt"]  # noqa: PTH208


class Evil:
    """Runs a command when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_loading_executes_nothing(tmp_path: Path) -> None:
    torch.save({"format": 1, "evil": Evil(tmp_path / "owned")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="which cannot be read as that"):
        checkpoint.load(tmp_path / "a.pt")
    assert not (tmp_path / "owned").exists()


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint: expected a file, got"):
        checkpoint.load(tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="which cannot be read as that"):
        checkpoint.load(tmp_path / "a.pt")
    torch.save([torch.zeros(1)], tmp_path / "a.pt")
    with pytest.raises(ValueError, match="checkpoint: expected values by name, got list"):
        checkpoint.load(tmp_path / "a.pt")
    checkpoint.save(tmp_path / "a.pt", {"w": torch.zeros(1000)})
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:2000])
    with pytest.raises(ValueError, match="which cannot be read as that"):
        checkpoint.load(tmp_path / "a.pt")


def test_torchs_advice_to_run_the_file_is_not_passed_on(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "a.pt")
    with pytest.raises(
        ValueError, match=r"it names torch.nn.modules.linear.Linear, code that is not run\); give"
    ) as told:
        checkpoint.load(tmp_path / "a.pt")
    assert "weights_only" not in str(told.value)
