"""Convert label images into masks.

seg-preprocess source=DIR destination=DIR labels=FILE [ignore=[Void]]
"""

import dataclasses
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run
from seg.files.errors import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig

    from seg.convert.summary import Summary
    from seg.labels import LabelMap


def main() -> None:
    """Entry point of ``seg-preprocess``."""
    run(preprocess, "preprocess", version=_inflate)


def _inflate() -> str:
    from seg import _preproc

    return f"inflate: {_preproc.inflate}"


def preprocess(config: "DictConfig") -> None:
    """Convert the folder and print what was done; exit with 1 when a file failed."""
    from seg.convert.annotations import AnnotationReader
    from seg.convert.labelme import ShapeReader
    from seg.convert.reader import LabelReader
    from seg.convert.sources import count_sources
    from seg.labels import LabelMap
    from seg.report.console import plain_console
    from seg.report.progress import bulk_progress

    # The reason that we print for a file is enough; OpenCV would print its own beside it.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cfg = plain(config)
    as_json, shard = cfg.pop("json"), _shard(cfg.pop("shard"))
    labels = LabelMap.load(cfg.pop("labels"), ignore=cfg.pop("ignore"))
    if ignore_values := cfg.pop("ignore_values"):
        labels = _ignoring(labels, ignore_values, cfg["read"])
    source, destination = Path(cfg.pop("source")), cfg.pop("destination")
    work = _work(cfg)
    console = plain_console(stderr=as_json)

    suffixes = {"labelme": ShapeReader.suffixes, "cityscapes_polygons": AnnotationReader.suffixes}.get(
        cfg["read"], LabelReader.suffixes
    )

    def count() -> int:
        return count_sources(source, cfg["pattern"], suffixes) // (shard[1] if shard else 1)

    with bulk_progress("converting", "images", console, None if cfg["read"] == "coco" else count) as progress:
        summary = work(source, destination, labels, shard=shard, progress=progress)
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
        raise Failed(f"{summary.failed} of {summary.files} files failed, as named above{more}")


def _ignoring(labels: "LabelMap", values: Any, read: str) -> "LabelMap":
    from seg.convert.reader import ANNOTATIONS

    if not isinstance(values, list):
        raise ValueError(f"ignore_values: expected a list, got {values!r}; give such as [-1, 255]")
    if read in ANNOTATIONS:
        raise ValueError(f"ignore_values: expected only with images, got {values!r} with read={read}; leave it out")
    if read != "index" and not any(label.values for label in labels.labels if not label.ignore):
        raise ValueError(
            "ignore_values: expected values in the label map, or read=index, got colours alone, by which images are "
            "read; add values to the label map, or ignore a class by its name (ignore=[...])"
        )
    return labels.ignoring_values(values)


def _work(cfg: dict[str, Any]) -> "Callable[..., Summary]":
    """The function that does what the options ask for, with all of them but folders and label map.

    Raises:
        ValueError: options that do not go together.
    """
    from seg.convert import convert_folder, recolor_folder
    from seg.convert.tiles import Cut, ImageTiles

    options = dict(cfg)
    numbers = options.pop("instances_destination")
    how = {"size": options.pop("size"), "tile": options.pop("tile"), "overlap": options.pop("overlap")}
    where = {key: options.pop(key) for key in ("images", "images_destination")}
    templates = {key: options.pop(key) for key in ("image_template", "template")}
    if len(set(map(bool, where.values()))) > 1:
        raise ValueError("expected images and images_destination together, got one of them; give both, or neither")
    cut = Cut(**how) if any(how.values()) else None
    if options["inverse"] and options["background"] is not None:
        raise ValueError("expected inverse=true without background, got both; leave it out: whole masks are coloured")
    if options.pop("inverse"):
        read = tuple(cfg[key] for key in ("unknown", "read", "transparent"))
        if cut or where["images"] or numbers or read != ("error", "auto", "keep"):
            raise ValueError(
                "expected inverse=true without tile, size, images, instances_destination, unknown, read and "
                "transparent, got some of them; leave them out: whole masks are coloured"
            )
        return partial(recolor_folder, **{key: options[key] for key in ("pattern", "threads", "overwrite")})
    if where["images"]:
        if cut is None:
            raise ValueError(
                "expected tile or size with images, got neither; without them the images would stay what they are"
            )
        options["images"] = ImageTiles(cut, *where.values(), **templates)
    return partial(convert_folder, cut=cut, instances=numbers, **options)


def _shard(text: Any) -> tuple[int, int] | None:
    if text is None:
        return None
    index, _, count = str(text).partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) <= int(count) != 0):
        raise ValueError(f"shard: expected I/N with 1 <= I <= N, or I counted from 0, got '{text}'; give such as 1/8")
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
    console.print(
        f"{summary.converted} converted, {summary.skipped} unchanged, {summary.failed} failed in {summary.seconds:.2f} "
        f"s ({summary.files / max(summary.seconds, 1e-3):,.0f} images/s); written to {destination}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
