"""Sums over the processes of a distributed run, so that many processes train as one would on all their images."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


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
