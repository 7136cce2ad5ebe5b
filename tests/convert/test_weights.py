"""Class weights against the formulas of the papers, written again in NumPy.

python -m pytest tests/convert/test_weights.py
"""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg.convert.weights import RULES, class_weights

PIXELS = [9_000, 900, 0, 100]
IMAGES = [10_000, 5_000, 0, 10_000]


def reference(pixels: list[int], rule: str, images: list[int], beta: float) -> np.ndarray:
    n = np.array(pixels, np.float64)
    there = n > 0
    n = n[there]
    if rule == "inverse":
        weights = n.sum() / n
        weights = weights * len(n) / weights.sum()
    elif rule == "square_root":
        weights = np.sqrt((n / n.sum()) ** -1.0)
    elif rule == "median_frequency":
        frequency = n / np.array(images, np.float64)[there]
        weights = np.median(frequency) / frequency
    else:
        exact = [float((1 - Fraction(beta)) / (1 - Fraction(beta) ** int(count))) for count in n]
        weights = np.array(exact) * len(n) / np.sum(exact)
    result = np.full(len(pixels), weights.max())
    result[there] = weights
    return result


def options(rule: str, images: Any, beta: float) -> dict[str, Any]:
    if rule == "median_frequency":
        return {"images": images}
    return {"beta": beta} if rule == "effective_number" else {}


@given(
    counts=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 10**6)), min_size=1, max_size=12),
    rule=st.sampled_from(RULES),
    beta=st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999]),
)
@settings(max_examples=200, deadline=None)
def test_formulas(counts: list[tuple[int, int]], rule: str, beta: float) -> None:
    pixels = [count for count, _ in counts]
    images = [count + more if count else 0 for count, more in counts]
    if not any(pixels):
        return
    weights = class_weights(pixels, rule, **options(rule, images, beta))
    np.testing.assert_allclose(weights, reference(pixels, rule, images, beta), rtol=1e-9)
    assert all(type(weight) is float and np.isfinite(weight) and weight > 0 for weight in weights)


def test_by_hand() -> None:
    assert class_weights([300, 100], "inverse") == pytest.approx([0.5, 1.5])
    assert class_weights([75, 25], "square_root") == pytest.approx([(4 / 3) ** 0.5, 2])
    # frequencies 0.9, 0.18 and 0.01: the median is 0.18; the absent class weighs as the rarest
    assert class_weights(PIXELS, "median_frequency", images=IMAGES) == pytest.approx([0.2, 1, 18, 18])
    assert class_weights([1, 2], "effective_number", beta=0.5) == pytest.approx([1.2, 0.8])


def test_effective_number_between_its_limits() -> None:
    """beta = 0 weighs all alike, beta towards 1 by the inverse (section 4 of the paper)."""
    assert class_weights(PIXELS, "effective_number", beta=0) == pytest.approx([1] * 4)
    nearly = class_weights(PIXELS, "effective_number", beta=1 - 1e-12)
    assert nearly == pytest.approx(class_weights(PIXELS, "inverse"), rel=1e-6)


def test_effective_number_of_pixels() -> None:
    """With 0.999, which was the default, every class of some thousand pixels had the weight 1."""
    pixels = [90_000_000, 40_000_000, 9_000_000, 0, 200_000, 30_000]
    weights = class_weights(pixels, "effective_number")
    assert weights == class_weights(pixels, "effective_number", beta=1 - 1 / 9_000_000)
    there = 1 / (1 - np.exp([-n / 9e6 for n in pixels if n]))  # beta^n = exp(-n / N) but for 1 / N
    np.testing.assert_allclose([*weights[:3], *weights[4:]], there / there.mean(), rtol=1e-5)
    assert weights[0] == pytest.approx(weights[1], rel=0.02)  # both far more frequent than the median class
    assert weights[5] / weights[4] == pytest.approx(200 / 30, rel=0.02)  # both far rarer
    assert weights[3] == weights[5] > 50 * weights[0]
    assert class_weights([1, 1, 5], "effective_number") == pytest.approx([1, 1, 1])  # N = 1
    assert class_weights([n * 1000 for n in pixels], "effective_number") == pytest.approx(weights, rel=1e-4)


def test_scales() -> None:
    for rule in ("inverse", "effective_number"):
        weights = class_weights(PIXELS, rule)
        assert np.mean([weights[0], weights[1], weights[3]]) == pytest.approx(1)
    counts = [n // 100 for n in IMAGES]  # images of one size: their number does as well
    by_number = class_weights(PIXELS, "median_frequency", images=counts)
    assert by_number == pytest.approx(class_weights(PIXELS, "median_frequency", images=IMAGES))
    for rule in RULES:
        given_arrays = class_weights(np.array(PIXELS), rule, **options(rule, np.array(IMAGES), 0.9))
        assert given_arrays == class_weights(PIXELS, rule, **options(rule, IMAGES, 0.9))
        assert {type(weight) for weight in given_arrays} == {float}


@pytest.mark.parametrize(
    ("pixels", "rule", "more", "reason"),
    [
        ([1, 2], "inverted", {}, "rule: expected inverse, square_root, median_frequency or effective_number, got"),
        ([], "inverse", {}, r"pixels: expected a class that occurs, got \[\]"),
        ([0, 0], "inverse", {}, r"pixels: expected a class that occurs, got \[0, 0\]; count the training masks"),
        ([1, -2], "inverse", {}, "pixels: expected whole numbers from 0, got -2 for class 1"),
        ([1, 0.5], "inverse", {}, "pixels: expected whole numbers from 0, got 0.5 for class 1"),
        ([1, True], "inverse", {}, "got True for class 1"),
        ([1, 2], "median_frequency", {}, "images: expected the pixels .* for median_frequency, got none; give"),
        (
            [1, 2],
            "median_frequency",
            {"images": [1]},
            "images: expected one number a class as pixels has, got 1 for 2; give",
        ),
        ([1, 2], "median_frequency", {"images": [3, 0]}, "images: expected pixels for class 1, which has 2"),
        ([1, 2], "median_frequency", {"images": [3, -1]}, "images: expected whole numbers from 0, got -1"),
        ([1, 2], "inverse", {"beta": 0.9}, "beta: expected only with effective_number, got it with inverse; leave"),
        ([1, 2], "effective_number", {"beta": 1.0}, "beta: expected a number of at least 0 and below 1, got 1.0"),
        ([1, 2], "effective_number", {"beta": float("nan")}, "below 1, got nan"),
    ],
)
def test_wrong_requests(pixels: list[Any], rule: str, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        class_weights(pixels, rule, **more)
