"""The sums over pixels that most losses are functions of.

Such a loss says in ``sums_needed()`` which sums it takes and in ``from_sums(sums)`` what it makes of them
(`seg.losses.sums`), and never looks at a pixel itself. So it is written once for both ways of computing the sums:
`PlainSums` below, in torch operations, which defines them, and `seg.losses.native.NativeSums`, which reads the logits
once for all terms of a composite.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.labels import IGNORE
from seg.losses.pixels import precise_minus_log, prepare, safe_power, true_class

KINDS = ("labelled", "hit", "minus_log", "focal", "power", "predicted", "squares", "spread", "field")
"""In the order of the native code, which knows them by their index."""


class Need(NamedTuple):
    """One sum per image and class. t is the true class of a pixel, u = -ln p_t, q = 1 - p_t; at pixels of class c:

    ``labelled`` sums 1, ``hit`` p_t, ``minus_log`` u, ``focal`` q^exponent u, ``power`` u^exponent;
    at all labelled pixels: ``predicted`` p_c, ``squares`` p_c^2, ``spread`` -ln p_c, ``field`` p_c times a number.
    """

    kind: str
    exponent: float = 1.0


LABELLED, HIT, MINUS_LOG = Need("labelled"), Need("hit"), Need("minus_log")
PREDICTED, SQUARES, SPREAD, FIELD = Need("predicted"), Need("squares"), Need("spread"), Need("field")


class PixelSums(ABC):
    """Sums over the labelled pixels of this process's batch; `over_processes` adds those of the others.

    Attributes:
        size: height and width of the images in pixels.
        like: (N, C, ...) of the type and on the device of the sums, for `seg.losses.weight.ClassWeight`.
        dtype: of the loss: float32, or float64 for logits in float64.
    """

    size: tuple[int, int]
    like: Tensor
    dtype: torch.dtype

    @abstractmethod
    def __getitem__(self, need: Need) -> Tensor:
        """Return the sum of each image and class (N, C)."""

    @abstractmethod
    def over_all(self, need: Need, weight: Tensor | None = None) -> Tensor:
        """Return a sum over the pixels of class c, times ``weight (C,)``, added up over all images and classes."""

    @abstractmethod
    def pixels(self) -> Tensor:
        """Count the labelled pixels."""

    @abstractmethod
    def missed(self) -> Tensor:
        """Sum ``1 - p_t`` over all labelled pixels; needs `LABELLED` and `HIT`."""

    @abstractmethod
    def cross_entropy(self, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Sum the cross entropy over all labelled pixels; needs `cross_entropy_needs`. ``weight (C,)``."""


class PlainSums(PixelSums):
    """The sums in torch operations: on any device, under `torch.compile`, differentiable any number of times.

    Each is computed when it is asked for, so that a loss pays only for what it uses. Scalars are summed over the pixels
    directly: summing per class first would need a scatter, which takes time and on a GPU adds in random order.

    Args:
        logits, target: as every loss takes them.
        needs: the sums that will be asked for.
        field: (N, C, H, W), the numbers that `FIELD` multiplies.
    """

    def __init__(self, logits: Tensor, target: Tensor, needs: Sequence[Need], field: Tensor | None = None) -> None:
        self._logits, self._labels, self._valid = prepare(logits, target)
        self.like, self.dtype = self._logits, self._logits.dtype
        self._target, self._field = target, field
        self._logarithms = any(need.kind in ("minus_log", "focal", "power", "spread") for need in needs)
        self._known: dict[str, Tensor] = {}
        self.size = (logits.shape[2], logits.shape[3])

    def __getitem__(self, need: Need) -> Tensor:
        if need.kind == "predicted":
            return self._p().sum((2, 3))
        if need.kind == "squares":
            return (self._p() * self._p()).sum((2, 3))
        if need.kind == "spread":
            return torch.where(self._valid.unsqueeze(1), -self._log_p(), 0).sum((2, 3))
        if need.kind == "field":
            assert self._field is not None
            return (self._p() * torch.where(self._valid.unsqueeze(1), self._field, 0)).sum((2, 3))
        values = self._at_true_class(need)
        n, height, _ = values.shape
        # row by row first: one float32 accumulator for all pixels of a class would lose the small terms
        rows = values.new_zeros(n, height, self._logits.shape[1])
        return rows.scatter_add(2, self._labels, values).sum(1)

    def over_all(self, need: Need, weight: Tensor | None = None) -> Tensor:
        values = self._at_true_class(need)
        return values.sum() if weight is None else (weight[self._labels] * values).sum()

    def pixels(self) -> Tensor:
        return self._valid.sum()

    def missed(self) -> Tensor:
        _, rest = true_class(self._log_p(), self._labels)  # and not labelled - hit, which cancels in float32
        return torch.where(self._valid, rest, 0).sum()

    def cross_entropy(self, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        target = self._target.long()
        if label_smoothing == 0:
            return F.nll_loss(self._log_p(), target, weight, ignore_index=IGNORE, reduction="sum")
        return F.cross_entropy(
            self._logits, target, weight, ignore_index=IGNORE, reduction="sum", label_smoothing=label_smoothing
        )

    # not a cached_property: on Python 3.11 that takes a lock, which torch.compile cannot trace
    def _log_p(self) -> Tensor:
        if "log_p" not in self._known:
            self._known["log_p"] = self._logits.log_softmax(1)
        return self._known["log_p"]

    def _p(self) -> Tensor:
        """Return probabilities, 0 at ignored pixels; computed from the logarithms where a sum needs those anyway."""
        if "p" not in self._known:
            p = self._log_p().exp() if self._logarithms else self._logits.softmax(1)
            self._known["p"] = torch.where(self._valid.unsqueeze(1), p, 0)
        return self._known["p"]

    def _at_true_class(self, need: Need) -> Tensor:
        """Return what a sum over the pixels of class c adds up (N, H, W), 0 at ignored pixels."""
        if need.kind == "labelled":
            return self._valid.to(self.dtype)
        if need.kind == "hit":
            return self._p().gather(1, self._labels.unsqueeze(1)).squeeze(1)
        minus_log, rest = true_class(self._log_p(), self._labels)
        if need.kind == "minus_log":
            values = minus_log
        elif need.kind == "focal":
            values = safe_power(rest, need.exponent) * minus_log
        else:
            assert need.kind == "power", need
            values = safe_power(precise_minus_log(minus_log, rest), need.exponent)
        return torch.where(self._valid, values, 0)


def cross_entropy_needs(label_smoothing: float = 0.0) -> tuple[Need, ...]:
    """List what `PixelSums.cross_entropy` takes, and `LABELLED` for the divisor."""
    return (LABELLED, MINUS_LOG, SPREAD) if label_smoothing else (LABELLED, MINUS_LOG)


def needs_of(loss: nn.Module) -> tuple[Need, ...]:
    """List the sums that ``loss`` takes; none if it does not work by sums, or not with its options."""
    needed = getattr(loss, "sums_needed", None)
    return tuple(needed()) if callable(needed) and _forward_agrees(type(loss)) else ()


def _forward_agrees(kind: type) -> bool:
    """Tell whether ``forward`` is still the one that ``sums_needed`` was written for, or a subclass replaced it."""
    for ancestor in kind.__mro__:
        if "sums_needed" in vars(ancestor):
            return True
        if "forward" in vars(ancestor):
            return False
    return False
