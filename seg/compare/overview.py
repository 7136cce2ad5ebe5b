"""One comparison for each value of a second thing, and how the levels fare as it changes: which one holds up."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seg.compare.answer import FEW, between, doubt, listed, of_which
from seg.compare.findings import BOTH, SIGNS, Comparison, LevelResult, PairResult
from seg.compare.ranks import agreement
from seg.compare.tables import LEGEND
from seg.compare.variance import Interval, independent
from seg.files import write_json
from seg.metrics.catalogue import Metric
from seg.report.document import REPORT, Block, Bullets, Figure, Heading, Table, Text, write_document
from seg.report.figure import add_legend, as_numbers, beside, labels, saved_figure, scale_numbers, short, styles_of
from seg.report.inline_markup import code


@dataclass(frozen=True)
class Change:
    """How much farther a level lies from the reference at the last value than at the first.

    Attributes:
        change: difference of the two differences, in units of the metric.
        interval: of 95 %, for new seeds and images where the seeds show it, adjusted for nothing.
    """

    level: str
    change: float
    interval: Interval


@dataclass(frozen=True)
class Overview:
    """Comparisons of the same levels, one for each value.

    Attributes:
        by: group or key whose values these are.
        by_value: value -> comparison, in order.
        reference: level that the others are held against at every value.
        changes: of the other levels that the first and the last value have.
    """

    by: str
    by_value: Mapping[str, Comparison]
    reference: str
    changes: tuple[Change, ...]

    @property
    def measure(self) -> Metric:
        """What is compared."""
        return next(iter(self.by_value.values())).measure

    @property
    def levels(self) -> list[str]:
        """All of them, the best one at the first value first."""
        order = [level.level for compared in self.by_value.values() for level in compared.by_rank]
        return list(dict.fromkeys(order))


def look_over(by: str, by_value: Mapping[str, Comparison], reference: str | None) -> Overview:
    """Hold the levels against one of them, the best at the first value by default, at every value.

    Raises:
        ValueError: a reference that a value lacks.
    """
    first = next(iter(by_value.values()))
    reference = _best_everywhere(by, by_value) if reference is None else reference
    for value, compared in by_value.items():
        if reference not in (names := [level.level for level in compared.levels]):
            raise ValueError(
                f"reference: expected a level that is there at {by}={value} ({', '.join(names)}), got '{reference}'; "
                "choose another"
            )
    ends = [_against(compared, reference) for compared in (first, list(by_value.values())[-1])]
    changes = [_change(level, ends[0][level], ends[1][level]) for level in ends[0] if level in ends[1]]
    return Overview(by, by_value, reference, tuple(changes))


def _best_everywhere(by: str, by_value: Mapping[str, Comparison]) -> str:
    """Return the best level at the first value of those that are there at all values."""
    everywhere = set.intersection(*(set(_by_level(compared)) for compared in by_value.values()))
    for level in next(iter(by_value.values())).by_rank:
        if level.level in everywhere:
            return level.level
    raise ValueError(f"by: expected a level that is there at all values of {by}, got none; compare them one by one")


def _against(compared: Comparison, reference: str) -> dict[str, PairResult]:
    """Return the pair of each other level, seen from it."""
    return {pair.b: pair.seen_from(pair.b) for pair in compared.pairs_with(reference)}


def _change(level: str, first: PairResult, last: PairResult) -> Change:
    parts = independent(first.variance, last.variance)
    change = last.difference - first.difference
    return Change(level, change, parts.interval(change, new_seeds=parts.seeds is not None))


def write_overview(
    folder: Path, overview: Overview, excluded: Sequence[tuple[str, str]], cautions: Sequence[str] = ()
) -> None:
    """Write ``report.html``, ``report.md``, ``overview.json`` and the plot; the comparisons lie in folders beside.

    Args:
        excluded: runs that were left out, with the reason.
        cautions: what a reader must know besides.

    Raises:
        OSError: a file cannot be written.
    """
    blocks = list(_blocks(folder, overview, excluded, cautions))
    write_document(folder, f"Comparison by {overview.by}", blocks)
    write_json(folder / "overview.json", _as_data(overview, excluded))


def of_values(by: str, texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what is said of the values: once what is said of all, the others with their value."""
    once = dict.fromkeys(text for some in texts.values() for text in some)
    common = [text for text in once if all(text in some for some in texts.values())]
    return common + [f"{by} {value}: {text}" for value, some in texts.items() for text in some if text not in common]


FILES = (*REPORT, "overview.json", "overview.png", "overview.svg")
"""What `write_overview` writes."""

_LONGEST = 60


