"""Meters: what an evaluation counts, batch by batch.

A meter's totals are tensors that add up, over batches and over the processes of a run; its scores follow from totals
alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.metrics.counting import count
from seg.metrics.counts import confusion_matrix, image_counts
from seg.metrics.scores import by_class, by_image, calibration_error, image_ious, mean, scores_of

BINS = 15
"""Bins of confidence that the calibration error is computed of."""


class Meter(Protocol):
    """Counts over the batches of one evaluation."""

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (N, C, H, W).
            mask: (N, H, W) uint8, 255 = ignore.
            index: (N,) positions of the images in the set.
        """

    def totals(self) -> dict[str, Tensor]:
        """What was counted so far, by names that no other meter uses; adds up over processes."""

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        """Plain data from totals, this meter's or the sums over all processes."""


class MaskMeter(Protocol):
    """Counts over predicted masks, which `PixelCounts` hands on; otherwise like a `Meter`."""

    def update(self, prediction: NDArray[np.uint8], target: NDArray[np.uint8], position: int) -> None:
        """Count an image: (H, W) class indices, 255 = ignore in the target, and its position in the set."""

    def totals(self) -> dict[str, Tensor]: ...

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]: ...


class PixelCounts:
    """Intersection, prediction and target of every class in every image, and the confusion matrix of the set.

    Totals: ``counts (images, C, 3)`` int64 pixels, see `image_counts`; ``confusion (C, C)`` int64, row = target,
    column = prediction; with bins ``confidence (images, B, 3)``, see `count`; and those of ``masks``. Scores: ``miou``
    (D), ``mdice``, ``accuracy``, ``iou`` and ``dice`` by class name, ``miou_i``, ``miou_c``; with bins ``ece`` over
    all pixels and ``ece_i``, the mean over images; and those of ``masks``.

    Args:
        images: number of images in the set, over all processes.
        names: of the classes.
        bins: of confidence, for the calibration error; 0: none.
        masks: meters of predicted masks, so that the logits are gone through once.
    """

    def __init__(self, images: int, names: Sequence[str], *, bins: int = 0, masks: Sequence[MaskMeter] = ()) -> None:
        self.names, self.masks = tuple(names), tuple(masks)
        classes = len(self.names)
        self.counts = torch.zeros(images, classes, 3, dtype=torch.int64)
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self.confidence = torch.zeros(images, bins, 3, dtype=torch.float64)

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        counted = count(logits, mask, bins=self.confidence.shape[1])
        self.confidence[index.cpu()] = counted.bins.cpu()
        self._add(counted.prediction, counted.confusion, mask, index)

    def judge(self, prediction: Tensor, mask: Tensor, index: Tensor) -> None:
        """Count predicted masks (N, H, W) uint8 instead of logits.

        Raises:
            ValueError: one of them has no class at a pixel that is labelled.
        """
        pairs = zip(prediction, mask, strict=True)
        confusion = torch.stack([confusion_matrix(one, target, len(self.names)) for one, target in pairs])
        self._add(prediction, confusion, mask, index)

    def _add(self, prediction: Tensor, confusion: Tensor, mask: Tensor, index: Tensor) -> None:
        confusion, index = confusion.cpu(), index.cpu()
        self.counts[index] = torch.stack([image_counts(matrix) for matrix in confusion])
        self.confusion += confusion.sum(0)
        if self.masks:
            images = zip(prediction.cpu().numpy(), mask.cpu().numpy(), index.tolist(), strict=True)
            for one, target, position in images:
                for meter in self.masks:
                    meter.update(one, target, position)

    def totals(self) -> dict[str, Tensor]:
        totals = {"counts": self.counts, "confusion": self.confusion}
        if self.confidence.shape[1]:
            totals["confidence"] = self.confidence
        for meter in self.masks:
            totals |= meter.totals()
        return totals

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        counts = totals["counts"].numpy()
        ious = image_ious(counts)
        found = {**scores_of(counts.sum(0)).named(self.names), "miou_i": by_image(ious), "miou_c": by_class(ious)}
        if "confidence" in totals:
            found |= _calibration(totals["confidence"])
        for meter in self.masks:
            found |= meter.scores(totals)
        return found


class AtTemperature:
    """Calibration of logits that are divided by a temperature; Guo et al., "On calibration of modern neural networks"
    (ICML 2017).

    Totals: ``tempered (images, B, 3)``, see `count`. Scores: ``ece_tempered`` over all pixels, ``ece_tempered_i``.

    Args:
        images: number of images in the set, over all processes.
        temperature: above 1 makes the model less confident.
        bins: of confidence.
    """

    def __init__(self, images: int, temperature: float, *, bins: int = BINS) -> None:
        self.temperature = temperature
        self.confidence = torch.zeros(images, bins, 3, dtype=torch.float64)

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        counted = count(logits.float() / self.temperature, mask, bins=self.confidence.shape[1])
        self.confidence[index.cpu()] = counted.bins.cpu()

    def totals(self) -> dict[str, Tensor]:
        return {"tempered": self.confidence}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {f"ece_tempered{means[3:]}": error for means, error in _calibration(totals["tempered"]).items()}


def _calibration(confidence: Tensor) -> dict[str, float]:
    """Calibration error from bins (images, B, 3): over all pixels, and the mean over images."""
    bins = confidence.numpy()
    return {"ece": float(calibration_error(bins.sum(0))), "ece_i": float(mean(calibration_error(bins)))}


class MeanLoss:
    """Mean of a loss over the images of the set.

    Args:
        loss: ``(logits (1, C, H, W), mask (1, H, W)) -> scalar``.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.loss = loss
        self.sums = torch.zeros(2, dtype=torch.float64)  # loss times images, images

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        # of each image alone: the mean then does not depend on which images come together
        total = sum(self.loss(logits[i : i + 1], mask[i : i + 1]).double() for i in range(len(index)))
        self.sums += torch.tensor([float(total), len(index)], dtype=torch.float64)

    def totals(self) -> dict[str, Tensor]:
        return {"loss": self.sums}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {"loss": float(totals["loss"][0] / totals["loss"][1])}
