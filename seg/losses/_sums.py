"""The sums over pixels that most losses are functions of.

Such a loss says in ``sums_needed()`` which it takes and in ``from_sums(sums)`` what it makes of them. Then one reading
of the logits serves all terms of a composite, and the derivative of whatever was made of the sums is all that the
gradient of the logits needs. `plain_sums` is the definition; `seg.losses._fused` computes the same natively.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seg.losses._pixels import precise_minus_log, prepare, safe_power, true_class

KINDS = ("labelled", "hit", "minus_log", "focal", "power", "predicted", "squares", "spread", "field")
"""In the order of the native code."""


class Need(NamedTuple):
    """One sum per image and class. t is the true class of a pixel, u = -ln p_t, q = 1 - p_t; at pixels of class c:

    ``labelled`` sums 1, ``hit`` p_t, ``minus_log`` u, ``focal`` q^exponent u, ``power`` u^exponent;
    at all labelled pixels: ``predicted`` p_c, ``squares`` p_c^2, ``spread`` -ln p_c, ``field`` p_c times a number.
    """

    kind: str
    exponent: float = 1.0


LABELLED, HIT, MINUS_LOG = Need("labelled"), Need("hit"), Need("minus_log")
PREDICTED, SQUARES, SPREAD, FIELD = Need("predicted"), Need("squares"), Need("spread"), Need("field")


@dataclass(frozen=True)
class PixelSums:
    """The sums that were asked for.

    Attributes:
        values: (N, C) each.
        size: height and width of the images.
    """

    values: dict[Need, Tensor]
    size: tuple[int, int]

    def __getitem__(self, need: Need) -> Tensor:
        return self.values[need]

    def pixels(self) -> Tensor:
        """Number of labelled pixels, at least 1."""
        return self[LABELLED].sum().clamp(min=1)

    def cross_entropy(self, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """As `cross_entropy_sum`; needs what `cross_entropy_needs` says. ``weight (C,)``."""
        total = self[MINUS_LOG] if weight is None else weight * self[MINUS_LOG]
        if label_smoothing == 0:
            return total.sum()
        spread = self[SPREAD] if weight is None else weight * self[SPREAD]
        return (1 - label_smoothing) * total.sum() + label_smoothing / spread.shape[1] * spread.sum()


def cross_entropy_needs(label_smoothing: float = 0.0) -> tuple[Need, ...]:
    """What `PixelSums.cross_entropy` takes."""
    return (LABELLED, MINUS_LOG, SPREAD) if label_smoothing else (LABELLED, MINUS_LOG)


def needs_of(loss: nn.Module) -> tuple[Need, ...]:
    """The sums that ``loss`` takes; none if it does not work by sums, or not with these options."""
    needed = getattr(loss, "sums_needed", None)
    return tuple(needed()) if callable(needed) and _forward_agrees(type(loss)) else ()


def _forward_agrees(kind: type) -> bool:
    """Whether ``forward`` is still the one that ``sums_needed`` was written for, and no subclass replaced it."""
    for ancestor in kind.__mro__:
        if "sums_needed" in vars(ancestor):
            return True
        if "forward" in vars(ancestor):
            return False
    return False


def plain_sums(logits: Tensor, target: Tensor, needs: Iterable[Need], field: Tensor | None = None) -> list[Tensor]:
    """The sums (N, C), differentiable any number of times. Arguments as of the losses; ``field (N, C, H, W)``."""
    logits, labels, valid = prepare(logits, target)
    log_p = logits.log_softmax(1)
    p = torch.where(valid.unsqueeze(1), log_p.exp(), 0)
    rough, rest = true_class(log_p, labels)
    u = precise_minus_log(rough, rest)

    def one(need: Need) -> Tensor:
        if need.kind == "predicted":
            return p.sum((2, 3))
        if need.kind == "squares":
            return p.square().sum((2, 3))
        if need.kind == "spread":
            return torch.where(valid.unsqueeze(1), -log_p, 0).sum((2, 3))
        if need.kind == "field":
            assert field is not None
            return (p * torch.where(valid.unsqueeze(1), field, 0)).sum((2, 3))
        values = {
            "labelled": lambda: torch.ones_like(u),
            "hit": lambda: p.gather(1, labels.unsqueeze(1)).squeeze(1),
            "minus_log": lambda: u,
            "focal": lambda: safe_power(rest, need.exponent) * u,
            "power": lambda: safe_power(u, need.exponent),
        }[need.kind]()
        values = torch.where(valid, values, 0)
        # row by row first, or float32 would lose the small terms
        return p.new_zeros(*p.shape[:1], p.shape[2], p.shape[1]).scatter_add(2, labels, values).sum(1)

    return [one(need) for need in needs]
