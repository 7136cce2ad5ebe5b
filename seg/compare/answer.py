"""The result in plain words, made from the numbers."""

import math
from collections.abc import Callable, Iterator, Sequence

from seg.compare.findings import IMAGES, LIKELY, OPPOSITE, Comparison, LevelResult, PairResult, turned
from seg.compare.variance import Interval
from seg.metrics.catalogue import Metric
from seg.report.figure import as_numbers
from seg.report.inline_markup import code

FEW, _NAMED = 3, 8
"""Pairs of one verdict that have a sentence each; names that a sentence lists."""


def points(value: float) -> str:
    """Show a share, or a difference of shares, in points: 1.8 for 0.018."""
    return Metric("share", "share").number(value)


def between(interval: Interval, metric: Metric) -> str:
    """Show an interval in the unit of a metric, shares in points."""
    return f"{metric.number(interval[0])} to {metric.number(interval[1])}"


def _lead(pair: PairResult, metric: Metric, of: str) -> tuple[str, str, str]:
    """Return who is ahead, who behind, and by how much: positive, whether higher or lower is better.

    Args:
        of: which runs this is of.
    """
    ahead, behind = (code(name) for name in ((pair.a, pair.b) if pair.p_better > pair.p_worse else (pair.b, pair.a)))
    interval = pair.widest if pair.difference > 0 else turned(pair.widest)
    by = f"{metric.number(abs(pair.difference))} {metric.differences} of {metric.title}{of}"
    return ahead, behind, f"{by}, 95 % interval {between(interval, metric)}"


def of_which(pair: PairResult, result: Comparison) -> str:
    """Say which runs the difference of a pair is of; nothing where these are all runs of both levels."""
    a, b = _levels_of(pair, result)
    if {*a.seeds} == {*b.seeds}:
        return ""
    return f"{numbered(pair.seeds)}, which both have" if pair.seeds else "all seeds of both, unpaired"


def contradicts(pair: PairResult, result: Comparison) -> bool:
    """Tell whether the means of all runs are the other way round."""
    a, b = _levels_of(pair, result)
    return (a.mean - b.mean) * pair.difference < 0


def _levels_of(pair: PairResult, result: Comparison) -> tuple[LevelResult, LevelResult]:
    by_name = {level.level: level for level in result.levels}
    return by_name[pair.a], by_name[pair.b]


def numbered(seeds: Sequence[int]) -> str:
    """Name seeds: ``seed 4``, ``seeds 0, 1 and 3``, ``seeds 0 to 9``."""
    first, last = min(seeds), max(seeds)
    if len(seeds) > 3 and last - first == len(seeds) - 1:
        return f"seeds {first} to {last}"
    return f"seed{'s' * (len(seeds) > 1)} {listed(list(map(str, sorted(seeds))), mark=str)}"


def answer(result: Comparison, reference: str) -> Iterator[str]:
    """Yield sentences: what the reference beats, is beaten by, equals, and where it is open.

    Args:
        reference: level that the others are compared with.
    """
    metric = result.measure
    if len(result.levels) == 1:
        (level,) = result.levels
        yield f"{code(level.level)} has {_value(metric, level)}. There is nothing to compare it with."
        return
    pairs = result.pairs_with(reference)
    for verdict in ("better", "worse", "equivalent", "inconclusive"):
        some = sorted((pair for pair in pairs if pair.verdict == verdict), key=lambda pair: -abs(pair.difference))
        if len(some) > FEW:
            yield _together(some, metric, result)
        else:
            yield from (_sentence(pair, metric, result) + _turned_round(pair, result) for pair in some)
    yield from _about_the_winner(result)


def _value(metric: Metric, level: LevelResult) -> str:
    about = "new seeds and images" if level.wide else "these very runs on new images"
    value = f"{metric.title} {metric.shown(level.mean)}"
    return f"{value} (95 % interval for {about}: {between(level.widest, metric)})"


def _turned_round(pair: PairResult, result: Comparison) -> str:
    return " Over all runs of both, the means are the other way round." * contradicts(pair, result)


