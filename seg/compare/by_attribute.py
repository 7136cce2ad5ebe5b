"""What is found on slices of the images, told: sentences, a table for each attribute, a figure, files for scripts."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seg.compare.answer import FEW, listed, of_which
from seg.compare.findings import IMAGES, OPPOSITE, SIGNS, Comparison, LevelResult, PairResult
from seg.compare.slices import Sliced
from seg.compare.tables import LEGEND, TONES, WORDS
from seg.data.attributes import Slice
from seg.files import write_csv, write_json
from seg.metrics.catalogue import Metric
from seg.report.document import Block, Bullets, Figure, Heading, Table, Text
from seg.report.figure import add_legend, saved_figure, short, styles_of
from seg.report.inline_markup import code

FILES = ("slices.csv", "slices.json")
_FEW = 30  # images, below which the intervals assume much

Part = tuple[Slice, Comparison]


def sentences(sliced: Sliced, reference: str) -> Iterator[str]:
    """Yield, attribute by attribute, where a level is better than another, worse or equivalent, and where it is open.

    Args:
        reference: the level that sentences begin with.
    """
    for attribute, parts in sliced.by_attribute.items():
        others = [pair.b for pair in parts[0][1].pairs_with(reference)]
        told = [_against(reference, other, attribute, parts) for other in others]
        settled = [sentence for sentence in told if sentence]
        yield from settled
        if not settled and others:
            yield f"By {code(attribute)} nothing is settled between {code(reference)} and {listed(others)}."


def _against(reference: str, other: str, attribute: str, parts: Sequence[Part]) -> str:
    """Say where the reference is better than another level, and where not; nothing if all is open."""
    said: dict[str, dict[str, PairResult]] = {}
    for part, compared in parts:
        pair = next(pair for pair in compared.pairs_with(reference) if pair.b == other)
        said.setdefault(pair.verdict, {})[part.value] = pair
    order = [verdict for verdict in WORDS if verdict in said]
    if order == ["inconclusive"]:
        return ""
    metric = parts[0][1].measure
    words = (f"{WORDS[verdict]} for {_where(said[verdict], verdict, metric)}" for verdict in order)
    return f"{code(reference)} against {code(other)}, by {code(attribute)}: {', '.join(words)}."


def _where(pairs: Mapping[str, PairResult], verdict: str, metric: Metric) -> str:
    """Name the values, and say by how much: one by one, or, of many, from the least to the most."""
    if verdict not in OPPOSITE:
        return listed(list(pairs))
    if len(pairs) > FEW:
        sizes = sorted(abs(pair.difference) for pair in pairs.values())
        return f"{listed(list(pairs))} by {metric.number(sizes[0])} to {metric.number(sizes[-1])} {metric.differences}"
    each = []
    for value, pair in pairs.items():
        low, high = sorted(abs(end) for end in pair.widest)
        by = f"{metric.number(abs(pair.difference))} {metric.differences}"
        each.append(f"{code(value)} by {by} ({metric.number(low)} to {metric.number(high)})")
    return listed(each, mark=str)


def section(folder: Path, sliced: Sliced, result: Comparison, reference: str) -> Iterator[Block]:
    """Yield the section of a report, and draw its figure.

    Args:
        result: of all images.
        reference: the level that others are held against.
    """
    metric = result.measure
    yield Heading("By attribute")
    for sentence in sentences(sliced, reference):
        yield Text(sentence)
    few = [part.name for part, _ in sliced.compared if len(part.images) < _FEW]
    cautions = (
        [f"fewer than {_FEW} images, which the intervals take for like all others: {', '.join(few)}"] if few else []
    )
    yield Bullets([*([about(sliced)] if sliced.tests else []), *cautions, *sliced.notes])
    for attribute, parts in sliced.by_attribute.items():
        yield _table(attribute, parts, result, reference)
    told = (
        f", and in brackets the difference from {code(reference)} with the verdict on the row: {LEGEND}. Better on one "
        "slice and open on another does not show that the slices differ"
    )
    if any(of_which(pair, result) for pair in result.pairs):
        told += "; * of the seeds that both have, or of all, unpaired, as under Pairs"
    yield Text(f"{metric.title} {metric.symbol}, mean over seeds{told if sliced.tests else ''}.")
    caption = "Mean over seeds on each slice, with its number of images."
    yield Figure(_draw(folder, sliced, result), caption)


def about(sliced: Sliced) -> str:
    """Say how many claims hold together."""
    which = f"those with {sliced.reference}" if sliced.reference is not None else "all of every slice"
    fewer = "" if sliced.reference is not None else "; reference=LEVEL judges fewer, and so settles more"
    one_seed = any(pair.p_kind == IMAGES for _, compared in sliced.compared for pair in compared.pairs)
    unsure = " One seed settles nothing." if one_seed else ""
    return (
        f"verdicts hold together over {len(sliced.compared)} slices: {sliced.tests} pairs ({which}) are adjusted for "
        f"one another{fewer}. Intervals are of each pair alone.{unsure}"
    )


def _table(attribute: str, parts: Sequence[Part], result: Comparison, reference: str) -> Table:
    """Show the levels on each slice of an attribute, best on all images first."""
    columns = [result, *(compared for _, compared in parts)]
    sizes = [result.levels[0].images, *(len(part.images) for part, _ in parts)]
    names = ["all images", *(part.value for part, _ in parts)]
    rows, tones = [], {}
    for row, level in enumerate(result.by_rank):
        cells = []
        for column, compared in enumerate(columns, start=1):
            mean = next(found.mean for found in compared.levels if found.level == level.level)
            pair = next((p.seen_from(level.level) for p in compared.pairs_with(reference) if p.b == level.level), None)
            apart = ""
            if pair:
                partly = "*" * bool(of_which(pair, compared))
                apart = f" ({SIGNS[pair.verdict]} {result.measure.number(pair.difference)}{partly})"
                tones[row, column] = TONES[pair.verdict]
            cells.append(result.measure.number(mean) + apart)
        rows.append((level.level, *cells))
    header = (attribute, *(f"{name}: {size:,} images" for name, size in zip(names, sizes, strict=True)))
    return Table(header, rows, numbers=range(1, len(header)), tones=tones)


def _draw(folder: Path, sliced: Sliced, result: Comparison) -> str:
    """Draw the mean of each level on each slice, below the mean on all images."""
    metric, styles = result.measure, styles_of(level.level for level in result.levels)
    marks = dict(zip((level.level for level in result.by_rank), itertools.cycle("osD^vPX"), strict=False))
    rows: list[tuple[str, Comparison | None]] = [(f"all images ({result.levels[0].images:,})", result)]
    for attribute, parts in sliced.by_attribute.items():
        rows.append((short(attribute), None))
        rows += [(f"{short(part.value)} ({len(part.images):,})", compared) for part, compared in parts]
    with saved_figure(folder, "slices", (6.6, 1.2 + 0.3 * len(rows))) as axes:
        drawn = {}
        for place, (_, compared) in enumerate(rows):
            if compared is None:
                axes.axhline(place, color="#d8dee4", linewidth=0.8)
                continue
            for level in compared.levels:
                style = styles[level.level]
                (drawn[level.level],) = axes.plot(
                    metric.scale * level.mean, place, marks[level.level], color=style.color, markersize=6, alpha=0.85
                )
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        for label, (_, compared) in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_fontweight("normal" if compared else "bold")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(f"{metric.title} {metric.symbol}, mean over seeds")
        axes.grid(axis="x", color="#eaeef2")
        add_legend(axes, {level.level: drawn[level.level] for level in result.by_rank}, styles)
    return "slices.png"


def write_slices(folder: Path, sliced: Sliced, reference: str) -> None:
    """Write ``slices.csv``, a row for each slice and level, and ``slices.json``.

    Raises:
        OSError: a file cannot be written.
    """
    write_csv(folder / FILES[0], _COLUMNS, _rows(sliced, reference))
    _, first = sliced.compared[0]
    data = {
        "metric": first.metric,
        "rope": first.rope,
        "reference": sliced.reference,
        "tests": sliced.tests,
        "adjusted": "Holm" if sliced.reference is not None else "Shaffer",
        "slices": [
            {
                "attribute": part.attribute,
                "value": part.value,
                "images": len(part.images),
                "groups": compared.units,
                "levels": [_level(level) for level in compared.levels],
                "pairs": [_pair(pair) for pair in compared.pairs],
            }
            for part, compared in sliced.compared
        ],
        "notes": list(sliced.notes),
    }
    write_json(folder / FILES[1], data)


_COLUMNS = (*("attribute", "value", "images", "level", "runs", "mean", "low", "high"),
            *("reference", "difference", "difference_low", "difference_high", "verdict"))  # fmt: skip
_PAIR = ("a", "b", "seeds", "difference", "interval", "verdict", "p_verdict", "more_seeds", "more_images")


def _level(level: LevelResult) -> dict[str, Any]:
    told = {key: getattr(level, key) for key in ("level", "seeds", "mean")}
    return told | {"interval": level.of_these_runs, "interval_new_seeds": level.wide}


def _pair(pair: PairResult) -> dict[str, Any]:
    return {key: getattr(pair, key) for key in _PAIR} | {"interval_new_seeds": pair.wide}


def _rows(sliced: Sliced, reference: str) -> Iterator[tuple[Any, ...]]:
    """Yield the levels of each slice: the verdict is on the level, against the reference."""
    for part, compared in sliced.compared:
        pairs = {pair.b: pair.seen_from(pair.b) for pair in compared.pairs_with(reference)}
        for level in compared.levels:
            about = (part.attribute, part.value, len(part.images), level.level, len(level.seeds))
            values = (level.mean, *level.widest)
            pair = pairs.get(level.level)
            apart = (f"{value:.6f}" for value in (pair.difference, *pair.widest)) if pair else ("",) * 3
            against = (reference, *apart, pair.verdict) if pair else ("", *apart, "")
            yield (*about, *(f"{value:.6f}" for value in values), *against)
