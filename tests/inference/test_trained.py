"""python -m pytest tests/inference/test_trained.py"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Script

from seg.images import Reading
from seg.inference import trained
from seg.models import checkpoint
from seg.synthetic import LABELS

OLD = Path(__file__).parents[1] / "golden" / "format1" / "last.pt"
"""Written by the toolkit before there were objectives and parts: an interrupted run, one step into its second epoch."""


def test_an_older_checkpoint_loads_and_predicts() -> None:
    model = trained.load(OLD, "cpu")
    assert model.labels.names == LABELS.names
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    mask = model.predict(image)
    assert (mask.shape, mask.dtype) == ((50, 70), np.uint8)
    raw = torch.load(OLD, weights_only=True)
    for name, tensor in model.model.state_dict().items():
        assert torch.equal(tensor, raw["model"][name]), name


def test_a_checkpoint_of_format_2_reads_images_as_it_did() -> None:
    path = OLD.parents[1] / "format2" / "best.pt"
    assert torch.load(path, weights_only=True)["format"] == 2
    model = trained.load(path, "cpu")
    assert model.reading == Reading()
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    np.testing.assert_array_equal(model.predict(image), trained.load(OLD, "cpu").predict(image))


def test_an_older_checkpoint_has_todays_fields() -> None:
    raw, state = torch.load(OLD, weights_only=True), trained.read(OLD)
    assert state["format"] == trained.FORMAT
    kept = {key: raw[key] for key in ("epoch", "step", "loss_sum", "term_sums", "best")}
    later = {"seconds": 0.0, "wait": 0.0, "since_best": 0, "top": [], "skipped": 0, "stopped": False}
    assert state["position"] == kept | later
    assert state["position"]["step"] == 1
    assert torch.equal(state["objective"]["loss.progress"], raw["loss"]["progress"])
    assert "loss" not in state
    assert "step" not in state


@pytest.mark.slow
def test_an_older_run_goes_on(tmp_path: Path, script: Script) -> None:
    """With the command that it was begun with."""
    shutil.copytree(OLD.parent, tmp_path / "runs" / "format1")
    rendering = {"train": 16, "val": 4, "height": 96, "width": 128, "destination": "data"}
    result = script(
        "seg-train",
        "data=synthetic",
        *(f"data.render.{key}={value}" for key, value in rendering.items()),
        "model=unet",
        "model.encoder_name=tu-test_mambaout",
        "+model.encoder_depth=3",
        "+model.decoder_channels=[8,8,8]",
        "loss=boundary",
        "optimizer=sgd",
        "augment.crop.size=[64,96]",
        "loader.batch=2",
        "fit.epochs=3",
        "seed=5",
        "logger=none",
        "pictures=0",
        name="format1",
    )
    assert result.returncode == 0, result.stderr
    assert "resuming runs/format1 at epoch 2, step 1" in result.stdout
    state = checkpoint.load(tmp_path / "runs/format1/last.pt")
    assert (state["format"], state["position"]["epoch"]) == (trained.FORMAT, 3)
    # what an uninterrupted run of that version came to; other processors round differently
    assert state["position"]["best"] == pytest.approx(0.0484, abs=0.01)


def state(**changes: Any) -> dict[str, Any]:
    return {**trained.read(OLD), **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (state(format=6), r"expected one that seg-train wrote, format 5 or older, got '.*a.pt' with format 6"),
        (state(format=[1]), r"got '.*a.pt' with format \[1\]"),
        ({"model": {}}, r"got '.*a.pt' with no format mark"),
        (
            {"format": 3, "model": {}},
            r"expected 'model_config' in '.*a.pt', got format, model; give one that seg-train",
        ),
        (
            state(labels=LABELS.to_list()[:4]),
            "expected a model for the 4 classes of its label map .* got one for 10",
        ),
        (state(labels=[1]), r"expected a label map in '.*a.pt', got '\[1\]'"),
        (
            state(reading={"bands": [0], "range": None, "exif": True}),
            r"expected how images are read in '.*a.pt', got .* \(1 channels, but mean and deviation of \{3\}\)",
        ),
        (
            state(reading={"bands": None, "range": "percentiles", "exif": True}),
            "expected how images are read in '.*a.pt', got .*percentiles",
        ),
        (state(reading=7), "expected 'reading' in '.*a.pt' as seg-train writes it, got '7'"),
        (state(model={"a": 1}), r"expected 'model' in '.*a.pt' as seg-train writes it, got .*'a': 1"),
        (
            state(normalization={"mean": [0.5] * 3}),
            r"expected 'normalization' in '.*a.pt' as seg-train writes",
        ),
        (
            state(model_config={"_target_": "os.system"}),
            "expected a model made by seg.models.build .*, got 'os.system'",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    checkpoint.save(tmp_path / "a.pt", content)
    with pytest.raises(ValueError, match=message):
        trained.load(tmp_path / "a.pt", "cpu")


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"device: expected one that is usable here, got 'cuda:77' .*; try device=cpu"):
        trained.load(OLD, "cuda:77")
    with pytest.raises(ValueError, match=r"device: expected one that is usable here, got 'gpu'"):
        trained.load(OLD, "gpu")


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    whole = state()
    description = {
        "model_config": whole["model_config"],
        "labels": LABELS,
        "normalization": ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        "reading": Reading(range=((0, 4095),), exif=False),
        "config": {"regularizer": {"_target_": "seg.regularizers.attach", "dropblock": {"p": 0.1}}},
    }
    for resumable, name in ((True, "last.pt"), (False, "best.pt")):
        trained.save(tmp_path / name, whole, trained.Description(**description), resumable=resumable)
        again = trained.load(tmp_path / name, "cpu")
        assert (again.mean, again.std) == description["normalization"]
        assert again.reading == description["reading"]
        assert again.regularizer == {"dropblock": {"p": 0.1}}
    assert "optimizer" in trained.read(tmp_path / "last.pt")
    assert "optimizer" not in trained.read(tmp_path / "best.pt")