def _sentence(pair: PairResult, metric: Metric, result: Comparison) -> str:
    low, high = pair.widest
    a, b = code(pair.a), code(pair.b)
    of = f" over {which}" if (which := of_which(pair, result)) else ""
    ahead, behind, by = _lead(pair, metric, of)
    seeds = pair.variance.seed_count
    data = f"these {seeds} seed{'s' * (seeds != 1)} and {result.levels[0].images} images"
    if pair.verdict in OPPOSITE:
        return f"{ahead} beats {behind} by {by}."
    apart = f"{metric.number(pair.difference)} {metric.differences} of {metric.title}{of}, 95 % interval"
    rope = f"{metric.number(result.rope)} {metric.differences}"
    if pair.verdict == "equivalent":
        return (
            f"{a} and {b} are equivalent: the difference, {apart} {between((low, high), metric)}, lies within {rope}."
        )
    if pair.p_kind == IMAGES:
        return (
            f"Between {a} and {b} ({apart} for these very runs {between((low, high), metric)}) one seed cannot "
            "decide: more seeds would show how much they matter."
        )
    if low > result.rope or high < -result.rope:
        return (
            f"{ahead} is ahead of {behind} (by {by}), but of {len(result.pairs)} pairs one may be this far apart by "
            f"chance alone: {data} cannot decide; {_more(pair, result.rope)}."
        )
    if low > 0 or high < 0:
        return (
            f"{ahead} is ahead of {behind} (by {by}), but it may be by less than the {rope} "
            f"that would matter; {_more(pair, result.rope)}."
        )
    more = _more(pair, result.rope)
    return f"Between {a} and {b} ({apart} {between((low, high), metric)}) {data} cannot decide; {more}."


def _together(pairs: Sequence[PairResult], metric: Metric, result: Comparison) -> str:
    """Say of the pairs of one verdict what sentences of each would repeat; the table of pairs tells them apart."""
    reference, others = code(pairs[0].a), listed([pair.b for pair in pairs])
    sizes = [metric.number(abs(pair.difference)) for pair in (pairs[-1], pairs[0])]
    of = " (of the seeds that both have)" * any(of_which(pair, result) for pair in pairs)
    by = f"by {' to '.join(dict.fromkeys(sizes))} {metric.differences} of {metric.title}{of}"
    match pairs[0].verdict:
        case "better":
            return f"{reference} beats {others} {by}."
        case "worse":
            return f"{others} beat {reference} {by}."
        case "equivalent":
            rope = f"{metric.number(result.rope)} {metric.differences}"
            return f"{reference} is equivalent to {others}: they differ {by}, and all intervals lie within {rope}."
    open_one = min(pairs, key=lambda pair: (pair.more_seeds or math.inf, pair.more_images or math.inf))
    if open_one.p_kind == IMAGES:
        why = "one seed cannot decide: more seeds would show how much they matter"
        return f"{reference} differs from {others} {by}; {why}."
    return (
        f"{reference} differs from {others} {by}, which these {open_one.variance.seed_count} seeds and "
        f"{result.levels[0].images} images cannot decide; of {code(open_one.b)}, {_more(open_one, result.rope)}."
    )


def listed(names: Sequence[str], mark: Callable[[str], str] = code) -> str:
    """Return names as part of a sentence, the first ones of many."""
    shown = [mark(name) for name in names[:_NAMED]]
    rest = len(names) - len(shown)
    *most, last = [*shown, f"{rest} more"] if rest else shown
    return f"{', '.join(most)} and {last}" if most else last


def at_the_end(result: Comparison, axis: str | None) -> Iterator[str]:
    """Yield that the best value of a numeric axis is the last one that was tried, to one side."""
    numbers = as_numbers(level.level for level in result.levels)
    if numbers is None or axis is None or len(result.best) > 1:
        return
    best = float(result.best[0])
    for kind, end, more in (("largest", max(numbers), "larger"), ("smallest", min(numbers), "smaller")):
        if best == end != 0:  # below none of a thing there is seldom less
            yield f"The best {axis}, {best:g}, is the {kind} of {len(numbers)} that were tried; try {more} ones."


_THOUSAND = 1000  # seeds: of more, nobody needs the number


def _more(pair: PairResult, rope: float) -> str:
    """Say what would settle an open pair, and how, if its difference is what it seems to be."""
    options = []
    if pair.more_seeds is not None:
        few = f"{pair.more_seeds:,} more seed{'s' * (pair.more_seeds != 1)}"
        options.append(few if pair.more_seeds <= _THOUSAND else "thousands of seeds")
    if pair.more_images is not None:
        options.append(f"{pair.more_images:,} more images")
    if not options:
        return "neither more seeds alone nor more images alone would"
    how = "which one is better" if abs(pair.difference) > rope else "that the two are equivalent"
    return f"{' or '.join(options)} would, if the difference stays the same. They would show {how}"


