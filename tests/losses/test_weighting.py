"""Several losses become one: formulas, gradients, refusals, and runs that go on.

python -m pytest tests/losses/test_weighting.py
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import get_object
from torch import Tensor

from seg.losses import Boundary, Dice, WeightedSum
from seg.losses.weighting import DynamicWeightAverage, Fixed, SoftOptimalUncertainty, Uncertainty, Weighting
from seg.tasks.objective import Segmentation

CONF = Path(__file__).resolve().parents[2] / "conf" / "weighting"
NAMES = ("segmentation", "boxes", "edges")
VALUES = (1.7, 0.02, 0.4)
S = np.array([0.3, -1.2, 0.8])

Make = Callable[[], Weighting]


def options() -> list[Any]:
    found = []
    for path in sorted(CONF.glob("*.yaml")):
        settings = yaml.safe_load(path.read_text())
        found.append(pytest.param(partial(get_object(settings.pop("_target_")), NAMES, **settings), id=path.stem))
    return found


@pytest.fixture(params=options())
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


def scalars(values: Any = VALUES, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    return {name: torch.tensor(v, dtype=dtype, requires_grad=True) for name, v in zip(NAMES, values, strict=True)}


def moved(weighting: Weighting) -> Weighting:
    """In float64, where it does not begin: with log variances, or two epochs behind it."""
    weighting = weighting.double()
    if isinstance(weighting, Uncertainty):
        weighting.log_variance.data = torch.tensor(S)
    if isinstance(weighting, DynamicWeightAverage):
        weighting.epochs.copy_(torch.tensor([[2.0, 0.5, 0.3], [1.0, 0.4, 0.6]], dtype=torch.float64))
    return weighting


def kendall(values: np.ndarray) -> tuple[np.ndarray, float]:
    return np.exp(-S), float((np.exp(-S) * values + S / 2).sum())


def liebel(values: np.ndarray) -> tuple[np.ndarray, float]:
    c = np.exp(S / 2)  # the paper's c, whose square is the variance
    return 1 / (2 * c**2), float((values / (2 * c**2) + np.log(1 + c**2)).sum())


def uw_so(values: np.ndarray) -> tuple[np.ndarray, float]:
    powers = np.exp(1 / values - (1 / values).max())
    return powers / powers.sum(), float((powers / powers.sum() * values).sum())


def dwa(values: np.ndarray) -> tuple[np.ndarray, float]:
    powers = np.exp(np.array([1.0 / 2.0, 0.4 / 0.5, 0.6 / 0.3]) / 2.0)
    return 3 * powers / powers.sum(), float((3 * powers / powers.sum() * values).sum())


REFERENCES = {
    "fixed": lambda values: (np.ones(3), float(values.sum())),
    "uncertainty": kendall,
    "uncertainty_positive": liebel,
    "uw_so": uw_so,
    "dwa": dwa,
}


def test_all_are_held_against_a_reference() -> None:
    assert sorted(REFERENCES) == sorted(path.stem for path in CONF.glob("*.yaml"))


def test_values_and_gradients(make: Make, request: pytest.FixtureRequest) -> None:
    weighting, losses = moved(make()), scalars()
    total, factors = weighting(losses)
    expected, sum_ = REFERENCES[request.node.callspec.id](np.array(VALUES))
    assert total.item() == pytest.approx(sum_, rel=1e-12)
    assert [float(factors[name]) for name in NAMES] == pytest.approx(expected, rel=1e-12)
    total.backward()
    # whatever they depend on, factors have no gradient of their own
    assert [float(loss.grad) for loss in losses.values()] == pytest.approx(expected, rel=1e-12)
    assert not any(factor.requires_grad for factor in factors.values())


def test_the_gradient_of_what_is_learnt_by_central_differences(make: Make) -> None:
    weighting = moved(make())
    parameters = list(weighting.parameters())
    assert len(parameters) == isinstance(weighting, Uncertainty)
    for parameter in parameters:
        weighting(scalars())[0].backward()
        for index in range(3):
            sides = []
            for step in (1e-6, -1e-6):
                parameter.data[index] += step
                sides.append(weighting(scalars())[0].item())
                parameter.data[index] -= step
            assert float(parameter.grad[index]) == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-7)


def test_all_begin_as_fixed_but_for_a_factor() -> None:
    """So that the first steps are alike; UW-SO is what it is from the first step on."""
    plain = sum(VALUES)
    assert Uncertainty(NAMES)(scalars())[0].item() == pytest.approx(plain, rel=1e-6)
    assert DynamicWeightAverage(NAMES)(scalars())[0].item() == pytest.approx(plain, rel=1e-6)
    positive = Uncertainty(NAMES, positive=True)(scalars())[0].item()
    assert positive == pytest.approx(plain / 2 + 3 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("positive", [False, True])
def test_learnt_weights_come_to_rest(positive: bool) -> None:
    """At 1 / (2 L); in the positive form, where exp(-s) L / 2 = exp(s) / (1 + exp(s)), by a quadratic equation."""
    weighting = Uncertainty(NAMES, positive=positive).double()
    values = torch.tensor(VALUES, dtype=torch.float64)
    variances = values / 4 + (values**2 / 16 + values / 2).sqrt() if positive else 2 * values
    weighting.log_variance.data = variances.log()
    total, factors = weighting(scalars())
    total.backward()
    assert weighting.log_variance.grad.tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    expected = 1 / (2 * variances) if positive else 1 / (2 * values)
    assert [float(f) for f in factors.values()] == pytest.approx(expected.tolist(), rel=1e-12)


def test_losses_of_zero_have_nothing_to_teach() -> None:
    """As of a batch without an object: the others are trained as if it were not there."""
    weighting = SoftOptimalUncertainty(NAMES).double()
    factors = weighting(scalars((1.7, 0.0, 0.4)))[1]
    powers = np.exp([1 / 1.7, 1 / 0.4])
    assert [float(f) for f in factors.values()] == pytest.approx(
        [powers[0] / powers.sum(), 0, powers[1] / powers.sum()]
    )
    total, factors = weighting(scalars((0.0, 0.0, 0.0)))
    assert total.item() == 0
    assert [float(f) for f in factors.values()] == pytest.approx([1 / 3] * 3)
    tiny = SoftOptimalUncertainty(NAMES)(scalars((1e-30, 1e-20, 1.0), torch.float32))
    assert all(torch.isfinite(f) for f in tiny[1].values())


def test_a_high_temperature_makes_weights_alike() -> None:
    assert [float(f) for f in SoftOptimalUncertainty(NAMES, temperature=1e9)(scalars())[1].values()] == pytest.approx(
        [1 / 3] * 3, rel=1e-6
    )
    weighting = moved(DynamicWeightAverage(NAMES, temperature=1e9))
    assert [float(f) for f in weighting(scalars())[1].values()] == pytest.approx([1.0] * 3)


def test_dwa_counts_epochs() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    history = generator.uniform(0.1, 2, (5, 7, 3))  # epochs, steps, losses
    weighting = DynamicWeightAverage(NAMES).double()
    for epoch, steps in enumerate(history):
        for values in steps:
            factors = np.array([float(f) for f in weighting(scalars(values))[1].values()])
            ratios = history[epoch - 1].mean(0) / history[epoch - 2].mean(0) if epoch > 1 else np.ones(3)
            powers = np.exp(ratios / 2)
            assert factors == pytest.approx(3 * powers / powers.sum(), rel=1e-6)
        weighting(scalars((math.nan, 1.0, 1.0)))  # a step that is left out
        weighting.next_epoch()
    before = weighting.epochs.clone()
    weighting.next_epoch()  # without a step
    assert torch.equal(weighting.epochs, before)


def test_a_task_that_never_had_a_loss_has_a_weight_all_the_same() -> None:
    weighting = DynamicWeightAverage(NAMES).double()
    for _ in range(3):
        weighting(scalars((1.0, 0.0, 2.0)))
        weighting.next_epoch()
    assert [float(f) for f in weighting(scalars())[1].values()] == pytest.approx([1.0] * 3)


def test_losses_below_zero(make: Make) -> None:
    weighting = make()
    below = scalars((1.0, -0.25, 0.3))
    if isinstance(weighting, Fixed):
        assert weighting(below)[0].item() == pytest.approx(1.05)
        weighting.check({"boundary": Boundary()})
        return
    kind = type(weighting).__name__
    with pytest.raises(ValueError, match=rf"never below 0, because {kind} divides by .* got 'boxes' \(-0.25\); give"):
        weighting(below)
    composite = WeightedSum(terms={"dice": Dice(), "rim": Boundary()}, weights={"dice": 1.0, "rim": 0.1})
    with pytest.raises(ValueError, match=rf"{kind} .* got 'segmentation' \(Boundary\); give weighting=fixed, or"):
        weighting.check({"segmentation": composite})
    terms = make.func(("dice", "rim"), **make.keywords)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"got 'rim' \(Boundary\)"):
        Segmentation(composite, 3, terms)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (partial(Uncertainty, positive=1), "weighting.positive: expected true or false, got 1; give one"),
        (partial(Uncertainty, rate=-1), "weighting.rate: expected a number above 0, got -1; give one"),
        (partial(SoftOptimalUncertainty, temperature=0), "weighting.temperature: expected a number above 0, got 0;"),
        (partial(DynamicWeightAverage, temperature=True), "weighting.temperature: .* above 0, got True;"),
        (partial(DynamicWeightAverage, temperature=math.inf), "weighting.temperature: .* got inf; give one"),
        (partial(SoftOptimalUncertainty, temperature="1"), "weighting.temperature: .* got '1'; give one"),
    ],
)
def test_bad_options(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(NAMES)
