"""Measure what regularizers do to the statistics of batch normalisation.

seg-diagnose checkpoint=FILE images=DIR destination=DIR
"""

import json
import logging
from typing import TYPE_CHECKING, Any

from seg.commands.cli import plain, run, trusted_modules
from seg.commands.cli.targets import Deferred
from seg.files import checks

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

    from seg.images import Reading
    from seg.models import Normalization

log = logging.getLogger("seg")


def main() -> None:
    """Entry point of ``seg-diagnose``."""
    run(diagnose, "diagnose")


def diagnose(config: "DictConfig") -> None:
    """Write ``diagnose.json``, ``diagnose.csv`` and ``diagnose.png``, print the table, name the offenders."""
    cfg = plain(config)
    _check(cfg)
    from seg.data.pairs import one
    from seg.data.pairs.folders import check_apart
    from seg.files import finite, make_folder
    from seg.inference.examples import batches_of
    from seg.inference.sizes import wanted_size
    from seg.regularizers import diagnosis
    from seg.report.console import console

    images = one(cfg["images"], "images")
    check_apart(cfg["destination"], [images], "destination")
    model, normalization, reading = _subject(cfg)
    options = {key: cfg[key] for key in ("image_template", "number", "batch", "seed")}
    options["size"] = wanted_size(model, reading.channels, cfg["size"])
    batches = batches_of(images, normalization, reading, **options)
    destination = make_folder(cfg["destination"], "destination")
    result = diagnosis.diagnose(model, batches, threshold=cfg["threshold"], with_stored=cfg["checkpoint"] is not None)
    result.write(destination)
    if cfg["json"]:
        print(json.dumps(finite(vars(result))))
        return
    for text in ("regularizers:", *map("  {}".format, result.regularizers)):
        log.info(text)
    console.print(result.table())
    for text in result.verdict:
        log.info(text)
    log.info(f"written to {destination}: diagnose.json, diagnose.csv, diagnose.png")


def _check(cfg: dict[str, Any]) -> None:
    """Refuse wrong options before anything is read.

    Raises:
        ValueError: what was expected.
    """
    if (cfg["checkpoint"] is None) != bool(cfg.get("model")):
        raise ValueError(
            "expected either checkpoint or model, got both or neither; give checkpoint=FILE or model=deeplabv3plus"
        )
    for key, least in (("number", 2), ("batch", 2), ("classes", 1)):
        checks.whole(key, cfg[key], least)
    checks.number("threshold", cfg["threshold"], least=1)
    if cfg["size"] is not None:
        checks.sides("size", cfg["size"], multiple=32)


def _subject(cfg: dict[str, Any]) -> "tuple[nn.Module, Normalization, Reading]":
    """Return the model with its regularizers, mean and deviation of its images, and how they are read."""
    import torch

    from seg import models
    from seg.images import RGB
    from seg.inference import members, runtime, trained

    if cfg["checkpoint"] is not None:
        runtime.refuse(file := members.only(cfg["checkpoint"]))
        loaded = trained.load(file, cfg["device"], trust=trusted_modules(cfg["trust"]))
        return loaded.regularized(), (loaded.mean, loaded.std), loaded.reading
    torch.manual_seed(cfg["seed"])
    fresh = Deferred(cfg["model"], "model").given(classes=cfg["classes"])()
    model: nn.Module = models.adapted(fresh, cfg["classes"])
    normalization = models.normalization(cfg["model"].get("encoder_name", ""), cfg["model"].get("encoder_weights"))
    if cfg["regularizer"]:
        model = Deferred(cfg["regularizer"], "regularizer")(model)
    return model.to(trained.device_of(cfg["device"])), normalization, RGB


if __name__ == "__main__":
    main()