def folders_of(values: Iterable[str]) -> dict[str, str]:
    """Return the name of the folder of each value's comparison; no two are alike, in capitals or not."""
    names = {value: re.sub(r"[^\w.-]+", "-", value).strip(".-")[:_LONGEST] for value in values}
    taken = Counter(name.casefold() for name in names.values())
    return {
        value: name
        if name and taken[name.casefold()] == 1 and name.casefold() not in FILES
        else f"{name or 'value'}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"
        for value, name in names.items()
    }


def answer(overview: Overview) -> Iterator[str]:
    """Yield what a reader wants to know first, made from the numbers."""
    winners: dict[tuple[str, ...], list[str]] = {}
    for value, compared in overview.by_value.items():
        winners.setdefault(tuple(compared.best), []).append(value)
    for best, values in winners.items():
        if len(values) > FEW:
            yield f"{overview.by} {', '.join(values)}: {_at_values(overview, best, values)}."
        else:
            yield from (f"{overview.by} {value}: {_at_value(overview.by_value[value])}." for value in values)
    if _of_new_seeds(overview):
        yield from _changes(overview)


def _at_values(overview: Overview, best: Sequence[str], values: Sequence[str]) -> str:
    """Say of values with the same winner what a sentence of each would repeat; the tables tell them apart."""
    metric = overview.measure
    means = sorted(overview.by_value[value].by_rank[0].mean for value in values)
    scores = dict.fromkeys(metric.shown(mean) for mean in (means[0], means[-1]))
    return f"{listed(best)} {'has' if len(best) == 1 else 'share'} the best {metric.title}, {' to '.join(scores)}"


def _changes(overview: Overview) -> Iterator[str]:
    """Yield who falls behind the reference from the first value to the last, and who catches up."""
    metric, reference = overview.measure, code(overview.reference)
    first, last = (list(overview.by_value)[i] for i in (0, -1))
    moved: dict[bool, list[Change]] = {True: [], False: []}
    for change in overview.changes:
        if change.interval[0] > 0 or change.interval[1] < 0:
            moved[(change.change > 0) != metric.lower].append(change)
    for gains, changes in moved.items():
        changes.sort(key=lambda change: -abs(change.change))
        verb = ("gain" if gains else "lose") + "s" * (len(changes) <= FEW)
        if len(changes) > FEW:
            least, most = (metric.number(abs(changes[i].change)) for i in (-1, 0))
            names = listed([change.level for change in changes])
            yield f"From {first} to {last}, {names} {verb} {least} to {most} {metric.differences} on {reference}."
            continue
        for change in changes:
            low, high = change.interval
            ends = (low, high) if change.change > 0 else (-high, -low)
            by = f"{metric.number(abs(change.change))} {metric.differences}"
            told = f"95 % interval {between(ends, metric)}"
            yield f"From {first} to {last}, {code(change.level)} {verb} {by} on {reference}, {told}."


def _at_value(compared: Comparison) -> str:
    metric, best = compared.measure.title, [code(name) for name in compared.best]
    score = compared.measure.shown(compared.by_rank[0].mean)
    if len(best) > 1:
        return f"{' and '.join(best)} share the best {metric}, {score}"
    if len(compared.levels) == 1:
        return f"{best[0]} has {metric} {score}, and there is nothing to compare it with"
    beaten = sum(pair.verdict == "worse" for pair in _against(compared, compared.best[0]).values())
    risk = doubt(compared) or "whether its level is the best, one seed cannot tell"
    return f"{best[0]} has the best {metric}, {score}, and beats {beaten} of {len(compared.levels) - 1} others; {risk}"


def _of_new_seeds(overview: Overview) -> bool:
    """Tell whether seeds show how much they matter, at all values."""
    return all(compared.rank_kind == BOTH for compared in overview.by_value.values())


def _blocks(
    folder: Path, overview: Overview, excluded: Sequence[tuple[str, str]], cautions: Sequence[str]
) -> Iterator[Block]:
    for sentence in answer(overview):
        yield Text(sentence, strong=True)
    metric = overview.measure
    about = "new seeds" if _of_new_seeds(overview) else "new seeds, or, of one seed, for these very runs"
    yield Figure(_draw(folder, overview, metric), f"Mean over seeds of {metric.title}, with the interval for {about}.")
    names = folders_of(overview.by_value)
    yield Bullets(
        [*cautions, *(f"{value}: the full report is in folder {code(names[value])}" for value in overview.by_value)]
    )
    yield Heading(f"{metric.title} {metric.symbol} and rank")
    yield Table(("level", *overview.by_value), list(_scores(overview)), numbers=range(1, len(overview.by_value) + 1))
    yield Heading(f"Compared with {overview.reference}")
    last = f"{' to '.join(list(overview.by_value)[i] for i in (0, -1))}: change"
    header = ("level", *overview.by_value, last, "95 % interval")
    differences = list(_differences(overview))
    yield Table(header, differences, numbers=range(1, len(header)))
    partly = any(cell.endswith("*") for row in differences for cell in row[1:])
    yield Text(
        f"Differences in {metric.differences} and verdicts ({LEGEND}), which hold together at each value; the "
        "intervals of the changes hold one by one, and take the values as independent."
        + " * of the seeds that both have, or of all, unpaired: the report of the value says which."
        * partly
    )
    yield Heading("Do the values agree on the order?")
    header = ("Kendall's tau", *overview.by_value)
    yield Table(header, list(_taus(overview)), numbers=range(1, len(header)))
    if excluded:
        yield Heading("What was left out")
        yield Table(("run", "reason"), excluded)


