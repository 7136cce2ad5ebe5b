"""Measure what regularizers do to the statistics of batch normalisation.

seg-diagnose checkpoint=FILE images=DIR destination=DIR
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.table import Table
    from torch import Tensor, nn

    from seg.images import Reading

    Normalization = tuple[tuple[float, ...], tuple[float, ...]]

log = logging.getLogger("seg")


_ON_BRANCHES = ("(StochasticDepth)", "(DropPath)", "(drop connect)")
"""What belongs on branches, where all but the last stand before normalisations."""


def main() -> None:
    """Entry point of ``seg-diagnose``."""
    run(diagnose, "diagnose")


def diagnose(config: "DictConfig") -> None:
    """Write ``diagnose.json``, ``diagnose.csv`` and ``diagnose.png``, print the table, name the offenders."""
    from seg.data.pairs.folders import check_apart
    from seg.files import finite, make_folder, write_csv, write_json
    from seg.regularizers import describe
    from seg.report.console import console

    cfg = plain(config)
    _check(cfg)
    check_apart(cfg["destination"], [cfg["images"]], "destination")
    model, normalization, reading = _subject(cfg)
    batches = _batches(cfg, normalization, reading)
    destination = make_folder(cfg["destination"], "destination")
    rows = _measure(model, batches, with_stored=cfg["checkpoint"] is not None)
    for row in rows:
        row["named"] = _distance(row) > cfg["threshold"]
    columns = list(rows[0])
    result = {
        "regularizers": describe(model).splitlines(),
        "images": sum(map(len, batches)),
        "threshold": cfg["threshold"],
        "norms": rows,
        "offenders": _offenders(rows),
    }
    write_csv(destination / "diagnose.csv", columns, ([row[key] for key in columns] for row in rows))
    _plot(destination / "diagnose.png", rows, result["offenders"])
    write_json(destination / "diagnose.json", result)
    if cfg["json"]:
        print(json.dumps(finite(result)))
        return
    log.info("\n  ".join(["regularizers:", *result["regularizers"]]))
    console.print(_table(rows, cfg["threshold"]))
    for text in _verdict(rows, result["offenders"], cfg["threshold"]):
        log.info(text)
    log.info(f"written to {destination}: diagnose.json, diagnose.csv, diagnose.png")


def _check(cfg: dict[str, Any]) -> None:
    if (cfg["checkpoint"] is None) != bool(cfg.get("model")):
        raise ValueError(
            "expected either checkpoint or model, got both or neither; give checkpoint=FILE or model=deeplabv3plus"
        )
    for key, least in (("number", 2), ("batch", 2), ("classes", 1)):
        if not isinstance(cfg[key], int) or cfg[key] < least:
            raise ValueError(f"{key}: expected a whole number of at least {least}, got {cfg[key]!r}; give one")
    if not isinstance(cfg["threshold"], int | float) or cfg["threshold"] < 1:
        raise ValueError(f"threshold: expected a factor of at least 1, got {cfg['threshold']!r}; give one")
    size = cfg["size"]
    if size is not None and not (
        isinstance(size, list) and len(size) == 2 and all(isinstance(s, int) and s > 0 and s % 32 == 0 for s in size)
    ):
        raise ValueError(f"size: expected [height, width] or null, got {size!r}; give multiples of 32")


def _subject(cfg: dict[str, Any]) -> "tuple[nn.Module, Normalization, Reading]":
    """The model, on its device, with its regularizers; mean and deviation of its images, and how they are read."""
    import torch

    from seg import models
    from seg.commands.cli import instantiate, trusted_modules
    from seg.images import RGB
    from seg.inference.trained import load
    from seg.regularizers import attach

    if cfg["checkpoint"] is not None:
        trained = load(cfg["checkpoint"], cfg["device"], trust=trusted_modules(cfg["trust"]))
        try:
            return attach(trained.model, **trained.regularizer), (trained.mean, trained.std), trained.reading
        except Exception as error:  # what a damaged or edited file names
            raise ValueError(
                f"checkpoint: expected settings of regularizers in '{cfg['checkpoint']}', got "
                f"{dict(trained.regularizer)} ({error}); give a checkpoint that seg-train wrote"
            ) from None
    torch.manual_seed(cfg["seed"])
    normalization = models.normalization(cfg["model"].get("encoder_name", ""), cfg["model"].get("encoder_weights"))
    model: nn.Module = instantiate({**cfg["model"], "classes": cfg["classes"]})
    if cfg["regularizer"]:
        model = instantiate(cfg["regularizer"], model)
    device = cfg["device"] if cfg["device"] != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), normalization, RGB


def _batches(cfg: dict[str, Any], normalization: "Normalization", reading: "Reading") -> "list[Tensor]":
    """Normalised images (N, channels, H, W), all of one size; the last batch has at least two."""
    import random

    import torch
    import torch.nn.functional as F

    from seg.data.pairs import list_images, one
    from seg.images import read_image

    paths = list(list_images(one(cfg["images"], "images"), cfg["image_template"]).values())
    count = min(cfg["number"], len(paths))
    if count < 2:
        raise ValueError(f"images: expected at least two in '{cfg['images']}', got {count}; give a folder with more")
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    random.Random(cfg["seed"]).shuffle(chosen)  # neighbours by name look alike, and would hide variance from a batch
    images = [torch.from_numpy(read_image(path, reading)) for path in chosen]
    height, width = cfg["size"] or (max(side // 32, 1) * 32 for side in images[0].shape[:2])
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in normalization)
    scaled = [
        F.interpolate(
            image.permute(2, 0, 1)[None].float() / 255, (height, width), mode="bilinear", antialias=True
        ).sub(mean).div(std)
        for image in images
    ]  # fmt: skip
    parts = max(count // cfg["batch"], 1)
    return [torch.cat(scaled[i * count // parts : (i + 1) * count // parts]) for i in range(parts)]


def _measure(model: "nn.Module", batches: "list[Tensor]", *, with_stored: bool) -> list[dict[str, Any]]:
    """One row for each batch normalisation: ratios of variances and the regularizer before it."""
    from seg.regularizers import before_norms, variance_shift

    shift = variance_shift(model, batches)
    control = variance_shift(model, batches, regularized=False)
    stored = variance_shift(model, batches, estimate=False) if with_stored else {}
    before = before_norms(model)
    return [
        {
            "norm": name,
            "shift": shift[name],
            "control": control[name],
            "factor": shift[name] / control[name],
            **({"stored": stored[name]} if with_stored else {}),
            "after": before.get(name, ""),
        }
        for name in shift
    ]


def _distance(row: dict[str, Any]) -> float:
    """The factor by which regularizers move the ratio of variances, up or down."""
    factor = float(row["factor"])
    return max(factor, 1 / factor)


def _offenders(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each regularizer that stands before a normalisation whose variance it shifts, the worst first."""
    behind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["named"] and row["after"]:
            behind.setdefault(row["after"], []).append(row)
    found = []
    for regularizer, shifted in behind.items():
        worst = max(shifted, key=_distance)
        place = {key: worst[key] for key in ("norm", "shift", "control", "factor")}
        found.append({"regularizer": regularizer, **place, "norms": len(shifted)})
    return sorted(found, key=_distance, reverse=True)


