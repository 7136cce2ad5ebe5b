"""What was found, in plain words that are made from the numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from seg.compare.findings import BOTH, IMAGES, Compared, LevelResult, PairResult
from seg.compare.variance import Interval
from seg.metrics.catalogue import Metric
from seg.report.inline_markup import code

_OPPOSITE = {"better": "worse", "worse": "better"}


def points(value: float) -> str:
    """Show a share, or a difference of shares, in points: 1.8 for 0.018."""
    return Metric("share", "share").number(value)


def between(interval: Interval, metric: Metric) -> str:
    """Show an interval in the unit of a metric, shares in points."""
    return f"{metric.number(interval[0])} to {metric.number(interval[1])}"


def decided_by(pair: PairResult) -> Interval:
    """Return the interval that the verdict follows."""
    return pair.wide or pair.interval


def seen_from(pair: PairResult, level: str) -> PairResult:
    """Return the same pair with this level as a."""
    if pair.a == level:
        return pair
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        difference=-pair.difference,
        interval=_turned(pair.interval),
        wide=pair.wide and _turned(pair.wide),
        wins=pair.losses,
        losses=pair.wins,
        effect=-pair.effect,
        p_better=pair.p_worse,
        p_worse=pair.p_better,
        verdict=_OPPOSITE.get(pair.verdict, pair.verdict),
    )


def _turned(interval: Interval) -> Interval:
    return -interval[1], -interval[0]


def _lead(pair: PairResult, metric: Metric) -> tuple[str, str, str]:
    """Who is ahead, who behind, and by how much, with the interval: positive, whether more or less is better."""
    ahead, behind = (code(name) for name in ((pair.a, pair.b) if pair.p_better > pair.p_worse else (pair.b, pair.a)))
    interval = decided_by(pair) if pair.difference > 0 else _turned(decided_by(pair))
    by = f"{metric.number(abs(pair.difference))} {metric.differences} of {metric.title}"
    return ahead, behind, f"{by}, 95 % interval {between(interval, metric)}"


def answer(found: Compared, reference: str) -> Iterator[str]:
    """Sentences: what the reference beats, is beaten by, equals, and where it is open.

    Args:
        reference: level that the others are compared with.
    """
    metric = found.measure
    if len(found.levels) == 1:
        (level,) = found.levels
        yield f"{code(level.level)} has {_value(metric, level)}. There is nothing to compare it with."
        return
    pairs = [seen_from(pair, reference) for pair in found.pairs if reference in (pair.a, pair.b)]
    for verdict in ("better", "worse", "equivalent", "inconclusive"):
        some = sorted((pair for pair in pairs if pair.verdict == verdict), key=lambda pair: -abs(pair.difference))
        yield from (_sentence(pair, metric, found) for pair in some)
    yield from _about_the_winner(found)


def _value(metric: Metric, level: LevelResult) -> str:
    about = "new seeds and images" if level.interval_kind == BOTH else "these runs on new images"
    value = f"{metric.title} {metric.shown(level.mean)}"
    return f"{value} (95 % interval for {about}: {between(level.interval, metric)})"


def _sentence(pair: PairResult, metric: Metric, found: Compared) -> str:
    low, high = decided_by(pair)
    a, b = code(pair.a), code(pair.b)
    ahead, behind, by = _lead(pair, metric)
    data = f"these {found_seeds(pair)} and {found.levels[0].images} images"
    if pair.verdict in _OPPOSITE:
        return f"{ahead} beats {behind} by {by}."
    apart = f"{metric.number(pair.difference)} {metric.differences} of {metric.title}, 95 % interval"
    rope = f"{metric.number(found.rope)} {metric.differences}"
    if pair.verdict == "equivalent":
        return (
            f"{a} and {b} are equivalent: the difference, {apart} {between((low, high), metric)}, lies within {rope}."
        )
    if pair.p_kind == IMAGES:
        return (
            f"Between {a} and {b} ({apart} for these very runs {between((low, high), metric)}) one seed cannot "
            "decide: more seeds would show how much they matter."
        )
    if low > found.rope or high < -found.rope:
        return (
            f"{ahead} is ahead of {behind} (by {by}), but of {len(found.pairs)} pairs one may be this far apart by "
            f"chance alone: {data} cannot decide; {_more(pair)}."
        )
    if low > 0 or high < 0:
        return (
            f"{ahead} is ahead of {behind} (by {by}), but it may be by less than the {rope} "
            f"that would matter; {_more(pair)}."
        )
    return f"Between {a} and {b} ({apart} {between((low, high), metric)}) {data} cannot decide; {_more(pair)}."


def found_seeds(pair: PairResult) -> str:
    """How many seeds a pair was compared by."""
    count = pair.variance.seed_count
    return f"{count} seed{'s' * (count != 1)}"


_THOUSAND = 1000  # seeds: of more, nobody needs the number


def _more(pair: PairResult) -> str:
    options = []
    if pair.more_seeds is not None:
        few = f"{pair.more_seeds:,} more seed{'s' * (pair.more_seeds != 1)}"
        options.append(few if pair.more_seeds <= _THOUSAND else "thousands of seeds")
    if pair.more_images is not None:
        options.append(f"{pair.more_images:,} more images")
    if not options:
        return "neither more seeds alone nor more images alone would"
    return f"{' or '.join(options)} would, if the difference stays the same"


def _about_the_winner(found: Compared) -> Iterator[str]:
    best = [code(name) for name in in_first_place(found)]
    metric = found.measure.title
    if len(best) > 1:
        yield f"{' and '.join(best)} share the best {metric}."
    elif (risk := doubt(found)) is not None:
        yield f"{best[0]} is the best of the {len(found.levels)}; {risk}."
    else:
        yield f"{best[0]} has the best {metric} of these runs; whether its level is the best, one seed cannot tell."


def in_first_place(found: Compared) -> list[str]:
    """Return the levels that share the best score: one, as a rule."""
    return [level.level for level in found.levels if level.rank == 1]


def doubt(found: Compared) -> str | None:
    """Say how probable it is that the winner is a false claim; None for one level, or where no seed shows it."""
    if len(found.levels) < 2 or found.rank_kind == IMAGES:
        return None
    risk = found.ranks.false_claim
    shown = "less than 0.01" if risk < 0.005 else f"{risk:.2f}"
    return f"the probability that another one is truly better, and this claim false, is {shown}"


def _uneven(found: Compared) -> Iterator[str]:
    """Yield a level whose seeds make up most of the scatter of all levels, by which each pair is judged."""
    variances = {level.level: _of_seeds(level) for level in found.levels}
    name = max(variances, key=lambda level: variances[level])
    largest = variances.pop(name)
    if len(variances) > 1 and largest > sum(variances.values()):
        ends, metric = (math.sqrt(pick(variances.values())) for pick in (min, max)), found.measure
        by = f"{metric.number(math.sqrt(largest))} {metric.differences}"
        yield (
            f"Seeds move {code(name)} by {by} (standard deviation), other levels by "
            f"{' to '.join(map(metric.number, ends))}: so few seeds are judged by the scatter of all levels, which is "
            "mostly its own, so that they settle little; more seeds would settle more."
        )


def _of_seeds(level: LevelResult) -> float:
    """Variance of the scores of a level's seeds."""
    return ((level.variance.seeds or 0.0) + level.variance.remainder) * level.variance.seed_count


def cautions(found: Compared, seeds: Sequence[int]) -> Iterator[str]:
    """Yield what such few runs cannot say.

    Args:
        seeds: number of runs of each level.
    """
    fewest = min(seeds)
    if fewest == 1:
        yield (
            "One run of a level does not show how much seeds matter: what is said holds for these very runs alone, and "
            "no verdict follows."
        )
    elif min((pair.variance.seed_degrees for pair in found.pairs), default=2.0) < 2:
        yield "Two seeds hardly show how much seeds matter: intervals for new seeds are very wide, rightly so."
    elif fewest < 10:
        yield (
            f"With {fewest} seeds, the intervals of levels are about these very runs on new images; verdicts are about "
            "new seeds, too."
        )
    if 1 < fewest < 10:
        yield from _uneven(found)
    if found.units < 30:
        yield f"{found.units} images or groups are few: the intervals assume that new ones are like them."
