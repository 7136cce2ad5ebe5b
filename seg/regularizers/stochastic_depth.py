"""Stochastic depth."""

from torch import Tensor

from seg.regularizers.rate import Regularizer


class StochasticDepth(Regularizer):
    """Drop the whole residual branch of a sample with probability p, and divide that of the others by 1 - p.

    Huang et al. 2016, arXiv:1603.09382, with one gate per sample instead of one per batch, scaled in training instead
    of evaluation: the same expectation. Put it at the end of a residual branch, before the sum.
    `seg.regularizers.attach` follows the paper's linear rule ``p_l = l / L * p`` for block l of L.

    Shape:
        (N, ...) floating -> the same; type and memory format are kept.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * self.kept((x.shape[0], *[1] * (x.ndim - 1)), x)
