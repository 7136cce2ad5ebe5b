"""Pictures that commands write."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seg import inference, pictures
from seg.files import whole, write_png
from seg.images import Image, Reading, as_rgb, read_image, read_mask
from seg.labels import LabelMap
from seg.models import Normalization
from seg.pairs import Pair


def draw(path: Path, pair: Pair, image: Image, prediction: Image, labels: LabelMap) -> Image:
    """Write image | target | prediction of one pair as PNG and return it; of more than three bands the first ones."""
    target = read_mask(pair.mask, labels.classes)
    picture = pictures.panel(as_rgb(image), prediction, labels.palette, labels.names, target=target)
    write_png(path, picture)
    return picture


class ValidationPictures:
    """Predictions of the same few validation images, whenever they are asked for.

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
        mean, std = self.normalization
        drawn = []
        for pair in self.pairs:
            image = read_image(pair.image, self.reading)
            mask = inference.predict(model, image, mean=mean, std=std, device=self.device, infer=self.infer)
            drawn.append((pair.name, draw(folder / f"{pair.name}.png", pair, image, mask, self.labels)))
        return drawn


def draw_curves(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Losses and mIoU over the epochs of ``metrics.jsonl``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def shown(key: str, scale: float = 1.0) -> tuple[list[int], list[float]]:
        known = [line for line in lines if line.get(key) is not None]
        return [line["epoch"] + 1 for line in known], [scale * line[key] for line in known]

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for key, label in (("loss", "training"), ("val_loss", "validation")):
        left.plot(*shown(key), label=label)
    left.set(xlabel="epoch", ylabel="loss")
    left.legend()
    right.plot(*shown("val_miou", 100))
    right.set(xlabel="epoch", ylabel="validation mIoU %", ylim=(0, 100))
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
