"""Compare runs that differ in one thing.

seg-compare runs=DIR destination=DIR
"""

import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run
from seg.files.errors import FAILED, Failed

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.compare.findings import Compared
    from seg.compare.study import Study


def main() -> None:
    """Entry point of ``seg-compare``."""
    run(compare, "compare")


def compare(config: "DictConfig") -> None:
    """Write the report and its tables, and print the answer; exit with 1 where runs were left out."""
    from seg.compare.study import read_studies, read_study
    from seg.files import make_folder

    cfg: dict[str, Any] = plain(config)
    if isinstance(cfg["metric"], dict):  # see `seg.commands.cli.overrides.beside_groups`
        cfg["metric"] = cfg["metric"].get("name")
    _check(cfg)
    _check_destination(Path(cfg["destination"]))
    if cfg["by"] is None:
        study = read_study(cfg["runs"], cfg["axis"], cfg["metric"])
        found = _compared(study, cfg)
        reference = _reference(cfg["reference"], found)
        _tell(_write(make_folder(cfg["destination"], "destination"), study, found, reference))
        print(f"written to {cfg['destination']}: report.html, report.md, results.csv, statistics.json, plots")
        _end(study.excluded)
    else:
        _compare_each(read_studies(cfg["runs"], str(cfg["by"]), cfg["axis"], cfg["metric"]), cfg)


def _compare_each(studies: "dict[str, Study]", cfg: dict[str, Any]) -> None:
    """A comparison for each value, in a folder of its own, and what they say together."""
    from seg.compare import overview
    from seg.files import make_folder
    from seg.runs import as_text

    found = {value: _compared(study, cfg) for value, study in studies.items()}
    reference = None if cfg["reference"] is None else as_text(cfg["reference"])
    over = overview.look_over(str(cfg["by"]), found, reference)
    folders = {value: Path(cfg["destination"], name) for value, name in overview.folders_of(studies).items()}
    for value, study in studies.items():
        _write(make_folder(folders[value], "destination"), study, found[value], over.reference)
    excluded = [left_out for study in studies.values() for left_out in study.excluded]
    warnings = [*dict.fromkeys(warning for study in studies.values() for warning in study.warnings)]
    doubts = dict.fromkeys(text for value in studies for text in _cautions(studies[value], found[value]))
    overview.write_overview(Path(cfg["destination"]), over, excluded, [*warnings, *doubts])
    _tell(overview.answer(over))
    each = ", ".join(map(str, folders.values()))
    print(f"written to {cfg['destination']}: report.html, report.md, overview.json; of each value: {each}")
    _end(excluded)


def _compared(study: "Study", cfg: dict[str, Any]) -> "Compared":
    from seg.compare.scores import measure
    from seg.compare.statistics import compare

    if not study.levels:
        run_, reason = study.excluded[0]
        raise Failed(
            f"runs: expected a complete run in '{cfg['runs']}', got {len(study.excluded)} others ({run_}: {reason})"
        )
    return compare(
        {level.name: level.sample() for level in study.levels},
        metric=measure(cfg["metric"], study.catalogue) or cfg["metric"],
        groups=_groups(cfg["group"], study.levels[0].entries[0].images),
        rope=cfg["rope"],
        draws=cfg["draws"],
        seed=cfg["seed"],
    )


def _write(destination: Path, study: "Study", found: "Compared", reference: str) -> Iterator[str]:
    """Write the report and its tables; return the sentences of its answer."""
    from seg.compare.answer import answer
    from seg.compare.report import write_report
    from seg.compare.results import write_results, write_statistics

    write_results(destination / "results.csv", study)
    write_statistics(destination / "statistics.json", study, found)
    write_report(destination, study, found, reference)
    for warning in study.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return iter((*answer(found, reference), *_cautions(study, found)))


def _cautions(study: "Study", found: "Compared") -> Iterator[str]:
    from seg.compare.answer import cautions

    return cautions(found, [len(level.entries) for level in study.levels])


def _tell(sentences: Iterator[str]) -> None:
    for sentence in sentences:
        print(sentence.replace("`", "'"))


def _end(excluded: Sequence[tuple[str, str]]) -> None:
    """Name what was left out, and exit with 1 if there is any."""
    if excluded:
        for name, reason in excluded:
            print(f"left out: {name}: {reason}", file=sys.stderr)
        number = len(excluded)
        print(f"error: {number} run{'s were' if number > 1 else ' was'} left out", file=sys.stderr)
        sys.exit(FAILED)


def _check(cfg: dict[str, Any]) -> None:
    """Refuse numbers of the wrong kind before anything is read.

    Raises:
        ValueError: what was expected.
    """
    from seg.compare.scores import measure
    from seg.files import checks
    from seg.metrics.catalogue import SHARE

    for key, least, most in (("draws", 100, 1_000_000), ("seed", 0, 2**63)):
        if not isinstance(cfg[key], int) or isinstance(cfg[key], bool) or not least <= cfg[key] <= most:
            raise ValueError(f"{key}: expected a whole number from {least} to {most}, got {cfg[key]!r}; give one")
    for key in ("runs", "destination", "metric", "axis", "by", "group"):
        optional = key in ("axis", "by", "group")
        if not (cfg[key] is None and optional) and not (isinstance(cfg[key], str) and cfg[key]):
            raise ValueError(f"{key}: expected a text{' or null' if optional else ''}, got {cfg[key]!r}; give one")
    rope, known = cfg["rope"], measure(cfg["metric"])
    limit = 1.0 if known is not None and known.unit == SHARE else math.inf
    if rope is not None and not (checks.is_number(rope) and 0 <= rope < limit):
        raise ValueError(
            f"rope: expected a difference in units of the metric, from 0{' to below 1' * (limit == 1)}, got {rope!r}; "
            "give 0.005 for half a point"
        )


def _check_destination(destination: Path) -> None:
    """Refuse the folder of a run, whose plots have the same names.

    Raises:
        ValueError: it is one, or lies within one.
    """
    from seg.compare.evidence import is_entry

    for folder in (destination.resolve(), *destination.resolve().parents):
        if is_entry(folder):
            raise ValueError(f"destination: expected a folder of its own, got one of the run '{folder}'; give another")


def _groups(pattern: str | None, images: Sequence[str]) -> list[str] | None:
    """What the pattern finds in each image's name: its first group, or all of it.

    Raises:
        ValueError: no pattern, or an image that it does not match.
    """
    if pattern is None:
        return None
    try:
        matches = [re.search(pattern, image) for image in images]
    except re.error as error:
        raise ValueError(
            f"group: expected a regular expression, got {pattern!r} ({error}); escape what is plain"
        ) from None
    if None in matches:
        odd = images[matches.index(None)]
        raise ValueError(f"group: expected an expression that matches every image, got {pattern!r}, not in '{odd}'")
    found = [match[1] if match.re.groups else match[0] for match in matches if match is not None]
    if len(set(found)) < 2:
        raise ValueError(
            f"group: expected an expression that tells images apart, got {pattern!r}, which finds {found[0]!r} in all; "
            "let it find the part of the name that says which images belong together"
        )
    return found


def _reference(wanted: str | None, found: "Compared") -> str:
    """The level that others are compared with: by default the best."""
    from seg.runs import as_text

    names = [level.level for level in found.levels]
    if wanted is None:
        return names[found.ranks.winner]
    if (name := as_text(wanted)) not in names:
        raise ValueError(f"reference: expected one of {', '.join(names)}, got '{name}'; choose a level")
    return name


if __name__ == "__main__":
    main()
