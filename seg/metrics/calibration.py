"""The temperature that calibrates a model: fitted on pixels of a split that it was not trained on."""

import math

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from seg.labels import IGNORE

RANGE = (0.05, 20.0)
"""Temperatures that `fit_temperature` looks among."""


def labelled_pixels(logits: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Logits (n, C) float32 and classes (n,) int64, on the CPU, of labelled pixels of a batch.

    Args:
        logits: (N, C, H, W).
        mask: (N, H, W) uint8, 255 = ignore.
        most: pixels of each image at most, evenly spread over its labelled ones in reading order.
    """
    taken = []
    for scores, target in zip(logits, mask, strict=True):
        places = (target.flatten() != IGNORE).nonzero().flatten()
        if len(places) > most:
            places = places[torch.arange(most, device=places.device) * len(places) // most]
        taken.append((scores.flatten(1)[:, places].T.float().cpu(), target.flatten()[places].long().cpu()))
    some, classes = zip(*taken, strict=True)
    return torch.cat(some), torch.cat(classes)


def fit_temperature(logits: Tensor, target: Tensor) -> float:
    """The temperature T for which softmax(logits / T) has the least negative log-likelihood.

    Guo et al., "On calibration of modern neural networks" (ICML 2017). It is convex in 1 / T, so that a search finds
    the only minimum.

    Args:
        logits: (n, C).
        target: (n,) classes.

    Raises:
        ValueError: no pixel, or the best one lies outside 0.05..20: the model is right everywhere, or no better than
            chance.
    """
    if not len(target):
        raise ValueError("temperature: expected labelled pixels to fit it on, got none; give other masks")

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), target))

    least, most = map(math.log, RANGE)
    found = float(minimize_scalar(loss, bounds=(least, most), method="bounded", options={"xatol": 1e-4}).x)
    if min(found - least, most - found) < 1e-3 or min(loss(least), loss(most)) <= loss(found):
        raise ValueError(
            f"temperature: expected the best one within {RANGE[0]:g} to {RANGE[1]:g}, got {math.exp(found):.3g}, which "
            "means a model that is right everywhere, or no better than chance; fit it on other images, or give a number"
        )
    return math.exp(found)
