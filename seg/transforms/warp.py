"""Rotation, affine and elastic deformation, with one map of coordinates for image and mask."""

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.files import checks
from seg.labels import IGNORE
from seg.transforms.draw import chance, ratio, uniform
from seg.transforms.pixels import array, tensor

Map = NDArray[np.float32]


def _grid(height: int, width: int) -> tuple[Map, Map]:
    """x (1, W) and y (H, 1) of every pixel."""
    return np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]


def _remapped(image: Tensor, mask: Tensor, x: Map, y: Map) -> tuple[Tensor, Tensor]:
    """Take each pixel of the result from x, y (H, W): bilinear in the image, the nearest pixel in the mask."""
    height, width = mask.shape
    source = image if image.dtype == torch.uint8 else image.float()
    # replicated beyond the border while interpolating, or the black around the image would blend into it
    warped = cv2.remap(array(source), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    outside = (column < 0) | (column >= width) | (row < 0) | (row >= height)
    labels = mask.numpy()[row.clip(0, height - 1), column.clip(0, width - 1)]
    labels[outside] = IGNORE
    warped[outside] = 0
    return tensor(warped, source).to(image.dtype), torch.from_numpy(labels)


class Affine:
    """Rotation, shift, scaling and shear about the centre; what comes from outside the image is 0 and ignored.

    Args:
        degrees: rotation, uniform in -degrees .. degrees.
        translate: shift, as a share of height and width, uniform in -translate .. translate.
        scale: least and greatest factor; halving and doubling are equally likely.
        shear: slant of vertical lines in degrees, uniform in -shear .. shear, < 90.
    """

    def __init__(
        self,
        *,
        degrees: float = 0.0,
        translate: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
        p: float = 0.5,
    ) -> None:
        self.degrees, self.translate = checks.number("degrees", degrees, least=0), checks.share("translate", translate)
        self.scale, self.p = checks.bounds("scale", scale, above=0), checks.share("p", p)
        self.shear = checks.number("shear", shear, least=0, below=90, what="degrees")

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        height, width = mask.shape
        angle = math.radians(uniform(-self.degrees, self.degrees))
        slant = math.tan(math.radians(uniform(-self.shear, self.shear)))
        factor = ratio(self.scale)
        right, down = (uniform(-self.translate, self.translate) * side for side in (width, height))
        x, y = _grid(height, width)
        x, y = x - ((width - 1) / 2 + right), y - ((height - 1) / 2 + down)
        # backwards, from the result to the image: the inverse of shearing, scaling and turning clockwise
        cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
        from_x, from_y = cos * x + sin * y, cos * y - sin * x
        from_x = from_x - slant * from_y
        return _remapped(
            image,
            mask,
            (from_x + (width - 1) / 2).astype(np.float32),
            (from_y + (height - 1) / 2).astype(np.float32),
        )


class Rotate(Affine):
    """Rotation about the centre by an angle uniform in -degrees .. degrees."""

    def __init__(self, *, degrees: float = 10.0, p: float = 0.5) -> None:
        super().__init__(degrees=degrees, p=p)


class Elastic:
    """Elastic deformation (Simard, Steinkraus & Platt 2003): shifts uniform in -alpha .. alpha, then smoothed.

    Args:
        alpha: strength in pixels before the smoothing, which leaves shifts of about alpha / (6 sigma).
        sigma: standard deviation of the smoothing in pixels: the distance over which neighbours move together.
    """

    def __init__(self, *, alpha: float = 200.0, sigma: float = 10.0, p: float = 0.5) -> None:
        self.alpha, self.sigma = checks.number("alpha", alpha, least=0), checks.number("sigma", sigma, above=0)
        self.p = checks.share("p", p)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        shifts = torch.empty(*mask.shape, 2).uniform_(-self.alpha, self.alpha).numpy()
        shifts = cv2.GaussianBlur(shifts, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT)
        x, y = _grid(*mask.shape)
        return _remapped(image, mask, x + shifts[..., 0], y + shifts[..., 1])
