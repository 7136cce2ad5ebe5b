"""Samples: pairs of images and masks as tensors."""

import inspect
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from seg.data.cache import Cache
from seg.data.pairs import Pair
from seg.images import RGB, Reading, read_image, read_instances, read_mask

if TYPE_CHECKING:
    from seg.transforms import Transform

Key = tuple[int, int] | tuple[int, int, int]
"""(epoch, index): all that the randomness of a sample depends on, besides the seed; a sample that comes again in its
epoch has a third number, which counts from 1."""


class Sample(NamedTuple):
    """One pair as tensors.

    Attributes:
        image: (channels, H, W) float32, normalised.
        mask: (H, W) uint8, 255 = ignore.
        index: position in the dataset.
        extra: what was prepared of the mask, by name; see `SegmentationDataset`.
    """

    image: Tensor
    mask: Tensor
    index: int  # type: ignore[assignment]  # of the tuple method that nobody needs here
    extra: dict[str, Any]


class SegmentationDataset(Dataset[Sample]):
    """Samples of pairs, by index or by `Key`.

    Args:
        pairs: files, as `pair` gives them.
        classes: number of classes; a mask with a higher value is an error.
        mean, std: of each channel, for images scaled to 0..1.
        reading: how images are read.
        transform: applied to (uint8 image, mask); None for evaluation. One that mixes samples reads the others here
            (``set_source``); one that ramps is told the epoch of each sample (``set_progress``), which makes it the
            same in every loading worker and after a resume.
        epochs: of the whole run, for what ramps.
        seed: with the (epoch, index) of the key it decides all randomness of the transform.
        prepare: transformed mask (H, W) -> the sample's ``extra``, such as distance maps; called here, and so in the
            loading workers. One that takes ``instances`` is given (H, W) int32 too, the number of the object at each
            pixel, 0 = none, or None of a pair without them; numbers of images that a transform mixes differ.
        cache: keeps decoded files.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        reading: Reading = RGB,
        transform: "Transform | None" = None,
        seed: int = 0,
        epochs: int = 1,
        prepare: Callable[..., dict[str, Any]] | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.pairs = list(pairs)
        self.classes = classes
        self.mean, self.std = (torch.tensor(values, dtype=torch.float32) for values in (mean, std))
        self.reading = reading
        self.transform = transform
        self.seed, self.epochs = seed, epochs
        self.prepare, self.cache = prepare, cache
        self.numbered = prepare is not None and "instances" in inspect.signature(prepare).parameters
        self._read = 0  # images of the current sample
        set_source = getattr(transform, "set_source", None)
        if callable(set_source):
            set_source(self.read, len(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: int | Key) -> Sample:
        image, mask = self.transformed(key)
        index = key[1] if isinstance(key, tuple) else key
        more = {"instances": self._instances(mask, index)} if self.numbered else {}
        image, mask = self._normalized(image), mask.byte().contiguous()
        return Sample(image, mask, index, self.prepare(mask, **more) if self.prepare else {})

    def _instances(self, mask: Tensor, index: int) -> Tensor | None:
        """Return the numbers of a mask, if its pair has them."""
        if self.pairs[index].instances is None:
            return None
        if mask.dtype != torch.int32:
            raise ValueError(
                f"transform: expected masks of int32, whose upper bytes hold the numbers of objects, got {mask.dtype}; "
                "keep the type of the mask that it is given"
            )
        return mask >> 8

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Read image (channels, H, W) and mask (H, W) of the files; `seg.transforms` explains its numbers."""
        files = self.pairs[index]
        image = torch.from_numpy(self._decoded(files.image, partial(read_image, files.image, self.reading)))
        mask = torch.from_numpy(self._decoded(files.mask, partial(read_mask, files.mask, self.classes)))
        if self.numbered and files.instances is not None:
            mask = self._with_numbers(mask, files.instances)
        return image.permute(2, 0, 1), mask

    def _with_numbers(self, mask: Tensor, path: Path) -> Tensor:
        """Return int32: the class in 8 bits, the number of the object in 16, in 8 the number of images read before."""
        numbers = self._decoded(path, lambda: read_instances(path).view(np.uint8)).view(np.uint16).astype(np.int32)
        earlier = np.uint8(self._read).view(np.int8)
        self._read = (self._read + 1) % 256
        objects = torch.from_numpy(np.where(numbers > 0, numbers << 8 | int(earlier) << 24, 0))
        return mask.int() | objects

    def _decoded(self, path: Path, decode: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return decode() if self.cache is None else self.cache.get(path, decode)

    def transformed(self, key: int | Key) -> tuple[Tensor, Tensor]:
        """Return image (channels, H, W) and mask (H, W), as `read` gives them, after the transform."""
        epoch, index, *again = key if isinstance(key, tuple) else (0, key)
        self._read = 0
        image, mask = self.read(index)
        if self.transform is None:
            return image, mask
        set_progress = getattr(self.transform, "set_progress", None)
        if callable(set_progress):
            set_progress(epoch, self.epochs)
        state = torch.get_rng_state()
        _seed_all(self.seed, epoch, index, *again)
        try:
            return self.transform(image, mask)
        finally:
            torch.set_rng_state(state)  # without workers this process is the one whose dropout must not notice

    def _normalized(self, image: Tensor) -> Tensor:
        """Normalise to float32, in the channels-last memory that files are decoded to.

        By rows of that memory: the channels of a view would be gone through three numbers at a time.
        """
        channels, height, width = image.shape
        rows = image.permute(1, 2, 0).reshape(height, channels * width)
        mean, std = (values.repeat(width) for values in (self.mean, self.std))
        return rows.float().div_(255).sub_(mean).div_(std).view(height, width, channels).permute(2, 0, 1)


def _seed_all(*numbers: int) -> None:
    """Seed every generator that a transform may draw from: a user's own may use NumPy or ``random``."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed & (2**63 - 1))
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002
    random.seed(seed)
