"""python -m pytest tests/test_objective.py"""

import pickle

import pytest
import torch

from seg.loading import Batch
from seg.losses import Boundary, CrossEntropy, Dice, WeightedSum, signed_distance
from seg.objective import Segmentation

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
