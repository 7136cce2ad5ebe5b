"""Average precision of boxes, as COCO defines it, by torchmetrics on pycocotools."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg import runs
from seg.files import write_json
from seg.metrics.catalogue import BOXES
from seg.metrics.meters import Column
from seg.metrics.scores import mean
from seg.tasks.boxes.coco import as_coco
from seg.tasks.boxes.decode import MOST_FOUND, Boxes, candidates, select
from seg.tasks.boxes.targets import MOST, find_objects

Instances = Callable[[int], NDArray[np.int32] | None]

_LIBRARIES = ("torchmetrics", "pycocotools")


def check_library() -> None:
    """Refuse to go on without what computes the average precision.

    Raises:
        ValueError: it is not installed.
    """
    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise ValueError(
            f"boxes: expected {' and '.join(missing)}, which compute the average precision, got none; pip install "
            "'seg-toolkit[boxes]'"
        )


class BoxMeter:
    """Boxes that are found and those of the masks, and the average precision (AP) of the set.

    It is fed what a `seg.tasks.boxes.BoxHead` predicts, beside the logits. The boxes of a mask are those of
    `find_objects`, in all masks.

    Totals: ``boxes_found (images, 100, 6)`` float32: xyxy, score, class, a row of score 0 is none; ``boxes_wanted
    (images, 255, 6)``: xyxy, area, class, a row of area 0 is none; ``boxes_sizes (images, 2)``: height and width.
    Scores: ``ap``, the mean over IoU from 0.5 to 0.95 and over the classes that occur, ``ap50`` at IoU 0.5, and
    ``ap_by_class``; NaN without objects.

    Args:
        images: number of images in the set, over all processes.
        names: of the classes.
        countable: indices of the classes that have objects, None = all.
        min_area: pixels of the smallest object.
        instances: position in the set -> number of the object at each pixel (H, W), or None; None = none has numbers.
    """

    metrics, by_image = BOXES, ("boxes_found", "boxes_wanted", "boxes_sizes")

    def __init__(
        self,
        images: int,
        names: Sequence[str],
        *,
        countable: Sequence[int] | None = None,
        min_area: int = 16,
        instances: Instances | None = None,
    ) -> None:
        self.names, self.countable, self.min_area, self.instances = tuple(names), countable, min_area, instances
        self.found, self.wanted = torch.zeros(images, MOST_FOUND, 6), torch.zeros(images, MOST, 6)
        self.sizes = torch.zeros(images, 2, dtype=torch.int64)

    def update(self, output: Tensor, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        self.sizes[index.cpu()] = torch.tensor(mask.shape[1:])
        found = select(candidates(logits, output, self.countable), min_area=self.min_area)
        for position, one, target in zip(index.tolist(), found, mask.cpu().numpy(), strict=True):
            rows = torch.cat([one.boxes, one.scores[:, None], one.classes[:, None]], 1)
            self.found[position, : len(rows)] = rows.cpu()
            numbers = None if self.instances is None else self.instances(position)
            own = find_objects(target, instances=numbers, classes=self.countable, min_area=self.min_area)
            table = np.concatenate([own.boxes, own.areas[:, None], own.classes[:, None]], 1)
            self.wanted[position, : len(table)] = torch.from_numpy(table)

    def totals(self) -> dict[str, Tensor]:
        return {"boxes_found": self.found, "boxes_wanted": self.wanted, "boxes_sizes": self.sizes}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        result = average_precision(totals["boxes_found"], totals["boxes_wanted"])
        by_class = zip(
            result["classes"].reshape(-1).tolist(), result["map_per_class"].reshape(-1).tolist(), strict=True
        )
        return {
            "ap": _known(result["map"]),
            "ap50": _known(result["map_50"]),
            "ap_by_class": {self.names[index]: _known(value) for index, value in by_class if value >= 0},
        }

    def per_image(self, totals: dict[str, Tensor]) -> Iterator[Column]:
        yield "ap", "", image_precisions(totals["boxes_found"], totals["boxes_wanted"])

    def tables(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        """Return the mean over images of the average precision."""
        return {"ap_i": float(mean(image_precisions(totals["boxes_found"], totals["boxes_wanted"])))}

    def save(self, totals: dict[str, Tensor], images: Sequence[str], folder: Path) -> None:
        """Write the boxes in COCO's form."""
        sizes = zip(images, *totals["boxes_sizes"].T.tolist(), strict=True)
        write_json(folder / runs.BOXES, as_coco(list(sizes), list(_boxes(totals["boxes_found"])), self.names))


def average_precision(found: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Ask torchmetrics' ``MeanAveragePrecision`` for that of the tables of a `BoxMeter`.

    Raises:
        ValueError: it is not installed.
    """
    check_library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about themselves
        from torchmetrics.detection import MeanAveragePrecision

        # the tables hold the images of all processes: nothing is left to exchange
        metric = MeanAveragePrecision(backend="pycocotools", class_metrics=True, sync_on_compute=False)
        metric.update(
            [{"boxes": one.boxes, "scores": one.scores, "labels": one.classes} for one in _boxes(found)],
            [{"boxes": one.boxes, "labels": one.classes} for one in _boxes(wanted)],
        )
        result: dict[str, Tensor] = metric.compute()
    return result


def image_precisions(found: Tensor, wanted: Tensor) -> NDArray[np.float64]:
    """Compute the AP of each image by itself (images,), NaN where the mask has no objects."""
    some = (wanted[..., 4] > 0).any(1).tolist()
    return np.array(
        [
            _known(average_precision(found[i : i + 1], wanted[i : i + 1])["map"]) if any_ else np.nan
            for i, any_ in enumerate(some)
        ]
    )


def _boxes(table: Tensor) -> Iterator[Boxes]:
    for rows in table:
        rows = rows[rows[:, 4] > 0]
        yield Boxes(rows[:, :4], rows[:, 4], rows[:, 5].long())


def _known(value: Any) -> float:
    """Return NaN for -1, which COCO says where there is nothing to find."""
    return float(value) if float(value) >= 0 else float("nan")
