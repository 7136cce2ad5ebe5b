"""Images as the arrays that OpenCV works on.

Files are decoded to (H, W, C), and an image (C, H, W) is a view of that memory: as long as transforms pass on such
views, nothing is copied between torch and OpenCV, and the model gets the channels-last layout that it is fastest with.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.labels import IGNORE


def array(image: Tensor) -> NDArray[Any]:
    """Return a view (H, W, C) of an image (C, H, W)."""
    return image.permute(1, 2, 0).numpy()


def tensor(pixels: NDArray[Any], like: Tensor) -> Tensor:
    """Return the image (C, H, W) of an array (H, W, C), or (H, W), which is what OpenCV returns for one channel."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    # back to the type of the image, whatever the transform computed in; contiguous in (H, W, C), not in (C, H, W)
    return torch.from_numpy(np.ascontiguousarray(pixels, array(like).dtype)).permute(2, 0, 1)


def canvas(image: Tensor, mask: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return a black image of the type of ``image``, in channels-last memory, and a mask that is ignored everywhere."""
    black = torch.zeros(height, width, len(image), dtype=image.dtype).permute(2, 0, 1)
    return black, torch.full((height, width), IGNORE, dtype=mask.dtype)


def white(image: Tensor) -> float:
    """Return the greatest value of an image: 255 for uint8, 1 for floats."""
    return 1.0 if image.is_floating_point() else 255.0
