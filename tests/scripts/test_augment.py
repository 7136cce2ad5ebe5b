"""Augmented copies on disk.

python -m pytest tests/scripts/test_augment.py
"""

import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import write_pairs

from seg.data.pairs import pair
from seg.labels import LabelMap

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "augment.py"


augment = runpy.run_path(str(SCRIPT))["augment"]
OPTIONS = {"recipe": "standard", "copies": 1, "seed": 0, "workers": 0, "set": []}


def enlarge(folder: Path, target: str, **changes: Any) -> int:
    return int(augment(folder / "images", folder / "masks", folder / target, **{**OPTIONS, **changes}))


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "set", 3)
    return tmp_path / "set"


def test_copies_are_traceable_seeded_and_resumed(folder: Path) -> None:
    command = [sys.executable, str(SCRIPT), "images", "masks", "out"]
    options = ["--recipe", "mosaic", "--copies", "2", "--seed", "3", "--workers", "2"]
    done = subprocess.run(command + options, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "6 copies written\n")
    out = folder / "out"
    pairs = pair(out / "images", out / "masks")
    assert [p.name for p in pairs] == sorted(
        [f"s{i}" + end for i in range(3) for end in ("", "__mosaic-1", "__mosaic-2")]
    )
    assert LabelMap.load(out / "masks" / "labels.yaml") == LabelMap.load(folder / "masks" / "labels.yaml")
    assert (out / "images" / "s0.png").read_bytes() == (folder / "images" / "s0.png").read_bytes()
    for p in pairs:
        image, mask = cv2.imread(str(p.image)), cv2.imread(str(p.mask), cv2.IMREAD_UNCHANGED)
        assert image.shape[:2] == mask.shape == (64, 96)
        assert set(np.unique(mask).tolist()) <= {0, 1, 2, 255}
    with (out / "augmented.csv").open() as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert len(rows) == 9
    row = rows["s1__mosaic-2.png"]
    assert [row[key] for key in ("source_image", "recipe", "seed", "copy", "index")] == [
        str(folder / "images/s1.png"),
        "mosaic",
        "3",
        "2",
        "1",
    ]
    assert json.loads((out / "recipe.json").read_text())["transform"]["mosaic"]["p"] == 0.5

    before = content(out)
    for name in ("masks/s2__mosaic-1.png", "images/s0__mosaic-2.png"):  # as if it had been stopped
        (out / name).unlink()
    assert enlarge(folder, "out", recipe="mosaic", copies=2, seed=3) == 2
    assert content(out) == before
    with pytest.raises(ValueError, match="out' was made with another seed: 3, not 4; give another destination"):
        enlarge(folder, "out", recipe="mosaic", copies=2, seed=4)


def test_more_copies_leave_the_earlier_ones(folder: Path) -> None:
    for copies in (1, 2):
        assert enlarge(folder, "out", copies=copies, set=["crop.size=[32,64]"]) == 3
    copies = [cv2.imread(str(folder / "out" / "images" / f"s1__standard-{n}.png")) for n in (1, 2)]
    assert copies[0].shape == copies[1].shape == (32, 64, 3)
    assert not np.array_equal(*copies)


def test_what_lies_there_stays_traceable(folder: Path) -> None:
    enlarge(folder, "out", copies=2)
    with pytest.raises(ValueError, match="out' holds 2 copies of each image; ask for at least as many"):
        enlarge(folder, "out", copies=1)
    mask = cv2.imread(str(folder / "masks/s1.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(folder / "masks/s1.png"), np.roll(mask, 9, 1))
    with pytest.raises(ValueError, match="made of other images or masks: 1 differ, the first is 's1'"):
        enlarge(folder, "out", copies=2)


def test_what_ramps_is_at_its_end(folder: Path) -> None:
    enlarge(folder, "out", recipe="gridmask", set=["gridmask.p=1.0", "gridmask.label=ignore", "crop.scale=[1.0,1.0]"])
    for i in range(3):
        mask = cv2.imread(str(folder / "out" / "masks" / f"s{i}__gridmask-1.png"), cv2.IMREAD_UNCHANGED)
        assert (mask[3:] == 255).any()


def test_wrong_requests(folder: Path) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "x").touch()
    for changes, target, reason in (
        ({}, "full", "full' is not empty and has no recipe.json; give a new folder"),
        ({"copies": 0}, "out", "expected copies of at least 1, seed and workers of at least 0, got 0, 0 and 0"),
        ({"set": ["crop.sice=3"]}, "out", "crop.sice"),
        ({"set": ["crop.size=[5,5]"]}, "out", "size: expected .* multiples of 32"),
    ):
        with pytest.raises(ValueError, match=reason):
            enlarge(folder, target, **changes)
    for kind in ("images", "masks"):
        (folder / kind / "s0.png").rename(folder / kind / "s1__standard-1.png")
    with pytest.raises(ValueError, match="'s1__standard-1' is among the images already"):
        enlarge(folder, "out")
