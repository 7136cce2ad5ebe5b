"""A comparison from its studies to its files, and the sentences of its answer: what ``seg-compare`` does."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seg.compare import by_attribute, overview
from seg.compare.answer import answer, at_the_end, cautions
from seg.compare.findings import Comparison
from seg.compare.report import files_of_report, write_report
from seg.compare.results import write_results, write_statistics
from seg.compare.scores import COUNTED, measure
from seg.compare.slices import Sliced
from seg.compare.slices import compare_slices as of_slices
from seg.compare.statistics import compare
from seg.compare.study import Study, meant
from seg.data.attributes import Slices, read_slices
from seg.files import checks
from seg.files.claims import claim
from seg.metrics.catalogue import Metric
from seg.metrics.scores import mean

log = logging.getLogger(__name__)

_COMMAND = "seg-compare"
_TABLES = ("results.csv", "statistics.json")
_ROUNDING = 1e-5  # of what per_image_metrics.csv holds
_SIGNS = {"statistics.json": ("metric", "levels", "pairs", "winner"), "overview.json": ("by", "reference", "values")}


def compare_study(
    study: Study,
    metric: str,
    *,
    group: str | None,
    rope: float | None,
    draws: int,
    seed: int,
    reference: str | None = None,
) -> Comparison:
    """Compare the levels of a study, see `seg.compare.statistics.compare`.

    Runs that were made in rounds until they were settled are judged as they were then: at each look.

    Args:
        study: of complete runs, one at least.
        group: a regular expression that finds in an image's name which images belong together.
        rope: None = that of the rounds, or the usual one.
        reference: the only level that others are compared with; None = all pairs, or those that the rounds were about.

    Raises:
        ValueError: a wrong option.
    """
    names, looks, fixed = [level.name for level in study.levels], None, None
    if (design := study.design) is not None:
        looks, fixed = design.looks, design.reference and meant(design.reference, names)
        rope = design.rope if rope is None and metric == design.metric else rope
    return compare(
        {level.name: level.sample() for level in study.levels},
        metric=_measure(study, metric),
        groups=_groups(study, group),
        rope=rope,
        reference=fixed if reference is None else _chosen(reference, names, fixed),
        looks=looks,
        draws=draws,
        seed=seed,
    )


def _measure(study: Study, name: str) -> Metric | str:
    """Describe what is compared, the mean over images: its title says so where the score of that name is another."""
    found = measure(name, study.catalogue)
    if found is None or name in COUNTED or f"{name}_i" in study.catalogue:
        return found or name
    scores = [(entry.scores.get(name), entry.values[name]) for entry in study.entries if name in entry.values]
    other = any(checks.is_number(score) and abs(score - mean(values)) > _ROUNDING for score, values in scores)
    return replace(found, title=f"{found.title} by image") if other else found


def slices_of(file: str, study: Study) -> Slices:
    """Part the images of a study by a table, see `seg.data.attributes.read_slices`.

    Raises:
        ValueError: it does not fit them.
    """
    return read_slices(file, study.levels[0].entries[0].images)


def compare_slices(
    study: Study, compared: Comparison, slices: Slices, *, group: str | None, reference: str | None
) -> Sliced:
    """Compare the levels of a study on slices of its images, see `seg.compare.slices.compare_slices`.

    Args:
        compared: the same on all images.
        group: as for `compare_study`.
        reference: the only level that others are compared with; None: all are compared.

    Raises:
        ValueError: no level is called so, or no slice can be compared.
    """
    for note in slices.notes:
        log.warning(f"attributes: {note}")
    return of_slices(
        {level.name: level.sample() for level in study.levels},
        slices,
        metric=compared.measure,
        groups=_groups(study, group),
        rope=compared.rope,
        reference=compared.reference if reference is None else reference_of(reference, compared),
        looks=compared.looks,
    )


def write_comparison(
    destination: Path,
    study: Study,
    compared: Comparison,
    reference: str | None = None,
    *,
    sliced: Sliced | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write the report and its tables; return the sentences of its answer.

    Args:
        reference: the level that others are compared with; None = the best.
        sliced: the same on slices of the images.
        overwrite: replace files that no comparison wrote.

    Raises:
        ValueError: no level is called so, or such files are there.
    """
    reference = reference_of(reference, compared)
    claim(_COMMAND, {destination: _files(destination)}, _SIGNS, overwrite=overwrite)
    results, statistics = (destination / name for name in _TABLES)
    write_results(results, study)
    write_statistics(statistics, study, compared)
    for name in by_attribute.FILES:
        (destination / name).unlink(missing_ok=True)
    if sliced is not None:
        by_attribute.write_slices(destination, sliced, reference)
    write_report(destination, study, compared, reference, sliced)
    for warning in study.warnings:
        log.warning(warning)
    where = by_attribute.sentences(sliced, reference) if sliced else ()
    return [*answer(compared, reference), *where, *at_the_end(compared, study.axis), *cautions(compared)]


