"""Which sizes of things are found: connected components of the target, small, medium and large."""

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.labels import IGNORE
from seg.metrics.catalogue import COMPONENTS
from seg.metrics.meters import Column
from seg.metrics.scores import class_means, ratio

Mask = NDArray[np.uint8]

SIZES = ("small", "medium", "large")
BOUNDS = (32**2, 96**2)
"""Pixels from which a component is medium and large: those of COCO."""


class Components:
    """IoU and recall of the connected components of the target, by size.

    A component is what of a class hangs together over the eight neighbours in the target, ignored pixels cut. Its
    recall is the share of its pixels that are right. Its IoU is that of Rottmann et al. (IJCNN 2020) as adjusted by
    Chan et al., "SegmentMeIfYouCan" (2021): with the predicted components of its class that touch it, without the
    pixels of the class's other components. Predictions that touch no component of their class are in no size.

    Totals: ``components (C, 3 sizes, 4)`` float64: number, missed (no pixel is right), sum of recalls, sum of IoUs.
    Scores: ``size_iou`` and ``size_recall`` by size: means over the components of a class, then over classes.

    Args:
        names: of the classes.
        bounds: pixels from which a component is medium and large.

    Raises:
        ValueError: not two rising positive numbers.
    """

    metrics = COMPONENTS

    def __init__(self, names: Sequence[str], *, bounds: Sequence[int] = BOUNDS) -> None:
        listed = list(bounds) if isinstance(bounds, Sequence) else []
        if len(listed) != 2 or not all(type(bound) is int for bound in listed) or not 0 < listed[0] < listed[1]:
            raise ValueError(
                f"sizes: expected two rising whole numbers of pixels, got {bounds!r}; give a list such "
                f"as {list(BOUNDS)}"
            )
        self.bounds, self.names = tuple(listed), tuple(names)
        self.components = torch.zeros(len(self.names), len(SIZES), 4, dtype=torch.float64)

    def update(self, prediction: Mask, target: Mask, position: int) -> None:
        valid = target != IGNORE
        for index in np.flatnonzero(np.bincount(target.ravel(), minlength=256)[:IGNORE]):
            areas, right, ious = component_scores((prediction == index) & valid, target == index)
            sizes = np.searchsorted(self.bounds, areas, side="right")
            values = np.stack([np.ones(len(areas)), right == 0, right / areas, ious], axis=1)
            self.components[index].index_add_(0, torch.from_numpy(sizes), torch.from_numpy(values))

    def totals(self) -> dict[str, Tensor]:
        return {"components": self.components}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        number, _, recall, iou = np.moveaxis(totals["components"].numpy(), -1, 0)
        named = {"size_iou": class_means(ratio(iou, number)), "size_recall": class_means(ratio(recall, number))}
        return {name: dict(zip(SIZES, values.tolist(), strict=True)) for name, values in named.items()}

    def per_image(self, totals: dict[str, Tensor]) -> Iterable[Column]:
        return ()

    def tables(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        """Return number, recall and IoU of the components of each class, by size."""
        by_class = [_by_size(table) for table in totals["components"].tolist()]
        return {"components": dict(zip(self.names, by_class, strict=True))}


def _by_size(table: list[list[float]]) -> dict[str, Any]:
    """Name the components of one class (sizes, 4)."""
    return {
        size: {
            "number": int(number),
            "missed": int(missed),
            "recall": float(ratio(recall, number)),
            "iou": float(ratio(iou, number)),
        }
        for size, (number, missed, recall, iou) in zip(SIZES, table, strict=True)
    }


def component_scores(
    prediction: NDArray[np.bool_], target: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return pixels, right pixels and IoU of each component (n,) of one class, from masks (H, W) of it."""
    left, top, width, height = cv2.boundingRect((prediction | target).view(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    prediction, target = prediction[box], target[box]
    (number, places), (others, predicted) = (
        cv2.connectedComponents(mask.view(np.uint8), connectivity=8) for mask in (target, prediction)
    )
    own, hit = places[target], prediction[target]
    areas, right = (np.bincount(labels, minlength=number)[1:] for labels in (own, own[hit]))
    wrong = np.bincount(predicted[prediction & ~target], minlength=others)  # pixels of each predicted component
    touching = np.unique(own[hit].astype(np.int64) * others + predicted[target][hit])
    outside = np.bincount(touching // others, wrong[touching % others], minlength=number)[1:]
    return areas, right, right / (areas + outside)
