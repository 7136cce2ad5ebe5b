"""The native path of losses that work by sums: two readings of the logits, one writing of the gradient, nothing else.

Rule. The native path is taken for logits in float32, bfloat16 or float16 on the CPU, run eagerly in one process; that
is, not under `torch.compile`, `torch.export`, tracing or the transforms of `torch.func`, not for tensor subclasses, not
with distance maps of some classes only, and not where several processes share sums. Everything else takes the plain
path of each loss, which gives the same numbers to rounding. Second derivatives are taken from the plain definitions. On
a GPU, compile: ``torch.compile(loss)``.

Switch. ``SEG_FUSED=0`` in the environment, or ``with seg.losses.fused(False)``, takes the plain path always.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seg.losses._check import check_indices, check_shapes
from seg.losses._distance import signed_distance
from seg.losses._sums import FIELD, HIT, KINDS, LABELLED, MINUS_LOG, SPREAD, Need, PixelSums, PlainSums, needs_of

_allowed: ContextVar[bool | None] = ContextVar("fused", default=None)


@contextmanager
def fused(enabled: bool) -> Iterator[None]:
    """Allow or forbid the native path of the losses within a ``with`` block, whatever ``SEG_FUSED`` says."""
    token = _allowed.set(enabled)
    try:
        yield
    finally:
        _allowed.reset(token)


def native_sums(loss: nn.Module, logits: Tensor, target: Tensor, distance: Tensor | None = None) -> "NativeSums | None":
    """The sums that ``loss`` needs, or None where the rule says that it goes the plain way.

    Raises:
        ValueError: arguments of the wrong shape, type or class index.
    """
    if torch.compiler.is_compiling() or not _applies(logits):
        return None
    needs = tuple(dict.fromkeys(needs_of(loss)))
    if not needs:
        return None
    check_shapes(logits, target, indices=False)  # those the native code looks at
    if FIELD in needs:
        distance = signed_distance(target, logits.shape[1]) if distance is None else distance
        if distance.shape != logits.shape or not distance.is_floating_point():
            return None  # maps of some classes only, or wrong ones: the plain path tells
        distance = distance.detach().float()
    logits = logits.float() if logits.dtype == torch.float16 else logits
    sums = _TakeSums.apply(logits, target.detach().contiguous(), distance if FIELD in needs else None, needs)
    return NativeSums(dict(zip(needs, sums.unbind(), strict=True)), (logits.shape[2], logits.shape[3]))


class NativeSums(PixelSums):
    """A table of sums (N, C) in float64, one for each need."""

    dtype = torch.float32

    def __init__(self, table: dict[Need, Tensor], size: tuple[int, int]) -> None:
        self._table, self.size, self.like = table, size, table[LABELLED]

    def __getitem__(self, need: Need) -> Tensor:
        return self._table[need]

    def over_all(self, need: Need, weight: Tensor | None = None) -> Tensor:
        return (self[need] if weight is None else weight * self[need]).sum()

    def pixels(self) -> Tensor:
        return self[LABELLED].sum()

    def missed(self) -> Tensor:
        return (self[LABELLED] - self[HIT]).sum()

    def cross_entropy(self, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        value = self.over_all(MINUS_LOG, weight)
        if label_smoothing == 0:
            return value
        classes = self[SPREAD].shape[1]
        return (1 - label_smoothing) * value + label_smoothing / classes * self.over_all(SPREAD, weight)


def _applies(logits: Tensor) -> bool:
    allowed = _allowed.get()
    return (
        (os.environ.get("SEG_FUSED") != "0" if allowed is None else allowed)
        and type(logits) in (Tensor, nn.Parameter)
        and logits.device.type == "cpu"
        and logits.layout == torch.strided
        and logits.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and logits.ndim == 4
        and logits.shape[1] > 0
        and not torch._C._is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and not (torch.distributed.is_available() and torch.distributed.is_initialized())
        and _native() is not None
    )


@cache
def _native() -> ModuleType | None:
    """The C++ module; None in a checkout where it was not built."""
    try:
        from seg import _losses
    except ImportError:
        return None
    return _losses


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    """A view in NumPy, of bfloat16 as its bits."""
    tensor = tensor.detach()
    array: npt.NDArray[Any] = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _rows(needs: Sequence[Need]) -> list[tuple[int, float]]:
    return [(KINDS.index(need.kind), need.exponent) for need in needs]


class _TakeSums(torch.autograd.Function):
    """``(rows, N, C)`` float64 of the logits: whatever is made of these few numbers is left to autograd."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, field: Tensor | None, needs: tuple[Need, ...]) -> Tensor:
        from seg import _losses

        threads = torch.get_num_threads()
        given = None if field is None else _array(field)
        sums, in_range = _losses.sums(_array(logits), _array(target), _rows(needs), given, threads=threads)
        if not in_range:
            check_indices(target, logits.shape[1])
        ctx.save_for_backward(logits, target, field)
        ctx.needs = needs
        return torch.from_numpy(sums)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None, None]:
        from seg import _losses

        logits, target, field = ctx.saved_tensors
        if torch.is_grad_enabled():  # backward(create_graph=True)
            plain = PlainSums(logits, target, ctx.needs, field)
            sums = torch.stack([plain[need] for need in ctx.needs]).to(slopes.dtype)
            return torch.autograd.grad(sums, logits, slopes, create_graph=True)[0], None, None, None
        gradient = torch.empty_like(logits)
        largest = torch.finfo(torch.float32).max  # a slope in float64 may be beyond it, and infinity times 0 is NaN
        coefficients = slopes.clamp(-largest, largest).float().numpy()
        given = None if field is None else _array(field)
        _losses.gradient(
            _array(logits),
            _array(target),
            _rows(ctx.needs),
            np.ascontiguousarray(coefficients),
            _array(gradient),
            given,
            threads=torch.get_num_threads(),
        )
        return gradient, None, None, None
