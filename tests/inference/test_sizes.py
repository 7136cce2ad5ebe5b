"""Models that take images of one size alone: found out, and said before anything is written.

python -m pytest tests/inference/test_sizes.py
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Script, fails, train_options
from torch import nn

from seg.inference.sizes import only_size, wanted_size

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, classes, 1)
        self.norm, self.places = nn.BatchNorm2d(8), nn.Parameter(torch.zeros(1, 8, 64, 64))

    def forward(self, images):
        return self.last(self.norm(self.first(images) + self.places).relu())
"""


class Takes(nn.Module):
    """A model that takes what it is told."""

    def __init__(self, takes: Any, img_size: Any = None) -> None:
        super().__init__()
        self.takes, self.img_size = takes, img_size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not self.takes(*images.shape[-2:]):
            raise RuntimeError("shapes do not match")
        return images


@pytest.mark.parametrize(
    ("takes", "named", "expected"),
    [
        (lambda h, w: True, None, None),
        (lambda h, w: (h, w) == (224, 224), None, (224, 224)),
        (lambda h, w: (h, w) == (64, 96), None, (64, 96)),
        (lambda h, w: (h, w) == (160, 320), (160, 320), (160, 320)),
        (lambda h, w: h == w, None, None),
        (lambda h, w: h % 64 == w % 64 == 0, None, None),
        (lambda h, w: False, (64, 64), None),
        (lambda h, w: (h, w) == (518, 518), (518, 518), None),  # windows are multiples of 32
    ],
)
def test_the_only_size_is_found(takes: Any, named: Any, expected: Any) -> None:
    assert only_size(Takes(takes, named), 3) == expected
    if expected:
        with pytest.raises(ValueError, match="size: expected .* the only one that the model takes, got"):
            wanted_size(Takes(takes, named), 3, [32, 32])


@pytest.mark.slow
def test_every_command_says_the_size_and_the_remedy_works(tmp_path: Path, data: Path, script: Script) -> None:
    (tmp_path / "nets.py").write_text(NET)
    options = [
        "~model",
        "+model._target_=nets.Net",
        *train_options(data, ()),
        "augment.crop.size=[64,64]",
        "logger=none",
    ]
    options += ["fit.epochs=1", "name=a"]
    fails(script("seg-train", *options), 2, "validation images of 64x96, .* such as inference=sliding inference.window")
    done = script("seg-train", *options, "inference=sliding", "inference.window=64")
    assert done.returncode == 0, done.stderr
    trusted = {"checkpoint": "runs/a/best.pt", "trust": "[nets]"}
    assert script("seg-export", **trusted, destination="a.onnx").returncode == 0
    images = {"images": data / "val/images", "destination": "out"}
    fails(script("seg-diagnose", **trusted, **images, size="[96,96]"), 2, r"size: expected \[64,64\]")
    for given in (trusted, {"checkpoint": "a.onnx"}):
        remedy = (
            f"windows of 64x64, the only size that '{given['checkpoint']}' takes, .* inference=sliding inference.wi"
        )
        for name, more in (("seg-predict", {}), ("seg-evaluate", {"masks": data / "val/masks"})):
            fails(script(name, **given, **images, **more), 2, remedy)
            assert not (tmp_path / "out").exists()
            sliding = {"inference": "sliding", "inference.window": 64, "destination": f"{name}-{len(given)}"}
            done = script(name, **given | images | more | sliding)
            assert done.returncode == 0, done.stderr