def _by_level(compared: Comparison) -> dict[str, LevelResult]:
    return {level.level: level for level in compared.levels}


def _scores(overview: Overview) -> Iterator[tuple[str, ...]]:
    for name in overview.levels:
        cells = []
        for compared in overview.by_value.values():
            level = _by_level(compared).get(name)
            low, high = level.rank_interval if level else (0, 0)
            ranks = str(low) if low == high else f"{low} to {high}"
            cells.append(f"{overview.measure.number(level.mean)} ({ranks})" if level else "")
        yield (name, *cells)


def _differences(overview: Overview) -> Iterator[tuple[str, ...]]:
    changes, metric = {change.level: change for change in overview.changes}, overview.measure
    for name in overview.levels:
        if name == overview.reference:
            continue
        cells = [_difference(name, overview.reference, compared) for compared in overview.by_value.values()]
        change = changes.get(name)
        moved = (metric.number(change.change), between(change.interval, metric)) if change else ("", "")
        yield (name, *cells, *moved)


def _difference(level: str, reference: str, compared: Comparison) -> str:
    """Show verdict and difference of a level; nothing where it is not there."""
    if (pair := _against(compared, reference).get(level)) is None:
        return ""
    partly = "*" * bool(of_which(pair, compared))
    return f"{SIGNS[pair.verdict]} {compared.measure.number(pair.difference)}{partly}"


def _taus(overview: Overview) -> Iterator[tuple[str, ...]]:
    levels = {value: _by_level(compared) for value, compared in overview.by_value.items()}
    shared = [name for name in overview.levels if all(name in by_name for by_name in levels.values())]
    sign = overview.measure.sign
    scores = {value: [sign * by_name[name].mean for name in shared] for value, by_name in levels.items()}
    for value, row in zip(levels, agreement(scores), strict=True):
        yield (value, *("" if np.isnan(tau) else f"{tau:.2f}" for tau in row))


def _draw(folder: Path, overview: Overview, metric: Metric) -> str:
    styles, drawn = styles_of(overview.levels), {}
    numbers = as_numbers(overview.by_value)
    places = numbers or list(map(float, range(len(overview.by_value))))
    with saved_figure(folder, "overview", (7.0, 4.6)) as axes:
        if numbers:
            scale_numbers(axes, numbers)
        else:
            slanted = {"rotation": 40, "ha": "right"} if max(map(len, overview.by_value)) > 12 else {}
            axes.set_xticks(places, list(labels(overview.by_value).values()), **slanted)
        for place, name in enumerate(overview.levels):
            shown = [
                (x, level)
                for x, compared in zip(places, overview.by_value.values(), strict=True)
                if (level := _by_level(compared).get(name))
            ]
            shift = min(0.02, 0.7 / len(overview.levels)) * (place - len(overview.levels) / 2)
            x = beside(axes, [x for x, _ in shown], places, shift)
            means = [metric.scale * level.mean for _, level in shown]
            ends = np.array([[metric.scale * end for end in level.widest] for _, level in shown]).T
            style = {"color": styles[name].color, "linestyle": styles[name].line, "marker": styles[name].marker}
            drawn[name] = axes.errorbar(x, means, np.abs(ends - means), markersize=4, capsize=2, **style)
        axes.set_xlabel(short(overview.by))
        axes.set_ylabel(f"{metric.title} {metric.symbol}")
        add_legend(axes, drawn, styles)
    return "overview.png"


def _as_data(overview: Overview, excluded: Sequence[tuple[str, str]]) -> dict[str, Any]:
    folders = folders_of(overview.by_value)
    return {
        "by": overview.by,
        "reference": overview.reference,
        "values": [
            {
                "value": value,
                "folder": folders[value],
                "levels": [{"level": level.level, "mean": level.mean} for level in compared.levels],
            }
            for value, compared in overview.by_value.items()
        ],
        "changes": [vars(change) for change in overview.changes],
        "excluded": [{"run": run, "reason": reason} for run, reason in excluded],
    }
