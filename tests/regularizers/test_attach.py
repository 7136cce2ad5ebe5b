"""Regularizers in models: every encoder under every decoder.

python -m pytest tests/regularizers/test_attach.py              a slice
python -m pytest tests/regularizers/test_attach.py -m ""        all of it, about 25 minutes on two cores with -n 2
"""

import copy
import logging
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seg import models
from seg.regularizers import (
    DropBlock,
    Dropout,
    SpatialDropout,
    StochasticDepth,
    UniformDropout,
    attach,
    describe,
)
from seg.regularizers.rate import Regularizer
from seg.regularizers.stock import stock

ALL = {"stochastic_depth": 0.2, "dropblock": 0.1, "spatial_dropout": 0.1, "uniform_dropout": 0.3, "dropout": 0.1}
ENCODERS = (
    "resnet18", "resnext50_32x4d", "se_resnet50", "efficientnet-b0", "mit_b0", "densenet121", "mobilenet_v2",
    "tu-efficientnet_b0", "tu-resnet18", "tu-convnext_atto", "tu-swin_tiny_patch4_window7_224",
    "tu-efficientnetv2_rw_t", "tu-mobilenetv3_small_100",
)  # fmt: skip
DECODERS = (
    "unet", "unetplusplus", "fpn", "pan", "deeplabv3", "deeplabv3plus", "pspnet", "linknet", "manet", "segformer",
    "upernet",
)  # fmt: skip
SLICE = {
    ("resnet18", "unet"), ("resnet18", "deeplabv3plus"), ("efficientnet-b0", "fpn"), ("mit_b0", "segformer"),
    ("mobilenet_v2", "pspnet"), ("tu-convnext_atto", "upernet"), ("tu-vit_tiny_patch16_224", "dpt"),
    ("tu-resnet18", "linknet"),
}  # fmt: skip
COMPILE_SLICE = {("resnet18", "unet"), ("mit_b0", "segformer"), ("efficientnet-b0", "fpn")}
ONNX_SLICE = {("resnet18", "unet"), ("mit_b0", "segformer")}
"""Fewer, because compilers and exporters take their time; tests/test_export.py exports these."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests run beside each other, on small tensors: more threads would wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def combinations(in_ci: set[tuple[str, str]] = SLICE) -> list[Any]:
    pairs = [(e, d) for e in ENCODERS for d in DECODERS] + [("tu-vit_tiny_patch16_224", "dpt")]
    return [pytest.param(*p, id="-".join(p), marks=() if p in in_ci else pytest.mark.slow) for p in pairs]


def build(encoder: str, decoder: str) -> nn.Module:
    options = {"img_size": side_of(encoder, decoder)} if "swin" in encoder or "vit" in encoder else {}
    try:
        model: nn.Module = smp.create_model(decoder, encoder, None, in_channels=3, classes=3, **options)
    except (ValueError, NotImplementedError, TypeError, RuntimeError, KeyError) as error:
        pytest.skip(f"smp does not build it: {error}")
    return model.eval()


def side_of(encoder: str, decoder: str) -> int:
    """Of a square image that both take."""
    return 128 if decoder == "pan" else 64


@torch.no_grad()
def evaluated(model: nn.Module, image: Tensor) -> Tensor:
    return model.eval()(image)


@pytest.mark.parametrize(("encoder", "decoder"), combinations())
def test_every_encoder_under_every_decoder(encoder: str, decoder: str) -> None:
    torch.manual_seed(0)
    model = build(encoder, decoder)
    side = side_of(encoder, decoder)
    image = torch.randn(2, 3, side, side)
    before, keys = evaluated(model, image), list(model.state_dict())
    weights = copy.deepcopy(model.state_dict())
    assert attach(model, **ALL) is model
    assert torch.equal(evaluated(model, image), before)
    assert list(model.state_dict()) == keys
    model.load_state_dict(weights)
    ours = [module for module in model.modules() if isinstance(module, Regularizer)]
    assert {type(module).__name__ for module in ours} >= {"StochasticDepth", "DropBlock", "SpatialDropout"}
    assert max(m.p for m in ours if isinstance(m, StochasticDepth)) == pytest.approx(0.2)
    assert not [own for own in stock(model) if own.kind == "stochastic_depth"]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(evaluated(twin, image), before)
    check_training(model, image, ours)


def check_training(model: nn.Module, image: Tensor, ours: list[Regularizer]) -> None:
    """Every regularizer runs, changes what passes, and lets gradients through."""
    changed: dict[nn.Module, bool] = {}

    def watch(module: nn.Module, inputs: Any, output: Tensor) -> None:
        changed[module] = changed.get(module, False) or not torch.equal(output, inputs[0])

    handles = [module.register_forward_hook(watch) for module in ours]
    for module in ours:
        module.set_rate(0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # some branches begin at 0, and noise would leave them there
    with torch.no_grad():
        model.train()(image)
    assert len(changed) == len(ours), "each is run"
    assert sum(changed.values()) > len(ours) / 2, "of two samples both are spared one time in four"
    for handle in handles:
        handle.remove()
    for module in ours:
        module.set_rate(0.1)
    model(image).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_linear_rule() -> None:
    model = attach(models.build("unet", classes=2), stochastic_depth=0.4)
    rates = [m.p for m in model.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.05 * block for block in range(1, 9)])
    shallow = attach(
        smp.Unet("resnet18", encoder_depth=3, encoder_weights=None, decoder_channels=(8, 8, 8)), stochastic_depth=0.4
    )
    rates = [m.p for m in shallow.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4]), "blocks below the encoder's depth never run"


def test_sites() -> None:
    model = models.build("unet", classes=2).eval()
    image = torch.randn(1, 3, 64, 64)
    before = evaluated(model, image)
    attach(model, dropblock={"p": 0.1, "sites": ["branches", "shortcuts", "skips", "decoder", "decoder.blocks.1.*"]})
    assert torch.equal(evaluated(model, image), before)
    found = {name for name, module in model.named_modules() if isinstance(module, DropBlock)}
    assert {
        "encoder.layer1.0.bn2_dropblock",
        "encoder.layer1.0.downsample_dropblock",  # the identity, which was no module
        "encoder.layer2.0.downsample_dropblock",
        "encoder.skip5_dropblock",
        "decoder_dropblock",
        "decoder.blocks.1.conv1_dropblock",
    } <= found
    assert sum(m.site == "shortcuts" for m in model.modules() if isinstance(m, DropBlock)) == 8


def test_only_skips_that_the_decoder_takes() -> None:
    model = attach(smp.create_model("deeplabv3plus", "resnet18", None, classes=2), dropblock=0.1)
    found = [name for name, module in model.named_modules() if isinstance(module, DropBlock)]
    assert found == ["encoder.skip2_dropblock", "encoder.skip5_dropblock"]


@pytest.mark.parametrize(
    ("architecture", "encoder", "setting", "gone"),
    [
        ("unet", "efficientnet-b0", {"stochastic_depth": 0.3}, r"drop connect 0.2 \(encoder\)"),
        ("segformer", "mit_b0", {"stochastic_depth": 0.3}, r"7 from DropPath 0.0143 .* to DropPath 0.1"),
        ("fpn", "resnet18", {"spatial_dropout": 0.3}, r"Dropout2d 0.2 \(decoder.dropout\)"),
        ("pspnet", "resnet18", {"spatial_dropout": 0.3}, r"Dropout2d 0.2 \(decoder.dropout\)"),
        ("deeplabv3plus", "resnet18", {"dropout": 0.3}, r"Dropout 0.5 \(decoder.aspp.0.project.3\)"),
    ],
)
def test_the_models_own_are_replaced(
    architecture: str, encoder: str, setting: dict[str, float], gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = smp.create_model(architecture, encoder, None, classes=2)
    assert stock(model)
    with caplog.at_level(logging.INFO, "seg.regularizers"):
        attach(model, **setting)
    assert not stock(model)
    assert re.search(gone, caplog.text)
    assert re.search(f"0.3, at .*; in place of the model's own {gone}", describe(model))


@pytest.mark.parametrize(
    ("encoder", "setting", "message"),
    [
        ("resnet18", {"dropblock": 1.5}, r"dropblock.p: expected a share from 0 to 1, got 1.5"),
        ("resnet18", {"stochastic_depth": -0.1}, r"stochastic_depth.p: expected a share from 0 to 1, got -0.1"),
        ("resnet18", {"uniform_dropout": 2}, r"uniform_dropout.beta: expected a share from 0 to 1, got 2"),
        ("resnet18", {"dropblock": {"p": 0.1, "block_size": 0}}, "dropblock.block_size: expected a whole number"),
        (
            "resnet18",
            {"dropblock": {"p": 0.1, "size": 7}},
            r"dropblock: expected arguments of DropBlock, got \['size'\]; it takes .*block_size",
        ),
        ("resnet18", {"dropblock": {"block_size": 7}}, r"dropblock: expected a rate, got only \['block_size'\]; set p"),
        (
            "resnet18",
            {"dropout": {"p": 0.1, "sites": "encoder.layer9.*"}},
            r"sites: .* got 'encoder.layer9.\*'; choose from 'branches' \(8\), 'shortcuts' \(8\), 'skips' \(5\), 'deco",
        ),
        (
            "vgg11",
            {"stochastic_depth": 0.1},
            r"expected a site of this model, got 'branches'; choose from 'skips' \(5\), 'decoder' \(1\)",
        ),
        (
            "mit_b0",
            {"dropblock": {"p": 0.1, "sites": "shortcuts"}},
            "expected a site of this model, got 'shortcuts'; choose from 'branches'",
        ),
        (
            "mit_b0",
            {"dropblock": {"p": 0.1, "sites": "branches"}},
            r"maps \(N, C, H, W\), got \(1, 384, 32\) at 'branches' \(.*\); choose from 'skips' \(4\)",
        ),
    ],
)  # fmt: skip
def test_wrong_requests(encoder: str, setting: dict[str, Any], message: str) -> None:
    model = smp.create_model("unet", encoder, None, classes=2)
    modules = [name for name, _ in model.named_modules()]
    with pytest.raises(ValueError, match=message):
        attach(model, **setting)
    assert [name for name, _ in model.named_modules()] == modules, "nothing was changed"
    with pytest.raises(
        ValueError,
        match="regularizer: expected some of stochastic_depth, .*, got dropblok; correct",
    ):
        models.build("unet", classes=2, regularizer={"dropblok": 0.1})


def test_the_same_place_twice() -> None:
    model = attach(models.build("unet", classes=2), dropout=0.1)
    with pytest.raises(
        ValueError, match="expected sites without dropout, got 'decoder' .* has it already; change its rate"
    ):
        attach(model, dropout=0.2)
    attach(model, spatial_dropout=0.2)


def test_the_model_is_left_in_its_modes_and_describes_itself() -> None:
    model = models.build("unet", classes=2).train()
    model.encoder.bn1.eval()  # frozen statistics
    numbers = {name: value.clone() for name, value in model.state_dict().items()}
    attach(model, **ALL)
    assert not model.encoder.bn1.training
    assert model.encoder.layer1[0].bn2.training
    assert all(torch.equal(value, numbers[name]) for name, value in model.state_dict().items())
    assert "(bn2_stochastic_depth): StochasticDepth(p=0.025, site=branches)" in repr(model)
    assert describe(model).splitlines()[0].startswith("StochasticDepth, p 0.025 to 0.2, at branches: 8 from")
    assert describe(models.build("unet", classes=2)) == "no regularizers"
    assert attach(model) is model


def test_build_and_restore() -> None:
    config = {"_target_": "seg.models.build", "architecture": "fpn", "classes": 3, "regularizer": ALL}
    model = models.build("fpn", classes=3, regularizer=ALL)
    again = models.restore(config, model.state_dict())
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(evaluated(model, image), evaluated(again, image))
    plain = models.restore({k: v for k, v in config.items() if k != "regularizer"}, model.state_dict())
    assert torch.equal(evaluated(model, image), evaluated(plain, image))


@pytest.mark.parametrize(
    "encoder", ["resnet18", "se_resnet50", "efficientnet-b0", "mit_b0", "tu-resnet18", "tu-convnext_atto"]
)
def test_pretrained_weights_load(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the doors of smp and timm, with a file in place of what the hub would send."""
    if encoder.startswith("tu-"):
        weights = timm.create_model(encoder[3:]).state_dict()
        monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", lambda *_, **__: dict(weights))
        plain = smp.create_model("unet", encoder, True, classes=2).encoder.state_dict()
    else:
        plain = weights = smp.create_model("unet", encoder, None, classes=2).encoder.state_dict()
        save_file(weights, tmp_path / "model.safetensors")
        monkeypatch.setattr(smp.encoders, "hf_hub_download", lambda _, *, filename, **__: str(tmp_path / filename))
    built = models.build("unet", classes=2, encoder_name=encoder, encoder_weights="imagenet", regularizer=ALL)
    filled = attach(smp.create_model("unet", encoder, None, classes=2), **ALL)
    filled.encoder.load_state_dict(plain)  # strictly
    for model in (built, filled):
        found = model.encoder.state_dict()
        assert list(found) == list(plain)
        assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "decoder"), combinations(in_ci=COMPILE_SLICE))
