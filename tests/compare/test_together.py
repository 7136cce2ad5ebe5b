"""The seeds of a level as one model: which evaluations are found, and what they gain, held against NumPy.

python -m pytest tests/compare/test_together.py
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from made_runs import CLASSES, made_counts, write_run
from numpy.typing import NDArray
from scipy.stats import t

import seg
from seg import runs
from seg.compare.study import Study, read_study
from seg.compare.together import gains
from seg.compare.write import compare_study, write_comparison

SEEDS = (0, 1, 2)


def write_ensemble(folder: Path, members: list[str], counts: NDArray[np.int64], names: list[str] | None = None) -> None:
    """What ``seg-evaluate checkpoint=[...]`` writes, as far as it is read."""
    folder.mkdir(parents=True)
    names = names or [f"val/{i:03}" for i in range(len(counts))]
    runs.write_per_image(folder / runs.PER_IMAGE, names, CLASSES, counts)
    (folder / runs.EVALUATION).write_text(json.dumps({"checkpoint": f"{members[0]} and more", "members": members}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs of two levels and three seeds."""
    for level, better in (("dice", 0.1), ("focal", 0.0)):
        for seed in SEEDS:
            write_run(tmp_path / f"runs/{level}-{seed}", level, seed, better=better)
    return tmp_path / "runs"


def members(root: Path, level: str, seeds: tuple[int, ...] = SEEDS, file: str = "last.pt") -> list[str]:
    return [str(root / f"{level}-{seed}" / file) for seed in seeds]


def miou(counts: NDArray[np.int64]) -> float:
    intersection, prediction, target = counts.sum(0).T
    return float(np.mean(intersection / (prediction + target - intersection)))


def found(root: Path, metric: str = "miou", group: str | None = None) -> tuple[Study, Any]:
    study = read_study(root, metric=metric)
    return study, compare_study(study, metric, group=group, rope=None, draws=100, seed=0)


def test_gain_and_interval_as_by_hand(root: Path) -> None:
    """The jackknife over images of the difference between the ensemble and the mean of its members."""
    together = made_counts("dice", 99, better=0.15)
    write_ensemble(root / "judged/dice", members(root, "dice"), together)
    (gain,) = gains(*found(root))
    assert (gain.level, gain.seeds, gain.folder) == ("dice", SEEDS, "judged/dice")
    each = [made_counts("dice", seed, better=0.1) for seed in SEEDS]

    def difference(kept: NDArray[np.intp]) -> float:
        return miou(together[kept]) - float(np.mean([miou(one[kept]) for one in each]))

    images = np.arange(len(together))
    assert gain.gain == pytest.approx(difference(images))
    assert gain.score == pytest.approx(miou(together))
    without = np.array([difference(np.delete(images, i)) for i in images])
    n, squares = len(images), (without - without.mean()) ** 2
    error = np.sqrt((n - 1) / n * squares.sum())
    excess = n * (squares**2).sum() / squares.sum() ** 2 - 3
    reach = error * t.ppf(0.975, 2 / (2 / (n - 1) + max(excess, 0) / n))
    assert gain.interval == pytest.approx((gain.gain - reach, gain.gain + reach))
    assert gain.interval[0] > 0

    (by_pairs,) = gains(*found(root, group=r"(\d)$"))  # images of one last digit are of one group
    assert by_pairs.gain == pytest.approx(gain.gain)
    assert by_pairs.interval != pytest.approx(gain.interval)


def test_the_report_has_a_row_for_each_level(root: Path, tmp_path: Path) -> None:
    study, compared = found(root)
    write_comparison(tmp_path / "before", study, compared)
    assert "seeds together" not in (tmp_path / "before/report.md").read_text()
    write_ensemble(root / "dice-all", members(root, "dice"), made_counts("dice", 99, better=0.15))
    write_ensemble(root / "focal-two", members(root, "focal", (0, 2)), made_counts("focal", 99, better=0.02))
    study, compared = found(root)
    assert len(study.entries) == 6
    assert not [warning for warning in study.warnings if "several runs" in warning]
    write_comparison(tmp_path / "report", study, compared)
    text = (tmp_path / "report/report.md").read_text()
    assert "| level | seeds | mIoU %, each alone | the seeds together | gain | 95 %, these very runs |" in text
    assert "| dice | 3 (seeds 0, 1 and 2) |" in text
    assert "| focal | 2 (seeds 0 and 2) |" in text
    statistics = json.loads((tmp_path / "report/statistics.json").read_text())
    assert [one["level"] for one in statistics["together"]] == ["dice", "focal"]
    schema = json.loads((Path(seg.__file__).parent / "compare/statistics.schema.json").read_text())
    jsonschema.validate(statistics, schema)


def test_evaluations_that_do_not_compare_are_named(root: Path) -> None:
    counts = made_counts("dice", 99)
    write_ensemble(root / "best", members(root, "dice", file="best.pt"), counts)
    write_ensemble(root / "mixed", [*members(root, "dice", (0,)), *members(root, "focal", (0,))], counts)
    write_ensemble(root / "others", ["elsewhere/x/last.pt", *members(root, "dice", (0,))], counts)
    write_ensemble(root / "none", ["elsewhere/x/last.pt", "elsewhere/y/last.pt"], counts)
    write_ensemble(root / "images", members(root, "dice"), counts, [f"test/{i}" for i in range(len(counts))])
    study, compared = found(root)
    assert gains(study, compared) == []
    told = [warning for warning in study.warnings if "several runs" in warning]
    for part, reason in (
        ("best", r"'.*dice-0/best.pt' is a member, where the run was judged by last.pt; evaluate these together"),
        ("mixed", "its members are of several levels, dice, focal"),
        ("others", "'elsewhere/x/last.pt' is not among the runs that are compared"),
        ("images", "it is of other images, masks or classes than the runs"),
    ):
        (text,) = (text for text in told if f"runs/{part} is left out" in text)
        with pytest.raises(ValueError, match=reason):
            raise ValueError(text)
    assert len(told) == 4  # of members that are no runs of the study nothing is said


def test_runs_that_were_moved_and_two_evaluations(root: Path) -> None:
    write_ensemble(root / "a", [f"old/place/dice-{seed}/last.pt" for seed in SEEDS], made_counts("dice", 99))
    write_ensemble(root / "b", members(root, "dice", (0, 1)), made_counts("dice", 98))
    study, compared = found(root)
    (gain,) = gains(study, compared)
    assert (gain.folder, gain.seeds) == ("a", SEEDS)
    assert [text for text in study.warnings if text.endswith(f"runs/b is left out: there is {root / 'a'}")]


def test_a_metric_that_the_evaluation_lacks(root: Path) -> None:
    write_ensemble(root / "a", members(root, "dice"), made_counts("dice", 99))
    assert gains(*found(root, "boundary_f1")) == []
    names = [f"val/{i:03}" for i in range(12)]
    runs.write_per_image_metrics(root / "a" / runs.PER_IMAGE_METRICS, names, [("boundary_f1", "", np.full(12, 0.6))])
    (gain,) = gains(*found(root, "boundary_f1"))
    assert gain.score == pytest.approx(0.6)
