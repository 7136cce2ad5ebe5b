"""Evaluation: meters over the batches of a set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seg.data.batches import Batch
from seg.metrics import Meter, fit_temperature
from seg.metrics.calibration import labelled_pixels


@dataclass(frozen=True)
class Validation:
    """What `evaluate` found.

    Attributes:
        totals: what the meters counted, over all processes, by the names that they give it.
        scores: plain data that follow from it, of all meters in their order.
    """

    totals: dict[str, Tensor]
    scores: dict[str, Any]


@torch.inference_mode()
def evaluate(
    predict: Callable[[Tensor], Tensor],
    loader: Iterable[Batch],
    meters: Sequence[Meter],
    *,
    reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Validation:
    """Feed predictions and masks to meters.

    Args:
        predict: images (N, 3, H, W) -> logits (N, C, H, W).
        loader: yields batches; the processes of a run share the images among them.
        meters: new ones; each is fed every batch.
        reduce: sum of a tensor over all processes, on the CPU.
    """
    for batch in loader:
        logits = predict(batch.images)
        for meter in meters:
            meter.update(logits, batch.masks, batch.index)
    totals: dict[str, Tensor] = {}
    scores: dict[str, Any] = {}
    for meter in meters:
        summed = {name: reduce(total) for name, total in meter.totals().items()}
        totals |= summed
        scores |= meter.scores(summed)
    return Validation(totals, scores)


@torch.inference_mode()
def find_temperature(predict: Callable[[Tensor], Tensor], loader: Iterable[Batch], *, most: int) -> float:
    """Fit the temperature that calibrates a model, see `seg.metrics.fit_temperature`.

    Args:
        predict: images (N, 3, H, W) -> logits (N, C, H, W).
        loader: yields batches of a set that the model was not trained on.
        most: pixels that are looked at of each image; all of them would fill the memory.
    """
    found = [labelled_pixels(predict(batch.images), batch.masks, most) for batch in loader]
    logits, target = (torch.cat(parts) for parts in zip(*found, strict=True))
    return fit_temperature(logits, target)
