"""Folds of a set are compared as one run, image by image and seed by seed.

python -m pytest tests/compare/test_folds.py
"""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from made_runs import CLASSES, made_counts, write_run

from seg import runs
from seg.compare.study import read_study
from seg.compare.write import compare_study, write_comparison

FOLDS = 3
SETS = [range(fold, 12, FOLDS) for fold in range(FOLDS)]


def write_fold(root: Path, level: str, seed: int, fold: int, better: float = 0.0, images: Sequence[int] = ()) -> Path:
    """A run that was validated on every third of twelve images."""
    images = images or SETS[fold]
    data = {"folds": FOLDS, "fold": fold, "train": {"images": "/all/images"}}
    counts = made_counts(level, seed, better=better)[list(images)]
    folder = write_run(root / f"{level}-{seed}-{fold}", level, seed, counts=counts, config={"data": data})
    names = [f"val/{i:03}" for i in images]
    runs.write_per_image(folder / runs.PER_IMAGE, names, CLASSES, counts)
    table = (folder / runs.PER_IMAGE_METRICS).read_text().splitlines()
    renamed = {f"val/{position:03}": name for position, name in enumerate(names)}
    rows = [row.split(",", 1) for row in table[1:]]
    (folder / runs.PER_IMAGE_METRICS).write_text("\n".join([table[0], *(f"{renamed[n]},{x}" for n, x in rows)]) + "\n")
    others = [f"val/{i:03}" for i in range(12) if i not in images]
    pairs = [("part", "name", "image_bytes", "mask_bytes"), *(("train", n, 10, 20) for n in others)]
    with (folder / runs.PAIRS).open("w", newline="") as file:
        csv.writer(file).writerows([*pairs, *(("val", n, 10, 20) for n in names)])
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for level, better in (("dice", 0.1), ("focal", 0.0)):
        for seed in (0, 1, 2):
            for fold in range(FOLDS):
                write_fold(tmp_path / "runs", level, seed, fold, better)
    return tmp_path / "runs"


def test_folds_are_compared_as_one_run_on_all_images(root: Path, tmp_path: Path) -> None:
    """What comes out is what runs that were judged on all twelve images at once would give."""
    study = read_study(root)
    assert study.axis == "loss"
    assert [level.seeds for level in study.levels] == [(0, 1, 2)] * 2
    assert not study.excluded
    for level, better in (("dice", 0.1), ("focal", 0.0)):
        for seed in (0, 1, 2):
            write_run(tmp_path / f"whole/{level}-{seed}", level, seed, better=better)
    whole = read_study(tmp_path / "whole")
    for ours, theirs in zip(study.levels, whole.levels, strict=True):
        for one, other in zip(ours.entries, theirs.entries, strict=True):
            assert one.images == other.images
            np.testing.assert_array_equal(one.counts, other.counts)
            assert one.values.keys() == other.values.keys()
            np.testing.assert_allclose(one.values["ece"], other.values["ece"])
            assert one.scores["miou"] == other.scores["miou"]
            assert one.scores["boundary_f1"] == pytest.approx(other.scores["boundary_f1"])
    options = {"group": None, "rope": None, "draws": 100, "seed": 0}
    pair, same = (compare_study(one, "miou", **options).pairs[0] for one in (study, whole))  # type: ignore[arg-type]
    assert (pair.difference, pair.wide, pair.verdict) == (same.difference, same.wide, same.verdict)
    (told,) = (warning for warning in study.warnings if "folds" in warning)
    assert "the 3 folds of each level and seed are put together" in told
    assert (
        "any two training sets share 50 % of their images (Nadeau and Bengio 2003; Bengio and Grandvalet 2004)" in told
    )
    write_comparison(tmp_path / "report", study, compare_study(study, "miou", **options))  # type: ignore[arg-type]
    assert "Grandvalet" in (tmp_path / "report/report.md").read_text()
    with (tmp_path / "report/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["run"], rows[0]["images"]) == ("dice-0-0 and 2 more folds", "12")


def test_a_fold_that_is_missing_leaves_out_its_seed(root: Path) -> None:
    (root / "dice-1-2" / runs.DONE).unlink()
    study = read_study(root)
    assert [level.seeds for level in study.levels] == [(0, 2), (0, 1, 2)]
    reasons = dict(study.excluded)
    assert "not complete" in reasons["dice-1-2"]
    for name in ("dice-1-0", "dice-1-1"):
        assert reasons[name] == "fold 2 of 3 of seed 1 is missing: folds are compared together"


def test_folds_that_overlap_or_are_there_twice(root: Path) -> None:
    shutil.rmtree(root / "focal-1-2")
    write_fold(root, "focal", 1, 2, images=[0, 3])
    write_fold(root / "again", "dice", 0, 1)
    reasons = dict(read_study(root).excluded)
    assert {reasons[f"focal-1-{fold}"] for fold in range(FOLDS)} == {"an image is in two of its folds"}
    assert list(reasons.values()).count(f"the same fold (1) and seed (0) as '{root / 'again/dice-0-1'}'") == 1


def test_folds_on_a_test_set_are_runs_of_their_own(root: Path) -> None:
    """There every fold was judged on the same images: they are no parts of one thing."""
    for folder in sorted(root.iterdir()):
        level, seed, _ = folder.name.split("-")
        write_run(folder / runs.TEST, level, int(seed), config=runs.read(folder).config)
        (folder / runs.TEST / runs.LAST).unlink()
    with pytest.raises(ValueError, match=r"axis: expected runs that differ in one thing, got 2 .*data.fold: 0, 1, 2"):
        read_study(root)


def test_the_calibration_error_is_that_of_all_pixels(root: Path) -> None:
    """Of folds that err to either side the means would say more than there is."""
    tables = [
        {"pixels": [100, 0, 300], "confidence": [0.2, None, 0.9], "accuracy": [0.4, None, 0.8]},
        {"pixels": [100, 50, 100], "confidence": [0.4, 0.5, 0.9], "accuracy": [0.2, 0.5, 1.0]},
        {"pixels": [0, 50, 100], "confidence": [None, 0.6, 0.7], "accuracy": [None, 0.5, 0.8]},
    ]
    for number, table in enumerate(tables):
        data = {"ece": 0.3, "reliability": table, "checkpoint": "last.pt"}
        for level, seed in (("dice", 0), ("focal", 0)):
            (root / f"{level}-{seed}-{number}" / runs.EVALUATION).write_text(json.dumps(data))
    entries = {entry.folder.name: entry for level in read_study(root).levels for entry in level.entries}
    ours = entries["dice-0-0"]
    expected = (abs(60 - 60) + abs(55 - 50) + abs(430 - 420)) / 800
    assert ours.scores["ece"] == pytest.approx(expected)
    assert ours.judged is not None
    assert ours.judged["reliability"]["pixels"] == [200, 100, 500]
    assert ours.judged["reliability"]["confidence"] == pytest.approx([0.3, 0.55, 0.86])
    assert entries["dice-1-0"].judged is not None
    assert "reliability" not in entries["dice-1-0"].judged
