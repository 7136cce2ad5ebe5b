"""Losses: ``forward(logits, target) -> scalar``.

Letters: N images, C classes, H x W pixels. ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64,
255 = ignore. For every loss an ignored pixel does not influence the value and has zero gradient, whatever its logits;
without a labelled pixel the loss is 0 with zero gradients; float16 and bfloat16 logits are reduced in float32.
``weight`` is one number per class wherever it appears.

In a distributed run sums and divisors are taken over the images of all processes (`seg.losses.processes`), so that the
loss is the same value on one process or many; `LovaszSoftmax` and `OhemCrossEntropy`, which sort pixels, say where
they differ.

Published losses that are combinations of these: the symmetric Unified Focal loss (Yeung et al. 2022) is
``unified_focal``; Combo loss (Taghanaki et al. 2019) is ``ce_dice`` with weights, up to a constant. Left out: the
asymmetric Unified Focal loss, which needs classes divided into rare and common; the Hausdorff loss by distance
transforms (Karimi and Salcudean 2020), which transforms every prediction in every step, where `Boundary` transforms
only masks, while they are loaded; soft targets (N, C, H, W), which neither masks nor transforms produce:
``label_smoothing`` covers the one case of them that is in use.

To add one: a module here and a YAML in ``conf/loss/``; `tests/losses/test_losses.py` enrols it. If it is a function of
sums over pixels, derive it from `seg.losses.sums.SumLoss` and write `sums_needed` and `from_sums`: that is the native
path and the plain one. All such losses but `Boundary` are written so; against a plain formula of their own, value,
gradient, memory and time were the same (within 5 %, at (4, 19, 256, 256) on a CPU).
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
