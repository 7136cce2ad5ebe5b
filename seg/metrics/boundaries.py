"""How well boundaries are placed: counts for boundary IoU, boundary F1 and surface Dice, and Hausdorff distances.

What all of them mean by a boundary:

- a pixel is on the boundary of its class if one of its four neighbours is of another class;
- an ignored pixel (255 in the target) is a neighbour of nobody: what lies between a class and ignored pixels is no
  boundary, in target and prediction alike, and what is predicted at ignored pixels has no influence;
- the border of the image is no boundary, except in boundary IoU, whose authors say so.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from seg.files import checks
from seg.labels import IGNORE
from seg.metrics.catalogue import BOUNDARIES, SURFACE, Metric
from seg.metrics.meters import Column, with_classes
from seg.metrics.scores import (
    boundary_f1,
    by_class,
    by_image,
    class_means,
    image_ious,
    image_means,
    scores_of,
    surface_dice,
)

Mask = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Distances = tuple[Mask, NDArray[np.float64]]
"""Class of each pixel of a boundary, and how far the other boundary of its class is, in pixels."""

BAND = 0.02
"""Width of the band of boundary IoU as a share of the image's diagonal, as published."""

TOLERANCE = 0.0075
"""Of boundary F1 where no other is asked for: a share of the diagonal."""

TOLERANCES = (TOLERANCE, 1, 2, 3, 5, 10)
"""For a curve: the same, then pixels."""

_WIDE = 32  # pixels

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


