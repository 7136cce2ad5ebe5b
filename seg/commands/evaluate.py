"""Evaluate a checkpoint on images with masks.

seg-evaluate checkpoint=FILE images=DIR masks=DIR destination=DIR
"""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands import plain, run, trusted_modules

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

    from seg.evaluation import Validation
    from seg.pairs import Pair
    from seg.trained import Trained

_RANKED = re.compile(r"\d{2,}_(\d+\.\d|-)_.*\.png")  # how `_draw_worst` calls its pictures


def main() -> None:
    """Entry point of ``seg-evaluate``."""
    run(evaluate, "evaluate")


def evaluate(config: "DictConfig") -> None:
    """Write ``metrics.json``, ``per_image.csv``, ``confusion.csv`` and ``pictures/``, and print the table."""
    from seg import runs
    from seg.commands import _show
    from seg.commands._data import check_labels
    from seg.commands._inference import inference_of
    from seg.files import finite, make_folder, write_csv, write_json
    from seg.metrics import majority_scores, scores
    from seg.pairs import as_list, pair
    from seg.pairs.folders import check_apart
    from seg.trained import load

    cfg = plain(config)
    infer = inference_of(cfg["inference"])
    trained = replace(load(cfg["checkpoint"], cfg["device"], trust=trusted_modules(cfg["trust"])), infer=infer)
    names = trained.labels.names
    check_labels(trained.labels, cfg["masks"], cfg["checkpoint"])
    pairs = pair(
        cfg["images"],
        cfg["masks"],
        image_template=cfg["image_template"],
        template=cfg["template"],
        only=cfg["list"],
    )
    check_apart(cfg["destination"], [*as_list(cfg["images"]), *as_list(cfg["masks"])], "destination")
    destination = make_folder(cfg["destination"], "destination")
    validation = _count(trained, pairs, cfg)
    counts, confusion = validation.totals["counts"], validation.totals["confusion"]
    total = counts.sum(0)
    final, majority = scores(total), majority_scores(total)
    majority_name = names[int(total[:, 2].argmax())]
    result: dict[str, Any] = {
        "checkpoint": str(cfg["checkpoint"]),
        "images": len(pairs),
        **final.named(names),
        "majority": {"class": majority_name, "miou": majority.miou, "accuracy": majority.accuracy},
    }
    runs.write_per_image(destination / runs.PER_IMAGE, [p.name for p in pairs], names, counts.numpy())
    rows = ((name, *row) for name, row in zip(names, confusion.tolist(), strict=True))
    write_csv(destination / "confusion.csv", ("target \\ prediction", *names), rows)
    _draw_worst(trained, pairs, counts, destination / runs.PICTURES, cfg["pictures"])
    write_json(destination / "metrics.json", result)
    if cfg["json"]:
        print(json.dumps(finite(result)))
        return
    _show.console.print(_show.scores_table(final, names, title=f"{cfg['checkpoint']} on {len(pairs)} images"))
    _show.say(_show.verdict(final, majority, majority_name))
    _show.say(f"written to {destination}: metrics.json, per_image.csv, confusion.csv, pictures/ (worst first)")


def _count(trained: "Trained", pairs: "list[Pair]", cfg: dict[str, Any]) -> "Validation":
    import torch

    from seg import evaluation
    from seg.commands import _show
    from seg.commands._data import check, check_classes
    from seg.commands._trial import memory_for
    from seg.dataset import SegmentationDataset
    from seg.loading import Batch, EvaluationBatches, make_loader
    from seg.metrics import PixelCounts

    classes, device = trained.labels.classes, torch.device(trained.device)
    dataset = SegmentationDataset(pairs, classes=classes, mean=trained.mean, std=trained.std, reading=trained.reading)
    checked = check(pairs, classes, trained.reading, "evaluation")
    check_classes(checked, trained.labels, "evaluation")
    batches = EvaluationBatches(checked.sizes, batch=cfg["batch"])
    loader = make_loader(dataset, batches, workers=cfg["workers"], device=device)
    on_device = (Batch(b.images.to(device), b.masks.to(device), b.index, b.extra) for b in loader)
    with memory_for("lower batch, cut the images into tiles, or give device=cpu"):
        return evaluation.evaluate(
            trained.infer(trained.model),
            _show.track(on_device, "evaluating", len(loader)),
            [PixelCounts(len(pairs), trained.labels.names)],
        )


def _draw_worst(trained: "Trained", pairs: "list[Pair]", counts: "Tensor", folder: Path, number: int) -> None:
    from seg.commands import _show
    from seg.commands._pictures import draw
    from seg.metrics import scores

    for older in list(folder.glob("*.png")):  # of an earlier call, whose ranks would stand beside these
        if _RANKED.fullmatch(older.name):
            older.unlink()
    miou = [scores(table).miou for table in counts]
    # an image without a labelled pixel has no score, and is the last to look at
    order = sorted(range(len(pairs)), key=lambda i: (math.isnan(miou[i]), miou[i], i))[:number]
    for rank, index in enumerate(order, start=1):
        name = pairs[index].name.replace("/", "_")
        path = folder / f"{rank:02}_{_show.percent(miou[index])}_{name}.png"
        image = trained.read(pairs[index].image)
        draw(path, pairs[index], image, trained.predict_read(image), trained.labels)


if __name__ == "__main__":
    main()
