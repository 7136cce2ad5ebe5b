"""Polygons around regions: with holes, or of one ring alone where a form has none; exact unless they are simplified.

Two kinds of rings. *Edges* go along the sides of pixels, through their corners, as pycocotools and geographic tools
count; *centres* go through the middles of the outermost pixels, as `cv2.fillPoly` and so YOLO count. Filled by the rule
of their form, both give the pixels back to the bit.

A ring is (P, 2) x and y in pixels, closed without a repetition of its first corner.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
Kind = Literal["edges", "centres"]


class Outline(NamedTuple):
    """A ring around pixels that touch by their sides, and a ring for each hole."""

    outer: Ring
    holes: list[Ring]


def find_outlines(pixels: NDArray[np.bool_], kind: Kind, tolerance: float = 0.0) -> list[Outline]:
    """Return an outline for each part of a region (H, W) whose pixels touch by their sides.

    Args:
        tolerance: corners are left out where the ring moves by at most so many pixels (Douglas and Peucker); a ring
            that would vanish stays as it is.
    """
    import cv2

    many, labels = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=4)
    outlines = []
    for number in range(1, many):
        part = labels == number
        outer, holes = _edges(part) if kind == "edges" else _centres(part)
        outlines.append(Outline(_simpler(outer, tolerance), [_simpler(hole, tolerance) for hole in holes]))
    return outlines


def join(outline: Outline) -> Ring:
    """Return one ring, in which a way there and back leads to each hole; filled, it is what the outline is.

    The way goes from the leftmost corner of a hole along the row to the left, and so through the region.
    """
    ring = outline.outer
    for hole in sorted(outline.holes, key=lambda hole: float(hole[:, 0].min())):
        hole = np.roll(hole, -int(np.lexsort((hole[:, 1], hole[:, 0]))[0]), axis=0)
        at, place = _left_of(ring, hole[0])
        ring = np.concatenate([ring[: at + 1], [place], hole, hole[:1], [place], ring[at + 1 :]])
    return ring


def fill_edges(outlines: list[Outline], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) whose middle lies within: the even-odd rule, holes left out."""
    height, width = shape
    rings = [ring for outline in outlines for ring in (outline.outer, *outline.holes)]
    x0, y0 = np.concatenate([np.zeros((0, 2)), *rings]).T
    x1, y1 = np.concatenate([np.zeros((0, 2)), *(np.roll(ring, -1, axis=0) for ring in rings)]).T
    first, behind = (np.clip(np.ceil(end(y0, y1) - 0.5), 0, height).astype(np.intp) for end in (np.minimum, np.maximum))
    many = behind - first  # rows whose middle a side crosses
    side = np.repeat(np.arange(len(many)), many)
    row = np.arange(len(side)) - np.repeat(np.cumsum(many) - many, many) + first[side]
    x = x0[side] + (row + 0.5 - y0[side]) * ((x1 - x0)[side] / (y1 - y0)[side])
    turns = np.zeros((height, width + 1), np.int32)
    np.add.at(turns, (row, np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)), 1)
    inside: NDArray[np.bool_] = np.cumsum(turns[:, :-1], axis=1) % 2 == 1
    return inside


def _left_of(ring: Ring, point: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """Return the nearest place of a ring to the left of a point, in its row, and the corner that comes before it."""
    x, y = point
    following = np.roll(ring, -1, axis=0)
    low, high = np.minimum(ring, following), np.maximum(ring, following)
    rise = following[:, 1] - ring[:, 1]
    along = np.divide(y - ring[:, 1], rise, out=np.zeros(len(ring)), where=rise != 0)
    crossing = np.where(
        rise != 0, ring[:, 0] + along * (following[:, 0] - ring[:, 0]), np.clip(x, low[:, 0], high[:, 0])
    )
    fits = (low[:, 1] <= y) & (y <= high[:, 1]) & (crossing <= x)
    if not fits.any():  # a simplified hole may stick out
        at = int(((ring - point) ** 2).sum(1).argmin())
        return at, ring[at]
    at = int(np.where(fits, crossing, -np.inf).argmax())
    return at, np.array([crossing[at], y])


def _simpler(ring: Ring, tolerance: float) -> Ring:
    import cv2

    if tolerance <= 0:
        return ring
    fewer: Ring = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0].astype(np.float64)
    return fewer if len(fewer) > 2 else ring


def _centres(part: NDArray[np.bool_]) -> tuple[Ring, list[Ring]]:
    """Return the rings through the middles of the outermost pixels of pixels that touch."""
    import cv2

    found, tree = cv2.findContours(part.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [contour[:, 0].astype(np.float64) for contour in found]
    outer = next(ring for ring, above in zip(rings, tree[0, :, 3], strict=True) if above < 0)
    return outer, [ring for ring, above in zip(rings, tree[0, :, 3], strict=True) if above >= 0]


def _edges(part: NDArray[np.bool_]) -> tuple[Ring, list[Ring]]:
    """Return the rings along the sides of pixels that touch.

    Corners lie where an odd number of the four pixels around belongs to the part; where two do that meet there alone,
    there are two corners, one for each of the other two, so that no ring meets itself. In every row of corners the
    first is connected with the second, the third with the fourth; alike in every column.
    """
    padded = np.pad(part, 1)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    twice = (a == d) & (b == c) & (a != b)
    y, x = np.nonzero((a ^ b ^ c ^ d) | twice)
    many = 1 + twice[y, x]
    place = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)  # 0, of a second corner 1
    y, x = np.repeat(y, many), np.repeat(x, many)
    swapped = np.where(twice[y, x] & a[y, x], 1 - place, place)
    order = np.lexsort((swapped, y, x))
    below = np.empty(len(y), np.intp)
    below[order[0::2]], below[order[1::2]] = order[1::2], order[0::2]
    partner, left = below.tolist(), np.ones(len(y), bool)
    outer, holes = np.zeros((0, 2)), []
    for start in range(len(y)):
        if not left[start]:
            continue
        ring: list[int] = []
        corner = start
        while not ring or corner != start:
            ring += [corner, corner ^ 1]  # corners are in the order of their rows
            corner = partner[corner ^ 1]
        left[ring] = False
        corners = np.stack([x[ring], y[ring]], 1).astype(np.float64)
        if d[y[start], x[start]]:  # its uppermost corner, of these the leftmost, has the part below
            outer = corners
        else:
            holes.append(corners)
    return outer, holes
