"""Which arguments of our losses give the numbers of other libraries, value and gradient: for those who migrate.

Where a library is not installed its cases skip. Written as formulas, from papers and definitions, are nnU-Net's Dice
and the boundary loss's released form.

python -m pytest tests/losses/test_peers.py
"""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch.losses as smp
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from seg.losses import (
    Boundary,
    CrossEntropy,
    Dice,
    Focal,
    GeneralizedDice,
    Jaccard,
    LovaszSoftmax,
    Tversky,
    WeightedCrossEntropy,
    WeightedSum,
)

IGNORE = 255
WEIGHT = [0.3, 1.7, 1.1, 0.9]
FOREGROUND = [0, 1, 1, 1]
PER_IMAGE: dict[str, Any] = {"batch": False, "absent": "count"}

Peer = Callable[[Tensor, Tensor], Tensor]


def batch(*, ignored: bool, present: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(2, 4, 8, 9, generator=generator, dtype=torch.float64)
    target = torch.randint(4, (2, 8, 9), generator=generator)
    if ignored:
        target[:, 2:4, 1:6] = IGNORE
    if not present:
        target[0][target[0] == 2] = 1
    return logits.requires_grad_(), target


def same(ours: nn.Module, peer: Peer, *, ignored: bool = False, present: bool = True, rel: float = 1e-6) -> None:
    """Value and gradient agree; ``present`` says whether every image has every class."""
    logits, target = batch(ignored=ignored, present=present)
    found, expected = ours(logits, target), peer(logits, target)
    assert found.item() == pytest.approx(expected.item(), rel=rel)
    one, other = (torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (found, expected))
    torch.testing.assert_close(one, other, rtol=0, atol=rel * float(other.abs().max()))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_torch(smoothing: float, reduction: Any) -> None:
    options: dict[str, Any] = {"label_smoothing": smoothing, "reduction": reduction}
    weight = torch.tensor(WEIGHT, dtype=torch.float64)
    same(CrossEntropy(**options), nn.CrossEntropyLoss(ignore_index=IGNORE, **options), ignored=True, rel=1e-12)
    weighted = nn.CrossEntropyLoss(weight, ignore_index=IGNORE, **options)
    same(WeightedCrossEntropy(weight=WEIGHT, **options), weighted, ignored=True, rel=1e-12)


SMP: dict[str, tuple[nn.Module, Callable[[], nn.Module]]] = {
    "dice": (Dice(smooth=0), lambda: smp.DiceLoss("multiclass", ignore_index=IGNORE)),
    # TP / ((P + Y) / 2) there
    "dice smooth": (Dice(smooth=2.0), lambda: smp.DiceLoss("multiclass", ignore_index=IGNORE, smooth=1.0)),
    "dice weight": (
        Dice(smooth=0, weight=WEIGHT),
        lambda: smp.DiceLoss("multiclass", ignore_index=IGNORE, class_weights=WEIGHT),
    ),
    "jaccard": (Jaccard(smooth=0), lambda: smp.JaccardLoss("multiclass", ignore_index=IGNORE)),
    "tversky": (
        Tversky(alpha=0.3, beta=0.7, smooth=0),
        lambda: smp.TverskyLoss("multiclass", ignore_index=IGNORE, alpha=0.3, beta=0.7),
    ),
    "lovasz": (LovaszSoftmax(), lambda: smp.LovaszLoss("multiclass", ignore_index=IGNORE)),
    "lovasz image": (
        LovaszSoftmax(batch=False),
        lambda: smp.LovaszLoss("multiclass", ignore_index=IGNORE, per_image=True),
    ),
}


@pytest.mark.parametrize("name", SMP)
def test_segmentation_models_pytorch(name: str) -> None:
    """Where every class is present: absent ones count as 0 there, and the loss falls with what the crop shows."""
    ours, peer = SMP[name]
    loss = peer()
    same(ours, lambda logits, target: loss(logits.float(), target), ignored=True, rel=1e-5)


def test_segmentation_models_pytorch_cross_entropy() -> None:
    """Without ignored pixels: it divides by these as well."""
    same(CrossEntropy(label_smoothing=0.1), smp.SoftCrossEntropyLoss(smooth_factor=0.1), rel=1e-12)


def imported(name: str) -> Any:
    pytest.importorskip(name.split(".")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, about each other
        return importlib.import_module(name)


def share_of_four(loss: nn.Module) -> nn.Module:
    return WeightedSum(terms={"loss": loss}, weights={"loss": 1 / 4})


BOTH: dict[str, Any] = {"to_onehot_y": True, "softmax": True}
MONAI: dict[str, tuple[nn.Module, str, dict[str, Any]]] = {
    "dice": (Dice(smooth=1e-5, **PER_IMAGE), "DiceLoss", BOTH),
    "dice batch": (Dice(smooth=1e-5, absent="count"), "DiceLoss", {**BOTH, "batch": True}),
    "dice squared": (Dice(smooth=1e-5, squared=True, **PER_IMAGE), "DiceLoss", {**BOTH, "squared_pred": True}),
    "dice foreground": (
        Dice(smooth=1e-5, weight=FOREGROUND, **PER_IMAGE),
        "DiceLoss",
        {**BOTH, "include_background": False},
    ),
    "jaccard": (Jaccard(smooth=5e-6, **PER_IMAGE), "DiceLoss", {**BOTH, "jaccard": True}),
    "tversky": (
        Tversky(alpha=0.2, beta=0.8, smooth=1e-5, **PER_IMAGE),
        "TverskyLoss",
        {**BOTH, "alpha": 0.2, "beta": 0.8},
    ),
    # its smooth is added to sums of 1 / Y^2 and outweighs them on large images
    "generalized dice": (
        GeneralizedDice(**PER_IMAGE),
        "GeneralizedDiceLoss",
        {**BOTH, "smooth_nr": 0, "smooth_dr": 0},
    ),
    "generalized dice batch": (
        GeneralizedDice(absent="count"),
        "GeneralizedDiceLoss",
        {**BOTH, "smooth_nr": 0, "smooth_dr": 0, "batch": True},
    ),
    # its mean is over N C H W
    "focal": (
        share_of_four(Focal(gamma=2.0, weight=WEIGHT)),
        "FocalLoss",
        {"to_onehot_y": True, "use_softmax": True, "gamma": 2.0, "weight": WEIGHT},
    ),
    "dice ce": (
        WeightedSum(
            terms={"dice": Dice(smooth=1e-5, **PER_IMAGE), "ce": CrossEntropy()}, weights={"dice": 1.0, "ce": 0.5}
        ),
        "DiceCELoss",
        {**BOTH, "lambda_ce": 0.5},
    ),
}


@pytest.mark.parametrize("name", MONAI)
def test_monai(name: str) -> None:
    ours, peer, options = MONAI[name]
    loss = getattr(imported("monai.losses"), peer)(**options)
    same(ours, lambda logits, target: loss(logits, target.unsqueeze(1)), present=False)


@pytest.mark.parametrize("name", ["dice", "dice batch", "tversky"])
def test_monai_with_ignored_pixels(name: str) -> None:
    ours, peer, options = MONAI[name]
    loss = getattr(imported("monai.losses"), peer)(**options, ignore_index=IGNORE)
    same(ours, lambda logits, target: loss(logits, target.unsqueeze(1)), ignored=True, present=False)


def test_monai_focal_with_ignored_pixels() -> None:
    """Its mean is then over the labelled pixels, as ours is: another scale than without ``ignore_index``."""
    loss = imported("monai.losses").FocalLoss(to_onehot_y=True, use_softmax=True, ignore_index=IGNORE)
    same(Focal(gamma=2.0), lambda logits, target: loss(logits, target.unsqueeze(1)), ignored=True)


KORNIA: dict[str, tuple[nn.Module, str, dict[str, Any]]] = {
    "dice": (Dice(smooth=0, batch=False), "dice_loss", {"average": "macro", "ignore_index": IGNORE}),
    "tversky": (
        Tversky(alpha=0.2, beta=0.8, smooth=0, batch=False),
        "tversky_loss",
        {"alpha": 0.2, "beta": 0.8, "ignore_index": IGNORE},
    ),
    # its mean is over N C H W
    "focal": (share_of_four(Focal(gamma=1.5)), "focal_loss", {"alpha": None, "gamma": 1.5, "reduction": "mean"}),
    "focal alpha": (
        share_of_four(Focal(gamma=1.5, weight=[0.75, 0.25, 0.25, 0.25])),
        "focal_loss",
        {"alpha": 0.25, "gamma": 1.5, "reduction": "mean"},
    ),
    "lovasz": (LovaszSoftmax(**PER_IMAGE), "lovasz_softmax_loss", {}),
}


@pytest.mark.parametrize("name", KORNIA)
def test_kornia(name: str) -> None:
    """Its focal loss also divides by ignored pixels, its Lovasz knows none."""
    ours, peer, options = KORNIA[name]
    loss = getattr(imported("kornia.losses"), peer)
    ignored = "ignore_index" in options
    same(ours, lambda logits, target: loss(logits, target, **options), ignored=ignored, present=False)


def nnunet_dice(logits: Tensor, target: Tensor, *, batch_dice: bool, background: bool, smooth: float) -> Tensor:
    """Minus the mean over (images and) classes of (2 TP + s) / (P + Y + s), pixels to ignore masked."""
    mask = (target != IGNORE).unsqueeze(1)
    truth = F.one_hot(torch.where(target == IGNORE, 0, target), 4).movedim(-1, 1)
    p, y = logits.softmax(1) * mask, truth * mask
    if not background:
        p, y = p[:, 1:], y[:, 1:]
    axes = (0, 2, 3) if batch_dice else (2, 3)
    score = (2 * (p * y).sum(axes) + smooth) / ((p + y).sum(axes) + smooth).clamp(min=1e-8)
    return -score.mean()


@pytest.mark.parametrize("batch_dice", [True, False])
@pytest.mark.parametrize("background", [True, False])
def test_nnunet_dice_and_cross_entropy(batch_dice: bool, background: bool) -> None:
    """Ours is 1 more: 0 is perfect, there -1."""
    ours = WeightedSum(
        terms={
            "dice": Dice(smooth=1e-5, batch=batch_dice, absent="count", weight=None if background else FOREGROUND),
            "ce": CrossEntropy(),
        },
        weights={"dice": 1.0, "ce": 1.0},
    )

    def peer(logits: Tensor, target: Tensor) -> Tensor:
        dice = nnunet_dice(logits, target, batch_dice=batch_dice, background=background, smooth=1e-5)
        return 1 + dice + F.cross_entropy(logits, target, ignore_index=IGNORE)

    same(ours, peer, ignored=True, present=False, rel=1e-12)


def released_map(mask: np.ndarray, label: int) -> np.ndarray:
    """Signed distance as released with Kervadec et al.: distance outside, minus (distance - 1) inside."""
    own = mask == label
    if not own.any():
        return np.zeros(mask.shape)
    inside, outside = ndimage.distance_transform_edt(own), ndimage.distance_transform_edt(~own)
    return np.where(own, 1 - inside, outside)


@pytest.mark.parametrize("chosen", [None, [1], [1, 3]])
def test_released_boundary_loss(chosen: list[int] | None) -> None:
    def peer(logits: Tensor, target: Tensor) -> Tensor:
        wanted = chosen or [0, 1, 2, 3]
        maps = np.stack([[released_map(mask, label) for label in wanted] for mask in target.numpy()])
        return (logits.softmax(1)[:, wanted] * torch.from_numpy(maps)).mean()

    same(Boundary(classes=chosen), peer, present=False)


def test_released_generalized_dice() -> None:
    """Where every image has every class: an absent one outweighs all others there by 1e20."""

    def peer(logits: Tensor, target: Tensor) -> Tensor:
        p, y = logits.softmax(1), F.one_hot(target, 4).movedim(-1, 1).double()
        w = 1 / (y.sum((2, 3)) + 1e-10) ** 2
        above = (w * (p * y).sum((2, 3))).sum(1) + 1e-10
        return (1 - 2 * above / ((w * (p + y).sum((2, 3))).sum(1) + 1e-10)).mean()

    same(GeneralizedDice(batch=False), peer)
