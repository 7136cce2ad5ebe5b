"""Pixels that two pictures share: overlapping tiles or crops of one scene."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg.audit.anchors import WINDOW, Shift, shifts
from seg.audit.records import Example, Finding, Measurements, as_findings, example_of, percent_text
from seg.data.pairs import scenes_of
from seg.files.memo import usable_cores
from seg.images import Image, Reading, read_image

_SURE = 8  # anchors that show without the files that all is equal, where there are no others
_EQUAL = 0.8  # least share of the overlap's textured pixels: a watermark may cover some, and is no overlap itself
_LEAST = 1024  # pixels of an overlap: fewer are equal by chance in dark pictures of few gray levels
_COMPARED = 16  # at most, of the pictures that overlap one: a tile has eight neighbours
_HELD = 1 << 26  # bytes of pixels that are kept, because neighbours are compared with each other

Open = Callable[[Path], Image]


class Shared(NamedTuple):
    """How many pixels of a pair's image lie also in others, and the pair that it shares most with."""

    pair: Measurements
    other: Measurements
    pixels: int

    @property
    def example(self) -> Example:
        share = percent_text(self.pixels / (self.pair.size[0] * self.pair.size[1]))
        return example_of(self.other.image, self.pair.image, detail=f"{share} of its pixels")


def check_overlaps(
    pairs: dict[str, list[Measurements]], reading: Reading, group: str | None = None, threads: int = 0
) -> Iterator[Finding]:
    """Report pixels shared between splits, or, of a single split, the overlaps that a seeded split would tear.

    Pixels are compared one by one, or by the anchors, where there are enough. Not seen: what is resized, turned, or
    compressed with loss after it was cut, and overlaps of less than about 1 % of the larger picture.

    Args:
        group: what tells a pair's scene, see `seg.data.pairs.scenes_of`.
        threads: 0 = all cores that this process may use.
    """
    for first, second in combinations(pairs, 2):
        shared = _shared(shifts(pairs[first], pairs[second]), reading, threads)
        every = sum(pair.size[0] * pair.size[1] for pair in pairs[second])
        share = percent_text(sum(overlap.pixels for overlap in shared) / max(every, 1))
        text = f"pixels of {second} that are also in {first}, in overlapping tiles or crops: {share}, in {len(shared)} "
        text += f"of {len(pairs[second])} images"
        advice = "keep all tiles of a scene in one part (data.group says what a scene is): scores on "
        advice += f"{second} would reward memory"
        examples = [overlap.example for overlap in shared]
        yield from as_findings("shared-pixels", "error", f"{first}, {second}", examples, text, advice)
    if len(pairs) == 1:
        [(split, members)] = pairs.items()
        shared = _shared(_across_scenes(members, group), reading, threads)
        text = "images that share pixels with one before them"
        advice = "give data.group before they are split: a random split (data.val_share) would put them on both sides"
        yield from as_findings(
            "overlap", "note", split, [overlap.example for overlap in shared], text, advice, len(members)
        )


def _across_scenes(pairs: Sequence[Measurements], group: str | None) -> Iterator[list[Shift]]:
    """Yield shifts within one split, between pairs that a split by scene would not keep together."""
    scenes = dict(zip((pair.name for pair in pairs), scenes_of([pair.name for pair in pairs], group), strict=True))
    for shifted in shifts(pairs, pairs):
        if torn := [shift for shift in shifted if scenes[shift.first.name] != scenes[shift.second.name]]:
            yield torn


def _shared(candidates: Iterable[list[Shift]], reading: Reading, threads: int) -> list[Shared]:
    listed = list(candidates)
    largest = max((np.prod(shift.first.size) for group in listed for shift in group), default=1)
    kept = int(_HELD // (reading.channels * largest)) + 2
    opened = lru_cache(kept)(lambda path: read_image(path, reading))
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        compared = pool.map(lambda group: _compared(group, opened), listed)
        return [group for group in compared if group]


def _compared(group: Sequence[Shift], opened: Open) -> Shared | None:
    """Return the pixels of an image that are in the others; None if there are none after all."""
    pair = group[0].second
    covered = np.zeros(pair.size, bool)
    best: tuple[int, Measurements | None] = 0, None
    large = [shift for shift in group if _area(shift) >= _LEAST]
    for shift in sorted(large, key=_area, reverse=True)[:_COMPARED]:
        rows, columns = _overlap(shift)
        if covered[rows, columns].all():
            continue
        equal = _equal(shift, rows, columns, opened)
        covered[rows, columns] |= equal
        best = max(best, (int(equal.sum()), shift.first), key=lambda entry: entry[0])
    return Shared(pair, best[1], int(covered.sum())) if best[1] else None


def _equal(shift: Shift, rows: slice, columns: slice, opened: Open) -> NDArray[np.bool_]:
    """Tell which pixels of the overlap are equal; none, unless most of its textured pixels are."""
    there = (
        slice(rows.start + shift.down, rows.stop + shift.down),
        slice(columns.start + shift.right, columns.stop + shift.right),
    )
    # Each has those that come first in one order, so that the one with fewer here has none that the other has not.
    fewest = min(_held(shift.second, rows, columns), _held(shift.first, *there))
    if shift.common >= max(_SURE, fewest):
        return np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
    part, other = opened(shift.second.image)[rows, columns], opened(shift.first.image)[there]
    equal = (part == other).all(2)
    busy = (part[:, 1:] != part[:, :-1]).any(2)  # flat areas are equal by chance
    return equal if busy.any() and equal[:, 1:][busy].mean() >= _EQUAL else np.zeros_like(equal)


def _held(pair: Measurements, rows: slice, columns: slice) -> int:
    """Count the anchors whose windows lie in a rectangle."""
    y, x = np.divmod(pair.anchors[:, 1], pair.size[1])
    inside = (y >= rows.start) & (y <= rows.stop - WINDOW) & (x >= columns.start) & (x <= columns.stop - WINDOW)
    return int(np.count_nonzero(inside))


def _overlap(shift: Shift) -> tuple[slice, slice]:
    """Return the rows and columns of ``second`` that lie in ``first``."""
    rows, columns = (
        slice(max(0, -by), min(mine, theirs - by))
        for by, mine, theirs in zip((shift.down, shift.right), shift.second.size, shift.first.size, strict=True)
    )
    return rows, columns


def _area(shift: Shift) -> int:
    rows, columns = _overlap(shift)
    return int(rows.stop - rows.start) * int(columns.stop - columns.start)
