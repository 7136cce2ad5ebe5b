"""The processes of a run: what one of them does for all, and what all of them do together."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from seg.data.cache import Cache, MemoryCache, check_space, decoded_shapes, disk_cache
from seg.data.source import Data
from seg.files.errors import AlreadyTold
from seg.training.fabric import Fabric, rank_zero_only

T = TypeVar("T")


def broadcast_from_first(fabric: Fabric, work: Callable[[], T]) -> T:
    """Run ``work`` on rank 0 and broadcast its result to all ranks.

    Raises:
        Exception: what ``work`` raised, on the first process. The others raise `AlreadyTold`: one message is enough.
    """
    told: tuple[T | None, Exception | None] = None, None
    if fabric.is_global_zero:
        try:
            told = work(), None
        except Exception as error:  # of any kind: the others must not wait for an answer for ever
            told = None, error
    found, error_ = fabric.broadcast(told)
    if error_ is not None:
        if fabric.is_global_zero:
            raise error_
        raise AlreadyTold
    return found  # type: ignore[return-value]  # None only where T is


def fail_together(fabric: Fabric, work: Callable[[], T]) -> T:
    """Run ``work`` on every rank. If rank 0 fails, all ranks fail, and only rank 0 reports it.

    Raises:
        Exception: what ``work`` raised; where the first process fails too, it alone tells.
    """
    result, error = None, None
    try:
        result = work()
    except Exception as raised:
        error = raised
    first_failed = fabric.broadcast(error is not None)
    if first_failed and not fabric.is_global_zero:
        raise AlreadyTold
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only where T is


def is_first() -> bool:
    """Tell whether this process is the first of its world, or the only one; known before any launch.

    Asked anew for every job of a sweep, because only the first job starts the other processes.
    """
    rank: int | None = getattr(rank_zero_only, "rank", None)
    return not rank


def shared_cache(kind: str | None, data: Data, fabric: Fabric) -> Cache | None:
    """Make the cache of a run, which all processes of a machine share, and say what it takes.

    Raises:
        ValueError: it does not fit.
    """
    if kind is None:
        return None
    sizes = [*data.train_sizes, *data.val_sizes]
    shapes = decoded_shapes([*data.train, *data.val], sizes, data.reading.channels)
    disk = disk_cache(data.reading, data.labels.classes)
    broadcast_from_first(fabric, lambda: check_space(kind, shapes, disk))
    if kind == "disk":
        return disk
    cache = MemoryCache(shapes.items()) if fabric.local_rank == 0 else None
    if fabric.world_size == 1:
        return cache
    made: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(made, (fabric.node_rank, cache.address if cache else None))
    (address,) = (found for node, found in made if node == fabric.node_rank and found)
    return cache or MemoryCache(shapes.items(), address)


def leave_world() -> None:
    """End the process group: threads that gloo leaves running at the end of a process abort it now and then."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
