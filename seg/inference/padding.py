"""Whole images of any size, for models that take multiples of 32."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

Model = Callable[[Tensor], Tensor]
"""``(N, channels, H, W) -> logits (N, C, H, W)``."""

MULTIPLE = 32  # the deepest stride of smp's encoders


def whole_image(model: Model, images: Tensor, least: int = 0) -> Tensor:
    """Predict whole images of any size: padded by their edge to a multiple of 32 pixels, logits cropped back.

    Args:
        model: ``(N, channels, H, W) -> logits (N, C, H, W)`` for H and W multiples of 32.
        images: (N, channels, H, W), normalised.
        least: pixels that each side is padded to at least.

    Returns:
        logits (N, C, H, W).
    """
    height, width = images.shape[-2:]
    down, across = (-(-max(side, least) // MULTIPLE) * MULTIPLE - side for side in (height, width))
    padded = F.pad(images, (0, across, 0, down), mode="replicate")
    return model(padded)[..., :height, :width]


def whole(model: Model) -> Model:
    """Return the model for images of any size, by `whole_image`."""
    return partial(whole_image, model)
