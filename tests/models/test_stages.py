"""python -m pytest tests/models/test_stages.py"""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from seg import models

TINY = {"classes": 4, "encoder_name": "tu-test_resnet", "encoder_depth": 3}


@pytest.mark.parametrize(("upsampling", "channels"), [(2, [16, 8]), (4, [16])])
def test_the_stages_that_are_left_compute_what_they_computed(upsampling: int, channels: list[int]) -> None:
    """They are those of smp's whole U-Net; the logits are resized linearly, from corner to corner."""
    light: Any = models.build("unet", decoder_channels=channels, upsampling=upsampling, **TINY).eval()
    whole: Any = models.build("unet", decoder_channels=[16, 8, 8], **TINY).eval()
    stages = {name: each for name, each in light.state_dict().items() if not name.startswith("segmentation_head")}
    loaded = whole.load_state_dict(stages, strict=False)
    assert not loaded.unexpected_keys
    assert all(name.startswith(("decoder.blocks.", "segmentation_head")) for name in loaded.missing_keys)
    seen: list[torch.Tensor] = []
    whole.decoder.blocks[len(channels) - 1].register_forward_hook(lambda _, __, output: seen.append(output))
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole.decoder(whole.encoder(images))
        (features,) = seen
        assert features.shape == (2, channels[-1], 64 // upsampling, 96 // upsampling)
        logits = F.conv2d(features, light.segmentation_head[0].weight, light.segmentation_head[0].bias, padding=1)
        expected = F.interpolate(logits, (64, 96), mode="bilinear", align_corners=True)
        torch.testing.assert_close(light(images), expected)


def test_usual_channels_are_those_of_the_stages_that_are_left() -> None:
    model: Any = models.build("unet", classes=3, upsampling=4)
    assert [block.conv2[0].out_channels for block in model.decoder.blocks] == [256, 128, 64]
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 64, 64)
    assert models.features_of(model) == 64


def test_a_checkpoint_of_one_is_restored() -> None:
    config = {"_target_": "seg.models.build", "architecture": "unet", "decoder_channels": [16, 8], "upsampling": 2}
    model = models.build("unet", decoder_channels=[16, 8], upsampling=2, **TINY).eval()
    again = models.restore({**config, **TINY, "in_channels": 3}, model.state_dict()).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(model(images), again(images))


def test_a_whole_one_is_smps() -> None:
    torch.manual_seed(0)
    ours = models.build("unet", decoder_channels=[16, 8, 8], upsampling=1, **TINY)
    torch.manual_seed(0)
    smps = models.build("unet", decoder_channels=[16, 8, 8], **TINY)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), smps.parameters(), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsampling": 3}, "upsampling: expected one of 1, 2, 4, got 3; choose one"),
        ({"upsampling": True}, "upsampling: expected one of 1, 2, 4, got True"),
        (
            {"upsampling": 2, "decoder_channels": [16, 8, 8]},
            r"decoder_channels: expected 2 numbers with upsampling=2, of the stages down to 1/2 of the image, got "
            r"\[16, 8, 8\]; leave out the last ones",
        ),
        (
            {"upsampling": 4, "encoder_depth": 2, "decoder_channels": []},
            "upsampling: expected at most 2 with encoder_depth=2, so that a stage is left, got 4; choose less",
        ),
    ],
)
def test_wrong_requests(options: dict[str, Any], message: str) -> None:
    for check in (models.build, models.try_build):
        with pytest.raises(ValueError, match=message):
            check("unet", **TINY | options)


def test_other_architectures_have_their_own() -> None:
    model: Any = models.build("fpn", upsampling=8, **TINY | {"encoder_depth": 5, "encoder_name": "resnet18"})
    assert isinstance(model.segmentation_head[1], nn.Upsample)
    assert model.segmentation_head[1].scale_factor == 8
    with pytest.raises(ValueError, match="unetplusplus/resnet18: expected options among .*, got upsampling"):
        models.build("unetplusplus", classes=2, upsampling=2)
