"""Evaluate a checkpoint, or masks that were predicted elsewhere, on images with masks.

seg-evaluate checkpoint=FILE images=DIR masks=DIR destination=DIR
seg-evaluate predictions=DIR masks=DIR destination=DIR
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.evaluation.subjects import Pairing, Subject

log = logging.getLogger("seg")

_READ = ("images", "masks", "instances", "predictions", "temperature_images", "temperature_masks")


def main() -> None:
    """Entry point of ``seg-evaluate``."""
    run(evaluate, "evaluate")


def evaluate(config: "DictConfig") -> None:
    """Write ``metrics.json``, tables of each image, plots and ``pictures/``, and print the tables."""
    cfg = _request(config)
    from seg.commands.metrics import wanted_metrics
    from seg.data.pairs import as_list
    from seg.data.pairs.folders import check_apart
    from seg.data.source import known_names
    from seg.evaluation import files, tables
    from seg.evaluation.subjects import Pairing, name_left_out
    from seg.files import finite
    from seg.metrics.wanted import checked_catalogue

    first = cfg["tolerances"][0] if isinstance(cfg["tolerances"], list) and cfg["tolerances"] else cfg["tolerances"]
    boundaries = {"tolerances": cfg["tolerances"], "surface": cfg["surface"]}
    options = {"boundaries": boundaries, "components": {"bounds": cfg["sizes"]}, "errors": {"tolerance": first}}
    wanted = wanted_metrics(cfg["metric"], options)
    checked_catalogue(wanted, loss=False, names=known_names(cfg["labels"], cfg["masks"]))
    name_left_out(wanted, cfg["checkpoint"])
    keys = ("images", "masks", "instances", "image_template", "template", "instance_template")
    where = Pairing(**{key: cfg[key] for key in keys}, names=cfg["list"])
    subject = _subject(cfg, where)
    folders = (path for key in _READ if cfg[key] is not None for path in as_list(cfg[key]))
    check_apart(destination := Path(cfg["destination"]), folders, "destination")
    how = {key: cfg[key] for key in ("save_masks", "attributes", "overwrite")} | {"number": cfg["pictures"]}
    record = cfg["checkpoint"][0].parent if len(cfg["checkpoint"]) == 1 else None
    found, data = files.evaluate_into(destination, subject, wanted, where, record=record, **how)
    if cfg["json"]:
        print(json.dumps(finite(data)))
        return
    (what,) = subject.named.values()
    tables.print_tables(found, data, title=f"{what} on {len(subject.pairs)} images", sizes=cfg["sizes"])
    more = ", boxes.json" * ("boxes_found" in found.totals) + ", pictures/ (worst first)" * bool(subject.example)
    log.info(f"written to {destination}: metrics.json, tables per image, confusion.csv, plots{more}")


def _subject(cfg: dict[str, Any], where: "Pairing") -> "Subject":
    from seg.commands.cli.targets import inference_of, trusted_modules
    from seg.evaluation.subjects import Temperature, of_checkpoint, of_predictions

    given = [cfg[key] for key in ("temperature", "temperature_images", "temperature_masks")]
    if cfg["predictions"] is not None:
        template = cfg["prediction_template"]
        return of_predictions(cfg["predictions"], where, labels=cfg["labels"], prediction_template=template)
    return of_checkpoint(
        cfg["checkpoint"],
        where,
        infer=inference_of(cfg["inference"]),
        trust=trusted_modules(cfg["trust"]),
        temperature=None if given == [None] * 3 else Temperature(*given),
        **{key: cfg[key] for key in ("device", "batch", "workers")},
    )


def _request(config: "DictConfig") -> dict[str, Any]:
    """Return the configuration, complete and without contradiction.

    Raises:
        ValueError: what is missing, or does not go together.
    """
    from seg.data.pairs.first import say_pairs
    from seg.files import checks

    for key in ("checkpoint", "images") if config.predictions is None else ():
        if config[key] is None:
            config[key] = "???"  # to be named among what is missing
    cfg: dict[str, Any] = plain(config)
    say_pairs(cfg["images"], cfg["masks"], cfg["list"], (cfg["image_template"], cfg["template"]))
    from seg.inference.members import files_of

    masks = "predictions, which are masks"
    of_masks = {"checkpoint": masks, "temperature": masks, "instances": f"{masks} and have no boxes"}
    of_models = {"labels": "a checkpoint, which has its own"}
    for key, given in (of_models if cfg["predictions"] is None else of_masks).items():
        if cfg[key] is not None:
            remedy = "leave out one of the two" if key in ("checkpoint", "temperature") else "leave it out"
            raise ValueError(f"{key}: expected none with {given}, got {cfg[key]!r}; {remedy}")
    for what in ("image", "instance", "prediction"):
        if cfg[f"{what}s"] is None:
            checks.idle(f"{what}_template", cfg[f"{what}_template"], "{}", f"{what}s")
    checks.flag("overwrite", cfg["overwrite"])
    checks.file("attributes", cfg["attributes"], "a table of the images")
    checks.whole("batch", cfg["batch"], 1, 1 << 16)
    checks.whole("workers", cfg["workers"], 0, 1024)
    cfg["checkpoint"] = [] if cfg["checkpoint"] is None else files_of(cfg["checkpoint"])
    if not cfg["checkpoint"]:
        checks.idle("batch", cfg["batch"], 1, "checkpoint")
        checks.idle("workers", cfg["workers"] or 2, 2, "checkpoint")  # 0: that is how predictions are read
    if cfg["save_masks"] and cfg["predictions"] is not None:
        raise ValueError("save_masks: expected false with predictions, which are masks already, got true; leave it out")
    if (folder := Path(cfg["destination"]) / "last.pt").exists():
        raise ValueError(
            f"destination: expected a folder of its own, got the run '{folder.parent}', whose tables would be lost; "
            f"give such as '{folder.parent / 'evaluation'}'"
        )
    return cfg


if __name__ == "__main__":
    main()
