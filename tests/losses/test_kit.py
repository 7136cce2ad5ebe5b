"""The three losses that help(seg.losses) shows, as a newcomer would write them.

python -m pytest tests/losses/test_kit.py
"""

import textwrap
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seg import losses
from seg.losses import fused

NAMES = ("Brier", "AbsoluteError", "Kulczynski")


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What the example defines."""
    _, _, rest = (losses.__doc__ or "").partition("share most of their work::\n")
    code, _, _ = rest.partition("\nWhat bites")
    namespace: dict[str, Any] = {"__name__": "shown"}
    exec(textwrap.dedent(code), namespace)
    return namespace


def reference(name: str, logits: np.ndarray, target: np.ndarray) -> float:
    """In NumPy, pixel by pixel."""
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    valid, classes = target != 255, logits.shape[1]
    rows, labels = p.transpose(0, 2, 3, 1)[valid], target[valid]
    wanted = np.eye(classes)[labels]
    if name == "Brier":
        return float(((rows - wanted) ** 2).sum(1).mean())
    if name == "AbsoluteError":
        return float((1 - (rows * wanted).sum(1)).mean())
    hit, predicted, labelled = (rows * wanted).sum(0), rows.sum(0), wanted.sum(0)
    known = labelled > 0
    return float((1 - (hit / predicted + hit / np.maximum(labelled, 1)) / 2)[known].mean())


def made(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 6, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 6, 5), generator=generator)  # class 3 is absent
    target[0, :2] = 255
    return logits, target


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("native", [True, False])
def test_the_shown_losses_are_right(shown: dict[str, Any], name: str, native: bool) -> None:
    logits, target = made()
    loss: nn.Module = shown[name]()
    with fused(native):
        value = float(loss(logits, target))
        assert value == pytest.approx(reference(name, logits.numpy(), target.numpy()), rel=1e-6)
        assert float(loss(logits.float(), target)) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_shown_losses_keep_the_contract(shown: dict[str, Any], name: str) -> None:
    logits, target = made(1)
    loss: nn.Module = shown[name]()
    spoilt = torch.where((target == 255).unsqueeze(1), torch.nan, logits).requires_grad_()
    value = loss(spoilt, target)
    assert float(value.detach()) == pytest.approx(float(loss(logits, target)))
    (gradient,) = torch.autograd.grad(value, spoilt)
    assert torch.isfinite(gradient).all()
    assert not gradient[:, :, :2][0].any()
    assert gradient.any()
    empty = torch.full_like(target, 255)
    assert float(loss(logits, empty)) == 0
    for kind in (torch.float16, torch.bfloat16, torch.float32):
        assert torch.isfinite(loss((1e4 * logits.sign()).to(kind), target))
    with pytest.raises(ValueError, match="target: expected shape"):
        loss(logits, target[:, :3])
