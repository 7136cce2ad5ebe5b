"""Several checkpoints in seg-predict, seg-evaluate, seg-export and seg-diagnose.

In this process where it can be: starting a command takes seconds.

python -m pytest tests/commands/test_ensembles.py
"""

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import torch
from conftest import Script, fails
from hydra import compose, initialize_config_dir
from made_members import BOXES, write_members

import seg
from seg import runs
from seg.commands.cli import conf_dir
from seg.commands.cli.overrides import quoted
from seg.commands.diagnose import diagnose
from seg.commands.evaluate import evaluate
from seg.commands.export import export
from seg.commands.predict import predict
from seg.inference import export as exporting
from seg.synthetic import LABELS

COMMANDS: dict[str, Callable[[Any], None]] = {
    "predict": predict,
    "evaluate": evaluate,
    "export": export,
    "diagnose": diagnose,
}


def call(name: str, **options: object) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose(name, quoted([f"{key}={value}" for key, value in options.items()]))
    COMMANDS[name](config)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """The working directory, with ``m0.pt`` to ``m2.pt``, ``images/`` and ``masks/``."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "seg")
    write_members(tmp_path, 3, BOXES)
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        Path(kind).mkdir()
    for name in ("a", "b"):
        cv2.imwrite(f"images/{name}.png", rng.integers(0, 256, (64, 96, 3), np.uint8))
        coarse = rng.integers(0, 10, (4, 6), np.uint8)
        cv2.imwrite(f"masks/{name}.png", cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_NEAREST))
    LABELS.save("masks/labels.yaml")
    return tmp_path


def files_in(folder: str) -> dict[str, bytes]:
    """All files but the manifest, in which times stand."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }
    return {name: data for name, data in found.items() if not name.startswith("manifest")}


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def keys(path: str) -> set[str]:
    return {json.loads(line)["key"] for line in Path(path, "manifest.jsonl").read_text().splitlines()}


def test_one_predicts_as_it_does_alone(folder: Path) -> None:
    more = {"images": "images", "confidence": "true", "probabilities": "float16", "device": "cpu"}
    for given, out in (("m0.pt", "alone"), ("[m0.pt]", "list"), ("m[0].pt", "pattern")):
        call("predict", checkpoint=given, destination=out, **more)
    assert len(files_in("alone")) > 10
    assert files_in("alone") == files_in("list") == files_in("pattern")
    assert keys("alone") == keys("list") == keys("pattern")


def test_one_is_evaluated_as_it_is_alone(folder: Path) -> None:
    more = {"images": "images", "masks": "masks", "device": "cpu", "workers": 0}
    for given, out in (("m0.pt", "alone"), ("[m0.pt]", "list")):
        call("evaluate", checkpoint=given, destination=out, **more)
    assert files_in("alone") == files_in("list")


def test_one_is_exported_as_it_is_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = []

    def export_trained(model: Any, *_: Any, **__: Any) -> exporting.Export:
        exported.append(model)
        return exporting.Export("", False, "", 0.0)

    monkeypatch.setattr(exporting, "export_trained", export_trained)
    for given in ("m0.pt", "[m0.pt]", "[m0.pt,m1.pt]"):
        call("export", checkpoint=given, destination="model.onnx")
    alone, one, two = (model.model.eval() for model in exported)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(alone(images), one(images))
        assert not torch.allclose(alone(images).softmax(1), two(images).softmax(1), atol=1e-3)


