"""What ``loader.sampler`` names: how often each training image is drawn in an epoch."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

SAMPLERS = ("balanced", "repeat")


def check_sampler(loader: Mapping[str, Any]) -> None:
    """Refuse an unknown sampler, or a threshold that is no share, before data are read."""
    if loader["sampler"] not in (None, *SAMPLERS):
        raise ValueError(
            f"loader.sampler: expected null, {' or '.join(SAMPLERS)}, got {loader['sampler']!r}; choose one"
        )
    threshold = loader["repeat_below"]
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise ValueError(
            f"loader.repeat_below: expected a share of the images, above 0 and at most 1, got {threshold!r}; give 0.5"
        )


def sampling_weights(loader: Mapping[str, Any], counts: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Weights for `seg.data.batches.TrainBatches`; None where each image is drawn once. Says what they amount to.

    Args:
        counts: (images, classes) labelled pixels of the training masks.
    """
    if loader["sampler"] is None:
        return None
    option = f"loader.sampler={loader['sampler']}"
    weights = balanced(counts) if loader["sampler"] == "balanced" else repeat_factors(counts, loader["repeat_below"])
    draws = weights * len(weights) / weights.sum()
    if np.allclose(draws, 1):
        reason = "no image holds rarer classes than the others"
        if loader["sampler"] == "repeat":
            reason = f"no class is in fewer than {loader['repeat_below']:.0%} of the images (loader.repeat_below)"
        log.warning(f"{option} changes nothing, because {reason}")
        return None
    log.info(f"{option}: an image is drawn {draws.min():.2g} to {draws.max():.2g} times an epoch on average")
    if left_out := int((weights == 0).sum()):
        log.warning(f"{option} never draws {left_out} of {len(weights)} images, which have no labelled pixel")
    return weights


def balanced(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights for `TrainBatches`: all classes alike, and within a class all images that hold it.

    Class-aware sampling of Shen et al. 2016 (Relay backpropagation for effective learning of deep convolutional neural
    networks) with the chances that its two draws, a class and then an image, amount to. An image without a labelled
    pixel is never drawn.

    Args:
        counts: (images, classes) labelled pixels.

    Returns:
        (images,) chances, which add up to 1.
    """
    holds = counts > 0
    images = holds.sum(0)
    shares = np.where(holds, 1 / np.maximum(images, 1), 0.0).sum(1)
    weights: NDArray[np.float64] = shares / max(np.count_nonzero(images), 1)
    return weights


def repeat_factors(counts: NDArray[np.int64], threshold: float) -> NDArray[np.float64]:
    """Weights for `TrainBatches`: how often to repeat each image for the rarest class that it holds.

    max(1, sqrt(threshold / f)) with f the share of the images that hold the class; of an image the greatest over its
    classes (Gupta, Dollar and Girshick 2019, LVIS).

    Args:
        counts: (images, classes) labelled pixels.
        threshold: share of the images, in 0..1, below which a class is rare.

    Returns:
        (images,) factors of at least 1.
    """
    holds = counts > 0
    shares = holds.mean(0)
    factors = np.sqrt(np.maximum(threshold / np.where(shares > 0, shares, 1), 1))
    greatest: NDArray[np.float64] = np.where(holds, factors, 1.0).max(1)
    return greatest