def test_a_whole_ramp_compiles_at_most_twice(encoder: str, decoder: str) -> None:
    torch.manual_seed(0)
    model, side = build(encoder, decoder), side_of(encoder, decoder)
    ramps = {kind: {("beta" if "uniform" in kind else "p"): 0.5, "ramp": 1.0} for kind in ALL}
    attach(model, **ramps).train()
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(model, backend=count, fullgraph=True)
    image = torch.randn(2, 3, side, side)
    with torch.no_grad():
        for step in range(6):
            for module in model.modules():
                if isinstance(module, Regularizer):
                    module.set_progress(step, 5)
            out = compiled(image)
        assert len(graphs) <= 2
        assert not torch.equal(out, compiled(image)), "the noise is drawn anew at every call"


@pytest.mark.slow
def test_inductor_trains_and_evaluates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler that users have, from the first step of a ramp to the last."""
    # a cache of its own: an interrupted run leaves broken files in the shared one
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.manual_seed(0)
    ramps = {kind: {("beta" if "uniform" in kind else "p"): 0.2, "ramp": 1.0} for kind in ALL}
    model = attach(models.build("unet", classes=2, decoder_channels=[8, 8, 8, 8, 8]), **ramps)
    torch._dynamo.reset()
    compiled = torch.compile(model)
    image = torch.randn(2, 3, 64, 64)
    for step in range(4):
        for module in model.modules():
            if isinstance(module, Regularizer):
                module.set_progress(step, 3)
        compiled.train()(image).square().mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert torch.allclose(evaluated(compiled, image), evaluated(model, image), atol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "setting"),
    [
        ("tu-resnetv2_50", {"dropout": {"p": 0.2, "sites": "shortcuts"}}),  # None is no identity there
        ("tu-regnetz_005", {"dropblock": 0.1}),  # nor here
        ("tu-resnet18", {"stochastic_depth": 0.5}),
        ("resnet18", {"dropout": {"p": 0.5, "sites": "shortcuts"}}),
    ],
)
def test_models_that_are_evaluated_stay_so(encoder: str, setting: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = smp.create_model("unet", encoder, None, classes=2).train()
    image = torch.randn(2, 3, 64, 64)
    model(image)  # statistics other than 0 and 1
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    before = evaluated(model, image)
    with torch.no_grad():
        assert torch.equal(attach(model, **setting)(image), before), "without another call of eval()"


def test_what_never_reaches_the_result_is_no_site() -> None:
    """A pspnet takes the third of five stages; its encoder runs the others all the same."""
    model = attach(smp.create_model("pspnet", "mobilenet_v2", None, classes=2), stochastic_depth=0.3)
    rates = [m.p for m in model.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"expected a site of this model, got 'encoder.features.13'; choose from"):
        attach(model, dropout={"p": 0.5, "sites": "encoder.features.13"})


@pytest.mark.parametrize("also", ["skips", "encoder.layer4.*"])
def test_the_linear_rule_counts_branches(also: str) -> None:
    model = smp.create_model("unet", "resnet18", None, classes=2)
    attach(model, stochastic_depth={"p": 0.8, "sites": [also, "branches"]})
    ends = [m for name, m in model.named_modules() if name.endswith("bn2_stochastic_depth")]
    assert [m.p for m in ends] == pytest.approx([0.1 * i for i in range(1, 9)])
    assert {m.p for m in model.modules() if isinstance(m, StochasticDepth) and m not in ends} == {0.8}


def test_half_models_keep_their_rates() -> None:
    model = nn.Sequential(
        *(make(1.0) for make in (Dropout, SpatialDropout, StochasticDepth)), UniformDropout(0.3)
    ).half()
    assert {m.rate.dtype for m in model} == {torch.float32}
    assert model[3].rate == torch.tensor(0.3)
    assert torch.equal(model.train()(torch.ones(2, 3, 4, 4).half()), torch.zeros(2, 3, 4, 4).half())


def test_export_has_no_noise() -> None:
    model = attach(models.build("unet", classes=2, decoder_channels=[8, 8, 8, 8, 8]), **ALL).eval()
    image = torch.randn(1, 3, 64, 64)
    program = torch.export.export(model, (image,))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [name for name in called if any(word in name for word in ("rand", "uniform", "bernoulli", "dropout"))]
    assert torch.equal(program.module()(image), evaluated(model, image))


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize(("encoder", "decoder"), combinations(in_ci=set()))
def test_onnx(encoder: str, decoder: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, side = build(encoder, decoder), side_of(encoder, decoder)
    attach(model, **ALL).eval()
    image = torch.randn(1, 3, side, side)
    torch.onnx.export(model, (image,), tmp_path / "a.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (out,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    # Random weights make some of these models so sensitive that float32 itself is percents off.
    exact = evaluated(copy.deepcopy(model).double(), image.double())
    rounding, error = ((x - exact).abs().max() for x in (evaluated(model, image), torch.from_numpy(out)))
    assert error <= 5 * rounding + 1e-4 * exact.abs().max()
