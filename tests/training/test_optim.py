"""python -m pytest tests/training/test_optim.py"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts as WarmRestarts

from seg import models
from seg.training import optim
from seg.training.optim import RateOptions


def test_cosine_warms_up_and_falls() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = optim.cosine(optimizer, steps=100, warmup=0.1, floor=0.01)
    rates = []
    for _ in range(100):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    for step in range(10, 100):
        expected = 2 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 10) / 90)))
        assert rates[step] == pytest.approx(expected)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.02)
    with pytest.raises(ValueError, match=r"scheduler.warmup: expected a share of the run .* below 1, got 1.0"):
        optim.cosine(optimizer, steps=10, warmup=1.0)


def rates(schedule: Callable[..., Any], taken: int, **options: Any) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer, **options)
    found = []
    for _ in range(taken):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


LINEAR = {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 120}


@pytest.mark.parametrize(
    ("ours", "options", "theirs", "reference"),
    [
        (optim.poly, {}, lr_scheduler.PolynomialLR, {"total_iters": 120, "power": 0.9}),
        (optim.poly, {"power": 1.0}, lr_scheduler.LinearLR, LINEAR),
        (optim.step, {"milestones": [0.5, 0.75]}, lr_scheduler.MultiStepLR, {"milestones": [60, 90]}),
        (optim.restarts, {"cycles": 3, "floor": 0.1}, WarmRestarts, {"T_0": 40, "eta_min": 0.2}),
        (
            optim.one_cycle,
            {},
            lr_scheduler.OneCycleLR,
            {"max_lr": 2.0, "total_steps": 120, "cycle_momentum": False},
        ),
        (optim.constant, {}, lr_scheduler.ConstantLR, {"factor": 1.0}),
    ],
)  # fmt: skip
def test_schedules_of_torch(
    ours: Callable[..., Any], options: dict[str, Any], theirs: type[Any], reference: dict[str, Any]
) -> None:
    found, expected = rates(ours, 119, steps=120, **options), rates(theirs, 119, **reference)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "options", "message"),
    [
        (optim.poly, {"power": 0.0}, "scheduler.power: expected a number above 0, got 0.0"),
        (optim.poly, {"floor": 2.0}, r"scheduler.floor: expected a share from 0 to 1, got 2.0"),
        (optim.step, {"milestones": [30, 60]}, r"scheduler.milestones.0: expected a share from 0 to 1, got 30"),
        (optim.restarts, {"cycles": 0}, "scheduler.cycles: expected a whole number of at least 1, got 0"),
        (optim.one_cycle, {"rising": -1}, r"scheduler.rising: expected a share from 0 to 1, got -1"),
        (optim.constant, {"warmup": -0.1}, r"scheduler.warmup: expected a share of the run .* below 1, got -0.1"),
    ],
)
def test_schedules_out_of_range(schedule: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rates(schedule, 1, steps=10, **options)


def test_encoder_and_layers_have_rates_of_their_own() -> None:
    model = models.build("unet", classes=2, encoder_name="resnet18", decoder_channels=[16, 16, 16, 16, 16])
    groups = optim.parameter_groups(model, lr=0.1, rates=RateOptions(0.5, 0.8))
    rate = {id(p): group.get("lr", 0.1) for group in groups for p in group["params"]}
    assert len(rate) == len(list(model.parameters()))
    expected = {"layer4.1": 0, "layer4.0": 1, "layer3.1": 2, "layer1.0": 7, "bn1": 8, "conv1": 9}
    for name, depth in expected.items():
        for p in model.encoder.get_submodule(name).parameters():
            assert rate[id(p)] == pytest.approx(0.1 * 0.5 * 0.8**depth), name
    assert {rate[id(p)] for p in model.decoder.parameters()} == {0.1}
    assert "lr" not in groups[0]
    assert all(p.ndim > 1 for group in groups if "weight_decay" not in group for p in group["params"])
    for encoder in ("tu-convnext_atto", "mit_b0"):  # behind a wrapper, with lists, with parameters beside modules
        other = models.build("fpn", classes=2, encoder_name=encoder)
        groups = optim.parameter_groups(other, lr=1.0, rates=RateOptions(layer_decay=0.9))
        found = [p for group in groups for p in group["params"]]
        assert {id(p) for p in found} == {id(p) for p in other.parameters()}
    for options, message in (
        ({"encoder": 0.0}, "rates.encoder: expected a share above 0, got 0.0"),
        ({"layer_decay": -1}, "rates.layer_decay: expected a share above 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            RateOptions(**options)
    with pytest.raises(ValueError, match="rates: expected optimizer.lr, got none"):
        optim.parameter_groups(model, rates=RateOptions(0.1))
    with pytest.raises(ValueError, match="rates: expected a model with an encoder, got Linear"):
        optim.parameter_groups(nn.Linear(1, 1), lr=1.0, rates=RateOptions(0.1))


def test_the_first_layers_are_left_out_of_the_training() -> None:
    model = models.build("unet", classes=2, encoder_name="resnet18", decoder_channels=[16, 16, 16, 16, 16])
    optim.freeze(model, 0)
    assert all(p.requires_grad for p in model.parameters())
    optim.freeze(model, 0.45)
    frozen = {name.split(".")[1] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    trained = sum(p.requires_grad for p in model.parameters())
    for rates in (RateOptions(frozen=0.45), RateOptions(0.5, 0.8, frozen=0.45)):
        assert sum(len(group["params"]) for group in optim.parameter_groups(model, lr=0.1, rates=rates)) == trained
    assert all("lr" not in group for group in optim.parameter_groups(model, rates=RateOptions(frozen=0.45)))
    for share in (-0.1, 1.0, 5):
        with pytest.raises(ValueError, match=f"rates.frozen: expected a share of the encoder's layers .*, got {share}"):
            RateOptions(frozen=share)
    with pytest.raises(ValueError, match="expected at least one of the encoder's 10 layers, got .* 0.09; give 0.1 or"):
        optim.freeze(model, 0.09)
    with pytest.raises(ValueError, match="rates: expected a model with an encoder, got Linear; give rates.frozen=0"):
        optim.freeze(nn.Linear(1, 1), 0.5)


def test_a_part_of_the_objective_has_a_rate_of_its_own() -> None:
    model, objective = nn.Conv2d(3, 8, 3), nn.ModuleDict({"loss": nn.Linear(2, 1), "weighting": nn.BatchNorm2d(2)})
    groups = optim.parameter_groups(model, objective, lr=0.5, apart=[(objective["weighting"], 4.0)])
    assert [(group.get("lr"), group.get("weight_decay"), len(group["params"])) for group in groups] == [
        (None, None, 2),
        (None, 0.0, 2),
        (2.0, 0.0, 2),
    ]
    assert [id(p) for p in groups[2]["params"]] == [id(p) for p in objective["weighting"].parameters()]
    assert len(optim.parameter_groups(model, objective, apart=[(objective["weighting"], 1.0)])) == 2
    with pytest.raises(ValueError, match="rates: expected optimizer.lr, got none"):
        optim.parameter_groups(model, objective, apart=[(objective["weighting"], 4.0)])


def test_parameter_groups_spare_biases_and_norms() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1))
    decayed, others = optim.parameter_groups(model)
    assert [p.ndim for p in decayed["params"]] == [4, 4]
    assert [p.ndim for p in others["params"]] == [1, 1, 1, 1]
    assert others["weight_decay"] == 0.0
