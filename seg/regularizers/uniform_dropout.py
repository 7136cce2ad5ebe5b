"""Uniform dropout (Uout)."""

import torch
from torch import Tensor

from seg.regularizers.rate import Regularizer


class UniformDropout(Regularizer):
    """``x * (1 + r)`` with r uniform in (-beta, beta), drawn for each element.

    Uout of Li et al. 2019, arXiv:1801.05134, section 4: the noise has variance ``beta^2 / 3``; that of dropout has
    ``p / (1 - p)``. At equal variance both shift the statistics of a following batch normalisation equally.

    Args:
        beta: in 0..1.
        ramp: as of `Regularizer`.

    Shape:
        any, floating -> the same; type and memory format are kept.
    """

    parameter = "beta"

    def __init__(self, beta: float, *, ramp: float = 0.0) -> None:
        super().__init__(beta, ramp=ramp)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        noise = torch.rand_like(x, dtype=torch.float32)
        return x * torch.addcmul(1 - self.rate.float(), noise, 2 * self.rate.float()).to(x.dtype)
