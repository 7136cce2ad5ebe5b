"""Dropout."""

import torch
from torch import Tensor

from seg.regularizers.rate import Regularizer, survivors_scale


class Dropout(Regularizer):
    """Drop each element with probability p, and divide the others by 1 - p.

    Srivastava et al. 2014, JMLR 15. `torch.nn.Dropout` with a rate that can change without recompiling.

    Shape:
        any, floating -> the same; type and memory format are kept.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        # rand_like, unlike `kept`, also draws in the memory format of x
        chosen = torch.rand_like(x, dtype=torch.float32) >= self.rate
        return x * (chosen * self.of_rate(survivors_scale)).to(x.dtype)
