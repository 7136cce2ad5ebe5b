"""Boundary IoU, boundary F1, surface Dice and Hausdorff distance, against loops and against others' code.

python -m pytest tests/metrics/test_boundaries.py
"""

import importlib
import itertools
import math
import warnings
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from seg.metrics import Boundaries
from seg.metrics.boundaries import at_tolerance, band_counts, pixels
from seg.metrics.scores import boundary_f1, surface_dice

CLASSES = 4
NAMES = [f"class {index}" for index in range(CLASSES)]


def blobs(seed: int, height: int = 40, width: int = 52, *, ignored: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and target of smooth regions that nearly agree, a speck of a class of its own, some of it ignored."""
    rng = np.random.default_rng(seed)
    noise = [cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 5) for _ in range(CLASSES - 1)]
    target = np.argmax(noise, axis=0).astype(np.uint8)
    moved = [n + 0.3 * n.std() * cv2.GaussianBlur(rng.normal(size=n.shape), (0, 0), 2) for n in noise]
    prediction = np.argmax(moved, axis=0).astype(np.uint8)
    prediction[5:7, 8:10] = CLASSES - 1
    if ignored:
        target[10:20, 30:36] = 255
        target[rng.random(target.shape) < 0.01] = 255
    return prediction, target


def edge_by_loop(mask: np.ndarray, ignored: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """Boundary pixels of each class, by the words of the module."""
    height, width = mask.shape
    found: dict[int, list[tuple[int, int]]] = {c: [] for c in range(CLASSES)}
    for y, x in itertools.product(range(height), range(width)):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [p for p in around if 0 <= p[0] < height and 0 <= p[1] < width and not ignored[p]]
        if not ignored[y, x] and any(mask[p] != mask[y, x] for p in inside):
            found[int(mask[y, x])].append((y, x))
    return found


def measured(prediction: np.ndarray, target: np.ndarray, **options: Any) -> Boundaries:
    meter = Boundaries(1, NAMES, **options)
    meter.update(prediction, target, 0)
    return meter


@pytest.mark.parametrize(("seed", "tolerances"), [(0, (0.0075, 1, 2.5, 6)), (1, (3,)), (2, (0.9, 1, 40))])
def test_edges_and_what_is_near_against_loops(seed: int, tolerances: tuple[float, ...]) -> None:
    prediction, target = blobs(seed)
    ignored = target == 255
    predicted, wanted = edge_by_loop(prediction, ignored), edge_by_loop(target, ignored)
    edges = measured(prediction, target, tolerances=tolerances).edges[0].numpy()
    for c in range(CLASSES):
        assert edges[c, :2].tolist() == [len(predicted[c]), len(wanted[c])]
        for number, tolerance in enumerate(tolerances):
            reach = tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*target.shape))
            near = [
                sum(any(math.dist(p, q) <= reach for q in others[c]) for p in ours[c])
                for ours, others in ((predicted, wanted), (wanted, predicted))
            ]
            assert edges[c, 2 + 2 * number : 4 + 2 * number].tolist() == near


def published_boundary(mask: np.ndarray, dilation_ratio: float = 0.02) -> np.ndarray:
    """``mask_to_boundary`` of Cheng et al., boundary-iou-api, in its words."""
    h, w = mask.shape
    img_diag = np.sqrt(h**2 + w**2)
    dilation = round(dilation_ratio * img_diag)
    dilation = max(dilation, 1)
    new_mask = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    kernel = np.ones((3, 3), dtype=np.uint8)
    new_mask_erode = cv2.erode(new_mask, kernel, iterations=dilation)
    return mask - new_mask_erode[1 : h + 1, 1 : w + 1]


@pytest.mark.parametrize("size", [(8, 9), (40, 52), (90, 160)])
def test_boundary_iou_is_the_published_one(size: tuple[int, int]) -> None:
    prediction, target = blobs(size[0], *size, ignored=False)
    counts = band_counts(prediction, target, CLASSES)
    for c in range(CLASSES):
        ours, theirs = (published_boundary((mask == c).astype(np.uint8)) > 0 for mask in (prediction, target))
        assert counts[c].tolist() == [(ours & theirs).sum(), ours.sum(), theirs.sum()]


def test_ignored_pixels_make_no_boundary_and_have_no_influence() -> None:
    """Two halves with an ignored strip between them: the only boundary that is judged is where they touch."""
    target = np.zeros((60, 80), np.uint8)
    target[:, 40:] = 1
    target[:, 38:42] = 255
    assert measured(target, target, tolerances=[1]).edges.sum() == 0
    prediction = target.copy()
    prediction[target == 255] = 2
    assert torch.equal(measured(prediction, target).bands, measured(target, target).bands)
    assert measured(prediction, target).edges.sum() == 0
    target[:, 38:42] = np.where(np.arange(4) < 2, 0, 1)
    assert measured(target, target, tolerances=[1]).edges[0, :2, 0].tolist() == [60, 60]
    # the band of boundary IoU: within 2 pixels of the image border, and of the strip only where that is labelled
    assert measured(target, target).bands[0, :2, 2].tolist() == [60 * 40 - 56 * 36, 60 * 40 - 56 * 36]
    target[:, 38:42] = 255
    assert measured(target, target).bands[0, :2, 2].tolist() == [60 * 38 - 56 * 36, 60 * 38 - 56 * 36]


def test_a_class_that_is_missed_or_made_up() -> None:
    prediction, target = np.zeros((2, 30, 30), np.uint8)
    target[10:20, 10:20] = 1
    prediction[2:5, 2:5] = 2
    meter = measured(prediction, target, tolerances=[2], surface=True)
    f1 = boundary_f1(at_tolerance(meter.edges.numpy(), 0))[0]
    assert f1[0] == f1[1] == 0
    assert np.isnan(f1[2:]).all()
    assert np.isnan(meter.hd95.numpy()[0, 1:]).all()
    assert meter.scores(meter.totals())["boundary_f1"] == 0


def test_tolerances() -> None:
    assert pixels(3, (10, 10)) == 3
    assert pixels(0.008, (480, 854)) == math.ceil(0.008 * math.hypot(480, 854)) == 8
    wrongs: list[Any] = [[], [0], [-1], ["a"], [math.inf], [True], [1, 3, 3], 3, None, "abc"]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"tolerances: expected a list of different positive numbers .*, got .*;"):
            Boundaries(1, "ab", tolerances=wrong)


def test_images_of_processes_add_up() -> None:
    """Totals of two meters that saw an image each, summed, are those of one that saw both."""
    images = [blobs(seed) for seed in (5, 6)]
    both, *alone = (Boundaries(2, NAMES, tolerances=[1, 3], surface=True) for _ in range(3))
    for position, pair in enumerate(images):
        both.update(*pair, position)
        alone[position].update(*pair, position)
    summed = {name: total + alone[1].totals()[name] for name, total in alone[0].totals().items()}
    for name, total in both.totals().items():
        torch.testing.assert_close(summed[name], total, rtol=0, atol=0, equal_nan=True)
    assert both.scores(summed) == both.scores(both.totals())


def imported(name: str) -> Any:
    pytest.importorskip(name.split(".")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def one_hot(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.eye(CLASSES + 1, dtype=np.float32)[mask]).permute(2, 0, 1)[None]


@pytest.mark.filterwarnings("ignore")  # MONAI's, about itself
@pytest.mark.parametrize("seed", range(3))
def test_hd95_and_surface_dice_are_those_of_monai(seed: int) -> None:
    """Where no class reaches the image border, which MONAI takes for a boundary."""
    monai = imported("monai.metrics")
    prediction, target = (np.pad(mask, 3, constant_values=CLASSES) for mask in blobs(seed, ignored=False))
    meter = Boundaries(1, [*NAMES, "absent"], tolerances=[2], surface=True)
    meter.update(prediction, target, 0)
    pair = one_hot(prediction), one_hot(target)
    distance = monai.compute_hausdorff_distance(*pair, include_background=True, percentile=95)[0].numpy()
    assert meter.hd95[0, : CLASSES - 1].numpy() == pytest.approx(distance[: CLASSES - 1], abs=1e-5)
    dice = monai.compute_surface_dice(*pair, [2.0] * (CLASSES + 1), include_background=True)[0].numpy()
    ours = surface_dice(at_tolerance(meter.edges.numpy(), 0))[0]
    assert ours[: CLASSES - 1] == pytest.approx(dice[: CLASSES - 1], abs=1e-6)


def test_hd95_against_a_loop() -> None:
    prediction, target = blobs(9)
    ignored = target == 255
    predicted, wanted = edge_by_loop(prediction, ignored), edge_by_loop(target, ignored)
    found = measured(prediction, target, surface=True).hd95[0]
    for c in range(CLASSES - 1):
        ways = (
            [min(math.dist(p, q) for q in b) for p in a] for a, b in itertools.permutations((predicted[c], wanted[c]))
        )
        assert found[c] == pytest.approx(max(np.percentile(way, 95) for way in ways))
