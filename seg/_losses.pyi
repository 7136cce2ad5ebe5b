from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

instruction_sets: tuple[str, ...]
"""What this machine has, slowest first; the last is used unless ``instructions`` names another (for tests)."""

# (kind, exponent); kinds are numbered as in seg.losses.sums.KINDS
_Rows = Sequence[tuple[int, float]]

def sums(
    logits: NDArray[Any],
    target: NDArray[Any],
    rows: _Rows,
    field: NDArray[np.float32] | None = None,
    *,
    threads: int = 1,
    instructions: str = "",
) -> tuple[NDArray[np.float64], bool]:
    """Sums (rows, N, C) over the labelled pixels, and whether every class is in range.

    ``logits (N, C, H, W)`` float32, or bfloat16 as uint16; ``target (N, H, W)`` uint8 or int64, contiguous.
    """

def gradient(
    logits: NDArray[Any],
    target: NDArray[Any],
    rows: _Rows,
    coefficients: NDArray[np.float32],
    gradient: NDArray[Any],
    field: NDArray[np.float32] | None = None,
    *,
    threads: int = 1,
    instructions: str = "",
) -> None:
    """Write ``gradient``, of the logits' shape and type, given the derivative ``coefficients (rows, N, C)``."""

def minus_logs(
    logits: NDArray[Any],
    target: NDArray[Any],
    values: NDArray[np.float32],
    *,
    threads: int = 1,
    instructions: str = "",
) -> bool:
    """Write ``values (N, H, W)``: -ln p of the true class, -1 where ignored. Whether every class is in range."""

def lovasz(
    logits: NDArray[Any],
    target: NDArray[Any],
    together: bool,
    slopes: NDArray[np.float32],
    *,
    threads: int = 1,
    instructions: str = "",
) -> tuple[NDArray[np.float64], NDArray[np.int64], bool]:
    """Values and labelled pixels (C, 1 or N) of the images ``together`` or each, and whether every class is in range.

    Writes ``slopes (C, N, H, W)``: the derivative of each value by the probabilities of its class.
    """

def count(
    logits: NDArray[Any],
    target: NDArray[Any],
    bins: int = 0,
    *,
    threads: int = 1,
    instructions: str = "",
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64], bool]:
    """Prediction, confusion and bins of `seg.metrics.counting`, and whether every class is in range; C up to 256."""

def signed_distances(
    target: NDArray[Any],
    classes: Sequence[int],
    maps: NDArray[np.float32],
    *,
    threads: int = 1,
    instructions: str = "",
) -> None:
    """Write the ``maps (N, C, H, W)``, zeros before, of the ``classes``."""
