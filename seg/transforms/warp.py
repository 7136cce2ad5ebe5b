"""Rotation, affine and elastic deformation: one map of coordinates for image and mask."""

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg.labels import IGNORE
from seg.transforms._draw import chance, check_factors, check_least, check_share, ratio, uniform
from seg.transforms._pixels import array, tensor

Map = NDArray[np.float32]


def _grid(height: int, width: int) -> tuple[Map, Map]:
    """x (1, W) and y (H, 1) of every pixel."""
    return np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]


def _remapped(image: Tensor, mask: Tensor, x: Map, y: Map) -> tuple[Tensor, Tensor]:
    """Each pixel of the result comes from x, y (H, W): bilinear in the image, the nearest pixel of the mask.

    The image goes on beyond its border while it is interpolated: the black around it must not bleed into it.
    """
    height, width = mask.shape
    pixels = array(cv2_ready := image if image.dtype == torch.uint8 else image.float())
    warped = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    outside = (column < 0) | (column >= width) | (row < 0) | (row >= height)
    labels = mask.numpy()[row.clip(0, height - 1), column.clip(0, width - 1)]
    labels[outside] = IGNORE
    warped[outside] = 0
    return tensor(warped, cv2_ready).to(image.dtype), torch.from_numpy(labels)


class Affine:
    """Rotation, shift, scaling and shear about the centre; what comes from outside is 0 and ignored.

    Args:
        degrees: rotation, uniform in -degrees .. degrees.
        translate: shift, uniform in -translate .. translate of height and width.
        scale: least and greatest factor; drawn so that halving and doubling are equally likely.
        shear: slant of the vertical lines in degrees, uniform in -shear .. shear, below 90.
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
        self.degrees, self.translate = check_least("degrees", degrees), check_share("translate", translate)
        self.scale, self.shear, self.p = check_factors("scale", scale), check_least("shear", shear), check_share("p", p)
        if shear >= 90:
            raise ValueError(f"shear: expected less than 90 degrees, got {shear}")

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
        # the inverse of: shear, scale, turn clockwise
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
        alpha: strength in pixels, before the smoothing, which leaves about alpha / (6 sigma) of it.
        sigma: standard deviation of the smoothing in pixels: how far the deformation is alike.
    """

    def __init__(self, *, alpha: float = 200.0, sigma: float = 10.0, p: float = 0.5) -> None:
        self.alpha, self.sigma, self.p = check_least("alpha", alpha), check_least("sigma", sigma), check_share("p", p)
        if sigma <= 0:
            raise ValueError(f"sigma: expected more than 0 pixels, got {sigma}")

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        shifts = torch.empty(*mask.shape, 2).uniform_(-self.alpha, self.alpha).numpy()
        shifts = cv2.GaussianBlur(shifts, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT)
        x, y = _grid(*mask.shape)
        return _remapped(image, mask, x + shifts[..., 0], y + shifts[..., 1])
