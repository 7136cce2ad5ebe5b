"""Cross entropy over the hardest pixels."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seg.files import checks
from seg.losses.native import native_hard
from seg.losses.pixels import prepare
from seg.losses.processes import over_processes


class OhemCrossEntropy(nn.Module):
    """Softmax cross entropy, averaged over the hard pixels: online hard example mining (Shrivastava et al. 2016).

    A pixel is hard if the probability of its true class is below ``threshold``; if fewer than ``share`` of the labelled
    pixels are, the hardest ``share`` of them is taken instead, at least one pixel. The form for pixels, and the share
    of 1/16, are those of the released code of BiSeNet (Yu et al. 2018).
    In a distributed run the hard pixels of all processes are counted together; if they are too few, each process takes
    its own hardest ``share``, because the values of all processes are not sorted together.

    Args:
        threshold: probability of the true class below which a pixel is hard, in 0..1.
        share: least share of the labelled pixels of the batch to take, in 0..1.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(self, *, threshold: float = 0.7, share: float = 0.0625) -> None:
        super().__init__()
        checks.share("threshold", threshold)
        checks.share("share", share)
        self.threshold, self.share = threshold, share
        self.limit = -math.log(threshold) if threshold > 0 else math.inf

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        value, kept = native_hard(logits, target, self._hardest) or self._plain(logits, target)
        value, divisor = over_processes(value, kept)
        loss = value / divisor.clamp(min=1)
        return loss.to(torch.promote_types(logits.dtype, torch.float32))  # native sums are float64

    def _plain(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross entropy summed over the hard pixels, and their number."""
        logits, labels, valid = prepare(logits, target)
        values = -logits.log_softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
        # cross entropy is not negative: at -1 ignored pixels are sorted last
        values = torch.where(valid, values, -1).flatten().sort(dim=0, descending=True, stable=True).values
        pixels, hard = valid.sum(), (values > self.limit).sum()
        all_pixels, all_hard = over_processes(pixels, hard)
        enough = all_hard >= self._least(all_pixels)
        kept = torch.where(enough, hard, hard.maximum(self._least(pixels)))
        # a mask and not a slice: a slice would wait for a GPU to tell ``kept``, and break torch.compile's graph
        taken = torch.arange(len(values), device=values.device) < kept
        return torch.where(taken, values, 0).sum(), kept

    def _hardest(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the hard pixels of ``values`` (N, H, W), -1 where ignored; selecting is cheaper than sorting.

        In NumPy: torch would start its threads for each of these short steps.
        """
        hard: NDArray[np.bool_] = ~(values <= self.limit)  # with NaN, which must show
        least = int(self._least(torch.tensor(np.count_nonzero(values != -1))))
        if np.count_nonzero(hard) >= least:
            return hard
        rank = values.size - least
        edge = np.partition(values, rank, axis=None)[rank]
        hard = ~(values <= edge)
        equal = np.flatnonzero(values == edge)
        hard.flat[equal[: least - np.count_nonzero(hard)]] = True
        return hard

    def _least(self, pixels: Tensor) -> Tensor:
        return (pixels * self.share).long().clamp(min=1).minimum(pixels)
