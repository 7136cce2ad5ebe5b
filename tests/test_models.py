"""python -m pytest tests/test_models.py"""

import json
import urllib.error
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch

from seg import models


def test_build_gives_logits() -> None:
    model = models.build("unet", classes=7, decoder_channels=[64, 32, 16, 16, 16]).eval()
    assert model(torch.zeros(1, 3, 64, 96)).shape == (1, 7, 64, 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "unett"}, "architecture: expected one of .*unet.*, got 'unett'"),
        ({"encoder_name": "resnet19"}, "expected an encoder of smp, got 'resnet19'; did you mean resnet18"),
        ({"encoder_name": "tu-resnet19"}, "expected a model of timm after tu-, got 'resnet19'"),
        (
            {"encoder_name": "tu-resnet18", "drop_paths": 1},
            "unet/tu-resnet18: .* argument 'drop_paths'",
        ),
        (
            {"encoder_weights": "imagenot"},
            "expected imagenet.* or null for 'resnet18', got 'imagenot'",
        ),
        ({"drop_path_rate": 0.2}, r"unet/resnet18: expected options among .*, got drop_path_rate; correct"),
    ],
)
def test_wrong_requests(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.build(**{"architecture": "unet", "classes": 2, **arguments})


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("name resolution failed")

    monkeypatch.setattr(smp, "create_model", offline)
    with pytest.raises(
        RuntimeError, match="'imagenet' of 'resnet18' could not be fetched .*model.encoder_weights=null"
    ):
        models.build("unet", classes=2, encoder_weights="imagenet")


def test_normalization_is_the_encoders() -> None:
    assert models.normalization("resnet18", None) == (models.IMAGENET_MEAN, models.IMAGENET_STD)
    assert models.normalization("tu-inception_v4", "imagenet") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3], "input_range": [0, 1]}, ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))),
        ({"mean": [51, 102, 204], "std": [255] * 3, "input_range": [0, 255]}, ((0.2, 0.4, 0.8), (1.0, 1.0, 1.0))),
    ],
)
def test_normalization_stored_beside_the_weights(
    stored: dict[str, object], expected: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(stored))
    monkeypatch.setattr(smp.encoders, "hf_hub_download", lambda *_, **__: str(tmp_path / "config.json"))
    assert models.normalization("resnet18", "imagenet") == expected
    (tmp_path / "config.json").write_text(json.dumps({**stored, "input_space": "BGR"}))
    with pytest.raises(ValueError, match="expected an encoder for RGB images, got 'resnet18' for BGR"):
        models.normalization("resnet18", "imagenet")


CONFIG = {"_target_": "seg.models.build", "architecture": "linknet", "classes": 3, "encoder_weights": "imagenet"}


def test_restore_rebuilds_without_fetching() -> None:
    torch.manual_seed(0)
    model = models.build("linknet", classes=3).eval()
    again = models.restore(CONFIG, model.state_dict())
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(model(image), again(image))
    assert not again.training


def test_restore_with_other_weights() -> None:
    with pytest.raises(ValueError, match="expected weights of its model 'seg.models.build', got .*size mismatch"):
        models.restore(CONFIG, models.build("linknet", classes=4).state_dict())


def test_transfer_takes_what_fits() -> None:
    source, target = models.build("linknet", classes=3), models.build("linknet", classes=5)
    left = models.transfer(target, source.state_dict())
    assert left == ["segmentation_head.0.bias", "segmentation_head.0.weight"]
    assert torch.equal(target.encoder.conv1.weight, source.encoder.conv1.weight)
    with pytest.raises(ValueError, match="init: expected weights that fit this model in name and shape, got none"):
        models.transfer(target, {"a": torch.zeros(1)})


def test_an_encoder_that_takes_rgb_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **options: object) -> None:
        raise ValueError(f"no in_channels={options['in_channels']} here")

    monkeypatch.setattr("segmentation_models_pytorch.create_model", refuse)
    with pytest.raises(
        ValueError, match="unet/resnet18: expected an encoder that takes images of 2 channels, got 'no in"
    ):
        models.build("unet", classes=2, in_channels=2)
