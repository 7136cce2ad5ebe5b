"""Two processes give the loss and the gradient that one process gives on all images together.

python -m pytest tests/losses/test_processes.py
"""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hydra.utils import instantiate
from losses.test_losses import NAMES, config, with_vectors
from torch import Tensor, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from seg import losses

CLASSES = 5
SPLITS = {"even": 2, "uneven": 3, "empty process": 4, "ignored process": 2, "class on one process": 2}
"""Images of the first process, of 4."""

PER_PROCESS = {"lovasz_softmax", "ce_lovasz"}
"""Losses that sort all pixels of a batch, and say that a batch is one process's."""

OPTIONS: dict[str, Callable[[], nn.Module]] = {
    "boundary alone": losses.Boundary,
    "cross entropy sum": lambda: losses.CrossEntropy(reduction="sum", label_smoothing=0.1),
    "weighted sum": lambda: losses.WeightedCrossEntropy(weight=[1, 2, 3, 4, 5], reduction="sum"),
    "focal 0": lambda: losses.Focal(gamma=0, weight=[1, 2, 3, 4, 5]),
    "dice image": lambda: losses.Dice(batch=False),
    "tversky count image": lambda: losses.Tversky(batch=False, absent="count", weight=[0, 1, 2, 3, 4]),
    "jaccard count": lambda: losses.Jaccard(absent="count"),
    "lovasz image": lambda: losses.LovaszSoftmax(batch=False),
    "generalized dice image": lambda: losses.GeneralizedDice(batch=False, absent="count"),
    "exp log image": lambda: losses.ExpLog(batch=False, absent="skip"),
    "cl dice": lambda: losses.ClDice(iterations=2),
    "cl dice image": lambda: losses.ClDice(iterations=2, batch=False, absent="count"),
    "poly1 0": lambda: losses.Poly1(epsilon=0),
}


def build(name: str) -> nn.Module:
    loss = OPTIONS[name]() if name in OPTIONS else instantiate(with_vectors(config(name), CLASSES))
    assert isinstance(loss, nn.Module)
    if hasattr(loss, "set_progress"):
        loss.set_progress(1, 2)
    return loss


def images(split: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(4, 3, 9, 8, generator=generator, dtype=torch.float64)
    target = torch.randint(CLASSES, (4, 9, 8), generator=generator)
    target[:, 2:4] = 255
    target[3, 4:] = 255  # images with different numbers of labelled pixels
    if split == "ignored process":
        target[2:] = 255
    if split == "class on one process":
        target[2:][target[2:] == 1] = 0
    return inputs, target


def model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Conv2d(3, CLASSES, 3, padding=1).double()


def measure(net: nn.Module, loss: nn.Module, inputs: Tensor, target: Tensor) -> dict[str, Any]:
    """The loss, its terms and the gradient of the parameters."""
    net.zero_grad()
    value = loss(net(inputs), target)
    value.backward()
    gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
    return {"value": value.item(), "gradient": gradient, "terms": dict(getattr(loss, "last", {}))}


def process(rank: int, folder: str) -> None:
    """What each of the two processes does: everything once, into a file."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
    net = DistributedDataParallel(model())
    found = {}
    for split, first in SPLITS.items():
        inputs, target = (part[:first] if rank == 0 else part[first:] for part in images(split))
        for name in (*NAMES, *OPTIONS, "ohem few"):
            loss = losses.OhemCrossEntropy(threshold=0.01, share=0.25) if name == "ohem few" else build(name)
            found[name, split] = measure(net, loss, inputs, target)
    if rank == 0:  # alone: without gradients nobody waits for anybody
        inputs, target = images("even")
        with torch.no_grad():
            found["alone"] = {name: build(name)(net.module(inputs), target).item() for name in NAMES}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("gloo")
    multiprocessing.spawn(process, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def agree(both: list[dict[str, Any]], value: float, gradient: Tensor) -> None:
    for one in both:
        assert one["value"] == pytest.approx(value, rel=1e-9, abs=1e-12)
        torch.testing.assert_close(one["gradient"], gradient, rtol=0, atol=1e-8 * float(gradient.abs().max()) + 1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", [n for n in (*NAMES, *OPTIONS) if n not in PER_PROCESS])
def test_one_process_equals_two(name: str, split: str, found: list[dict[Any, Any]]) -> None:
    both = [one[name, split] for one in found]
    expected = measure(model(), build(name), *images(split))
    agree(both, expected["value"], expected["gradient"])
    for one in both:  # what is reported is the value of all images too
        assert set(one["terms"]) == set(expected["terms"])
        for term, value in expected["terms"].items():
            torch.testing.assert_close(one["terms"][term], value)


def mixed(split: str, loss: nn.Module, count: Callable[[Tensor], int]) -> tuple[float, Tensor]:
    """The mean of what ``loss`` is on the images of each process, weighted by ``count`` of their targets."""
    inputs, target = images(split)
    parts = [part for part in (slice(None, SPLITS[split]), slice(SPLITS[split], None)) if count(target[part])]
    weights = [count(target[part]) for part in parts]
    results = [measure(model(), loss, inputs[part], target[part]) for part in parts]
    value = sum(w * r["value"] for w, r in zip(weights, results, strict=True)) / sum(weights)
    gradient = sum(w * r["gradient"] for w, r in zip(weights, results, strict=True)) / sum(weights)
    assert isinstance(gradient, Tensor)
    return value, gradient


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_said_of_losses_that_sort(split: str, found: list[dict[Any, Any]]) -> None:
    expected = mixed(split, build("lovasz_softmax"), lambda target: int((target != 255).any()))
    agree([one["lovasz_softmax", split] for one in found], *expected)
    alone = measure(model(), build("ce_lovasz").terms["cross_entropy"], *images(split))  # type: ignore[index]
    both = expected[0] + alone["value"], expected[1] + alone["gradient"]
    agree([one["ce_lovasz", split] for one in found], *both)
    few = losses.OhemCrossEntropy(threshold=0.01, share=0.25)
    expected = mixed(split, few, lambda target: int((target != 255).sum()) // 4)
    agree([one["ohem few", split] for one in found], *expected)


def test_without_gradients_each_process_is_alone(found: list[dict[Any, Any]]) -> None:
    inputs, target = images("even")
    for name, value in found[0]["alone"].items():
        assert value == pytest.approx(build(name)(model()(inputs), target).item(), rel=1e-9), name
