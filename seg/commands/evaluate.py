"""Evaluate a checkpoint, or masks that were predicted elsewhere, on images with masks.

seg-evaluate checkpoint=FILE images=DIR masks=DIR destination=DIR
seg-evaluate predictions=DIR masks=DIR destination=DIR
"""

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.evaluation.files import Judged
    from seg.evaluation.subjects import Subject

log = logging.getLogger("seg")

_RANKED = re.compile(r"\d{2,}_(\d+\.\d|-)_.*\.png")  # how `_draw_worst` calls its pictures
_READ = ("images", "masks", "instances", "predictions", "temperature_images", "temperature_masks")


def main() -> None:
    """Entry point of ``seg-evaluate``."""
    run(evaluate, "evaluate")


def evaluate(config: "DictConfig") -> None:
    """Write ``metrics.json``, tables of each image, plots and ``pictures/``, and print the tables."""
    cfg = _request(config)
    from seg.commands.cli.targets import inference_of, trusted_modules
    from seg.data.pairs import as_list
    from seg.data.pairs.folders import check_apart
    from seg.evaluation import files, subjects, tables
    from seg.files import finite, make_folder, write_json
    from seg.metrics import BINS, Boundaries, Components, ErrorKinds, MaskMeter, PixelCounts
    from seg.runs import JUDGED, PREDICTIONS, copy_record

    boundaries = {"tolerances": cfg["tolerances"], "surface": cfg["surface"]}
    Boundaries(0, 0, **boundaries)  # to refuse wrong options before files are read
    Components(0, bounds=cfg["sizes"])
    if cfg["predictions"] is not None:
        subject = subjects.of_predictions(cfg)
    else:
        infer, trust = inference_of(cfg["inference"]), trusted_modules(cfg["trust"])
        subject = subjects.of_checkpoint(cfg, infer, trust)
    folders = [cfg[key] for key in _READ if cfg[key] is not None]
    check_apart(cfg["destination"], [path for several in folders for path in as_list(several)], "destination")
    destination = make_folder(cfg["destination"], "destination")
    names, images = subject.labels.names, [pair.name for pair in subject.pairs]
    masks: list[MaskMeter] = [
        Boundaries(len(images), len(names), **boundaries),
        Components(len(names), bounds=cfg["sizes"]),
        ErrorKinds(len(images), tolerance=cfg["tolerances"][0]),
    ]
    if cfg["save_masks"]:
        masks.append(files.Predictions(destination / PREDICTIONS, images))
    bins = 0 if subject.certain else BINS
    found, more = subject.count(PixelCounts(len(images), names, bins=bins, masks=masks))
    judged = files.Judged(images, names, cfg["tolerances"], found)
    where = {key: cfg[key] for key in ("images", "masks", "instances", "image_template", "template")}
    data = {**subject.named, **more, **files.as_data(judged), "data": where}
    files.write(judged, destination)
    copy_record(Path(cfg["checkpoint"]).parent if cfg["checkpoint"] else None, destination)
    write_json(destination / JUDGED, data)
    _draw_worst(subject, judged, destination, cfg["pictures"])
    if cfg["json"]:
        print(json.dumps(finite(data)))
        return
    (what,) = subject.named.values()
    tables.print_tables(judged, data, title=f"{what} on {len(images)} images", sizes=cfg["sizes"])
    pictures = ", pictures/ (worst first)" if subject.seen else ""
    also = ", boxes.json" if judged.boxes is not None else ""
    log.info(f"written to {destination}: metrics.json, tables per image, confusion.csv, plots{also}{pictures}")


def _request(config: "DictConfig") -> dict[str, Any]:
    """The configuration, complete and without contradiction.

    Raises:
        ValueError: what is missing, or does not go together.
    """
    if config.predictions is None:
        for key in ("checkpoint", "images"):
            if config[key] is None:
                config[key] = "???"  # to be named among what is missing
    cfg: dict[str, Any] = plain(config)
    for key in ("checkpoint", "temperature"):
        if cfg["predictions"] is not None and cfg[key] is not None:
            raise ValueError(
                f"{key}: expected none with predictions, which are masks, got {cfg[key]!r}; leave out one of the two"
            )
    if cfg["predictions"] is not None and cfg["instances"] is not None:
        raise ValueError(
            f"instances: expected none with predictions, which are masks and have no boxes, got {cfg['instances']!r}; "
            "leave it out"
        )
    if cfg["predictions"] is None and cfg["labels"] is not None:
        raise ValueError(
            f"labels: expected none with a checkpoint, which has its own, got {cfg['labels']!r}; leave it out"
        )
    for key in ("surface", "save_masks"):
        if not isinstance(cfg[key], bool):
            raise ValueError(f"{key}: expected true or false, got {cfg[key]!r}; give one")
    if cfg["save_masks"] and cfg["predictions"] is not None:
        raise ValueError("save_masks: expected false with predictions, which are masks already, got true; leave it out")
    if (folder := Path(cfg["destination"]) / "last.pt").exists():
        raise ValueError(
            f"destination: expected a folder of its own, got the run '{folder.parent}', whose tables would be lost; "
            f"give such as '{folder.parent / 'evaluation'}'"
        )
    _check_temperature(cfg)
    return cfg


def _check_temperature(cfg: dict[str, Any]) -> None:
    value = cfg["temperature"]
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    if not (value is None or value == "fit" or number):
        raise ValueError(f"temperature: expected a positive number, or fit, got {value!r}; give one of them")
    given = [key for key in ("temperature_images", "temperature_masks") if cfg[key] is not None]
    if len(given) != (2 if value == "fit" else 0):
        raise ValueError(
            "temperature: expected temperature=fit with temperature_images and temperature_masks, or none of the "
            f"three, got temperature={value} with {' and '.join(given) or 'neither'}; give all, or leave them out"
        )


def _draw_worst(subject: "Subject", judged: "Judged", destination: Path, number: int) -> None:
    """Image, target and prediction of the images with the lowest mIoU (I)."""
    import numpy as np

    from seg import runs
    from seg.evaluation.pictures import draw
    from seg.report.tables import percent

    folder = destination / runs.PICTURES
    for older in list(folder.glob("*.png")):  # of an earlier call, whose ranks would stand beside these
        if _RANKED.fullmatch(older.name):
            older.unlink()
    # an image without a labelled pixel has no score, and is the last to look at
    order = np.argsort(judged.mious, kind="stable")[:number].tolist() if subject.seen else []
    boxes = judged.boxes
    for rank, index in enumerate(order, start=1):
        pair = subject.pairs[index]
        path = folder / f"{rank:02}_{percent(judged.mious[index])}_{pair.name.replace('/', '_')}.png"
        assert subject.seen is not None
        draw(path, pair, *subject.seen(index), subject.labels, boxes[index] if boxes is not None else None)


if __name__ == "__main__":
    main()
