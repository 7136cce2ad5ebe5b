"""Losses: ``forward(logits, target) -> scalar``.

Letters: N images, C classes, H x W pixels. ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64,
255 = ignore. For every loss an ignored pixel does not influence the value and has zero gradient, whatever its logits;
without a labelled pixel the loss is 0 with zero gradients; float16 and bfloat16 logits are reduced in float32.
``weight`` is one number per class wherever it appears.

In a distributed run sums and divisors are taken over the images of all processes (`seg.losses.processes`), so that the
loss is the same value on one process or many; `LovaszSoftmax` and `OhemCrossEntropy`, which sort pixels, say where
they differ. Means over pixels (``spans_batches``) are those of all batches of a step, too, where ``fit.accumulate``
makes one of several; other losses are the mean of what each batch costs.

Published losses that are combinations of these: the symmetric Unified Focal loss (Yeung et al. 2022) is
``unified_focal``; Combo loss (Taghanaki et al. 2019) is ``ce_dice`` with weights, up to a constant. Left out: the
asymmetric Unified Focal loss, which needs classes divided into rare and common; the Hausdorff loss by distance
transforms (Karimi and Salcudean 2020), which transforms every prediction in every step, where `Boundary` transforms
only masks, while they are loaded; soft targets (N, C, H, W), which neither masks nor transforms produce:
``label_smoothing`` covers the one case of them that is in use.

They need nothing else of the toolkit. In a training loop of your own:

    >>> import torch
    >>> from seg.losses import CrossEntropy, Dice, WeightedSum
    >>> loss = WeightedSum(terms={"ce": CrossEntropy(), "dice": Dice()}, weights={"ce": 1.0, "dice": 0.5})
    >>> network = torch.nn.Conv2d(3, 4, 1)
    >>> optimizer = torch.optim.SGD(network.parameters(), 0.1)
    >>> images = torch.rand(2, 3, 8, 8)
    >>> masks = torch.randint(0, 4, (2, 8, 8), dtype=torch.uint8)
    >>> masks[:, :2] = 255  # not labelled: no influence
    >>> for step in range(3):
    ...     optimizer.zero_grad()
    ...     value = loss(network(images), masks)
    ...     value.backward()
    ...     optimizer.step()
    >>> sorted(loss.last)  # the terms of the last call, without their weights
    ['ce', 'dice']

To add one: a module here, or one of your own, and a YAML in ``conf/loss/``, or in a folder of your own that
``--config-dir`` names; `tests/losses/test_losses.py` enrols those that lie here. Three kinds share most of their work::

    from torch import nn

    from seg.losses.pixels import per_pixel, prepare
    from seg.losses.regions import RegionLoss, divide
    from seg.losses.sums import HIT, LABELLED, SumLoss


    class Brier(nn.Module):  # on pixels: squared distance of the probabilities from the true class
        spans_batches = True  # `per_pixel` divides by the pixels of all batches of a step: fit.accumulate asks

        def forward(self, logits, target):
            logits, labels, valid = prepare(logits, target)  # ignored pixels masked, half precision widened
            p = logits.softmax(1)
            distance = p.square().sum(1) - 2 * p.gather(1, labels.unsqueeze(1)).squeeze(1) + 1
            return per_pixel((distance * valid).sum(), valid.sum())


    class AbsoluteError(SumLoss):  # on sums over pixels: 1 - p of the true class, by the native code, too
        def sums_needed(self):
            return LABELLED, HIT

        def from_sums(self, sums):
            return per_pixel(sums.missed(), sums.pixels())


    class Kulczynski(RegionLoss):  # on the regions of the classes: 1 - the mean of precision and recall
        def miss(self, sums):
            precision, recall = divide(sums.hit, sums.predicted), divide(sums.hit, sums.labelled)
            return 1 - (precision + recall) / 2

What bites: every path from the logits goes through `seg.losses.over_processes` exactly once (`per_pixel` and the sums
of regions do it), or several processes train otherwise than one; NaN times zero is NaN, so that ignored logits are
masked before the softmax and not after the loss; a loss that can be below 0 says ``can_be_negative = True``, else a
weighting believes it is not. Losses on sums have a native path and a plain one: against a plain formula of their own,
value, gradient, memory and time were the same (within 5 %, at (4, 19, 256, 256) on a CPU).
"""

from seg.losses.boundary import Boundary
from seg.losses.cl_dice import ClDice
from seg.losses.cross_entropy import CrossEntropy
from seg.losses.dice import Dice
from seg.losses.distance import distances_for, signed_distance
from seg.losses.exp_log import ExpLog
from seg.losses.focal import Focal
from seg.losses.generalized_dice import GeneralizedDice
from seg.losses.jaccard import Jaccard
from seg.losses.lovasz_softmax import LovaszSoftmax
from seg.losses.native import fused
from seg.losses.ohem_cross_entropy import OhemCrossEntropy
from seg.losses.poly1 import Poly1
from seg.losses.processes import over_processes
from seg.losses.schedules import Ramp, boundary_weights
from seg.losses.tversky import Tversky
from seg.losses.weighted_cross_entropy import WeightedCrossEntropy
from seg.losses.weighted_sum import WeightedSum

__all__ = [
    "Boundary",
    "ClDice",
    "CrossEntropy",
    "Dice",
    "ExpLog",
    "Focal",
    "GeneralizedDice",
    "Jaccard",
    "LovaszSoftmax",
    "OhemCrossEntropy",
    "Poly1",
    "Ramp",
    "Tversky",
    "WeightedCrossEntropy",
    "WeightedSum",
    "boundary_weights",
    "distances_for",
    "fused",
    "over_processes",
    "signed_distance",
]
