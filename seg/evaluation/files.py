"""What an evaluation found, whether of a checkpoint or of predicted masks, and the files that say it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seg import runs
from seg.evaluation import plots
from seg.evaluation.evaluate import Validation
from seg.files import write_csv, write_json, write_png
from seg.metrics import KINDS, SIZES, at_tolerance, error_shares
from seg.metrics.scores import (
    POLICY,
    Floats,
    boundary_f1,
    by_class,
    by_image,
    calibration_error,
    class_means,
    image_ious,
    image_means,
    majority_scores,
    mean,
    ratio,
    surface_dice,
    worst,
)
from seg.tasks.boxes import Boxes, as_coco, found_in, image_precisions

WORST, RELIABILITY, CONFUSION = "worst.png", "reliability.png", "confusion.png"

Columns = Iterator[tuple[str, str, Floats]]
"""Metric, class or "", and a value of each image."""


@dataclass(frozen=True)
class Judged:
    """An evaluation of a set.

    Attributes:
        images: names of the images.
        names: of the classes.
        tolerances: of `seg.metrics.Boundaries`.
        found: totals and scores of `seg.metrics.PixelCounts` with `Boundaries`, and with `Components` in seg-evaluate.
    """

    images: Sequence[str]
    names: Sequence[str]
    tolerances: Sequence[float]
    found: Validation

    def total(self, name: str) -> NDArray[Any]:
        """What was counted under this name, as an array."""
        total: NDArray[Any] = self.found.totals[name].numpy()
        return total

    def has(self, name: str) -> bool:
        """Whether it was counted."""
        return name in self.found.totals

    @property
    def mious(self) -> Floats:
        """mIoU (I) of each image."""
        return image_means(image_ious(self.total("counts")))

    def by_name(self, values: Sequence[Any]) -> dict[str, Any]:
        """Values of the classes by their names."""
        return dict(zip(self.names, values, strict=True))

    @property
    def boxes(self) -> list[Boxes] | None:
        """Found in each image; None where none were looked for."""
        return found_in(self.found.totals["boxes_found"]) if self.has("boxes_found") else None

    @cached_property
    def precisions(self) -> Floats:
        """Average precision of the boxes of each image, NaN where its mask has none."""
        return image_precisions(self.found.totals["boxes_found"], self.found.totals["boxes_wanted"])

    def boundary_f1(self, number: int = 0) -> Floats:
        """Of each image and class, at one of the tolerances."""
        return boundary_f1(at_tolerance(self.total("edges"), number))


class Predictions:
    """A mask meter that counts nothing and keeps the predicted masks, ``NAME.png`` each."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names

    def update(self, prediction: NDArray[np.uint8], target: NDArray[np.uint8], position: int) -> None:
        path = self.folder / f"{self.names[position]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, prediction)

    def totals(self) -> dict[str, Tensor]:
        return {}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {}


def write(judged: Judged, destination: Path) -> None:
    """The tables of each image, the confusion matrix, boxes, and the plots; some may be left over from before."""
    write_per_image(judged, destination)
    confusion = judged.total("confusion")
    rows = ((name, *row) for name, row in zip(judged.names, confusion.tolist(), strict=True))
    write_csv(destination / "confusion.csv", ("target \\ prediction", *judged.names), rows)
    plots.draw_confusion(destination / CONFUSION, confusion, judged.names)
    plots.draw_worst(destination / WORST, worst(judged.mious).tolist())
    (destination / runs.BOXES).unlink(missing_ok=True)
    if (boxes := judged.boxes) is not None:
        sizes = zip(judged.images, *judged.total("boxes_sizes").T.tolist(), strict=True)
        write_json(destination / runs.BOXES, as_coco(list(sizes), boxes, judged.names))
    (destination / RELIABILITY).unlink(missing_ok=True)
    if judged.has("confidence"):
        curves = {key: judged.total(key).sum(0) for key in ("confidence", "tempered") if judged.has(key)}
        plots.draw_reliability(destination / RELIABILITY, curves)


def write_per_image(judged: Judged, folder: Path) -> None:
    """``per_image.csv`` and ``per_image_metrics.csv``."""
    runs.write_per_image(folder / runs.PER_IMAGE, judged.images, judged.names, judged.total("counts"))
    runs.write_per_image_metrics(folder / runs.PER_IMAGE_METRICS, judged.images, _columns(judged))


