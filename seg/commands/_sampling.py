"""What ``loader.sampler`` names: how often each training image is drawn in an epoch."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg.loading import balanced, repeat_factors

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
    """Weights for `seg.loading.TrainBatches`; None where each image is drawn once. Says what they amount to.

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
