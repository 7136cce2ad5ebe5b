"""Contract of every loss; newcomers in conf/loss/ are enrolled by themselves.

python -m pytest tests/test_losses.py
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate

from seg.losses import CrossEntropy

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "conf" / "loss").glob("*.yaml"))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def loss(request: pytest.FixtureRequest) -> torch.nn.Module:
    return instantiate(yaml.safe_load(request.param.read_text()))


def batch(dtype: torch.dtype = torch.float32, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 9, 7, generator=generator, dtype=torch.float64).to(dtype)
    target = torch.randint(classes, (2, 9, 7), generator=generator)
    target[:, 2:4] = 255
    return logits.requires_grad_(), target


def test_scalar_with_finite_gradient(loss: torch.nn.Module) -> None:
    logits, target = batch()
    value = loss(logits, target)
    value.backward()
    assert value.shape == ()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


def test_uint8_and_int64_targets_agree(loss: torch.nn.Module) -> None:
    logits, target = batch()
    assert loss(logits, target) == loss(logits, target.to(torch.uint8))


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_ignored_pixels_have_no_influence(loss: torch.nn.Module, poison: float) -> None:
    logits, target = batch()
    value = loss(logits, target)
    poisoned = torch.where((target == 255).unsqueeze(1), poison, logits.detach()).requires_grad_()
    again = loss(poisoned, target)
    again.backward()
    assert again == value
    assert poisoned.grad.permute(0, 2, 3, 1)[target == 255].abs().max() == 0
    assert torch.isfinite(poisoned.grad).all()


def test_without_labelled_pixels_zero(loss: torch.nn.Module) -> None:
    for shape in ((2, 5, 4, 4), (0, 5, 4, 4)):
        logits = torch.randn(shape).requires_grad_()
        value = loss(logits, torch.full((shape[0], 4, 4), 255))
        value.backward()
        assert value == 0
        assert not logits.grad.any()


def test_perfect_beats_random(loss: torch.nn.Module) -> None:
    logits, target = batch()
    perfect = 50.0 * torch.nn.functional.one_hot(target.clamp(max=4), 5).permute(0, 3, 1, 2).float()
    assert loss(perfect, target) < loss(logits, target)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_saturated_logits_stay_finite(loss: torch.nn.Module, dtype: torch.dtype, scale: float) -> None:
    _, target = batch()
    logits = (scale * torch.nn.functional.one_hot(target.clamp(max=4), 5).permute(0, 3, 1, 2)).to(dtype)
    value = loss(logits.requires_grad_(), target)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_large_half_precision_batches(loss: torch.nn.Module) -> None:
    """More than 65504 pixels: sums overflow float16 unless they are taken in float32."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 5, 300, 300, generator=generator)
    target = torch.randint(5, (1, 300, 300), generator=generator)
    for dtype in (torch.float16, torch.bfloat16):
        half = logits.to(dtype)
        assert loss(half, target).item() == pytest.approx(loss(half.double(), target).item(), rel=1e-4)


def test_arguments_are_not_written(loss: torch.nn.Module) -> None:
    logits, target = batch()
    before = logits.detach().clone(), target.clone()
    loss(logits, target).backward()
    assert torch.equal(before[0], logits.detach())
    assert torch.equal(before[1], target)


def test_bad_arguments(loss: torch.nn.Module) -> None:
    logits, target = batch()
    with pytest.raises(ValueError, match=r"logits: expected floating \(N, C, H, W\), got"):
        loss(logits[0], target)
    with pytest.raises(ValueError, match=r"logits: expected floating"):
        loss(logits.long(), target)
    with pytest.raises(ValueError, match=r"target: expected shape \(2, 9, 7\) to match logits, got \(2, 9\)"):
        loss(logits, target[..., 0])
    with pytest.raises(ValueError, match="target: expected uint8 or int64 class indices, got torch.float32"):
        loss(logits, target.float())
    target[0, 0, 0] = 5
    with pytest.raises(ValueError, match=r"target: expected class indices 0..4 or 255 \(ignore\), got 0..5"):
        loss(logits, target)


def numpy_cross_entropy(logits: np.ndarray, target: np.ndarray, smoothing: float) -> tuple[float, np.ndarray]:
    """Value and gradient, pixel by pixel, in float64."""
    classes, total, count = logits.shape[1], 0.0, 0
    gradient = np.zeros_like(logits)
    for n, y, x in np.argwhere(target != 255):
        z = logits[n, :, y, x]
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        wanted = np.full(classes, smoothing / classes)
        wanted[target[n, y, x]] += 1 - smoothing
        total -= (wanted * np.log(p)).sum()
        gradient[n, :, y, x] = p - wanted
        count += 1
    return total / count, gradient / count


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_against_numpy(smoothing: float) -> None:
    logits, target = batch(torch.float64)
    value = CrossEntropy(label_smoothing=smoothing)(logits, target)
    value.backward()
    expected, gradient = numpy_cross_entropy(logits.detach().numpy(), target.numpy(), smoothing)
    assert value.item() == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(logits.grad.numpy(), gradient, atol=1e-8 * np.abs(gradient).max())
    total = CrossEntropy(label_smoothing=smoothing, reduction="sum")(logits, target)
    assert total.item() == pytest.approx(expected * int((target != 255).sum()), abs=1e-9)


def test_cross_entropy_options() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing: expected 0..1, got 2"):
        CrossEntropy(label_smoothing=2)
    with pytest.raises(ValueError, match="reduction: expected 'mean' or 'sum', got 'none'"):
        CrossEntropy(reduction="none")
