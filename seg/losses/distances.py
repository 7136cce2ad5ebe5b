"""Distance maps for the losses that take them, made where the data is loaded."""

import inspect
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from seg.losses._distance import signed_distance
from seg.losses.weighted_sum import WeightedSum


def distances_for(loss: nn.Module, classes: int) -> Callable[[Tensor], Tensor] | None:
    """The function that makes the ``distance`` taken by ``loss`` or by one of its terms at any depth; None if none is.

    It takes a mask (H, W), and can be pickled to go to a loading worker. The maps are float32: half precision would
    round them, and converting them back costs the training process more than the smaller transfer saves. If all terms
    with distances name the same ``classes``, only their maps (len(classes), H, W) are made and moved; otherwise those
    of all classes (C, H, W), with zeros for the classes that no term names.

    Raises:
        ValueError: the loss names a class that does not exist.
    """
    takers = [module for module in loss.modules() if _takes_distance(module) and not isinstance(module, WeightedSum)]
    if not takers or not _takes_distance(loss):
        return None
    wanted = [getattr(module, "classes", None) or list(range(classes)) for module in takers]
    union = sorted({index for indices in wanted for index in indices})
    if union[-1] >= classes:
        raise ValueError(f"classes: expected class indices 0..{classes - 1}, got {union}")
    if len(wanted[0]) < classes and all(indices == wanted[0] for indices in wanted):
        return partial(_maps_of, classes=classes, only=list(wanted[0]))
    return partial(signed_distance, classes=classes, only=union)


def _takes_distance(module: nn.Module) -> bool:
    return "distance" in inspect.signature(module.forward).parameters


def _maps_of(mask: Tensor, *, classes: int, only: list[int]) -> Tensor:
    return signed_distance(mask, classes, only=only)[only]