def test_disagreement_of_each_image_worst_first(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By another road: from the probabilities that each member writes."""
    more = {"images": "images", "device": "cpu"}
    for number in range(3):
        call("predict", checkpoint=f"m{number}.pt", destination=f"m{number}", probabilities="float16", **more)
    wanted = {"destination": "out", "confidence": "true", "disagreement": "true", **more}
    call("predict", checkpoint="m?.pt", **wanted)
    assert "2 masks written to out; overlays in overlays/; confidence in confidence/; disagr" in caplog.messages[-1]
    told = rows("out/disagreement.csv")
    numbers = [float(row["disagreement"]) for row in told]
    assert numbers == sorted(numbers, reverse=True)
    for row in told:
        shares = np.stack([np.load(f"m{n}/probabilities/{row['image']}.npz")["probabilities"] for n in range(3)])
        shares = shares.astype(np.float64).clip(1e-9)
        mean = shares.mean(0)
        nats = (shares * np.log(shares)).sum(1).mean(0) - (mean * np.log(mean)).sum(0)
        assert float(row["disagreement"]) == pytest.approx(nats.mean() / np.log(3), abs=2e-3)
        assert float(row["confidence"]) == pytest.approx(mean.max(0).mean(), abs=1e-3)
        for kind, expected in (("disagreement", nats / np.log(3)), ("confidence", mean.max(0))):
            drawn = cv2.imread(f"out/{kind}/{row['image']}.png", cv2.IMREAD_UNCHANGED)
            np.testing.assert_allclose(drawn / 255, expected, atol=6e-3)

    schema = json.loads((Path(seg.__file__).parent / "inference/manifest-line.schema.json").read_text())
    for line in Path("out/manifest.jsonl").read_text().splitlines():
        jsonschema.validate(json.loads(line), schema)
    before = Path("out/disagreement.csv").read_text()
    call("predict", checkpoint="m?.pt", **wanted)
    assert "0 masks written to out, 2 unchanged" in caplog.messages[-1]
    assert Path("out/disagreement.csv").read_text() == before
    Path("out/a.png").unlink()  # the number of the other one is not lost
    call("predict", checkpoint="[m0.pt,m1.pt,m2.pt]", **wanted)
    assert "1 masks written to out, 1 unchanged" in caplog.messages[-1]
    assert Path("out/disagreement.csv").read_text() == before
    call("predict", checkpoint="[m0.pt,m1.pt]", **wanted)
    assert "2 masks written to out;" in caplog.messages[-1]
    assert Path("out/disagreement.csv").read_text() != before
    call("predict", checkpoint="[m0.pt,m1.pt]", **{**wanted, "disagreement": "false"})
    assert not list(Path("out").glob("disagreement*/**/*.png"))
    assert not Path("out/disagreement.csv").exists()


def test_by_rows_as_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile = pytest.importorskip("tifffile")
    Path("large").mkdir()
    tifffile.imwrite("large/c.tif", np.random.default_rng(1).integers(0, 256, (80, 48, 3), np.uint8))
    more = {"checkpoint": "m?.pt", "images": "large", "inference": "sliding", "inference.window": 32, "device": "cpu"}
    more |= {"overlays": "false", "boxes": "false", "disagreement": "true"}
    call("predict", destination="memory", **more)
    monkeypatch.setenv("SEG_MAX_PIXELS", "3000")
    call("predict", destination="rows", **more)
    assert files_in("memory").keys() == files_in("rows").keys()
    assert rows("memory/disagreement.csv") == rows("rows/disagreement.csv")
    for name in ("c.png", "disagreement/c.png"):
        assert files_in("memory")[name] == files_in("rows")[name]


def test_an_evaluation_of_several(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = {"images": "images", "device": "cpu"}
    call("predict", checkpoint="m?.pt", destination="out", disagreement="true", **more)
    call("evaluate", checkpoint="m?.pt", masks="masks", destination="together", workers=0, save_masks="true", **more)
    found = json.loads(Path("together/metrics.json").read_text())
    assert found["checkpoint"] == "m0.pt and 2 more"
    assert found["members"] == ["m0.pt", "m1.pt", "m2.pt"]
    schema = json.loads((Path(seg.__file__).parent / "evaluation/metrics.schema.json").read_text())
    jsonschema.validate(found, schema | {"additionalProperties": False})
    told = {row["image"]: float(row["disagreement"]) for row in rows("out/disagreement.csv")}
    assert found["disagreement"] == pytest.approx(np.mean(list(told.values())), abs=1e-5)
    by_image = runs.read_per_image_metrics(Path("together/per_image_metrics.csv"))["disagreement"]
    assert {image: value for (image, _), value in by_image.items()} == pytest.approx(told, abs=1e-5)
    for name in ("a", "b"):
        masks = [cv2.imread(f"{out}/{name}.png", cv2.IMREAD_UNCHANGED) for out in ("together/predictions", "out")]
        np.testing.assert_array_equal(*masks)
    assert not Path("together/config.yaml").exists()  # it is of no single run
    call("evaluate", checkpoint="m0.pt", masks="masks", destination="together", workers=0, **more)
    assert not Path("together/predictions/a.png").exists(), "masks of other models"
    call("evaluate", checkpoint="m?.pt", masks="masks", destination="together", workers=0, **more)
    boxes = [json.loads(Path(folder, "boxes.json").read_text())["annotations"] for folder in ("together", "out")]
    assert boxes[0]
    evaluated, predicted = (sorted(box["score"] for box in some) for some in boxes)
    assert evaluated == pytest.approx(predicted, abs=1e-5)
    call("evaluate", checkpoint="m?.pt", masks="masks", destination="tta", workers=0, inference="tta", **more)
    assert "boxes are left out" in caplog.text
    assert json.loads(Path("tta/metrics.json").read_text())["disagreement"] > 0


def test_what_is_refused(folder: Path) -> None:
    more = {"images": "images", "destination": "out"}
    with pytest.raises(ValueError, match="disagreement: expected several checkpoints, which may disagree, got one"):
        call("predict", checkpoint="m0.pt", disagreement="true", **more)
    with pytest.raises(ValueError, match="checkpoint: expected each member once, got 'm0.pt' twice"):
        call("predict", checkpoint="[m0.pt,m0.pt]", **more)
    with pytest.raises(ValueError, match="checkpoint: expected each member once, got 'm0.pt' twice"):
        call("export", checkpoint="[m0.pt,m0.pt]", destination="x.onnx")
    with pytest.raises(ValueError, match="checkpoint: expected one, got 3; give the command once for each"):
        call("diagnose", checkpoint="m?.pt", **more)
    Path("model.onnx").touch()
    with pytest.raises(ValueError, match="checkpoint: expected best.pt or last.pt of a run, got 'model.onnx'"):
        call("export", checkpoint="[m0.pt,model.onnx]", destination="x.onnx")
    assert not Path("out").exists()


def test_on_the_command_line(folder: Path, script: Script) -> None:
    """A list and a pattern reach the command as they are typed."""
    fails(
        script("seg-predict", "checkpoint=[m0.pt, m9.pt]", images="images", destination="out"),
        2,
        "checkpoint: expected a file, got 'm9.pt'",
    )
    fails(
        script("seg-predict", "checkpoint=x-*", images="images", destination="out"), 2, "that match 'x-\\*', got none"
    )
    assert not Path("out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_one_file_holds_all_members(form: str, folder: Path) -> None:
    """With boxes; read back by what reads any exported file."""
    pytest.importorskip("onnxruntime")
    call("export", checkpoint="m?.pt", destination=f"all.{form}")
    together, file = seg.load("m?.pt", "cpu"), seg.load(f"all.{form}", "cpu")
    image = np.random.default_rng(2).integers(0, 256, (70, 90, 3), np.uint8)
    with torch.inference_mode():
        outputs = [one.model(together.inputs(image[:64, :64]), heads=True) for one in (together, file)]
    torch.testing.assert_close(outputs[0][0], outputs[1][0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(outputs[0][1]["boxes"], outputs[1][1]["boxes"], atol=1e-2, rtol=1e-3)
    assert (together.predict(image) == file.predict(image)).mean() > 0.999
    call("predict", checkpoint=f"all.{form}", images="images", destination="file", device="cpu")
    call("predict", checkpoint="m?.pt", images="images", destination="members", device="cpu")
    for name in ("a", "b"):
        masks = [cv2.imread(f"{out}/{name}.png", cv2.IMREAD_UNCHANGED) for out in ("file", "members")]
        assert (masks[0] == masks[1]).mean() > 0.999
