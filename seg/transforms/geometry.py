"""Flips, crops and padding."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from seg.labels import IGNORE
from seg.transforms._draw import chance, check_factors, check_multiple, check_share, check_size, integer, ratio
from seg.transforms._pixels import array, tensor


def _pad(image: Tensor, mask: Tensor, padding: list[int]) -> tuple[Tensor, Tensor]:
    """Padding in pixels: left, top, right, bottom."""
    if not any(padding):
        return image, mask
    left, top, right, bottom = padding
    border = (top, bottom, left, right, cv2.BORDER_CONSTANT)
    labels = cv2.copyMakeBorder(mask.numpy(), *border, value=(IGNORE,))
    return tensor(cv2.copyMakeBorder(array(image), *border), image), torch.from_numpy(np.asarray(labels))


def _resized(image: Tensor, mask: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Image by bilinear interpolation, smoothed where it shrinks; mask by the nearest pixel."""
    if mask.shape == size:
        return image, mask
    if size[0] >= mask.shape[0] and size[1] >= mask.shape[1]:
        # nothing to smooth: the same as torchvision's to rounding, and three times as fast
        image = tensor(cv2.resize(array(image), size[::-1], interpolation=cv2.INTER_LINEAR), image)
    else:
        image = F.resize(image, list(size), InterpolationMode.BILINEAR, antialias=True)
    labels = cv2.resize(mask.numpy(), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return image, torch.from_numpy(np.asarray(labels))


class Flip:
    """Mirror left and right, or top and bottom if ``vertical``."""

    def __init__(self, *, p: float = 0.5, vertical: bool = False) -> None:
        self.p = check_share("p", p)
        self.vertical = vertical

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        axis = -2 if self.vertical else -1
        return image.flip(axis), mask.flip(axis)


class ScaleCrop:
    """Scale by a random factor and cut out a window at a random place, or pad to it around a random place.

    Args:
        size: (height, width) of the result in pixels; None = each image's own, rounded down to ``multiple``.
        scale: least and greatest factor; drawn so that halving and doubling are equally likely.
        multiple: what encoders need height and width to be a multiple of, in pixels.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = None,
        scale: tuple[float, float] = (0.5, 2.0),
        multiple: int = 32,
    ) -> None:
        self.multiple = check_multiple(multiple)
        self.size, self.scale = check_size(size, multiple), check_factors("scale", scale)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.size or (max(s // self.multiple, 1) * self.multiple for s in mask.shape)
        factor = ratio(self.scale)
        window = (height / factor, width / factor)
        shape = [max(round(min(have, want)), 1) for have, want in zip(mask.shape, window, strict=True)]
        top, left = (integer(have - taken) for have, taken in zip(mask.shape, shape, strict=True))
        image = image[..., top : top + shape[0], left : left + shape[1]]
        mask = mask[top : top + shape[0], left : left + shape[1]]
        # scaled before it is padded: the padding's black must not bleed into the image
        scaled = [
            size if taken >= round(want) else min(max(round(taken * factor), 1), size)
            for taken, want, size in zip(shape, window, (height, width), strict=True)
        ]
        image, mask = _resized(image, mask, (scaled[0], scaled[1]))
        right, bottom = width - scaled[1], height - scaled[0]
        # on all sides at random: were it always right and below, models would go wrong along just those edges
        left, top = integer(right), integer(bottom)
        return _pad(image, mask, [left, top, right - left, bottom - top])


class Pad:
    """Pad right and bottom to a multiple of ``multiple`` pixels."""

    def __init__(self, *, multiple: int = 32) -> None:
        self.multiple = check_multiple(multiple)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return _pad(image, mask, [0, 0, -mask.shape[1] % self.multiple, -mask.shape[0] % self.multiple])
