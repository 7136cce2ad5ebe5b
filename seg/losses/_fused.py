"""The native path of losses by sums: it reads the logits twice and writes the gradient once, nothing else.

Rule. The native path is taken for logits in float32, bfloat16 or float16 on the CPU, run eagerly in one process; that
is, not under `torch.compile`, `torch.export`, tracing or the transforms of `torch.func`, not for tensor subclasses, not
with distance maps of some classes only, and not where several processes share sums. Everything else takes the plain
path (`seg.losses._sums.PlainSums`), whose values agree to rounding. Second derivatives come from the plain definitions.
On a GPU, compile: ``torch.compile(loss)``.

Switch. With ``SEG_FUSED=0`` in the environment, or ``with seg.losses.fused(False)``, the plain path is always taken.
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
    """The sums that ``loss`` needs, or None where the rule says to take the plain path.

    Raises:
        ValueError: arguments of the wrong shape, type or class index.
    """
    if torch.compiler.is_compiling() or not _applies(logits):
        return None
    needs = tuple(dict.fromkeys(needs_of(loss)))
    if not needs:
        return None
    check_shapes(logits, target, indices=False)  # the native code checks the indices as it reads them
    if FIELD in needs:
        distance = signed_distance(target, logits.shape[1]) if distance is None else distance
        if distance.shape != logits.shape or not distance.is_floating_point():
            return None  # maps of some classes only, or wrong ones: the plain path tells them apart
        distance = distance.detach().float()
    if logits.dtype == torch.float16:  # the native code reads float32 and bfloat16
        logits = logits.float()
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
    if allowed is None:
        allowed = os.environ.get("SEG_FUSED") != "0"
    return (
        allowed
        and type(logits) in (Tensor, nn.Parameter)  # a subclass (DTensor, FakeTensor) may have no memory to view
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
    """The C++ module, or None in a checkout where it was not built."""
    try:
        from seg import _losses
    except ImportError:
        return None
    return _losses


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    """A NumPy view; of bfloat16, which NumPy lacks, the bits as uint16."""
    tensor = tensor.detach()
    array: npt.NDArray[Any] = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _rows(needs: Sequence[Need]) -> list[tuple[int, float]]:
    return [(KINDS.index(need.kind), need.exponent) for need in needs]


class _TakeSums(torch.autograd.Function):
    """Logits -> ``(rows, N, C)`` float64; what a loss makes of these few numbers is left to autograd.

    So the backward pass is given the derivative of the loss by each sum, and needs nothing else about the loss.
    """

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
        # only backward(create_graph=True) runs with gradients enabled: its result must be differentiable again
        if torch.is_grad_enabled():
            plain = PlainSums(logits, target, ctx.needs, field)
            sums = torch.stack([plain[need] for need in ctx.needs]).to(slopes.dtype)
            return torch.autograd.grad(sums, logits, slopes, create_graph=True)[0], None, None, None
        gradient = torch.empty_like(logits)
        # a slope in float64 may be beyond the largest float32, and infinity times a probability of 0 is NaN
        largest = torch.finfo(torch.float32).max
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
