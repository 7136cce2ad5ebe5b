"""python -m pytest tests/regularizers/test_variance.py"""

from collections.abc import Iterator

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from seg.regularizers import Dropout, UniformDropout, attach, before_norms, variance_shift


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batches(count: int = 2, side: int = 64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, 3, side, side, generator=generator) for _ in range(count)]


def toy(noise: nn.Module) -> nn.Module:
    """Noise on values of mean 0 and variance 1, then a normalisation."""
    return nn.Sequential(nn.BatchNorm2d(3), noise, nn.BatchNorm2d(3))


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (Dropout(0.5), 2.0),  # the noise multiplies the variance by 1 + s^2, s^2 = p / (1 - p)
        (Dropout(0.1), 1 / 0.9),
        (nn.Dropout(0.5), 2.0),
        (UniformDropout(0.5), 1 + 0.25 / 3),  # s^2 = beta^2 / 3
        (nn.Identity(), 1.0),
    ],
)
def test_the_shift_is_what_theory_says(noise: nn.Module, expected: float) -> None:
    """Li et al. 2019, for values of mean 0."""
    torch.manual_seed(0)
    assert variance_shift(toy(noise), batches())["2"] == pytest.approx(expected, rel=0.02)
    assert variance_shift(toy(noise), batches(), regularized=False)["2"] == pytest.approx(1, rel=0.001)


def test_noise_after_the_last_normalisation_shifts_nothing() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Dropout(0.5))
    assert variance_shift(model, batches()) == variance_shift(model, batches(), regularized=False)


def test_batches_of_images_that_look_alike_hide_variance_and_the_control_shows_it() -> None:
    torch.manual_seed(0)
    dark, bright = (batch + level for batch, level in zip(batches(), (-3.0, 3.0), strict=True))
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), Dropout(0.5), nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4))
    shift = variance_shift(model, [dark, bright])
    control = variance_shift(model, [dark, bright], regularized=False)
    assert shift["0"] == control["0"] == pytest.approx(0.1, rel=0.02)  # 1 within a batch, 1 + 3^2 over both
    assert shift["4"] < 1, "what the noise adds is less than what the batches hide"
    assert shift["4"] / control["4"] > 1.3


def test_deeplabv3plus_shifts_until_its_dropout_is_moved() -> None:
    torch.manual_seed(0)
    model = smp.create_model("deeplabv3plus", "resnet18", None, classes=3)
    numbers = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    shift, control = variance_shift(model, batches()), variance_shift(model, batches(), regularized=False)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(value, numbers[name]) for name, value in model.state_dict().items())
    assert shift == variance_shift(model, batches())
    worst = max(shift, key=lambda name: shift[name] / control[name])
    assert worst == "decoder.aspp.2"
    assert 2.0 < shift[worst] < 2.8
    assert 0.9 < control[worst] < 1.1
    assert before_norms(model)[worst] == "decoder.aspp.0.project.3 (Dropout)"
    assert not before_norms(model)["encoder.layer4.1.bn2"]
    attach(model, dropout=0.5)
    moved = variance_shift(model, batches())
    assert moved == pytest.approx(control, rel=0.02)
    assert not any(before_norms(model).values())


def test_before_is_meant_along_the_flow_of_values() -> None:
    model = smp.create_model("unet", "resnet18", None, classes=2)
    attach(model, dropblock=0.1, spatial_dropout={"p": 0.5, "sites": "encoder.layer2.0.conv1"})
    attach(model, dropout={"p": 0.1, "sites": "encoder.layer2.0.bn2"})
    before = before_norms(model)
    assert before["encoder.layer2.0.bn2"] == "encoder.layer2.0.conv1_spatial_dropout (SpatialDropout)"
    assert before["encoder.layer2.0.downsample.1"] == "", "the other way around the block"
    assert before["encoder.layer2.1.bn1"] == "encoder.layer2.0.bn2_dropout (Dropout)"
    assert [before[f"decoder.blocks.{i}.conv1.1"] for i in range(4)] == [
        f"encoder.skip{4 - i}_dropblock (DropBlock)" for i in range(4)
    ], "the nearest"
    efficient = before_norms(smp.create_model("unet", "efficientnet-b0", None, classes=2))
    assert efficient["encoder._bn0"] == ""
    assert efficient["encoder._blocks.3._bn0"] == "encoder (drop connect)"


def test_ramps_are_measured_at_their_end_and_stored_statistics_as_they_are() -> None:
    torch.manual_seed(0)
    assert variance_shift(toy(Dropout(0.5, ramp=1.0)), batches())["2"] == pytest.approx(2, rel=0.02)
    model = toy(nn.Identity())
    model[2].running_var.fill_(4.0)
    model[0].running_var.fill_(1.0)
    assert variance_shift(model, batches(), estimate=False)["2"] == pytest.approx(4, rel=0.02)


def test_wrong_requests() -> None:
    with pytest.raises(ValueError, match="expected at least one batch"):
        variance_shift(toy(Dropout(0.1)), [])
    with pytest.raises(ValueError, match="model: expected batch normalisation with running statistics, got none"):
        variance_shift(nn.Conv2d(3, 3, 1), batches())
    with pytest.raises(ValueError, match="Expected more than 1 value per channel.*give batches of several"):
        variance_shift(toy(Dropout(0.1)), [torch.randn(1, 3, 1, 1)])
