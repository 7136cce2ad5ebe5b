"""python -m pytest tests/models/test_building.py"""

import copy
import json
import pickle
import urllib.error
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch

from seg import models
from seg.regularizers import attach, describe


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


ARCHITECTURES = sorted(smp.MODEL_ARCHITECTURES_MAPPING)


def beside(architecture: str, classes: int = 3) -> tuple[torch.nn.Module, models.WithHeads]:
    """A model, and itself with two heads."""
    vit = {"encoder_name": "tu-test_vit", "img_size": 128, "dynamic_img_size": True}
    options = vit if architecture == "dpt" else {"encoder_name": "tu-test_resnet"}
    model = models.build(architecture, classes=classes, **options)
    features = models.features_of(model)
    heads = {"wide": torch.nn.Conv2d(features, 5, 1), "edges": torch.nn.Conv2d(features, 1, 3, padding=1)}
    return model.eval(), models.WithHeads(model, heads).eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_heads_see_what_the_segmentation_head_sees(architecture: str) -> None:
    model, with_heads = beside(architecture)
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        before = model(images)
        hook = model.segmentation_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        assert torch.equal(with_heads(images), before)
        logits, outputs = with_heads(images, heads=True)
        assert torch.equal(logits, before)
        assert list(outputs) == ["wide", "edges"]
        for name, output in outputs.items():
            assert torch.equal(output, with_heads.heads[name](seen[-1])), name
    hook.remove()
    names = list(with_heads.state_dict())
    assert names[: len(model.state_dict())] == list(model.state_dict())
    assert names[-1] == "heads.edges.bias"
    again = pickle.loads(pickle.dumps(copy.deepcopy(with_heads)))
    with torch.no_grad():
        assert torch.equal(again(images, heads=True)[1]["wide"], outputs["wide"])


def test_models_with_heads_refuse_what_models_refuse() -> None:
    model, with_heads = beside("linknet")
    for one in (model, with_heads):
        with pytest.raises(RuntimeError, match="Wrong input shape height=100"):
            one(torch.zeros(1, 3, 100, 128))


def test_models_that_take_no_heads() -> None:
    with pytest.raises(ValueError, match=r"model: expected one with encoder, decoder, segmentation_head.*got Linear; "):
        models.WithHeads(torch.nn.Linear(1, 1), {})
    both = smp.create_model("unet", "tu-test_resnet", None, classes=2, aux_params={"classes": 2})
    with pytest.raises(ValueError, match="expected none with a classification head, got one; leave out aux_params"):
        models.WithHeads(both, {})


def test_weights_move_between_models_with_heads_and_without() -> None:
    model, with_heads = beside("fpn", classes=3)
    other, target = beside("fpn", classes=3)
    assert models.transfer(target, model.state_dict()) == [f"heads.{name}" for name in heads_of(target)]
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in model.state_dict().items())
    assert models.transfer(other, with_heads.state_dict()) == []
    # by class: the rows of the segmentation head are those that move, though other heads come after it
    _, new = beside("fpn", classes=2)
    left = models.transfer(new, with_heads.state_dict(), rows=[(0, 2)])
    assert left == []
    own = with_heads.segmentation_head[0]
    assert torch.equal(new.segmentation_head[0].weight[0], own.weight[2])
    assert not torch.equal(new.segmentation_head[0].weight[1], own.weight[1])


def heads_of(model: models.WithHeads) -> list[str]:
    return sorted(model.heads.state_dict())


def described(heads: object) -> dict[str, object]:
    build = {"architecture": "fpn", "encoder_name": "tu-test_resnet", "classes": 3}
    return {"_target_": "seg.models.build", **build, "heads": heads}


def test_heads_of_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    _, with_heads = beside("fpn")
    convolution = {"_target_": "torch.nn.Conv2d", "in_channels": 128, "kernel_size": 1}
    config = described({"wide": {**convolution, "out_channels": 5}, "edges": {"_target_": "my_heads.Edges"}})
    weights, images = with_heads.state_dict(), torch.randn(1, 3, 64, 64)
    plain = models.restore(config, weights)  # of modules that nobody trusts: the segmentation is the same without them
    assert not hasattr(plain, "heads")
    assert torch.equal(plain(images), with_heads(images))
    some = models.restore(config, weights, trust=["torch.nn"])
    assert torch.equal(some(images, heads=True)[1]["wide"], with_heads(images, heads=True)[1]["wide"])
    assert list(some.heads) == ["wide"]
    monkeypatch.setattr("seg.models.restoring.HEADS", frozenset({"torch.nn.Conv2d"}))  # as one of ours
    assert list(models.restore(config, weights).heads) == ["wide"]
    wrong = described({"wide": {**convolution, "out_channels": 5, "padding_mode": "../zeros"}})
    with pytest.raises(
        ValueError, match=r"options of 'torch.nn.Conv2d' that are numbers.* got padding_mode='../zeros'"
    ):
        models.restore(wrong, weights)
    for heads in (3, [1], {"wide": 3}, {"wide": {"_target_": 3}}):
        with pytest.raises(ValueError, match="checkpoint: expected heads by name, got .*; the file was edited"):
            models.restore(described(heads), weights)


def test_regularizers_find_their_places_beside_heads() -> None:
    model, with_heads = (copy.deepcopy(one) for one in beside("unet"))
    setting = {"dropblock": 0.3, "stochastic_depth": 0.3, "dropout": 0.3}
    plain, regularized = attach(model, **setting).train(), attach(with_heads, **setting).train()
    assert describe(plain) == describe(regularized)
    images = torch.randn(2, 3, 64, 64)
    torch.manual_seed(0)
    expected = plain(images)
    torch.manual_seed(0)
    logits, outputs = regularized(images, heads=True)
    assert torch.equal(logits, expected)
    assert outputs["edges"].shape == (2, 1, 64, 64)
