"""Signed distance maps of a mask, and which of them a loss takes."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn


def signed_distance(target: Tensor, classes: int, *, only: Sequence[int] | None = None) -> Tensor:
    """Measure the distance of labelled pixels to the region of each class in pixels: positive outside, negative inside.

    Outside, it is the distance to the nearest labelled pixel of the class; inside, minus the distance to the nearest
    labelled pixel of any other class, plus 1, so that the inner rim is 0. It is 0 at ignored pixels, and everywhere
    if the class has no labelled pixel or all of them. Euclidean and exact, rounded once to float32.

    Args:
        target: (N, H, W) or (H, W) uint8 or int64, 255 = ignore; on any device.
        classes: C, the number of classes.
        only: classes to make maps of; the maps of the others are 0. None = all.

    Returns:
        (N, C, H, W), or (C, H, W), float32 on the CPU.
    """
    if target.ndim not in (2, 3):
        raise ValueError(f"target: expected shape (N, H, W) or (H, W), got {tuple(target.shape)}")
    if target.dtype not in (torch.uint8, torch.int64):
        raise ValueError(f"target: expected uint8 or int64 class indices, got {target.dtype}")
    if only is not None and not all(0 <= index < classes for index in only):
        raise ValueError(f"classes: expected class indices 0..{classes - 1}, got {list(only)}")
    maps: Tensor = _signed_distance(target, classes, None if only is None else list(only))
    return maps


@torch.library.custom_op("seg::signed_distance", mutates_args=())
def _signed_distance(target: Tensor, classes: int, only: list[int] | None) -> Tensor:
    """Do the work of `signed_distance`, as one operation that a compiled graph calls without tracing into it."""
    # imported here, because a checkout where the C++ module was not built can still use the other losses
    from seg import _losses

    masks = (target if target.ndim == 3 else target.unsqueeze(0)).cpu().contiguous().numpy()
    maps = np.zeros((len(masks), classes, *masks.shape[1:]), dtype=np.float32)
    _losses.signed_distances(masks, list(range(classes)) if only is None else only, maps)
    return torch.from_numpy(maps if target.ndim == 3 else maps[0])


@_signed_distance.register_fake
def _(target: Tensor, classes: int, only: list[int] | None) -> Tensor:
    shape = (*target.shape[:-2], classes, *target.shape[-2:])
    return target.new_empty(shape, dtype=torch.float32, device="cpu")


def distances_for(loss: nn.Module, classes: int) -> Callable[[Tensor], Tensor] | None:
    """Return the function that makes the ``distance`` that ``loss``, or one of its terms at any depth, takes.

    None if none of them takes it.

    It takes a mask (H, W), and can be pickled to go to a loading worker. The maps are float32: half precision would
    round them, and converting them back costs the training process more than the smaller transfer saves. If all terms
    with distances name the same ``classes``, only their maps (len(classes), H, W) are made and moved; otherwise those
    of all classes (C, H, W), with zeros for the classes that no term names.

    Raises:
        ValueError: the loss names a class that does not exist.
    """
    takers = [module for module in loss.modules() if _takes_distance(module) and not _is_composite(module)]
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


def _is_composite(module: nn.Module) -> bool:
    """Tell whether a loss hands ``distance`` on to its terms, as `seg.losses.WeightedSum` does."""
    return isinstance(getattr(module, "terms", None), nn.ModuleDict)


def _maps_of(mask: Tensor, *, classes: int, only: list[int]) -> Tensor:
    return signed_distance(mask, classes, only=only)[only]
