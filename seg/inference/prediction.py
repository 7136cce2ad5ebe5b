"""From the pixels of an image to its mask."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from seg.images import Image
from seg.inference.memory import out_of_memory
from seg.inference.padding import Model, whole
from seg.inference.windows import Sliding


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
    """Image (H, W, channels) uint8 as (1, channels, H, W), of the same memory."""
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def normalized(images: Tensor, mean: Sequence[float], std: Sequence[float], device: torch.device | str) -> Tensor:
    """Images (N, channels, H, W) uint8 as models see them, float32."""
    tensor = images.to(device).float() / 255
    shape = (1, -1, 1, 1)
    return (tensor - tensor.new_tensor(mean).view(shape)) / tensor.new_tensor(std).view(shape)


@torch.inference_mode()
def strips(
    model: Model,
    rows: Callable[[int, int], Tensor],
    height: int,
    width: int,
    prepare: Callable[[Tensor], Tensor] = lambda images: images,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """Logits (N, C, h, width) of an image from the top down: strips as they are finished if the model slides, else one.

    Args:
        model: for images of any size.
        rows: (first, last) -> images (N, channels, last - first, width), such as 8-bit ones.
        prepare: makes of them, or of a window of them, what the model takes.
        device: for the message.

    Raises:
        MemoryError: it is too large for what is free on the device.
    """
    try:
        if isinstance(model, Sliding):
            yield from model.strips(rows, height, width, prepare)
        else:
            yield model(prepare(rows(0, height)))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        remedy = "give a smaller window" if isinstance(model, Sliding) else "predict windows with inference=sliding"
        raise MemoryError(
            f"expected memory for {height}x{width} pixels on {device}, got none; {remedy}, cut the image "
            "into tiles, free memory, or take another device"
        ) from None


def predict(
    model: Model,
    image: Image,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str = "cpu",
    infer: Callable[[Model], Model] = whole,
) -> Image:
    """Mask (H, W) uint8 of one image (H, W, channels) uint8.

    Args:
        model: for sides that are multiples of 32.
        infer: makes of it a model for images of any size: `whole`, or `sliding` or `augmented` with their options.

    Raises:
        MemoryError: it is too large for what is free on the device.
    """

    def rows(first: int, last: int) -> Tensor:
        return as_tensor(image[first:last])

    height, width = image.shape[:2]
    prepare = partial(normalized, mean=mean, std=std, device=device)
    found = strips(infer(model), rows, height, width, prepare, device)
    masks = [logits.argmax(1)[0].to(torch.uint8).cpu().numpy() for logits in found]
    return np.concatenate(masks) if len(masks) > 1 else masks[0]
