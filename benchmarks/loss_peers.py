"""What bench_losses.py compares: ours and peers' implementations, each with the plain loss that it must equal."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import segmentation_models_pytorch.losses as smp
import torch
import torch.nn.functional as F
from torch import Tensor

from seg import losses
from seg.losses import fused

Loss = Callable[[Tensor, Tensor], Tensor]


class Way(NamedTuple):
    """One implementation; its value must be that of ``truth`` on the plain path in float64."""

    loss: str
    name: str
    call: Loss
    truth: Loss


def imported(name: str) -> Any:
    """A peer's module, None if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


def vector(classes: int) -> list[float]:
    return np.linspace(0.5, 2, classes).tolist()


def composite() -> losses.WeightedSum:
    return losses.WeightedSum(
        terms={"ce": losses.CrossEntropy(), "focal": losses.Focal(), "dice": losses.Dice()},
        weights={"ce": 1.0, "focal": 1.0, "dice": 1.0},
    )


def our_losses(classes: int, distance: Tensor) -> dict[str, Loss]:
    boundary = losses.Boundary()
    return {
        "cross_entropy": losses.CrossEntropy(),
        "weighted_cross_entropy": losses.WeightedCrossEntropy(weight=vector(classes)),
        "focal": losses.Focal(),
        "dice": losses.Dice(),
        "tversky": losses.Tversky(),
        "exp_log": losses.ExpLog(),
        "boundary": lambda z, t: boundary(z, t, distance),
        "jaccard": losses.Jaccard(),
        "generalized_dice": losses.GeneralizedDice(),
        "poly1": losses.Poly1(),
        "ohem_cross_entropy": losses.OhemCrossEntropy(),
        "ohem_cross_entropy, hardest 1/16": losses.OhemCrossEntropy(threshold=0),
        "lovasz_softmax": losses.LovaszSoftmax(),
        "ce + focal + dice": composite(),
    }


def plainly(loss: Loss) -> Loss:
    def call(logits: Tensor, target: Tensor) -> Tensor:
        with fused(False):
            return loss(logits, target)

    return call


def ways(classes: int, distance: Tensor, compiled: bool) -> list[Way]:
    """Everything that can be compared here; F.cross_entropy first."""
    ours = our_losses(classes, distance)
    found = [Way("cross_entropy", "torch", lambda z, t: F.cross_entropy(z, t, ignore_index=255), ours["cross_entropy"])]
    weight = torch.tensor(vector(classes), device=distance.device)
    found.append(
        Way(
            "weighted_cross_entropy",
            "torch",
            lambda z, t: F.cross_entropy(z, t, weight.to(z.dtype), ignore_index=255),
            ours["weighted_cross_entropy"],
        )
    )
    for name, loss in ours.items():
        found.append(Way(name, "ours", loss, loss))
        found.append(Way(name, "ours, plain", plainly(loss), loss))
        if compiled:
            found.append(Way(name, "ours, torch.compile", torch.compile(loss), loss))
    return [*found, *smp_ways(), *monai_ways(), *kornia_ways()]


def smp_ways() -> list[Way]:
    dice = smp.DiceLoss("multiclass", ignore_index=255)
    tversky = smp.TverskyLoss("multiclass", ignore_index=255, alpha=0.3, beta=0.7)
    jaccard, lovasz = smp.JaccardLoss("multiclass", ignore_index=255), smp.LovaszLoss("multiclass", ignore_index=255)
    return [
        Way("dice", "smp", dice, losses.Dice(smooth=0)),
        Way("tversky", "smp", tversky, losses.Tversky(smooth=0)),
        Way("jaccard", "smp", jaccard, losses.Jaccard(smooth=0)),
        Way("lovasz_softmax", "smp", lovasz, losses.LovaszSoftmax()),
    ]


def monai_ways() -> list[Way]:
    monai = imported("monai.losses")
    if monai is None:
        return []
    options = {"softmax": True, "to_onehot_y": True, "batch": True, "ignore_index": 255}
    dice = monai.DiceLoss(**options)
    tversky = monai.TverskyLoss(alpha=0.3, beta=0.7, **options)
    return [
        Way("dice", "MONAI", lambda z, t: dice(z, t.unsqueeze(1)), losses.Dice(smooth=1e-5, absent="count")),
        Way("tversky", "MONAI", lambda z, t: tversky(z, t.unsqueeze(1)), losses.Tversky(smooth=1e-5, absent="count")),
    ]


def kornia_ways() -> list[Way]:
    kornia = imported("kornia.losses")
    if kornia is None:
        return []

    def focal(logits: Tensor, target: Tensor) -> Tensor:
        """Its own mean counts ignored pixels."""
        total = kornia.focal_loss(logits, target, alpha=None, gamma=2.0, reduction="sum", ignore_index=255)
        return total / (target != 255).sum()

    def dice(logits: Tensor, target: Tensor) -> Tensor:
        return kornia.dice_loss(logits, target, average="macro", ignore_index=255)

    per_image = losses.Dice(batch=False, smooth=0, absent="count")

    def together(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, ignore_index=255) + focal(logits, target) + dice(logits, target)

    def truth(logits: Tensor, target: Tensor) -> Tensor:
        return losses.CrossEntropy()(logits, target) + losses.Focal()(logits, target) + per_image(logits, target)

    return [
        Way("focal", "kornia", focal, losses.Focal()),
        Way("dice", "kornia", dice, per_image),
        Way("ce + focal + dice", "torch + kornia", together, truth),
    ]
