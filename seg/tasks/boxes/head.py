"""The head that predicts a box at every pixel, on the last features of a decoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seg.files import checks
from seg.images import Image
from seg.labels import Color
from seg.models.heads import Joined
from seg.report.pictures import outlined
from seg.tasks.boxes.decode import CHANNELS, decode
from seg.tasks.boxes.drawing import shown
from seg.tasks.boxes.meter import BoxMeter, Instances, check_library

_GROUPS = 8
_UNIT = 16.0  # pixels: what a new head answers with, more or less


class BoxRules:
    """What whoever decodes, judges or draws boxes must know of the head that predicted them; see `BoxHead`."""

    metrics = BoxMeter.metrics
    channels = CHANNELS

    def __init__(self, countable: Sequence[int] | None, min_area: int) -> None:
        self.countable, self.min_area = None if countable is None else tuple(countable), min_area

    @staticmethod
    def check() -> None:
        """Refuse to judge boxes without what computes their average precision; see `check_library`."""
        check_library()

    def meter(self, images: int, names: Sequence[str], instances: Instances | None = None) -> BoxMeter:
        """Return what judges the boxes of a set."""
        return BoxMeter(images, names, countable=self.countable, min_area=self.min_area, instances=instances)

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


def head_of(model: nn.Module) -> BoxHead | BoxRules | None:
    """Return the `BoxHead` of a model, or what an exported file says of the one that it has; None without one."""
    named = _named(model)
    return named and named[1]


class JoinedBoxes(Joined):
    """A model with a `BoxHead` as one that returns logits and maps together: images -> (N, C + 5, H, W).

    Distances to sides do not depend on where a window lies; they do on how a view is turned or scaled.
    """

    def __init__(self, model: nn.Module, name: str, head: BoxHead | BoxRules) -> None:
        super().__init__(model, [name])
        self.countable, self.min_area = head.countable, head.min_area


def joined(model: nn.Module) -> nn.Module:
    """Return the model as `JoinedBoxes`, if it predicts boxes; else as it is."""
    named = _named(model)
    return model if named is None else JoinedBoxes(model, *named)


def _named(model: nn.Module) -> tuple[str, BoxHead | BoxRules] | None:
    if isinstance(described := getattr(model, "boxes", None), dict):  # of an exported file
        return "boxes", BoxRules(**described)
    heads: Any = getattr(model, "heads", None)
    found = heads.items() if isinstance(heads, nn.ModuleDict) else ()
    return next(((name, head) for name, head in found if isinstance(head, BoxHead)), None)
