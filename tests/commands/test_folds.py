"""Folds on the command line: names of runs, what is refused, and all of them by one command.

python -m pytest tests/commands/test_folds.py
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import SMALLEST, Script, fails

from seg import runs
from seg.evaluation.files import Probabilities
from seg.files import write_png

CHOICES = {"data": "folders", "model": "unet", "loss": "dice"}


def test_the_fold_stands_in_the_name() -> None:
    """And the rest of the names of all folds is the same."""
    names = [runs.run_name(["data.folds=5", f"data.fold={fold}"], CHOICES, 3) for fold in range(5)]
    ends = {name.removeprefix(f"unet-dice-fold{fold}-seed3-") for fold, name in enumerate(names)}
    assert len(ends) == 1
    assert len(ends.pop()) == 6
    plain = runs.run_name(["data.folds=null", "data.fold=null"], CHOICES, 3)
    assert plain.startswith("unet-dice-seed3-")
    assert runs.run_name([], CHOICES, 3) == "unet-dice-seed3"


def test_an_older_run_is_one_without_folds() -> None:
    assert runs.settings({"data": {"train": {}}})["data.fold"] is None
    assert runs.settings({"data": {"folds": 5, "fold": 2}})["data.fold"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.folds=5"], "data.fold: expected 0 to 4 with data.folds=5, got none; give one, or sweep=folds"),
        (["data.folds=5", "data.fold=5"], "data.fold: expected a whole number from 0 to 4, got 5"),
        (["data.fold=0"], "data.fold: expected data.folds with it, got 0 alone"),
        (["data.folds=5", "data.fold=0", "data.val.list=x.txt"], "data.folds: expected no validation set of its own"),
        (["data.folds=5", "data.fold=0", "data.val_share=0.3"], "data.val_share: expected it with a validation set"),
        (
            ["data.folds=9", "data.fold=0"],
            "data.folds: expected at most as many folds as there are scenes, got 9 for 6",
        ),
        (
            ["fit.probabilities=float32"],
            "fit.probabilities: expected null, uint8 or float16, got 'float32'; choose one",
        ),
    ],
)
def test_wrong_requests(words: list[str], message: str, data: Path, tmp_path: Path, script: Script) -> None:
    folders = [f"data.train.{kind}={data / 'train' / kind}" for kind in ("images", "masks")]
    fails(script("seg-train", *folders, *words), 2, message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("kind", "step"), [("uint8", 0.51 / 255), ("float16", 1e-3)])
def test_probabilities_are_those_of_the_logits(kind: str, step: float, tmp_path: Path) -> None:
    logits = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    meter = Probabilities(tmp_path, ["b/x", "a", "c"], ["p", "q", "r"], halves=kind == "float16")
    meter.update(logits, torch.zeros(2, 5, 7), torch.tensor([2, 0]))
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.npz")) == ["b/x.npz", "c.npz"]
    for name, one in (("c", logits[0]), ("b/x", logits[1])):
        with np.load(tmp_path / f"{name}.npz") as found:
            assert found["classes"].tolist() == ["p", "q", "r"]
            assert found["probabilities"].dtype == kind
            shares = found["probabilities"] / (255 if kind == "uint8" else 1)
        np.testing.assert_allclose(shares, one.softmax(0), atol=step)


@pytest.mark.slow
def test_all_folds_by_one_command(data: Path, tmp_path: Path, script: Script) -> None:
    """Out of fold every image has its probabilities, of the masks that are written; together they predict."""
    folders = [f"data.train.{kind}={data / 'train' / kind}" for kind in ("images", "masks")]
    more = ["loader.batch=2", "loader.workers=0", "fit.epochs=1", "pictures=0", "logger=none", "augment=none"]
    words = [*folders, *SMALLEST, *more, "sweep=folds", "data.folds=3", "runs=folds", "fit.probabilities=float16"]
    done = script("seg-train", *words)
    assert done.returncode == 0, done.stderr
    made = sorted(path.name for path in (tmp_path / "folds").iterdir() if not path.name.startswith("."))
    assert [name.rsplit("-", 1)[0] for name in made] == [
        f"unet_small-cross_entropy-none-fold{n}-seed0" for n in range(3)
    ]
    files = sorted((tmp_path / "folds").glob("*/probabilities/*.npz"))
    assert sorted(path.stem for path in files) == [f"s{n}" for n in range(6)]
    for path in files:
        with np.load(path) as found:
            mask = found["probabilities"].argmax(0)
        predicted = cv2.imread(str(path.parents[1] / f"predictions/{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        assert (mask == predicted).mean() > 0.99  # half precision makes ties
    again = script("seg-train", *words)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is complete") == 3
    write_png(tmp_path / "new/a.png", np.zeros((64, 96, 3), np.uint8))
    predicted = script("seg-predict", "disagreement=true", checkpoint="folds", images="new", destination="out")
    assert predicted.returncode == 0, predicted.stderr
    assert "1 masks written to out" in predicted.stdout
    compared = script("seg-compare", runs="folds", destination="report")
    assert compared.returncode == 0, compared.stderr
    assert "the 3 folds of each level and seed are put together" in (tmp_path / "report/report.md").read_text()
    (tmp_path / "folds" / made[1] / "done.json").unlink()
    fails(script("seg-predict", checkpoint="folds", images="new", destination="no"), 2, "expected a complete run, got")
