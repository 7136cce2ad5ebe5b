"""The loaders of a run: training and validation batches, and the order of the former."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch.utils.data import DataLoader

from seg.data.batches import EvaluationBatches, LoaderOptions, TrainBatches, make_loader
from seg.data.cache import Cache
from seg.data.dataset import SegmentationDataset
from seg.data.sampling import sampling_weights
from seg.data.source import Data
from seg.models import Normalization
from seg.training.fabric import Fabric
from seg.training.options import FitOptions

log = logging.getLogger(__name__)


class Loaders(NamedTuple):
    """What a run is fed with."""

    batches: TrainBatches
    train: DataLoader[Any]
    val: DataLoader[Any]


def make_loaders(
    data: Data,
    options: LoaderOptions,
    fit: FitOptions,
    fabric: Fabric,
    *,
    normalization: Normalization,
    augment: Any,
    prepare: Callable[..., dict[str, Any]],
    seed: int,
    cache: Cache | None = None,
) -> Loaders:
    """Build the loaders; each process gets its share of every batch.

    Args:
        augment: transform of the training samples; one that cuts them says so by ``crop_size``.
        prepare: what workers make of a training mask.
        seed: of order and augmentation.
    """
    dataset = partial(
        SegmentationDataset,
        classes=data.labels.classes,
        mean=normalization[0],
        std=normalization[1],
        reading=data.reading,
        seed=seed,
        cache=cache,
    )
    share = {"rank": fabric.global_rank, "world": fabric.world_size}
    weights = sampling_weights(options.sampler, options.repeat_below, data.train_counts)
    batches = TrainBatches(
        len(data.train), batch=options.batch, seed=seed, accumulate=fit.accumulate, weights=weights, **share
    )
    if options.batch > len(data.train) and fit.overfit is None:
        log.warning(
            f"loader.batch={options.batch}: there are {len(data.train)} training images, and a batch is of them all"
        )
    # nothing prepared for validation: maps of whole images would fill the shared memory, and it waits anyway
    training_set = dataset(data.train, transform=augment, epochs=fit.length(len(batches))[0], prepare=prepare)
    crop = getattr(augment, "crop_size", None) or max(data.train_sizes)
    val_batch = options.validation_batch(crop, data.val_sizes, world=fabric.world_size)
    load = partial(make_loader, workers=options.workers, device=fabric.device, fabric=fabric)
    val_batches = EvaluationBatches(data.val_sizes, batch=val_batch, **share)
    return Loaders(batches, load(training_set, batches), load(dataset(data.val), val_batches))
