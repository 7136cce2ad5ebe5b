"""Which levels get another seed: after each round of a sweep the pairs that are open, and that may well be settled."""

import math
from collections.abc import Iterable

from seg.compare.findings import OPEN, Comparison, PairResult
from seg.compare.looks import Looks
from seg.compare.variance import verdict


def still_open(pairs: Iterable[PairResult]) -> list[PairResult]:
    """Return the pairs that are not settled."""
    return [pair for pair in pairs if pair.verdict == OPEN]


def may_settle(pair: PairResult, looks: Looks, rope: float) -> bool:
    """Tell whether further seeds are worth their cost: whether an open pair may well be settled by ``looks.most``.

    The difference will not stay what it is: it is taken to be larger, smaller, or nearer to none, by what the seeds to
    come will move it (one standard deviation), and to be all that is left to settle then.
    """
    known, more = pair.variance, looks.most - pair.variance.seed_count
    if more <= 0 or known.seeds is None:
        return False
    reach = math.sqrt((known.seeds + known.remainder) * more / looks.most)
    later, level = known.scaled(seeds=more), 1 - 0.05 * looks.share(looks.most)
    moved = [pair.difference - reach, pair.difference + reach, *[0.0] * (abs(pair.difference) < reach)]
    intervals = (later.interval(each, new_seeds=True, level=level) for each in moved)
    return any(verdict(interval, rope) != OPEN for interval in intervals)


def levels_to_go_on(result: Comparison, looks: Looks) -> list[str]:
    """Return the levels that get another seed: those with a pair that is open, and that more seeds may well settle.

    A level that got no seed in the last round gets none any more.
    """
    latest = max(seed for level in result.levels for seed in level.seeds)
    going = {level.level for level in result.levels if latest in level.seeds}
    open_ones = [pair for pair in still_open(result.pairs) if {pair.a, pair.b} <= going]
    wanted = {name for pair in open_ones if may_settle(pair, looks, result.rope) for name in (pair.a, pair.b)}
    return [level.level for level in result.levels if level.level in wanted]
