"""A metric of the user's own, from a folder of theirs: the example of `seg.metrics` through all commands.

python -m pytest tests/commands/test_own_metric.py
"""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Script, fails, train_options, write_shown_files

import seg.metrics
from seg import runs

NAME, TITLE = "region_error", "wrong number of regions"


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    assert write_shown_files(seg.metrics, tmp_path) == ["my_regions.py", "my_conf/metric/regions.yaml"]
    return ["--config-dir", "my_conf", "metric=[default,regions]"]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_it_stands_wherever_scores_stand(tmp_path: Path, data: Path, script: Script, own: list[str]) -> None:
    options = [*train_options(data), "logger=none", *own, f"fit.monitor={NAME}"]
    result = script("seg-train", "-m", *options, "loss=cross_entropy,dice", "seed=0,1", "sweep.test=data/train")
    assert result.returncode == 0, result.stderr
    assert f"{NAME}: {TITLE}, low is better" in " ".join(result.stdout.split()), "the sweep's table"
    (run, *_) = folders = sorted(path.parent for path in (tmp_path / "runs").glob("*/done.json"))
    assert len(folders) == 4
    lines = [json.loads(line) for line in (run / runs.EPOCHS).read_text().splitlines()]
    values = [line[f"val_{NAME}"] for line in lines]
    assert read(run / runs.DONE)["best"] == {"monitor": NAME, "score": min(values), "epoch": values.index(min(values))}
    for folder in (run, run / runs.TEST):
        found = read(folder / runs.EVALUATION)
        about = {"title": TITLE, "better": "low", "unit": "regions", "when": "epoch", "by_class": False}
        assert found["metrics"][NAME] == about
        images = runs.read_per_image_metrics(folder / runs.PER_IMAGE_METRICS)[NAME]
        assert found[NAME] == pytest.approx(sum(images.values()) / len(images))
    assert "mode: min" in (run / runs.CONFIG).read_text()
    shown = f"| {TITLE}, lower is better | {values[values.index(min(values))]:.2f} regions | {values[-1]:.2f} regions |"
    assert shown in (run / runs.CARD).read_text()

    (run / runs.TEST).rename(tmp_path / "elsewhere")  # validation scores are compared again
    result = script("seg-compare", runs="runs", destination="compared", metric=NAME, draws=100)
    assert result.returncode == 0, result.stderr
    assert f" regions of {TITLE}, 95 % interval" in result.stdout
    statistics = read(tmp_path / "compared/statistics.json")
    assert (statistics["metric"], statistics["rope"]) == (NAME, 0.0)
    ((pair,), (a, b)) = statistics["pairs"], statistics["levels"]
    assert pair["difference"] == pytest.approx(a["mean"] - b["mean"])
    assert (pair["verdict"], len(pair["interval"])) == ("inconclusive", 2)
    assert statistics["winner"]["level"] == min((a, b), key=lambda level: level["mean"])["level"]
    report = (tmp_path / "compared/report.md").read_text()
    assert f"{TITLE} regions" in report
    assert "lower is better" in report
    assert f"| {TITLE} |" in report, "among the rankings by other metrics"
    with (tmp_path / "compared/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = sorted(read(path / runs.EVALUATION)[NAME] for path in folders)
    assert sorted(float(row[NAME]) for row in rows) == pytest.approx(scores, abs=1e-6)
    assert {"boundary_iou", "error_missed"} <= set(rows[0])


def test_it_is_printed_and_judges_predicted_masks(tmp_path: Path, data: Path, script: Script, own: list[str]) -> None:
    options = [*train_options(data), "logger=none", "fit.epochs=1", "name=a", "device.precision=32-true"]
    result = script("seg-train", *options, *own, f"fit.monitor={NAME}")
    assert result.returncode == 0, result.stderr
    assert re.search(rf"epoch   1/1 .* mIoU \d.* {TITLE} \d+\.\d\d regions", result.stdout)
    assert re.search(rf"│ {TITLE} +│ +\d+\.\d\d regions │ +low │", result.stdout)
    assert re.search(rf"best {TITLE} \d+\.\d\d regions in runs/a/best.pt", result.stdout)
    scored = read(tmp_path / "runs/a" / runs.EVALUATION)
    folders = {"masks": "data/val/masks", "destination": "judged"}
    for subject in ("predictions=runs/a/predictions", "checkpoint=runs/a/last.pt"):
        more = ["images=data/val/images"] if "checkpoint" in subject else []
        result = script("seg-evaluate", subject, *more, *own, **folders)
        assert result.returncode == 0, result.stderr
        assert re.search(rf"│ {TITLE} +│ +\d+\.\d\d regions │ +low │", result.stdout)
        assert read(tmp_path / "judged" / runs.EVALUATION)[NAME] == scored[NAME]


def test_wrong_requests_are_refused_before_data_are_read(tmp_path: Path, script: Script, own: list[str]) -> None:
    words = ["data.train.images=lost", "data.train.masks=lost", "logger=none"]
    for more, message in (
        ([*own, f"fit.monitor={NAME}", "fit.mode=max"], f"fit.mode: expected min with fit.monitor={NAME}, got max"),
        ([f"fit.monitor={NAME}"], f"fit.monitor: expected one of loss, miou, .* of a class, got '{NAME}'"),
        (["metric=loss"], "metric: expected pixels among them, .* got loss; give such as metric="),
        (["metric.calibration.bins=0"], "metric.calibration.bins: expected a whole number of at least 1, got 0"),
        (["+metric.calibration.size=3"], r"Calibration: expected arguments among images, bins, got size; .*~metric"),
        ([*own, "metric.regions.when=never"], "metric.regions.when: expected epoch or end, got 'never'; choose one"),
    ):
        fails(script("seg-train", *words, *more), 2, message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_one_that_looks_at_the_classes(tmp_path: Path, data: Path, script: Script) -> None:
    """A constructor is told the classes of the data at hand, not stand-ins; a class that is not there is refused."""
    (tmp_path / "my_area.py").write_text(
        "from my_regions import RegionCounts\n"
        "class Of(RegionCounts):\n"
        "    def __init__(self, images, names, of):\n"
        "        super().__init__(images)\n"
        "        self.index = list(names).index(of)\n"
    )
    write_shown_files(seg.metrics, tmp_path)
    (tmp_path / "my_conf/metric/area.yaml").write_text("area: {_target_: my_area.Of, of: car, when: epoch}\n")
    own = ["--config-dir", "my_conf", "metric=[default,area]"]
    options = [*train_options(data), "logger=none", *own, f"fit.monitor={NAME}", "fit.epochs=1", "name=own"]
    assert script("seg-train", *options).returncode == 0
    assert f"val_{NAME}" in (tmp_path / "runs/own" / runs.EPOCHS).read_text()
    folders = {"predictions": data / "val/masks", "masks": data / "val/masks"}
    assert script("seg-evaluate", *own, **folders, destination="judged").returncode == 0
    message = r"metric.area: expected what my_area.Of takes, got of=cat \('cat' is not in list\)"
    fails(script("seg-train", *options, "metric.area.of=cat", "name=other"), 2, message)
    fails(script("seg-evaluate", *own, "metric.area.of=cat", **folders, destination="not"), 2, message)
    assert not (tmp_path / "runs/other").exists()
    assert not (tmp_path / "not").exists()
    synthetic = ["data=synthetic", "data.render.destination=scenes", "smoke=true", "name=new", *own]
    done = script("seg-train", *synthetic, "metric.area.of=cat")
    fails(done, 2, message)
