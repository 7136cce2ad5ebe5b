"""Scores of slices, held against the evaluation of their images alone.

python -m pytest tests/evaluation/test_slices.py
"""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import torch
from conftest import LABELS, Script, fails, scene
from torch import Tensor

import seg
from seg.data.attributes import Slices, read_slices
from seg.evaluation.evaluate import Evaluation
from seg.evaluation.files import as_data, evaluate_into
from seg.evaluation.slices import scores_by_slice
from seg.evaluation.subjects import Pairing, Temperature, of_checkpoint, of_predictions
from seg.inference.trained import load
from seg.metrics import Boundaries, ErrorKinds, PixelCounts
from seg.metrics.catalogue import Metric
from seg.metrics.meters import Column
from seg.metrics.wanted import Wanted

GOLDEN = Path(__file__).resolve().parents[1] / "golden/format4/best.pt"
IMAGES = [f"s{seed}" for seed in range(100, 106)]
NIGHT = IMAGES[:2]


class Regions:
    """A metric of the user's: the number of pixels of class 1 in each image, and the share of all pixels, pooled."""

    metrics = (Metric("ones", "pixels of class 1", unit="pixels"),)

    def __init__(self, images: int) -> None:
        self.ones = torch.zeros(images, dtype=torch.float64)

    def update(self, prediction: Any, target: Any, position: int) -> None:
        self.ones[position] = float((prediction == 1).sum())

    def totals(self) -> dict[str, Tensor]:
        return {"ones": self.ones}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {"ones": float(totals["ones"].mean())}

    def per_image(self, totals: dict[str, Tensor]) -> Iterator[Column]:
        yield "ones", "", totals["ones"].numpy()


class Pooled:
    """A metric that counts over the set alone; its total has as many rows as there are images, by chance."""

    metrics = (Metric("pooled", "pooled"),)

    def __init__(self) -> None:
        self.sums = torch.zeros(len(IMAGES), dtype=torch.float64)

    def update(self, prediction: Any, target: Any, position: int) -> None:
        self.sums += 1

    def totals(self) -> dict[str, Tensor]:
        return {"pooled": self.sums}

    def scores(self, totals: dict[str, Tensor]) -> dict[str, Any]:
        return {"pooled": float(totals["pooled"].sum())}

    def per_image(self, totals: dict[str, Tensor]) -> tuple[Column, ...]:
        return ()


WANTED = [
    Wanted("pixels", PixelCounts, ("images", "names")),
    Wanted("boundaries", Boundaries, ("images", "names")),
    Wanted("errors", ErrorKinds, ("images",)),
    Wanted("ones", Regions, ("images",)),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Masks, predictions that miss the car, and a table."""
    for name in ("masks", "predicted"):
        (tmp_path / name).mkdir()
    LABELS.save(tmp_path / "masks/labels.yaml")
    for place, name in enumerate(IMAGES):
        mask = scene(100 + place)[1]
        cv2.imwrite(str(tmp_path / f"masks/{name}.png"), mask)
        predicted = np.where((mask == 2) | (mask == 255), place % 2, mask)
        cv2.imwrite(str(tmp_path / f"predicted/{name}.png"), np.roll(predicted, place, 1))
    rows = [f"{name}.png,{'night' if name in NIGHT else 'day'}" for name in IMAGES]
    (tmp_path / "images.csv").write_text("\n".join(["image,time", *rows]) + "\n")
    (tmp_path / "night.txt").write_text("\n".join(NIGHT) + "\n")
    (tmp_path / "day.txt").write_text("\n".join(name for name in IMAGES if name not in NIGHT) + "\n")
    return tmp_path


def evaluated(folder: Path, names: str | None = None, wanted: list[Wanted] = WANTED) -> Evaluation:
    where = Pairing((), folder / "masks", names=names and str(folder / names))
    return of_predictions(str(folder / "predicted"), where).evaluate(wanted)


def parts(folder: Path) -> Slices:
    return read_slices(folder / "images.csv", IMAGES)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, abs=1e-12)


def test_the_scores_of_a_slice_are_those_of_its_images_alone(folder: Path) -> None:
    """Every score, pooled over pixels or a mean over images, of a user's metric too."""
    found, untold = scores_by_slice(evaluated(folder), parts(folder), WANTED)
    assert untold == []
    assert [(part["attribute"], part["value"], part["images"]) for part in found] == [
        ("time", "day", 4), ("time", "night", 2),
    ]  # fmt: skip
    for part in found:
        alone = evaluated(folder, f"{part['value']}.txt")
        assert len(alone.images) == part["images"]
        assert part["scores"].keys() == alone.scores.keys() >= {"miou", "iou", "boundary_f1", "error_missed", "ones"}
        assert same(part["scores"], alone.scores)


def test_boxes_and_a_temperature_are_told_too(tmp_path: Path) -> None:
    """What an evaluation builds besides the metrics that were asked for."""
    labels, rng = load(GOLDEN).labels, np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(4):
        mask = cv2.resize(rng.integers(0, 10, (4, 6), np.uint8), (96, 64), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(tmp_path / f"masks/{number}.png"), mask)
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), rng.integers(0, 256, (64, 96, 3), np.uint8))
    labels.save(tmp_path / "masks/labels.yaml")
    (tmp_path / "images.csv").write_text("image,site\n0,a\n1,b\n2,a\n3,b\n")
    (tmp_path / "a.txt").write_text("0\n2\n")

    def judged(names: Path | None = None) -> Evaluation:
        where = Pairing(str(tmp_path / "images"), str(tmp_path / "masks"), names=names)
        return of_checkpoint(GOLDEN, where, device="cpu", temperature=Temperature(2.0)).evaluate(WANTED[:1])

    found, untold = scores_by_slice(judged(), read_slices(tmp_path / "images.csv", list("0123")), WANTED[:1])
    assert untold == []
    alone = judged(tmp_path / "a.txt").scores
    assert alone.keys() >= {"miou", "ap", "ap_by_class", "ece_tempered"}
    assert same(found[0]["scores"], alone)


