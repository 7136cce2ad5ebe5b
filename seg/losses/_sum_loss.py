"""Losses that are functions of sums over pixels."""

from torch import Tensor, nn

from seg.losses._fused import native_sums
from seg.losses._sums import Need, PixelSums, PlainSums


class SumLoss(nn.Module):
    """A loss that is `from_sums` of the sums that `sums_needed` names, however these are taken."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        sums = native_sums(self, logits, target) or PlainSums(logits, target, self.sums_needed())
        return self.from_sums(sums).to(sums.dtype)  # native sums are float64, the loss of float32 logits is not

    def sums_needed(self) -> tuple[Need, ...]:
        """What `from_sums` takes."""
        raise NotImplementedError

    def from_sums(self, sums: PixelSums) -> Tensor:
        """The loss, a scalar; every path from the sums to it goes through `seg.losses._shared.total` exactly once."""
        raise NotImplementedError
