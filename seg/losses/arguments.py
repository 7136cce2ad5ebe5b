"""Checks of the arguments and options that the losses have in common."""

import math
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


def check_choice(name: str, value: object, *choices: str) -> None:
    """Refuse an option that is not one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, choices))}, got {value!r}")


def check_number(name: str, value: float, *, least: float = 0, above: float | None = None) -> None:
    """Refuse what is not a finite number ``>= least``, or ``> above`` where that is given."""
    wanted = f">= {least}" if above is None else f"> {above}"
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a number {wanted}, got {value!r}")
    too_small = value < least if above is None else value <= above
    if too_small:
        raise ValueError(f"{name}: expected a number {wanted}, got {value!r}")


def check_share(name: str, value: float) -> None:
    """Refuse what is not a number in 0..1."""
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number in 0..1, got {value!r}")


def check_classes(classes: Iterable[int]) -> list[int]:
    """Return the indices as a list; refuse an empty one, negative indices and duplicates."""
    found = [int(index) for index in classes]
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise ValueError(f"classes: expected distinct class indices >= 0, got {found}")
    return found
