"""python -m pytest tests/metrics/test_errors.py"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from seg.labels import IGNORE
from seg.metrics import PixelCounts
from seg.metrics.errors import ErrorKinds, error_shares
from seg.metrics.meters import Pass

Mask = NDArray[np.uint8]


def by_hand(prediction: Mask, target: Mask, reach: float) -> list[int]:
    """Pixel by pixel, components by SciPy."""
    places = np.zeros(target.shape, int)
    for index in np.unique(target[target != IGNORE]):
        found, _ = ndimage.label(target == index, np.ones((3, 3)))
        places[found > 0] = found[found > 0] + places.max()
    hit = {places[y, x] for y, x in np.argwhere((prediction == target) & (target != IGNORE))}
    kinds = [0, 0, 0, int((target != IGNORE).sum())]
    for y, x in np.argwhere((prediction != target) & (target != IGNORE)):
        others = np.argwhere(target != target[y, x])
        near = len(others) and np.hypot(*(others - [y, x]).T).min() <= reach
        kinds[0 if places[y, x] not in hit else 1 if near else 2] += 1
    return kinds


@pytest.mark.parametrize("tolerance", [1, 2.5, 0.1])
def test_equal_to_counting_by_hand(tolerance: float) -> None:
    rng = np.random.default_rng(0)
    meter, wanted = ErrorKinds(8, tolerance=tolerance), []
    for position in range(8):
        coarse = rng.integers(0, 4, (6, 8))
        target = np.kron(coarse, np.ones((4, 4))).astype(np.uint8)
        prediction = np.where(rng.random(target.shape) < 0.7, target, rng.integers(0, 4, target.shape)).astype(np.uint8)
        prediction[target == 3] = 0  # all of them are missed
        target[rng.random(target.shape) < 0.1] = IGNORE
        meter.update(prediction, target, position)
        reach = tolerance if tolerance >= 1 else tolerance * np.hypot(*target.shape)
        wanted.append(by_hand(prediction, target, reach))
    assert meter.totals()["errors"].tolist() == wanted
    scores = meter.scores(meter.totals())
    total = np.array(wanted).sum(0)
    assert list(scores.values()) == pytest.approx((total[:3] / total[3]).tolist())
    assert sum(scores.values()) <= 1


def test_a_thing_cut_in_half_and_one_that_is_missed() -> None:
    target = np.zeros((40, 60), np.uint8)
    target[10:30, 5:25], target[10:30, 35:55] = 1, 1
    prediction = target.copy()
    prediction[:, 15:25] = 0  # half of the first
    prediction[:, 30:] = 0  # all of the second
    meter = ErrorKinds(1, tolerance=2)
    meter.update(prediction, target, 0)
    assert meter.errors.tolist() == [[400, 2 * 10 * 2 + 2 * 16, 200 - 72, 2400]]


def test_nothing_labelled_and_nothing_else() -> None:
    meter = ErrorKinds(2)
    meter.update(np.zeros((4, 5), np.uint8), np.full((4, 5), IGNORE, np.uint8), 0)
    meter.update(np.ones((4, 5), np.uint8), np.zeros((4, 5), np.uint8), 1)
    assert meter.errors.tolist() == [[0, 0, 0, 0], [20, 0, 0, 20]]
    assert np.isnan(error_shares(meter.errors.numpy())[0]).all()


def test_all_wrong_pixels_are_in_one_kind() -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 3, 24, 32), torch.randint(0, 3, (2, 24, 32), dtype=torch.uint8)
    kinds = ErrorKinds(2)
    counts = PixelCounts(2, ("a", "b", "c"))
    Pass([kinds, counts]).logits(logits, mask, torch.arange(2))
    wrong = counts.counts[..., 2].sum(1) - counts.counts[..., 0].sum(1)
    assert kinds.errors[:, :3].sum(1).tolist() == wrong.tolist()
