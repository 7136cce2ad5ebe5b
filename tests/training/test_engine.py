"""The engine through the command line: what a run leaves, goes on from, and looks into.

python -m pytest tests/training/test_engine.py
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import Script, Started, fails, script_path, train_options
from hydra import compose, initialize_config_dir
from safetensors.torch import save_file

from seg import models
from seg.commands.cli import plain
from seg.commands.cli.help import conf_dir
from seg.commands.request import request
from seg.inference import trained
from seg.training import device

EVERYTHING = (
    "average=ema",
    "scheduler=restarts",
    "fit.accumulate=2",
    "fit.save_every=1",
    "fit.epochs=6",
    "fit.freeze=1",
    "fit.keep=2",
    "rates.encoder=0.3",
    "rates.frozen=0.4",
    "loader.batch=1",
    "loader.sampler=balanced",
    "augment.crop.wanted=0.5",
    "device.precision=bf16-mixed",
    "augment.crop.size=[64,64]",
    "logger=none",
)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return {**torch.load(path, weights_only=True)["model"], **torch.load(path, weights_only=True)["average"]}


@pytest.mark.slow
def test_killed_at_any_moment_with_everything_on(
    tmp_path: Path, data: Path, script: Script, start: Callable[..., Started]
) -> None:
    """What kill -9 leaves is gone on from, and ends as the run that nobody killed, to the bit."""
    for path in sorted((data / "train/masks").glob("*.png"))[1:]:  # the first alone holds a car
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(mask == 2, 1, mask))
    whole = script("seg-train", *train_options(data), *EVERYTHING, name="whole")
    assert whole.returncode == 0, whole.stderr
    assert "loader.sampler=balanced: an image is drawn 0.67 to 2.7 times an epoch on average" in whole.stdout
    last = tmp_path / "runs" / "killed" / "last.pt"
    for wait in (0.0, 0.23):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = start("seg-train", *train_options(data), *EVERYTHING, "name=killed", "data.cache=ram")
        while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == before):
            time.sleep(0.02)
        time.sleep(wait)
        with suppress(ProcessLookupError):  # it may have ended
            process.send_signal(signal.SIGKILL)
        process.wait()
    result = script("seg-train", *train_options(data), *EVERYTHING, "data.cache=disk", name="killed")
    assert result.returncode == 0, result.stderr
    assert "data.cache=disk: takes 0.2 MB of disk in " in result.stdout
    assert "resuming" in result.stdout
    runs = [tmp_path / "runs" / name for name in ("whole", "killed")]
    expected, found = (weights(run / "last.pt") for run in runs)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert (runs[0] / "per_image.csv").read_bytes() == (runs[1] / "per_image.csv").read_bytes()
    dones = [json.loads((run / "done.json").read_text()) for run in runs]
    assert all(10e6 < done.pop("peak_memory") < 100e9 for done in dones)
    assert dones[0] == dones[1]
    assert len(list(runs[1].glob("epoch-*.pt"))) == 2
    assert trained.load(runs[0] / "last.pt", "cpu").model.state_dict().keys() == expected.keys()
    environment = json.loads((runs[0] / "environment.json").read_text())
    assert environment["precision"] == "bf16-mixed"

    # a last.pt that the disk has cut short: the one before it is gone on from
    shutil.rmtree(tmp_path / "runs" / "whole")
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    (last.parent / "done.json").unlink()
    result = script("seg-train", *train_options(data), *EVERYTHING, name="killed")
    assert result.returncode == 0, result.stderr
    assert "last.pt', which cannot be read" in result.stderr
    assert "going on from runs/killed/previous.pt, which was saved before it" in result.stderr
    found = weights(last)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.slow
def test_a_compiled_run_goes_on_to_the_bit(tmp_path: Path, data: Path, script: Script) -> None:
    """Killed after its first epoch, compiled anew, and equal to the run that was compiled once; near the plain one."""
    options = [
        *train_options(data),
        "fit.epochs=4",
        "device.precision=32-true",
        "logger=none",
        "augment.crop.size=[64,64]",
    ]
    for name, compiled in (("plain", "false"), ("whole", "true")):
        result = script("seg-train", *options, f"device.compile={compiled}", name=name)
        assert result.returncode == 0, result.stderr
    command = [script_path("seg-train"), *options, "device.compile=true", "name=killed"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    last = tmp_path / "runs/killed/last.pt"
    while process.poll() is None and not last.exists():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "runs/killed/done.json").exists()
    result = script("seg-train", *options, "device.compile=true", name="killed")
    assert result.returncode == 0, result.stderr
    assert "resuming" in result.stdout
    plain_run, whole, killed = (
        torch.load(tmp_path / f"runs/{name}/last.pt", weights_only=True)["model"]
        for name in ("plain", "whole", "killed")
    )
    for name, tensor in whole.items():
        assert torch.equal(killed[name], tensor), name
    assert any(not torch.equal(plain_run[name], tensor) for name, tensor in whole.items())  # it was compiled
    first = [
        json.loads((tmp_path / f"runs/{name}/metrics.jsonl").open().readline())["loss"] for name in ("plain", "whole")
    ]
    assert first[0] == pytest.approx(first[1], rel=1e-3)
    assert torch.load(tmp_path / "runs/killed/last.pt", weights_only=True)["model"].keys() == plain_run.keys()


def test_a_step_that_is_not_finite_is_kept_and_looked_into(tmp_path: Path, data: Path, script: Script) -> None:
    diverging = ["optimizer.lr=1e12", "fit.clip=null", "scheduler=constant", "augment=none", "loss=ce_dice"]
    options = [*train_options(data), *diverging, "device.precision=32-true"]
    fails(
        script("seg-train", *options, name="a"),
        1,
        r"got none in epoch 1, step [23], with the images 's\d', 's\d'; replay=runs/a/replay-0.pt with the same",
    )
    fails(
        script("seg-train", *options, name="a", replay="runs/a/replay-0.pt"),
        1,
        "not finite again: the output of encoder.* is not finite; the largest number in its input is .*; loss is nan; "
        "cross_entropy is nan; the gradient is not finite in [0-9]+ parameters",
    )
    fails(script("seg-train", *options, replay=str(data / "train/images/s0.png")), 2, "replay|checkpoint: expected")
    fails(script("seg-train", *options, replay="typo.pt"), 2, "replay: expected a file that a run left .* got no file")
    (tmp_path / "runs/a/done.json").write_text("{}")  # as of one that left the step out, and came to its end
    fails(script("seg-train", *options, name="a", replay="runs/a/replay-0.pt"), 1, "not finite again: ")
    other = train_options(data, model=["model=fpn"])
    fails(script("seg-train", *other, *diverging, replay="runs/a/replay-0.pt"), 2, "replay: expected the step of this")


def test_runs_on_few_images(tmp_path: Path, data: Path, script: Script) -> None:
    result = script("seg-train", *train_options(data), "smoke=true", "fit.epochs=50", name="a")
    assert result.returncode == 0, result.stderr
    assert "smoke test: 2 steps and 2 validation images, written to runs/.smoke/a" in result.stdout
    assert not (tmp_path / "runs" / "a").exists()
    assert (tmp_path / "runs" / ".smoke" / "a" / "done.json").exists()
    result = script("seg-train", *train_options(data), "fit.overfit=3", "fit.epochs=1", name="b")
    assert result.returncode == 0, result.stderr
    assert "checking 3 training and 3 validation pairs" in result.stdout
    pairs = (tmp_path / "runs" / "b" / "pairs.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:2] for line in pairs] == [[p, f"s{i}"] for p in ("train", "val") for i in range(3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["fit.monitor=foo"],
            "fit.monitor: expected one of loss, miou, .*, got 'foo'; choose a score that is computed",
        ),
        (
            ["fit.monitor=iou"],
            "fit.monitor: expected one of loss, miou, .*, got 'iou'; choose a score that is computed",
        ),
        (["average=ema", "fit.freeze=2"], "average: expected a model that is trained, got fit.freeze=2 of 2 epochs"),
        (["fit.patience=1", "fit.validate_every=3"], "fit.patience: expected validations to wait for, got one every 3"),
        (["device.compile=perhaps"], "device.compile: expected true or false, got 'perhaps'"),
        (["data.cache=all"], "data.cache: expected null, ram or disk, got 'all'; choose one"),
        (["rates.frozen=1.0"], "rates.frozen: expected a share of the encoder's layers .*below 1, got 1.0"),
        (["license=5"], "license: expected the name of a licence, or null, got 5; give such as mit"),
        (["loader.sampler=rare"], "loader.sampler: expected null, balanced or repeat, got 'rare'; choose one"),
        (
            ["loader.repeat_below=0"],
            "loader.repeat_below: expected a share of the images above 0 .*, got 0",
        ),
        (["augment.crop.wanted=1.5"], "wanted: expected a share from 0 to 1, got 1.5"),
        (["fit.skip=-1"], "fit.skip: expected a whole number of at least 0, got -1"),
    ],
)
def test_a_request_that_cannot_work(data: Path, options: list[str], message: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base=None):
        config = compose("train", [*train_options(data), *options])
    with pytest.raises(ValueError, match=message):
        request(plain(config), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("optimizer.lr=abc", "optimizer.lr: expected a number, got 'abc'; give such as 0.001"),
        ("optimizer.lr=-1", r"optimizer.lr: .*AdamW takes, got -1 \(Invalid learning rate: -1\); give such as 0.001"),
        ("+optimizer.betas=[0.9,2]", r"optimizer.betas: .*, got \[0.9,2\] \(.*\); give such as \[0.9,0.999\]"),
        ("optimizer=sgd optimizer.momentum=0", "optimizer.nesterov: .*, got true .*momentum.*; give such as false"),
        ("optimizer=sgd optimizer.momentum=-1", "optimizer.momentum: .*, got -1 .*; give such as 0"),
        ("optimizer=sgd optimizer.nesterov=2", "optimizer.nesterov: expected true or false, got 2; give one"),
        (
            "optimizer=lion optimizer.weight_decay=a",
            "optimizer.weight_decay: expected a number, got 'a'; give such as 0",
        ),
        ("optimizer.fused=abc", "optimizer.fused: expected true or false, got 'abc'; give one"),
        ("+optimizer.foreach=true", "optimizer.fused: .*, got true .*cannot be .*True.* together.*; leave it out"),
        ("average=ema average.warmup=3", "average.warmup: expected true or false, got 3; give one"),
        ("scheduler=plateau scheduler.mode=min", "scheduler.mode: expected max, .*, got 'min'; give max"),
        ("scheduler=plateau scheduler.factor=2", "scheduler.factor: .*, got 2 .*; give such as 0.1"),
        ("scheduler=plateau scheduler.patience=a", "scheduler.patience: expected a number, got 'a'; give such as 10"),
        ("model.encoder_weights=nosuch", "model.encoder_weights: expected imagenet, .*, got 'nosuch'; choose one"),
        ("model.encoder_name=tu-resnet18 model.encoder_weights=a1", "model.encoder_weights: expected imagenet or null"),
        ("model.encoder_name=tu-vit_tiny_patch16_224", r"model.encoder_name: .*pattern.*; give such as resnet18"),
        ("model.architecture=linknet model.encoder_name=mit_b0", "model.encoder_name: .*, got mit_b0 .*; give such as"),
        ("+model.encoder_depth=9", "model.encoder_depth: .*, got 9 .*; leave it out"),
        ("+model.activation=nosuch", "model.activation: .*, got nosuch .*; leave it out"),
        ("model.architecture=dpt", "model: .*, got architecture=dpt encoder_name=resnet18 .*; change what it names"),
        ("loss=focal loss.gamma=a", "loss.gamma: expected a number of at least 0, got 'a'; give one"),
        ("loss=weighted_cross_entropy loss.weight=rare", "loss.weight: expected inverse, .*, got 'rare'; choose one"),
        ("loss=ce_dice loss.weights.dice=a", "loss.weights.dice: expected a number of at least 0, got 'a'; give one"),
        ("regularizer=dropout regularizer.dropout.p=2", "regularizer.dropout.p: expected a share .*, got 2; give such"),
        ("weighting=uncertainty weighting.rate=a", "weighting.rate: expected a number above 0, got 'a'; give one"),
        ("inference=sliding inference.window=a", "inference.window: expected a whole number .*, got 'a'; give such as"),
        ("device.accelerator=tpus", "device.accelerator: expected auto, .*, got 'tpus'; choose one"),
        ("data.template=null", "data.template: expected a text, got None; give one"),
        ("device.devices=0", "device.devices: expected a whole number of at least 1, got 0; give one"),
    ],
)
def test_what_a_library_refuses_is_named_by_key_and_value(options: str, message: str) -> None:
    """Before data are read: there are none here."""
    with initialize_config_dir(str(conf_dir()), version_base=None):
        config = compose("train", ["data.train.images=no", "data.train.masks=no", "name=a", *options.split()])
    with pytest.raises(ValueError, match=f"^{message}"):
        request(plain(config), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fit.monitor=iou.boat"], "fit.monitor: expected a class among sky, road, car, got 'boat'; choose one"),
        (["fit.overfit=7"], "fit.overfit: expected at most the 6 training pairs, got 7; lower it"),
        (["fit.accumulate=4"], "fit.accumulate: expected at least 8 samples for a step of 4 batches of 2, got 6"),
        (["normalization.mean=[0.5]"], r"normalization.mean: expected 3 numbers, one for each channel .*, got \[0.5\]"),
    ],
)
def test_what_the_data_cannot_serve_is_refused(
    tmp_path: Path, data: Path, script: Script, options: list[str], message: str
) -> None:
    fails(script("seg-train", *train_options(data), *options), 2, message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_an_encoder_from_a_file(tmp_path: Path, data: Path, script: Script) -> None:
    encoder = models.build("unet", classes=2, encoder_name="resnet18").encoder
    foreign = {f"module.backbone.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": foreign | {"module.fc.weight": torch.zeros(5, 512)}}, tmp_path / "a.pth")
    model = ["model=unet_small", "model.encoder_name=resnet18", "model.encoder_weights=a.pth"]
    options = [*train_options(data, model), "fit.epochs=1", "optimizer.lr=1e-12"]
    result = script("seg-train", *options, name="a")
    assert result.returncode == 0, result.stderr
    assert "encoder: a.pth, 100 tensors taken\n" in result.stdout
    found = trained.load(tmp_path / "runs" / "a" / "last.pt", "cpu").model.encoder
    torch.testing.assert_close(found.conv1.weight, encoder.conv1.weight)
    save_file(dict(found.state_dict()), tmp_path / "whole.safetensors")
    result = script("seg-train", *train_options(data), "init=whole.safetensors", "fit.epochs=1", name="b")
    fails(result, 2, r"weights: expected those of the \d+ tensors here, got 100 in 'whole.safetensors'|init")


def test_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, expected in (
        ({"amx_bf16": True}, "bf16-mixed"),
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"avx2": True}, "32-true"),
        ({}, "32-true"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        assert device.precision_here("cpu") == expected
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert device.precision_here("cuda") == "32-true"


@pytest.mark.slow
def test_a_run_keeps_the_precision_that_it_was_begun_with(tmp_path: Path, data: Path, script: Script) -> None:
    other = "32-true" if device.precision_here("auto") == "bf16-mixed" else "bf16-mixed"
    options = [*train_options(data), "fit.epochs=1", "logger=none"]
    assert script("seg-train", *options, f"device.precision={other}", name="a").returncode == 0
    result = script("seg-train", *options, "fit.epochs=2", "extend=true", name="a")
    assert result.returncode == 0, result.stderr
    assert f"precision: {other}, as this run was begun" in result.stdout
    assert f"precision: {other}" in (tmp_path / "runs" / "a" / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "images at a time: batch normalisation\n"),
        (
            ["loss=ce_dice", "task=boxes", "box_loss=giou", "weighting=uw_so"],
            "2 images at a time: SoftOptimalUncertainty, BoxTask, Dice, batch normalisation\n",
        ),
    ],
)
def test_what_accumulated_batches_do_not_share_is_said(
    data: Path, script: Script, options: list[str], said: str
) -> None:
    result = script("seg-train", *train_options(data), *options, "fit.accumulate=2", "smoke=true")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(said) == 1, result.stdout


def test_layers_that_stay_at_random_are_said(data: Path, script: Script) -> None:
    result = script("seg-train", *train_options(data), "rates.frozen=0.5", "smoke=true")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("rates.frozen: the first 4 of the encoder's 8 layers are not trained\n") == 1
    assert result.stderr.count("rates.frozen: the encoder begins at random, and its first layers stay") == 1
