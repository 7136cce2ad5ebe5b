"""What ``data.cache`` names: decoded images and masks, kept in memory or on disk."""

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning.fabric import Fabric

from seg.commands._data import Data
from seg.commands._device import told_by_first
from seg.files.memo import cache_folder
from seg.images.cached import Cache, DiskCache, MemoryCache, free_memory

log = logging.getLogger(__name__)

CACHES = ("ram", "disk")
_SPARE = 0.9  # share of the free space that may be taken


def check_cache(kind: Any) -> None:
    """Refuse an unknown cache, before data are read."""
    if kind not in (None, *CACHES):
        raise ValueError(f"data.cache: expected null, {' or '.join(CACHES)}, got {kind!r}; choose one")


def make_cache(kind: str | None, data: Data, fabric: Fabric) -> Cache | None:
    """The cache of a run, on every process; says what it takes.

    Raises:
        ValueError: it does not fit.
    """
    if kind is None:
        return None
    sizes = [*data.train_sizes, *data.val_sizes]
    shapes: dict[Path, tuple[int, ...]] = {}
    for pair, size in zip([*data.train, *data.val], sizes, strict=True):
        shapes |= {pair.image: (*size, data.reading.channels), pair.mask: size}
        if pair.instances is not None:
            shapes[pair.instances] = size[0], 2 * size[1]  # 16 bits
    disk = DiskCache(cache_folder() / "pixels", f"{data.reading}, {data.labels.classes}, OpenCV {cv2.__version__}")
    told_by_first(fabric, lambda: _check_space(kind, shapes, disk))
    if kind == "disk":
        return disk
    cache = MemoryCache(shapes.items()) if fabric.local_rank == 0 else None
    if fabric.world_size == 1:
        return cache
    made: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(made, (fabric.node_rank, cache.address if cache else None))
    (address,) = (found for node, found in made if node == fabric.node_rank and found)
    return cache or MemoryCache(shapes.items(), address)


def _check_space(kind: str, shapes: dict[Path, tuple[int, ...]], disk: DiskCache) -> None:
    """Say how much a cache takes, and refuse it where there is not as much.

    Raises:
        ValueError: there is less.
    """
    missing = shapes if kind == "ram" else {path: s for path, s in shapes.items() if not disk.path(path).exists()}
    wanted = sum(math.prod(shape) for shape in missing.values())
    if kind == "ram":
        free, where = free_memory(), "memory, once for all processes"
    else:
        folder = next(folder for folder in (disk.folder, *disk.folder.parents) if folder.exists())
        free, where = shutil.disk_usage(folder).free, f"disk in {disk.folder}, which may be deleted at any time"
    if wanted > _SPARE * free:
        other = "disk" if kind == "ram" else "ram"
        raise ValueError(
            f"data.cache: expected at most {_gigabytes(_SPARE * free)} for {kind}, which is {_SPARE:.0%} of what is "
            f"free, got {_gigabytes(wanted)} of decoded images and masks; give data.cache={other}, or null"
        )
    there = "" if len(missing) == len(shapes) else f"; {len(shapes) - len(missing)} of {len(shapes)} files are there"
    log.info(f"data.cache={kind}: takes {_gigabytes(wanted)} of {where}{there}")


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
