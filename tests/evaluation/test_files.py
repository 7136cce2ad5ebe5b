"""What seg-evaluate and seg-train write of an evaluation: metrics.json, tables of each image, plots, printed tables.

python -m pytest tests/evaluation/test_files.py
"""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import train_options
from matplotlib.figure import Figure

from seg import runs
from seg.evaluation import files, plots
from seg.evaluation import tables as printed
from seg.evaluation.evaluate import Evaluation, evaluation_of
from seg.metrics import Boundaries, Calibration, Components, PixelCounts
from seg.metrics.calibration import AtTemperature
from seg.metrics.catalogue import KNOWN, check_monitor, direction
from seg.metrics.meters import Pass
from seg.metrics.pixels import confused
from seg.metrics.scores import calibration_error

NAMES = ("sky", "[/red] $x$", "car")
IMAGES = ("a", "b/c", "d")


def judged(*, confident: bool = True, surface: bool = False) -> Evaluation:
    """Of random logits that favour the target; the last image is ignored everywhere."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(3, 30, 40, dtype=torch.uint8)
    mask[:, 10:20, 5:25] = 1
    mask[1, 12:30] = 2
    logits = 0.7 * torch.randn(3, 3, 30, 40, generator=generator)
    logits += torch.nn.functional.one_hot(mask.long(), 3).permute(0, 3, 1, 2)
    mask[2] = 255
    tolerances = (0.02, 3)
    sure: list[Any] = [Calibration(3), AtTemperature(3, 0.5)] if confident else []
    boundaries = Boundaries(3, NAMES, tolerances=tolerances, surface=surface)
    meters = [PixelCounts(3, NAMES), *sure, boundaries, Components(NAMES)]
    Pass(meters).logits(logits, mask, torch.arange(3))
    return evaluation_of(meters, images=IMAGES, names=NAMES)


def test_files(tmp_path: Path) -> None:
    found = judged(surface=True)
    files.write(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "confusion.csv", "confusion.png", "per_image.csv", "per_image_metrics.csv", "reliability.png", "worst.png",
    ]  # fmt: skip
    for plot in tmp_path.glob("*.png"):
        assert cv2.imread(str(plot)) is not None
    values = runs.read_per_image_metrics(tmp_path / runs.PER_IMAGE_METRICS)
    assert list(values) == [
        "miou", "accuracy", "ece", "ece_tempered", "boundary_iou", "boundary_f1", "boundary_f1@3", "nsd", "hd95",
    ]  # fmt: skip
    assert {image for image, _ in values["miou"]} == {"a", "b/c"}, "the ignored image has no score"
    assert np.mean(list(values["miou"].values())) == pytest.approx(found.scores["miou_i"], abs=1e-5)
    f1 = [value for (_, name), value in values["boundary_f1"].items() if not name]
    assert np.mean(f1) == pytest.approx(found.scores["boundary_f1"], abs=1e-5)
    assert values["ece"]["a", ""] == pytest.approx(float(calibration_error(found.total("confidence")[0])), abs=1e-5)
    assert ("a", "car") not in values["boundary_iou"], "the target lacks it"
    counts = runs.read_per_image(tmp_path / runs.PER_IMAGE).counts
    assert np.array_equal(counts, found.total("counts"))


def test_plots_of_an_earlier_evaluation_do_not_stay(tmp_path: Path) -> None:
    files.write(judged(), tmp_path)
    files.write(judged(confident=False), tmp_path)
    assert not (tmp_path / "reliability.png").exists()
    assert "ece" not in runs.read_per_image_metrics(tmp_path / runs.PER_IMAGE_METRICS)


@pytest.mark.parametrize(
    ("lines", "panels"),
    [
        (
            [{"epoch": 0, "loss": 3.0}, {"epoch": 1, "loss": 2.0, "val_loss": 2.5, "val_miou": 0.5}],
            {"loss": [([1, 2], [3.0, 2.0]), ([2], [2.5])], "validation mIoU %": [([2], [50.0])]},
        ),
        ([{"epoch": 0, "loss": 3.0, "val_miou": None}], {"loss": [([1], [3.0])]}),
        ([{"epoch": 0, "val_miou": 0.25}], {"validation mIoU %": [([1], [25.0])]}),
        ([], {"loss": []}),
    ],
)
def test_curves_of_few_points_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[Any], panels: dict[str, Any]
) -> None:
    figure = Figure()
    monkeypatch.setattr(plots, "_figure", lambda *_: nullcontext(figure))
    plots.draw_curves(tmp_path / "curves.png", lines)
    drawn = {axes.get_ylabel(): axes.get_lines() for axes in figure.axes}
    assert {
        label: [tuple(map(list, curve.get_data())) for curve in curves] for label, curves in drawn.items()
    } == panels
    assert {curve.get_marker() for curves in drawn.values() for curve in curves} <= {"o"}


def test_a_picture_of_many_classes(tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(60)]
    plots.draw_confusion(tmp_path / "many.png", np.eye(60, dtype=np.int64), names)
    assert max(cv2.imread(str(tmp_path / "many.png")).shape) < 1500


def test_confused_pairs() -> None:
    confusion = np.array([[50, 10, 0], [30, 5, 5], [0, 0, 0]])
    found = confused(confusion, NAMES)
    assert [(pair["target"], pair["prediction"], pair["pixels"]) for pair in found] == [
        (NAMES[1], "sky", 30), ("sky", NAMES[1], 10), (NAMES[1], "car", 5),
    ]  # fmt: skip
    assert found[0]["share_of_target"] == 0.75
    assert found[0]["share_of_errors"] == pytest.approx(30 / 45)


def test_tables_name_their_means_within_80_columns(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "seg")
    found = judged(surface=True)
    data = {"temperature": 0.5, **files.as_data(found)}
    printed.print_tables(found, data, title="x.pt on 3 images", sizes=(1024, 9216))
    text = capsys.readouterr().out
    tables = [line for line in text.splitlines() if line and line[0] in "│┃┏└"]
    assert max(map(len, tables)) <= 80
    joined = " ".join([*text.split(), *caplog.text.split()])
    for words in (
        "D: pixels of all images summed, mean over classes in target or prediction; I: mean over the classes in an",
        f"mIoU │ {100 * data['miou']:.1f} │ {100 * data['miou_i']:.1f} │ {100 * data['miou_c']:.1f}",
        f"boundary F1, 3 px │ │ {100 * data['boundary_f1_curve']['i'][1]:.1f}",
        "[/red] $x$",
        "boundary F1 within 2 % of diagonal",
        "worst images: ",
        "confused: '",
        f"calibration error (ECE, 15 bins): {100 * data['ece']:.1f} % over all pixels",
        f"at temperature 0.5 (ECE, 15 bins): {100 * data['ece_tempered']:.1f} %",
        "HD95 (I) ",
    ):
        assert words in joined
    found = judged(confident=False)
    printed.print_tables(found, files.as_data(found), title="predicted on 3 images", sizes=(1024, 9216))
    assert "calibration error (ECE): none, because predicted masks have no confidence" in caplog.text


def test_data_are_complete_and_plain() -> None:
    found = judged()
    data = json.loads(json.dumps(files.as_data(found)))
    for key in ("miou", "miou_i", "miou_c", "mdice", "accuracy", "boundary_iou", "boundary_f1", "ece", "ece_i"):
        assert 0 < data[key] < 1, key
    assert len(data["worst"]) == 100
    assert data["worst"][-1] == pytest.approx(data["miou_i"])
    assert data["policy"].startswith("D: ")
    assert data["boundary_f1_curve"]["i"][0] == data["boundary_f1"]
    assert data["components"]["sky"]["small"]["number"] == 2
    assert sum(data["reliability"]["pixels"]) == 2 * 30 * 40


def test_what_can_be_monitored_is_computed_and_the_right_way_round() -> None:
    known = judged(surface=True).metrics
    for name, metric in known.items():
        monitor = f"{name}.sky" if metric.by_class else name
        best, worst = ("min", "max") if metric.lower else ("max", "min")
        assert direction(monitor, known) == best
        if metric.when == "epoch":
            check_monitor(monitor, best, known, NAMES)
            with pytest.raises(ValueError, match=f"fit.mode: expected {best} with fit.monitor={monitor}, got {worst}"):
                check_monitor(monitor, worst, known, NAMES)
    with pytest.raises(ValueError, match="fit.monitor: expected one of miou, .*, or iou.NAME or dice.NAME"):
        check_monitor("loss", "min", known)
    with pytest.raises(ValueError, match="fit.monitor: expected a class among sky, .*, got 'boat'"):
        check_monitor("iou.boat", "max", KNOWN, NAMES)


COUNTING = """
import sys

