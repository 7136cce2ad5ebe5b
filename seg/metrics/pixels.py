"""Pixels of every class in every image: what IoU, Dice and accuracy follow from."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.metrics.catalogue import PIXEL_COUNTS
from seg.metrics.counting import Counted
from seg.metrics.meters import Column
from seg.metrics.scores import (
    POLICY,
    by_class,
    by_image,
    class_means,
    image_ious,
    image_means,
    majority_scores,
    ratio,
    scores_of,
    worst,
)


class PixelCounts:
    """Intersection, prediction and target of every class in every image, and the confusion matrix of the set.

    Totals: ``counts (images, C, 3)`` int64 pixels, see `image_counts`; ``confusion (C, C)`` int64, row = target,
    column = prediction. Scores: ``miou`` (D), ``mdice``, ``accuracy``, ``iou`` and ``dice`` by class name, ``miou_i``,
    ``miou_c``.

    Args:
        images: number of images in the set, over all processes.
        names: of the classes.
    """

    metrics = PIXEL_COUNTS

    def __init__(self, images: int, names: Sequence[str]) -> None:
        self.names = tuple(names)
        classes = len(self.names)
        self.counts = torch.zeros(images, classes, 3, dtype=torch.int64)
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, counted: Counted, index: Tensor) -> None:
        confusion = counted.confusion.cpu()
        self.counts[index.cpu()] = torch.stack([image_counts(matrix) for matrix in confusion])
        self.confusion += confusion.sum(0)

    def totals(self) -> dict[str, Tensor]:
        return {"counts": self.counts, "confusion": self.confusion}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        counts = totals["counts"].numpy()
        ious = image_ious(counts)
        return {**scores_of(counts.sum(0)).named(self.names), "miou_i": by_image(ious), "miou_c": by_class(ious)}

    def per_image(self, totals: dict[str, Tensor]) -> Iterator[Column]:
        counts = totals["counts"].numpy()
        yield "miou", "", image_means(image_ious(counts))
        yield "accuracy", "", ratio(counts[..., 0].sum(1), counts[..., 2].sum(1))

    def tables(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        """Return the baseline, IoU (C) of each class, the worst images, and what is confused with what."""
        counts = totals["counts"].numpy()
        target, ious = counts.sum(0)[:, 2], image_ious(counts)
        majority = majority_scores(counts.sum(0))
        return {
            "policy": POLICY,
            "majority": {
                "class": self.names[int(target.argmax())],
                "miou": majority.miou,
                "accuracy": majority.accuracy,
            },
            "iou_c": dict(zip(self.names, class_means(ious).tolist(), strict=True)),
            "worst": worst(image_means(ious)).tolist(),
            "confused": confused(totals["confusion"].numpy(), self.names),
        }


def image_counts(matrix: Tensor) -> Tensor:
    """Return what paired statistics need of one image: (C, C) confusion matrix -> (C, 3) int64 pixel counts.

    Columns: intersection, prediction, target.
    """
    return torch.stack([matrix.diagonal(), matrix.sum(0), matrix.sum(1)], dim=1)


def confused(confusion: NDArray[np.int64], names: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
    """Return the pairs of classes with the most wrong pixels: of which, taken for which, and what share that is."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    pairs = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:most]:
        target, prediction = divmod(int(place), len(names))
        if pixels := int(wrong[target, prediction]):
            pairs.append(
                {
                    "target": names[target],
                    "prediction": names[prediction],
                    "pixels": pixels,
                    "share_of_target": pixels / int(confusion[target].sum()),
                    "share_of_errors": pixels / int(wrong.sum()),
                }
            )
    return pairs