def _verdict(rows: list[dict[str, Any]], offenders: list[dict[str, Any]], threshold: float) -> list[str]:
    named = sum(row["named"] for row in rows)
    if not named:
        return [f"no variance of {len(rows)} batch normalisations is shifted by more than {threshold}x"]
    return [
        f"{found['regularizer']} stands before batch normalisation: variance at {found['norm']} shifted "
        f"{found['factor']:.2f}x (remembered / real {found['shift']:.2f}, control {found['control']:.2f}), "
        f"{found['norms']} of {len(rows)} shifted; "
        + ("a lower rate" if found["regularizer"].endswith(_ON_BRANCHES) else "the site 'decoder'")
        + " would shift less"
        for found in offenders
    ] or [f"{named} of {len(rows)} batch normalisations are shifted, and no regularizer stands before them"]


def _table(rows: list[dict[str, Any]], threshold: float) -> "Table":
    from rich.table import Table

    table = Table(
        title=f"remembered / real variance of batch normalisations, bold: factor beyond {threshold}",
        title_justify="left",
    )
    table.add_column("batch normalisation", overflow="fold")
    keys = [key for key in ("shift", "control", "factor", "stored") if key in rows[0]]
    for key in keys:
        table.add_column(key, justify="right")
    table.add_column("regularizer before it", overflow="fold")
    for row in rows:
        style = "bold" if row["named"] else ""
        table.add_row(row["norm"], *(f"{row[key]:.3f}" for key in keys), row["after"], style=style)
    return table


def _plot(path: Path, rows: list[dict[str, Any]], offenders: list[dict[str, Any]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    from seg.files import whole

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axhline(1, color="0.7", linewidth=1)
    for key, label in (("stored", "as stored"), ("control", "control: without noise"), ("shift", "with regularizers")):
        if key in rows[0]:
            axes.plot(range(1, len(rows) + 1), [row[key] for row in rows], marker=".", label=label)
    for worst in offenders[:1]:
        place = [row["norm"] for row in rows].index(worst["norm"]) + 1
        axes.plot(place, worst["shift"], "o", color="black", fillstyle="none", markersize=12)
        axes.set_title(f"circled: {worst['norm']} behind {worst['regularizer']}", fontsize="medium")
    axes.set(xlabel="batch normalisation, in order", ylabel="remembered / real variance", yscale="log")
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter())
    axes.legend()
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


if __name__ == "__main__":
    main()
