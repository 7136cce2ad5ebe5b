"""Exponential-logarithmic loss."""

from collections.abc import Iterable

from torch import Tensor

from seg.files import checks
from seg.losses.pixels import per_pixel, precise_minus_log, safe_power
from seg.losses.processes import over_processes
from seg.losses.regions import Absent, RegionSums, class_mean, divide, region_sums
from seg.losses.sums import HIT, LABELLED, PREDICTED, Need, PixelSums, SumLoss
from seg.losses.weight import ClassWeight


class ExpLog(SumLoss):
    """``dice_share E_c[(-ln Dice_c)^gamma_dice] + cross_share E_x[w_t (-ln p_t)^gamma_cross]`` (Wong et al. 2018).

    Dice_c = (2 TP + s) / (P + Y + s), and the mean over classes is taken after the power; E_x is the mean over labelled
    pixels. A power below 1 has an infinite slope at a perfect pixel, but the loss as a function of the logits has not:
    -ln p_t is computed as -log1p(-q) from the summed probability q of the other classes, and the slope of a pixel or
    class that is right to the last bit is 0.

    Args:
        weight: w, one number per class. The paper uses ``sqrt(sum_k f_k / f_c)`` with the label frequencies f of the
            training set (the rule ``square_root`` of ``seg-train``); None applies that formula to the labelled pixels
            of each batch, an estimate that varies from batch to batch. ``[1, 1, ...]`` weights all classes equally.
        dice_share, cross_share: weights of the two terms, >= 0.
        gamma_dice, gamma_cross: exponents, > 0.
        smooth: s, the paper's pseudocount for classes without pixels, > 0.
        batch: sum over the batch for Dice; False takes the Dice of each image and averages over those with a labelled
            pixel.
        absent: ``count`` averages the Dice term over all classes as in the paper, ``skip`` over those in the target.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(
        self,
        *,
        weight: Iterable[float] | None = None,
        dice_share: float = 0.8,
        cross_share: float = 0.2,
        gamma_dice: float = 0.3,
        gamma_cross: float = 0.3,
        smooth: float = 1.0,
        batch: bool = True,
        absent: Absent = "count",
    ) -> None:
        super().__init__()
        checks.number("dice_share", dice_share, least=0)
        checks.number("cross_share", cross_share, least=0)
        checks.number("gamma_dice", gamma_dice, above=0)
        checks.number("gamma_cross", gamma_cross, above=0)
        checks.number("smooth", smooth, above=0)
        checks.choice("absent", absent, ["skip", "count"])
        self.weight = ClassWeight(weight)
        self.dice_share, self.cross_share = dice_share, cross_share
        self.gamma_dice, self.gamma_cross = gamma_dice, gamma_cross
        self.smooth, self.batch = smooth, batch
        self.absent: Absent = absent

    def sums_needed(self) -> tuple[Need, ...]:
        return LABELLED, HIT, PREDICTED, Need("power", self.gamma_cross)

    def from_sums(self, sums: PixelSums) -> Tensor:
        region = region_sums(sums, batch=self.batch)
        weight = self.weight(sums.like)
        if weight is None:
            weight = _rarity(region.labelled[0] if self.batch else over_processes(region.labelled.sum(0))[0])
        cross = per_pixel(sums.over_all(Need("power", self.gamma_cross), weight), sums.pixels())
        return self.dice_share * self._dice(region) + self.cross_share * cross

    def _dice(self, region: RegionSums) -> Tensor:
        # -ln Dice_c from 1 - Dice_c, as for a pixel: a nearly perfect class would otherwise be rounding under a power
        whole = region.predicted + region.labelled
        missed = divide(whole - 2 * region.hit, whole + self.smooth)
        rough = (whole + self.smooth).log() - (2 * region.hit + self.smooth).log()
        values = safe_power(precise_minus_log(rough, missed), self.gamma_dice)
        return class_mean(values, region.labelled, batch=self.batch, absent=self.absent)


def _rarity(pixels: Tensor) -> Tensor:
    """Return ``sqrt(all / own)`` for the pixels (C,) of each class; an absent class counts as one pixel."""
    return (pixels.sum() / pixels.clamp(min=1)).sqrt()
