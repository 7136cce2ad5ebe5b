"""The tables of a report: levels, pairs as verdicts, what these rest on, and what speaks of these very runs alone."""

from collections.abc import Iterator, Sequence

import numpy as np

from seg.compare.answer import between, contradicts, numbered, of_which, points
from seg.compare.findings import IMAGES, SIGNS, Comparison, LevelResult, PairResult
from seg.compare.other_scores import other_metrics, other_scores
from seg.compare.ranks import agreement
from seg.compare.scores import is_counted
from seg.compare.study import Level, Study
from seg.report.document import Block, Table, Text
from seg.report.inline_markup import code

TONES = {"better": "good", "worse": "bad", "equivalent": "even", "inconclusive": "open"}
WORDS = {"better": "better", "worse": "worse", "equivalent": "equivalent", "inconclusive": "open"}
LEGEND = ", ".join(f"{SIGNS[verdict]} {word}" for verdict, word in WORDS.items())
"""What the signs mean."""


def signed(pair: PairResult) -> str:
    """Show a verdict as sign and word."""
    return f"{SIGNS[pair.verdict]} {WORDS[pair.verdict]}"


def level_table(study: Study, result: Comparison) -> Table:
    """Show the levels, best first: what new seeds would give, and, stepping back, what these very runs say."""
    metric, by_name = result.measure, {level.name: level for level in study.levels}
    one_seed = all(level.wide is None for level in result.levels)
    uneven = len({frozenset(level.seeds) for level in result.levels}) > 1
    rows = []
    for level in result.by_rank:
        low, high = level.rank_interval
        others = [_mean(by_name[level.level], key) for key in ("miou_i", "boundary_f1", "ece")]
        new = [] if one_seed else [between(level.wide, metric) if level.wide else "one seed does not show it"]
        these = between(level.of_these_runs, metric)
        runs = f"{len(level.seeds)} ({numbered(level.seeds)})" if uneven else str(len(level.seeds))
        rank = str(low) if low == high else f"{low} to {high}"
        rows.append((level.level, runs, metric.number(level.mean), *new, these, rank, *others))
    kinds = ["95 % interval of these very runs"] if one_seed else ["with new seeds, 95 %", "these very runs, 95 %"]
    header = (
        "level",
        "runs",
        f"{metric.title} {metric.symbol}",
        *kinds,
        "rank",
        "by image %",
        "boundary F1 %",
        "ECE %",
    )
    return Table(header, rows, numbers=range(1, len(header)), quiet=() if one_seed else (4,))


def about_levels(result: Comparison) -> str:
    """Say what the two intervals are of."""
    if all(level.wide is None for level in result.levels):
        return (
            "The interval is about these very runs on new images. What runs with other seeds would give, one seed does "
            "not show."
        )
    return (
        "With new seeds: what to expect next time, the mean of runs with other seeds on new images; a single run lies "
        "around it. These very runs: the same for the runs that are there, on new images; it says nothing of another "
        "training."
    )


def _mean(level: Level, key: str) -> str:
    values = [value for entry in level.entries if isinstance(value := entry.scores.get(key), int | float)]
    return points(sum(values) / len(values)) if len(values) == len(level.entries) else ""


def pair_matrix(result: Comparison) -> Iterator[Block]:
    """Yield the verdicts of all pairs, as signs and colours; each pair stands there once."""
    order, metric = result.by_rank, result.measure
    pairs = {(pair.a, pair.b): pair for level in order for pair in result.pairs_with(level.level)}
    rows, tones, partly = [], {}, False
    for row, a in enumerate(order):
        cells = [""] * len(order)
        for column, b in enumerate(order[row + 1 :], start=row + 1):
            if (pair := pairs.get((a.level, b.level))) is None:
                continue
            mark = "*" * bool(of_which(pair, result))
            partly = partly or bool(mark)
            cells[column] = f"{SIGNS[pair.verdict]} {metric.number(pair.difference)}{mark}"
            tones[row, column + 1] = TONES[pair.verdict]
        rows.append((str(row + 1), a.level, *cells[1:]))
    yield Text(
        f"Row minus column, in {metric.differences} of {metric.title}, and the verdict on the row: {LEGEND}. Columns "
        "are numbered as the rows."
        + " * of the seeds that both have, or of all, unpaired: the table below says which."
        * partly
    )
    header = ("", "level", *(str(number) for number in range(2, len(order) + 1)))
    yield Table(header, rows, numbers={0, *range(2, len(header))}, tones=tones)


