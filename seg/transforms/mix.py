"""Several images combined into one: CutMix, Mosaic, ClassMix. Every pixel keeps its label.

As functions they take a batch; as classes they are steps of a `seg.transforms.Compose`, which supplies other images.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from seg.files import checks
from seg.labels import IGNORE
from seg.transforms.draw import integer
from seg.transforms.pixels import canvas

ImageMask = tuple[Tensor, Tensor]
"""An image (C, H, W) and its mask (H, W)."""


def cutmix(images: Tensor, masks: Tensor, *, alpha: float = 1.0) -> ImageMask:
    """Paste a box of another image into each image, with its labels (Yun et al. 2019; French et al. 2020).

    Args:
        images, masks: (N, C, H, W) and (N, H, W); not written to.
        alpha: the box's share of the area is drawn from Beta(alpha, alpha); the box is clipped at the border.
    """
    mix = CutMix(alpha=alpha)
    return _batch(images, masks, mix, masks.shape[1:])


def classmix(images: Tensor, masks: Tensor) -> ImageMask:
    """Paste the pixels of half of the classes of another image into each image (Olsson et al. 2021).

    Args:
        images, masks: (N, C, H, W) and (N, H, W); not written to.
    """
    return _batch(images, masks, ClassMix(), masks.shape[1:])


def mosaic(images: Tensor, masks: Tensor, size: tuple[int, int]) -> ImageMask:
    """Arrange each image and three others around a random point (Bochkovskiy et al. 2020).

    Args:
        images, masks: (N, C, H, W) and (N, H, W); not written to.
        size: (height, width) of the results in pixels.

    Returns:
        (N, C, \\*size) and (N, \\*size).
    """
    return _batch(images, masks, Mosaic(size=size), size)


def _batch(images: Tensor, masks: Tensor, mix: "Mix", size: Sequence[int]) -> ImageMask:
    """Each image mixed with those that follow it at random distances; with itself only if there is no other."""
    if images.ndim != 4 or masks.ndim != 3 or len(images) != len(masks) or images.shape[2:] != masks.shape[1:]:
        raise ValueError(
            f"images, masks: expected (N, C, H, W) and (N, H, W), got {tuple(images.shape)} and {tuple(masks.shape)}"
        )
    count = len(images)
    mixed_images, mixed_masks = images.new_empty(count, images.shape[1], *size), masks.new_empty(count, *size)
    steps = [1 + integer(max(count - 2, 0)) for _ in range(mix.others)]
    for index in range(count):
        chosen = [index, *((index + step) % count for step in steps)]
        mixed_images[index], mixed_masks[index] = mix.mix([(images[i], masks[i]) for i in chosen])
    return mixed_images, mixed_masks


class Mix(ABC):
    """A step of a `seg.transforms.Compose` that combines several images into one.

    Attributes:
        others: number of images that it takes besides the current one.
        p: probability that it does anything at all.
    """

    others: ClassVar[int] = 1

    def __init__(self, p: float) -> None:
        self.p = checks.share("p", p)

    @abstractmethod
    def mix(self, sources: Sequence[ImageMask]) -> ImageMask:
        """One image of 1 + ``others``, which may differ in size; the first is the current one. None is written to."""

    def __call__(self, image: Tensor, mask: Tensor) -> ImageMask:
        name = type(self).__name__
        raise ValueError(
            f"{name}: expected {1 + self.others} images, got 1; put it in a Compose, or use {name.lower()}() on a batch"
        )


class CutMix(Mix):
    """See `cutmix`; the box is also clipped at the border of the other image, if that is smaller."""

    def __init__(self, *, alpha: float = 1.0, p: float = 0.5) -> None:
        super().__init__(p)
        self.alpha = checks.number("alpha", alpha, above=0)

    def mix(self, sources: Sequence[ImageMask]) -> ImageMask:
        """See `Mix.mix`."""
        (image, mask), (other, other_mask) = sources
        # Beta from two Gammas, both from torch's default generator
        gamma = torch._standard_gamma(torch.full((2,), float(self.alpha)))
        share = float(gamma[0] / gamma.sum().clamp(min=1e-30)) ** 0.5  # of the sides, for that share of the area
        spans = []
        for side, other_side in zip(mask.shape, other_mask.shape, strict=True):
            length = round(share * side)
            start = integer(side - 1) - length // 2
            spans.append(slice(max(start, 0), max(min(start + length, side, other_side), 0)))
        rows, columns = spans
        image, mask = image.clone(), mask.clone()
        image[:, rows, columns] = other[:, rows, columns]
        mask[rows, columns] = other_mask[rows, columns]
        return image, mask


class ClassMix(Mix):
    """See `classmix`; a smaller other image is placed at the top left. Its ignored pixels are not pasted."""

    def __init__(self, *, p: float = 0.5) -> None:
        super().__init__(p)

    def mix(self, sources: Sequence[ImageMask]) -> ImageMask:
        """See `Mix.mix`."""
        (image, mask), (other, other_mask) = sources
        height, width = (min(sides) for sides in zip(mask.shape, other_mask.shape, strict=True))
        other, other_mask = other[:, :height, :width], other_mask[:height, :width]
        labels = other_mask.byte()
        classes = torch.bincount(labels.flatten(), minlength=IGNORE)[:IGNORE].nonzero()[:, 0]
        chosen = classes[torch.randperm(len(classes))[: (len(classes) + 1) // 2]]
        pasted = torch.isin(labels, chosen)
        image, mask = image.clone(), mask.clone()
        image[:, :height, :width] = torch.where(pasted, other, image[:, :height, :width])
        mask[:height, :width] = torch.where(pasted, other_mask, mask[:height, :width])
        return image, mask


class Mosaic(Mix):
    """Four images in the quarters around a point in the middle half; see `mosaic`.

    Of each a random window is taken; one smaller than its quarter is shown whole, with 0 (mask: 255) around it.

    Args:
        size: (height, width) of the result in pixels; None = that of the current image.
    """

    others = 3

    def __init__(self, *, size: tuple[int, int] | None = None, p: float = 0.5) -> None:
        super().__init__(p)
        self.size = None if size is None else checks.sides("size", size)

    def mix(self, sources: Sequence[ImageMask]) -> ImageMask:
        """See `Mix.mix`."""
        image, mask = sources[0]
        height, width = self.size or mask.shape
        y, x = (side // 4 + integer(side // 2) for side in (height, width))
        if image.device.type == "cpu":  # where OpenCV works on it afterwards, and wants its memory layout
            image, mask = canvas(image, mask, height, width)
        else:
            image, mask = image.new_zeros(len(image), height, width), mask.new_full((height, width), IGNORE)
        quarters = [(rows, columns) for rows in ((0, y), (y, height)) for columns in ((0, x), (x, width))]
        for source, quarter in zip(sources, quarters, strict=True):
            _place(source, image, mask, quarter)
        return image, mask


def _place(source: ImageMask, image: Tensor, mask: Tensor, quarter: Sequence[tuple[int, int]]) -> None:
    """Write a random window of ``source`` into (start, end) rows and columns of ``image`` and ``mask``."""
    taken, target = [], []
    for side, (start, end) in zip(source[1].shape, quarter, strict=True):
        length = min(side, end - start)
        first, into = integer(side - length), start + integer(end - start - length)
        taken.append(slice(first, first + length))
        target.append(slice(into, into + length))
    image[:, target[0], target[1]] = source[0][:, taken[0], taken[1]]
    mask[target[0], target[1]] = source[1][taken[0], taken[1]]
