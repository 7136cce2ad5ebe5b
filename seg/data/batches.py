"""Batches: what a training step and an evaluation are given, in which order, and the loader that makes them."""

import atexit
import math
import multiprocessing
import signal
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate
from torch.utils.data.dataloader import _BaseDataLoaderIter

from seg.data.dataset import Key, Sample
from seg.data.sampling import SAMPLERS
from seg.files import checks

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made and loaded.

    Args:
        batch: images a batch, over all devices.
        val_batch: whole images of one size validated at once, on each device; None = see `validation_batch`.
        workers: loading processes a device.
        sampler: see `seg.data.sampling.sampling_weights`.
        repeat_below: share of the images below which a class is rare for the sampler ``repeat``.

    Raises:
        ValueError: another value.
    """

    batch: int = 8
    val_batch: int | None = None
    workers: int = 2
    sampler: str | None = None
    repeat_below: float = 0.5

    def __post_init__(self) -> None:
        checks.whole("loader.batch", self.batch, 1)
        if self.val_batch is not None:
            checks.whole("loader.val_batch", self.val_batch, 1)
        checks.whole("loader.workers", self.workers, 0, 1024)
        checks.choice("loader.sampler", self.sampler, (None, *SAMPLERS))
        checks.share("loader.repeat_below", self.repeat_below, "the images", least=False)

    def validation_batch(self, crop: Sequence[int], sizes: Sequence[tuple[int, int]], *, world: int = 1) -> int:
        """Choose how many whole images are validated at once: more than one is faster, and a training step needs more
        memory.

        Args:
            crop: (height, width) of a training sample.
            sizes: of the validation images.
            world: number of processes.
        """
        if self.val_batch is not None:
            return self.val_batch
        images = self.batch // world
        largest = max(height * width for height, width in sizes)
        return max(1, min(images, images * math.prod(crop) // largest))


class Batch(NamedTuple):
    """Samples stacked along a first axis N.

    Attributes:
        images: (N, 3, H, W) float32, normalised.
        masks: (N, H, W) uint8, 255 = ignore.
        index: (N,) int64, positions in the dataset.
        extra: what the objective prepared of the masks, by name, such as ``distance (N, C, H, W)``.
    """

    images: Tensor
    masks: Tensor
    index: Tensor  # type: ignore[assignment]  # of the tuple method that nobody needs here
    extra: dict[str, Any]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size."""
    return Batch(*default_collate([tuple(sample) for sample in samples]))