def _about_the_winner(result: Comparison) -> Iterator[str]:
    best = [code(name) for name in result.best]
    metric = result.measure.title
    if len(best) > 1:
        yield f"{' and '.join(best)} share the best {metric}."
    elif (risk := doubt(result)) is not None:
        claim = "is" if result.ranks.false_claim < 0.05 else "came out"
        yield f"{best[0]} {claim} the best of the {len(result.levels)}; {risk}."
    else:
        yield f"{best[0]} has the best {metric} of these runs; whether its level is the best, one seed cannot tell."


def doubt(result: Comparison) -> str | None:
    """Say how probable it is that the winner is a false claim; None for one level, or where no seed shows it."""
    if len(result.levels) < 2 or result.rank_kind == IMAGES:
        return None
    risk = result.ranks.false_claim
    shown = "less than 0.01" if risk < 0.005 else f"{risk:.2f}"
    return f"the probability that another one is truly better is {shown}"


def _uneven(result: Comparison) -> Iterator[str]:
    """Yield each level that scatters more than the others, and what is judged without it."""
    known = {level.level: level.scatter for level in result.levels if level.scatter is not None}
    noisy = [level.level for level in result.levels if (level.scatters_more or 0.0) > LIKELY]
    others = [scatter for name, scatter in known.items() if name not in noisy]
    if not noisy or not others:
        return
    metric = result.measure
    ends = " to ".join(dict.fromkeys(metric.number(pick(others)) for pick in (min, max)))
    each = listed(noisy)
    by = " and ".join(dict.fromkeys(metric.number(known[name]) for name in noisy))
    its, it = ("its", "it") if len(noisy) == 1 else ("their", "them")
    yield (
        f"Seeds move {each} by about {by} {metric.differences} (standard deviation), the other levels by about {ends}. "
        f"Pairs with {it} are judged by {its} own scatter, so that few seeds settle little of {it}; pairs of the "
        f"others are judged without {it}."
    )


def standings(result: Comparison) -> str:
    """Say what the figure of the answer shows."""
    about = "of the mean with new seeds, on new images"
    if all(level.wide is None for level in result.levels):
        about = "of these very runs on new images: one seed shows no more"
    elif any(level.wide is None for level in result.levels):
        about += "; a thin bar, of one seed, is of that very run"
    shown = f"dot per run, the mean (line), and the 95 % interval {about} (bar)."
    if len(result.levels) == 1:
        return f"A {shown}"
    joined = "levels of which none is called better than another"
    if result.reference is not None:
        joined = f"{code(result.reference)} and the levels that it is not told apart from"
    return f"Best first: a {shown} A bracket joins {joined}."


def cautions(result: Comparison) -> Iterator[str]:
    """Yield what so few runs cannot say."""
    fewest = min(len(level.seeds) for level in result.levels)
    if fewest == 1:
        yield (
            "One run per level does not show how much seeds matter: all statements are about these very runs, and no "
            "verdict follows."
        )
    elif fewest == 2:
        yield "Two seeds hardly show how much seeds matter: intervals for new seeds are very wide, and rightly so."
    elif fewest < 10:
        yield (
            f"With {fewest} seeds, intervals for new seeds are wide: so few say little of how far the next one may lie "
            "from them."
        )
    if 1 < fewest < 10:
        yield from _uneven(result)
    if result.reference is not None and len(result.levels) > 2:
        levels = len(result.levels)
        yield (
            f"Pairs with {code(result.reference)} alone are judged, {len(result.pairs)} instead of "
            f"{levels * (levels - 1) // 2}: of two other levels nothing is said, however far apart they are."
        )
    if result.looks is not None:
        yield (
            f"These runs were made in rounds until they were settled (seeds={result.looks}), and were compared after "
            "each: verdicts hold over all of these looks together. A settled pair is shown as it was at the look that "
            "settled it, which makes its difference a little larger than it is; an interval knows nothing of looks."
        )
    if result.units < 30:
        yield f"{result.units} images or groups are few: the intervals assume that new ones are like them."
