"""python -m pytest tests/metrics/test_scores.py"""

import math

import numpy as np
import pytest

from seg.metrics.scores import (
    boundary_f1,
    by_class,
    by_image,
    calibration_error,
    class_means,
    image_ious,
    image_means,
    majority_scores,
    scores_of,
    surface_dice,
    worst,
)


def some_counts(images: int = 7, classes: int = 4, seed: int = 0) -> np.ndarray:
    """Counts as masks give them: some classes absent from some targets, an image without a labelled pixel."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 50, (images, classes)) * (rng.random((images, classes)) < 0.6)
    right = rng.integers(0, target + 1)
    counts = np.stack([right, right + rng.integers(0, 20, target.shape), target], axis=2)
    counts[3] = 0
    counts[:, 2, 2] = counts[:, 2, 0] = 0  # a class that is predicted only
    return counts


def test_means_by_image_and_by_class_against_loops() -> None:
    counts = some_counts()
    values: dict[tuple[int, int], float] = {}
    for i, table in enumerate(counts.tolist()):
        for c, (right, predicted, target) in enumerate(table):
            if target > 0:
                values[i, c] = right / (predicted + target - right)
    images = [[v for (i, _), v in values.items() if i == image] for image in range(len(counts))]
    classes = [[v for (_, c), v in values.items() if c == label] for label in range(counts.shape[1])]
    per_image, per_class = ([sum(v) / len(v) for v in groups if v] for groups in (images, classes))
    ious = image_ious(counts)
    assert by_image(ious) == pytest.approx(sum(per_image) / len(per_image))
    assert by_class(ious) == pytest.approx(sum(per_class) / len(per_class))
    assert np.isnan(image_means(ious)).nonzero()[0].tolist() == [3]
    assert np.isnan(class_means(ious)).nonzero()[0].tolist() == [2]


def test_dataset_mean_keeps_a_class_that_is_only_predicted() -> None:
    """The three means differ in their policy: D counts false alarms of a class that no target has."""
    found = scores_of(some_counts().sum(0))
    assert found.iou[2] == 0
    assert found.miou == pytest.approx(sum(found.iou) / 4)


@pytest.mark.parametrize("images", [1, 7, 100, 250])
def test_worst_curve_against_a_loop(images: int) -> None:
    values = np.random.default_rng(images).random(images)
    curve = worst(np.append(values, np.nan))
    for q in range(1, 101):
        lowest = sorted(values)[: max(1, int(q * images / 100))]
        assert curve[q - 1] == pytest.approx(sum(lowest) / len(lowest))
    assert curve[-1] == pytest.approx(values.mean())
    assert (np.diff(curve) >= -1e-12).all()


def test_boundary_scores_by_hand() -> None:
    #         predicted, target, predicted near, target near
    counts = [[[10, 20, 5, 10], [0, 5, 0, 0], [4, 0, 0, 0], [0, 0, 0, 0], [3, 3, 0, 0]]]
    f1, nsd = boundary_f1(counts)[0], surface_dice(counts)[0]
    assert f1.tolist()[:2] == [0.5, 0.0]
    assert nsd.tolist()[:2] == [0.5, 0.0]
    assert np.isnan(f1[2:4]).all()
    assert np.isnan(nsd[2:4]).all()
    assert f1[4] == 0


def test_calibration_error_by_hand() -> None:
    bins = np.array([[[4, 2.0, 4], [6, 5.4, 3]], [[0, 0, 0], [0, 0, 0]]])
    assert calibration_error(bins)[0] == pytest.approx((abs(4 - 2.0) + abs(3 - 5.4)) / 10)
    assert math.isnan(calibration_error(bins)[1])


def test_nothing_at_all() -> None:
    nothing = np.zeros((2, 3, 3), np.int64)
    assert all(math.isnan(mean(image_ious(nothing))) for mean in (by_image, by_class))
    assert np.isnan(worst(image_means(image_ious(nothing)))).all()
    assert math.isnan(scores_of(nothing.sum(0)).miou)
    assert math.isnan(majority_scores(nothing.sum(0)).accuracy)
