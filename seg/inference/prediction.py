"""From the pixels of an image to what a model takes, and models in several steps."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seg.files.errors import Failed
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
    return tensor.sub_(tensor.new_tensor(mean).view(shape)).div_(tensor.new_tensor(std).view(shape))


def mask_of(logits: Tensor) -> Image:
    """Return the class with the highest logit at each pixel of the first image (H, W), the first of equal ones.

    Args:
        logits: (N, C, H, W), at most 256 classes.
    """
    # of max, because argmax takes four times as long on a CPU
    found: Image = logits[:1].max(1).indices[0].byte().cpu().numpy()
    return found


def finite(logits: Tensor, image: str = "") -> Tensor:
    """Return logits (N, C, H, W) that name a class for every pixel.

    Args:
        image: what was predicted, for the message.

    Raises:
        Failed: the highest one of a pixel is NaN or infinite; its argmax would be the first class.
    """
    if bool((bad := ~logits.amax(1).isfinite()).any()):
        subject = f"image '{image}': " if image else ""
        raise Failed(
            f"{subject}expected finite logits, got NaN or infinity in {int(bad.sum()):,} of {bad.numel():,} pixels; "
            "the weights are damaged, or too large for half precision: give another checkpoint, or float32"
        )
    return logits
