"""Distance maps for a loss that takes them, made where the data is loaded."""

import inspect
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from seg.losses._distance import signed_distance
from seg.losses.weighted_sum import WeightedSum


def distances_for(loss: nn.Module, classes: int) -> Callable[[Tensor], Tensor] | None:
    """What makes the ``distance`` that ``loss`` takes, or a term of it at any depth; None if none does.

    The function takes a mask (H, W) and may go to another process. It makes float32: half of that would be rounded,
    and costs the process that trains more than it saves. If the takers agree on their ``classes``, only these maps
    (len(classes), H, W) are made and moved, else those of all classes (C, H, W), with zeros where nobody looks.

    Raises:
        ValueError: the loss names a class that is not there.
    """
    takers = [module for module in loss.modules() if _takes(module) and not isinstance(module, WeightedSum)]
    if not takers or not _takes(loss):
        return None
    wanted = [getattr(module, "classes", None) or list(range(classes)) for module in takers]
    every = sorted({index for own in wanted for index in own})
    if every[-1] >= classes:
        raise ValueError(f"classes: expected class indices 0..{classes - 1}, got {every}")
    if len(wanted[0]) < classes and all(own == wanted[0] for own in wanted):
        return partial(_maps_of, classes=classes, only=list(wanted[0]))
    return partial(signed_distance, classes=classes, only=every)


def _takes(module: nn.Module) -> bool:
    return "distance" in inspect.signature(module.forward).parameters


def _maps_of(mask: Tensor, *, classes: int, only: list[int]) -> Tensor:
    return signed_distance(mask, classes, only=only)[only]