class TrainBatches(Sampler[list[Key]]):
    """Keys of shuffled, full batches; the order depends on (seed, epoch) alone, so that a run can go on anywhere.

    Args:
        size: number of samples.
        batch: samples a batch, over all processes; fewer when there are not as many.
        seed: of the order.
        accumulate: batches that make a step.
        weights: (size,) how often to draw each sample, in proportion, such as `balanced` and `repeat_factors` give;
            None = each once an epoch. An epoch has as many samples as without.
        rank, world: this process takes every ``world``-th sample of each batch.

    Raises:
        ValueError: batches that cannot be shared among the processes, too few samples for a step, or no such weights.
    """

    def __init__(
        self,
        size: int,
        *,
        batch: int,
        seed: int,
        accumulate: int = 1,
        weights: Sequence[float] | NDArray[np.float64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        batch = min(batch, size)
        if batch < 1 or batch % world:
            raise ValueError(
                f"loader.batch: expected a positive multiple of {world} processes, got {batch} ({size} samples)"
            )
        if batch * accumulate > size:
            raise ValueError(
                f"fit.accumulate: expected at least {batch * accumulate} samples for a step of {accumulate} batches of "
                f"{batch}, got {size}; lower fit.accumulate or loader.batch"
            )
        self.size, self.batch, self.seed, self.rank, self.world = size, batch, seed, rank, world
        self.accumulate = accumulate
        self.weights = None if weights is None else _checked(weights, size)
        self.epoch = self.start = 0
        self.end = len(self)

    def __len__(self) -> int:
        """Count the steps of a whole epoch."""
        return self.size // (self.batch * self.accumulate)

    def go_to(self, epoch: int, step: int, end: int | None = None) -> None:
        """Make the next iteration yield the batches of ``epoch`` from ``step`` to ``end``."""
        self.epoch, self.start, self.end = epoch, step, len(self) if end is None else end

    def __iter__(self) -> Iterator[list[Key]]:
        keys = self.keys()
        for number in range(self.start * self.accumulate, self.end * self.accumulate):
            batch = keys[number * self.batch : (number + 1) * self.batch]
            yield batch[self.rank :: self.world]

    def keys(self) -> list[Key]:
        """Return the keys of this epoch in order; those of one sample differ, so that its augmentations do."""
        drawn: Counter[int] = Counter()
        keys: list[Key] = []
        for index in self.order():
            again = drawn[index]
            keys.append((self.epoch, index, again) if again else (self.epoch, index))
            drawn[index] += 1
        return keys

    def order(self) -> list[int]:
        """Return the indices of the samples in this epoch."""
        generator = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
        order = generator.permutation(self.size)
        if self.weights is not None:
            # Systematic sampling: marks at equal distances on a line where each sample has the length of its weight.
            # Each is drawn as often as expected, rounded down or up; independent draws would vary far more.
            ends = np.cumsum(self.weights[order])
            marks = (np.arange(self.size) + generator.random()) * (ends[-1] / self.size)
            marks = np.minimum(marks, np.nextafter(ends[-1], 0))
            order = generator.permutation(order[np.searchsorted(ends, marks, side="right")])
        numbers: list[int] = order.tolist()
        return numbers


def _checked(weights: Sequence[float] | NDArray[np.float64], size: int) -> NDArray[np.float64]:
    array = np.asarray(weights, np.float64)
    if array.shape != (size,) or not np.isfinite(array).all() or (array < 0).any() or not array.any():
        raise ValueError(
            f"weights: expected {size} numbers of at least 0, not all of them 0, got {array.shape} from "
            f"{array.min(initial=np.inf)} to {array.max(initial=-np.inf)}; give one for each sample"
        )
    return array


class EvaluationBatches(Sampler[list[int]]):
    """Every index once, in batches of images of one size: padding would make scores depend on the rest of the batch.

    Args:
        sizes: of the images, (height, width) or anything that is equal for equal sizes.
        batch: images a batch, on each process.
        rank, world: this process takes every ``world``-th image.
    """

    def __init__(self, sizes: Sequence[Any], *, batch: int, rank: int = 0, world: int = 1) -> None:
        groups: dict[Any, list[int]] = {}
        for index in range(rank, len(sizes), world):
            groups.setdefault(sizes[index], []).append(index)
        self.batches = [group[i : i + batch] for group in groups.values() for i in range(0, len(group), batch)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def make_loader(
    dataset: Any,
    batches: Any,
    *,
    workers: int,
    device: torch.device,
    fabric: "Fabric | None" = None,
    collate_fn: Callable[[Sequence[Any]], Any] = collate,
) -> DataLoader[Any]:
    """Make a loader over ``batches`` whose iteration leaves the global RNG alone.

    Its workers outlive Ctrl-C and SIGTERM, which reach every process of a group: the main one finishes its step
    first, and needs them for that.

    Args:
        dataset: has an item for each key in ``batches``, such as a `seg.data.dataset.Sample`.
        batches: `TrainBatches` or `EvaluationBatches`.
        workers: loading processes; 0 = load in this one.
        device: where the batches will go.
        fabric: moves the batches there, if given.
        collate_fn: items -> batch.
    """
    loader = _Loader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate_fn,
        num_workers=workers,
        multiprocessing_context=_context() if workers else None,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # iter() draws a base seed, from the global RNG otherwise
    )
    atexit.register(_release_at_exit, weakref.ref(loader))
    if fabric is None:
        return loader
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)  # type: ignore[return-value]


def _context() -> str | None:
    """Return how loading processes start where joblib set a way of its own, which only its own processes can go."""
    ways = multiprocessing.get_all_start_methods()  # the platform's default first
    return None if multiprocessing.get_start_method(allow_none=True) in (None, *ways) else ways[0]


class _Loader(DataLoader[Any]):
    """One that leaves no worker behind if not all of them can be started."""

    def _get_iterator(self) -> Any:
        before = set(multiprocessing.active_children())
        try:
            return super()._get_iterator()
        except BaseException as error:
            for worker in set(multiprocessing.active_children()) - before:
                worker.kill()  # they ignore the SIGTERM that multiprocessing would send them at exit
            for frame, _ in traceback.walk_tb(error.__traceback__):
                if isinstance(half := frame.f_locals.get("self"), _BaseDataLoaderIter):
                    half._shutdown = True  # type: ignore[attr-defined]  # its destructor would fail on what it lacks
            if not isinstance(error, OSError):
                raise
            raise OSError(
                f"loader.workers: expected to start {self.num_workers} loading processes, got '{error.strerror}'; "
                "lower it, or raise the system's limits (ulimit -n, ulimit -u)"
            ) from None


def _start_worker(_: int) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # a core a worker: OpenCV would start one thread for every core in each


def release_workers(loader: Any) -> None:
    """End the workers of a loader of `make_loader`; going through it again would start others."""
    loader = getattr(loader, "_dataloader", loader)  # Fabric's wrapper
    if (workers := getattr(loader, "_iterator", None)) is not None:
        workers._shutdown_workers()
        loader._iterator = None


def _release_at_exit(loader: "weakref.ref[DataLoader[Any]]") -> None:
    """Do it for a loader that lives on at exit: multiprocessing would send its workers a SIGTERM, and wait."""
    if (alive := loader()) is not None:
        release_workers(alive)
