"""Runs are compared by the pixels that they were judged on, whatever the files are called and how they are stored.

python -m pytest tests/compare/test_content.py
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Script, fails, scene, train_options
from made_runs import made_counts, write_run

from seg import runs
from seg.compare.study import Study, read_study
from seg.data.checked import check
from seg.data.pairs import pair
from seg.images import Reading

NAMES = [f"val/{i:03}" for i in range(12)]


def known(sizes: tuple[int, int] = (10, 20), *, old: bool = False, **changed: tuple[str, str]) -> dict[str, tuple]:
    """Rows of pairs, all with the same pixels but for some that are named by their number."""
    sums = {name: (f"i{name}", f"m{name}") for name in [*NAMES, "train/a"]}
    sums |= {NAMES[int(number[1:])]: pixels for number, pixels in changed.items()}
    return {name: (*sizes, *(() if old else pixels)) for name, pixels in sums.items()}


def study(folder: Path, **rows: dict[str, tuple]) -> Study:
    """Three runs of each of these levels, whose rows are given by name of level."""
    for level, of_pairs in rows.items():
        for seed in range(2):
            write_run(folder / f"{level}-{seed}", level, seed, known=of_pairs)
    return read_study(folder, "loss")


def test_other_pixels_are_named(tmp_path: Path) -> None:
    noisy = {f"n{i}": (f"other{i}", f"m{NAMES[i]}") for i in range(5)}
    shifted = {"n7": (f"i{NAMES[7]}", "other")}
    found = study(tmp_path, dice=known(), focal=known(), noisy=known(**noisy), both=known(**noisy, **shifted))
    left_out = dict(found.excluded)
    images = "images (5: val/000, val/001, val/002, ...)"
    assert left_out["noisy-0"] == f"it was judged on other {images} than most runs"
    assert left_out["both-1"] == f"it was judged on other {images} and masks (1: val/007) than most runs"
    assert [level.name for level in found.levels] == ["dice", "focal"]
    assert not found.warnings


def test_the_same_pixels_compare_however_they_are_stored(tmp_path: Path) -> None:
    found = study(tmp_path, dice=known((10, 20)), focal=known((3000, 7)), old=known((3000, 7), old=True))
    assert not found.excluded
    assert not found.warnings


def test_old_runs_are_compared_by_their_sizes(tmp_path: Path) -> None:
    found = study(tmp_path, dice=known(), focal=known(old=True), tversky=known((10, 21), old=True))
    assert set(dict(found.excluded)) == {"tversky-0", "tversky-1"}
    assert "other masks (12: val/000, val/001, val/002, ...) than most runs" in dict(found.excluded)["tversky-0"]


def test_runs_that_tell_nothing_are_compared_and_named(tmp_path: Path) -> None:
    study(tmp_path, dice=known(), focal=known())
    for seed in range(2):
        (tmp_path / f"focal-{seed}" / runs.PAIRS).unlink()
    found = read_study(tmp_path)
    assert not found.excluded
    assert found.warnings[0].startswith("2 of 4 runs do not tell what their images and masks held")


def test_an_edited_table_of_pairs_is_named(tmp_path: Path) -> None:
    study(tmp_path, dice=known(), focal=known())
    path = tmp_path / "focal-0" / runs.PAIRS
    path.write_text(path.read_text().replace("val/003,10,20,ival/003,mval/003", "val/003,10"))
    reason = dict(read_study(tmp_path).excluded)["focal-0"]
    assert reason == "expected sizes and checksums of each pair in pairs.csv, got others; it was edited"


def test_masks_with_other_numbers_of_pixels_are_named(tmp_path: Path) -> None:
    """By what every version wrote."""
    study(tmp_path, dice=known(old=True), focal=known(old=True))
    counts = made_counts("tversky", 0)
    counts[4, :, 2] += 7
    write_run(tmp_path / "tversky-0", "tversky", 0, counts=counts, known=known(old=True))
    reason = dict(read_study(tmp_path).excluded)["tversky-0"]
    assert reason == "it was judged on the same images with other masks (1: val/004) than most runs"


def test_runs_trained_on_other_pixels_are_left_out(tmp_path: Path) -> None:
    other = known()
    other["train/a"] = (10, 20, "noise", "mtrain/a")
    found = study(tmp_path, dice=known(), focal=known(), tversky=other)
    assert dict(found.excluded)["tversky-0"] == "it was trained on other images (1: train/a) than most runs"


FORMATS = {
    "png": [],
    "fast.png": [cv2.IMWRITE_PNG_COMPRESSION, 0],
    "bmp": [],
    "tif": [],
    "tiff": [cv2.IMWRITE_TIFF_COMPRESSION, 1],
}


def checksums(folder: Path, ending: str, image: np.ndarray, mask: np.ndarray, reading: Reading) -> tuple[str, str]:
    place = folder / ending
    for kind in ("images", "masks"):
        (place / kind).mkdir(parents=True)
    cv2.imwrite(str(place / f"images/a.{ending.rpartition('.')[2]}"), image, FORMATS.get(ending, []))
    cv2.imwrite(str(place / "masks/a.png"), mask, FORMATS.get(ending, []) if "png" in ending else [])
    (found,) = check(pair(place / "images", place / "masks"), 3, reading=reading).checksums
    return found


@pytest.mark.parametrize("kind", ["rgb", "gray", "bands"])
def test_a_checksum_is_of_the_pixels(tmp_path: Path, kind: str) -> None:
    image, mask = scene(0)
    image = image[..., 0] if kind == "gray" else image
    reading = Reading.of([0, 2], None) if kind == "bands" else Reading.of(None, None)
    found = {checksums(tmp_path, ending, image, mask, reading) for ending in FORMATS}
    assert len(found) == 1
    noisy, shifted = image.copy(), np.roll(mask, 1, 1)
    noisy.flat[5] ^= 1
    one = checksums(tmp_path / "noisy", "png", noisy, mask, reading)
    two = checksums(tmp_path / "shifted", "png", image, shifted, reading)
    ((of_image, of_mask),) = found
    assert one[0] != of_image
    assert one[1] == of_mask
    assert two[0] == of_image
    assert two[1] != of_mask


@pytest.mark.slow
def test_training_and_evaluation_write_them_and_a_changed_set_is_refused(
    tmp_path: Path, data: Path, script: Script
) -> None:
    for part in ("train", "val"):
        for path in (data / part / "images").iterdir():  # of one size, whatever is in them
            cv2.imwrite(str(path.with_suffix(".bmp")), cv2.imread(str(path)))
            path.unlink()
    options = [*train_options(data), "name=a", "logger=none"]
    assert script("seg-train", *options, "fit.epochs=1").returncode == 0
    rows = runs.read_pairs(tmp_path / "runs/a/pairs.csv")
    assert {len(row) for row in rows} == {6}
    folders = [f"images={data}/val/images", f"masks={data}/val/masks"]
    assert script("seg-evaluate", "checkpoint=runs/a/last.pt", *folders, "destination=judged").returncode == 0
    judged = runs.read_pairs(tmp_path / "judged/pairs.csv")
    assert judged[: len(rows)] == rows
    assert [row[1:] for row in judged[len(rows) :]] == [row[1:] for row in rows if row[0] == "val"]
    assert {row[0] for row in judged[len(rows) :]} == {"test"}
    path = data / "val/images/s100.bmp"
    image = cv2.imread(str(path))
    cv2.imwrite(str(path), image // 2)
    result = script("seg-train", *options, "fit.epochs=2", "extend=true")
    fails(result, 2, "data: expected the 8 pairs that 'runs/a' was begun with, got 1 changed, such as 's100' of val")
    cv2.imwrite(str(path), image)
    assert script("seg-train", *options, "fit.epochs=2", "extend=true").returncode == 0


def test_a_run_of_an_older_version_goes_on(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), "name=a", "logger=none"]
    assert script("seg-train", *options, "fit.epochs=1").returncode == 0
    path = tmp_path / "runs/a/pairs.csv"
    path.write_text("".join(",".join(line.split(",")[:4]) + "\n" for line in path.read_text().splitlines()))
    assert script("seg-train", *options, "fit.epochs=2", "extend=true").returncode == 0
    assert json.loads((tmp_path / "runs/a/done.json").read_text())["epochs"] == 2
    assert {len(row) for row in runs.read_pairs(path)} == {6}
