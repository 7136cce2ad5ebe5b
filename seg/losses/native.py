"""The native path: it reads the logits twice and writes the gradient once.

Losses by sums store nothing else, OHEM a number for each pixel, and Lovasz-Softmax one for each pixel and class.

Rule. The native path is taken for logits in float32, bfloat16 or float16 on the CPU, run eagerly in one process; that
is, not under `torch.compile`, `torch.export`, tracing or the transforms of `torch.func`, not for tensor subclasses, not
with distance maps of some classes only, and not where several processes share sums. Everything else takes the plain
path (`seg.losses.sums.PlainSums`, or a loss's own), whose values agree to rounding. Second derivatives come from the
plain definitions. On a GPU, compile: ``torch.compile(loss)``.

Switch. With ``SEG_FUSED=0`` in the environment, or ``with seg.losses.fused(False)``, the plain path is always taken.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seg.labels import IGNORE
from seg.losses.arguments import check_indices, check_shapes
from seg.losses.distance import signed_distance
from seg.losses.pixel_sums import FIELD, HIT, KINDS, LABELLED, MINUS_LOG, SPREAD, Need, PixelSums, PlainSums, needs_of

try:
    from seg import _losses
except ImportError:  # a checkout where the C++ module was not built
    _losses = None  # type: ignore[assignment]

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
    """Take the sums that ``loss`` needs, or None where the rule says to take the plain path.

    Raises:
        ValueError: arguments of the wrong shape, type or class index.
    """
    if not _applies(logits):
        return None
    if not (needs := tuple(dict.fromkeys(needs_of(loss)))):
        return None
    logits = _checked(logits, target)
    if FIELD in needs:
        distance = signed_distance(target, logits.shape[1]) if distance is None else distance
        if distance.shape != logits.shape or not distance.is_floating_point():
            return None  # maps of some classes only, or wrong ones: the plain path tells them apart
        distance = distance.detach().float()
    sums = _TakeSums.apply(logits, target.detach().contiguous(), distance if FIELD in needs else None, needs)
    return NativeSums(dict(zip(needs, sums.unbind(), strict=True)), (logits.shape[2], logits.shape[3]))


def native_lovasz(logits: Tensor, target: Tensor, *, batch: bool) -> tuple[Tensor, Tensor] | None:
    """Return Lovasz-Softmax and labelled pixels of each class: (1, C) of the ``batch`` or (N, C) per image, in float64.

    Returns None, and raises, as `native_sums` does.
    """
    if not _applies(logits) or target.numel() >= 2**31:
        return None
    values: tuple[Tensor, Tensor] = _TakeLovasz.apply(_checked(logits, target), target.detach().contiguous(), batch)
    return values


Choice = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.bool_]]


def native_hard(logits: Tensor, target: Tensor, choose: Choice) -> tuple[Tensor, Tensor] | None:
    """Sum the cross entropy over the pixels that ``choose`` takes, in float64, and count them.

    Args:
        logits, target: as every loss takes them.
        choose: given the cross entropy of each pixel (N, H, W), -1 where ignored, says which to take.

    Returns None, and raises, as `native_sums` does.
    """
    if not _applies(logits):
        return None
    sums: tuple[Tensor, Tensor] = _TakeHard.apply(_checked(logits, target), target.detach().contiguous(), choose)
    return sums


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


def _checked(logits: Tensor, target: Tensor) -> Tensor:
    """Return logits as the native code reads them: float32 or bfloat16."""
    check_shapes(logits, target, indices=False)  # the native code checks the indices as it reads them
    return logits.float() if logits.dtype == torch.float16 else logits


def _applies(logits: Tensor) -> bool:
    if torch.compiler.is_compiling():
        return False
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
        and _losses is not None
    )


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    """Return a NumPy view; of bfloat16, which NumPy lacks, the bits as uint16."""
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
        logits, target, field = ctx.saved_tensors
        return _gradient(logits, target, field, ctx.needs, slopes), None, None, None


class _TakeLovasz(torch.autograd.Function):
    """Logits -> values and labelled pixels, each (1 or N, C).

    As a function of the probabilities the loss is linear as long as their order stays: a sum over the pixels of
    probability times slope, and so its gradient is that of `FIELD`.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, batch: bool) -> tuple[Tensor, Tensor]:
        n, classes, *size = logits.shape
        slopes = torch.empty(classes, n, *size)
        threads = torch.get_num_threads()
        values, labelled, in_range = _losses.lovasz(
            _array(logits), _array(target), batch, _array(slopes), threads=threads
        )
        if not in_range:
            check_indices(target, classes)
        ctx.save_for_backward(logits, target, slopes.transpose(0, 1))
        counts = torch.from_numpy(labelled).T
        ctx.mark_non_differentiable(counts)
        return torch.from_numpy(values).T, counts

    @staticmethod
    def backward(ctx: Any, by_value: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        logits, target, slopes = ctx.saved_tensors
        by_sum = by_value.expand(logits.shape[:2]).unsqueeze(0)
        return _gradient(logits, target, slopes, (FIELD,), by_sum), None, None


class _TakeHard(torch.autograd.Function):
    """Logits -> sum over the hard pixels and their number: cross entropy of a target without the others."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, choose: Choice) -> tuple[Tensor, Tensor]:
        labels = _array(target)
        values = np.empty(target.shape, np.float32)
        if not _losses.minus_logs(_array(logits), labels, values, threads=torch.get_num_threads()):
            check_indices(target, logits.shape[1])
        taken = choose(values)
        ctx.save_for_backward(logits, torch.from_numpy(np.where(taken, labels, labels.dtype.type(IGNORE))))
        count = torch.tensor(np.count_nonzero(taken))
        ctx.mark_non_differentiable(count)
        return torch.tensor(np.where(taken, values, np.float32(0)).sum(dtype=np.float64)), count

    @staticmethod
    def backward(ctx: Any, by_value: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        logits, hard = ctx.saved_tensors
        return _gradient(logits, hard, None, (MINUS_LOG,), by_value.expand(1, *logits.shape[:2])), None, None


def _gradient(logits: Tensor, target: Tensor, field: Tensor | None, needs: tuple[Need, ...], slopes: Tensor) -> Tensor:
    """Return the derivative by the logits, given that by each sum (rows, N, C)."""
    # only backward(create_graph=True) runs with gradients enabled: its result must be differentiable again
    if torch.is_grad_enabled():
        plain = PlainSums(logits, target, needs, field)
        sums = torch.stack([plain[need] for need in needs]).to(slopes.dtype)
        return torch.autograd.grad(sums, logits, slopes, create_graph=True)[0]
    gradient = torch.empty_like(logits)
    # a slope in float64 may be beyond the largest float32, and infinity times a probability of 0 is NaN
    largest = torch.finfo(torch.float32).max
    coefficients = np.ascontiguousarray(slopes.clamp(-largest, largest).float().numpy())
    given = None if field is None else _array(field)
    threads = torch.get_num_threads()
    _losses.gradient(
        _array(logits), _array(target), _rows(needs), coefficients, _array(gradient), given, threads=threads
    )
    return gradient