import seg.training.run as run

evaluate, passes = run.evaluate, []


def counted(predict, loader, meters, **options):
    def predicted(images):
        passes[-1] += len(images)
        return predict(images)

    passes.append(0)
    return evaluate(predicted, loader, meters, **options)


run.evaluate = counted
from seg.commands.train import main

main()
print("passes", *passes)
"""


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        (["fit.epochs=3", "fit.validate_every=2"], 2),
        (["fit.epochs=5", "fit.patience=1", "optimizer.lr=0"], 3),  # two validations; then it is known to be the end
    ],
)
def test_the_last_validation_is_the_judgement(data: Path, tmp_path: Path, options: list[str], passes: int) -> None:
    words = [sys.executable, "-c", COUNTING, *train_options(data), *options, f"runs={tmp_path}", "name=a"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    images = len(list((data / "val/images").iterdir()))
    assert done.stdout.splitlines()[-1] == " ".join(["passes", *[str(images)] * passes])
    lines = [line for line in runs.read_lines(tmp_path / "a" / runs.EPOCHS) if "val_miou" in line]
    assert lines[0].keys() == lines[-1].keys()
    found = json.loads((tmp_path / "a" / runs.EVALUATION).read_text())
    assert found["error_missed"] >= 0
    for key, value in lines[-1].items():
        if key.startswith("val_"):
            assert found[key[4:]] == value
    assert len(list((tmp_path / "a" / runs.PREDICTIONS).rglob("*.png"))) == images
