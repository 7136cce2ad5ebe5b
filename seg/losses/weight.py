"""The ``weight`` that many losses take: one number per class."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class ClassWeight(nn.Module):
    """A class vector that moves with the loss to its device and takes the precision of the logits.

    It is configuration, not state, and not in the ``state_dict``.

    Args:
        weight: one non-negative number per class, not all of them 0, in any sequence or 1-d tensor; None = no weights.

    Raises:
        ValueError: anything else, including a rule such as ``median_frequency``, which only ``seg-train`` can resolve.
    """

    vector: Tensor | None

    def __init__(self, weight: Iterable[float] | None) -> None:
        super().__init__()
        self.values = None if weight is None else _numbers(weight)
        vector = None if self.values is None else torch.tensor(self.values, dtype=torch.float32)
        self.register_buffer("vector", vector, persistent=False)

    def forward(self, logits: Tensor) -> Tensor | None:
        """Return weights (C,) in the type and on the device of ``logits (N, C, ...)``, float32 or float64, or None."""
        if self.values is None or self.vector is None:
            return None
        if len(self.values) != logits.shape[1]:
            raise ValueError(f"weight: expected {logits.shape[1]} numbers, one per class, got {len(self.values)}")
        if logits.dtype == torch.float64:  # from the numbers, because 0.3 in float32 is off by 1e-8
            return torch.tensor(self.values, dtype=torch.float64, device=logits.device)
        return self.vector.to(device=logits.device, dtype=logits.dtype)


def _numbers(weight: Iterable[float]) -> tuple[float, ...]:
    wanted = "weight: expected one number per class"
    if isinstance(weight, str):
        raise ValueError(f"{wanted}, got {weight!r}; give numbers: only seg-train resolves such a rule")
    try:
        values = tuple(float(value) for value in weight)
    except (TypeError, ValueError, RuntimeError):  # a number; a sequence of words; a matrix
        raise ValueError(f"{wanted}, got {weight!r}; give numbers") from None
    if not any(values) or not all(math.isfinite(value) and value >= 0 for value in values):
        raise ValueError(f"{wanted}, none negative and not all 0, got {values}")
    return values
