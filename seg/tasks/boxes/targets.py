"""Objects of a mask: what of a class hangs together, and the box around it.

An object is a connected component of one class over the eight neighbours, so that touching objects of one class are
one object, and one that something else divides is several. Where the number of the object at each pixel is known, an
object is all pixels of one class and number instead.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.labels import IGNORE

MOST = 255
"""Objects of a mask that are kept, the largest: their numbers fit into a byte, and batches have one shape."""


class Objects(NamedTuple):
    """The n objects of a mask, the largest first.

    Attributes:
        numbers: (H, W) uint8, 1 + number of the object at each pixel, 0 = none.
        boxes: (n, 4) int64, xyxy in pixels: right and bottom are one more than the last column and row.
        classes: (n,) uint8.
        areas: (n,) int64, pixels.
        border: (n,) whether it reaches the border of the mask, so that it may go on outside.
        ignored: (n,) whether an ignored pixel is among its eight neighbours, so that it may go on there.
    """

    numbers: NDArray[np.uint8]
    boxes: NDArray[np.int64]
    classes: NDArray[np.uint8]
    areas: NDArray[np.int64]
    border: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


class _Runs(NamedTuple):
    """Runs of equal pixels within rows, in reading order: (r,) each; ``first`` and ``last + 1`` count pixels."""

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    value: NDArray[Any]


def find_objects(
    mask: NDArray[np.uint8],
    *,
    instances: NDArray[np.int32] | None = None,
    classes: Sequence[int] | None = None,
    min_area: int = 1,
) -> Objects:
    """Find the objects of every class: what has one number in ``instances``, or else the connected components.

    By runs of equal pixels and not by OpenCV, which needs one pass for each class: with 19 classes that takes ten times
    as long.

    Args:
        mask: (H, W) uint8, 255 = ignore.
        instances: (H, W) number of the object at each pixel, -2**23 <= number < 2**23; 0 = none.
        classes: indices of those that have objects; None = all.
        min_area: pixels of the smallest object.
    """
    height, width = mask.shape
    runs = _runs(mask if instances is None else mask | np.asarray(instances, np.int32) << 8)
    countable = np.zeros(256, bool)
    countable[[*range(IGNORE)] if classes is None else list(classes)] = True
    wanted = np.flatnonzero(countable[runs.value & 255] & (instances is None or runs.value >> 8 != 0))
    first, end, value = runs.first[wanted], runs.end[wanted], runs.value[wanted]
    label = _components(_Runs(first, end, value), width) if instances is None else _numbered(value)
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    top, left = np.divmod(first, width)
    right = left + end - first
    edges = [(np.minimum, left), (np.minimum, top), (np.maximum, right), (np.maximum, top + 1)]
    boxes = np.stack([extreme.reduceat(part[order], starts) for extreme, part in edges], 1).reshape(-1, 4)
    areas = np.add.reduceat((end - first)[order], starts)
    kept = np.argsort(-areas, kind="stable")[: min(MOST, np.count_nonzero(areas >= min_area))]
    number = np.zeros(len(areas), np.uint8)
    number[kept] = np.arange(1, len(kept) + 1)
    of_runs = np.zeros(len(runs.value), np.uint8)
    of_runs[wanted] = number[label]
    numbers = np.repeat(of_runs, runs.end - runs.first).reshape(mask.shape)
    boxes = boxes[kept]
    border = (boxes[:, :2] == 0).any(1) | (boxes[:, 2:] == (width, height)).any(1)
    kinds = value[order[starts[kept]]].astype(np.uint8)  # the lower eight bits
    return Objects(numbers, boxes, kinds, areas[kept], border, _at_ignored(mask, numbers, len(kept)))


def _runs(values: NDArray[Any]) -> _Runs:
    flat = np.ascontiguousarray(values).ravel()
    begins = np.ones(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[:: values.shape[1]] = True
    first = np.flatnonzero(begins)
    return _Runs(first, np.append(first[1:], flat.size), flat[first])


def _numbered(values: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the place (r,) of each value among the different ones."""
    labels: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    return labels


def _components(runs: _Runs, width: int) -> NDArray[np.int32]:
    """Return the component (r,) of each run: runs of one value in neighbouring rows that touch, also at a corner."""
    from scipy.sparse import coo_array  # half a second, wanted by few
    from scipy.sparse.csgraph import connected_components

    first, end, value = runs
    above = np.searchsorted(end, first + width - (first % width > 0), side="right")  # the first run below that touches
    below = np.searchsorted(first, end + width + (end % width > 0), side="left")  # the one after the last such run
    number = np.maximum(below - above, 0)
    one = np.repeat(np.arange(len(first)), number)
    other = np.arange(len(one)) - np.repeat(np.cumsum(number) - number, number) + np.repeat(above, number)
    same = value[one] == value[other]
    edges = np.ones(np.count_nonzero(same), np.int8), (one[same], other[same])
    label: NDArray[np.int32] = connected_components(coo_array(edges, shape=(len(first),) * 2), directed=False)[1]
    return label


def _at_ignored(mask: NDArray[np.uint8], numbers: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    near = cv2.dilate((mask == IGNORE).view(np.uint8), np.ones((3, 3), np.uint8))
    return np.bincount(numbers[near.view(bool)], minlength=count + 1)[1:] > 0
