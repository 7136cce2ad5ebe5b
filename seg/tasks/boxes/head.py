"""The head that predicts a box at every pixel, on the last features of a decoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seg.files import checks
from seg.images import Image
from seg.labels import Color
from seg.report.pictures import outlined
from seg.tasks.boxes.decode import CHANNELS, Boxes, decode
from seg.tasks.boxes.meter import BoxMeter, Instances, check_library

_GROUPS = 8
_UNIT = 16.0  # pixels: what a new head answers with, more or less
_CERTAIN = 1e-6  # a mean centerness as near to 0 or 1 as this is that


SHOWN = 0.3
"""Score from which a box is drawn: with all that are kept for the average precision nothing else would be seen."""


def shown(boxes: Boxes) -> tuple[list[list[float]], list[int]]:
    """Return the good boxes and their classes, for `seg.report.pictures.outlined`."""
    good = boxes.scores >= SHOWN
    return boxes.boxes[good].tolist(), boxes.classes[good].tolist()


class BoxRules:
    """What whoever decodes, judges or draws boxes must know of the head that predicted them; see `BoxHead`."""

    metrics = BoxMeter.metrics
    channels = CHANNELS
    check = staticmethod(check_library)

    def __init__(self, countable: Sequence[int] | None, min_area: int) -> None:
        self.countable, self.min_area = None if countable is None else tuple(countable), min_area

    def meter(self, images: int, names: Sequence[str], instances: Instances | None = None) -> BoxMeter:
        """Return what judges the boxes of a set."""
        return BoxMeter(images, names, countable=self.countable, min_area=self.min_area, instances=instances)

    def to_mean(self, maps: Tensor) -> Tensor:
        """Return what several models may be averaged by: distances, and the centerness instead of its logit."""
        return torch.cat([maps[:, :4].float(), maps[:, 4:].float().sigmoid()], 1)

    def from_mean(self, mean: Tensor) -> Tensor:
        """Return maps (N, 5, H, W) of such a mean."""
        return torch.cat([mean[:, :4], mean[:, 4:].logit(_CERTAIN)], 1)

    def draw(self, picture: Image, output: Tensor, logits: Tensor, palette: Sequence[Color]) -> Image:
        """Draw the good boxes of an image, of maps (5, H, W) and logits (C, H, W)."""
        (boxes,) = decode(logits[None], output[None], countable=self.countable, min_area=self.min_area)
        return outlined(picture, *shown(boxes), palette)


class BoxHead(nn.Module, BoxRules):
    """Distances to the sides of the object that a pixel belongs to, and how central the pixel is in it.

    Without anchors, as FCOS (Tian et al. 2019), but on one scale: a decoder has put all of them together. Forward:
    features (N, F, h, w) -> maps (N, 5, h, w) float32, see `CHANNELS`, in pixels of the image.

    Args:
        in_channels: channels F of the decoder's last features.
        width: channels between the convolutions, a multiple of 8.
        depth: convolutions of 3 x 3 pixels.
        countable: indices of the classes that have objects, None = all; with ``min_area``, pixels of the smallest
            object, what whoever decodes or judges the boxes must know.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: int = 64,
        depth: int = 2,
        countable: Sequence[int] | None = None,
        min_area: int = 16,
    ) -> None:
        nn.Module.__init__(self)
        for name, value, step in (("width", width, _GROUPS), ("depth", depth, 1), ("min_area", min_area, 1)):
            if not checks.is_whole(value) or value < step or value % step:
                raise ValueError(f"{name}: expected a positive multiple of {step}, got {value!r}; give one")
        BoxRules.__init__(self, countable, min_area)
        layers: list[nn.Module] = []
        for number in range(depth):
            layers.append(nn.Conv2d(width if number else in_channels, width, 3, padding=1, bias=False))
            layers += [nn.GroupNorm(_GROUPS, width), nn.ReLU(inplace=True)]
        self.layers, self.last = nn.Sequential(*layers), nn.Conv2d(width, CHANNELS, 1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.layers(features)
        if torch.is_autocast_enabled(features.device.type):
            # bfloat16 keeps two or three digits: sides would be off by whole pixels
            with torch.autocast(features.device.type, enabled=False):
                return self._maps(hidden.float())
        return self._maps(hidden)

    def _maps(self, hidden: Tensor) -> Tensor:
        raw = self.last(hidden)
        return torch.cat([_UNIT * raw[:, :4].exp(), raw[:, 4:]], 1)
