"""Boxes through the command line: training, evaluation, prediction, export, comparison.

python -m pytest tests/tasks/test_boxes_command.py
"""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import LABELS, Script, fails, train_options

from seg.commands.cli.targets import Deferred
from seg.commands.tasks import told_run
from seg.compare.study import read_study
from seg.data.pairs import pair
from seg.evaluation.files import draw_predictions
from seg.images import read_image, read_mask
from seg.inference import augmented, export, normalized, runtime
from seg.inference.heads import check_views, heads_of
from seg.inference.trained import Trained
from seg.models import WithHeads, build
from seg.report import pictures
from seg.tasks.boxes import BoxHead, BoxRules, decode, head

OPTIONS = ["task=boxes", "task.boxes.head.countable=[car]", "device.precision=32-true", "logger=none"]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def rows(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Image without suffix, class, rounded score and box of each annotation, in order."""
    images = {image["id"]: Path(image["file_name"]).stem for image in document["images"]}
    names = {category["id"]: category["name"] for category in document["categories"]}
    return sorted(
        (images[one["image_id"]], names[one["category_id"]], round(one["score"], 2), *map(round, one["bbox"]))
        for one in document["annotations"]
    )


def test_from_training_to_pictures(tmp_path: Path, data: Path, script: Script) -> None:
    """The run, seg-evaluate and seg-predict find the same boxes, with and without windows."""
    options = [*train_options(data), *OPTIONS, "box_loss=iou", "fit.monitor=ap", "name=a"]
    result = script("seg-train", *options)
    assert result.returncode == 0, result.stderr
    assert "  AP " in result.stdout
    run = tmp_path / "runs/a"
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"val_ap", "val_ap50", "val_ap_by_class"} <= set(last)
    assert {"segmentation", "boxes", "boxes.box", "boxes.centerness"} == set(last["terms"])
    judged, boxes = read(run / "metrics.json"), read(run / "boxes.json")
    assert {image["height"] for image in boxes["images"]} == {64}
    with (run / "per_image_metrics.csv").open() as file:
        values = [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "ap"]
    assert len(values) == 2
    assert judged["ap_i"] == pytest.approx(sum(values) / 2, abs=1e-6)
    folders = {"images": "data/val/images", "destination": "found"}
    result = script("seg-evaluate", checkpoint="runs/a/last.pt", masks="data/val/masks", **folders)
    assert result.returncode == 0, result.stderr
    assert "boxes: AP " in result.stdout
    assert read(tmp_path / "found/metrics.json")["ap"] == pytest.approx(judged["ap"], abs=1e-6)
    assert rows(read(tmp_path / "found/boxes.json")) == rows(boxes) != []
    result = script("seg-predict", checkpoint="runs/a/last.pt", **folders | {"destination": "predicted"})
    assert result.returncode == 0, result.stderr
    assert rows(read(tmp_path / "predicted/boxes.json")) == rows(boxes)
    assert rows(read(tmp_path / "predicted/boxes/s100.json")) == [row for row in rows(boxes) if row[0] == "s100"]
    for file in ("a.pt2", "a.onnx"):  # whose boxes are those of the checkpoint
        result = script("seg-export", checkpoint="runs/a/last.pt", destination=file)
        assert "logits of 3 classes, boxes (batch, 5, height, width)" in result.stdout, result.stderr
        result = script("seg-predict", checkpoint=file, **folders | {"destination": f"by_{file}"})
        assert result.returncode == 0, result.stderr
        assert rows(read(tmp_path / f"by_{file}/boxes.json")) == rows(boxes)
    result = script("seg-evaluate", checkpoint="a.onnx", masks="data/val/masks", **folders | {"destination": "e"})
    assert result.returncode == 0, result.stderr
    assert read(tmp_path / "e/metrics.json")["ap"] == pytest.approx(judged["ap"], abs=1e-3)
    words = ["boxes=true", "inference=tta", "checkpoint=runs/a/last.pt", "images=data/val/images", "destination=other"]
    fails(script("seg-predict", *words), 2, "inference: expected whole or sliding with boxes, got .*augmented")
    result = script("seg-predict", *words[1:-1], "destination=predicted")
    assert result.returncode == 0, result.stderr
    assert "warning: boxes are left out: inference: expected whole or sliding" in result.stderr
    assert not list((tmp_path / "predicted").rglob("*.json"))


def test_wrong_requests(tmp_path: Path, data: Path, script: Script) -> None:
    """Found before the data are read, or before the training."""
    fails(script("seg-train", *train_options(data), "box_loss=iou"), 2, "'box_loss': expected task=boxes with it")
    fails(
        script("seg-train", *train_options(data), "task=boxes", "task.boxes.head.countable=[cat]"),
        2,
        r"countable: expected 1 to 64 classes among sky, road, car, or null for all, got \['cat'\]; give names",
    )
    assert not list((tmp_path / "runs").glob("*/last.pt"))
    with pytest.raises(ValueError, match="inference: expected whole or sliding with boxes, got augmented, whose"):
        check_views("boxes", partial(augmented))


@pytest.mark.slow
def test_a_sweep_compares_box_losses(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), *OPTIONS[1:], "fit.epochs=1"]
    result = script("seg-train", "sweep=box_losses", "box_loss=giou,smooth_l1", "seeds=1", *options)
    assert result.returncode == 0, result.stderr
    found = sorted(path.parent.name for path in (tmp_path / "runs").glob("*/done.json"))
    assert len(found) == 2
    assert "giou" in found[0]
    assert "smooth_l1" in found[1]
    study = read_study(tmp_path / "runs", metric="ap")
    assert study.axis == "box_loss"
    assert [level.name for level in study.levels] == ["giou", "smooth_l1"]
    assert not study.excluded
    result = script("seg-compare", runs="runs", destination="compared", metric="ap", draws=100)
    assert result.returncode == 0, result.stderr
    assert "AP of boxes" in (tmp_path / "compared/report.md").read_text()


@pytest.mark.slow
def test_a_sweep_of_weightings_takes_options_of_the_task(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), *OPTIONS[1:], "fit.epochs=1", "seeds=1"]
    result = script("seg-train", "sweep=task_weighting", "weighting=fixed,dwa", *options)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "runs").glob("*/boxes.json"))) == 2
    result = script("seg-train", "sweep=task_weighting", "weighting=fixed,dwa", "task=none", "loss=ce_dice", "runs=b",
                    *[option for option in options if "countable" not in option])  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "b").glob("*/last.pt"))) == 2
    assert not list((tmp_path / "b").glob("*/boxes.json"))


def test_countable_classes_by_name_and_index() -> None:
    head = {"_target_": "seg.tasks.boxes.BoxHead", "countable": ["car", 0]}
    told = told_run(Deferred(head, "task.boxes.head"), LABELS, in_channels=16)
    assert (told.config["countable"], told().countable) == ([0, 2], (0, 2))
    for wrong in ([], ["cat"], [3], [True], "cat"):
        with pytest.raises(ValueError, match="countable: expected 1 to 64 classes among sky, road, car, or null"):
            told_run(Deferred({**head, "countable": wrong}, "task.boxes.head"), LABELS, in_channels=16)


@pytest.mark.slow
def test_an_exported_model_gives_the_maps(tmp_path: Path) -> None:
    """Images of any size: what decodes the checkpoint's maps decodes the file's."""
    torch.manual_seed(0)
    base = build("unet", classes=3, encoder_name="tu-test_resnet", encoder_depth=3, decoder_channels=[16, 8, 8])
    model = WithHeads(base, {"boxes": BoxHead(8, width=8)})
    one = heads_of(model).joined(model.eval())
    export.write(tmp_path / "a.onnx", one, 3, {"classes": 3}, maps=5)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    images = torch.randn(1, 3, 50, 71)
    logits, maps = map(torch.from_numpy, session.run(["logits", "boxes"], {"images": images.numpy()}))
    assert (logits.shape, maps.shape) == ((1, 3, 50, 71), (1, 5, 50, 71))
    file, _ = runtime.read(tmp_path / "a.onnx", "cpu")
    assert not heads_of(file)  # nothing is said of boxes
    assert torch.equal(file(images), logits)
    about = {"classes": 3, "boxes": {"countable": [1], "min_area": 9}}
    export.write(tmp_path / "b.onnx", one, 3, about, maps=5, argmax=True)
    masks, _ = runtime.read(tmp_path / "b.onnx", "cpu")
    heads = heads_of(masks, BoxRules)
    assert (heads.named["boxes"].countable, heads.named["boxes"].min_area) == ((1,), 9)
    found_logits, outputs = heads.split(heads.joined(masks)(images))
    assert torch.equal(outputs["boxes"], maps)
    assert torch.equal(found_logits.argmax(1), logits.argmax(1))
    wrong = {"output": "logits", "classes": 3, "boxes": {"countable": [1], "min_area": "9"}}
    file = onnx.load(tmp_path / "a.onnx")
    onnx.helper.set_model_props(file, {"seg": json.dumps(wrong)})
    onnx.save(file, tmp_path / "c.onnx")
    with pytest.raises(ValueError, match="cannot be read as that .metadata of boxes that seg-export did not write"):
        runtime.read(tmp_path / "c.onnx", "cpu")
    with torch.no_grad():
        expected = export.whole_image(one, images)
    torch.testing.assert_close(torch.cat([logits, maps], 1), expected, rtol=1e-3, atol=1e-3)
    (found,), (wanted,) = decode(logits, maps), decode(expected[:, :3], expected[:, 3:])
    torch.testing.assert_close(found.scores, wanted.scores, rtol=1e-3, atol=1e-3)


def test_training_draws_boxes(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "SHOWN", 0.0)
    torch.manual_seed(0)
    model = WithHeads(build("fpn", classes=3, encoder_name="tu-test_resnet"), {"boxes": BoxHead(128, width=8)}).eval()
    pairs = pair(data / "val/images", data / "val/masks")[:1]
    trained = Trained(model, LABELS, (0.5,) * 3, (0.2,) * 3, "cpu", heads=heads_of(model))
    ((_, with_boxes),) = draw_predictions(trained, pairs, tmp_path)
    image = read_image(pairs[0].image)
    images = normalized(torch.from_numpy(image).permute(2, 0, 1)[None], [0.5] * 3, [0.2] * 3, "cpu")
    with torch.no_grad():
        both = export.whole_image(heads_of(model).joined(model), images)
    (boxes,) = decode(both[:, :3], both[:, 3:], min_area=16)
    assert len(boxes.scores)
    mask = both[0, :3].argmax(0).byte().numpy()
    about = {"target": read_mask(pairs[0].mask, 3)}
    boxed = partial(
        pictures.outlined, boxes=boxes.boxes.tolist(), classes=boxes.classes.tolist(), palette=LABELS.palette
    )
    expected = pictures.panel(image, mask, LABELS.palette, LABELS.names, **about, mark=boxed)
    np.testing.assert_array_equal(with_boxes, expected)
    without = pictures.panel(image, mask, LABELS.palette, LABELS.names, **about)
    assert (with_boxes != without).any()
