"""Distance maps for a loss that takes them, made where the data is loaded."""

import inspect
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from seg.losses.boundary import signed_distance
from seg.losses.weighted_sum import WeightedSum


def distances_for(loss: nn.Module, classes: int) -> Callable[[Tensor], Tensor] | None:
    """What makes the ``distance`` that ``loss`` takes, or a term of it at any depth; None if none does.

    The function takes a mask (H, W) and may go to another process. It makes float32: half of that would be rounded,
    and costs the process that trains more than it saves. If the takers agree on their ``classes``, only these maps
    (len(classes), H, W) are made and moved, else those of all classes (C, H, W), with zeros where nobody looks.
    """
    wanted = [getattr(module, "classes", None) for module in loss.modules() if _takes(module) and not _passes(module)]
    if not wanted or not _takes(loss):
        return None
    first = wanted[0]
    if first is not None and len(first) < classes and all(own == first for own in wanted):
        return partial(_maps_of, classes=classes, only=list(first))
    some = {index for own in wanted for index in (range(classes) if own is None else own)}
    return partial(signed_distance, classes=classes, only=sorted(some))


def _takes(module: nn.Module) -> bool:
    return "distance" in inspect.signature(module.forward).parameters


def _passes(module: nn.Module) -> bool:
    return isinstance(module, WeightedSum)


def _maps_of(mask: Tensor, *, classes: int, only: list[int]) -> Tensor:
    return signed_distance(mask, classes, only=only)[only]
