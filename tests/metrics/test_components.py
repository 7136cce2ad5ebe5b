"""python -m pytest tests/metrics/test_components.py"""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from seg.metrics import Components
from seg.metrics.components import component_scores


def slow(prediction: np.ndarray, target: np.ndarray) -> list[tuple[int, int, float]]:
    """Size, right pixels and adjusted IoU of each component, by the definition of Chan et al. (2021)."""
    eight = np.ones((3, 3))
    places, number = ndimage.label(target, eight)
    predicted, others = ndimage.label(prediction, eight)
    found = []
    for k in range(1, number + 1):
        component = places == k
        touching = [j for j in range(1, others + 1) if (component & (predicted == j)).any()]
        union = np.isin(predicted, touching)
        rest = target & ~component
        found.append(
            (
                int(component.sum()),
                int((component & prediction).sum()),
                (component & union).sum() / ((component | union) & ~rest).sum(),
            )
        )
    return sorted(found)


@pytest.mark.parametrize("seed", range(4))
def test_against_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 2) > 0.1
    prediction = ndimage.gaussian_filter(target + 0.4 * rng.normal(size=target.shape), 1) > 0.4
    found = sorted(zip(*(values.tolist() for values in component_scores(prediction, target)), strict=True))
    assert len(found) > 3
    for ours, theirs in zip(found, slow(prediction, target), strict=True):
        assert ours == pytest.approx(theirs)


def test_by_size_and_class() -> None:
    target = np.zeros((64, 64), np.uint8)
    target[2:4, 2:4] = 1  # 4 pixels, found
    target[2:4, 30:32] = 1  # 4 pixels, missed
    target[20:30, 20:30] = 1  # 100 pixels, half of it found
    target[40:50, 40:50] = 255
    prediction = np.zeros_like(target)
    prediction[2:4, 2:4] = 1
    prediction[20:30, 20:25] = 1
    prediction[40:50, 40:50] = 1  # ignored
    meter = Components("abc", bounds=(16, 1000))
    meter.update(prediction, target, 0)
    assert meter.components[1].tolist() == [[2, 1, 1, 1], [1, 0, 0.5, 0.5], [0, 0, 0, 0]]
    assert meter.components[0, 2, 0] == 1
    assert meter.components[2].sum() == 0
    scores = meter.scores(meter.totals())
    assert list(scores) == ["size_iou", "size_recall"]
    assert scores["size_recall"]["small"] == 0.5
    assert scores["size_iou"]["medium"] == 0.5
    again = Components("abc", bounds=(16, 1000))
    again.update(prediction, target, 0)
    twice = meter.scores({"components": meter.components + again.components})
    for name, by_size in scores.items():
        assert twice[name] == pytest.approx(by_size, nan_ok=True)


@pytest.mark.parametrize("bounds", [(1,), (5, 5), (0, 4), (9, 4), (1.5, 4), (1, 2, 3), 5, None])
def test_wrong_bounds(bounds: Any) -> None:
    with pytest.raises(ValueError, match="sizes: expected two rising whole numbers of pixels, got"):
        Components("ab", bounds=bounds)
