"""Predict a mask for every image of a folder, or of a list.

seg-predict checkpoint=FILE images=DIR destination=DIR
"""

import logging
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run, trusted_modules
from seg.files.errors import Failed

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("seg")


def main() -> None:
    """Entry point of ``seg-predict``."""
    run(predict, "predict")


def predict(config: "DictConfig") -> None:
    """Predict what is not there already, and say what was written; a bad image fails the command at its end."""
    from seg.commands.cli.targets import inference_of
    from seg.inference.folder import check_members, predict_folder
    from seg.inference.labelling import Ranking, print_first
    from seg.inference.members import digest_of, files_of, load
    from seg.inference.outputs import Products

    cfg: dict[str, Any] = plain(config)
    ranking = Ranking.of(cfg["rank"], cfg["number"], cfg["labelled"])
    products = Products(**{field.name: cfg[field.name] for field in fields(Products) if field.name in cfg})
    infer = inference_of(cfg["inference"])
    files = files_of(cfg["checkpoint"])
    check_members(products, len(files))
    trained = load(files, cfg["device"], trust=trusted_modules(cfg["trust"]), infer=infer)
    made_by = {"model": digest_of(files), "inference": cfg["inference"] if infer else dict(trained.validated)}
    summary = predict_folder(
        trained,
        cfg["images"],
        cfg["destination"],
        products,
        image_template=cfg["image_template"],
        made_by=made_by,
        overwrite=cfg["overwrite"],
        ranking=ranking,
    )
    log.info(summary.told(cfg["destination"]))
    print_first(summary.ranked, cfg["destination"])
    if first := summary.failures[:20]:
        raise Failed(f"{len(summary.failures)} of {summary.images} images failed: " + "\n  ".join(first))


if __name__ == "__main__":
    main()
