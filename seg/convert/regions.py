"""The regions of a mask, as runs of pixels: what every form of annotation with run lengths is made of.

Pixels of one class that touch by their sides are a region; pixels of one numbered object are a region wherever they
lie. 255 is in none. Everything is computed for all regions of a mask at once, because a mask may have thousands.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg.labels import IGNORE


class Regions(NamedTuple):
    """R regions of N runs together, in the order in which they are met along the lines, and so are their runs.

    A run lies in one line: a row, or with ``columns`` a column. Positions count pixels line by line.
    """

    classes: NDArray[np.intp]
    """(R,) mask value."""
    objects: NDArray[np.intp]
    """(R,) number of the object, 0 = none."""
    areas: NDArray[np.intp]
    """(R,) pixels."""
    boxes: NDArray[np.intp]
    """(R, 4) left, top, width, height in pixels."""
    first: NDArray[np.intp]
    """(R + 1,) place of each region's first run, and N."""
    starts: NDArray[np.intp]
    """(N,) position of the first pixel of a run."""
    stops: NDArray[np.intp]
    """(N,) position behind its last pixel, in the same line."""
    shape: tuple[int, int]
    """Height and width of the mask."""
    columns: bool
    """Lines are columns."""

    @property
    def line(self) -> int:
        """Pixels of a line."""
        return self.shape[0] if self.columns else self.shape[1]

    @property
    def of_run(self) -> NDArray[np.intp]:
        """(N,) place of the region of each run."""
        return np.repeat(np.arange(len(self.classes)), np.diff(self.first))

    def means(self, values: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the mean of values (H, W) in each region, (R,)."""
        flat = (values.T if self.columns else values).reshape(-1)
        sums = np.append(0, np.cumsum(flat, dtype=np.int64))
        of_runs = np.append(0, np.cumsum(sums[self.stops] - sums[self.starts]))
        return np.asarray((of_runs[self.first[1:]] - of_runs[self.first[:-1]]) / self.areas)

    def pixels(self, number: int) -> NDArray[np.bool_]:
        """Return a region within its box, (height, width)."""
        left, top, width, height = self.boxes[number].tolist()
        across, along = (height, left) if self.columns else (width, top)
        runs = slice(self.first[number], self.first[number + 1])
        lines, places = np.divmod(self.starts[runs], self.line)
        before = (lines - along) * across + places - (top if self.columns else left)
        edges = np.zeros(width * height + 1, np.int8)
        edges[before] = 1
        np.add.at(edges, before + self.stops[runs] - self.starts[runs], -1)  # where the next run may begin
        inside = np.cumsum(edges[:-1], dtype=np.int8).astype(bool)
        return inside.reshape(width, height).T if self.columns else inside.reshape(height, width)


def find_regions(
    mask: NDArray[np.uint8],
    numbers: NDArray[np.uint16] | None = None,
    *,
    columns: bool = False,
    without: int | None = None,
) -> Regions:
    """Return the regions of a mask (H, W), 255 left out.

    Args:
        numbers: (H, W) of the object at each pixel; 0 = none, where the pixels that touch are a region.
        columns: runs go down the columns, as COCO's do; else along the rows.
        without: a mask value that is in no region either.

    Raises:
        ValueError: ``numbers`` of another size.
    """
    if numbers is not None and numbers.shape != mask.shape:
        (height, width), (rows, across) = mask.shape, numbers.shape
        raise ValueError(
            f"expected the numbers of the objects at {width} x {height} pixels, as the mask has, got {across} x "
            f"{rows}; give those that were made with it"
        )
    values: NDArray[np.uint8] | NDArray[np.uint32] = mask
    if numbers is not None:
        values = mask + (numbers.astype(np.uint32) << 8)
    lines = _transposed(values) if columns else np.ascontiguousarray(values)
    flat, line = lines.reshape(-1), max(lines.shape[1], 1)
    new = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=new[1:])
    new[::line] = True
    starts = np.flatnonzero(new)
    stops = np.append(starts[1:], flat.size)
    value = flat[starts].astype(np.intp)
    wanted = (value & 255) != IGNORE
    if without is not None:
        wanted &= (value & 255) != without
    starts, stops, value = starts[wanted], stops[wanted], value[wanted]
    region = _components(*_links(starts, stops, value, line), len(starts))
    return _gathered(region, starts, stops, value, mask.shape, columns)


def _transposed(values: NDArray[Any]) -> NDArray[Any]:
    """Transpose by OpenCV, several times faster than NumPy."""
    import cv2

    return cv2.transpose(values.view(np.int32) if values.itemsize > 1 else values)


def _links(
    starts: NDArray[np.intp], stops: NDArray[np.intp], value: NDArray[np.intp], line: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs of runs that are of one region: neighbours in the next line, or of one object."""
    lower = np.searchsorted(stops, starts + line, "right")
    upper = np.searchsorted(starts, stops + line, "left")
    many = np.maximum(upper - lower, 0)
    one = np.repeat(np.arange(len(starts)), many)
    other = np.arange(len(one)) - np.repeat(np.cumsum(many) - many, many) + lower[one]
    same = value[one] == value[other]
    one, other = one[same], other[same]
    numbered = np.flatnonzero(value > 255)
    if len(numbered):
        _, first, which = np.unique(value[numbered], return_index=True, return_inverse=True)
        one, other = np.append(one, numbered), np.append(other, numbered[first][which])
    return one, other


def _components(one: NDArray[np.intp], other: NDArray[np.intp], many: int) -> NDArray[np.intp]:
    """Return the region of each of ``many`` runs, counted in the order in which they are met."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(many, many))
    count, labels = connected_components(pairs, directed=False)
    first = np.empty(count, np.intp)
    first[labels[::-1]] = np.arange(many - 1, -1, -1)  # what is written last stays
    rank = np.empty(count, np.intp)
    rank[np.argsort(first)] = np.arange(count)
    return np.asarray(rank[labels])


def _gathered(
    region: NDArray[np.intp],
    starts: NDArray[np.intp],
    stops: NDArray[np.intp],
    value: NDArray[np.intp],
    shape: tuple[int, int],
    columns: bool,
) -> Regions:
    """Order runs by their regions, and measure these."""
    # numbers of 16 bits are sorted several times faster
    order = np.argsort(region.astype(np.uint16) if region.max(initial=0) < 1 << 16 else region, kind="stable")
    starts, stops, value = starts[order], stops[order], value[order]
    many = np.bincount(region)
    first = np.append(0, np.cumsum(many))
    if not len(many):
        none = np.zeros(0, np.intp)
        return Regions(none, none, none, np.zeros((0, 4), np.intp), first, none, none, shape, columns)
    at, (line, place) = first[:-1], np.divmod(starts, shape[0] if columns else shape[1])
    low, high = np.minimum.reduceat(place, at), np.maximum.reduceat(place + stops - starts, at)
    begin, end = line[at], line[first[1:] - 1] + 1
    sides = (begin, low, end - begin, high - low) if columns else (low, begin, high - low, end - begin)
    areas = np.add.reduceat(stops - starts, at)
    return Regions(value[at] & 255, value[at] >> 8, areas, np.stack(sides, 1), first, starts, stops, shape, columns)
