"""What is compared starts alike: the same weights, images in the same order, cut and coloured the same way.

python -m pytest tests/training/test_fair.py
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import train_options
from hydra import compose, initialize_config_dir

from seg.commands.build import build, read
from seg.commands.cli import plain
from seg.commands.cli.help import conf_dir
from seg.commands.request import request
from seg.training.device import make_fabric
from seg.training.run import Run


@pytest.fixture
def built(data: Path, tmp_path: Path) -> Any:
    def make(*words: str) -> Run:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            options = [*train_options(data), "logger=none", f"runs={tmp_path}", "name=a", *words]
            asked = request(plain(compose("train", [*options, "device.precision=32-true"])), {})
        return build(asked, read(asked), make_fabric(asked.device))

    return make


def stream(run: Run) -> list[torch.Tensor]:
    """The images and masks of two epochs, as a model is shown them."""
    found = []
    for _ in range(2):
        for batch in run.loaders.train:
            found += [batch.images, batch.masks]
    return found


AXES = [
    ("loss=focal", "loss=boundary", "loss=ce_dice"),
    ("regularizer=dropblock", "regularizer=stochastic_depth", "regularizer=all"),
    ("optimizer=sgd", "scheduler=poly", "average=ema"),
]


@pytest.mark.parametrize("axis", AXES, ids=["loss", "regularizer", "optimizer"])
def test_levels_of_a_seed_start_alike(built: Any, axis: tuple[str, ...]) -> None:
    reference = built("seed=3")
    images, weights = stream(reference), reference.state.model.state_dict()
    for word in axis:
        run = built("seed=3", word)
        assert run.state.model.state_dict().keys() == weights.keys()
        assert all(torch.equal(value, weights[key]) for key, value in run.state.model.state_dict().items()), word
        assert all(torch.equal(a, b) for a, b in zip(stream(run), images, strict=True)), word


def test_augmentations_see_the_same_order_and_weights(built: Any) -> None:
    orders, weights = [], []
    for word in ("augment=none", "augment=cutout", "augment=strong"):
        run = built("seed=3", word)
        orders.append([batch.index.tolist() for _ in range(2) for batch in run.loaders.train])
        weights.append(run.state.model.state_dict())
    assert orders[0] == orders[1] == orders[2]
    for others in weights[1:]:
        assert all(torch.equal(value, weights[0][key]) for key, value in others.items())


def test_other_seeds_start_otherwise(built: Any) -> None:
    first, second = built("seed=3"), built("seed=4")
    key = next(key for key in first.state.model.state_dict() if key.endswith("weight"))
    assert not torch.equal(first.state.model.state_dict()[key], second.state.model.state_dict()[key])
    assert not torch.equal(stream(first)[0], stream(second)[0])
