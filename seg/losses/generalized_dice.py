"""Generalized Dice loss."""

import torch
from torch import Tensor

from seg.files import checks
from seg.losses.regions import Absent, divide, region_sums, row_mean
from seg.losses.sums import HIT, LABELLED, PREDICTED, Need, PixelSums, SumLoss


class GeneralizedDice(SumLoss):
    """``1 - 2 sum_c w_c TP_c / sum_c w_c (P_c + Y_c)`` with ``w_c = 1 / Y_c^2`` (Sudre et al. 2017).

    For a class without pixels that weight is undefined. Released code adds 1e-10 to Y, so that one absent class
    outweighs all others by 1e20 and the gradient vanishes; here it has weight 0, or that of the rarest class present.

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
        checks.choice("absent", absent, ["skip", "count"])
        self.batch = batch
        self.absent: Absent = absent

    def sums_needed(self) -> tuple[Need, ...]:
        return LABELLED, HIT, PREDICTED

    def from_sums(self, sums: PixelSums) -> Tensor:
        region = region_sums(sums, batch=self.batch)
        present = region.labelled > 0
        # only ratios of weights matter: relative to the largest, 1 / Y^2 neither overflows nor underflows
        rarest = torch.where(present, region.labelled, torch.inf).amin(1, keepdim=True)
        weight = torch.where(present, (rarest / region.labelled.clamp(min=1)).square(), float(self.absent == "count"))
        whole = region.predicted + region.labelled
        missed = divide((weight * (whole - 2 * region.hit)).sum(1), (weight * whole).sum(1))
        return row_mean(missed, present.any(1), batch=self.batch)
