"""Calibration: how right a model is at each confidence, and the temperature that mends it, fitted on another split."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seg.files import checks
from seg.labels import IGNORE
from seg.metrics.catalogue import CALIBRATION, TEMPERED
from seg.metrics.counting import Counted, count
from seg.metrics.meters import Column
from seg.metrics.scores import calibration_error, mean, ratio

BINS = 15
"""Bins of confidence that the calibration error is computed of."""

RANGE = (0.05, 20.0)
"""Temperatures that `fit_temperature` looks among."""


class Calibration:
    """How right the model is at each confidence, and the expected calibration error.

    Totals: ``confidence (images, B, 3)``, see `seg.metrics.counting.count`. Scores: ``ece`` over all pixels, and
    ``ece_i``, the mean over images.

    Args:
        images: number of images in the set, over all processes.
        bins: of confidence.
    """

    metrics, confident = CALIBRATION, True
    total, error, table = "confidence", "ece", "reliability"

    def __init__(self, images: int, *, bins: int = BINS) -> None:
        checks.whole("metric.calibration.bins", bins, 1)
        self.bins = bins
        self.confidence = torch.zeros(images, bins, 3, dtype=torch.float64)

    def update(self, counted: Counted, index: Tensor) -> None:
        self.confidence[index.cpu()] = counted.bins.cpu()

    def totals(self) -> dict[str, Tensor]:
        return {self.total: self.confidence}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        bins = totals[self.total].numpy()
        by_image = float(mean(calibration_error(bins)))
        return {self.error: float(calibration_error(bins.sum(0))), f"{self.error}_i": by_image}

    def per_image(self, totals: dict[str, Tensor]) -> Iterator[Column]:
        yield self.error, "", calibration_error(totals[self.total].numpy())

    def tables(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        """Return pixels, mean confidence and accuracy of each bin."""
        pixels, confidence, right = totals[self.total].sum(0).numpy().T
        columns = {
            "pixels": pixels.astype(np.int64).tolist(),
            "confidence": ratio(confidence, pixels).tolist(),
            "accuracy": ratio(right, pixels).tolist(),
        }
        return {self.table: columns}


class AtTemperature(Calibration):
    """Calibration of logits that are divided by a temperature; Guo et al., "On calibration of modern neural networks"
    (ICML 2017).

    Totals: ``tempered (images, B, 3)``, see `seg.metrics.counting.count`. Scores: ``ece_tempered`` over all pixels,
    ``ece_tempered_i``.

    Args:
        images: number of images in the set, over all processes.
        temperature: above 1 makes the model less confident.
        bins: of confidence.
    """

    metrics = TEMPERED
    total, error, table = "tempered", "ece_tempered", "reliability_tempered"
    by_image = ("tempered",)

    def __init__(self, images: int, temperature: float, *, bins: int = BINS) -> None:
        super().__init__(images, bins=bins)
        self.temperature = temperature

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:  # type: ignore[override]  # see Pass
        super().update(count(logits.float() / self.temperature, mask, bins=self.bins), index)


def labelled_pixels(logits: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return logits (n, C) float32 and classes (n,) int64, on the CPU, of labelled pixels of a batch.

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
    """Return the temperature T for which softmax(logits / T) has the least negative log-likelihood.

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
    from scipy.optimize import minimize_scalar  # half a second, wanted by few

    found = float(minimize_scalar(loss, bounds=(least, most), method="bounded", options={"xatol": 1e-4}).x)
    if min(found - least, most - found) < 1e-3 or min(loss(least), loss(most)) <= loss(found):
        raise ValueError(
            f"temperature: expected the best one within {RANGE[0]:g} to {RANGE[1]:g}, got {math.exp(found):.3g}, which "
            "means a model that is right everywhere, or no better than chance; fit it on other images, or give a number"
        )
    return math.exp(found)
