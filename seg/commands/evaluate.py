"""Evaluate a checkpoint on images with masks.

seg-evaluate checkpoint=FILE images=DIR masks=DIR destination=DIR
"""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.commands import plain, run

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.commands._trained import Trained
    from seg.pairs import Pair
    from seg.training import Validation


def main() -> None:
    """Entry point of ``seg-evaluate``."""
    run(evaluate, "evaluate")


def evaluate(config: "DictConfig") -> None:
    """Write ``metrics.json``, ``per_image.csv``, ``confusion.csv`` and ``pictures/``, and print the table."""
    from seg.commands import _show
    from seg.commands._data import check_labels
    from seg.commands._trained import load
    from seg.files import finite, make_folder, write_csv, write_json
    from seg.metrics import majority_scores, scores
    from seg.pairs import pair
    from seg.training import image_rows

    cfg = plain(config)
    trained = load(cfg["checkpoint"], cfg["device"])
    names = trained.labels.names
    check_labels(trained.labels, Path(cfg["masks"]), cfg["checkpoint"])
    pairs = pair(
        cfg["images"],
        cfg["masks"],
        image_template=cfg["image_template"],
        template=cfg["template"],
        only=cfg["list"],
    )
    destination = make_folder(cfg["destination"], "destination")
    validation = _count(trained, pairs, cfg)
    total = validation.counts.sum(0)
    final, majority = scores(total), majority_scores(total)
    majority_name = names[int(total[:, 2].argmax())]
    result: dict[str, Any] = {
        "checkpoint": str(cfg["checkpoint"]),
        "images": len(pairs),
        **_show.scores_dict(final, names),
        "majority": {"class": majority_name, "miou": majority.miou, "accuracy": majority.accuracy},
    }
    write_csv(
        destination / "per_image.csv",
        _show.PER_IMAGE,
        image_rows([p.name for p in pairs], names, validation.counts),
    )
    rows = ((name, *row) for name, row in zip(names, validation.confusion.tolist(), strict=True))
    write_csv(destination / "confusion.csv", ("target \\ prediction", *names), rows)
    _draw_worst(trained, pairs, validation, destination / "pictures", cfg["pictures"])
    write_json(destination / "metrics.json", result)
    if cfg["json"]:
        print(json.dumps(finite(result)))
        return
    _show.console.print(_show.scores_table(final, names, title=f"{cfg['checkpoint']} on {len(pairs)} images"))
    _show.say(_show.verdict(final, majority, majority_name))
    _show.say(f"written to {destination}: metrics.json, per_image.csv, confusion.csv, pictures/ (worst first)")


def _count(trained: "Trained", pairs: "list[Pair]", cfg: dict[str, Any]) -> "Validation":
    import torch

    from seg import inference, training
    from seg.commands import _show
    from seg.dataset import EvaluationBatches, SegmentationDataset, check

    classes = trained.labels.classes
    sizes = check(pairs, classes).sizes
    dataset = SegmentationDataset(pairs, classes=classes, mean=trained.mean, std=trained.std)
    device = torch.device(trained.device)
    batches = EvaluationBatches(sizes, batch=cfg["batch"])
    loader = training.make_loader(dataset, batches, workers=cfg["workers"], device=device)
    on_device = ((images.to(device), masks.to(device), index) for images, masks, index in loader)
    return training.evaluate(
        partial(inference.whole_image, trained.model),
        _show.track(on_device, "evaluating", len(loader)),
        images=len(pairs),
        classes=classes,
    )


def _draw_worst(trained: "Trained", pairs: "list[Pair]", validation: "Validation", folder: Path, number: int) -> None:
    from seg.commands import _show
    from seg.images import read_image
    from seg.metrics import scores

    miou = [scores(counts).miou for counts in validation.counts]
    order = sorted(range(len(pairs)), key=lambda i: (miou[i] if miou[i] == miou[i] else 2.0, i))[:number]
    for rank, index in enumerate(order, start=1):
        name = pairs[index].name.replace("/", "_")
        path = folder / f"{rank:02}_{_show.percent(miou[index])}_{name}.png"
        _show.draw(path, pairs[index], trained.predict(read_image(pairs[index].image)), trained.labels)


if __name__ == "__main__":
    main()
