"""Parameter groups and learning-rate schedules.

A schedule is a function ``(optimizer, *, steps) -> LRScheduler`` that is stepped once per optimizer step.
"""

import math
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def parameter_groups(*modules: nn.Module) -> list[dict[str, Any]]:
    """Trainable parameters, without weight decay for biases and normalisation scales."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [{"params": decayed}, *([{"params": others, "weight_decay": 0.0}] if others else [])]


def cosine(optimizer: Optimizer, *, steps: int, warmup: float = 0.05, floor: float = 0.0) -> LRScheduler:
    """Learning rate that rises linearly, then falls along half a cosine (Loshchilov & Hutter 2017, one cycle).

    Args:
        steps: optimizer steps of the whole run.
        warmup: share of the steps during which the rate rises, in [0, 1).
        floor: final rate as a share of the full one, in [0, 1].

    Raises:
        ValueError: a share out of its range.
    """
    if not (0 <= warmup < 1 and 0 <= floor <= 1):
        raise ValueError(
            f"scheduler: expected warmup in [0, 1) and floor in [0, 1], got {warmup} and {floor}; both are shares"
        )
    rising = round(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        done = min((step - rising) / max(steps - rising, 1), 1.0)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, *, steps: int) -> LRScheduler:
    """Learning rate that never changes."""
    del steps
    return LambdaLR(optimizer, lambda _: 1.0)