class Boundaries:
    """Boundary IoU and boundary F1 of every class in every image.

    Totals:

    - ``bands (images, C, 3)`` int64 pixels of intersection, prediction and target within the bands of boundary IoU;
    - ``edges (images, C, 2 + 2 T)`` int32 boundary pixels: predicted, target, and for each of the T tolerances the
      predicted ones that are near the target's and the target's that are near predicted ones (Euclidean distance of
      at most the tolerance);
    - ``hd95 (images, C)`` pixels, if asked for.

    Scores: ``boundary_iou`` (D) with ``boundary_iou_i`` and ``boundary_iou_c``; ``boundary_f1`` at the first tolerance
    (I); if asked for, ``nsd`` (I, first tolerance) and ``hd95`` (I). `seg.metrics.scores` has the other means.

    Boundary IoU: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation" (CVPR 2021).

    Args:
        images: number of images in the set, over all processes.
        names: of the classes.
        tolerances: of at least 1: pixels; below: a share of the diagonal, rounded up to whole pixels.
        surface: count `hd95` too, which takes longer.
        final: false in the epochs of a training, of which the first tolerance is enough.

    Raises:
        ValueError: no tolerance, one that is no positive number, or twice the same.
    """

    def __init__(
        self,
        images: int,
        names: Sequence[str],
        *,
        tolerances: Sequence[float] = TOLERANCES,
        surface: bool = False,
        final: bool = True,
    ) -> None:
        checks.flag("surface", surface)
        listed = list(tolerances) if isinstance(tolerances, Sequence) else []
        if not listed or not all(checks.is_number(t) and t > 0 for t in listed) or len({*listed}) < len(listed):
            raise ValueError(
                "tolerances: expected a list of different positive numbers (pixels, or below 1 shares of the diagonal),"
                f" got {tolerances!r}; give a list such as [0.0075,3]"
            )
        self.tolerances, self.surface, self.names = tuple(tolerances)[: None if final else 1], surface, tuple(names)
        self.metrics: tuple[Metric, ...] = (*BOUNDARIES, *(SURFACE if surface else ()))
        self.classes = classes = len(self.names)
        self.bands = torch.zeros(images, classes, 3, dtype=torch.int64)
        self.edges = torch.zeros(images, classes, 2 + 2 * len(self.tolerances), dtype=torch.int32)
        self.hd95 = torch.zeros(images, classes, dtype=torch.float64)

    def update(self, prediction: Mask, target: Mask, position: int) -> None:
        prediction = np.where(target == IGNORE, np.uint8(IGNORE), prediction)
        self.bands[position] = torch.from_numpy(band_counts(prediction, target, self.classes))
        edges = _edges_only(prediction), _edges_only(target)
        radii = [pixels(tolerance, target.shape) for tolerance in self.tolerances]
        far = _all_distances if self.surface else partial(_distances, radius=max(radii))
        ways = far(*edges), far(*edges[::-1])
        self.edges[position] = torch.from_numpy(_edge_counts(*edges, ways, radii, self.classes))
        if self.surface:
            self.hd95[position] = torch.from_numpy(hausdorff95(ways, self.classes))

    def totals(self) -> dict[str, Tensor]:
        return {"bands": self.bands, "edges": self.edges} | ({"hd95": self.hd95} if self.surface else {})

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        bands, near = totals["bands"].numpy(), at_tolerance(totals["edges"].numpy(), 0)
        found = {
            "boundary_iou": scores_of(bands.sum(0)).miou,
            "boundary_iou_i": by_image(image_ious(bands)),
            "boundary_iou_c": by_class(image_ious(bands)),
            "boundary_f1": by_image(boundary_f1(near)),
        }
        if self.surface:
            found |= {"nsd": by_image(surface_dice(near)), "hd95": by_image(totals["hd95"].numpy())}
        return found

    def per_image(self, totals: dict[str, Tensor]) -> Iterable[Column]:
        edges = totals["edges"].numpy()
        yield from with_classes("boundary_iou", image_ious(totals["bands"].numpy()), self.names)
        yield from with_classes("boundary_f1", boundary_f1(at_tolerance(edges, 0)), self.names)
        for number, tolerance in enumerate(self.tolerances[1:], start=1):
            yield f"boundary_f1@{tolerance:g}", "", image_means(boundary_f1(at_tolerance(edges, number)))
        if self.surface:
            yield from with_classes("nsd", surface_dice(at_tolerance(edges, 0)), self.names)
            yield from with_classes("hd95", totals["hd95"].numpy(), self.names)

    def tables(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        """Return the scores (C) of each class, and boundary F1 by tolerance."""
        edges = totals["edges"].numpy()
        f1 = [boundary_f1(at_tolerance(edges, number)) for number in range(len(self.tolerances))]
        ious = class_means(image_ious(totals["bands"].numpy())).tolist()
        return {
            "boundary_iou_c_by_class": dict(zip(self.names, ious, strict=True)),
            "boundary_f1_c_by_class": dict(zip(self.names, class_means(f1[0]).tolist(), strict=True)),
            "boundary_f1_curve": {
                "tolerances": list(self.tolerances),
                "i": [by_image(values) for values in f1],
                "c": [by_class(values) for values in f1],
            },
        }


def at_tolerance(edges: NDArray[np.int32], number: int) -> NDArray[np.int32]:
    """Return the ``(images, C, 4)`` counts that `seg.metrics.scores.boundary_f1` takes, of one of the tolerances."""
    return edges[..., [0, 1, 2 + 2 * number, 3 + 2 * number]]


def pixels(tolerance: float, shape: tuple[int, ...]) -> float:
    """Return a tolerance in pixels, for an image (H, W); shares of the diagonal are rounded up, as in DAVIS."""
    return tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*shape))


def band_counts(prediction: Mask, target: Mask, classes: int) -> NDArray[np.int64]:
    """Count pixels (C, 3) of intersection, prediction and target within the bands that boundary IoU looks at.

    A pixel is in the band of its class if a pixel of another class, or from outside the image, is at most
    ``max(1, round(0.02 diagonal))`` pixels away, in rows and in columns.

    Args:
        prediction, target: (H, W) class indices; 255 in both at ignored pixels.
    """
    width = max(1, round(BAND * math.hypot(*target.shape)))
    bands = [_near_others(mask, _SQUARE, width) for mask in (prediction, target)]
    for mask, band in zip((prediction, target), bands, strict=True):
        for rim in (band[:width], band[-width:], band[:, :width], band[:, -width:]):
            rim[:] = True
        band &= mask != IGNORE
    predicted, wanted = bands
    both = predicted & wanted & (prediction == target)
    counted = (target[both], prediction[predicted], target[wanted])
    return np.stack([np.bincount(values, minlength=classes) for values in counted], axis=1)


