"""``report.html``, ``report.md`` and the plots: the answer first, then what it rests on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seg.compare import plots
from seg.compare.about import about, definitions
from seg.compare.answer import answer, at_the_end, between, cautions, points
from seg.compare.findings import BOTH, IMAGES, Comparison, PairResult
from seg.compare.gallery import MOST, Case, draw_case, encoded, find_cases
from seg.compare.other_scores import other_metrics, other_scores
from seg.compare.ranks import agreement
from seg.compare.study import Level, Study
from seg.metrics.catalogue import Metric
from seg.report.document import REPORT, Block, Bullets, Figure, Heading, Table, Text, Views, write_document
from seg.report.figure import files_of, remove_others
from seg.report.inline_markup import code

_CASE = "image"


def write_report(folder: Path, study: Study, result: Comparison, reference: str) -> None:
    """Write the report and its plots.

    Raises:
        OSError: a file cannot be written.
    """
    what = f"{len(result.levels)} levels of {study.axis}" if len(result.levels) > 1 else study.levels[0].name
    blocks = list(_blocks(folder, study, result, reference))
    remove_others(folder, [block.name for block in blocks if isinstance(block, Figure | Views)])
    write_document(folder, f"Comparison: {what}", blocks)


def files_of_report(folder: Path) -> list[Path]:
    """List the files that `write_report` may write or remove."""
    cases = (f"{_CASE}-{number}.png" for number in range(1, MOST + 1))
    return [*(folder / name for name in (*REPORT, *cases)), *files_of(folder)]


def _blocks(folder: Path, study: Study, result: Comparison, reference: str) -> Iterator[Block]:
    metric = result.measure
    order = [level.level for level in result.by_rank]
    levels = sorted(study.levels, key=lambda level: order.index(level.name))
    cases = list(find_cases(levels, reference)) if len(levels) > 1 else []
    for sentence in answer(result, reference):
        yield Text(sentence, strong=True)
    yield Bullets([*study.warnings, *at_the_end(result, study.axis), *cautions(result)])
    yield Heading("Levels")
    yield _levels(study, result, metric)
    if (drawn := plots.draw_axis(folder, result, study.axis)) is not None:
        yield Figure(drawn, f"{metric.title} over {study.axis}: a dot per run, the mean, its 95 % interval.")
    yield from _costs(study.levels, order)
    if len(result.levels) > 1:
        yield Heading("Pairs")
        yield from _pairs(result, reference, metric, cases)
        forest = plots.draw_forest(folder, result, reference)
        yield Figure(forest, "Differences, 95 % intervals, and what does not matter.")
        yield from _rankings(study)
    yield Heading("Seeds")
    yield Figure(plots.draw_seeds(folder, result), "One dot per run.")
    yield from _parts(result)
    if (cost := plots.draw_cost(folder, result, study.levels)) is not None:
        name, front = cost
        yield Heading("Cost")
        yield Figure(name, f"Training time and score; no other level is better and faster than {', '.join(front)}.")
    yield Heading("Classes")
    names = study.levels[0].entries[0].classes
    yield Figure(plots.draw_classes(folder, result, names), "IoU % of each class, ± half its 95 % interval.")
    yield Heading("Training curves and hard images")
    if (curves := plots.draw_curves(folder, study.levels)) is not None:
        yield Figure(curves, "Validation while training; the last epoch is compared, not the best one.")
    seen = f" [Where levels disagree](#{_CASE}-1)" if cases else ""
    yield Figure(plots.draw_worst(folder, study.levels), f"The worst images, averaged over seeds.{seen}")
    yield from _further(folder, levels)
    if len(levels) > 1:
        yield Heading("Where they disagree")
        yield from _gallery(folder, cases, reference)
    yield from about(study, result)
    yield from definitions(result)


def _further(folder: Path, levels: Sequence[Level]) -> Iterator[Block]:
    """Yield the plots of runs that were evaluated in full."""
    errors = "Boundary: near another class; missed: in a component with no correct pixel; extent: all others."
    for draw, caption in (
        (plots.draw_errors, errors),
        (plots.draw_tolerances, "How close a boundary must be to count as found."),
        (plots.draw_reliability, "Below the diagonal a model is overconfident."),
    ):
        if (name := draw(folder, levels)) is not None:
            yield Figure(name, caption)


def _gallery(folder: Path, cases: Sequence[Case], reference: str) -> Iterator[Block]:
    """Yield the images on which levels disagree the most."""
    if not cases:
        yield Text("The images, the masks or the predictions of these runs are not on this machine, or not readable.")
        return
    best = f"{code(reference)} and the {len(cases[0].scores) - 1} best of the others"
    shown = best if cases[0].left_out else "the levels"
    yield Text(
        f"The images on which the mIoU of {shown}, averaged over seeds, lies farthest apart. Of each level its first "
        f"run is shown, with its mIoU of the image. Green: the level is right and {code(reference)} is not; red: the "
        "reverse; grey: both are wrong."
    )
    names = list(cases[0].scores)
    rows = [
        (f"[{case.name}](#{_CASE}-{i})", *map(points, case.scores.values()), points(case.spread))
        for i, case in enumerate(cases, start=1)
    ]
    yield Table(("image", *names, "apart"), rows, numbers=range(1, len(names) + 2))
    for i, case in enumerate(cases, start=1):
        pictures = [
            (title, encoded(picture, "PNG" if place else "JPEG")) for place, (title, picture) in enumerate(case.views)
        ]
        yield Views(f"{_CASE}-{i}", draw_case(folder, f"{_CASE}-{i}", case), code(case.name), pictures)


def _most_telling(cases: Sequence[Case], level: str, reference: str) -> str:
    """Return a link to what a level changes in the image where it is the farthest from the reference."""
    shown = [
        (abs(case.scores[level] - case.scores[reference]), i) for i, case in enumerate(cases) if level in case.scores
    ]
    if not shown:
        return ""
    number = max(shown)[1]
    titles = [title for title, _ in cases[number].views]
    return f"[image {number + 1}](#{_CASE}-{number + 1}-{titles.index(f'{level} against {reference}') + 1})"


def _levels(study: Study, result: Comparison, metric: Metric) -> Table:
    by_name = {level.name: level for level in study.levels}
    rows = []
    for level in result.by_rank:
        entries = by_name[level.level].entries
        low, high = level.rank_interval
        rank = str(low) if low == high else f"{low} to {high}"
        kind = "new runs" if level.interval_kind == BOTH else "these runs"
        others = [_mean(by_name[level.level], key) for key in ("miou_i", "boundary_f1", "ece")]
        mean, interval = metric.number(level.mean), between(level.interval, metric)
        rows.append((level.level, str(len(entries)), mean, interval, kind, rank, *others))
    header = ("level", "runs", f"{metric.title} {metric.symbol}", "95 % interval", "of", "rank")
    return Table((*header, "by image %", "boundary F1 %", "ECE %"), rows, numbers={1, 2, 3, 5, 6, 7, 8})


def _costs(levels: Sequence[Level], order: Sequence[str]) -> Iterator[Block]:
    """Yield the cost of training the levels."""
    rows = []
    by_name = {level.name: level for level in levels}
    for name in order:
        entries = by_name[name].entries
        columns = (
            _average([entry.training_time for entry in entries], "{:.0f}"),
            _average([entry.images_per_second for entry in entries], "{:.1f}"),
            _average([entry.memory and entry.memory / 2**30 for entry in entries], "{:.2f}"),
        )
        rows.append((name, *columns))
    header = ("level", "seconds", "images/s", "memory GiB")
    known = [0, *(i for i in (1, 2, 3) if any(row[i] for row in rows))]
    if len(known) > 1:
        yield Text("The cost of training, mean over seeds; memory is the peak, of the GPU if there was one.")
        shown = [[row[i] for i in known] for row in rows]
        yield Table([header[i] for i in known], shown, numbers=range(1, len(known)))


def _average(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(sum(known) / len(known)) if known and len(known) == len(values) else ""


def _mean(level: Level, key: str) -> str:
    values = [value for entry in level.entries if isinstance(value := entry.scores.get(key), int | float)]
    return points(sum(values) / len(values)) if len(values) == len(level.entries) else ""


def _pairs(result: Comparison, reference: str, metric: Metric, cases: Sequence[Case]) -> Iterator[Block]:
    order = [level.level for level in result.by_rank]
    rows = []
    for name in order:
        cells = {pair.b: f"{metric.number(pair.difference)} ({pair.verdict})" for pair in result.pairs_with(name)}
        rows.append((name, *(cells.get(other, "") for other in order)))
    yield Text(f"Row minus column, in {metric.differences} of {metric.title}, and the verdict on the row.")
    yield Table(("", *order), rows, numbers=range(1, len(order) + 1))
    pairs = sorted(result.pairs_with(reference), key=lambda pair: -pair.difference)
    yield from _for_new_seeds(pairs, reference, metric)
    yield from _of_these_runs(pairs, reference, cases)


def _for_new_seeds(pairs: Sequence[PairResult], reference: str, metric: Metric) -> Iterator[Block]:
    """Yield what verdicts rest on."""
    one_seed = any(pair.p_kind == IMAGES for pair in pairs)
    about_what = "of these very runs, for want of seeds" if one_seed else "of new seeds and new images"
    yield Text(f"{code(reference)} minus another level, and the verdict on {code(reference)}: {about_what}.")
    chances = "better / equivalent / worse"
    rows = [
        (
            pair.b,
            metric.number(pair.difference),
            between(pair.widest, metric),
            pair.verdict,
            f"{pair.p_better:.2f} / {pair.p_equivalent:.2f} / {pair.p_worse:.2f}",
        )
        for pair in pairs
    ]
    yield Table(("other level", "difference", "95 % interval", "verdict", chances), rows, numbers=range(1, 5))


def _of_these_runs(pairs: Sequence[PairResult], reference: str, cases: Sequence[Case]) -> Iterator[Block]:
    """Yield what these runs did on these images, which says nothing of new seeds and makes no verdict."""
    yield Text(
        f"The same runs, image by image: how many images {code(reference)} wins, and how clearly. This is of these "
        "very runs, not of new seeds: runs of another seed may win other images, so that a small p here makes no "
        "verdict."
    )
    rows = [
        (
            pair.b,
            f"{pair.wins} / {pair.ties} / {pair.losses}",
            f"{pair.p_holm:.3g}",
            f"{pair.effect:.2f}",
            _most_telling(cases, pair.b, reference),
        )
        for pair in pairs
    ]
    header = ("other level", "images won / tied / lost", "p of these runs", "effect in these runs", "see")
    yield Table(header, rows, numbers=range(1, 5))


def _rankings(study: Study) -> Iterator[Block]:
    """Show whether other metrics would have ranked the levels alike."""
    levels, metrics = study.levels, other_metrics(study.catalogue)
    scores = other_scores(levels, metrics)
    taus = agreement({key: [metrics[key].sign * value for value in values] for key, values in scores.items()})[0]
    rows = []
    for (key, values), tau in zip(scores.items(), taus, strict=True):
        metric = metrics[key]
        order = np.argsort(-metric.sign * np.array(values), kind="stable")
        named = ", ".join(f"{levels[i].name} ({metric.number(values[i])})" for i in order)
        rows.append((metric.title, "" if np.isnan(tau) else f"{tau:.2f}", named))
    yield Text("Ranked by other metrics, best first; tau is Kendall's, with the ranking by mIoU: 1 for the same order.")
    yield Table(("metric", "tau", "order"), rows, numbers={1})


def _parts(result: Comparison) -> Iterator[Block]:
    rows, metric = [], result.measure
    for level in result.by_rank:
        parts = level.variance
        shown = [
            f"{metric.scale * max(part, 0) ** 0.5:.2f}" for part in (parts.seeds or 0.0, parts.images, parts.remainder)
        ]
        rows.append((level.level, shown[0] if parts.seeds is not None else "unknown", *shown[1:]))
    yield Text(
        f"What makes the mean of a level uncertain, as standard errors in {metric.differences}; squared, they add up."
    )
    yield Table(("level", "seeds", "images", "both together"), rows, numbers={1, 2, 3})
