"""Pictures of validation images that are drawn while a run goes on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from seg import inference
from seg.data.pairs import Pair
from seg.evaluation.files import draw
from seg.images import Image, Reading, read_image
from seg.inference.heads import Heads
from seg.labels import LabelMap
from seg.models import Normalization


class ValidationPictures:
    """Predictions of the same few validation images, with what further heads draw, whenever they are asked for.

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
            mask, mark = self._predicted(model, image)
            drawn.append((pair.name, draw(folder / f"{pair.name}.png", pair, image, mask, self.labels, mark)))
        return drawn

    def _predicted(self, model: nn.Module, image: Image) -> tuple[Image, Callable[[Image], Image] | None]:
        mean, std = self.normalization
        if not (heads := Heads(model)):
            return inference.predict(model, image, mean=mean, std=std, device=self.device, infer=self.infer), None
        images = inference.normalized(inference.as_tensor(image), mean, std, self.device)
        return heads.marked(model, images, self.infer, self.labels.palette)
