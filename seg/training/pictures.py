"""Pictures of validation images that are drawn while a run goes on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from seg import inference
from seg.data.pairs import Pair
from seg.evaluation.pictures import draw
from seg.images import Image, Reading, read_image
from seg.labels import LabelMap
from seg.models import Normalization
from seg.tasks.boxes import CHANNELS, Boxes, decode, head_of, joined


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
