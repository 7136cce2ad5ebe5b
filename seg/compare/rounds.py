"""Rounds of seeds: after each, which pairs are settled, and which levels get another seed, as their runs tell.

A decision follows from complete runs alone. So a sweep that was killed comes to the same ones when it is started again,
and `seg.compare.study` to the same verdicts when it reads the runs later.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seg.compare.answer import between
from seg.compare.evidence import read_entry
from seg.compare.findings import OPEN, Comparison, PairResult
from seg.compare.looks import Design
from seg.compare.scores import measure
from seg.compare.statistics import compare
from seg.compare.study import Level, meant
from seg.compare.variance import verdict
from seg.compare.write import groups_of
from seg.metrics.catalogue import Metric
from seg.report.inline_markup import code

_NAMED = 8
"""Open pairs that are named."""


@dataclass(frozen=True)
class Round:
    """Where a sweep stands after a round.

    Attributes:
        result: of the comparison, over all looks so far.
        going_on: the levels that get another seed.
    """

    result: Comparison
    going_on: list[str]

    @property
    def open(self) -> list[PairResult]:
        """The pairs that are not settled."""
        return [pair for pair in self.result.pairs if pair.verdict == OPEN]

    def __str__(self) -> str:
        result = self.result
        pairs, seeds = len(result.pairs), max(len(level.seeds) for level in result.levels)
        return f"{pairs - len(self.open)} of {pairs} pairs are settled after {seeds} seeds"


def after_round(runs: Mapping[str, Sequence[Path]], design: Design) -> Round:
    """Compare the runs so far, and choose the levels that get another seed.

    These are the levels of pairs that are open and that more seeds may well settle. One that got none in the last round
    gets none any more.

    Args:
        runs: the folders of the complete runs of each level.

    Raises:
        ValueError: they cannot be compared.
    """
    levels = [Level(name, tuple(map(read_entry, folders))) for name, folders in runs.items()]
    result = compare(
        {level.name: level.sample() for level in levels},
        metric=_measured(levels, design.metric),
        groups=groups_of(design.group, levels[0].entries[0].images),
        rope=design.rope,
        reference=design.reference and meant(design.reference, [level.name for level in levels]),
        looks=design.looks,
        draws=100,
    )
    return Round(result, _going_on(result))


def _measured(levels: Sequence[Level], metric: str) -> Metric | str:
    catalogue = {name: one for level in levels for entry in level.entries for name, one in entry.catalogue.items()}
    return measure(metric, catalogue) or metric


def _going_on(result: Comparison) -> list[str]:
    latest = max(seed for level in result.levels for seed in level.seeds)
    there = {level.level for level in result.levels if latest in level.seeds}
    open_ones = [pair for pair in result.pairs if pair.verdict == OPEN and {pair.a, pair.b} <= there]
    wanted = {name for pair in open_ones if may_settle(pair, result) for name in (pair.a, pair.b)}
    return [level.level for level in result.levels if level.level in wanted]


def may_settle(pair: PairResult, result: Comparison) -> bool:
    """Tell whether further seeds are worth their cost: whether an open pair may well be settled by the last look.

    The difference will not stay what it is: it is taken to be larger, smaller, or nearer to none, by what the seeds to
    come may move it (two standard deviations), and the pair to be the only one that is left then.
    """
    looks, known = result.looks, pair.variance
    if looks is None or known.seeds is None or (more := looks.most - known.seed_count) <= 0:
        return False
    reach = 2 * math.sqrt((known.seeds + known.remainder) * more / looks.most)
    later, level = known.scaled(seeds=more), 1 - 0.05 * looks.share(looks.most)
    moved = [pair.difference - reach, pair.difference + reach, *[0.0] * (abs(pair.difference) < reach)]
    intervals = (later.interval(each, new_seeds=True, level=level) for each in moved)
    return any(verdict(interval, result.rope) != OPEN for interval in intervals)


def why(stands: Round) -> str:
    """Say why there is no further round."""
    looks, seeds = stands.result.looks, max(len(level.seeds) for level in stands.result.levels)
    if not stands.open:
        return "all pairs are settled"
    if looks is not None and seeds >= looks.most:
        return f"{seeds} seeds are the most (seeds={looks})"
    return f"the seeds to come would hardly settle what is open (seeds={looks})"


def told(stands: Round) -> Iterator[str]:
    """Yield which pairs are open, and what it would take to settle them."""
    result = stands.result
    for pair in sorted(stands.open, key=lambda pair: -abs(pair.difference))[:_NAMED]:
        number = result.measure.number
        yield (
            f"Open: {code(pair.a)} and {code(pair.b)} ({number(pair.difference)} {result.measure.differences}, 95 % "
            f"interval {between(pair.widest, result.measure)}): {_needed(pair)}."
        )
    if (more := len(stands.open) - _NAMED) > 0:
        yield f"Open: {more} more; seg-compare lists them."


def _needed(pair: PairResult) -> str:
    needs = [
        f"{number:,} more {what}{'s' * (number != 1)}"
        for number, what in ((pair.more_seeds, "seed"), (pair.more_images, "image"))
        if number is not None
    ]
    return f"{' or '.join(needs)} would settle it, if it stays the same" if needs else "more seeds alone would not do"