def new_seeds_table(pairs: Sequence[PairResult], reference: str, result: Comparison) -> Iterator[Block]:
    """Yield what verdicts rest on: the differences from one level, for new seeds and new images."""
    metric, one_seed = result.measure, any(pair.p_kind == IMAGES for pair in pairs)
    about_what = "of these very runs, for want of seeds" if one_seed else "of new seeds and new images"
    yield Text(f"{code(reference)} minus another level, and the verdict on {code(reference)}: {about_what}.")
    of = [of_which(pair, result) + "; over all runs the other way round" * contradicts(pair, result) for pair in pairs]
    rows = [
        (
            pair.b,
            metric.number(pair.difference),
            *([seeds or "all that both have"] if any(of) else []),
            between(pair.widest, metric),
            signed(pair),
            f"{pair.p_better:.2f} / {pair.p_equivalent:.2f} / {pair.p_worse:.2f}",
        )
        for pair, seeds in zip(pairs, of, strict=True)
    ]
    interval = "95 %, for these very runs" if one_seed else "95 %, for new seeds"
    header = ("other level", "difference", *["of which runs"] * any(of), interval, "verdict", _CHANCES)
    verdict = len(header) - 2
    tones = {(row, verdict): TONES[pair.verdict] for row, pair in enumerate(pairs)}
    yield Table(header, rows, numbers=range(1, len(header)), tones=tones)
    if any(_beyond(pair, result.rope) and pair.verdict == "inconclusive" for pair in pairs) and not one_seed:
        yield Text(
            f"Open beside an interval beyond {metric.number(result.rope)} {metric.differences}: the interval is of its "
            f"pair alone, verdicts hold for all {len(result.pairs)} pairs together, of which one may be this far apart "
            "by chance."
        )


def _beyond(pair: PairResult, rope: float) -> bool:
    low, high = pair.widest
    return low > rope or high < -rope


_CHANCES = "better / equivalent / worse"


def these_runs_table(pairs: Sequence[PairResult], reference: str, seen: Sequence[str]) -> Iterator[Block]:
    """Yield what these runs did on these images, which says nothing of new seeds and makes no verdict.

    Args:
        seen: a link to an image of each pair, or nothing.
    """
    yield Text(
        f"The same runs, image by image: how many images {code(reference)} wins, and how clearly. This is of these "
        "very runs, not of new seeds: runs of another seed may win other images, so that a small p here makes no "
        "verdict."
    )
    rows = [
        (pair.b, f"{pair.wins} / {pair.ties} / {pair.losses}", f"{pair.p_holm:.3g}", f"{pair.effect:.2f}", link)
        for pair, link in zip(pairs, seen, strict=True)
    ]
    header = ("other level", "images won / tied / lost", "p of these runs", "effect in these runs", "see")
    shown = slice(None if any(seen) else -1)
    yield Table(header[shown], [row[shown] for row in rows], numbers=range(1, 5))


def rankings(study: Study, result: Comparison) -> Iterator[Block]:
    """Yield whether other metrics would have ranked the levels alike."""
    levels, compared = study.levels, result.measure
    others, first = other_metrics(study.catalogue), "compared"
    metrics, found = {first: compared, **others}, {level.level: level.mean for level in result.levels}
    same = {compared.name} if is_counted(compared.name) else set()  # of other scores the mean over images is compared
    scores = {first: [found[level.name] for level in levels]}
    scores |= {key: values for key, values in other_scores(levels, others).items() if key not in same}
    taus = agreement({key: [metrics[key].sign * value for value in values] for key, values in scores.items()})[0]
    rows = []
    for (key, values), tau in zip(scores.items(), taus, strict=True):
        metric = metrics[key]
        order = np.argsort(-metric.sign * np.array(values), kind="stable")
        named = ", ".join(f"{levels[i].name} ({metric.number(values[i])})" for i in order)
        rows.append((metric.title, "" if np.isnan(tau) else f"{tau:.2f}", named))
    yield Text(
        f"Best first, mean over seeds; tau is Kendall's, with the ranking by {compared.title}: 1 for the same order."
    )
    yield Table(("metric", "tau", "order"), rows, numbers={1})


def parts_table(levels: Sequence[LevelResult], result: Comparison) -> Iterator[Block]:
    """Yield what makes the mean of a level uncertain."""
    rows, metric = [], result.measure
    learnt = any(level.scatter is not None for level in levels)
    for level in levels:
        parts = level.variance
        shown = [
            f"{metric.scale * max(part, 0) ** 0.5:.2f}" for part in (parts.seeds or 0.0, parts.images, parts.remainder)
        ]
        scatter = [] if not learnt else [metric.number(level.scatter) if level.scatter is not None else ""]
        rows.append((level.level, shown[0] if parts.seeds is not None else "unknown", *shown[1:], *scatter))
    yield Text(
        f"What makes the mean of a level uncertain, as standard errors in {metric.differences}; squared, they add up."
        + " Last, how far one seed moves a level beside the others, learnt from all of them." * learnt
    )
    header = ("level", "seeds", "images", "both together", *["one seed moves it by"] * learnt)
    yield Table(header, rows, numbers=range(1, len(header)))
