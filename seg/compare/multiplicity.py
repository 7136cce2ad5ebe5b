"""Of many pairs that are tested at once, which ones hold together: p values adjusted for one another."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

import numpy as np


def holm_steps(tests: int) -> list[int]:
    """Return how many of the hypotheses may still be true once 0, 1, 2 ... of them are rejected: all that are left.

    Holm, "A simple sequentially rejective multiple test procedure" (Scandinavian Journal of Statistics 1979).
    """
    return list(range(tests, 0, -1))


def shaffer_steps(levels: int, families: int = 1) -> list[int]:
    """Return the same for all pairs of levels, where hypotheses hang together: fewer, so that more is found.

    Args:
        families: so many times all pairs, as on several sets of images; hypotheses hang together within each.

    If one of three levels differs, at most one of the three pairs is equal, not two. Shaffer, "Modified sequentially
    rejective multiple test procedures" (Journal of the American Statistical Association 1986), the static steps. That
    pairs may also differ by less than a rope costs nothing: what is left of Holm's number is never less than half, and
    a pair at the edge of the rope can be called wrong to one side only, which has half of the probability.
    """
    sums = {0}
    for _ in range(families):
        sums = {a + b for a in sums for b in equal_pairs(levels)}
    counts = sorted(sums)
    left = range(families * levels * (levels - 1) // 2, 0, -1)
    return [counts[bisect_right(counts, most) - 1] for most in left]


@cache
def equal_pairs(levels: int) -> frozenset[int]:
    """Return how many pairs may be equal among so many levels: those within groups of any sizes."""
    if levels == 0:
        return frozenset({0})
    return frozenset(
        size * (size - 1) // 2 + others for size in range(1, levels + 1) for others in equal_pairs(levels - size)
    )


def adjusted(p: Sequence[float], steps: Sequence[float]) -> list[float]:
    """Adjust p values, in the same order, so that those below a bound may be claimed together.

    Args:
        steps: what the smallest p is multiplied by, the second one, and so on.
    """
    order = np.argsort(p)
    rising = np.maximum.accumulate(np.asarray(p)[order] * np.asarray(steps))
    found = np.empty(len(p))
    found[order] = np.minimum(rising, 1)
    return found.tolist()
