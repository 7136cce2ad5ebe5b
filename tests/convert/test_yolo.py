"""YOLO's segments as masks.

python -m pytest tests/convert/test_yolo.py
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script, fails
from PIL import Image

from seg.convert import convert_folder
from seg.labels import Label, LabelMap

LABELS = LabelMap([Label("background", ((0, 0, 0),)), Label("car", ((1, 1, 1),)), Label("tree", ((2, 2, 2),))])
LEFT = "0.1 0.1 0.3 0.1 0.3 0.8 0.1 0.8"  # of 8 x 4 pixels: columns 0 to 2, rows 0 to 3


def made(folder: Path, text: str, *, name: str = "a", size: tuple[int, int] = (4, 8)) -> None:
    for file in (folder / f"images/{name}.jpg", folder / f"labels/{name}.txt"):
        file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"images/{name}.jpg"), np.zeros((*size, 3), np.uint8))
    (folder / f"labels/{name}.txt").write_text(text)


def convert(folder: Path, **options: Any) -> Any:
    options = {"sizes_of": folder / "images"} | options
    return convert_folder(folder / "labels", folder / "out", LABELS, read="yolo", **options)


def mask(folder: Path, name: str = "a") -> Any:
    return cv2.imread(str(folder / f"out/{name}.png"), cv2.IMREAD_UNCHANGED).tolist()


def test_numbers_are_those_of_the_label_map_or_of_the_file_of_names(tmp_path: Path) -> None:
    made(tmp_path, f"1 {LEFT}\n\n2 0.9 0.0 0.95 0.0 0.95 0.1\n")
    made(tmp_path, "", name="sub/b")
    summary = convert(tmp_path, instances=tmp_path / "numbers")
    assert (summary.converted, summary.failed) == (2, 0)
    assert "1 images have no annotations, the first 'sub/b.txt'" in summary.warnings[0]
    assert mask(tmp_path) == [[1, 1, 1, 0, 0, 0, 0, 2], *[[1, 1, 1, 0, 0, 0, 0, 0]] * 3]
    assert mask(tmp_path, "sub/b") == [[0] * 8] * 4
    numbers = cv2.imread(str(tmp_path / "numbers/a.png"), cv2.IMREAD_UNCHANGED)
    assert numbers[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 2]
    for names in ("names: [tree, background, car]", "names: {1: background, 0: tree, 2: car}"):
        (tmp_path / "data.yaml").write_text(names)
        again = convert(tmp_path)
        assert again.failed == 0
        assert mask(tmp_path)[0] == [0, 0, 0, 0, 0, 0, 0, 1]


def test_an_image_of_another_size_is_drawn_anew(tmp_path: Path) -> None:
    made(tmp_path, f"1 {LEFT}")
    convert(tmp_path)
    assert convert(tmp_path).skipped == 1
    made(tmp_path, f"1 {LEFT}", size=(2, 4))
    assert convert(tmp_path).converted == 1
    assert mask(tmp_path) == [[1, 1, 0, 0], [1, 1, 0, 0]]
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.new("RGB", (4, 8)).save(tmp_path / "images/a.jpg", exif=exif)
    assert convert(tmp_path).converted == 1
    assert np.shape(mask(tmp_path)) == (4, 8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3 0 0 1 0 1 1", "a.txt: line 1: expected a class number below 3, got 3"),
        ("0 0 0 1 0 1 1\n-1 0 0 1 0 1 1", "line 2: expected a class number below 3, got -1"),
        ("car 0 0 1 0 1 1", "expected a class number and corners, got 'car 0 0 1 0 1 1'"),
        ("1 0.5 0.5 0.1 0.1", "expected a segment of at least 3 corners, got a box; export segments"),
        ("1 0 0 1 0 1 1 0.9", "expected at least 3 corners x y, got 7 numbers; export without confidence"),
        ("1 0 0 100 0 100 50", "expected corners as shares of the size from 0 to 1, got others"),
        ("1 0 0 nan 0 1 1", "expected corners as shares of the size from 0 to 1, got others"),
    ],
)
def test_odd_lines_are_named(text: str, reason: str, tmp_path: Path) -> None:
    made(tmp_path, text)
    summary = convert(tmp_path)
    ((file, found),) = summary.failures
    with pytest.raises(ValueError, match=reason):
        raise ValueError(f"{file}: {found}")
    assert not list((tmp_path / "out").rglob("*.png"))


def test_images_that_are_missing_or_no_images(tmp_path: Path) -> None:
    made(tmp_path, "")
    made(tmp_path, "", name="b")
    (tmp_path / "labels/c.txt").write_text("")
    (tmp_path / "images/b.jpg").write_text("no image")
    summary = convert(tmp_path)
    assert summary.converted == 1
    reasons = dict(summary.failures)
    assert "expected one whose size can be read, got another file" in reasons["b.txt"]
    assert "expected an image 'c' in images, to know its size, got none; add it" in reasons["c.txt"]
    with pytest.raises(ValueError, match="read=yolo: expected images, of whose sizes corners are shares, got none"):
        convert(tmp_path, sizes_of=None)
    (tmp_path / "data.yaml").write_text("names: {1: a}")
    with pytest.raises(ValueError, match="data.yaml': expected names: of the classes, numbered from 0, got others"):
        convert(tmp_path)


def test_the_command(script: Script, tmp_path: Path) -> None:
    """With and without tiles of the images."""
    made(tmp_path, f"1 {LEFT}")
    LABELS.save(tmp_path / "labels.yaml")
    words = {"source": "labels", "destination": "out", "labels": "labels.yaml", "read": "yolo"}
    fails(script("seg-preprocess", **words), 2, "read=yolo: expected images, .* got none; give images=DIR")
    assert script("seg-preprocess", **words, images="images").returncode == 0
    assert mask(tmp_path)[3] == [1, 1, 1, 0, 0, 0, 0, 0]
    tiles = {"images": "images", "images_destination": "cut", "tile": 4, "destination": "tiles"}
    assert script("seg-preprocess", **words | tiles).returncode == 0
    assert len(list((tmp_path / "cut/a").iterdir())) == len(list((tmp_path / "tiles/a").iterdir())) == 2
    words["read"] = "color"
    fails(script("seg-preprocess", **words, images="images"), 2, "expected images and images_destination together")