def _near_others(mask: Mask, kernel: NDArray[Any], steps: int) -> Bools:
    """Find pixels with one of another class, which is not ignored, within reach of the kernel; for all classes at once:
    the smallest and the largest class within reach differ."""
    least = cv2.erode(mask, kernel, iterations=steps)  # ignored is 255, and no minimum
    most = cv2.dilate(np.where(mask == IGNORE, np.uint8(0), mask), kernel, iterations=steps)
    found: Bools = ((least != mask) | (most != mask)) & (mask != IGNORE)
    return found


def _edges_only(mask: Mask) -> Mask:
    """Return the mask with all but its boundary pixels ignored."""
    return np.where(_near_others(mask, _CROSS, 1), mask, np.uint8(IGNORE))


def _edge_counts(
    predicted: Mask, target: Mask, ways: tuple[Distances, Distances], radii: Sequence[float], classes: int
) -> NDArray[np.int64]:
    """Count boundary pixels (C, 2 + 2 T) as `Boundaries` counts them, of boundaries with everything else ignored.

    Args:
        ways: from the predicted boundary to the target's, and back.
    """
    columns = [np.bincount(edges[edges != IGNORE], minlength=classes) for edges in (predicted, target)]
    for radius in radii:
        columns += [np.bincount(labels[far <= radius], minlength=classes) for labels, far in ways]
    return np.stack(columns, axis=1)


def _distances(edges: Mask, others: Mask, radius: float) -> Distances:
    """Return the class of each boundary pixel, and the distance to the nearest of its class in ``others``, exact up to
    ``radius``.

    Goes through the places within reach, the nearest first, and leaves the pixels that have found one: boundaries are
    a few per cent of the pixels, and most are nearly right, so that this takes a fraction of a distance transform. For
    a wide reach a tree of the pixels is faster.
    """
    if radius > _WIDE:
        return _all_distances(edges, others)
    reach = int(radius)
    around = cv2.copyMakeBorder(others, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=IGNORE)
    rows, columns = np.nonzero(edges != IGNORE)
    labels = edges[rows, columns]
    far = np.full(labels.shape, np.inf)
    places = (rows + reach) * around.shape[1] + columns + reach
    waiting, wanted, flat = np.arange(len(labels)), labels, around.ravel()
    for distance, step in _steps(radius, around.shape[1]):
        hit = flat[places + step] == wanted
        far[waiting[hit]] = distance
        waiting, wanted, places = waiting[~hit], wanted[~hit], places[~hit]
        if not len(waiting):
            break
    return labels, far


def _all_distances(edges: Mask, others: Mask) -> Distances:
    """Do as `_distances`, however far; infinite where the others have no pixel of the class."""
    labels = edges[edges != IGNORE]
    far = np.full(labels.shape, np.inf)
    for index in np.intersect1d(labels, others[others != IGNORE]):
        far[labels == index] = cKDTree(np.argwhere(others == index)).query(np.argwhere(edges == index))[0]
    return labels, far


def _steps(radius: float, stride: int) -> Iterator[tuple[float, int]]:
    """Yield distances within the radius, rising, and the steps in a flat image of this stride that lead there."""
    reach = int(radius)
    rows, columns = (axis.ravel() for axis in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    distances = np.hypot(rows, columns)
    for index in np.argsort(distances, kind="stable"):
        if distances[index] > radius:
            return
        yield float(distances[index]), int(rows[index] * stride + columns[index])


def hausdorff95(ways: tuple[Distances, Distances], classes: int) -> NDArray[np.float64]:
    """Return the 95th percentile of the Hausdorff distance (C,) in pixels between boundaries, all else ignored.

    The larger one of the two directions, each with NumPy's linear percentile. NaN where one of the two has no boundary
    of the class: no distance says how wrong that is.

    Args:
        ways: distances from the predicted boundary to the target's, and back, however far.
    """
    found = np.full(classes, np.nan)
    for index in np.intersect1d(ways[0][0], ways[1][0]):
        found[index] = max(np.percentile(far[labels == index], 95) for labels, far in ways)
    return found
