"""Flips, crops and padding."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from seg.files import checks
from seg.labels import IGNORE
from seg.transforms.draw import chance, integer, ratio
from seg.transforms.pixels import array, tensor


def _pad(image: Tensor, mask: Tensor, padding: list[int]) -> tuple[Tensor, Tensor]:
    """Return the image padded with 0, the mask with 255; ``padding`` in pixels: left, top, right, bottom."""
    if not any(padding):
        return image, mask
    left, top, right, bottom = padding
    border = (top, bottom, left, right, cv2.BORDER_CONSTANT)
    labels = cv2.copyMakeBorder(mask.numpy(), *border, value=(IGNORE,))
    return tensor(cv2.copyMakeBorder(array(image), *border), image), torch.from_numpy(np.asarray(labels))


def _resized(image: Tensor, mask: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the image by bilinear interpolation, with antialiasing if it shrinks; the mask by the nearest pixel."""
    if mask.shape == size:
        return image, mask
    if size[0] >= mask.shape[0] and size[1] >= mask.shape[1]:
        # enlarged, nothing can alias: the same as torchvision's to rounding, and three times as fast
        image = tensor(cv2.resize(array(image), size[::-1], interpolation=cv2.INTER_LINEAR), image)
    else:
        image = F.resize(image, list(size), InterpolationMode.BILINEAR, antialias=True)
    # EXACT goes by pixel centres, as the image's interpolation does; plain INTER_NEAREST is off by half a pixel
    labels = cv2.resize(mask.numpy(), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return image, torch.from_numpy(np.asarray(labels))


class Flip:
    """Swap left and right, or top and bottom if ``vertical``."""

    def __init__(self, *, p: float = 0.5, vertical: bool = False) -> None:
        self.p = checks.share("p", p)
        self.vertical = vertical

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        axis = -2 if self.vertical else -1
        return image.flip(axis), mask.flip(axis)


class ScaleCrop:
    """Scale by a random factor, then crop a window at a random place, or pad around a random place where it is smaller.

    Args:
        size: (height, width) of the result in pixels; None = each image's own, rounded down to a multiple of
            ``multiple``.
        scale: least and greatest factor; halving and doubling are equally likely.
        multiple: of what height and width are multiples, in pixels: encoders need that.
        wanted: share of the windows that are placed around a pixel of a class, drawn from those in the mask, so that
            small ones are seen as well; nnU-Net (Isensee et al. 2021) places a third so. The pixel may lie anywhere in
            the window, and a thin region may be lost where the image is scaled down.

    Raises:
        ValueError: values out of range, or ``wanted`` where nothing is ever cropped.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = None,
        scale: tuple[float, float] = (0.5, 2.0),
        multiple: int = 32,
        wanted: float = 0.0,
    ) -> None:
        self.multiple = checks.whole("multiple", multiple, 1)
        self.size = None if size is None else checks.sides("size", size, multiple=multiple)
        self.scale = checks.bounds("scale", scale, above=0)
        self.wanted = checks.share("wanted", wanted)
        if wanted and size is None and self.scale[1] <= 1:
            raise ValueError(
                f"wanted: expected 0 where windows are as large as the images, got {wanted} with size None and factors "
                f"up to {self.scale[1]}; give a size, or factors above 1"
            )

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.size or (max(s // self.multiple, 1) * self.multiple for s in mask.shape)
        factor = ratio(self.scale)
        row, column = _pixel_of_a_class(mask) if self.wanted and chance(self.wanted) else (None, None)
        rows, scaled_height = _window(mask.shape[0], height, factor, row)
        columns, scaled_width = _window(mask.shape[1], width, factor, column)
        # scaled before padding, or interpolation would blend the black padding into the image
        image, mask = _resized(image[..., rows, columns], mask[rows, columns], (scaled_height, scaled_width))
        right, bottom = width - scaled_width, height - scaled_height
        # at random on all sides: padded only right and below, models would learn to go wrong along just those edges
        left, top = integer(right), integer(bottom)
        return _pad(image, mask, [left, top, right - left, bottom - top])


def _pixel_of_a_class(mask: Tensor) -> tuple[int, int] | tuple[None, None]:
    """(row, column) of a random pixel of a random class in the mask; Nones without a labelled pixel."""
    labels = np.ascontiguousarray(mask.byte().numpy())
    present = np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256])[:IGNORE])
    if not present.size:
        return None, None
    pixels = np.flatnonzero(labels == present[integer(present.size - 1)])
    row, column = divmod(int(pixels[integer(pixels.size - 1)]), labels.shape[1])
    return row, column


def _window(side: int, size: int, factor: float, pixel: int | None = None) -> tuple[slice, int]:
    """Along an axis: the pixels of ``side`` to crop, at a random place, and their number after scaling, <= ``size``.

    The pixel, if given, is among them.
    """
    wanted = size / factor
    taken = max(round(min(side, wanted)), 1)
    first, last = 0, side - taken
    if pixel is not None:
        first, last = max(pixel - taken + 1, 0), min(pixel, last)
    start = first + integer(last - first)
    scaled = min(max(round(taken * factor), 1), size)
    if taken >= round(wanted):
        scaled = size  # rounding must not leave a line of padding
    return slice(start, start + taken), scaled


class Pad:
    """Pad at the right and the bottom to multiples of ``multiple`` pixels."""

    def __init__(self, *, multiple: int = 32) -> None:
        self.multiple = checks.whole("multiple", multiple, 1)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return _pad(image, mask, [0, 0, -mask.shape[1] % self.multiple, -mask.shape[0] % self.multiple])
