"""Where a prediction is wrong: at boundaries, in the extent of things, or by missing them."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.labels import IGNORE
from seg.metrics.boundaries import TOLERANCE, pixels
from seg.metrics.catalogue import ERRORS
from seg.metrics.meters import Column
from seg.metrics.scores import ratio

Mask = NDArray[np.uint8]

KINDS = ("missed", "boundary", "extent")


class ErrorKinds:
    """Wrong pixels by kind; the kinds add up to all of them.

    - missed: the connected component of the target that the pixel belongs to, over the eight neighbours, has not one
      right pixel;
    - boundary: of the others, those no farther from another class, or from an ignored pixel, than the tolerance;
    - extent: the rest, such as half a thing that is taken for another class.

    Totals: ``errors (images, 4)`` int64 pixels: of each kind, and labelled ones. Scores: ``error_missed``,
    ``error_boundary``, ``error_extent``: shares of the labelled pixels of all images.

    Args:
        images: number of images in the set.
        tolerance: pixels, or below 1 a share of the image's diagonal.
    """

    metrics = ERRORS

    def __init__(self, images: int, *, tolerance: float = TOLERANCE) -> None:
        self.tolerance = tolerance
        self.errors = torch.zeros(images, len(KINDS) + 1, dtype=torch.int64)

    def update(self, prediction: Mask, target: Mask, position: int) -> None:
        labelled = target != IGNORE
        wrong = (prediction != target) & labelled
        missed = wrong & ~_touched(wrong, target)
        rest = wrong & ~missed
        near = rest & (_to_another_class(target) <= pixels(self.tolerance, target.shape))
        found = (missed.sum(), near.sum(), (rest & ~near).sum(), labelled.sum())
        self.errors[position] = torch.tensor([int(number) for number in found])

    def totals(self) -> dict[str, Tensor]:
        return {"errors": self.errors}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        shares = error_shares(totals["errors"].sum(0, keepdim=True).numpy())[0]
        return {f"error_{kind}": float(share) for kind, share in zip(KINDS, shares, strict=True)}

    def per_image(self, totals: dict[str, Tensor]) -> Iterator[Column]:
        for kind, shares in zip(KINDS, error_shares(totals["errors"].numpy()).T, strict=True):
            yield f"error_{kind}", "", shares


def error_shares(errors: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the shares (images, 3) of the labelled pixels that are wrong, by kind, from ``errors (images, 4)``."""
    return ratio(errors[:, :-1], errors[:, -1:])


def _touched(wrong: NDArray[np.bool_], target: Mask) -> NDArray[np.bool_]:
    """Find the pixels of components of the target that have a right pixel."""
    touched = np.zeros(target.shape, bool)
    for index in np.unique(target[wrong]):
        own = target == index
        number, places = cv2.connectedComponents(own.view(np.uint8), connectivity=8)
        right = np.zeros(number, bool)
        right[places[own & ~wrong]] = True
        right[0] = False  # all that is not of this class
        touched |= right[places]
    return touched


def _to_another_class(target: Mask) -> NDArray[np.float32]:
    """Measure how far each pixel is from the nearest one of another class."""
    found = np.full(target.shape, np.inf, np.float32)
    for index in np.unique(target):
        own = target == index
        if not own.all():
            distances = cv2.distanceTransform(own.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            found[own] = distances[own]
    return found
