"""The head that predicts a box at every pixel, on the last features of a decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 5
"""Distances to the left, top, right and bottom side in pixels, and the logit of the centerness."""

_GROUPS = 8
_UNIT = 16.0  # pixels that a new head answers with everywhere


class BoxHead(nn.Module):
    """Distances to the sides of the object that a pixel belongs to, and how central the pixel is in it.

    Without anchors, as FCOS (Tian et al. 2019), on one scale: a decoder has put all of them together. Forward: features
    (N, F, h, w) -> (N, 5, H, W) float32, see `CHANNELS`.

    Args:
        features: channels F of the decoder's last features.
        scale: H / h, as in the model's own head.
        width: channels between the convolutions.
        depth: convolutions of 3 x 3 pixels.
    """

    def __init__(self, features: int, *, scale: int = 1, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(depth):
            layers.append(nn.Conv2d(width if number else features, width, 3, padding=1, bias=False))
            layers += [nn.GroupNorm(_GROUPS, width), nn.ReLU(inplace=True)]
        self.scale, self.layers, self.last = scale, nn.Sequential(*layers), nn.Conv2d(width, CHANNELS, 1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.layers(features)
        # bfloat16 has three digits: of 200 pixels it would lose one
        with torch.autocast(features.device.type, enabled=False):
            raw = self.last(hidden.float())
            if self.scale != 1:
                raw = F.interpolate(raw, scale_factor=self.scale, mode="bilinear")
            return torch.cat([_UNIT * raw[:, :4].exp(), raw[:, 4:]], 1)
