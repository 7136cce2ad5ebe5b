"""Losses that are functions of sums over pixels: the class to derive one from, and the sums that it may ask for."""

from torch import Tensor, nn

from seg.losses.native import native_sums
from seg.losses.pixel_sums import (
    FIELD as FIELD,
)
from seg.losses.pixel_sums import (
    HIT as HIT,
)
from seg.losses.pixel_sums import (
    LABELLED as LABELLED,
)
from seg.losses.pixel_sums import (
    MINUS_LOG as MINUS_LOG,
)
from seg.losses.pixel_sums import (
    PREDICTED as PREDICTED,
)
from seg.losses.pixel_sums import (
    SPREAD as SPREAD,
)
from seg.losses.pixel_sums import (
    SQUARES as SQUARES,
)
from seg.losses.pixel_sums import (
    Need as Need,
)
from seg.losses.pixel_sums import (
    PixelSums as PixelSums,
)
from seg.losses.pixel_sums import (
    PlainSums as PlainSums,
)
from seg.losses.pixel_sums import (
    cross_entropy_needs as cross_entropy_needs,
)


class SumLoss(nn.Module):
    """A loss that is `from_sums` of the sums that `sums_needed` names, however these are taken."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        sums = native_sums(self, logits, target) or PlainSums(logits, target, self.sums_needed())
        return self.from_sums(sums).to(sums.dtype)  # native sums are float64, the loss of float32 logits is not

    def sums_needed(self) -> tuple[Need, ...]:
        """List the sums that `from_sums` takes."""
        raise NotImplementedError

    def from_sums(self, sums: PixelSums) -> Tensor:
        """Return the loss, a scalar; every path from the sums to it goes through `over_processes` exactly once."""
        raise NotImplementedError
