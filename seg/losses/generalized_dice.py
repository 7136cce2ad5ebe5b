"""Generalized Dice loss."""

import torch
from torch import Tensor, nn

from seg.losses._check import check_choice
from seg.losses._fused import pixel_sums
from seg.losses._pixels import prepare
from seg.losses._regions import Absent, Sums, divide, region_of, region_sums, row_mean
from seg.losses._sums import HIT, LABELLED, PREDICTED, Need, PixelSums


class GeneralizedDice(nn.Module):
    """``1 - 2 sum_c w_c TP_c / sum_c w_c (P_c + Y_c)`` with ``w_c = 1 / Y_c^2`` (Sudre et al. 2017).

    A class without pixels has no such weight. Released code adds 1e-10 to Y, whereupon one absent class outweighs
    all others by 1e20 and the gradient dies; here it weighs nothing, or as much as the rarest class that is there.

    Args:
        batch: sum over the batch; False takes the loss of each image and averages over those with a labelled pixel.
        absent: ``skip`` gives absent classes the weight 0, ``count`` the largest weight of the classes present.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(self, *, batch: bool = True, absent: Absent = "skip") -> None:
        super().__init__()
        check_choice("absent", absent, "skip", "count")
        self.batch = batch
        self.absent: Absent = absent

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if (native := pixel_sums(self, logits, target)) is not None:
            return self.from_sums(native).float()
        logits, labels, valid = prepare(logits, target)
        p = torch.where(valid.unsqueeze(1), logits.softmax(1), 0)
        return self._missed(region_sums(p, labels, valid, batch=self.batch))

    def _missed(self, sums: Sums) -> Tensor:
        present = sums.labelled > 0
        # only ratios of weights matter: in units of the largest they neither over- nor underflow
        rarest = torch.where(present, sums.labelled, torch.inf).amin(1, keepdim=True)
        weight = torch.where(present, (rarest / sums.labelled.clamp(min=1)).square(), float(self.absent == "count"))
        whole = sums.predicted + sums.labelled
        missed = divide((weight * (whole - 2 * sums.hit)).sum(1), (weight * whole).sum(1))
        return row_mean(missed, present.any(1), batch=self.batch)

    def sums_needed(self) -> tuple[Need, ...]:
        return LABELLED, HIT, PREDICTED

    def from_sums(self, sums: PixelSums) -> Tensor:
        return self._missed(region_of(sums, batch=self.batch))
