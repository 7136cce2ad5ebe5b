"""``report.html``, ``report.md`` and the plots: the answer first, then what it rests on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from seg.compare import by_attribute, plots, tables, together
from seg.compare.about import about, definitions
from seg.compare.answer import answer, at_the_end, cautions, of_which, standings
from seg.compare.cost import costs, same_machine
from seg.compare.findings import Comparison
from seg.compare.gallery import MOST, Case, draw_case, encoded, find_cases
from seg.compare.slices import Sliced
from seg.compare.study import Level, Study
from seg.metrics.catalogue import Metric
from seg.report.document import REPORT, Block, Bullets, Figure, Heading, Table, Text, Views, write_document
from seg.report.figure import files_of, remove_others
from seg.report.inline_markup import code

_CASE = "image"


def write_report(folder: Path, study: Study, result: Comparison, reference: str, sliced: Sliced | None = None) -> None:
    """Write the report and its plots.

    Args:
        sliced: the same on slices of the images.

    Raises:
        OSError: a file cannot be written.
    """
    what = f"{len(result.levels)} levels of {study.axis}" if len(result.levels) > 1 else study.levels[0].name
    blocks = list(_blocks(folder, study, result, reference, sliced))
    remove_others(folder, [block.name for block in blocks if isinstance(block, Figure | Views)])
    write_document(folder, f"Comparison: {what}", blocks)


def files_of_report(folder: Path) -> list[Path]:
    """List the files that `write_report` may write or remove."""
    cases = (f"{_CASE}-{number}.png" for number in range(1, MOST + 1))
    return [*(folder / name for name in (*REPORT, *cases)), *files_of(folder)]


def _blocks(folder: Path, study: Study, result: Comparison, reference: str, sliced: Sliced | None) -> Iterator[Block]:
    order = [level.level for level in result.by_rank]
    levels = sorted(study.levels, key=lambda level: order.index(level.name))
    several = len(levels) > 1
    cases = list(find_cases(levels, reference, result.measure)) if several else []
    for sentence in answer(result, reference):
        yield Text(sentence, strong=True)
    yield Figure(plots.draw_seeds(folder, result), standings(result))
    yield Bullets([*study.warnings, *at_the_end(result, study.axis), *cautions(result)])
    yield from _levels(folder, study, result)
    yield from together.section(study, result)
    if several:
        yield from _pairs(folder, result, reference)
    if sliced is not None:
        yield from by_attribute.section(folder, sliced, result, reference)
    if several:
        yield from _these_runs(result, reference, cases)
        yield Heading("Do other metrics agree?")
        yield from tables.rankings(study, result)
    yield Heading("What makes it uncertain")
    yield from tables.parts_table(result.by_rank, result)
    yield from _cost(folder, result, levels)
    yield from _details(folder, study, result, levels, cases)
    if several:
        yield Heading("Where they disagree")
        yield from _gallery(folder, cases, reference, result.measure)
    yield from about(study, result)
    yield from definitions(result)


def _levels(folder: Path, study: Study, result: Comparison) -> Iterator[Block]:
    metric = result.measure
    yield Heading("Levels")
    yield Text(tables.about_levels(result))
    yield tables.level_table(study, result)
    if (drawn := plots.draw_axis(folder, result, study.axis)) is not None:
        yield Figure(drawn, f"{metric.title} over {study.axis}: a dot per run, the mean, its 95 % interval.")


def _pairs(folder: Path, result: Comparison, reference: str) -> Iterator[Block]:
    pairs = sorted(result.pairs_with(reference), key=lambda pair: -pair.difference)
    yield Heading("Pairs")
    if len(result.levels) > 2:
        yield from tables.pair_matrix(result)
    yield from tables.new_seeds_table(pairs, reference, result)
    forest = plots.draw_forest(folder, result, reference)
    partly = " * of some seeds, see the table." * any(of_which(pair, result) for pair in pairs)
    yield Figure(forest, f"Differences, 95 % intervals, and what does not matter (grey). {tables.LEGEND}.{partly}")


def _these_runs(result: Comparison, reference: str, cases: Sequence[Case]) -> Iterator[Block]:
    pairs = sorted(result.pairs_with(reference), key=lambda pair: -pair.difference)
    yield Heading("These very runs, image by image")
    seen = [_most_telling(cases, pair.b, reference) for pair in pairs]
    yield from tables.these_runs_table(pairs, reference, seen)


def _cost(folder: Path, result: Comparison, levels: Sequence[Level]) -> Iterator[Block]:
    blocks = list(costs(levels))
    drawn = plots.draw_cost(folder, result, levels) if same_machine(levels) else None
    if blocks or drawn:
        yield Heading("Cost")
        yield from blocks
    if drawn:
        name, front = drawn
        yield Figure(name, f"Training time and score; no other level is better and faster than {', '.join(front)}.")


def _details(
    folder: Path, study: Study, result: Comparison, levels: Sequence[Level], cases: Sequence[Case]
) -> Iterator[Block]:
    """Yield classes, training curves, hard images, and the plots of runs that were evaluated in full."""
    metric, names = result.measure, levels[0].entries[0].classes
    yield Heading("Classes")
    yield Figure(plots.draw_classes(folder, result, names), "IoU % of each class, ± half its 95 % interval.")
    yield Heading("Training curves and hard images")
    if (curves := plots.draw_curves(folder, study.levels)) is not None:
        yield Figure(curves, "Validation while training; the last epoch is compared, not the best one.")
    seen = f" [Where levels disagree](#{_CASE}-1)" if cases else ""
    worst = plots.draw_worst(folder, study.levels, metric)
    yield Figure(worst, f"The worst images by {metric.title}, averaged over seeds.{seen}")
    yield from _further(folder, levels)


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


def _gallery(folder: Path, cases: Sequence[Case], reference: str, metric: Metric) -> Iterator[Block]:
    """Yield the images on which levels disagree the most."""
    if not cases:
        yield Text("The images, the masks or the predictions of these runs are not on this machine, or not readable.")
        return
    best = f"{code(reference)} and the {len(cases[0].scores) - 1} best of the others"
    shown = best if cases[0].left_out else "the levels"
    yield Text(
        f"The images on which the {metric.title} of {shown}, averaged over seeds, lies farthest apart. Of each level "
        f"its first run is shown, with its {metric.title} of the image. Green: the level is right and "
        f"{code(reference)} is not; red: the reverse; grey: both are wrong."
    )
    names = list(cases[0].scores)
    rows = [
        (f"[{case.name}](#{_CASE}-{i})", *map(metric.number, case.scores.values()), metric.number(case.spread))
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
