"""What a model of the user's own returns: taken in every command, or said.

python -m pytest tests/models/test_outputs.py
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import Script, fails, train_options
from torch import nn

from seg.models import WrongOutput, adapted, build, restore

NET = """
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, classes, form="dict"):
        super().__init__()
        self.form, self.first = form, nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.last, self.beside = nn.Conv2d(8, classes, 1), nn.Conv2d(8, classes, 1)
        self.heads = nn.ModuleList([self.last])  # a name that means something else elsewhere

    def forward(self, images):
        features = self.first(images).relu()
        out, aux = self.last(features), self.beside(F.avg_pool2d(features, 4))
        forms = {"dict": {"out": out, "aux": aux}, "tuple": (out, aux), "quarter": aux, "main": {"main": out}}
        return forms[self.form]
"""


class Returns(nn.Module):
    """A model that returns what it is told."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make, self.weight = make, nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> Any:
        return self.make(images.repeat(1, 2, 1, 1)[:, :5] * self.weight)


IMAGES = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))
LOGITS = IMAGES.repeat(1, 2, 1, 1)[:, :5]
QUARTER = F.avg_pool2d(LOGITS, 4)


@pytest.mark.parametrize(
    ("make", "auxiliary"),
    [
        (lambda out: out, []),
        (lambda out: (out,), []),
        (lambda out: {"logits": out, "loss": None}, []),
        (lambda out: (out, out.mean((2, 3))), []),  # smp's masks and labels
        (lambda out: {"aux": out + 1, "out": out}, [LOGITS + 1]),
        (lambda out: [out, F.avg_pool2d(out, 4)], [F.interpolate(QUARTER, (32, 64), mode="bilinear")]),
    ],
)
def test_the_logits_are_taken(make: Any, auxiliary: list[torch.Tensor]) -> None:
    model = copy.deepcopy(adapted(Returns(make), 5))  # as an average of weights is made
    assert torch.equal(model(IMAGES), LOGITS)
    if not auxiliary:
        with pytest.raises(WrongOutput, match="task: expected auxiliary logits beside those of the model, got "):
            model(IMAGES, heads=True)
        return
    logits, outputs = model(IMAGES, heads=True)
    assert torch.equal(logits, LOGITS)
    torch.testing.assert_close(outputs, {"auxiliary": auxiliary})


def test_a_copy_has_weights_of_its_own() -> None:
    model = adapted(Returns(lambda out: out), 5)
    other = copy.deepcopy(model)
    nn.init.zeros_(other.weight)
    assert other(IMAGES).abs().sum() == 0
    assert torch.equal(model(IMAGES), LOGITS)
    assert list(model.state_dict()) == ["weight"]


@pytest.mark.parametrize("size", [(8, 16), (16, 32), (1, 2)])
def test_smaller_logits_are_upsampled(size: tuple[int, int]) -> None:
    small = F.adaptive_avg_pool2d(LOGITS, size)
    model = adapted(Returns(lambda out: F.adaptive_avg_pool2d(out, size)), 5)
    torch.testing.assert_close(model(IMAGES), F.interpolate(small, (32, 64), mode="bilinear"))


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda out: {"main": out}, r"a dict with main: float32 \(2, 5, 32, 64\)"),
        (lambda out: (out.mean(), out), r"a tuple of float32 \(\), float32 \(2, 5, 32, 64\)"),
        (lambda out: out[:, :1], r"float32 \(2, 1, 32, 64\)"),
        (lambda out: out[:1], r"float32 \(1, 5, 32, 64\)"),
        (lambda out: out.argmax(1), r"int64 \(2, 32, 64\)"),
        (lambda out: out[..., 1:-1, 1:-1], r"float32 \(2, 5, 30, 62\)"),
        (lambda out: out.permute(0, 2, 3, 1), r"float32 \(2, 32, 64, 5\)"),
        (lambda out: None, "NoneType"),
        (lambda out: [], "a list of nothing"),
    ],
)
def test_what_is_no_logits_is_said(make: Any, got: str) -> None:
    expected = rf"expected logits \(2, 5, 32, 64\) of 5 classes, or of a half, .* got {got}; return them from forward"
    with pytest.raises(WrongOutput, match=expected):
        adapted(Returns(make), 5)(IMAGES)


def test_a_head_of_smp_that_classifies_images_is_restored() -> None:
    options = {"encoder_name": "tu-test_resnet", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}
    config = {"_target_": "seg.models.build", "architecture": "unet", "classes": 5, **options}
    config["aux_params"] = {"classes": 2, "pooling": "max"}
    own = build(**{key: value for key, value in config.items() if key != "_target_"}).eval()
    restored = restore(config, own.state_dict())
    assert torch.equal(restored(IMAGES), own(IMAGES)[0])
    with pytest.raises(ValueError, match="expected options of .* got classes='/etc'"):
        restore(config | {"aux_params": {"classes": "/etc"}}, own.state_dict())


@pytest.mark.slow
def test_every_command_takes_what_a_model_of_the_users_own_returns(tmp_path: Path, data: Path, script: Script) -> None:
    (tmp_path / "nets.py").write_text(NET)
    train = ["~model", "+model._target_=nets.Net", *train_options(data, model=()), "logger=none", "average=ema"]
    done = script("seg-train", *train, "+model.form=dict", "task=auxiliary", "fit.epochs=1", name="a")
    assert done.returncode == 0, done.stderr
    assert "model: of the dict that it returns, those under out or logits are the logits" in done.stdout
    (line,) = map(json.loads, (tmp_path / "runs/a/metrics.jsonl").read_text().splitlines())
    assert line["loss"] == pytest.approx(line["terms"]["segmentation"] + 0.4 * line["terms"]["auxiliary"], rel=1e-4)
    given = ["trust=[nets]", "checkpoint=runs/a/best.pt"]
    images, masks = f"images={data}/val/images", f"masks={data}/val/masks"
    for name, *more in (
        ("seg-evaluate", images, masks, "destination=e"),
        ("seg-predict", images, "destination=p"),
        ("seg-diagnose", images, "destination=d"),
        ("seg-export", "destination=a.onnx"),
    ):
        done = script(name, *given, *more)
        assert done.returncode == 0, (name, done.stderr)


def test_logits_of_a_quarter_are_said_and_others_refused(tmp_path: Path, data: Path, script: Script) -> None:
    (tmp_path / "nets.py").write_text(NET)
    train = ["~model", "+model._target_=nets.Net", *train_options(data, model=()), "logger=none", "smoke=true"]
    done = script("seg-train", *train, "+model.form=quarter", name="a")
    assert done.returncode == 0, done.stderr
    assert "model: its logits are 1/4 of the size, and upsampled bilinearly" in done.stdout
    fails(script("seg-train", *train, "+model.form=main", name="b"), 2, r"a dict with main: \w+ \(1, 3, 64, 96\); ")
    fails(script("seg-train", *train, "+model.form=quarter", "task=auxiliary", name="c"), 2, "give task=none")
    fails(
        script("seg-train", *train, "task=[auxiliary,boxes]", name="d"),
        2,
        "task: expected auxiliary alone, .* got auxiliary, boxes",
    )
