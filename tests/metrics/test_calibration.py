"""Calibration error, reliability bins and temperature.

python -m pytest tests/metrics/test_calibration.py
"""

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from seg.data.batches import Batch
from seg.evaluation.evaluate import find_temperature
from seg.metrics import Calibration
from seg.metrics.calibration import BINS, AtTemperature, fit_temperature, labelled_pixels
from seg.metrics.meters import Pass

NAMES = ("a", "b", "c", "d")


def some(images: int = 3, scale: float = 2.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and the classes drawn from their softmax, hence calibrated at ``scale`` 1; a tenth of it ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(images, len(NAMES), 40, 50, generator=generator)
    flat = logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, len(NAMES))
    mask = torch.multinomial(flat, 1, generator=generator).view(images, 40, 50).to(torch.uint8)
    mask[torch.rand(mask.shape, generator=generator) < 0.1] = 255
    return logits * scale, mask


def test_calibration_error_is_that_of_torchmetrics() -> None:
    logits, mask = some()
    mask[2] = 255
    meter = Calibration(3, bins=BINS)
    for index in range(3):
        Pass([meter]).logits(logits[index : index + 1], mask[index : index + 1], torch.tensor([index]))
    found = meter.scores(meter.totals())

    def theirs(images: slice) -> float:
        options = {"num_classes": len(NAMES), "n_bins": BINS, "ignore_index": 255}
        return float(multiclass_calibration_error(logits[images], mask[images].long(), **options))

    assert found["ece"] == pytest.approx(theirs(slice(3)), abs=1e-6)
    assert found["ece_i"] == pytest.approx((theirs(slice(0, 1)) + theirs(slice(1, 2))) / 2, abs=1e-6)
    assert meter.confidence[..., 0].sum() == (mask != 255).sum()


def test_temperature_calibrates() -> None:
    logits, mask = some(scale=2.5)
    valid = mask != 255
    pixels, classes = logits.permute(0, 2, 3, 1)[valid], mask[valid].long()
    found = fit_temperature(pixels, classes)
    grid = torch.linspace(1, 5, 401)
    losses = torch.stack([F.cross_entropy(pixels / t, classes) for t in grid])
    assert found == pytest.approx(float(grid[losses.argmin()]), abs=0.011)
    assert found == pytest.approx(2.5, rel=0.05)
    raw, tempered = Calibration(3), AtTemperature(3, found)
    Pass([raw, tempered]).logits(logits, mask, torch.arange(3))
    scores = tempered.scores(tempered.totals())
    assert list(scores) == ["ece_tempered", "ece_tempered_i"]
    assert scores["ece_tempered"] < 0.02 < 0.1 < raw.scores(raw.totals())["ece"]


def test_temperature_of_a_set_looks_at_some_pixels_of_each_image() -> None:
    logits, mask = some(scale=2.5)
    mask[1] = 255
    batches = [Batch(logits[i : i + 1], mask[i : i + 1], torch.tensor([i]), {}) for i in range(3)]
    whole = find_temperature(lambda images: images, batches, most=10**6)
    valid = mask != 255
    assert whole == pytest.approx(fit_temperature(logits.permute(0, 2, 3, 1)[valid], mask[valid].long()))
    assert find_temperature(lambda images: images, batches, most=900) == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0).long(), "expected labelled pixels to fit it on, got none"),
        (torch.eye(3), torch.arange(3), "right everywhere, or no better than chance"),
        (torch.eye(3), torch.tensor([1, 2, 0]), "within 0.05 to 20, got 20, .* or give a number"),
    ],
)
def test_temperatures_that_cannot_be_fitted(logits: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"temperature: .*{message}"):
        fit_temperature(logits, target)


def test_pixels_are_spread_over_a_large_image() -> None:
    """Of more pixels than float32 can number."""
    mask = torch.zeros(1, 4099, 4103, dtype=torch.uint8)
    mask[0, :, 2000:] = 1
    logits, classes = labelled_pixels(torch.zeros(1, 1, 1, 1).expand(1, 2, 4099, 4103), mask, 100)
    assert (tuple(logits.shape), tuple(classes.shape)) == ((100, 2), (100,))
    assert 0.3 < classes.float().mean() < 0.7
