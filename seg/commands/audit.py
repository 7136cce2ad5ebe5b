"""Is this dataset fit to train on?

seg-audit images=DIR masks=DIR labels=FILE destination=DIR
seg-audit data.train.images=DIR data.train.masks=DIR data.val.images=DIR data.val.masks=DIR destination=DIR
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run
from seg.files.errors import FAILED

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from seg.audit import Audit, Split
    from seg.data.source import Source
    from seg.labels import LabelMap

_SUSPECTS = ("number", "tolerance", "least", "masks_destination", "corrected", "write")


def main() -> None:
    """Entry point of ``seg-audit``."""
    run(audit, "audit")


def audit(config: "DictConfig") -> None:
    """Write ``audit.json`` and ``audit.html`` and print the findings; exit with 1 when one is an error."""
    from seg.audit import check_options
    from seg.audit.report import write_files
    from seg.audit.suspects.folder import Wanted, find_into
    from seg.commands.cli.targets import source_of
    from seg.data.source import named_labels
    from seg.files import checks, finite
    from seg.report.console import plain_console, say

    cfg = plain(config, optional=("data.train.",))
    check_options(cfg["read"], cfg["threads"])
    checks.flag("overwrite", cfg["overwrite"])
    wanted = None if cfg["suspects"] is None else Wanted(cfg["suspects"], **{key: cfg[key] for key in _SUSPECTS})
    source = source_of(cfg["data"])
    if source.render is not None:
        source.render()
    splits = _splits(cfg, source)
    labels = named_labels(cfg["labels"], splits[0].masks, cfg["ignore"])
    console = plain_console(stderr=cfg["json"])
    more = {"overwrite": cfg["overwrite"]}
    if wanted is not None:
        for line in find_into(splits, labels, wanted, source.reading, Path(cfg["destination"]), console, **more):
            console.print(line, soft_wrap=True)
        return
    result = _look(splits, labels, cfg, source, console)
    destination = Path(cfg["destination"])
    write_files(destination, result, overwrite=cfg["overwrite"])
    if cfg["json"]:
        print(json.dumps(finite(result.to_dict())))
    else:
        _print(console, result)
        console.print(f"written to {destination}: audit.html, audit.json", soft_wrap=True)
    if errors := result.count("error"):
        found = f"{errors} error{'s' * (errors != 1)} found in the data"
        say(f"error: {found}; {destination / 'audit.html'} shows them", error=True)
        sys.exit(FAILED)


def _splits(cfg: dict[str, Any], source: "Source") -> "list[Split]":
    """Return the splits that the request names: one by ``images`` and ``masks``, or those of the ``data`` group."""
    from seg.audit.splits import is_given, one_split, splits_of

    templates = {key: cfg[key] for key in ("image_template", "template")}
    if not cfg["images"] and not cfg["masks"]:
        return splits_of(source, **templates)
    if any(map(is_given, (source.train, source.val, source.test))):
        raise ValueError(
            "expected images= and masks= for one split, or data.* for several, got both; give one or the other"
        )
    return one_split(cfg["images"], cfg["masks"], **templates)


def _look(
    splits: "list[Split]", labels: "LabelMap", cfg: dict[str, Any], source: "Source", console: "Console"
) -> "Audit":
    from seg.audit import audit as look_at
    from seg.report.progress import bulk_progress

    with bulk_progress("reading", "pairs", console) as tell:
        return look_at(
            splits,
            labels,
            read=cfg["read"],
            reading=source.reading,
            group=source.group,
            threads=cfg["threads"],
            progress=lambda done, total: tell(done, total=total),
        )


def _print(console: "Console", result: "Audit") -> None:
    from rich.table import Table
    from rich.text import Text

    from seg.audit.report import verdict

    colors = {"error": "red", "warning": "yellow", "note": "dim"}
    if result.findings:
        table = Table()
        for column in ("severity", "split", "finding"):
            table.add_column(column)
        for finding in result.findings:
            table.add_row(Text(finding.severity, style=colors[finding.severity]), finding.split, finding.text)
        console.print(table)
    _, answer, sentence = verdict(result)
    console.print(f"{answer}. {sentence}", soft_wrap=True)


if __name__ == "__main__":
    main()
