"""python -m pytest tests/models/test_pretrained.py"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from seg import models

SHARED = {"architecture": "unet", "classes": 2, "decoder_channels": [16, 16, 16, 16, 16]}


def encoder_of(name: str, seed: int, channels: int = 3) -> torch.nn.Module:
    torch.manual_seed(seed)
    return models.build(**SHARED, encoder_name=name, in_channels=channels).encoder


def equal(encoder: torch.nn.Module, weights: dict[str, Tensor]) -> bool:
    found = encoder.state_dict()
    return all(torch.equal(found[name], value) for name, value in weights.items() if "num_batches" not in name)


@pytest.mark.parametrize("prefix", ["", "module.", "model.encoder.", "backbone.net."])
@pytest.mark.parametrize("name", ["resnet18", "tu-convnext_atto", "mit_b0"])
def test_by_name_behind_any_prefix(prefix: str, name: str) -> None:
    theirs, ours = encoder_of(name, 0).state_dict(), encoder_of(name, 1)
    found = models.fill(ours, {f"{prefix}{key}": v for key, v in theirs.items()} | {"head.weight": torch.ones(3)}, "a")
    assert (found.missing, found.by_position) == ((), False)
    assert equal(ours, theirs)


def test_names_of_timm_with_dots_where_its_extractor_has_lines() -> None:
    """As a file of timm's whole model names them, without the wrapper of smp."""
    theirs, ours = encoder_of("tu-convnext_atto", 0).state_dict(), encoder_of("tu-convnext_atto", 1)
    renamed = {
        key.removeprefix("model.").replace("stages_", "stages.").replace("stem_", "stem."): value
        for key, value in theirs.items()
    }
    assert any("stages.0" in key for key in renamed)
    assert models.fill(ours, renamed, "a").missing == ()
    assert equal(ours, theirs)


def test_what_is_missing_is_named_and_keeps_its_first_values() -> None:
    theirs, ours = encoder_of("resnet18", 0).state_dict(), encoder_of("resnet18", 1)
    before = ours.layer4[1].conv2.weight.clone()
    found = models.fill(ours, {key: v for key, v in theirs.items() if key != "layer4.1.conv2.weight"}, "a")
    assert found.missing == ("layer4.1.conv2.weight",)
    assert torch.equal(ours.layer4[1].conv2.weight, before)


def test_by_position_where_no_name_fits() -> None:
    theirs, ours = encoder_of("resnet18", 0).state_dict(), encoder_of("resnet18", 1)
    numbered = {f"a{i}": value for i, value in enumerate(theirs.values()) if value.ndim}
    found = models.fill(ours, numbered | {"fc": torch.zeros(5, 512)}, "a")
    assert (found.by_position, found.missing) == (True, ())
    assert equal(ours, theirs)
    for wrong in (
        dict(list(numbered.items())[:-1]),  # one less
        numbered | {f"b{i}": torch.zeros(3) for i in range(20)},  # a deeper model
        {key: value.flatten() for key, value in numbered.items()},  # other shapes
    ):
        with pytest.raises(
            ValueError, match=r"weights: expected those of the 100 tensors here, got \d+ in 'a', of which"
        ):
            models.fill(encoder_of("resnet18", 1), wrong, "a")


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_a_first_layer_for_other_bands(channels: int) -> None:
    """As smp does it for weights that it fetches: a gray image in every band gives what it gave in RGB."""
    theirs, ours = encoder_of("resnet18", 0), encoder_of("resnet18", 1, channels)
    assert models.fill(ours, theirs.state_dict(), "a").missing == ()
    gray = torch.randn(1, 1, 64, 64)
    if channels % 3 == 0:
        torch.testing.assert_close(
            ours.conv1(gray.expand(-1, channels, -1, -1)), theirs.conv1(gray.expand(-1, 3, -1, -1))
        )
    assert ours.conv1.weight[:, 0].equal(theirs.conv1.weight[:, 0] * (3 / channels))


def test_files(tmp_path: Path) -> None:
    theirs = encoder_of("resnet18", 0).state_dict()
    save_file(theirs, tmp_path / "a.safetensors")
    torch.save({"epoch": 1, "state_dict": theirs}, tmp_path / "a.pth")
    torch.save({"model": {"state_dict_of": 1}, "model_ema": theirs}, tmp_path / "b.pth")
    for name in ("a.safetensors", "a.pth", "b.pth"):
        model = models.build(**SHARED, encoder_weights=str(tmp_path / name))
        assert equal(model.encoder, theirs)
    torch.save({"epoch": 1}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"weights: expected tensors by name in '.*c.pth', got epoch; give a file"):
        models.read_weights(tmp_path / "c.pth")
    (tmp_path / "d.safetensors").write_bytes(b"nonsense")
    with pytest.raises(
        ValueError, match=r"weights: expected a .safetensors file, got '.*d.safetensors', which is none"
    ):
        models.read_weights(tmp_path / "d.safetensors")
    with pytest.raises(ValueError, match=r"weights: expected a file, got '.*e.pth'"):
        models.build(**SHARED, encoder_weights=str(tmp_path / "e.pth"))


def test_the_usual_normalisation_is_known_without_a_network() -> None:
    assert models.normalization("timm-tf_efficientnet_lite0", "x.pth") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert models.normalization("tu-tf_efficientnet_lite0", "x.pth")[0] == (0.5, 0.5, 0.5)
    assert models.normalization("resnet18", "x.pth") == (models.IMAGENET_MEAN, models.IMAGENET_STD)
    assert models.normalization("mit_b0", "x.pth") == (models.IMAGENET_MEAN, models.IMAGENET_STD)
