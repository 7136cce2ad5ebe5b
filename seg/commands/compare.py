"""Compare runs that differ in one thing.

seg-compare runs=DIR destination=DIR
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run
from seg.files.errors import FAILED, Failed

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main() -> None:
    """Entry point of ``seg-compare``."""
    run(compare, "compare")


def compare(config: "DictConfig") -> None:
    """Write the report and its tables, and print the answer; exit with 1 where runs were left out."""
    cfg: dict[str, Any] = plain(config)
    if isinstance(cfg["metric"], dict):  # see `seg.commands.cli.overrides.beside_groups`
        cfg["metric"] = cfg["metric"].get("name")
    _check(cfg)
    from seg.compare.study import check_destination, only_reference, read_studies, read_study
    from seg.report.console import say

    destination = Path(cfg["destination"])
    check_destination(destination)
    options = {key: cfg[key] for key in ("group", "rope", "draws", "seed")}
    options["reference"] = only_reference(cfg["pairs"], cfg["reference"])
    root, by, given = cfg["runs"], cfg["by"], {key: cfg[key] for key in ("axis", "metric")}
    studies = {"": read_study(root, **given)} if by is None else read_studies(root, str(by), **given)
    for study in studies.values():
        if not study.levels:
            name, reason = study.excluded[0]
            raise Failed(
                f"runs: expected a complete run in '{root}', got {len(study.excluded)} others ({name}: {reason})"
            )
        say(study.described, error=True)
    from seg.compare import write  # which loads what statistics and plots take

    table, how = cfg["attributes"], {key: cfg[key] for key in ("reference", "overwrite")}
    parts = {value: write.slices_of(table, study) for value, study in studies.items() if table is not None}
    compared = {value: write.compare_study(study, cfg["metric"], **options) for value, study in studies.items()}
    asked = {key: cfg[key] for key in ("group", "reference")}
    sliced = {v: write.compare_slices(studies[v], compared[v], slices, **asked) for v, slices in parts.items()}
    if by is None:
        sentences = write.write_comparison(destination, studies[""], compared[""], sliced=sliced.get(""), **how)
        files = f"results.csv, statistics.json, {'slices.csv, slices.json, ' * bool(sliced)}plots"
    else:
        sentences, folders = write.write_overview(destination, str(by), studies, compared, sliced=sliced, **how)
        files = f"overview.json; of each value: {', '.join(map(str, folders))}"
    for sentence in sentences:
        say(sentence.replace("`", "'"))
    say(f"written to {cfg['destination']}: report.html, report.md, {files}")
    _end([left_out for study in studies.values() for left_out in study.excluded])


def _end(excluded: Sequence[tuple[str, str]]) -> None:
    """Name what was left out, and exit with 1 if there is any."""
    from seg.report.console import say

    if excluded:
        for name, reason in excluded:
            say(f"left out: {name}: {reason}", error=True)
        say(f"error: {len(excluded)} run{'s were' if len(excluded) > 1 else ' was'} left out", error=True)
        sys.exit(FAILED)


def _check(cfg: dict[str, Any]) -> None:
    """Refuse numbers of the wrong kind before anything is read.

    Raises:
        ValueError: what was expected.
    """
    from seg.compare.scores import check_rope
    from seg.files import checks

    checks.flag("overwrite", cfg["overwrite"])
    checks.whole("draws", cfg["draws"], 100, 1_000_000)
    checks.whole("seed", cfg["seed"], 0, 2**63)
    for key in ("runs", "destination", "metric", "axis", "by", "group"):
        if cfg[key] is not None or key not in ("axis", "by", "group"):
            checks.text(key, cfg[key])
    checks.file("attributes", cfg["attributes"], "a table of the images")
    check_rope(cfg["rope"], cfg["metric"])


if __name__ == "__main__":
    main()
