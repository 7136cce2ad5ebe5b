"""Spatial dropout."""

from torch import Tensor

from seg.regularizers.rate import Regularizer


class SpatialDropout(Regularizer):
    """Drop whole channels of a sample, each with probability p, and divide the others by 1 - p.

    Tompson et al. 2015, arXiv:1411.4280: neighbouring pixels are alike, so that dropping single ones hides little.

    Shape:
        (N, C, ...) floating -> the same; type and memory format are kept.

    Raises:
        ValueError: fewer than three dimensions.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise ValueError(
                f"SpatialDropout: expected (N, C, ...) with at least one more dimension, got {tuple(x.shape)}"
            )
        if not self.training:
            return x
        return x * self.kept((*x.shape[:2], *[1] * (x.ndim - 2)), x)
