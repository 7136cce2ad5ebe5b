"""Meters: what an evaluation counts, batch by batch, in one pass over the logits.

A meter's totals are tensors that add up, over batches and over the processes of a run; its scores follow from totals
alone. What it is fed with, it says by the parameters of its ``update``:

- ``update(logits, mask, index)``: logits (N, C, H, W), masks (N, H, W) uint8, 255 = ignore, and the positions (N,) of
  the images in the set. Of masks that were predicted elsewhere the logits are 0 at the class and -100 elsewhere;
- ``update(prediction, target, position)``: of one image on the CPU, (H, W) uint8 class indices, 255 = ignore in the
  target, and its position;
- ``update(counted, index)``: what `seg.metrics.counting.count` found in a batch, once for all meters that take it, with
  the ``bins`` of confidence that a meter has as an attribute;
- ``update(output, logits, mask, index)``: of a head, what it predicts (N, K, H, W) at every pixel of the images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.metrics.catalogue import LOSS, Metric
from seg.metrics.counting import Counted, count, counted_masks
from seg.metrics.scores import image_means

Column = tuple[str, str, NDArray[np.float64]]
"""Metric, class or "" for the whole image, and a value of each image, NaN where it is not defined."""

LOGITS, MASKS = ("logits", "mask", "index"), ("prediction", "target", "position")
COUNTED, OUTPUT = ("counted", "index"), ("output", *LOGITS)


class Meter(Protocol):
    """Counts over the images of one evaluation.

    A meter may have ``tables(totals) -> dict``, what ``metrics.json`` holds of it besides scores; ``save(totals,
    images, folder)``, which writes files of its own; ``confident = True``, for what masks alone do not show; and
    ``by_image``, the names of totals with a row for each image, of a meter that no group of options builds: of the
    others it shows (`seg.evaluation.slices`).
    """

    @property
    def metrics(self) -> Sequence[Metric]:
        """One for each of its scores."""

    @property
    def update(self) -> Callable[..., None]:
        """Count a batch, or an image; see `seg.metrics.meters` for what it may take."""

    def totals(self) -> dict[str, Tensor]:
        """Return what was counted so far, by names that no other meter uses; it adds up over processes."""

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        """Compute plain data from totals, this meter's or the sums over all processes."""

    def per_image(self, totals: dict[str, Tensor]) -> Iterable[Column]:
        """List the values of each image; none for a metric that is none of single images."""


class Pass:
    """Meters that share one pass over the logits, or over predicted masks.

    Args:
        meters: new ones.
        outputs: those of heads, by the name of the head.
    """

    def __init__(self, meters: Sequence[Meter], outputs: Mapping[str, Meter] = {}) -> None:
        self.meters, self.outputs = meters, outputs
        kinds = [(tuple(signature(meter.update).parameters), meter) for meter in meters]
        self._logits, self._masks, self._counted = (
            [meter for kind, meter in kinds if kind == wanted] for wanted in (LOGITS, MASKS, COUNTED)
        )
        self._bins = {bins for meter in self._counted if (bins := getattr(meter, "bins", 0))} or {0}

    def logits(self, logits: Tensor, mask: Tensor, index: Tensor, outputs: Mapping[str, Tensor] = {}) -> None:
        """Count a batch by its logits, and by what heads predict."""
        for meter in self._logits:
            meter.update(logits, mask, index)
        if self._counted or self._masks:
            self._add({bins: count(logits, mask, bins=bins) for bins in self._bins}, mask, index)
        for name, output in outputs.items():
            self.outputs[name].update(output, logits, mask, index)

    def masks(self, prediction: Tensor, mask: Tensor, index: Tensor, classes: int) -> None:
        """Count masks (N, H, W) uint8 that were predicted elsewhere.

        Raises:
            ValueError: one of them has no class at a pixel that is labelled.
        """
        self._add({0: counted_masks(prediction, mask, classes)}, mask, index)
        if self._logits:
            places = prediction.long().clamp(max=classes - 1)[:, None]
            logits = torch.full((len(mask), classes, *mask.shape[1:]), -100.0).scatter_(1, places, 0.0)
            for meter in self._logits:
                meter.update(logits, mask, index)

    def _add(self, counted: Mapping[int, Counted], mask: Tensor, index: Tensor) -> None:
        first = next(iter(counted.values()))
        for meter in self._counted:
            meter.update(counted.get(getattr(meter, "bins", 0), first), index)
        if self._masks:
            images = zip(first.prediction.cpu().numpy(), mask.cpu().numpy(), index.tolist(), strict=True)
            for prediction, target, position in images:
                for meter in self._masks:
                    meter.update(prediction, target, position)


def with_classes(metric: str, values: NDArray[np.float64], names: Sequence[str]) -> Iterable[Column]:
    """List values (images, C): the mean over the classes of each image, then class by class."""
    yield metric, "", image_means(values)
    for name, column in zip(names, values.T, strict=True):
        yield metric, name, column


class MeanLoss:
    """Mean of a loss over the images of the set.

    Args:
        loss: ``(logits (1, C, H, W), mask (1, H, W)) -> scalar``.
    """

    metrics, confident = LOSS, True

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.loss = loss
        self.sums = torch.zeros(2, dtype=torch.float64)  # loss times images, images

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        # of each image alone: the mean then does not depend on which images come together
        total = sum(self.loss(logits[i : i + 1], mask[i : i + 1]).double() for i in range(len(index)))
        self.sums += torch.tensor([float(total), len(index)], dtype=torch.float64)

    def totals(self) -> dict[str, Tensor]:
        return {"loss": self.sums}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {"loss": float(totals["loss"][0] / totals["loss"][1])}

    def per_image(self, totals: dict[str, Tensor]) -> Iterable[Column]:
        return ()
