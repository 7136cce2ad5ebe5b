"""Random numbers from torch's default generator, and lengths in pixels or as shares.

Only from that one: without loading workers the data set restores its state after each image, and no other's.
"""

import torch

from seg.files import checks


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


def check_length(name: str, value: float) -> float:
    """Return a length: a whole number of pixels of at least 1, or a share of the side; refuse anything else."""
    if (checks.is_whole(value) and value >= 1) or (isinstance(value, float) and 0 < value <= 1):
        return value
    raise ValueError(
        f"{name}: expected pixels (a whole number of at least 1) or a share of the side (above 0.0 and at most 1.0, "
        f"with its point), got {value!r}; give one"
    )


def pixels(length: float, side: int) -> int:
    """``length`` in pixels, at least 1, for an image whose side has ``side`` pixels."""
    return length if isinstance(length, int) else max(round(length * side), 1)
