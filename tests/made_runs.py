"""Run folders without training: what `seg-compare` reads, written by the writers that training uses."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg import runs
from seg.metrics.scores import by_class, by_image, image_ious, image_means, scores_of

CLASSES = ("sky", "road", "pole")


def made_counts(level: str, seed: int, *, images: int = 12, better: float = 0.0) -> NDArray[np.int64]:
    """(images, 3, 3) pixels; the same targets for all, the share that is found grows with ``better``."""
    masks = np.random.default_rng(7).integers(50, 400, (images, len(CLASSES)))
    difficulty = np.random.default_rng(8).normal(0, 0.1, (images, len(CLASSES)))
    noise = np.random.default_rng([zlib.crc32(level.encode()), seed]).normal(0, 0.03, (images, len(CLASSES)))
    found = np.clip(0.7 + better + difficulty + noise, 0, 1)
    intersection = (found * masks).astype(np.int64)
    prediction = intersection + masks // 5
    return np.stack([intersection, prediction, masks], axis=2)


def write_run(
    folder: Path,
    level: str = "dice",
    seed: int = 0,
    *,
    counts: NDArray[np.int64] | None = None,
    better: float = 0.0,
    choices: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    classes: tuple[str, ...] = CLASSES,
    complete: bool = True,
    loss: float = 0.5,
    known: Mapping[str, tuple[object, ...]] = MappingProxyType({}),
) -> Path:
    """A run of two epochs with the loss ``level``; ``config`` replaces top-level keys, ``known`` rows of pairs."""
    settings = {
        "seed": seed,
        "runs": str(folder.parent),
        "fit": {"epochs": 2},
        "model": {"encoder_name": "resnet18"},
        "loss": {"_target_": f"seg.losses.{level}"},
        "data": {"train": {"images": f"/{folder.parent.name}/images"}},
        **(config or {}),
    }
    told = {"choices": {"loss": level, "model": "unet", "data": "folders", **(choices or {})}, "seed": seed}
    told |= {"torch": "2.14.1", "precision": "32-true", "platform": "Linux", **(environment or {})}
    counts = made_counts(level, seed, better=better) if counts is None else counts
    names = [f"val/{i:03}" for i in range(len(counts))]
    pairs: Any = {"train": ["train/a"], "val": names}
    pairs = {part: [(name, *known.get(name, (10, 20))) for name in some] for part, some in pairs.items()}
    values = scores_of(counts.sum(0))
    with runs.opened(folder, settings, told, pairs):
        for epoch in range(2):
            line = {
                "epoch": epoch,
                "loss": loss,
                "seconds": 3.0,
                "images_per_second": 4.0,
                "val_miou": values.miou * (epoch + 1) / 2,
            }
            runs.append_line(folder, line)
        (folder / runs.LAST).touch()
        if complete:
            per_image = image_ious(counts)
            runs.write_per_image(folder / runs.PER_IMAGE, names, classes, counts)
            columns = [("boundary_f1", "", image_means(per_image) * 0.5), ("ece", "", 1 - image_means(per_image))]
            runs.write_per_image_metrics(folder / runs.PER_IMAGE_METRICS, names, columns)
            last = {**values.named(classes), "miou_i": by_image(per_image), "miou_c": by_class(per_image)}
            last |= {"boundary_f1": 0.5 * by_image(per_image), "ece": 1 - by_image(per_image)}
            runs.mark_complete(
                folder, {"epochs": 2, "last": last, "peak_memory": 3 * 2**29, "majority": {"class": "sky", "miou": 0.1}}
            )
    return folder
