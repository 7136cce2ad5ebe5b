"""Levels that differ in what they were trained on: before and after labels were corrected, or added.

python -m pytest tests/compare/test_trained.py
"""

from pathlib import Path
from typing import Any

import pytest
from conftest import Script
from made_runs import made_counts, write_run

from seg import runs
from seg.compare.study import Study, read_study

VAL = [f"val/{i:03}" for i in range(12)]


def write(
    folder: Path,
    level: str,
    *,
    better: float = 0.0,
    masks: str = "right",
    more: tuple[str, ...] = (),
    judged: dict[int, str] | None = None,
    data: dict[str, Any] | None = None,
    steps: int | None = None,
    seeds: int = 3,
) -> None:
    """Runs on six training images; the masks of the first two, and some that they are judged by, as told."""
    names = [f"t{i}" for i in range(6)] + list(more)
    known = {name: (10, 20, f"i{name}", masks if name in ("t0", "t1") else f"m{name}") for name in names}
    known |= {name: (10, 20, f"i{name}", (judged or {}).get(i, f"m{name}")) for i, name in enumerate(VAL)}
    train = {"images": "images", "masks": f"masks/{level}", **(data or {})}
    for seed in range(seeds):
        path = folder / f"{level}-{seed}"
        config = {"data": {"train": train}, "fit": {"epochs": 2, "steps": steps}}
        write_run(path, "dice", seed, counts=made_counts(level, seed, better=better), config=config, known=known)
        rows = runs.read_pairs(path / runs.PAIRS)
        listed = [("train", name, *map(str, known[name])) for name in names] + [row for row in rows if row[0] == "val"]
        text = "".join(",".join(row) + "\n" for row in listed)
        (path / runs.PAIRS).write_text((path / runs.PAIRS).read_text().splitlines()[0] + "\n" + text)


def names(study: Study) -> list[str]:
    return [level.name for level in study.levels]


def test_training_data_are_the_axis_where_nothing_else_varies(tmp_path: Path) -> None:
    write(tmp_path, "noisy", masks="wrong")
    write(tmp_path, "repaired")
    study = read_study(tmp_path)
    assert study.axis == "data.train.masks"
    assert names(study) == ["masks/noisy", "masks/repaired"]
    assert not study.excluded
    assert study.warnings == (
        "against masks/noisy, with 6 training images, masks/repaired has other masks (2: t0, t1)",
    )


def test_folders_of_other_names_with_the_same_data_are_no_axis(tmp_path: Path) -> None:
    """As before: seeds of one level that were trained from copies of the data."""
    write(tmp_path, "one", seeds=1)
    write(tmp_path, "two", seeds=2)
    study = read_study(tmp_path)
    assert study.axis is None
    assert len(study.levels) == 1
    found = read_study(tmp_path, "data.train.masks")
    assert "masks/two was trained on the same images and masks as masks/one" in found.warnings[0]


def test_more_images_are_counted_and_their_steps(tmp_path: Path) -> None:
    write(tmp_path, "few")
    write(tmp_path, "many", more=("t6", "t7", "t8"))
    told = read_study(tmp_path, "data.train.masks").warnings
    assert told[0] == "against masks/few, with 6 training images, masks/many has images more (3: t6, t7, t8)"
    assert told[1].startswith("in as many epochs masks/many had 1.50 times as many steps as masks/few; fit.steps=N")
    for level in ("few", "many"):
        write(tmp_path / "steps", level, more=("t6",) if level == "many" else (), steps=100)
    assert len(read_study(tmp_path / "steps", "data.train.masks").warnings) == 1


def test_a_list_names_the_levels_too(tmp_path: Path) -> None:
    for level, more in (("a", ()), ("b", ("t6",))):
        write(tmp_path, level, more=more, data={"masks": "masks", "list": f"{level}.txt"})
    assert names(read_study(tmp_path)) == ["a.txt", "b.txt"]


def test_masks_that_differ_within_a_level_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "noisy", masks="wrong")
    write(tmp_path, "repaired")
    write(tmp_path / "again", "repaired", masks="half right", seeds=1)
    left = dict(read_study(tmp_path).excluded)
    assert left == {"again/repaired-0": "it was trained on other masks (2: t0, t1) than most runs"}


def test_other_masks_of_validation_say_what_compares(tmp_path: Path) -> None:
    write(tmp_path, "noisy", masks="wrong")
    write(tmp_path, "repaired", judged={3: "new", 5: "new"})
    study = read_study(tmp_path)
    assert names(study) == ["masks/noisy"]
    assert set(dict(study.excluded).values()) == {"it was judged on other masks (2: val/003, val/005) than most runs"}
    (told,) = study.warnings
    assert told == (
        "masks/repaired was judged by other masks than masks/noisy (2: val/003, val/005): scores on these do not "
        "compare; they do on the other 10. Judge all runs by the same masks, by seg-evaluate with last.pt of each, and "
        "compare these evaluations"
    )


def test_no_mask_of_validation_is_the_same(tmp_path: Path) -> None:
    write(tmp_path, "noisy", masks="wrong")
    write(tmp_path, "repaired", judged=dict.fromkeys(range(12), "new"))
    assert "there is no image on which they do" in read_study(tmp_path).warnings[0]


def test_an_image_that_is_judged_and_trained_on_is_told(tmp_path: Path) -> None:
    """By its pixels: it may have another name."""
    write(tmp_path, "few")
    write(tmp_path, "many", more=("x",))
    for path in tmp_path.glob(f"many-*/{runs.PAIRS}"):
        path.write_text(path.read_text().replace(",ix,", f",i{VAL[4]},"))
    told = read_study(tmp_path).warnings[-1]
    assert told.startswith("masks/many was trained on 1 of the 12 images that it is judged on (1: val/004)")


def test_folds_are_not_judged_on_what_they_were_trained_on(tmp_path: Path) -> None:
    from dataclasses import replace

    from seg.compare.trained import changes

    write(tmp_path, "few", seeds=1)
    write(tmp_path, "many", more=("x",), seeds=1)
    for path in tmp_path.glob(f"many-*/{runs.PAIRS}"):
        path.write_text(path.read_text().replace(",ix,", f",i{VAL[4]},"))
    levels = {level.name: level.entries for level in read_study(tmp_path).levels}
    alone = list(changes(levels, "data.train.masks"))
    folds = {name: [replace(entry, folds=3) for entry in entries] for name, entries in levels.items()}
    assert len(alone) == len(list(changes(folds, "data.train.masks"))) + 1


@pytest.mark.parametrize("better", [0.0, 0.15])
def test_the_verdict(tmp_path: Path, script: Script, better: float) -> None:
    write(tmp_path / "runs", "noisy", masks="wrong", seeds=5)
    write(tmp_path / "runs", "repaired", better=better, seeds=5)
    result = script("seg-compare", runs="runs", destination="report")
    assert result.returncode == 0, result.stderr
    assert ("'masks/repaired' beats 'masks/noisy' by" in result.stdout) == (better > 0)
    assert "masks/repaired has other masks (2: t0, t1)" in result.stdout + result.stderr
    assert "masks/repaired has other masks (2: t0, t1)" in (tmp_path / "report/report.md").read_text()
