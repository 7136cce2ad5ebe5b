"""Evaluation: meters over the batches of a set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.data.batches import Batch
from seg.inference import finite
from seg.metrics import Metric
from seg.metrics.calibration import fit_temperature, labelled_pixels
from seg.metrics.meters import Column, Meter, Pass
from seg.metrics.scores import Floats, image_ious, image_means
from seg.metrics.wanted import check_apart, check_scores


@dataclass(frozen=True)
class Evaluation:
    """What was found about a set of images.

    Attributes:
        totals: what the meters counted, over all processes, by the names that they give it.
        scores: plain data that follow from it, of all meters in their order.
        meters: that counted it.
        images: names of the images.
        names: of the classes.
        late: names of the scores that only the last evaluation of a run has.
    """

    totals: dict[str, Tensor]
    scores: dict[str, Any]
    meters: Sequence[Meter] = ()
    images: Sequence[str] = ()
    names: Sequence[str] = ()
    late: frozenset[str] = frozenset()

    @property
    def metrics(self) -> dict[str, Metric]:
        """The catalogue: what is known of each score."""
        all_of_them = [metric for meter in self.meters for metric in meter.metrics]
        return {m.name: replace(m, when="end" if m.name in self.late else "epoch") for m in all_of_them}

    @property
    def early(self) -> "Evaluation":
        """The same without the scores that only the last evaluation of a run has."""
        return replace(self, scores={key: value for key, value in self.scores.items() if key not in self.late})

    def total(self, name: str) -> NDArray[Any]:
        """Return what was counted under this name, as an array."""
        total: NDArray[Any] = self.totals[name].numpy()
        return total

    def columns(self) -> Iterable[Column]:
        """List metric, class or "", and a value of each image, of everything that single images have."""
        for meter in self.meters:
            yield from meter.per_image(self.totals)

    def tables(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds besides scores: curves, tables, scores of the classes."""
        tables: dict[str, Any] = {}
        for meter in self.meters:
            tables |= getattr(meter, "tables", lambda _: {})(self.totals)
        return tables

    @property
    def mious(self) -> Floats:
        """mIoU (I) of each image."""
        return image_means(image_ious(self.total("counts")))


@torch.inference_mode()
def evaluate(
    predict: Callable[[Tensor], Tensor],
    loader: Iterable[Batch],
    meters: Sequence[Meter],
    *,
    split: Callable[[Tensor], tuple[Tensor, Mapping[str, Tensor]]] = lambda logits: (logits, {}),
    outputs: Mapping[str, Meter] | None = None,
    images: Sequence[str] = (),
    names: Sequence[str] = (),
    late: Iterable[str] = (),
    reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    final: bool = False,
) -> Evaluation:
    """Feed predictions and masks to meters, in one pass.

    Args:
        predict: images (N, 3, H, W) -> logits (N, C, H, W), or what ``split`` takes.
        loader: yields batches; the processes of a run share the images among them.
        meters: new ones; see `seg.metrics.meters` for what they are fed.
        split: parts what is predicted into logits and the outputs of heads by name; see `seg.inference.heads`.
        outputs: meters of these heads.
        images, names, late: see `Evaluation`.
        reduce: sum of a tensor over all processes, on the CPU.
        final: the model is no longer trained: what it predicts is finite, or fails.

    Raises:
        Failed: see `seg.inference.finite`.
    """
    outputs = outputs or {}
    check_apart({**{type(meter).__name__: meter for meter in meters}, **outputs})
    feed = Pass(meters, outputs)
    for batch in loader:
        predicted = predict(batch.images)
        for position, logits in zip(batch.index.tolist(), predicted, strict=True) if final else ():
            finite(logits[None], images[position])
        logits, more = split(predicted)
        feed.logits(logits, batch.masks, batch.index, more)
    return evaluation_of([*meters, *outputs.values()], images=images, names=names, late=late, reduce=reduce)


def evaluation_of(
    meters: Sequence[Meter],
    *,
    images: Sequence[str],
    names: Sequence[str],
    late: Iterable[str] = (),
    reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Evaluation:
    """Return what meters have counted, over all processes, and its scores; see `evaluate`."""
    totals: dict[str, Tensor] = {}
    scores: dict[str, Any] = {}
    for meter in meters:
        summed = {name: reduce(total) for name, total in meter.totals().items()}
        totals |= summed
        scores |= check_scores(meter, meter.scores(summed))
    return Evaluation(totals, scores, meters, images, names, frozenset(late))


@torch.inference_mode()
def find_temperature(predict: Callable[[Tensor], Tensor], loader: Iterable[Batch], *, most: int) -> float:
    """Fit the temperature that calibrates a model, see `seg.metrics.calibration.fit_temperature`.

    Args:
        predict: images (N, 3, H, W) -> logits (N, C, H, W).
        loader: yields batches of a set that the model was not trained on.
        most: pixels that are looked at of each image; all of them would fill the memory.
    """
    found = [labelled_pixels(predict(batch.images), batch.masks, most) for batch in loader]
    logits, target = (torch.cat(parts) for parts in zip(*found, strict=True))
    return fit_temperature(logits, target)
