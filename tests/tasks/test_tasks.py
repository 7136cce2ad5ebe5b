"""Tasks beside the segmentation, from the command line: the example of `seg.tasks.objective`, and wrong requests.

python -m pytest tests/tasks/test_tasks.py
"""

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from conftest import Script, fails, train_options

from seg import models, runs
from seg.commands.cli.targets import Deferred
from seg.commands.tasks import check_tasks, told_run
from seg.inference import trained
from seg.labels import LabelMap
from seg.losses import CrossEntropy, Dice, WeightedSum
from seg.tasks import objective
from seg.tasks.building import make_objective
from seg.tasks.objective import MultiTask, Segmentation

LABELS = LabelMap.load("camvid")
SIZE = {"_target_": "torch.nn.Conv2d", "in_channels": 4, "out_channels": 1, "kernel_size": 1}


def example() -> dict[str, str]:
    """The files that the documentation shows, by name."""
    parts = re.findall(r"``(my_\S+)``::\n\n((?:    .*\n|\n)+)", objective.__doc__ or "")
    return {name: dedent(text).strip() + "\n" for name, text in parts}


def test_a_users_own_second_task(tmp_path: Path, data: Path, script: Script) -> None:
    files = example()
    assert list(files) == ["my_edges.py", "my_conf/task/edges.yaml"]
    assert sum(len(text.splitlines()) for text in files.values()) < 75
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    words = [*train_options(data), "logger=none", "--config-dir", "my_conf", "task=edges", "weighting=uncertainty"]
    more = ["regularizer=all", "average=ema", "fit.freeze=1"]
    result = script("seg-train", *words, *more, name="own")
    assert result.returncode == 0, result.stderr
    last = json.loads((tmp_path / "runs/own" / runs.EPOCHS).read_text().splitlines()[-1])
    assert list(last["terms"]) == list(last["weights"]) == ["segmentation", "edges"]
    assert last["weights"]["edges"] != 1
    total = sum(
        last["weights"][name] * factor * last["terms"][name] for name, factor in (("segmentation", 1), ("edges", 0.5))
    )
    assert last["loss"] == pytest.approx(total, abs=0.05)  # and half the log variances

    assert 0 < last["val_edge_error"] < 1
    judged = json.loads((tmp_path / "runs/own" / runs.EVALUATION).read_text())
    assert judged["metrics"]["edge_error"]["better"] == "low"
    assert re.search(r"epoch   2/2 .* edges that are wrong \d", result.stdout)
    values = runs.read_per_image_metrics(tmp_path / "runs/own" / runs.PER_IMAGE_METRICS)["edge_error"]
    assert sum(values.values()) / len(values) == pytest.approx(judged["edge_error"], abs=1e-5)

    path, images = tmp_path / "runs/own/best.pt", torch.randn(1, 3, 64, 64)
    alone = trained.load(path, "cpu").model
    assert not isinstance(alone, models.WithHeads), "nobody said that my_edges is to be trusted"
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.syspath_prepend(tmp_path)
        both = trained.load(path, "cpu", trust=["my_edges"]).model
        logits, outputs = both(images, heads=True)
        assert torch.equal(logits, alone(images))
        assert torch.equal(logits, both(images))
        assert outputs["edges"].shape == (1, 1, 64, 64)
    assert trained.read(path)["objective"]["weighting.log_variance"].abs().sum() > 0

    folders = {"images": "data/val/images", "masks": "data/val/masks"}
    options = {"checkpoint": "runs/own/last.pt", **folders, "destination": "judged", "pictures": 1}
    result = script("seg-evaluate", "trust=[my_edges]", **options)
    assert result.returncode == 0, result.stderr
    assert "edges that are wrong" in result.stdout
    again = json.loads((tmp_path / "judged" / runs.EVALUATION).read_text())
    assert again["edge_error"] == pytest.approx(judged["edge_error"], abs=0.01)  # in float32 now
    result = script("seg-evaluate", **options | {"destination": "alone"})  # nobody said that my_edges is to be trusted
    assert "edge_error" not in (tmp_path / "alone" / runs.EVALUATION).read_text()
    drawn, plain = (next((tmp_path / name / "pictures").iterdir()).read_bytes() for name in ("judged", "alone"))
    assert drawn != plain
    result = script("seg-export", "trust=[my_edges]", checkpoint="runs/own/last.pt", destination="a.pt2")
    assert result.returncode == 0, result.stderr
    assert (
        "warning: edges: left out, because an exported file holds the segmentation, and boxes, alone" in result.stderr
    )
    predicted = {"checkpoint": "runs/own/last.pt", "images": "data/val/images", "destination": "predicted"}
    result = script("seg-predict", "trust=[my_edges]", **predicted)
    assert result.returncode == 0, result.stderr
    assert "warning: edges: left out, because what is predicted into a folder holds the segmentation" in result.stderr
    fails(
        script("seg-train", *words, "inference=tta", name="other"), 2, "inference: expected whole or sliding with edges"
    )
    result = script("seg-train", *words, *more, name="second", seed=1)
    result = script("seg-compare", runs="runs", destination="compared", metric="edge_error", axis="seed", draws=100)
    assert "points of edges that are wrong" in result.stdout, result.stderr
    fails(
        script("seg-train", *words, "loss=boundary", name="other"), 2, r"never below 0, .*'segmentation' \(Boundary\)"
    )


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"a b": {}}, "task: expected a name such as boxes, got 'a b'; choose another in conf/task"),
        ({"segmentation": {}}, "task: expected a name such as boxes, got 'segmentation'"),
        ({"edges": {"head": SIZE}}, "task.edges: expected head, task and perhaps weight, got head; correct its file"),
        ({"edges": 3}, "task.edges: expected head, task and perhaps weight, got 3"),
        ({"edges": {"head": SIZE, "task": SIZE, "scale": 2}}, "got head, task, scale; correct its file in conf/task"),
        (
            {"edges": {"head": {"channels": 3}, "task": SIZE}},
            r"task.edges.head: expected a _target_ and its .* got \{'c",
        ),
    ],
)
def test_tasks_that_are_none(tasks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_tasks(tasks)
    check_tasks({"edges": {"head": SIZE, "task": SIZE, "weight": 2.0}})
    check_tasks(None)
    with pytest.raises(ValueError, match="my_lost.Edges: .*No module named 'my_lost'"):
        Deferred({"_target_": "my_lost.Edges"}, "task.edges.task")


def made_objective(config: dict[str, Any], loss: torch.nn.Module) -> Any:
    """What a run with this loss and these groups minimises."""
    parts = config["task"] or {}
    tasks = {name: told_run(Deferred(part["task"], ""), LABELS)() for name, part in parts.items()}
    weights = {name: part["weight"] for name, part in parts.items()}
    return make_objective(loss, LABELS, Deferred(config["weighting"], "weighting"), tasks, weights)


def configured(weighting: str, **options: Any) -> dict[str, Any]:
    return {"task": None, "weighting": {"_target_": f"seg.losses.weighting.{weighting}", **options}}


def test_the_weighting_of_a_composite_loss() -> None:
    """Without further tasks its terms are weighed; the sum is left to the loss, to the bit."""
    loss = WeightedSum(terms={"cross": CrossEntropy(), "dice": Dice()}, weights={"cross": 1.0, "dice": 1.0})
    plain = made_objective(configured("Fixed"), loss)
    assert isinstance(plain, Segmentation)
    assert plain.weighting is None
    weighed = made_objective(configured("DynamicWeightAverage", temperature=1.0), loss)
    assert isinstance(weighed, Segmentation)
    assert weighed.weighting is not None
    assert weighed.weighting.names == ("cross", "dice")
    with pytest.raises(
        ValueError, match="weighting: expected several losses to weigh, got Dice alone; give weighting="
    ):
        made_objective(configured("Uncertainty"), Dice())
    with pytest.raises(
        ValueError, match="expected arguments among names, positive, rate, got temperature; .* ~weighting.temp"
    ):
        made_objective(configured("Uncertainty", temperature=1.0), loss)


def test_constructors_are_told_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(torch.nn.Module):
        def __init__(self, classes: int, names: list[str], scale: float = 1.0) -> None:
            super().__init__()
            self.told = classes, names, scale

        def prepare(self, mask: Any) -> dict[str, Any]:
            return {}

    monkeypatch.setattr("seg.tasks.objective.Told", Told, raising=False)
    tasks = {"mine": {"head": SIZE, "task": {"_target_": "seg.tasks.objective.Told", "scale": 2.0}, "weight": 0.25}}
    found = made_objective({**configured("Fixed"), "task": tasks}, Dice())
    assert isinstance(found, MultiTask)
    assert found.tasks["mine"].told == (LABELS.classes, list(LABELS.names), 2.0)
    assert found.weights == {"mine": 0.25}
    assert found.weighting.names == ("segmentation", "mine")
