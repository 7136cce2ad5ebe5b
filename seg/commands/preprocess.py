"""Convert label images into masks.

seg-preprocess source=DIR destination=DIR labels=FILE [ignore=[Void]]
"""

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run
from seg.files.errors import Failed

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.convert.summary import Summary


log = logging.getLogger("seg")


def main() -> None:
    """Entry point of ``seg-preprocess``."""
    run(preprocess, "preprocess", version=_inflate)


def _inflate() -> str:
    from seg import _preproc

    return f"inflate: {_preproc.inflate}"


def preprocess(config: "DictConfig") -> None:
    """Convert the folder and print what was done; exit with 1 when a file failed."""
    from seg.convert import request
    from seg.convert.sources import count_sources
    from seg.labels import LabelMap
    from seg.report.console import plain_console, say
    from seg.report.progress import bulk_progress

    # The reason that we print for a file is enough; OpenCV would print its own beside it.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cfg = plain(config)
    as_json, shard = cfg.pop("json"), request.parse_shard(cfg.pop("shard"))
    labels = LabelMap.load(cfg.pop("labels"), ignore=(ignored := cfg.pop("ignore")))
    labels = request.ignoring_values(labels, cfg.pop("ignore_values"), cfg["read"])
    source, destination = Path(cfg.pop("source")), cfg.pop("destination")
    work = request.work(**cfg)
    console = plain_console(stderr=as_json)
    back = cfg["inverse"] or cfg["write"] is not None
    if not (as_json or back) and (said := request.void_classes(labels, ignored)):
        log.info(said)

    def count() -> int:
        return count_sources(source, cfg["pattern"], request.suffixes_of(cfg["read"])) // (shard[1] if shard else 1)

    many = cfg["read"] in ("coco", "binary", "cvat", "labelstudio")  # images of a file, files of an image
    with bulk_progress("converting", "images", console, None if many else count, goes_on=not cfg["overwrite"]) as tell:
        summary = work(source, destination, labels, shard=shard, progress=tell)
    if shard and not summary.files:
        log.info(request.no_files_of(shard))
    for warning in summary.warnings:
        log.warning(warning)
    for file, reason in summary.failures:
        say(f"{file}: {reason}", error=True)
    if as_json:
        print(json.dumps(dataclasses.asdict(summary)))
    else:
        _print(console, summary, destination)
    if summary.failed:
        more = f"; {destination}/manifest.jsonl names all" if summary.failed > len(summary.failures) else ""
        raise Failed(f"{summary.failed} of {summary.files} files failed, as named above{more}")


def _print(console: Any, summary: "Summary", destination: str) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("class")
    for column in ("pixels", "share %"):
        table.add_column(column, justify="right")
    total = max(sum(summary.pixels.values()) + summary.ignored, 1)
    for name, pixels in (*summary.pixels.items(), ("(ignore)", summary.ignored)):
        table.add_row(name, f"{pixels:,}", f"{100 * pixels / total:.2f}")
    console.print(table)
    console.print(
        f"{summary.converted} converted, {summary.skipped} unchanged, {summary.failed} failed in {summary.seconds:.2f} "
        f"s ({summary.files / max(summary.seconds, 1e-3):,.0f} images/s); written to {destination}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
