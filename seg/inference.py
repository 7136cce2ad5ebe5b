"""Prediction of whole images."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seg.images import Image

Model = Callable[[Tensor], Tensor]

MULTIPLE = 32  # the deepest stride of smp's encoders


def whole_image(model: Model, images: Tensor) -> Tensor:
    """Logits of whole images of any size: padded by their edge to a multiple of 32 pixels, then cropped back.

    Args:
        model: ``(N, channels, H, W) -> logits (N, C, H, W)`` for H and W multiples of 32.
        images: (N, channels, H, W), normalised.

    Returns:
        logits (N, C, H, W).
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
    return model(padded)[..., :height, :width]


def predict(
    model: Model, image: Image, *, mean: Sequence[float], std: Sequence[float], device: torch.device | str = "cpu"
) -> Image:
    """Mask (H, W) uint8 of one image (H, W, channels) uint8, by `whole_image`.

    Raises:
        MemoryError: it is too large for what is free on the device.
    """
    try:
        tensor = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255
        shape = (1, -1, 1, 1)
        tensor = (tensor - tensor.new_tensor(mean).view(shape)) / tensor.new_tensor(std).view(shape)
        with torch.inference_mode():
            mask: Image = whole_image(model, tensor).argmax(1)[0].to(torch.uint8).cpu().numpy()
        return mask
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        height, width = image.shape[:2]
        raise MemoryError(
            f"expected memory for {height}x{width} pixels on {device}, got none; cut the image into tiles, free "
            "memory, or take another device"
        ) from None


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch's, on any device, means that memory ran out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("DefaultCPUAllocator", "out of memory", "bad_alloc"))
    )
