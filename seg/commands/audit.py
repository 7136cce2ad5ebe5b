"""Is this dataset fit to train on?

seg-audit images=DIR masks=DIR labels=FILE destination=DIR
seg-audit train.images=DIR train.masks=DIR val.images=DIR val.masks=DIR destination=DIR
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seg.commands import FAILED, plain, run

if TYPE_CHECKING:
    from rich.console import Console

    from seg.audit import Audit, Split
    from seg.labels import LabelMap

_PARTS = ("train", "val", "test")


def main() -> None:
    """Entry point of ``seg-audit``."""
    run(audit, "audit")


def audit(config: DictConfig) -> None:
    """Write ``audit.json`` and ``audit.html`` and print the findings; exit with 1 when one is an error."""
    from rich.console import Console

    from seg.audit.report import write_report
    from seg.files import finite, make_folder, write_json

    cfg = plain(config)
    splits = _splits(cfg)
    labels = _labels(cfg, splits)
    console = Console(highlight=False, stderr=cfg["json"])
    result = _look(splits, labels, cfg, console)
    destination = make_folder(cfg["destination"], "destination")
    write_json(destination / "audit.json", result.to_dict())
    write_report(destination / "audit.html", result)
    if cfg["json"]:
        print(json.dumps(finite(result.to_dict())))
    else:
        _print(console, result)
        console.print(f"written to {destination}: audit.html, audit.json", soft_wrap=True, markup=False)
    if errors := result.count("error"):
        found = f"{errors} error{'s' * (errors != 1)} found in the data"
        print(f"error: {found}; {destination / 'audit.html'} shows them", file=sys.stderr)
        sys.exit(FAILED)


def _splits(cfg: dict[str, Any]) -> "list[Split]":
    """The splits that the request names.

    Raises:
        ValueError: none, half of one, or one split and several at once.
    """
    from seg.audit import Split

    single = {"data": {"images": cfg["images"], "masks": cfg["masks"]}}
    given = {name: part for name, part in (single | {p: cfg[p] for p in _PARTS}).items() if any(part.values())}
    for name, part in given.items():
        prefix = "" if name == "data" else f"{name}."
        for key, value in part.items():
            if value is None:
                raise ValueError(f"missing on the command line: {prefix}{key}=...; a split needs images and masks")
    if not given:
        raise ValueError("missing on the command line: images=... masks=... (or train.images=... train.masks=...)")
    if "data" in given and len(given) > 1:
        raise ValueError(
            f"images= and masks= name one split, {', '.join([*given][1:])}.* several; give one or the other"
        )
    templates = {"image_template": cfg["image_template"], "template": cfg["template"]}
    return [Split(name, str(part["images"]), str(part["masks"]), **templates) for name, part in given.items()]


def _labels(cfg: dict[str, Any], splits: "list[Split]") -> "LabelMap":
    from seg.labels import LabelMap

    beside = Path(splits[0].masks) / "labels.yaml"
    if cfg["labels"] is None and not beside.is_file():
        raise ValueError(f"no labels.yaml in '{splits[0].masks}' (seg-preprocess writes it); give labels=FILE")
    return LabelMap.load(beside if cfg["labels"] is None else cfg["labels"], ignore=cfg["ignore"])


def _look(splits: "list[Split]", labels: "LabelMap", cfg: dict[str, Any], console: "Console") -> "Audit":
    from seg.audit import audit as look_at

    with console.status("reading") as status:

        def progress(done: int, total: int) -> None:
            if done % 50 == 0:
                status.update(f"reading: {done:,} of {total:,} pairs")

        return look_at(splits, labels, read=cfg["read"], threads=cfg["threads"], progress=progress)


def _print(console: "Console", result: "Audit") -> None:
    from rich.markup import escape
    from rich.table import Table

    from seg.audit.report import verdict

    colors = {"error": "red", "warning": "yellow", "note": "dim"}
    if result.findings:
        table = Table()
        for column in ("severity", "split", "finding"):
            table.add_column(column)
        for finding in result.findings:
            color = colors[finding.severity]
            table.add_row(f"[{color}]{finding.severity}[/]", finding.split, escape(finding.text))
        console.print(table)
    _, answer, sentence = verdict(result)
    console.print(f"{answer}. {sentence}", soft_wrap=True)


if __name__ == "__main__":
    main()
