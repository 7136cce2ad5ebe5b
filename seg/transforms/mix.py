"""Several samples made one: CutMix, Mosaic, ClassMix. Labels go with their pixels.

As functions they take a batch; as classes they stand in a `seg.transforms.Compose`, which gives them other samples.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from seg.labels import IGNORE
from seg.transforms._draw import check_least, check_share, check_size, integer
from seg.transforms._pixels import canvas

Sample = tuple[Tensor, Tensor]
"""Image (C, H, W) and mask (H, W)."""


def cutmix(images: Tensor, masks: Tensor, *, alpha: float = 1.0) -> Sample:
    """Paste into each sample a box of another one, with its labels (Yun et al. 2019; French et al. 2020).

    Args:
        images, masks: (N, C, H, W) and (N, H, W); not written.
        alpha: of the Beta(alpha, alpha) that the box's share of the area is drawn from; the box is clipped at the
            border.
    """
    mix = CutMix(alpha=alpha)
    return _batch(images, masks, mix, masks.shape[1:])


def classmix(images: Tensor, masks: Tensor) -> Sample:
    """Paste into each sample the pixels of half of the classes of another one (Olsson et al. 2021).

    Args:
        images, masks: (N, C, H, W) and (N, H, W); not written.
    """
    return _batch(images, masks, ClassMix(), masks.shape[1:])


def mosaic(images: Tensor, masks: Tensor, size: tuple[int, int]) -> Sample:
    """Each result shows itself and three others around a random point (Bochkovskiy et al. 2020).

    Args:
        images, masks: (N, C, H, W) and (N, H, W); not written.
        size: (height, width) of the results in pixels.

    Returns:
        (N, C, \\*size) and (N, \\*size).
    """
    return _batch(images, masks, Mosaic(size=size), size)


def _batch(images: Tensor, masks: Tensor, mix: "Mix", size: Sequence[int]) -> Sample:
    """Each sample mixed with its next ones at a random distance, which are others as far as there are any."""
    if images.ndim != 4 or masks.ndim != 3 or len(images) != len(masks) or images.shape[2:] != masks.shape[1:]:
        raise ValueError(
            f"expected images (N, C, H, W) and masks (N, H, W), got {tuple(images.shape)} and {tuple(masks.shape)}"
        )
    count = len(images)
    out = images.new_empty(count, images.shape[1], *size), masks.new_empty(count, *size)
    steps = [1 + integer(max(count - 2, 0)) for _ in range(mix.others)]
    for index in range(count):
        chosen = [index, *((index + step) % count for step in steps)]
        out[0][index], out[1][index] = mix.mix([(images[i], masks[i]) for i in chosen])
    return out


class Mix(ABC):
    """A step of a `seg.transforms.Compose` that makes one sample of several.

    Attributes:
        others: samples that it takes besides the one at hand.
        p: probability that it does anything at all.
    """

    others: ClassVar[int] = 1

    def __init__(self, p: float) -> None:
        self.p = check_share("p", p)

    @abstractmethod
    def mix(self, samples: Sequence[Sample]) -> Sample:
        """One sample of 1 + ``others``, of any sizes; the first is the one at hand. None is written."""

    def __call__(self, image: Tensor, mask: Tensor) -> Sample:
        raise ValueError(f"{type(self).__name__} takes other samples: put it in a Compose, or use the batch form")


class CutMix(Mix):
    """See `cutmix`; where the other sample is smaller, the box ends with it."""

    def __init__(self, *, alpha: float = 1.0, p: float = 0.5) -> None:
        super().__init__(p)
        if check_least("alpha", alpha) == 0:
            raise ValueError(f"alpha: expected more than 0, got {alpha}")
        self.alpha = alpha

    def mix(self, samples: Sequence[Sample]) -> Sample:
        """See `Mix.mix`."""
        (image, mask), (other, labels) = samples
        gamma = torch._standard_gamma(torch.full((2,), float(self.alpha)))  # Beta by two Gammas, on the global RNG
        share = float(gamma[0] / gamma.sum().clamp(min=1e-30)) ** 0.5
        spans = []
        for side, most in zip(mask.shape, labels.shape, strict=True):
            length = round(share * side)
            start = integer(side - 1) - length // 2
            spans.append(slice(max(start, 0), max(min(start + length, side, most), 0)))
        rows, columns = spans
        image, mask = image.clone(), mask.clone()
        image[:, rows, columns] = other[:, rows, columns]
        mask[rows, columns] = labels[rows, columns]
        return image, mask


class ClassMix(Mix):
    """See `classmix`; a smaller other sample lies at the top left. Ignored pixels of the other are not pasted."""

    def __init__(self, *, p: float = 0.5) -> None:
        super().__init__(p)

    def mix(self, samples: Sequence[Sample]) -> Sample:
        """See `Mix.mix`."""
        (image, mask), (other, labels) = samples
        height, width = (min(sides) for sides in zip(mask.shape, labels.shape, strict=True))
        labels = labels[:height, :width]
        classes = torch.bincount(labels.flatten(), minlength=IGNORE)[:IGNORE].nonzero()[:, 0]
        chosen = classes[torch.randperm(len(classes))[: (len(classes) + 1) // 2]]
        pasted = torch.isin(labels, chosen)
        image, mask = image.clone(), mask.clone()
        image[:, :height, :width] = torch.where(pasted, other[:, :height, :width], image[:, :height, :width])
        mask[:height, :width] = torch.where(pasted, labels, mask[:height, :width])
        return image, mask


class Mosaic(Mix):
    """Four samples in the quarters around a point in the middle half; of each a random window, or all with 0 and
    255 around it where it is smaller than its quarter. See `mosaic`.

    Args:
        size: (height, width) of the result in pixels; None = of the sample at hand.
    """

    others = 3

    def __init__(self, *, size: tuple[int, int] | None = None, p: float = 0.5) -> None:
        super().__init__(p)
        self.size = check_size(size)

    def mix(self, samples: Sequence[Sample]) -> Sample:
        """See `Mix.mix`."""
        image, mask = samples[0]
        height, width = self.size or mask.shape
        y, x = (side // 4 + integer(side // 2) for side in (height, width))
        if image.device.type == "cpu":
            image, mask = canvas(image, height, width)
        else:
            image, mask = image.new_zeros(len(image), height, width), mask.new_full((height, width), IGNORE)
        quarters = [(rows, columns) for rows in ((0, y), (y, height)) for columns in ((0, x), (x, width))]
        for sample, quarter in zip(samples, quarters, strict=True):
            _place(sample, image, mask, quarter)
        return image, mask


def _place(sample: Sample, image: Tensor, mask: Tensor, quarter: Sequence[tuple[int, int]]) -> None:
    source, target = [], []
    for have, (start, end) in zip(sample[1].shape, quarter, strict=True):
        taken = min(have, end - start)
        first, into = integer(have - taken), start + integer(end - start - taken)
        source.append(slice(first, first + taken))
        target.append(slice(into, into + taken))
    image[:, target[0], target[1]] = sample[0][:, source[0], source[1]]
    mask[target[0], target[1]] = sample[1][source[0], source[1]]
