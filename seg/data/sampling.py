"""How often each training image is drawn in an epoch."""

import logging

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

SAMPLERS = ("balanced", "repeat")


def sampling_weights(sampler: str | None, repeat_below: float, counts: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Make the weights for `seg.data.batches.TrainBatches`, and say what they amount to.

    Args:
        sampler: one of `SAMPLERS`, or None.
        repeat_below: share of the images below which a class is rare for ``repeat``.
        counts: (images, classes) labelled pixels of the training masks.

    Returns:
        (images,) weights; None where each image is drawn once.
    """
    if sampler is None:
        return None
    option = f"loader.sampler={sampler}"
    weights = balanced(counts) if sampler == "balanced" else repeat_factors(counts, repeat_below)
    draws = weights * len(weights) / weights.sum()
    if np.allclose(draws, 1):
        reason = "no image holds rarer classes than the others"
        if sampler == "repeat":
            reason = f"no class is in fewer than {repeat_below:.0%} of the images (loader.repeat_below)"
        log.warning(f"{option} changes nothing, because {reason}")
        return None
    log.info(f"{option}: an image is drawn {draws.min():.2g} to {draws.max():.2g} times an epoch on average")
    if left_out := int((weights == 0).sum()):
        log.warning(f"{option} never draws {left_out} of {len(weights)} images, which have no labelled pixel")
    return weights


def balanced(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights for `TrainBatches`: all classes alike, and within a class all images that hold it.

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
    """Return weights for `TrainBatches`: how often to repeat each image for the rarest class that it holds.

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
