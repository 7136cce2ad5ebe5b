"""Class weights for losses, from how often each class occurs.

    from seg.convert.weights import class_weights
    class_weights([9_000, 900, 100], "inverse")

Plain numbers in and out. Count the training masks alone, without ignored pixels; `convert_folder` writes
``class_weights.json`` with every rule beside the masks.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seg.files import checks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def class_weights(
    pixels: Sequence[int], rule: str, *, images: Sequence[int] | None = None, beta: float | None = None
) -> list[float]:
    """Return one weight per class; with n the pixels of a class, and f its share of all pixels:

    - ``inverse``: 1 / n, scaled to mean 1.
    - ``square_root``: sqrt(1 / f), as Wong et al. 2018 (3D segmentation with exponential logarithmic loss for highly
      unbalanced object sizes) weigh the cross-entropy.
    - ``median_frequency``: median of the frequencies / frequency, where the frequency of a class is its pixels
      divided by the pixels of the images that it occurs in (Eigen and Fergus 2015, Predicting depth, surface normals
      and semantic labels with a common multi-scale architecture). Needs ``images``.
    - ``effective_number``: (1 - beta) / (1 - beta^n), scaled to mean 1, beta = (N - 1) / N (Cui et al. 2019,
      Class-balanced loss based on effective number of samples). Classes of many more than N pixels weigh the same,
      those of far fewer as 1 / n; N is the median class, see `median_beta`, because of the values of the paper, made
      for thousands of images (0.9 to 0.9999), pixels would all weigh the same.

    The mean is taken over the classes that occur. A class that never occurs gets the weight of the rarest one that
    does (the largest weight): a finite number, should it turn up after all.

    Args:
        pixels: pixels of each class.
        images: for each class, the pixels of the images in which it occurs; where all images have one size, their
            number does as well, because a common factor cancels.
        beta: for ``effective_number``, 0 <= beta < 1; `median_beta` if None.

    Raises:
        ValueError: an unknown rule, counts that cannot be, or an argument that the rule lacks or does not take.
    """
    _check(pixels, rule, images, beta)
    counts = [int(count) for count in pixels]
    present = [index for index, count in enumerate(counts) if count]
    within = [] if images is None else [int(count) for count in images]
    weights = _weights(counts, within, present, rule, median_beta(counts) if beta is None else beta)
    largest = max(weights)
    by_class = dict(zip(present, weights, strict=True))
    return [by_class.get(index, largest) for index in range(len(counts))]


def median_beta(pixels: Sequence[int]) -> float:
    """Return (N - 1) / N, where N is the median of the pixels of the classes that occur.

    It stays what it is when all counts grow, so that neither the size of the set nor that of its images matters.
    """
    return 1 - 1 / statistics.median(count for count in pixels if count)


RULES = ("inverse", "square_root", "median_frequency", "effective_number")
"""The rules that `class_weights` knows."""


def _weights(counts: Sequence[int], within: Sequence[int], present: list[int], rule: str, beta: float) -> list[float]:
    """Return the weights of the classes that occur."""
    own = [counts[index] for index in present]
    if rule == "inverse":
        return _mean_one([1 / count for count in own])
    if rule == "square_root":
        return [math.sqrt(sum(counts) / count) for count in own]
    if rule == "median_frequency":
        frequencies = [counts[index] / within[index] for index in present]
        median = statistics.median(frequencies)
        return [median / frequency for frequency in frequencies]
    log = math.log(beta) if beta else -math.inf
    return _mean_one([(1 - beta) / -math.expm1(count * log) for count in own])


def _mean_one(weights: list[float]) -> list[float]:
    mean = math.fsum(weights) / len(weights)
    return [weight / mean for weight in weights]


def _check(pixels: Sequence[int], rule: str, images: Sequence[int] | None, beta: float | None) -> None:
    checks.choice("rule", rule, RULES)
    _check_counts("pixels", pixels)
    if not any(pixels):
        raise ValueError(f"pixels: expected a class that occurs, got {list(pixels)}; count the training masks")
    if rule == "median_frequency":
        if images is None:
            raise ValueError(
                "images: expected the pixels of the images in which each class occurs for median_frequency, got none; "
                "give them"
            )
        _check_counts("images", images)
        if len(images) != len(pixels):
            raise ValueError(
                f"images: expected one number a class as pixels has, got {len(images)} for {len(pixels)}; give one each"
            )
        for index, (count, within) in enumerate(zip(pixels, images, strict=True)):
            if count and not within:
                raise ValueError(
                    f"images: expected pixels for class {index}, which has {count} pixels, got 0; count them again"
                )
    if beta is not None and rule != "effective_number":
        raise ValueError(f"beta: expected only with effective_number, got it with {rule}; leave it out")
    if beta is not None:
        checks.number("beta", beta, least=0, below=1, remedy="leave it out")


def _check_counts(name: str, counts: Sequence[int]) -> None:
    for index, count in enumerate(counts):
        if isinstance(count, bool) or not hasattr(count, "__index__") or count < 0:
            raise ValueError(f"{name}: expected whole numbers from 0, got {count!r} for class {index}; count again")


def with_weights(loss: Any, counts: "NDArray[np.int64]") -> Any:
    """Return the plain data of a loss with every named rule (``weight: median_frequency``) made a class vector.

    Args:
        counts: (images, classes) labelled pixels of the training masks.

    Raises:
        ValueError: an unknown rule.
    """
    if isinstance(loss, list):
        return [with_weights(item, counts) for item in loss]
    if not isinstance(loss, Mapping):
        return loss
    resolved = {key: with_weights(value, counts) for key, value in loss.items()}
    if isinstance(rule := resolved.get("weight"), str):
        within = ((counts > 0) * counts.sum(1, keepdims=True)).sum(0).tolist()
        images = within if rule == "median_frequency" else None
        resolved["weight"] = class_weights(counts.sum(0).tolist(), rule, images=images)
    return resolved


def check_rules(loss: Any) -> bool:
    """Tell whether the plain data of a loss name a rule for class weights.

    Raises:
        ValueError: an unknown rule.
    """
    rules = list(_rules_named(loss))
    for key, rule in rules:
        checks.choice(key, rule, RULES)
    return bool(rules)


def _rules_named(loss: Any, key: str = "loss") -> Iterator[tuple[str, str]]:
    """Yield each rule after the key that names it."""
    if isinstance(loss, Mapping):
        if isinstance(rule := loss.get("weight"), str):
            yield f"{key}.weight", rule
        for name, value in loss.items():
            yield from _rules_named(value, f"{key}.{name}")
    elif isinstance(loss, list):
        for item in loss:
            yield from _rules_named(item, key)
