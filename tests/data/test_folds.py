"""Folds: what is dealt where, and what is refused.

python -m pytest tests/data/test_folds.py
"""

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from seg.audit.splits import splits_of
from seg.data.folds import classes_in, dealt, part
from seg.data.pairs import Pair, pair
from seg.data.source import Part, Source


def write(folder: Path, masks: dict[str, list[int]]) -> list[Pair]:
    """Pairs whose masks have these values, a column each."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for name, values in masks.items():
        mask = np.array([values] * 2, np.uint8)
        cv2.imwrite(str(folder / f"masks/{name}.png"), mask)
        cv2.imwrite(str(folder / f"images/{name}.png"), np.dstack([mask] * 3))
    return pair(folder / "images", folder / "masks")


def source(folder: Path, **options: Any) -> Source:
    return Source(Part(str(folder / "images"), str(folder / "masks")), **options)


def test_rare_classes_are_dealt_out_evenly() -> None:
    """Class 0 in all, class 1 in a quarter, class 2 in five of 100."""
    rng = np.random.default_rng(0)
    present = np.zeros((100, 4), bool)
    present[:, 0] = True
    present[rng.permutation(100)[:25], 1] = True
    present[rng.permutation(100)[:5], 2] = True
    for seed in range(20):
        numbers = np.array(dealt([str(i) for i in range(100)], present, 5, seed))
        assert [(numbers == fold).sum() for fold in range(5)] == [20] * 5
        assert [present[numbers == fold, 1].sum() for fold in range(5)] == [5] * 5
        assert [present[numbers == fold, 2].sum() for fold in range(5)] == [1] * 5


def test_scenes_stay_whole_and_no_fold_is_empty() -> None:
    rng = np.random.default_rng(1)
    for seed in range(50):
        scenes = [f"s{i}" for i in rng.integers(0, rng.integers(8, 30), 80)]
        folds = int(rng.integers(2, min(8, len(set(scenes))) + 1))
        present = rng.random((80, 6)) < rng.random(6)
        numbers = dealt(scenes, present, folds, seed)
        assert set(numbers) == set(range(folds))
        assert len({*zip(scenes, numbers, strict=True)}) == len(set(scenes))
        assert numbers == dealt(scenes, present, folds, seed)
        order = rng.permutation(80)  # does not depend on the order of the members
        again = dealt([scenes[i] for i in order], present[order], folds, seed)
        assert again == [numbers[i] for i in order]


def test_the_seed_decides_among_what_is_alike() -> None:
    same = np.ones((12, 1), bool)
    names = [str(i) for i in range(12)]
    assert dealt(names, same, 3, 0) != dealt(names, same, 3, 1)


def test_every_pair_is_validated_once(tmp_path: Path) -> None:
    pairs = write(tmp_path, {f"{scene}_{i}": [0, 1, 255] for scene in "abcdefg" for i in range(3)})
    for group, scenes in ((None, 21), ("^(.)", 7)):
        seen: Counter[str] = Counter()
        for fold in range(4):
            train, val = source(tmp_path, folds=4, fold=fold, group=group).pairs()
            assert sorted([*train, *val], key=lambda p: p.name) == pairs
            assert scenes == 21 or not {p.name[0] for p in train} & {p.name[0] for p in val}
            assert (train, val) == part(pairs, 4, fold, group=group)
            seen.update(p.name for p in val)
        assert seen == Counter(p.name for p in pairs)


def test_classes_of_masks(tmp_path: Path) -> None:
    pairs = write(tmp_path, {"a": [0, 3, 255], "b": [7, 7, 7]})
    (tmp_path / "masks/c.png").write_bytes(b"no mask")
    pairs.append(Pair("c", tmp_path / "images/a.png", tmp_path / "masks/c.png"))
    assert [np.flatnonzero(row).tolist() for row in classes_in(pairs)] == [[0, 3], [7], []]


def test_an_audit_looks_at_the_same_fold(tmp_path: Path) -> None:
    write(tmp_path, {str(i): [0, i % 3] for i in range(9)})
    wanted = source(tmp_path, folds=3, fold=1)
    train, val = (split.only for split in splits_of(wanted, image_template="{}", template="{}"))
    assert (train, val) == tuple([p.name for p in some] for some in wanted.pairs())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 0}, "data.fold: expected data.folds with it, got 0 alone; give such as data.folds=5"),
        ({"folds": 5}, "data.fold: expected 0 to 4 with data.folds=5, got none; give one, or sweep=folds for all"),
        ({"folds": 5, "fold": 5}, "data.fold: expected a whole number from 0 to 4, got 5; folds are counted from 0"),
        ({"folds": 5, "fold": -1}, "data.fold: expected a whole number from 0 to 4, got -1"),
        ({"folds": 1, "fold": 0}, "data.folds: expected a whole number of at least 2, got 1; give such as 5"),
        ({"folds": 2.5, "fold": 0}, "data.folds: expected a whole number of at least 2, got 2.5"),
        (
            {"folds": 5, "fold": 0, "val": Part("v/images", "v/masks")},
            "data.folds: expected no validation set of its own, got 'v/images'; leave out data.val, or data.folds",
        ),
        ({"folds": 5, "fold": 0, "val": Part(list="v.txt")}, "expected no validation set of its own, got 'v.txt'"),
    ],
)
def test_wrong_requests_are_refused_before_a_file_is_read(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source(Path("missing"), **options)


def test_more_folds_than_scenes(tmp_path: Path) -> None:
    write(tmp_path, {name: [0, 1] for name in ("a_0", "a_1", "b_0", "b_1")})
    with pytest.raises(
        ValueError, match="data.folds: expected at most as many folds as there are scenes, got 5 for 4 pa"
    ):
        source(tmp_path, folds=5, fold=0).pairs()
    with pytest.raises(ValueError, match="got 3 for pairs of 2 scenes; lower it, or say by data.group what a scene is"):
        source(tmp_path, folds=3, fold=0, group="^(.)").pairs()
    assert len(source(tmp_path, folds=2, fold=0, group="^(.)").pairs()[1]) == 2