def _files(destination: Path) -> list[Path]:
    return [*(destination / name for name in (*_TABLES, *by_attribute.FILES)), *files_of_report(destination)]


def write_overview(
    destination: Path,
    by: str,
    studies: Mapping[str, Study],
    compared: Mapping[str, Comparison],
    reference: str | None,
    *,
    sliced: Mapping[str, Sliced] | None = None,
    overwrite: bool = False,
) -> tuple[list[str], list[Path]]:
    """Write a comparison for each value, in a folder of its own, and what they say together.

    Args:
        sliced: the same on slices of the images, by value.
        overwrite: replace files that no comparison wrote.

    Returns:
        The sentences of the answer, and the folders.
    """
    names = [level.level for result in compared.values() for level in result.levels]
    reference = reference or next((result.reference for result in compared.values() if result.reference), None)
    over = overview.look_over(by, dict(compared), None if reference is None else meant(reference, names))
    folders = {value: destination / name for value, name in overview.folders_of(studies).items()}
    files = {destination: [destination / name for name in overview.FILES]}
    claim(_COMMAND, files | {folder: _files(folder) for folder in folders.values()}, _SIGNS, overwrite=overwrite)
    for value, study in studies.items():
        write_comparison(folders[value], study, compared[value], over.reference, sliced=(sliced or {}).get(value))
    excluded = [left_out for study in studies.values() for left_out in study.excluded]
    warnings = [*dict.fromkeys(warning for study in studies.values() for warning in study.warnings)]
    doubts = overview.of_values(by, {value: list(cautions(result)) for value, result in compared.items()})
    ends = [f"{by} {v}: {text}" for v, result in compared.items() for text in at_the_end(result, studies[v].axis)]
    overview.write_overview(destination, over, excluded, [*warnings, *ends, *doubts])
    return [*overview.answer(over), *ends], list(folders.values())


def _groups(study: Study, group: str | None) -> list[str] | None:
    """Return the groups of a study's images, by default those of the rounds in which its runs were made."""
    if group is None and study.design is not None:
        group = study.design.group
    return groups_of(group, study.levels[0].entries[0].images)


def groups_of(pattern: str | None, images: Sequence[str]) -> list[str] | None:
    """Return what the pattern finds in each image's name: its first group, or all of it.

    Raises:
        ValueError: no pattern, or an image that it does not match.
    """
    if pattern is None:
        return None
    checks.pattern("group", pattern)
    matches = [re.search(pattern, image) for image in images]
    if None in matches:
        odd = images[matches.index(None)]
        raise ValueError(
            f"group: expected an expression that matches every image, got {pattern!r}, not in '{odd}'; widen it"
        )
    groups = [match[1] if match.re.groups else match[0] for match in matches if match is not None]
    if len(set(groups)) < 2:
        raise ValueError(
            f"group: expected an expression that tells images apart, got {pattern!r}, which finds {groups[0]!r} in "
            "all; let it find the part of the name that says which images belong together"
        )
    return groups


def reference_of(wanted: str | None, compared: Comparison) -> str:
    """Return the level that others are compared with: by default the best, or the only one that others were.

    Raises:
        ValueError: no level is called so, or others were not compared with it.
    """
    names = [level.level for level in compared.levels]
    if wanted is None:
        return compared.reference or names[compared.ranks.winner]
    return _chosen(wanted, names, compared.reference)


def _chosen(wanted: str, names: Sequence[str], fixed: str | None) -> str:
    """Return the level that is meant, which must be the one that the rounds of its runs were about, if they were."""
    name = meant(wanted, names)
    if fixed not in (None, name):
        raise ValueError(
            f"reference: expected {fixed}, which the sweep's rounds were about (until.reference), got "
            f"'{name}'; leave it out"
        )
    if name not in names:
        raise ValueError(f"reference: expected one of {', '.join(names)}, got '{name}'; choose a level")
    return name
