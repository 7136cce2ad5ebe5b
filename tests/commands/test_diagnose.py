"""The commands with regularizers: train, evaluate, diagnose.

python -m pytest tests/commands/test_diagnose.py
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from conftest import Script, train_options


def test_train_evaluate_and_diagnose(script: Script, data: Path, tmp_path: Path) -> None:
    model = ["model=unet_small", "model.encoder_name=resnet18"]
    options = [*train_options(data, model), "fit.epochs=1", "regularizer=all", "logger=none", "pictures=0"]
    options.append("device.precision=32-true")  # that of evaluation, whose scores are to be equal
    result = script("seg-train", *options)
    assert result.returncode == 0, result.stderr
    assert "regularizers:\n  StochasticDepth, p 0.025 to 0.2, at branches: 8 from encoder.layer1.0" in result.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("unet_small-cross_entropy-all-seed0"), "the choice stands in the name"
    assert yaml.safe_load((folder / "config.yaml").read_text())["regularizer"]["dropblock"]["block_size"] == 7

    best, images = folder / "best.pt", data / "val/images"
    result = script(
        "seg-evaluate",
        checkpoint=best,
        images=images,
        masks=data / "val/masks",
        destination="e",
        workers=0,
        json="true",
    )
    assert result.returncode == 0, result.stderr
    done = json.loads((folder / "done.json").read_text())
    assert json.loads(result.stdout)["miou"] == pytest.approx(done["best_miou"], abs=1e-9)

    result = script("seg-diagnose", checkpoint=best, images=data / "train/images", destination="d")
    assert result.returncode == 0, result.stderr
    assert "(DropBlock) stands before batch normalisation: variance at decoder." in result.stdout
    found = json.loads((tmp_path / "d/diagnose.json").read_text())
    assert found["images"] == 6
    assert set(found["norms"][0]) == {"norm", "shift", "control", "factor", "stored", "after", "named"}
    assert (
        (tmp_path / "d/diagnose.csv")
        .read_text()
        .startswith("norm,shift,control,factor,stored,after,named\nencoder.bn1,")
    )
    assert (tmp_path / "d/diagnose.png").stat().st_size > 1000


def test_diagnose_names_the_dropout_of_deeplabv3plus(script: Script, data: Path) -> None:
    fresh = {"model": "deeplabv3plus", "model.encoder_name": "resnet18", "images": data / "train/images"}
    result = script("seg-diagnose", **fresh, destination="d", json="true")
    assert result.returncode == 0, result.stderr
    (offender,) = json.loads(result.stdout)["offenders"]
    assert offender["regularizer"] == "decoder.aspp.0.project.3 (Dropout)"
    assert offender["norm"] == "decoder.aspp.2"
    assert offender["factor"] == pytest.approx(offender["shift"] / offender["control"])
    assert 2 < offender["factor"] < 3
    result = script("seg-diagnose", **fresh, destination="m", regularizer="dropout")
    assert "no variance of 29 batch normalisations is shifted by more than 1.2x" in result.stdout


def test_neighbours_by_name_may_look_alike(script: Script, tmp_path: Path) -> None:
    """Batches of neighbours would hide more variance than the dropout adds."""
    rng = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    for i in range(32):
        level = 40 if i < 16 else 200
        cv2.imwrite(str(tmp_path / f"a/{i:02}.png"), (level + rng.integers(0, 40, (64, 64, 3))).astype(np.uint8))
    fresh = {"model": "deeplabv3plus", "model.encoder_name": "resnet18", "images": tmp_path / "a"}
    result = script("seg-diagnose", **fresh, destination="d", json="true")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert min(row["control"] for row in found["norms"]) > 0.6
    assert [o["regularizer"] for o in found["offenders"]] == ["decoder.aspp.0.project.3 (Dropout)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected either checkpoint or model, got both or neither"),
        (["model=unet_small", "size=[33,64]"], "size: expected [HEIGHT,WIDTH] in multiples of 32 pixels, got [33"),
        (["model=unet_small", "model.encoder_weights=no"], "model.encoder_weights: expected imagenet, "),
        (["model=unet_small", "+model.encoder_depth=9"], "model.encoder_depth: expected what seg"),
        (["model=unet_small", "batch=1"], "batch: expected a whole number of at least 2, got 1"),
        (["model=unet_small", "number=2", "images=nowhere"], "expected an existing folder, got 'nowhere'"),
        (["model=unet_small", "regularizer=dropblock", "regularizer.dropblock.p=3"], "dropblock.p: expected a share"),
        (["model=unet_small", "regularizer=stochastic_depth", "model.encoder_name=vgg11"], "got 'branches'; choose"),
    ],
)  # fmt: skip
def test_wrong_requests(arguments: list[str], message: str, script: Script, data: Path) -> None:
    images = [] if any(a.startswith("images=") for a in arguments) else [f"images={data / 'train/images'}"]
    result = script("seg-diagnose", *arguments, *images, "destination=d")
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
