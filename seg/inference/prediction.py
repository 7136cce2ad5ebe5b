"""From the pixels of an image to what a model takes, and models in several steps."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seg.images import Image
from seg.inference.padding import Model


def composed(model: Model, **steps: Callable[[Model], Model]) -> Model:
    """Wrap a model in several steps, the first one innermost: ``tta``, then ``sliding`` predicts every window of an
    image several times.

    Args:
        steps: each takes a model and returns one.
    """
    for step in steps.values():
        model = step(model)
    return model


def as_tensor(image: Image) -> Tensor:
    """View an image (H, W, channels) uint8 as (1, channels, H, W), in the same memory."""
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def normalized(images: Tensor, mean: Sequence[float], std: Sequence[float], device: torch.device | str) -> Tensor:
    """Return images (N, channels, H, W) uint8 as models see them, float32."""
    tensor = images.to(device).float() / 255
    shape = (1, -1, 1, 1)
    return (tensor - tensor.new_tensor(mean).view(shape)) / tensor.new_tensor(std).view(shape)
