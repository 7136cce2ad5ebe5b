"""Random numbers from torch's default generator, and checks of the options of transforms.

Only from that one: without loading workers the data set restores its state after each image, and no other's.
"""

from collections.abc import Sequence
from typing import Any

import torch


def uniform(low: float, high: float) -> float:
    """Return a number, uniform in low..high."""
    return float(torch.empty(()).uniform_(low, high))


def integer(most: int) -> int:
    """Return a whole number, uniform in 0..most, both included."""
    return int(torch.randint(most + 1, ()))


def chance(p: float) -> bool:
    """Return true with probability ``p``."""
    return uniform(0, 1) < p


def ratio(bounds: tuple[float, float]) -> float:
    """Return a factor in low..high, uniform in its logarithm: halving and doubling are equally likely."""
    low, high = bounds
    return float(low * (high / low) ** uniform(0, 1))


def check_share(name: str, value: float) -> float:
    """Return the value, if it is a number in 0..1.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number in 0..1, got {value!r}")
    return value


def check_least(name: str, value: float, least: float = 0) -> float:
    """Return the value, if it is a number not below ``least``.

    Raises:
        ValueError: it is below, or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise ValueError(f"{name}: expected a number >= {least}, got {value!r}")
    return value


def check_factors(name: str, value: Sequence[float]) -> tuple[float, float]:
    """Return the pair, if it is two positive numbers in order.

    Raises:
        ValueError: it is not.
    """
    if not _is_pair(value, int | float) or not 0 < value[0] <= value[1]:
        raise ValueError(f"{name}: expected 0 < least <= greatest, got {_shown(value)}")
    return value[0], value[1]


def check_length(name: str, value: float) -> float:
    """Return the length, if it is a number of pixels or a share of the side.

    Raises:
        ValueError: neither a whole number of at least 1 nor a share in 0..1.
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not whole and not (isinstance(value, float) and 0 < value <= 1):
        raise ValueError(
            f"{name}: expected pixels (a whole number of at least 1) or a share of the side (0.0..1.0), got {value!r}"
        )
    return value


def check_multiple(multiple: int) -> int:
    """Return the number of pixels, if it is a whole number of at least 1.

    Raises:
        ValueError: it is not.
    """
    if isinstance(multiple, bool) or not isinstance(multiple, int) or multiple < 1:
        raise ValueError(f"multiple: expected a whole number of at least 1, got {multiple!r}")
    return multiple


def check_size(size: Sequence[int] | None, multiple: int = 1) -> tuple[int, int] | None:
    """Return the (height, width) in pixels, or None.

    Raises:
        ValueError: anything else, or sides that are not multiples of ``multiple``.
    """
    if size is None:
        return None
    if not _is_pair(size, int) or not all(side > 0 and side % multiple == 0 for side in size):
        unit = f"in multiples of {multiple}" if multiple > 1 else "of at least 1 pixel"
        raise ValueError(f"size: expected (height, width) {unit}, got {_shown(size)!r}")
    return size[0], size[1]


def pixels(length: float, side: int) -> int:
    """``length`` in pixels, at least 1, for an image whose side has ``side`` pixels."""
    return length if isinstance(length, int) else max(round(length * side), 1)


def _is_pair(value: Any, kind: Any) -> bool:
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    return len(numbers) == 2 and all(isinstance(n, kind) and not isinstance(n, bool) for n in numbers)


def _shown(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
