"""Average precision of boxes, as COCO defines it, by torchmetrics on pycocotools."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.tasks.boxes.decode import MOST_FOUND, Boxes, candidates, select
from seg.tasks.boxes.head import CHANNELS, BoxHead, BoxRules
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

    It is fed logits like every meter, and needs the maps of the head too: `reading` takes them from a prediction of
    `seg.tasks.boxes.Joined`. The boxes of a mask are those of `find_objects`, in all masks.

    Totals: ``boxes_found (images, 100, 6)`` float32: xyxy, score, class, a row of score 0 is none; ``boxes_wanted
    (images, 255, 6)``: xyxy, area, class, a row of area 0 is none; ``boxes_sizes (images, 2)``: height and width.
    Scores: ``ap``, the mean over IoU from 0.5 to 0.95 and over the classes that occur, ``ap50`` at IoU 0.5, and
    ``ap_by_class``; NaN without objects.

    Args:
        images: number of images in the set, over all processes.
        names: of the classes.
        head: says which classes are countable, and the smallest area.
        instances: position in the set -> number of the object at each pixel (H, W), or None; None = none has numbers.
    """

    def __init__(
        self, images: int, names: Sequence[str], head: BoxHead | BoxRules, instances: Instances | None = None
    ) -> None:
        self.names, self.head, self.instances = tuple(names), head, instances
        self.found, self.wanted = torch.zeros(images, MOST_FOUND, 6), torch.zeros(images, MOST, 6)
        self.sizes = torch.zeros(images, 2, dtype=torch.int64)
        self._maps: Tensor | None = None

    def reading(self, predict: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """A function that returns the logits (N, C, H, W) of ``predict``, and keeps its maps for `update`."""

        def logits(images: Tensor) -> Tensor:
            both = predict(images)
            self._maps = both[:, -CHANNELS:]
            return both[:, :-CHANNELS].contiguous()

        return logits

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        assert self._maps is not None, "predict through reading()"
        self.sizes[index.cpu()] = torch.tensor(mask.shape[1:])
        found = select(candidates(logits, self._maps, self.head.countable), min_area=self.head.min_area)
        for position, one, target in zip(index.tolist(), found, mask.cpu().numpy(), strict=True):
            rows = torch.cat([one.boxes, one.scores[:, None], one.classes[:, None]], 1)
            self.found[position, : len(rows)] = rows.cpu()
            numbers = None if self.instances is None else self.instances(position)
            own = find_objects(target, instances=numbers, classes=self.head.countable, min_area=self.head.min_area)
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


def average_precision(found: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """What torchmetrics' ``MeanAveragePrecision`` says of the tables of a `BoxMeter`.

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
    """AP of each image by itself (images,), NaN where the mask has no objects."""
    some = (wanted[..., 4] > 0).any(1).tolist()
    return np.array(
        [
            _known(average_precision(found[i : i + 1], wanted[i : i + 1])["map"]) if any_ else np.nan
            for i, any_ in enumerate(some)
        ]
    )


def found_in(totals: Tensor) -> list[Boxes]:
    """The boxes of each image, of ``boxes_found``."""
    return list(_boxes(totals))


def _boxes(table: Tensor) -> Iterator[Boxes]:
    for rows in table:
        rows = rows[rows[:, 4] > 0]
        yield Boxes(rows[:, :4], rows[:, 4], rows[:, 5].long())


def _known(value: Any) -> float:
    """COCO says -1 where there is nothing to find."""
    return float(value) if float(value) >= 0 else float("nan")
