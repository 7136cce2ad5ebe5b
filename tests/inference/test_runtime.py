"""Exported files that others wrote or changed: what they give is held against what they say.

python -m pytest tests/inference/test_runtime.py
"""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from conftest import Script, Started, fails
from torch import nn

from seg.inference import export, trained

OLD = Path(__file__).parents[1] / "golden" / "format1" / "last.pt"
CLASSES = trained.load(OLD, "cpu").labels.classes

SCORES = f"""
    scores = Constant <value = float[1, {CLASSES}, 1, 1] {{{", ".join("0" for _ in range(CLASSES))}}}> ()
    one = ReduceMean <axes = [1], keepdims = 1> (images)
    all = Add (one, scores)
"""


def write(path: Path, body: str, output: str = "logits", kind: str = "float", **description: Any) -> None:
    """An ONNX file in text, with the metadata of ours."""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> '
        f"net (float[batch, 3, height, width] images) => ({kind}[a, b, c, d] {output}) {{ {body} }}"
    )
    if output == "mask":
        del model.graph.output[0].type.tensor_type.shape.dim[1]
    about = {**trained.load(OLD, "cpu").describe(), "output": output, "size": None, **description}
    onnx.helper.set_model_props(model, {"seg": json.dumps(about)})
    onnx.save(model, path)


def test_a_file_of_others_that_does_what_it_says(tmp_path: Path) -> None:
    write(tmp_path / "a.onnx", f"{SCORES} logits = Identity (all)")
    assert trained.load(tmp_path / "a.onnx", "cpu").predict(np.zeros((8, 9, 3), np.uint8)).shape == (8, 9)
    write(
        tmp_path / "m.onnx",
        f"{SCORES} top = ArgMax <axis=1, keepdims=0> (all) mask = Cast <to=2> (top)",
        "mask",
        "uint8",
    )
    assert trained.load(tmp_path / "m.onnx", "cpu").predict(np.zeros((8, 9, 3), np.uint8)).shape == (8, 9)


@pytest.mark.parametrize(
    ("body", "output", "kind", "message"),
    [
        ("logits = Identity (images)", "logits", "float", rf"\(1, {CLASSES}, 64, 96\), .* float32 \(1, 3, 64, 96\)"),
        (f"{SCORES} logits = ReduceMax <axes = [3], keepdims = 0> (all)", "logits", "float", r"\(1, \d+, 64\)"),
        (f"{SCORES} logits = Cast <to = 11> (all)", "logits", "double", "gives float64"),
        (f"{SCORES} logits = MaxPool <kernel_shape=[2,2], strides=[2,2]> (all)", "logits", "float", r"32, 48\)"),
        ("mask = Cast <to=2> (images)", "mask", "uint8", r"a mask uint8 \(N, H, W\) of .* \(1, 3, 64, 96\)"),
        (
            "big = Constant <value = float {200}> () one = ReduceMean <axes=[1], keepdims=0> (images) "
            "all = Add (one, big) mask = Cast <to=2> (all)",
            "mask",
            "uint8",
            "up to 200; export it again",
        ),
    ],
)  # fmt: skip
def test_outputs_that_do_not_fit_are_refused(body: str, output: str, kind: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "a.onnx", body, output, kind)
    with pytest.raises(ValueError, match=f"expected a model that does what its metadata say, got .*{message}"):
        trained.load(tmp_path / "a.onnx", "cpu")


def test_a_size_that_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.onnx", f"{SCORES} logits = Identity (all)", size=[64, "x"])
    with pytest.raises(ValueError, match=r"which cannot be read as that \(size: expected \[HEIGHT,WIDTH\]"):
        trained.load(tmp_path / "a.onnx", "cpu")


@pytest.mark.slow
def test_a_model_without_end_is_interrupted_by_a_second_signal(
    tmp_path: Path, data: Path, start: Callable[..., Started]
) -> None:
    """onnxruntime is not left before it is done, so that Python handles no signal."""
    loop = """
        most = Constant <value = int64 {9000000000000000000}> () yes = Constant <value_int = 1> ()
        go = Cast <to = 9> (yes)
        logits = Loop (most, go, images) <body = each (int64 i, bool c, float[a, b, h, w] x)
            => (bool d, float[a, b, h, w] y) { d = Identity (c) y = Neg (x) }>
    """
    write(tmp_path / "a.onnx", loop)
    running = start("seg-predict", "checkpoint=a.onnx", f"images={data}/val/images", "destination=p", "device=cpu")

    def computes() -> bool:
        return sum(map(int, Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[11:12])) > 200

    running.until(computes)
    running.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(30).returncode == 130
    assert not (tmp_path / "p").exists()


def test_an_exported_file_is_no_checkpoint(tmp_path: Path, data: Path, script: Script) -> None:
    write(tmp_path / "a.onnx", f"{SCORES} logits = Identity (all)")
    given = {"checkpoint": "a.onnx", "images": data / "val/images", "destination": "d"}
    fails(script("seg-diagnose", **given), 2, "expected best.pt or last.pt of a run, got 'a.onnx', .* made of")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_files_of_others_are_replaced_only_where_that_is_asked_for(suffix: str, tmp_path: Path, script: Script) -> None:
    shutil.copyfile(OLD, tmp_path / "last.pt")
    path, given = tmp_path / f"a{suffix}", {"checkpoint": "last.pt", "destination": f"a{suffix}"}
    text = '<ir_version: 8, opset_import: ["" : 17]> a (float[2] x) => (float[2] y) {y = Neg (x)}'
    path.write_bytes(before := onnx.parser.parse_model(text).SerializeToString())
    fails(script("seg-export", **given), 2, f"that seg-export wrote, or none, got 'a{suffix}', .* or overwrite=true")
    assert path.read_bytes() == before
    export.check_request(path, None, overwrite=True)
    export.write(path, nn.Conv2d(3, 2, 1).eval(), 3, {"classes": 2})
    export.check_request(path, None, overwrite=False)  # its own
    with pytest.raises(ValueError, match="overwrite: expected true or false, got 'yes'"):
        export.check_request(path, None, overwrite="yes")  # type: ignore[arg-type]
