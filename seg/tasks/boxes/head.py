"""The head that predicts a box at every pixel, on the last features of a decoder."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 5
"""Distances to the left, top, right and bottom side in pixels, and the logit of the centerness."""

_GROUPS = 8
_UNIT = 16.0  # pixels: what a new head answers with, more or less


class BoxHead(nn.Module):
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
        super().__init__()
        for name, value, step in (("width", width, _GROUPS), ("depth", depth, 1), ("min_area", min_area, 1)):
            if not isinstance(value, int) or isinstance(value, bool) or value < step or value % step:
                raise ValueError(f"{name}: expected a positive multiple of {step}, got {value!r}; give one")
        self.countable, self.min_area = None if countable is None else tuple(countable), min_area
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


def at_pixels(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (N, 5, h, w) at every pixel (N, 5, H, W): distances are linear within an object, and so is this."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


class BoxRules(NamedTuple):
    """What whoever decodes or judges boxes must know; see `BoxHead`."""

    countable: Sequence[int] | None
    min_area: int


class Joined(nn.Module):
    """A model with a `BoxHead` as one that returns logits and maps together: images -> (N, C + 5, H, W).

    That way whole images and windows of all sizes are predicted as logits are (`seg.inference.whole`, `sliding`):
    distances to sides do not depend on where a window lies. They do on how a view is turned or scaled.
    """

    def __init__(self, model: nn.Module, name: str, head: BoxHead | BoxRules) -> None:
        super().__init__()
        self.model, self.name = model, name
        self.countable, self.min_area = head.countable, head.min_area

    def forward(self, images: Tensor) -> Tensor:
        logits, outputs = self.model(images, heads=True)
        return torch.cat([logits, at_pixels(outputs[self.name], logits.shape[-2:])], 1)


def _named(model: nn.Module) -> tuple[str, BoxHead | BoxRules] | None:
    if isinstance(described := getattr(model, "boxes", None), dict):  # of an exported file
        return "boxes", BoxRules(**described)
    heads: Any = getattr(model, "heads", None)
    found = heads.items() if isinstance(heads, nn.ModuleDict) else ()
    return next(((name, head) for name, head in found if isinstance(head, BoxHead)), None)


def head_of(model: nn.Module) -> BoxHead | BoxRules | None:
    """The `BoxHead` of a model, or what an exported file says of the one that it has; None without one."""
    named = _named(model)
    return named and named[1]


def joined(model: nn.Module) -> nn.Module:
    """The model as a `Joined` one, if it predicts boxes; else as it is."""
    named = _named(model)
    return model if named is None else Joined(model, *named)
