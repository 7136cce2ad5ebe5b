"""Some images of a folder, evenly chosen and normalised, for what measures or calibrates a model."""

import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seg.data.pairs import list_images, one
from seg.data.pairs.images import images_of
from seg.images import Reading, read_image
from seg.images.oddities import left_out_pages
from seg.models import Normalization

log = logging.getLogger(__name__)

T = TypeVar("T")

CALIBRATE = 64
"""Images to calibrate with, at most."""


def spread(items: Sequence[T], most: int) -> list[T]:
    """Choose at most so many, evenly from all over the list."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def calibration_images(source: str | Path) -> list[Path]:
    """Choose images to calibrate with, from those of a folder or list.

    Raises:
        ValueError: there are none.
    """
    return spread(list(images_of(Path(source), "{}").values()), CALIBRATE)


def batches_of(
    folder: str | Path,
    normalization: Normalization,
    reading: Reading,
    *,
    image_template: str = "{}",
    number: int = 64,
    batch: int = 8,
    size: Sequence[int] | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """Read normalised images (N, channels, H, W), all of one size; the last batch has at least two.

    Args:
        number: images at most, spread over the folder.
        size: height and width that they are scaled to; None = those of the first one, in multiples of 32.
        seed: of their order.

    Raises:
        ValueError: less than two images, or one that cannot be read.
    """
    paths = list(list_images(one(folder, "images"), image_template).values())
    chosen = spread(paths, number)
    if len(chosen) < 2:
        raise ValueError(f"images: expected at least two in '{folder}', got {len(chosen)}; give a folder with more")
    random.Random(seed).shuffle(chosen)  # neighbours by name look alike, and would hide variance from a batch
    if text := left_out_pages(chosen, reading):
        log.warning(text)
    images = [torch.from_numpy(read_image(path, reading)) for path in chosen]
    height, width = size or (max(side // 32, 1) * 32 for side in images[0].shape[:2])
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in normalization)
    scaled = [
        F.interpolate(
            image.permute(2, 0, 1)[None].float() / 255, (height, width), mode="bilinear", antialias=True
        ).sub(mean).div(std)
        for image in images
    ]  # fmt: skip
    parts = max(len(scaled) // batch, 1)
    return [torch.cat(scaled[i * len(scaled) // parts : (i + 1) * len(scaled) // parts]) for i in range(parts)]
