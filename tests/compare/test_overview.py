"""python -m pytest tests/compare/test_overview.py"""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Script, fails
from made_runs import write_run
from scipy.stats import norm

from seg.compare.overview import Overview, answer, folders_of, look_over, write_overview
from seg.compare.statistics import compare
from seg.compare.study import read_studies, read_study
from seg.compare.variance import VarianceParts, difference_parts, independent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two losses, of which one falls far behind at imbalance 8, and a third that is there at 1 alone."""
    for value in (1, 8):
        for level, better in (("dice", 0.1), ("focal", 0.1 if value == 1 else -0.2), ("tversky", 0.0)):
            for seed in range(3):
                if level != "tversky" or value == 1:
                    data = {"train": None, "render": {"imbalance": value, "destination": f"data/{value}"}}
                    folder = tmp_path / "runs" / f"{level}-{value}-{seed}"
                    write_run(folder, level, seed, better=better, config={"data": data})
    return tmp_path / "runs"


def overview(root: Path, reference: str | None = None) -> Overview:
    studies = read_studies(root, "data.render.imbalance", "loss")
    found = {v: compare({x.name: x.sample() for x in study.levels}, draws=200) for v, study in studies.items()}
    return look_over("data.render.imbalance", found, reference)


def test_each_value_is_a_study_of_its_own(root: Path) -> None:
    studies = read_studies(root, "data.render.imbalance")
    assert list(studies) == ["1", "8"]
    assert {value: [level.name for level in study.levels] for value, study in studies.items()} == {
        "1": ["dice", "focal", "tversky"],
        "8": ["dice", "focal"],
    }
    assert all(study.axis == "loss" and not study.excluded for study in studies.values())
    with pytest.raises(ValueError, match="expected runs that differ in one thing, got 2"):
        read_study(root)
    with pytest.raises(ValueError, match="by: expected a key of which the runs have several values, got 'fit.epochs'"):
        read_studies(root, "fit.epochs")
    with pytest.raises(ValueError, match="by: expected a configuration group or key, got 'data.x'"):
        read_studies(root, "data.x")


def test_the_overview_says_who_falls_behind(root: Path) -> None:
    found = overview(root, "dice")
    by_value = {value: {x.level: x.mean for x in compared.levels} for value, compared in found.by_value.items()}
    (change,) = found.changes
    at = {value: means["focal"] - means["dice"] for value, means in by_value.items()}
    assert change.level == "focal"
    assert change.change == pytest.approx(at["8"] - at["1"])
    assert change.interval[0] < change.change < change.interval[1] < 0
    words = list(answer(found))
    assert words[0].startswith("data.render.imbalance 1: ")
    assert f"`focal` loses {-100 * change.change:.1f} points on `dice`" in words[-1]
    with pytest.raises(ValueError, match="expected a level that is there at data.render.imbalance=8 .*got 'tversky'"):
        overview(root, "tversky")


def test_a_change_between_independent_samples_is_covered() -> None:
    """Two independent differences, of the same truth: their intervals of 95 % hold 0 in 92 to 98 % of 300 draws."""
    inside = 0
    for draw in range(300):
        rng = np.random.default_rng(draw)
        pairs = []
        for _ in range(2):
            seeds, images = rng.normal(0, 0.02, (2, 4)), rng.normal(0, 0.1, (2, 40))
            scores = seeds[:, :, None] + images[:, None] + rng.normal(0, 0.05, (2, 4, 40))
            without = (scores.sum(2, keepdims=True) - scores) / 39
            pairs.append(
                difference_parts(*((s.mean(1), w.T) for s, w in zip(scores, without, strict=True)), paired=True)
            )
        change = pairs[0][0] - pairs[1][0]
        low, high = independent(pairs[0][1], pairs[1][1]).interval(change, new_seeds=True)
        inside += low <= 0 <= high
    assert 0.92 <= inside / 300 <= 0.99


def test_independent_variances_add_up() -> None:
    a = VarianceParts(4e-4, 1e-4, 2e-5, 3, 2.0, 50, 40.0)
    b = VarianceParts(1e-4, 3e-4, 1e-5, 5, 4.0, 30, 25.0)
    both = independent(a, b)
    assert both.error(new_seeds=True) ** 2 == pytest.approx(a.error(new_seeds=True) ** 2 + b.error(new_seeds=True) ** 2)
    assert both.seed_degrees == pytest.approx((5e-4) ** 2 / ((4e-4) ** 2 / 2 + (1e-4) ** 2 / 4))
    assert both.quantile(0.975, new_seeds=True) > norm.ppf(0.975)
    one = independent(VarianceParts(None, 1e-4, 0.0, 1, 0.0, 50, 40.0), b)
    assert one.seeds is None
    assert one.error(new_seeds=False) ** 2 == pytest.approx(1e-4 + 3e-4 + 1e-5)


def test_the_command_writes_a_report_for_each_value(root: Path, tmp_path: Path, script: Script) -> None:
    result = script("seg-compare", runs="runs", destination="out", by="data.render.imbalance", draws=200)
    assert result.returncode == 0, result.stderr
    assert "data.render.imbalance 8: 'dice' has the best mIoU, " in result.stdout
    over = json.loads((tmp_path / "out/overview.json").read_text())
    assert [value["value"] for value in over["values"]] == ["1", "8"]
    for value, runs in (("1", 9), ("8", 6)):
        with (tmp_path / "out" / value / "results.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == runs
        assert (tmp_path / "out" / value / "report.html").stat().st_size > 10_000
    text = (tmp_path / "out/report.md").read_text()
    assert "| Kendall's tau | 1 | 8 |" in text
    assert (tmp_path / "out/overview.png").exists()
    fails(
        script("seg-compare", runs="runs", destination="out", by="x"),
        2,
        "by: expected a configuration group or key",
    )


def test_folders_of_values_are_names_of_their_own() -> None:
    plain = ["0.5", "[128, 192]", "../x", "a b"]
    assert folders_of(plain) == {"0.5": "0.5", "[128, 192]": "128-192", "../x": "x", "a b": "a-b"}
    odd = ["a/b", "a-b", "A-B", ".", "..", "/", "report.html", "v" * 300, "v" * 301, "é"]
    names = folders_of(odd)
    assert len({name.casefold() for name in names.values()}) == len(odd)
    assert all(re.fullmatch(r"[\w-][\w.-]{0,70}", name) for name in names.values())
    assert "report.html" not in names.values()
    assert folders_of(["a/b"])["a/b"] == "a-b"


def test_the_reference_is_the_best_of_those_that_are_everywhere(root: Path) -> None:
    for seed in range(3):
        data = {"train": None, "render": {"imbalance": 1, "destination": "data/1"}}
        write_run(root / f"best-1-{seed}", "best", seed, better=0.25, config={"data": data})
    assert overview(root).reference == "dice"
    for folder in [*root.glob("dice-8-*"), *root.glob("focal-8-*")]:
        shutil.rmtree(folder)
    for seed in range(3):
        data = {"train": None, "render": {"imbalance": 8, "destination": "data/8"}}
        write_run(root / f"other-8-{seed}", "other", seed, config={"data": data})
    with pytest.raises(ValueError, match="by: expected a level that is there at all values of data.render.imbalance"):
        overview(root)


def test_of_an_error_less_is_a_gain(root: Path) -> None:
    studies = read_studies(root, "data.render.imbalance", "loss", "ece")
    found = {
        value: compare({level.name: level.sample() for level in study.levels}, metric="ece", draws=200)
        for value, study in studies.items()
    }
    (change,) = (found := look_over("data.render.imbalance", found, "dice")).changes
    assert change.change > 0  # more error
    last = list(answer(found))[-1]
    assert f"`focal` loses {100 * change.change:.1f} points on `dice`, 95 % interval" in last
    assert not re.search(r"-\d", last)


def test_one_seed_decides_nothing_over_values_either(root: Path, tmp_path: Path, script: Script) -> None:
    for folder in root.glob("*-[12]"):
        shutil.rmtree(folder)
    assert script("seg-compare", runs="runs", destination="out", by="data.render.imbalance", draws=200).returncode == 0
    text = (tmp_path / "out/report.md").read_text()
    assert text.count("whether its level is the best, one seed cannot tell") == 2
    assert "One run per level does not show how much seeds matter" in text
    assert "probability" not in text
    assert not re.search("gains|loses", text)
    assert "or, of one seed, for these very runs" in text


def test_a_difference_of_some_seeds_is_marked(root: Path, tmp_path: Path) -> None:
    write_overview(tmp_path, overview(root, "dice"), [])
    assert "* of the seeds" not in (tmp_path / "report.md").read_text()
    shutil.rmtree(root / "focal-8-2")
    write_overview(tmp_path, overview(root, "dice"), [])
    text = (tmp_path / "report.md").read_text()
    assert re.search(r"\| focal \| \S+ -?\d+\.\d \| ▼ -\d+\.\d\\\* \|", text)
    assert "\\* of the seeds that both have" in text


def test_a_value_whose_runs_do_not_compare_is_named(root: Path) -> None:
    config = {"data": {"train": None, "render": {"imbalance": 8, "destination": "d"}}, "fit": {"epochs": 2, "clip": 9}}
    for level in ("dice", "focal"):
        for seed in range(3):
            write_run(root / f"{level}-9-{seed}", level, seed, config=config)
    with pytest.raises(ValueError, match="^data.render.imbalance=8: axis=loss: expected runs that differ in it alone"):
        read_studies(root, "data.render.imbalance", "loss")
    for folder in root.glob("*-8-*"):
        (folder / "done.json").write_text("[]")
    shutil.rmtree(root / "dice-9-0")
    for folder in root.glob("*-9-*"):
        shutil.rmtree(folder)
    with pytest.raises(ValueError, match="with 1 among 9 runs; dice-8-0 cannot be compared: run: expected names and"):
        read_studies(root, "data.render.imbalance", "loss")
