"""Changes of colour and light; the mask stays as it is."""

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from seg.files import checks
from seg.transforms.draw import chance, ratio, uniform
from seg.transforms.pixels import array, tensor, white

_GRAY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in OpenCV and torchvision


class ColorJitter:
    """Random brightness, contrast, saturation and hue, in random order, each clipped to the range of the image.

    Saturation and hue are of three channels; images of others keep theirs.

    Args:
        brightness, contrast, saturation: the factor is uniform in 1 - value .. 1 + value, and not below 0.
        hue: the shift is uniform in -hue .. hue of the colour circle; in 0..0.5; slow, and therefore off by default.
    """

    def __init__(
        self,
        *,
        brightness: float = 0.3,
        contrast: float = 0.3,
        saturation: float = 0.3,
        hue: float = 0.0,
    ) -> None:
        self.brightness = checks.number("brightness", brightness, least=0)
        self.contrast = checks.number("contrast", contrast, least=0)
        self.saturation = checks.number("saturation", saturation, least=0)
        self.hue = checks.number("hue", hue, least=0, most=0.5)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        brighten, contrast, saturate = _bytes if image.dtype == torch.uint8 else _floats
        changes = [
            (adjust, uniform(max(1 - strength, 0), 1 + strength))
            for strength, adjust in (
                (self.brightness, brighten),
                (self.contrast, contrast),
                (self.saturation, saturate),
            )
            if strength
        ]
        if self.hue and len(image) == 3:
            changes.append((F.adjust_hue, uniform(-self.hue, self.hue)))
        for place in torch.randperm(len(changes)).tolist():
            adjust, amount = changes[place]
            image = adjust(image, amount)
        return image, mask


# The same as torchvision's, but rounded where those truncate, and eight to thirty times as fast.


def _brighten(image: Tensor, factor: float) -> Tensor:
    return tensor(cv2.convertScaleAbs(array(image), alpha=factor), image)


def _contrast(image: Tensor, factor: float) -> Tensor:
    pixels = array(image)
    # cv2.mean takes four channels at most
    means = np.array(cv2.mean(pixels)[: len(image)]) if len(image) <= 4 else pixels.mean((0, 1), dtype=np.float64)
    gray = float(means @ _GRAY if len(means) == 3 else means.mean())
    return tensor(cv2.addWeighted(pixels, factor, pixels, 0.0, gray * (1 - factor)), image)


def _saturate(image: Tensor, factor: float) -> Tensor:
    if len(image) != 3:
        return image
    return tensor(cv2.transform(array(image), factor * np.eye(3) + (1 - factor) * _GRAY), image)


_bytes = (_brighten, _contrast, _saturate)


def _contrast_of_floats(image: Tensor, factor: float) -> Tensor:
    if len(image) in (1, 3):  # what torchvision takes
        adjusted: Tensor = F.adjust_contrast(image, factor)
        return adjusted
    return image.mul(factor).add_((1 - factor) * float(image.mean())).clamp_(0, 1)


def _brighten_floats(image: Tensor, factor: float) -> Tensor:
    return F.adjust_brightness(image, factor) if len(image) in (1, 3) else image.mul(factor).clamp_(0, 1)


def _saturate_floats(image: Tensor, factor: float) -> Tensor:
    return F.adjust_saturation(image, factor) if len(image) == 3 else image


_floats = (_brighten_floats, _contrast_of_floats, _saturate_floats)


class Illumination:
    """Other lighting: a gamma curve, and a gradient of brightness in a random direction, as from a lamp at one side.

    Args:
        gamma: least and greatest exponent of values in 0..1; an exponent and its inverse are equally likely.
        gradient: greatest change at the edges, as a share of the brightness; uniform in 0..gradient.
    """

    def __init__(self, *, gamma: tuple[float, float] = (0.7, 1.4), gradient: float = 0.3, p: float = 0.5) -> None:
        self.gamma, self.gradient = checks.bounds("gamma", gamma, above=0), checks.share("gradient", gradient)
        self.p = checks.share("p", p)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        exponent, strength, angle = ratio(self.gamma), uniform(0, self.gradient), uniform(0, 2 * math.pi)
        most = white(image)
        values = array(image).astype(np.float32) / most
        if exponent != 1:
            values = values**exponent
        y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in mask.shape)
        along = math.sin(angle) * y[:, None] + math.cos(angle) * x
        greatest = max(float(abs(along).max()), 1e-6)  # a single pixel has no edge
        values = (values * (1 + strength * along / greatest)[..., None]).clip(0, 1) * most
        return tensor(values if image.is_floating_point() else np.rint(values), image), mask


class Blur:
    """Gaussian blur.

    Args:
        sigma: least and greatest standard deviation in pixels, uniform.
    """

    def __init__(self, *, sigma: tuple[float, float] = (0.1, 2.0), p: float = 0.5) -> None:
        self.sigma, self.p = checks.bounds("sigma", sigma, above=0), checks.share("p", p)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        blurred = cv2.GaussianBlur(array(image), (0, 0), uniform(*self.sigma), borderType=cv2.BORDER_REPLICATE)
        return tensor(blurred, image), mask


class Noise:
    """Gaussian noise, independent for each pixel and channel.

    Args:
        sigma: greatest standard deviation, as a share of the range of values; uniform in 0..sigma.
    """

    def __init__(self, *, sigma: float = 0.05, p: float = 0.5) -> None:
        self.sigma, self.p = checks.number("sigma", sigma, least=0), checks.share("p", p)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not chance(self.p):
            return image, mask
        most = white(image)
        strength = uniform(0, self.sigma) * most
        # drawn in the order of (H, W, C) whatever the memory layout, so that a view and a copy get the same noise
        noise = torch.randn(*image.shape[1:], len(image)).permute(2, 0, 1).mul_(strength)
        noisy = noise.add_(image).clamp_(0, most)
        return (noisy if image.is_floating_point() else noisy.round_()).to(image.dtype), mask
