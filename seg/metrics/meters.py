"""Meters: what an evaluation counts, batch by batch.

A meter's totals are tensors that add up, over batches and over the processes of a run; its scores follow from totals
alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from seg.metrics.counting import count
from seg.metrics.counts import image_counts, scores


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


class PixelCounts:
    """Intersection, prediction and target of every class in every image, and the confusion matrix of the set.

    Totals: ``counts (images, C, 3)`` int64 pixels, see `image_counts`, and ``confusion (C, C)`` int64, row = target,
    column = prediction. Scores: ``miou``, ``mdice``, ``accuracy``, and ``iou`` and ``dice`` by class name.

    Args:
        images: number of images in the set, over all processes.
        names: of the classes.
    """

    def __init__(self, images: int, names: Sequence[str]) -> None:
        self.names = tuple(names)
        classes = len(self.names)
        self.counts = torch.zeros(images, classes, 3, dtype=torch.int64)
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        confusion = count(logits, mask).confusion
        # on the device of the logits until somebody asks: a copy would wait for it
        self.counts, self.confusion = self.counts.to(confusion.device), self.confusion.to(confusion.device)
        for matrix, position in zip(confusion, index.tolist(), strict=True):
            self.counts[position] = image_counts(matrix)
        self.confusion += confusion.sum(0)

    def totals(self) -> dict[str, Tensor]:
        return {"counts": self.counts.cpu(), "confusion": self.confusion.cpu()}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return scores(totals["counts"].sum(0)).named(self.names)


class MeanLoss:
    """Mean of a loss over the images of the set.

    Args:
        loss: ``(logits (N, C, H, W), mask (N, H, W)) -> scalar``, a mean over its batch.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.loss = loss
        self.sums = torch.zeros(2, dtype=torch.float64)  # loss times images, images

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        images = len(index)
        self.sums += torch.tensor([float(self.loss(logits, mask)) * images, images], dtype=torch.float64)

    def totals(self) -> dict[str, Tensor]:
        return {"loss": self.sums}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {"loss": float(totals["loss"][0] / totals["loss"][1])}
