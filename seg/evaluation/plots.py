"""Pictures that commands write."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seg import inference
from seg.data.pairs import Pair
from seg.files import whole, write_png
from seg.images import Image, Reading, as_rgb, read_image, read_mask
from seg.labels import LabelMap
from seg.metrics.scores import ratio
from seg.models import Normalization
from seg.report import pictures
from seg.tasks.boxes import CHANNELS, Boxes, decode, head_of, joined

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(
    path: Path, pair: Pair, image: Image, prediction: Image, labels: LabelMap, boxes: Boxes | None = None
) -> Image:
    """Write image | target | prediction of one pair as PNG and return it; of more than three bands the first ones."""
    target = read_mask(pair.mask, labels.classes)
    picture = pictures.panel(
        as_rgb(image), prediction, labels.palette, labels.names, target=target, boxes=for_panel(boxes)
    )
    write_png(path, picture)
    return picture


SHOWN = 0.3
"""Score from which a box is drawn: with all that are kept for the average precision nothing else would be seen."""


def for_panel(boxes: Boxes | None) -> tuple[list[list[float]], list[int]]:
    """The good boxes and their classes, for `seg.report.pictures.panel`."""
    if boxes is None:
        return [], []
    good = boxes.scores >= SHOWN
    return boxes.boxes[good].tolist(), boxes.classes[good].tolist()


class ValidationPictures:
    """Predictions of the same few validation images, with boxes if there are any, whenever they are asked for.

    Args:
        number: how many are drawn, spread over the set: neighbours in a list of names are often neighbours in the
            world.
        infer: makes of the model one for images of any size.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        number: int,
        labels: LabelMap,
        normalization: Normalization,
        reading: Reading,
        device: torch.device,
        infer: Callable[[inference.Model], inference.Model] = inference.whole,
    ) -> None:
        number = min(number, len(pairs))
        self.pairs = [pairs[i * len(pairs) // number] for i in range(number)]
        self.labels, self.normalization, self.reading, self.device = labels, normalization, reading, device
        self.infer = infer

    def draw(self, model: nn.Module, folder: Path) -> list[tuple[str, Image]]:
        """Write the pictures, and return them with the names of their pairs."""
        model.eval()
        drawn = []
        for pair in self.pairs:
            image = read_image(pair.image, self.reading)
            mask, boxes = self._predicted(model, image)
            drawn.append((pair.name, draw(folder / f"{pair.name}.png", pair, image, mask, self.labels, boxes)))
        return drawn

    @torch.inference_mode()
    def _predicted(self, model: nn.Module, image: Image) -> tuple[Image, Boxes | None]:
        mean, std = self.normalization
        if (head := head_of(model)) is None:
            return inference.predict(model, image, mean=mean, std=std, device=self.device, infer=self.infer), None
        images = inference.normalized(torch.from_numpy(image).permute(2, 0, 1)[None], mean, std, self.device)
        both = self.infer(joined(model))(images)
        logits, maps = both[:, :-CHANNELS], both[:, -CHANNELS:]
        (boxes,) = decode(logits, maps, countable=head.countable, min_area=head.min_area)
        mask = logits.argmax(1)[0].byte().cpu().numpy()
        return mask, Boxes(*(part.cpu() for part in boxes))


def draw_curves(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Losses and mIoU over the epochs of ``metrics.jsonl``."""

    def shown(key: str, scale: float = 1.0) -> tuple[list[int], list[float]]:
        known = [line for line in lines if line.get(key) is not None]
        return [line["epoch"] + 1 for line in known], [scale * line[key] for line in known]

    with _figure(path, 9, 3.5) as figure:
        left, right = figure.subplots(1, 2)
        for key, label in (("loss", "training"), ("val_loss", "validation")):
            left.plot(*shown(key), label=label)
        left.set(xlabel="epoch", ylabel="loss")
        left.legend()
        right.plot(*shown("val_miou", 100))
        right.set(xlabel="epoch", ylabel="validation mIoU %", ylim=(0, 100))


def draw_confusion(path: Path, confusion: NDArray[np.int64], names: Sequence[str]) -> None:
    """Shares of each target class (rows) that were taken for each class, in percent."""
    percent = 100 * ratio(confusion, confusion.sum(1, keepdims=True))
    few = len(names) <= 40
    side = 2.5 + (0.42 if few else 0.16) * len(names)
    with _figure(path, max(side, 4.0), max(side, 4.0)) as figure:
        axes = figure.subplots()
        axes.imshow(percent, vmin=0, vmax=100, cmap="Blues")
        axes.set(xlabel="prediction", ylabel="target", title="% of the target's pixels")
        shown = [name.replace("$", "\\$") for name in names]  # which begins a formula
        axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=9 if few else 6)
        axes.set_yticks(range(len(names)), shown, fontsize=9 if few else 6)
        for row, column in np.argwhere(percent >= 0.5) if few else ():
            color = "white" if percent[row, column] > 50 else "black"
            text = f"{percent[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)


def draw_worst(path: Path, curve: Sequence[float]) -> None:
    """The worst-q curve: mean mIoU of the worst q % of the images."""
    with _figure(path, 4.5, 3.5) as figure:
        axes = figure.subplots()
        axes.plot(range(1, 101), [100 * value for value in curve])
        axes.set(xlabel="worst q % of the images", ylabel="mean mIoU (I) %", xlim=(0, 100), ylim=(0, 100))


def draw_reliability(path: Path, curves: Mapping[str, NDArray[np.float64]]) -> None:
    """Accuracy and share of the pixels over confidence.

    Args:
        curves: bins (B, 3) as `seg.metrics.count` gives them, of ``confidence`` and perhaps ``tempered``.
    """
    with _figure(path, 4.5, 4.5) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot((0, 1), (0, 1), color="gray", linestyle=":")
        for name, bins in curves.items():
            label = {"confidence": "model", "tempered": "with temperature"}[name]
            pixels, confidence, right = bins.T
            upper.plot(ratio(confidence, pixels), ratio(right, pixels), marker="o", markersize=3, label=label)
            edges = np.linspace(0, 1, len(bins) + 1)
            lower.stairs(ratio(pixels, pixels.sum()), edges, label=label)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        upper.legend()
        lower.set(xlabel="confidence", ylabel="share of pixels")


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure of this size in inches, written as PNG when the block ends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # names of classes in scripts that its fonts lack
        with whole(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
