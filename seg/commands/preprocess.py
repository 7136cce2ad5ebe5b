"""Convert label images into masks.

seg-preprocess source=DIR destination=DIR labels=FILE [ignore=[Void]]
"""

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seg.commands import Failed, plain, run

if TYPE_CHECKING:
    from seg.convert import Summary


def main() -> None:
    """Entry point of ``seg-preprocess``."""
    run(preprocess, "preprocess", version=_inflate)


def _inflate() -> str:
    from seg import _preproc

    return f"inflate: {_preproc.inflate}"


def preprocess(config: DictConfig) -> None:
    """Convert the folder and print what was done; exit with 1 when a file failed."""
    from rich.console import Console

    from seg.convert import convert_folder
    from seg.labels import LabelMap

    # The reason that we print for a file is enough; OpenCV would print its own beside it.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cfg = plain(config)
    as_json, shard = cfg.pop("json"), _shard(cfg.pop("shard"))
    labels = LabelMap.load(cfg.pop("labels"), ignore=cfg.pop("ignore"))
    source, destination = cfg.pop("source"), cfg.pop("destination")
    console = Console(highlight=False, stderr=as_json)
    with console.status("converting") as status:

        def progress(done: int, failed: int) -> None:
            status.update(f"converting: {done} files done" + (f", {failed} failed" if failed else ""))

        summary = convert_folder(source, destination, labels, shard=shard, progress=progress, **cfg)
    for warning in summary.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for file, reason in summary.failures:
        print(f"{file}: {reason}", file=sys.stderr)
    if as_json:
        print(json.dumps(dataclasses.asdict(summary)))
    else:
        _print(console, summary, destination)
    if summary.failed:
        more = f"; {destination}/manifest.jsonl names all" if summary.failed > len(summary.failures) else ""
        files = summary.converted + summary.skipped + summary.failed
        raise Failed(f"{summary.failed} of {files} files failed, as named above{more}")


def _shard(text: Any) -> tuple[int, int] | None:
    if text is None:
        return None
    index, _, count = str(text).partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) <= int(count) != 0):
        raise ValueError(f"shard: expected I/N with 1 <= I <= N, or I counted from 0, got '{text}'")
    return int(index) or int(count), int(count)  # 0/N is N/N: both ways of counting give every part once


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
    files = summary.converted + summary.skipped + summary.failed
    console.print(
        f"{summary.converted} converted, {summary.skipped} unchanged, {summary.failed} failed in "
        f"{summary.seconds:.2f} s ({files / max(summary.seconds, 1e-3):,.0f} files/s); masks in {destination}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
