"""python -m pytest tests/tasks/test_objective.py"""

import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seg.data.batches import Batch, collate
from seg.data.dataset import Sample
from seg.losses import Boundary, CrossEntropy, Dice, WeightedSum, signed_distance
from seg.losses.weighting import Fixed, Uncertainty
from seg.tasks.objective import Losses, MultiTask, Segmentation

LOGITS = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MASKS = torch.randint(3, (2, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def composite() -> WeightedSum:
    return WeightedSum(terms={"dice": Dice(), "boundary": Boundary()}, weights={"dice": 1.0, "boundary": 0.5})


def test_a_plain_loss_needs_nothing_prepared() -> None:
    objective = Segmentation(CrossEntropy(), 3)
    assert objective.prepare(MASKS[0]) == {}
    images = torch.zeros(2, 3, 8, 8)
    losses = objective(lambda found: LOGITS if found is images else None, Batch(images, MASKS, torch.arange(2), {}))
    assert torch.equal(losses.total, CrossEntropy()(LOGITS, MASKS))
    assert losses.terms == {}


def test_distance_maps_are_prepared_for_those_who_take_them() -> None:
    objective = Segmentation(composite(), 3)
    prepare = pickle.loads(pickle.dumps(objective.prepare))  # as a spawned worker gets it
    maps = torch.stack([prepare(mask)["distance"] for mask in MASKS])
    assert torch.equal(maps, signed_distance(MASKS, 3))
    batch = Batch(torch.zeros(2, 3, 8, 8), MASKS, torch.arange(2), {"distance": maps})
    prepared, eager = objective(lambda _: LOGITS, batch), objective.losses(LOGITS, MASKS)
    assert torch.equal(prepared.total, eager.total)
    assert set(prepared.terms) == {"dice", "boundary"}
    assert prepared.total == pytest.approx(float(prepared.terms["dice"] + 0.5 * prepared.terms["boundary"]))
    wrong = batch._replace(extra={"distance": maps + 1})
    assert not torch.equal(objective(lambda _: LOGITS, wrong).total, eager.total)  # they are used


def test_the_state_is_that_of_the_loss() -> None:
    objective = Segmentation(composite(), 3)
    assert list(objective.state_dict()) == ["loss.progress"]


def test_a_class_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"classes: expected class indices 0..2, got \[3\]"):
        Segmentation(Boundary(classes=[3]), 3)


class Model(nn.Module):
    """Logits, and what a head named ``share`` says of them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 1, 1)

    def forward(self, images: Tensor, *, heads: bool = False) -> Any:
        logits = self.body(images)
        return (logits, {"share": self.head(logits)}) if heads else logits


class Share(nn.Module):
    """The head says for each pixel how much of the mask is of class 0; with terms, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def prepare(self, mask: Tensor) -> dict[str, Any]:
        return {"wanted": (mask == 0).float().mean(), "size": tuple(mask.shape)}

    def forward(self, output: Tensor, logits: Tensor, batch: Batch) -> Losses:
        assert logits.shape[0] == output.shape[0] == len(batch.masks)
        assert set(batch.extra) == {"wanted", "size"}
        off = (self.slope * output - batch.extra["wanted"].view(-1, 1, 1, 1)).square()
        return Losses(off.mean(), {"worst": off.detach().amax()})


def several(**options: Any) -> MultiTask:
    weighting = options.pop("weighting", Fixed(("segmentation", "share")))
    return MultiTask(Segmentation(composite(), 3), {"share": Share()}, weighting, **options)


def prepared(objective: MultiTask) -> Batch:
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    extra = pickle.loads(pickle.dumps(objective.prepare))
    return collate([Sample(images[n], MASKS[n], n, extra(MASKS[n])) for n in range(2)])


def test_several_tasks_are_summed() -> None:
    objective, model = several(weights={"share": 0.5}), Model()
    batch = prepared(objective)
    assert set(batch.extra) == {"distance", "share"}
    losses = objective(model, batch)
    first = Segmentation(composite(), 3)(model, batch._replace(extra={"distance": batch.extra["distance"]}))
    logits, outputs = model(batch.images, heads=True)
    second = Share()(outputs["share"], logits, batch._replace(extra=batch.extra["share"])).total
    assert torch.equal(losses.total, first.total + 0.5 * second)
    found = {name: float(value) for name, value in losses.terms.items()}
    assert found["segmentation"] == first.total.item()
    assert found["share"] == second.item(), "unweighted"
    assert list(found) == ["segmentation", "segmentation.dice", "segmentation.boundary", "share", "share.worst"]
    assert {name: float(weight) for name, weight in losses.weights.items()} == {"segmentation": 1, "share": 1}
    losses.total.backward()
    assert all(p.grad is not None for p in [*model.parameters(), *objective.parameters()])
    # what is validated is the segmentation alone
    assert torch.equal(objective.losses(logits, batch.masks).total, first.total)


def test_what_the_workers_did_not_prepare_is_made_when_it_is_missing() -> None:
    objective, model = several(), Model()
    batch = prepared(objective)
    assert torch.equal(objective(model, batch).total, objective(model, batch._replace(extra={})).total)


def test_a_composite_loss_is_weighed_as_tasks_are() -> None:
    """Its weights, ramps too, come first; what is validated is the sum."""
    loss = WeightedSum(
        terms={"cross": CrossEntropy(), "dice": Dice()}, weights={"cross": {"start": 1.0, "end": 3.0}, "dice": 0.5}
    )
    weighting = Uncertainty(("cross", "dice"))
    weighting.log_variance.data = torch.tensor([0.5, -1.0])
    objective, model = Segmentation(loss, 3, weighting), Model()
    loss.set_progress(1, 2)
    batch = Batch(torch.randn(2, 3, 8, 8), MASKS, torch.arange(2), {})
    losses = objective(model, batch)
    logits = model(batch.images)
    parts = 2.0 * CrossEntropy()(logits, MASKS), 0.5 * Dice()(logits, MASKS)
    factors = math.exp(-0.5), math.exp(1.0)
    assert losses.total.item() == pytest.approx(
        factors[0] * parts[0].item() + factors[1] * parts[1].item() - 0.25, rel=1e-5
    )
    assert list(map(float, losses.weights.values())) == pytest.approx(factors)
    assert float(losses.terms["cross"]) == pytest.approx(parts[0].item() / 2, rel=1e-5)
    losses.total.backward()
    expected = torch.autograd.grad(factors[0] * parts[0] + factors[1] * parts[1], model.body.weight)[0]
    torch.testing.assert_close(model.body.weight.grad, expected)
    assert objective.losses(logits, MASKS).total.item() == pytest.approx(sum(part.item() for part in parts), rel=1e-5)


class PerImage(Share):
    def forward(self, output: Tensor, logits: Tensor, batch: Batch) -> Any:
        return output.mean((1, 2, 3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: several(weights={"share": 0}), "task.share.weight: expected a number above 0, got 0; give one, or"),
        (
            lambda: several(weighting=Fixed(("share", "segmentation"))),
            r"weighting: expected one of \('segmentation', 'share'\), got one of \('share', 'segmentation'\)",
        ),
        (
            lambda: several(weighting=Uncertainty(("segmentation", "share"))),
            r"never below 0, because Uncertainty divides by .* got 'segmentation' \(Boundary\)",
        ),
        (
            lambda: Segmentation(Dice(), 3, Uncertainty(("segmentation",))),
            "weighting: expected several losses to weigh, got Dice alone; give weighting=fixed, a task=..., or a",
        ),
        (
            lambda: MultiTask(Segmentation(Dice(), 3), {"share": PerImage()}, Fixed(("segmentation", "share")))(
                Model(), Batch(torch.zeros(2, 3, 8, 8), MASKS, torch.arange(2), {})
            ),
            r"task.share: expected a scalar, got a loss of shape \(2,\); reduce it",
        ),
    ],
)
def test_several_tasks_that_make_no_sense(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
