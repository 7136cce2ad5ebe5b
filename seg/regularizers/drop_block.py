"""DropBlock."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seg.files import checks
from seg.regularizers.rate import Regularizer


class DropBlock(Regularizer):
    """Drop square blocks of a feature map, and scale the rest to keep the expected sum.

    Ghiasi et al. 2018, arXiv:1810.12890. With probability gamma a block starts at each place where a whole one fits;
    the union of the blocks is dropped; the rest is multiplied by count / count kept, counted over the batch in float32.
    The paper's approximation of gamma ignores that blocks overlap; here gamma is solved for, so that the expected
    dropped share is p for every size of map. On a map smaller than a block the block is cut to the map.

    Args:
        p: expected share that is dropped, in 0..1.
        block_size: side of a block in pixels of the feature map, >= 1, odd or even.
        per_channel: draw blocks for each channel, as the authors' code does. By default the channels of a sample
            share their blocks: channels see the same object, which is hidden only if it is hidden in all of them, and
            the mask costs next to nothing.
        ramp: as of `Regularizer`; the paper's scheduled variant is ``ramp=1``.

    Shape:
        (N, C, H, W) floating -> the same; type and memory format are kept.

    Raises:
        ValueError: a number outside its range, or an input that is not (N, C, H, W).
    """

    def __init__(self, p: float, block_size: int = 7, per_channel: bool = False, *, ramp: float = 0.0) -> None:
        super().__init__(p, ramp=ramp)
        checks.whole("block_size", block_size, 1)
        checks.flag("per_channel", per_channel)
        self.block_size, self.per_channel = block_size, per_channel

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"DropBlock: expected (N, C, H, W), got {tuple(x.shape)}")
        if not self.training:
            return x
        n, channels, height, width = x.shape
        block = min(self.block_size, height), min(self.block_size, width)
        shape = n, channels if self.per_channel else 1, height - block[0] + 1, width - block[1] + 1
        # noise in the layout of x, because a product of two different layouts is slow
        channels_last = self.per_channel and x.stride(1) == 1
        layout = torch.channels_last if channels_last else torch.contiguous_format
        noise = torch.empty(shape, device=x.device, memory_format=layout).uniform_()
        keep = _outside(noise >= self.of_rate(gamma, height, width, self.block_size), block).float()
        share = keep.mean().clamp_(min=1 / max(keep.numel(), 1))  # exactly 1 where all is kept
        return x * keep.div_(share).to(x.dtype)

    def extra_repr(self) -> str:
        return f"block_size={self.block_size}, per_channel={self.per_channel}, {super().extra_repr()}"


def gamma(rate: Tensor, height: int, width: int, block_size: int) -> Tensor:
    """Solve for the probability with which a block starts at each place, for an expected dropped share of ``rate``.

    A pixel that n blocks may cover is kept with probability ``(1 - gamma)^n = exp(-n s)``; to be found is the s for
    which the mean over all pixels is ``1 - rate``. Newton's method is applied to the logarithm of both sides, which is
    convex in s: started at Jensen's bound it approaches from below and never overshoots.

    Args:
        rate: 0-d float32, in 0..1.
        height, width: of the map in pixels.

    Returns:
        0-d float32; 0 for rate 0, 1 for rate 1.
    """
    covers, shares = zip(*(_covers(size, min(block_size, size), rate.device) for size in (height, width)), strict=True)
    n = torch.outer(*covers).flatten()
    log_share = torch.outer(*shares).flatten().log()
    # clamped, because log(0) = -inf would turn Newton's steps into NaN; at 1e-12 gamma is 1 in float32 anyway
    target = (1 - rate.float()).clamp(min=1e-12).log()
    s = -target / (n * log_share.exp()).sum()
    for _ in range(NEWTON_STEPS):
        terms = log_share - n * s
        slope = (terms.softmax(0) * n).sum()
        s = s + (terms.logsumexp(0) - target) / slope
    return torch.where(rate > 0, -torch.expm1(-s), 0.0)  # 1 - exp(-s) would lose the digits of a small gamma


NEWTON_STEPS = 4
"""Enough to bring the share within 2e-6 of every rate on every map tried; see the tests."""


def _covers(size: int, block: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Count the blocks that may cover a pixel along one axis: the values 1..most, and the share of pixels with each.

    The number rises by one a pixel from either border, and is ``most`` in between.
    """
    most = min(block, size - block + 1)
    values = torch.arange(1, most + 1, device=device)
    return values.float(), torch.where(values < most, 2 / size, (size - 2 * (most - 1)) / size)


def _outside(vacant: Tensor, block: tuple[int, int]) -> Tensor:
    """Tell where no block lies: (N, C, H - kh + 1, W - kw + 1), False where one has its corner -> bool (N, C, H, W).

    Shifted copies are combined in doubling steps, three per axis for a block of 7, on bytes; max-pooling would compare
    49 floats per pixel.
    """
    high, wide = block
    joined = F.pad(vacant, (wide - 1, wide - 1, high - 1, high - 1), value=True)
    for axis, length in ((-1, wide), (-2, high)):
        reach = 1
        while reach < length:
            step = min(reach, length - reach)
            rest = joined.shape[axis] - step
            joined = joined.narrow(axis, 0, rest) & joined.narrow(axis, step, rest)
            reach += step
    return joined
