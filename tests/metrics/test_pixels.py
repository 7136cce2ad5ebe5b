"""python -m pytest tests/metrics/test_pixels.py"""

import math

import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_jaccard_index,
)

from seg.metrics.counting import confusion_matrix
from seg.metrics.pixels import image_counts
from seg.metrics.scores import majority_scores, scores_of


def random_pair(classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, (3, 17, 23), generator=generator)
    prediction = torch.where(torch.rand(target.shape, generator=generator) < 0.6, target, (target + 1) % classes)
    target[torch.rand(target.shape, generator=generator) < 0.2] = 255
    return prediction, target.to(torch.uint8)


@pytest.mark.parametrize("classes", [2, 11, 150])
def test_against_torchmetrics(classes: int) -> None:
    prediction, target = random_pair(classes, seed=classes)
    matrix = confusion_matrix(prediction, target, classes)
    reference = {"num_classes": classes, "ignore_index": 255}
    assert torch.equal(matrix, multiclass_confusion_matrix(prediction, target.long(), **reference))
    ours = scores_of(image_counts(matrix))
    theirs = multiclass_jaccard_index(prediction, target.long(), average=None, **reference)
    torch.testing.assert_close(torch.tensor(ours.iou), theirs.double(), atol=1e-6, rtol=0, check_dtype=False)
    theirs = multiclass_f1_score(prediction, target.long(), average=None, **reference)
    torch.testing.assert_close(torch.tensor(ours.dice), theirs.double(), atol=1e-6, rtol=0, check_dtype=False)
    accuracy = multiclass_accuracy(prediction, target.long(), average="micro", **reference)
    assert ours.accuracy == pytest.approx(float(accuracy), abs=1e-6)


def test_by_hand() -> None:
    target = torch.tensor([[0, 0, 1, 255]])
    prediction = torch.tensor([[0, 1, 1, 2]])
    result = scores_of(image_counts(confusion_matrix(prediction, target, 4)))
    assert result.iou[:2] == (0.5, 0.5)
    assert math.isnan(result.iou[2])  # predicted at an ignored pixel only: it does not occur
    assert result.miou == 0.5
    assert result.dice[0] == pytest.approx(2 / 3)
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.target == (2, 1, 0, 0)


def test_counts_add_up_over_images() -> None:
    prediction, target = random_pair(5, seed=1)
    whole = image_counts(confusion_matrix(prediction, target, 5))
    parts = [image_counts(confusion_matrix(p, t, 5)) for p, t in zip(prediction, target, strict=True)]
    assert torch.equal(whole, torch.stack(parts).sum(0))


def test_majority_is_the_constant_predictor() -> None:
    _, target = random_pair(5, seed=2)
    counts = image_counts(confusion_matrix(target, target, 5))
    for answer in range(5):
        constant = scores_of(image_counts(confusion_matrix(torch.full_like(target, answer), target, 5)))
        ours = majority_scores(counts, answer)
        assert (ours.miou, ours.accuracy, ours.target) == (constant.miou, constant.accuracy, constant.target)
    assert majority_scores(counts).accuracy == max(majority_scores(counts, a).accuracy for a in range(5))


def test_everything_ignored() -> None:
    result = scores_of(image_counts(confusion_matrix(torch.zeros(2, 2).long(), torch.full((2, 2), 255), 3)))
    assert math.isnan(result.miou)
    assert math.isnan(result.accuracy)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"prediction \(2,\) and target \(3,\) differ"):
        confusion_matrix(torch.zeros(2).long(), torch.zeros(3).long(), 2)
    with pytest.raises(ValueError, match=r"target: class indices are 0..1, got 0..7"):
        confusion_matrix(torch.zeros(2).long(), torch.tensor([0, 7]), 2)
    with pytest.raises(ValueError, match=r"prediction: class indices are 0..1, got 0..2"):
        confusion_matrix(torch.tensor([0, 2]), torch.zeros(2).long(), 2)
