"""Augmentations of image and mask together.

A transform is a callable ``(image (C, H, W) uint8 or float, mask (H, W) uint8) -> (image, mask)`` that draws from the
torch RNG and never writes its inputs. Pixels that an image does not cover become 0 in the image and 255 in the mask.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from seg.labels import IGNORE

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))


def _integer(most: int) -> int:
    """Uniform in 0..most."""
    return int(torch.randint(most + 1, ()))


def _check_share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a probability in 0..1, got {value}")
    return value


def _pad(image: Tensor, mask: Tensor, padding: list[int]) -> tuple[Tensor, Tensor]:
    """Padding in pixels: left, top, right, bottom."""
    return F.pad(image, padding, fill=0), F.pad(mask[None], padding, fill=IGNORE)[0]


class Compose:
    """Named transforms in order; a name set to None is left out (``augment.color=null``)."""

    def __init__(self, **transforms: Transform | None) -> None:
        self.transforms = {name: t for name, t in transforms.items() if t is not None}

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        for transform in self.transforms.values():
            image, mask = transform(image, mask)
        return image, mask


class Flip:
    """Mirror left and right with probability ``p``."""

    def __init__(self, *, p: float = 0.5) -> None:
        self.p = _check_share("p", p)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if _uniform(0, 1) >= self.p:
            return image, mask
        return image.flip(-1), mask.flip(-1)


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
        if size is not None and (len(size) != 2 or min(size) < multiple or any(s % multiple for s in size)):
            raise ValueError(f"size: expected (height, width) in multiples of {multiple}, got {tuple(size)}")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale: expected 0 < least <= greatest, got {tuple(scale)}")
        self.size, self.scale, self.multiple = size, scale, multiple

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.size or (max(s // self.multiple, 1) * self.multiple for s in mask.shape)
        low, high = self.scale
        factor = low * (high / low) ** _uniform(0, 1)
        window = (height / factor, width / factor)
        shape = [max(round(min(have, want)), 1) for have, want in zip(mask.shape, window, strict=True)]
        top, left = (_integer(have - taken) for have, taken in zip(mask.shape, shape, strict=True))
        image = image[..., top : top + shape[0], left : left + shape[1]]
        mask = mask[top : top + shape[0], left : left + shape[1]]
        # scaled before it is padded: the padding's black must not bleed into the image
        scaled = [
            size if taken >= round(want) else min(max(round(taken * factor), 1), size)
            for taken, want, size in zip(shape, window, (height, width), strict=True)
        ]
        image = F.resize(image, scaled, InterpolationMode.BILINEAR, antialias=True)
        mask = F.resize(mask[None], scaled, InterpolationMode.NEAREST_EXACT)[0]
        right, bottom = width - scaled[1], height - scaled[0]
        # on all sides at random: were it always right and below, models would go wrong along just those edges
        left, top = _integer(right), _integer(bottom)
        return _pad(image, mask, [left, top, right - left, bottom - top])


class Pad:
    """Pad right and bottom to a multiple of ``multiple`` pixels."""

    def __init__(self, *, multiple: int = 32) -> None:
        if multiple < 1:
            raise ValueError(f"multiple: expected at least 1 pixel, got {multiple}")
        self.multiple = multiple

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return _pad(image, mask, [0, 0, -mask.shape[1] % self.multiple, -mask.shape[0] % self.multiple])


class ColorJitter:
    """Random brightness, contrast, saturation and hue; the mask stays.

    Args:
        brightness, contrast, saturation: factors are uniform in 1 - value .. 1 + value, not below 0.
        hue: shift, uniform in -hue .. hue of the colour circle, at most 0.5; slow, so off unless asked for.
    """

    def __init__(
        self,
        *,
        brightness: float = 0.3,
        contrast: float = 0.3,
        saturation: float = 0.3,
        hue: float = 0.0,
    ) -> None:
        if min(brightness, contrast, saturation) < 0 or not 0 <= hue <= 0.5:
            got = (brightness, contrast, saturation, hue)
            raise ValueError(f"brightness, contrast, saturation: expected >= 0, hue 0..0.5, got {got}")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        for strength, adjust in (
            (self.brightness, F.adjust_brightness),
            (self.contrast, F.adjust_contrast),
            (self.saturation, F.adjust_saturation),
        ):
            if strength:
                image = adjust(image, _uniform(max(1 - strength, 0), 1 + strength))
        if self.hue:
            image = F.adjust_hue(image, _uniform(-self.hue, self.hue))
        return image, mask
