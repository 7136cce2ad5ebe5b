"""Sums over the processes and batches that share a step, so that many train as one would on all their images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from seg.labels import IGNORE


def over_processes(*parts: Tensor) -> tuple[Tensor, ...]:
    """Sum each of ``parts`` over all processes, in one exchange; unchanged if there is only one process.

    Every path from the logits to a loss goes through here exactly once: sums and divisors are taken over all images,
    and the loss is the same value on every process. DistributedDataParallel then averages the gradients over the
    processes; to make up for that, the gradient is multiplied by their number here, so that the average is the
    gradient of one process with all images.

    Without gradients (``torch.no_grad``, ``inference_mode``) nothing is exchanged: processes validate on different
    numbers of batches, and the one with more would wait for ever.
    """
    if not (dist.is_available() and dist.is_initialized() and torch.is_grad_enabled() and dist.get_world_size() > 1):
        return parts
    flat = torch.cat([part.flatten() for part in parts])
    sums = _AllReduce.apply(flat).split([part.numel() for part in parts])
    return tuple(summed.view(part.shape) for summed, part in zip(sums, parts, strict=True))


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        ctx.processes = dist.get_world_size()
        summed = part.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # every process computes the same function of the same sums, so its gradient is the same: nothing to exchange
        processes: int = ctx.processes
        return gradients[0] * processes


class _Step(NamedTuple):
    batches: int
    pixels: Tensor  # (255,) labelled pixels of each class in all of them, on all processes


_step: ContextVar[_Step | None] = ContextVar("step", default=None)


@contextmanager
def over_step(targets: Sequence[Tensor]) -> Iterator[None]:
    """Within it, means over pixels are such that the mean over the batches of a step is that of one batch with all.

    Args:
        targets: (N, H, W) of each batch of the step, of this process.
    """
    counts = [torch.bincount(target.flatten(), minlength=IGNORE)[:IGNORE] for target in targets]
    token = _step.set(_Step(len(targets), over_processes(torch.stack(counts).sum(0))[0]))
    try:
        yield
    finally:
        _step.reset(token)


def over_batches(value: Tensor, pixels: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return what to divide, and by what, for a mean over the labelled pixels of all batches of the step.

    Args:
        value: summed over the pixels of this batch, on all processes.
        pixels: their number there, or the sum of their classes' ``weight (C,)``.
    """
    step = None if torch.compiler.is_compiling() else _step.get()
    if step is None:
        return value, pixels
    counts = step.pixels if weight is None else weight * step.pixels[: len(weight)]
    return value * step.batches, counts.sum()
