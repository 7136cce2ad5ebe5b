"""python -m pytest tests/inference/test_export.py"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import Script, fails, scene
from regularizers.test_attach import ALL, ONNX_SLICE, SLICE, build, side_of
from torch import nn

from seg import models
from seg.inference import export, runtime, trained, whole_image
from seg.regularizers import attach

OLD = Path(__file__).parents[1] / "golden" / "format1" / "last.pt"
FIXED = {("mobilenet_v2", "pspnet"), ("tu-convnext_atto", "upernet"), ("tu-vit_tiny_patch16_224", "dpt")}
"""What can be exported for one size alone: vision transformers, and pooling into a grid."""


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def forms() -> list[Any]:
    """The slice in every form; slow are models like others, and the program that an ONNX file is made from."""
    quick = {(*pair, ".onnx") for pair in ONNX_SLICE} | {("resnet18", "unet", ".pt2")}
    found = [(*pair, suffix) for suffix in runtime.SUFFIXES for pair in sorted(SLICE)]
    return [pytest.param(*each, id="-".join(each), marks=() if each in quick else pytest.mark.slow) for each in found]


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "decoder", "suffix"), forms())
def test_files_compute_what_models_do(encoder: str, decoder: str, suffix: str, tmp_path: Path) -> None:
    """On random images and odd sizes; regularizers that are attached leave no trace."""
    torch.manual_seed(0)
    model = attach(build(encoder, decoder), **ALL).eval()
    side = side_of(encoder, decoder)
    size = [side, side] if (encoder, decoder) in FIXED else None
    path = tmp_path / f"a{suffix}"
    export.write(path, model, 3, {"classes": 3}, size=size)
    file, description = runtime.read(path, "cpu")
    assert description == {"classes": 3, "output": "logits", "size": size}
    for number, shape in enumerate([(side, side)] if size else [(64, 32), (45, 130)], start=1):
        images = torch.randn(number, 3, *shape)
        with torch.no_grad():
            expected = whole_image(model, images)
            found = file(images) if suffix == ".onnx" else whole_image(file, images)
        assert (found - expected).abs().max() <= 1e-3 * max(1, expected.abs().max())
    if suffix == ".onnx":
        kinds = {node.op_type for node in onnx.load(path).graph.node}
        assert not {kind for kind in kinds if "Random" in kind or kind in ("Dropout", "Bernoulli")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint in every form."""
    folder, model = tmp_path_factory.mktemp("exported"), trained.load(OLD, "cpu")
    for name, argmax in (("a.onnx", False), ("a.pt2", False), ("mask.onnx", True), ("mask.pt2", True)):
        export.write(folder / name, model.model, 3, model.describe(), argmax=argmax)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.onnx", "a.pt2", "mask.onnx", "mask.pt2"])
@pytest.mark.parametrize("size", [(64, 96), (50, 71), (1, 1)])
def test_a_file_predicts_as_its_checkpoint(files: Path, name: str, size: tuple[int, int]) -> None:
    """With nothing but the file."""
    before, after = trained.load(OLD, "cpu"), trained.load(files / name, "cpu")
    assert after.labels == before.labels
    assert (after.mean, after.std, after.reading) == (before.mean, before.std, before.reading)
    assert after.certain == name.startswith("mask")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert (after.predict(image) == before.predict(image)).mean() > 0.999