def test_what_is_counted_over_the_whole_set_is_not_told(folder: Path) -> None:
    """Whatever shape its totals have."""
    wanted = [WANTED[0], Wanted("pooled", Pooled, ())]
    found, untold = scores_by_slice(evaluated(folder, wanted=wanted), parts(folder), wanted)
    assert untold == ["pooled"]
    assert all("pooled" not in part["scores"] and "miou" in part["scores"] for part in found)


def test_slices_are_written_and_go_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "seg")
    where = Pairing((), str(folder / "masks"))
    subject = of_predictions(str(folder / "predicted"), where)
    wanted = [WANTED[0], Wanted("pooled", Pooled, ())]
    table, out = str(folder / "images.csv"), folder / "out"
    _, data = evaluate_into(out, subject, wanted, where, attributes=table)
    assert data["slices_notes"] == ["not told of slices, because they are not counted image by image: pooled"]
    assert "not counted image by image: pooled" in caplog.text
    kept = (written := json.loads((out / "metrics.json").read_text()))["slices"]
    schema = json.loads((Path(seg.__file__).parent / "evaluation/metrics.schema.json").read_text())
    jsonschema.validate(written, schema)
    with (out / "slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for part in kept:
        mine = [row for row in rows if row["value"] == part["value"]]
        (miou,) = [row for row in mine if row["metric"] == "miou"]
        assert float(miou["score"]) == pytest.approx(part["scores"]["miou"], abs=1e-6)
        assert {row["class"] for row in mine if row["metric"] == "iou"} == set(LABELS.names)
    evaluate_into(out, subject, wanted, where)
    assert not (out / "slices.csv").exists()
    assert "slices" not in as_data(evaluated(folder))


def test_the_command_prints_them_and_refuses_what_does_not_fit(folder: Path, script: Script) -> None:
    options = {"predictions": "predicted", "masks": "masks", "destination": "judged"}
    fails(script("seg-evaluate", **options, attributes="no.csv"), 2, "attributes: expected a table of the images, got")
    result = script("seg-evaluate", **options, attributes="images.csv")
    assert result.returncode == 0, result.stderr
    assert "by time" in result.stdout
    rows = [
        line.replace("│", " ").split()[:2] for line in result.stdout.splitlines() if "night" in line or "day" in line
    ]
    assert rows == [["day", "4"], ["night", "2"]]
    (folder / "images.csv").write_text("image,time\ns100,day\n")
    fails(script("seg-evaluate", **options, attributes="images.csv"), 2, "expected a row for each of 6 images")
