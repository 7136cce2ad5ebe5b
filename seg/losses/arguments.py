"""Checks of the tensors and classes that the losses are given."""

from collections.abc import Iterable

import torch
from torch import Tensor

from seg.labels import IGNORE


def check_shapes(logits: Tensor, target: Tensor, *, indices: bool = True) -> None:
    """Check shapes and types always, class ``indices`` only where that costs no synchronisation (eager, CPU).

    Raises:
        ValueError: the message names the argument, what was expected and what was found.
    """
    if logits.ndim != 4 or not logits.is_floating_point():
        raise ValueError(f"logits: expected floating (N, C, H, W), got {logits.dtype} {tuple(logits.shape)}")
    n, classes, *size = logits.shape
    if target.shape != (n, *size):
        raise ValueError(f"target: expected shape {(n, *size)} to match logits, got {tuple(target.shape)}")
    if target.dtype not in (torch.uint8, torch.int64):
        raise ValueError(f"target: expected uint8 or int64 class indices, got {target.dtype}")
    if indices and target.device.type == "cpu" and not torch.compiler.is_compiling() and target.numel():
        check_indices(target, classes)


def check_indices(target: Tensor, classes: int) -> None:
    """Refuse class indices out of range, in a target with pixels."""
    labelled = target.masked_fill(target == IGNORE, 0)
    least, most = int(labelled.min()), int(labelled.max())
    if least < 0 or most >= classes:
        raise ValueError(
            f"target: expected class indices 0..{classes - 1} or {IGNORE} (ignore), got {least}..{most}; "
            "check the label map that the masks were made with"
        )


def check_classes(classes: Iterable[int]) -> list[int]:
    """Return the indices as a list; refuse an empty one, negative indices and duplicates."""
    indices = [int(index) for index in classes]
    if not indices or min(indices) < 0 or len(set(indices)) < len(indices):
        raise ValueError(f"classes: expected distinct class indices >= 0, got {indices}")
    return indices
