"""Windows of a picture that are chosen by their content alone, so that overlapping crops of one scene choose the same
ones: what they have in common tells by how much the crops are shifted, without comparing pixels.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.audit.records import Measurements
from seg.images import Image, as_rgb

WINDOW = 8
MOST = 1024
"""Anchors of an image: an overlap of 1 % of a textured image has about ten of them, 64 x 64 of 512 x 512 pixels 13."""
_BUSY = 12  # of the 64 neighbours in a window that differ: edges between flat areas and letters look alike everywhere
_COMMON = 2  # anchors at one shift: an overlap of 64 x 64 pixels has less in one of 40 000 cases
_SHARERS = 32  # images of a hash that are looked at: what more have in common is a watermark, or known from the others

_WEIGHTS = np.random.Generator(np.random.PCG64(0)).integers(1 << 32, size=WINDOW * WINDOW, dtype=np.uint32) | 1

_Codes = NDArray[np.uint32]


class Shift(NamedTuple):
    """Two pairs with anchors in common: pixel (y, x) of ``second`` is (y + down, x + right) of ``first``."""

    first: Measurements
    second: Measurements
    down: int
    right: int
    common: int


def anchors_of(image: Image) -> _Codes:
    """Return hash and place (y * width + x) of up to `MOST` windows of an image (H, W, channels), sorted; (N, 2).

    They are those that come first in a random order by content, among the windows that are not flat and occur once.
    """
    height, width = image.shape[:2]
    if min(height, width) < WINDOW:
        return np.zeros((0, 2), np.uint32)
    pixels = cv2.cvtColor(as_rgb(image), cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
    changes = np.zeros(pixels.shape, np.uint8)
    np.not_equal(pixels[:, 1:], pixels[:, :-1], out=changes[:, 1:].view(bool))
    square = (WINDOW, WINDOW)
    busy = cv2.boxFilter(changes, cv2.CV_8U, square, anchor=(0, 0), normalize=False)[: 1 - WINDOW, : 1 - WINDOW]
    wanted = busy >= _BUSY
    pixels = _mixed(pixels)
    order = _windowed(pixels)
    # Twice as many as are kept, because some occur several times.
    limit = np.uint32(min(0xFFFFFFFF, (2 * MOST << 32) // max(int(np.count_nonzero(wanted)), 1)))
    y, x = np.divmod(np.flatnonzero((order <= limit) & wanted), order.shape[1])
    _, places, times = np.unique(order[y, x], return_index=True, return_counts=True)
    places = places[times == 1][:MOST]
    y, x = y[places], x[places]
    # The order alone has too few bits left among its lowest values to tell windows of many images apart.
    windows = np.lib.stride_tricks.sliding_window_view(pixels, square)[y, x].reshape(-1, WINDOW * WINDOW)
    hashes = windows @ _WEIGHTS
    anchors = np.stack([hashes, (y * width + x).astype(np.uint32)], 1)
    return anchors[np.argsort(hashes)]


def _mixed(codes: _Codes) -> _Codes:
    """Mix bits one to one, so that sums of the results look random."""
    codes = codes * np.uint32(0x9E3779B1)
    codes ^= codes >> np.uint32(15)
    codes *= np.uint32(0x85EBCA6B)
    return codes


def _windowed(codes: _Codes) -> _Codes:
    """Hash the window that begins at each pixel, (H - 7, W - 7): a polynomial of its rows, then of these."""
    for axis, factor in ((1, 0x85EBCA6B), (0, 0xC2B2AE35)):
        step = 1
        while step < WINDOW:
            first_half, second_half = (codes[:, :-step], codes[:, step:]) if axis else (codes[:-step], codes[step:])
            codes = first_half * np.uint32(factor)
            codes += second_half
            factor, step = factor * factor & 0xFFFFFFFF, 2 * step
    return codes


def shifts(first: Sequence[Measurements], second: Sequence[Measurements]) -> Iterator[list[Shift]]:
    """Yield for each pair of ``second`` the pairs of ``first`` with anchors in common, by their most common shift.

    Both may be one list, where a pair is compared with those before it.

    Pictures of one size that are not shifted against each other are left out: `check_duplicates` knows them.
    """
    anchors, owners = _sorted_anchors(first)
    size = np.array([pair.size for pair in first], np.int64).reshape(-1, 2)
    for index, pair in enumerate(second):
        if not len(pair.anchors) or not len(anchors):
            continue
        mine, theirs = _common(pair.anchors[:, 0], anchors[:, 0])
        owner, place = owners[theirs], anchors[theirs, 1].astype(np.int64)
        y, x = np.divmod(pair.anchors[mine, 1].astype(np.int64), pair.size[1])
        down, right = place // size[owner, 1] - y, place % size[owner, 1] - x
        wanted = (down != 0) | (right != 0) | (size[owner] != pair.size).any(1)
        if first is second:
            wanted &= owner < index
        found = _most_common(np.stack([owner, down, right], 1)[wanted])
        if listed := [Shift(first[i], pair, *by) for i, *by in found]:
            yield listed


def _sorted_anchors(pairs: Sequence[Measurements]) -> tuple[_Codes, NDArray[np.int32]]:
    """Return the anchors of all images by their hashes, (N, 2), and the positions of their pairs."""
    anchors = np.concatenate([np.zeros((0, 2), np.uint32), *(pair.anchors for pair in pairs)])
    owners = np.repeat(np.arange(len(pairs), dtype=np.int32), [len(pair.anchors) for pair in pairs])
    order = np.argsort(anchors[:, 0], kind="stable")
    return anchors[order], owners[order]


def _common(hashes: _Codes, ordered: _Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of equal hashes in both."""
    start = np.searchsorted(ordered, hashes)
    known = np.flatnonzero(ordered[np.minimum(start, len(ordered) - 1)] == hashes)
    start = start[known]
    number = np.minimum(np.searchsorted(ordered, hashes[known], "right") - start, _SHARERS)
    nth = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    return np.repeat(known, number), np.repeat(start, number) + nth


def _most_common(shifts: NDArray[np.int64]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the most frequent row (owner, down, right) of each owner, and how often it occurs, if that is enough."""
    rows, times = np.unique(shifts, axis=0, return_counts=True)
    best: dict[int, tuple[int, int, int]] = {}
    for (owner, down, right), count in zip(rows.tolist(), times.tolist(), strict=True):
        if count >= _COMMON and count > best.get(owner, (0, 0, 0))[0]:
            best[owner] = count, down, right
    for owner, (count, down, right) in best.items():
        yield owner, down, right, count
