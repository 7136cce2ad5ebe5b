"""Is this dataset fit to train on?

seg-audit images=DIR masks=DIR labels=FILE destination=DIR
seg-audit data.train.images=DIR data.train.masks=DIR data.val.images=DIR data.val.masks=DIR destination=DIR
"""

import json
import sys
from typing import TYPE_CHECKING, Any

from seg.commands.cli import instantiate, plain, run
from seg.files.errors import FAILED

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from seg.audit import Audit, Split
    from seg.data.pairs import Folders
    from seg.labels import LabelMap

_PARTS = ("train", "val", "test")


def main() -> None:
    """Entry point of ``seg-audit``."""
    run(audit, "audit")


def audit(config: "DictConfig") -> None:
    """Write ``audit.json`` and ``audit.html`` and print the findings; exit with 1 when one is an error."""
    from omegaconf import OmegaConf

    from seg.audit.report import write_report
    from seg.files import finite, make_folder, write_json
    from seg.report.console import plain_console

    for key in config.data.train:  # mandatory for seg-train only
        if OmegaConf.is_missing(config.data.train, key):
            config.data.train[key] = None
    if config.data.render is not None:
        instantiate(plain(config.data.render))()
    cfg = plain(config)
    splits = _splits(cfg)
    labels = _labels(cfg, splits)
    console = plain_console(stderr=cfg["json"])
    result = _look(splits, labels, cfg, console)
    destination = make_folder(cfg["destination"], "destination")
    write_json(destination / "audit.json", result.to_dict())
    write_report(destination / "audit.html", result)
    if cfg["json"]:
        print(json.dumps(finite(result.to_dict())))
    else:
        _print(console, result)
        console.print(f"written to {destination}: audit.html, audit.json", soft_wrap=True)
    if errors := result.count("error"):
        found = f"{errors} error{'s' * (errors != 1)} found in the data"
        print(f"error: {found}; {destination / 'audit.html'} shows them", file=sys.stderr)
        sys.exit(FAILED)


def _splits(cfg: dict[str, Any]) -> "list[Split]":
    """The splits that the request names: one by ``images`` and ``masks``, or those of the ``data`` group.

    Raises:
        ValueError: none, half of one, or both.
    """
    from seg.audit import Split

    data = cfg["data"]
    templates = {key: cfg[key] for key in ("image_template", "template")}
    named = {part: data[part] for part in _PARTS if any(data[part].values())}
    if cfg["images"] or cfg["masks"]:
        if named:
            raise ValueError(
                "expected images= and masks= for one split, or data.* for several, got both; give one or the other"
            )
        return [Split("data", *_folders(cfg, ""), **templates)]
    if not named:
        raise ValueError("missing on the command line: images=... masks=... (or data.train.images=... and so on)")
    folders = {part: _folders(about, f"data.{part}.", data["train"]) for part, about in named.items()}
    if [*named] == ["train"]:
        return _share(folders["train"], data, templates)
    return [Split(part, *folders[part], **templates, listed=about["list"]) for part, about in named.items()]


def _folders(about: dict[str, Any], prefix: str, default: dict[str, Any] | None = None) -> "tuple[Folders, Folders]":
    """Folders of images and masks; a part that has a list alone shares those of ``default``."""
    if default and about["list"] and not about["images"] and not about["masks"]:
        about = default
    for key in ("images", "masks"):
        if about[key] is None:
            raise ValueError(f"missing on the command line: {prefix}{key}=...; a split needs images and masks")
    return about["images"], about["masks"]


def _share(folders: "tuple[Folders, Folders]", data: dict[str, Any], templates: dict[str, str]) -> "list[Split]":
    """The seeded split that ``seg-train`` would make of these folders."""
    from seg.audit import Split
    from seg.data.pairs import pair, scenes_of, split

    listed = data["train"]["list"]
    pairs = pair(*folders, **templates, only=listed)
    scenes = scenes_of([p.name for p in pairs], data["group"])
    parts = zip(("train", "val"), split(pairs, data["val_share"], data["split_seed"], scenes), strict=True)
    return [Split(name, *folders, **templates, only=[p.name for p in part], listed=listed) for name, part in parts]


def _labels(cfg: dict[str, Any], splits: "list[Split]") -> "LabelMap":
    from seg.data.pairs import as_list
    from seg.labels import LabelMap

    beside = as_list(splits[0].masks)[0] / "labels.yaml"
    if cfg["labels"] is None and not beside.is_file():
        raise ValueError(
            f"expected a labels.yaml in '{beside.parent}', which seg-preprocess writes, got none; give labels=FILE"
        )
    return LabelMap.load(beside if cfg["labels"] is None else cfg["labels"], ignore=cfg["ignore"])


def _look(splits: "list[Split]", labels: "LabelMap", cfg: dict[str, Any], console: "Console") -> "Audit":
    from seg.audit import audit as look_at
    from seg.images import Reading
    from seg.report.progress import bulk_progress

    with bulk_progress("reading", "pairs", console) as tell:
        return look_at(
            splits,
            labels,
            read=cfg["read"],
            reading=Reading.of(*(cfg["data"][key] for key in ("bands", "range", "exif")), prefix="data."),
            group=cfg["data"]["group"],
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