def test_an_onnx_file_explains_itself(files: Path) -> None:
    """Other programs find names, sizes and metadata without us."""
    session = onnxruntime.InferenceSession(files / "mask.onnx")
    (images,), (mask,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(float)", ["batch", 3, "height", "width"])
    assert (mask.name, mask.type, mask.shape) == ("mask", "tensor(uint8)", ["batch", "height", "width"])
    described = json.loads(session.get_modelmeta().custom_metadata_map["seg"])
    assert described["normalization"]["mean"] == list(trained.load(OLD, "cpu").mean)
    assert {"labels", "reading", "classes", "output", "size"} <= set(described)
    (opset,) = [o.version for o in onnx.load(files / "a.onnx").opset_import if o.domain == ""]
    assert opset == export.OPSET


def test_eight_bits_compute_nearly_the_same(files: Path, tmp_path: Path) -> None:
    """A byte a weight, the same metadata, and most pixels of the same class."""
    shutil.copyfile(files / "a.onnx", tmp_path / "a.onnx")
    images = np.random.default_rng(0).random((4, 1, 3, 40, 50), np.float32)
    share = export.quantize(tmp_path / "a.onnx", lambda: iter(images))
    graph = onnx.load(tmp_path / "a.onnx").graph
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
    assert {i.data_type for i in graph.initializer if len(i.dims) == 4} == {onnx.TensorProto.INT8}
    (before, about), (after, also) = (runtime.read(folder / "a.onnx", "cpu") for folder in (files, tmp_path))
    assert about == also
    others = [
        float((before(torch.from_numpy(x)).argmax(1) != after(torch.from_numpy(x)).argmax(1)).double().mean())
        for x in images
    ]
    assert share == pytest.approx(np.mean(others))
    assert 0 < share < 0.2
    assert not list(tmp_path.glob(".*"))


@pytest.fixture(scope="module")
def eight_bits(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path, list[torch.Tensor]]:
    """A model that was trained, so that its classes are no ties; its file of 8 bits, and other images."""
    folder, loss = tmp_path_factory.mktemp("int8"), nn.CrossEntropyLoss(ignore_index=255)
    torch.manual_seed(0)
    model = models.build("unet", classes=3, encoder_name="tu-test_resnet", encoder_depth=3, decoder_channels=[16, 8, 8])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scenes = [scene(seed) for seed in range(12)]
    images = [torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None].float() for image, _ in scenes]
    masks = [torch.from_numpy(mask.astype(np.int64))[None] for _, mask in scenes]
    for step in range(40):
        first = step % 2 * 4
        optimizer.zero_grad()
        loss(model(torch.cat(images[first : first + 4])), torch.cat(masks[first : first + 4])).backward()
        optimizer.step()
    export.write(folder / "a.onnx", model.eval(), 3, {"classes": 3})
    export.quantize(folder / "a.onnx", lambda: (image.numpy() for image in images[:8]))
    return model, folder / "a.onnx", images[8:]


def agreement(model: nn.Module, images: list[torch.Tensor], outputs: Any) -> float:
    """Share of the pixels of the same class."""
    with torch.no_grad():
        expected = torch.cat([model(image).argmax(1) for image in images])
    assert len(expected.unique()) == 3, "it has learnt all classes"
    return float((expected == torch.cat([torch.from_numpy(out.argmax(1)) for out in outputs])).double().mean())


def test_eight_bits_give_the_masks_of_a_trained_model_under_onnxruntime(eight_bits: Any) -> None:
    model, path, images = eight_bits
    session = onnxruntime.InferenceSession(path)
    assert agreement(model, images, [session.run(None, {"images": image.numpy()})[0] for image in images]) > 0.98


def test_eight_bits_give_the_masks_of_a_trained_model_under_openvino(eight_bits: Any) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install openvino, to hold its masks against the model's")
    model, path, images = eight_bits
    compiled = openvino.Core().compile_model(path, "CPU")
    assert agreement(model, images, [compiled([image.numpy()])[0] for image in images]) > 0.98


@pytest.mark.slow
def test_what_does_not_compute_the_same_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained.load(OLD, "cpu")
    run = runtime.Onnx.outputs
    monkeypatch.setattr(runtime.Onnx, "outputs", lambda self, images: tuple(out + 1 for out in run(self, images)))
    with pytest.raises(
        RuntimeError, match="to compute what the model does, got a difference of 1 for images of 64x96;"
    ):
        export.write(tmp_path / "a.onnx", model.model, 3, {})
    assert not list(tmp_path.iterdir())