def _columns(judged: Judged) -> Columns:
    """Metric, class or "", and a value of each image, of everything that was counted."""
    counts = judged.total("counts")
    yield "miou", "", judged.mious
    yield "accuracy", "", ratio(counts[..., 0].sum(1), counts[..., 2].sum(1))
    for name, total in (("ece", "confidence"), ("ece_tempered", "tempered")):
        if judged.has(total):
            yield name, "", calibration_error(judged.total(total))
    yield from _both("boundary_iou", image_ious(judged.total("bands")), judged.names)
    yield from _both("boundary_f1", judged.boundary_f1(), judged.names)
    for number, tolerance in enumerate(judged.tolerances[1:], start=1):
        yield f"boundary_f1@{tolerance:g}", "", image_means(judged.boundary_f1(number))
    if judged.has("errors"):
        for kind, shares in zip(KINDS, error_shares(judged.total("errors")).T, strict=True):
            yield f"error_{kind}", "", shares
    if judged.has("boxes_found"):
        yield "ap", "", judged.precisions
    if judged.has("hd95"):
        yield from _both("nsd", surface_dice(at_tolerance(judged.total("edges"), 0)), judged.names)
        yield from _both("hd95", judged.total("hd95"), judged.names)


def _both(metric: str, values: Floats, names: Sequence[str]) -> Columns:
    """Values (images, C): the mean over the classes of each image, then class by class."""
    yield metric, "", image_means(values)
    for name, column in zip(names, values.T, strict=True):
        yield metric, name, column


def as_data(judged: Judged) -> dict[str, Any]:
    """What ``metrics.json`` holds of it: the scores first, then by class, curves and tables."""
    counts, total = judged.total("counts"), judged.total("counts").sum(0)
    majority = majority_scores(total)
    f1 = [judged.boundary_f1(number) for number in range(len(judged.tolerances))]
    found: dict[str, Any] = {
        "images": len(judged.images),
        **judged.found.scores,
        "policy": POLICY,
        "majority": {
            "class": judged.names[int(total[:, 2].argmax())],
            "miou": majority.miou,
            "accuracy": majority.accuracy,
        },
        "iou_c": judged.by_name(class_means(image_ious(counts)).tolist()),
        "boundary_iou_c_by_class": judged.by_name(class_means(image_ious(judged.total("bands"))).tolist()),
        "boundary_f1_c_by_class": judged.by_name(class_means(f1[0]).tolist()),
        "boundary_f1_curve": {
            "tolerances": list(judged.tolerances),
            "i": [by_image(values) for values in f1],
            "c": [by_class(values) for values in f1],
        },
        "worst": worst(judged.mious).tolist(),
        "components": judged.by_name([_sizes(table) for table in judged.total("components").tolist()]),
        "confused": confused(judged.total("confusion"), judged.names),
    }
    if judged.has("boxes_found"):
        found["ap_i"] = float(mean(judged.precisions))
    for name, key in (("reliability", "confidence"), ("reliability_tempered", "tempered")):
        if judged.has(key):
            found[name] = _reliability(judged.total(key).sum(0))
    return found


def _sizes(table: list[list[float]]) -> dict[str, Any]:
    """Components of one class (sizes, 4), see `seg.metrics.Components`."""
    return {
        size: {
            "number": int(number),
            "missed": int(missed),
            "recall": float(ratio(recall, number)),
            "iou": float(ratio(iou, number)),
        }
        for size, (number, missed, recall, iou) in zip(SIZES, table, strict=True)
    }


def _reliability(bins: Floats) -> dict[str, Any]:
    """Bins (B, 3) of confidence, see `seg.metrics.count`."""
    pixels, confidence, right = bins.T
    return {
        "pixels": pixels.astype(np.int64).tolist(),
        "confidence": ratio(confidence, pixels).tolist(),
        "accuracy": ratio(right, pixels).tolist(),
    }


def confused(confusion: NDArray[np.int64], names: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
    """The pairs of classes with the most wrong pixels: of which, taken for which, and what share that is."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:most]:
        target, prediction = divmod(int(place), len(names))
        if pixels := int(wrong[target, prediction]):
            found.append(
                {
                    "target": names[target],
                    "prediction": names[prediction],
                    "pixels": pixels,
                    "share_of_target": pixels / int(confusion[target].sum()),
                    "share_of_errors": pixels / int(wrong.sum()),
                }
            )
    return found
