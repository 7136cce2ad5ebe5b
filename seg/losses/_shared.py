"""Sums over the processes of a distributed run, so that n processes train as one does on their images together."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def total(*parts: Tensor) -> tuple[Tensor, ...]:
    """Each of ``parts`` summed over all processes, in one exchange; as they came where there is but one process.

    Every path from the logits to a loss goes through here exactly once: sums and divisors are those of all images
    together, and the loss is the same number everywhere. The gradient is made for what follows it, the average over
    the processes that DistributedDataParallel takes: it arrives multiplied by their number, and the average is the
    gradient of one process with all images.

    Without gradients (``torch.no_grad``, ``inference_mode``) nothing is exchanged: processes validate on different
    numbers of batches, and would wait for each other for ever.
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
        # the loss is the same function of the same sums everywhere, and so is this gradient: nothing to exchange
        processes: int = ctx.processes
        return gradients[0] * processes