def test_a_model_of_one_size_says_so(tmp_path: Path) -> None:
    model = build("tu-vit_tiny_patch16_224", "dpt")
    with pytest.raises(RuntimeError, match=r"gave up \(.*64.*\); some models can be .* alone: size=\[HEIGHT,WIDTH\]"):
        export.write(tmp_path / "a.pt2", model, 3, {})


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("a.pt", None, r"destination: expected a file that ends in .onnx or .pt2, got 'a.pt'; name one"),
        ("a", None, "got 'a'"),
        ("a.pt2", [33, 64], r"size: expected \[HEIGHT,WIDTH\] in multiples of 32 pixels, got \[33, 64\]; give such as"),
        ("a.pt2", 64, "got 64"),
        ("a.pt2", [0, 32], r"got \[0, 32\]"),
        ("a.pt2", [True, 32], r"got \[True, 32\]"),
    ],
)
def test_wrong_requests_are_refused(name: str, size: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export.check_request(name, size)


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else 1)
    with pytest.raises(
        ValueError, match=r"expected onnxscript to write ONNX, got none; pip install 'seg-toolkit\[export"
    ):
        export.check_request("a.onnx", None)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", runtime.SUFFIXES)
def test_files_of_others_are_refused(suffix: str, files: Path, tmp_path: Path) -> None:
    path = tmp_path / f"b{suffix}"
    with pytest.raises(ValueError, match="checkpoint: expected a file, got"):
        trained.load(path, "cpu")
    path.write_bytes((files / f"a{suffix}").read_bytes()[:5000])
    with pytest.raises(ValueError, match="expected a model that seg-export wrote, got .*b"):
        trained.load(path, "cpu")
    model = trained.load(OLD, "cpu")
    export.write(path, model.model, 3, {**model.describe(), "normalization": {"mean": "x"}})
    with pytest.raises(ValueError, match="expected 'normalization' in .* as seg-export writes it, got"):
        trained.load(path, "cpu")


@pytest.mark.slow
def test_from_checkpoint_to_file_to_masks(tmp_path: Path, data: Path, script: Script) -> None:
    shutil.copyfile(OLD, tmp_path / "last.pt")
    result = script("seg-export", checkpoint="last.pt", destination="out/model.onnx")
    assert result.returncode == 0, result.stderr
    assert "opset 18): images (batch, 3, height, width) -> logits of" in result.stdout
    assert not result.stderr
    folder = data / "train/images"
    fails(
        script("seg-export", checkpoint="last.pt", destination="m.pt2", int8=folder),
        2,
        "int8: expected an ONNX .*'m.pt2'",
    )
    fails(script("seg-export", checkpoint="last.pt", destination="m.onnx", int8="nowhere"), 2, "'nowhere'")
    small = script("seg-export", checkpoint="last.pt", destination="out/small.onnx", int8=folder)
    assert small.returncode == 0, small.stderr
    assert "before the change to 8 bits, it differs from the checkpoint by " in small.stdout
    assert "computes with 8 bits now: " in small.stdout
    assert not small.stderr
    fails(script("seg-export", checkpoint="last.pt", destination="out/model.pth"), 2, "ends in .onnx or .pt2, got 'out")


@pytest.mark.slow
def test_what_was_there_stays_until_eight_bits_are_made(tmp_path: Path, data: Path, script: Script) -> None:
    shutil.copyfile(OLD, tmp_path / "last.pt")
    (tmp_path / "small.onnx").write_bytes(b"before")
    (data / "train/images/s3.png").write_bytes(b"no image")
    result = script(
        "seg-export", "checkpoint=last.pt", "destination=small.onnx", f"int8={data}/train/images", "overwrite=true"
    )
    fails(result, 2, "s3.png")
    assert (tmp_path / "small.onnx").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "last.pt", "small.onnx"]


@pytest.mark.slow
def test_nothing_is_told_or_left_behind(tmp_path: Path) -> None:
    """onnxruntime writes an identifier into the home folder when it is imported, if nobody stops it."""
    code = "import seg.inference.runtime, onnxruntime"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.iterdir())
