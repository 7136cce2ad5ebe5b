"""Comparisons of many levels, of numbers, of one level, and by the IoU of a class.

python -m pytest tests/compare/test_many_levels.py
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Script, fails
from made_runs import CLASSES, made_counts, write_run

from seg.compare.answer import answer, at_the_end
from seg.compare.overview import answer as answer_over
from seg.compare.overview import look_over
from seg.compare.statistics import compare
from seg.compare.study import read_studies, read_study
from seg.compare.write import compare_study
from seg.report.figure import as_numbers, beside, saved_figure, scale_numbers


def rates(folder: Path, gains: dict[float, float]) -> Path:
    for rate, better in gains.items():
        for seed in range(2):
            write_run(folder / f"{rate}-{seed}", seed=seed, better=better, config={"optimizer": {"lr": rate}})
    return folder


def test_pairs_of_one_verdict_are_told_together(tmp_path: Path) -> None:
    for number in range(12):
        for seed in range(3):
            better = 0.2 if number == 11 else 0.001 * number
            write_run(tmp_path / f"{number}-{seed}", f"loss{number:02}", seed, better=better)
    study = read_study(tmp_path)
    found = compare({level.name: level.sample() for level in study.levels}, draws=200)
    first, last = answer(found, "loss11")
    differences = [100 * pair.difference for pair in found.pairs_with("loss11")]
    assert {pair.verdict for pair in found.pairs_with("loss11")} == {"better"}
    assert f"by {min(differences):.1f} to {max(differences):.1f} points of mIoU." in first
    assert first.startswith("`loss11` beats `loss")
    assert first.count("`loss") == 9
    assert " and 3 more by" in first
    assert "best of the 12" in last
    seen = list(answer(found, "loss00"))
    assert len(seen) <= 4
    (open_ones,) = [sentence for sentence in seen if "cannot decide" in sentence]
    assert re.search(r"these 3 seeds and 12 images cannot decide; of `loss\d\d`, .*(more|neither)", open_ones)


def test_one_seed_of_many_levels_has_one_sentence(tmp_path: Path) -> None:
    for number in range(6):
        write_run(tmp_path / f"{number}", f"loss{number}", better=0.01 * number)
    study = read_study(tmp_path)
    found = compare({level.name: level.sample() for level in study.levels}, draws=200)
    first, _ = answer(found, "loss5")
    assert first.startswith("`loss5` differs from `loss")
    assert first.endswith("one seed cannot decide: more seeds would show how much they matter.")


def test_values_and_changes_are_told_together(tmp_path: Path) -> None:
    for value in (1, 2, 4, 8):
        for number in range(6):
            for seed in range(3):
                better = 0.2 if number == 0 else 0.1 - 0.02 * number * (value == 8)
                data = {"train": None, "render": {"imbalance": value, "destination": f"data/{value}"}}
                folder = tmp_path / "runs" / f"{number}-{value}-{seed}"
                write_run(folder, f"loss{number}", seed, better=better, config={"data": data})
    studies = read_studies(tmp_path / "runs", "data.render.imbalance", "loss")
    found = {v: compare({x.name: x.sample() for x in study.levels}, draws=200) for v, study in studies.items()}
    over = look_over("data.render.imbalance", found, None)
    sentences = list(answer_over(over))
    assert sentences[0].startswith("data.render.imbalance 1, 2, 4, 8: `loss0` has the best mIoU")
    moved = [c for c in over.changes if c.interval[1] < 0]
    least, most = (100 * -pick(c.change for c in moved) for pick in (max, min))
    assert len(moved) > 3
    (changes,) = sentences[1:]
    assert f"lose {least:.1f} to {most:.1f} points on `loss0`" in changes


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ({1e-4: 0.0, 1e-3: 0.1, 1e-2: 0.2}, "The best optimizer.lr, 0.01, is the largest of 3 that were tried"),
        ({1e-4: 0.2, 1e-3: 0.1, 1e-2: 0.0}, "The best optimizer.lr, 0.0001, is the smallest of 3 that were tried"),
        ({1e-4: 0.0, 1e-3: 0.2, 1e-2: 0.0}, ""),
        ({0.0: 0.2, 1e-3: 0.1, 1e-2: 0.0}, ""),
        ({1e-4: 0.0, 1e-3: 0.1}, ""),
    ],
)  # fmt: skip
def test_the_best_number_at_the_end(tmp_path: Path, gains: dict[float, float], words: str) -> None:
    study = read_study(rates(tmp_path, gains))
    found = compare({level.name: level.sample() for level in study.levels}, draws=200)
    told = "".join(at_the_end(found, study.axis))
    assert told.startswith(words)
    assert bool(told) == bool(words)


def test_numbers_are_read_and_drawn_as_numbers(tmp_path: Path, script: Script) -> None:
    rates(tmp_path / "runs", {1e-4: 0.0, 3e-4: 0.05, 1e-2: 0.1})
    result = script("seg-compare", runs="runs", destination="out", draws=200, reference="1e-2")
    assert result.returncode == 0, result.stderr
    assert "The best optimizer.lr, 0.01, is the largest of 3" in result.stdout
    text = (tmp_path / "out/report.md").read_text()
    assert "is the largest of 3" in text
    assert "(axis.png)" in text
    assert (tmp_path / "out/axis.svg").exists()
    fails(
        script("seg-compare", runs="runs", destination="out", reference="2e-2"),
        2,
        "reference: expected one of 0.0001, 0.0003, 0.01, got '2e-2'; choose a level",
    )


def test_scales_of_numbers(tmp_path: Path) -> None:
    assert as_numbers(["1", "2"]) is None
    assert as_numbers(["1", "2", "x"]) is None
    assert as_numbers(["1", "2", "inf"]) is None
    for numbers, scale in (([1, 2, 4], "linear"), ([1e-4, 1e-3, 1e-2], "log"), ([0, 1e-3, 1e-2, 1], "symlog")):
        with saved_figure(tmp_path, "figure", (3, 2)) as axes:
            scale_numbers(axes, numbers)
            assert axes.get_xscale() == scale
            assert beside(axes, numbers, numbers, 0.0) == pytest.approx(numbers)
            moved = beside(axes, numbers, numbers, 0.1)
            assert all(low < there for low, there in zip(numbers, moved, strict=True))
            assert [label.get_text() for label in axes.get_xticklabels()] == [f"{number:g}" for number in numbers]


def test_levels_that_lack_a_seed_are_named_together(tmp_path: Path) -> None:
    for number in range(5):
        for seed in range(3 if number == 4 else 2):
            write_run(tmp_path / f"{number}-{seed}", f"loss{number}", seed)
    (warning,) = read_study(tmp_path).warnings
    assert warning == "loss0, loss1, loss2, loss3 lack seed 2; pairs are compared by the seeds that both have"


def test_one_level_is_called_by_its_name(tmp_path: Path, script: Script) -> None:
    for seed in range(2):
        write_run(tmp_path / f"runs/{seed}", "dice", seed)
    result = script("seg-compare", runs="runs", destination="out", draws=200)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("'unet-dice' has mIoU")
    assert (tmp_path / "out/report.md").read_text().startswith("# Comparison: unet-dice\n")
    assert script("seg-compare", runs="runs", axis="loss", destination="out", draws=200).returncode == 0
    assert (tmp_path / "out/report.md").read_text().startswith("# Comparison: dice\n")


def by_class(counts: np.ndarray, index: int) -> float:
    intersection, prediction, target = counts[:, index].sum(0)
    return float(intersection / (prediction + target - intersection))


@pytest.mark.slow
def test_the_iou_of_a_class_is_compared(tmp_path: Path, script: Script) -> None:
    for level, better in (("dice", 0.15), ("focal", 0.0)):
        for seed in range(3):
            counts = made_counts(level, seed, better=better)
            counts[3:, 2] = 0  # the pole is in three images alone
            write_run(tmp_path / f"runs/{level}-{seed}", level, seed, counts=counts)
    call = {"runs": "runs", "destination": "out", "draws": 200}
    assert script("seg-compare", **call, metric="iou.road").returncode == 0
    data = json.loads((tmp_path / "out/statistics.json").read_text())
    assert data["metric"] == "iou.road"
    for level, better in (("dice", 0.15), ("focal", 0.0)):
        (told,) = [one for one in data["levels"] if one["level"] == level]
        wanted = np.mean(
            [by_class(made_counts(level, seed, better=better), CLASSES.index("road")) for seed in range(3)]
        )
        assert told["mean"] == pytest.approx(wanted)
        assert 0 <= told["interval"][0] < told["mean"] < told["interval"][1] <= 1
    (pair,) = data["pairs"]
    assert (pair["verdict"], pair["wins"]) == ("better", 12)
    result = script("seg-compare", **call, metric="iou.pole")
    assert "points of IoU of pole" in result.stdout
    (pair,) = json.loads((tmp_path / "out/statistics.json").read_text())["pairs"]
    assert pair["wins"] + pair["ties"] + pair["losses"] == 3
    fails(
        script("seg-compare", **call, metric="iou.car"),
        2,
        "expected one that the runs have .*iou.sky, iou.road.*got 'iou.car'",
    )


def test_the_interval_of_a_class_is_that_of_its_jackknife() -> None:
    """By a loop over the images."""
    from seg.compare.scores import LevelScores, group_numbers, scored

    counts = np.stack([made_counts("dice", seed) for seed in range(2)])
    sample = LevelScores((0, 1), counts, classes=("sky", "a road", "pole"))
    found = scored(sample, "iou.a road", group_numbers(None, 12))
    for image in range(12):
        left = np.delete(counts, image, 1)
        assert found.without[image] == pytest.approx([by_class(run, 1) for run in left])
    compared = compare({"a": sample}, metric="iou.a road", draws=100)
    assert compared.levels[0].interval == pytest.approx(tuple(compared.class_interval[0, 1]))


@pytest.mark.slow
def test_classes_of_any_name(tmp_path: Path, script: Script) -> None:
    names = ("driver's cab", "b.c|d", "Bäume")
    for level in ("dice", "focal"):
        write_run(tmp_path / f"runs/{level}", level, classes=names)
    for name in names:
        result = script("seg-compare", f"metric=iou.{name}", "runs=runs", "destination=out", "draws=200")
        assert result.returncode == 0, result.stderr
        assert f"IoU of {name}" in result.stdout


def test_pairs_with_the_reference_alone_are_fewer(tmp_path: Path, script: Script) -> None:
    """By one word, in place of 10 pairs 4, each with a smaller p; the report and its files say so."""
    for level, better in {"a": 0.0, "b": 0.01, "c": 0.02, "d": 0.03, "e": 0.1}.items():
        for seed in range(3):
            write_run(tmp_path / f"runs/{level}-{seed}", level, seed, better=better)
    p, told = {}, {}
    for pairs in ("all", "reference"):
        result = script("seg-compare", runs="runs", destination=pairs, draws=100, reference="c", pairs=pairs)
        assert result.returncode == 0, result.stderr
        found = json.loads((tmp_path / pairs / "statistics.json").read_text())
        told[pairs] = found["reference"]
        p[pairs] = {frozenset((pair["a"], pair["b"])): pair["p_verdict"] for pair in found["pairs"]}
    assert told == {"all": None, "reference": "c"}
    assert (len(p["all"]), len(p["reference"])) == (10, 4)
    assert all(value <= p["all"][pair] for pair, value in p["reference"].items())
    assert sum(p["reference"].values()) < sum(p["all"][pair] for pair in p["reference"])
    assert "Pairs with 'c' alone are judged, 4 instead of 10" in result.stdout
    study = read_study(tmp_path / "runs")
    options = {"group": None, "rope": None, "draws": 100, "seed": 0}
    known = compare_study(study, "miou", reference="c", **options)  # type: ignore[arg-type]
    assert {frozenset((pair.a, pair.b)): pair.p_verdict for pair in known.pairs} == pytest.approx(p["reference"])
    assert (
        known.pairs == compare({level.name: level.sample() for level in study.levels}, reference="c", draws=100).pairs
    )
    fails(
        script("seg-compare", runs="runs", destination="out", pairs="reference"),
        2,
        "pairs: expected reference=LEVEL beside pairs=reference, got none; name the level before you look",
    )
    fails(script("seg-compare", runs="runs", destination="out", pairs="some"), 2, "pairs: expected all or reference")
    fails(
        script("seg-compare", runs="runs", destination="out", pairs="reference", reference="x"),
        2,
        "reference: expected one of a, b, c, d, e, got 'x'; choose a level",
    )
