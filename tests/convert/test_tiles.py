"""Masks resized and cut into tiles, and their images with them.

python -m pytest tests/convert/test_tiles.py
"""

import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seg.convert import convert_folder
from seg.convert.summary import Summary
from seg.convert.tiles import Cut, ImageTiles
from seg.labels import Label, LabelMap

LABELS = LabelMap([Label("a", ((10, 0, 0),)), Label("b", ((0, 20, 0),)), Label("void", ((0, 0, 0),), ignore=True)])
COLORS = np.array([color for color, _ in LABELS.colors], np.uint8)
VALUES = np.array([value for _, value in LABELS.colors], np.uint8)


def save(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])


def scene(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red channel is its mask: whatever moves one without the other shows."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 3, (height, width))
    image = np.dstack([VALUES[index], *rng.integers(0, 256, (2, height, width), np.uint8)])
    return image, index


@pytest.fixture
def pairs(tmp_path: Path) -> Callable[..., None]:
    def write(name: str, height: int, width: int, seed: int = 0, suffix: str = ".png") -> None:
        image, index = scene(seed, height, width)
        save(tmp_path / "images" / f"{name}.png", image)
        save(tmp_path / "labels" / f"{name}{suffix}", COLORS[index])

    return write


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image[..., ::-1] if image.ndim == 3 else image


def run(folder: Path, cut: Cut, templates: dict[str, str] | None = None, **options: Any) -> Summary:
    images = ImageTiles(cut, folder / "images", folder / "tiles", **(templates or {}))
    return convert_folder(folder / "labels", folder / "masks", LABELS, cut=cut, images=images, **options)


def outcome(summary: Summary) -> tuple[int, int, int]:
    return summary.converted, summary.skipped, summary.failed


@given(
    length=st.integers(1, 300),
    tile=st.integers(1, 120),
    overlap=st.integers(0, 119),
)
def test_tiles_cover_every_pixel(length: int, tile: int, overlap: int) -> None:
    overlap = min(overlap, tile - 1)
    starts = [y for y, _ in Cut(tile=tile, overlap=overlap).places(length, 1)]
    covered = np.zeros(length, int)
    for start in starts:
        assert start >= 0
        assert start + min(tile, length) <= length  # all of full size
        covered[start : start + tile] += 1
    assert covered.min() >= 1
    assert starts == sorted(set(starts))
    assert len(starts) == max(-(-(length - overlap) // (tile - overlap)), 1)  # no more than it takes
    for one, other in pairwise(starts):
        assert one + tile - other >= overlap


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_image_and_mask_stay_together(tmp_path: Path, pairs: Callable[..., None], suffix: str) -> None:
    pairs("one/field", 150, 97, 1, suffix)
    pairs("small", 20, 33, 2, suffix)
    cut = Cut(tile=64, overlap=10)
    summary = run(tmp_path, cut)
    assert outcome(summary) == (2, 0, 0)
    masks = sorted(path.relative_to(tmp_path / "masks") for path in (tmp_path / "masks").rglob("*.png"))
    images = sorted(path.relative_to(tmp_path / "tiles") for path in (tmp_path / "tiles").rglob("*.png"))
    assert masks == images
    assert Path("one/field/field_00054_00033.png") in masks
    assert [p.as_posix() for p in masks if p.parts[0] == "small"] == ["small/small_00000_00000.png"]
    whole, index = scene(1, 150, 97)
    for path in masks[:-1]:
        y, x = map(int, path.stem.split("_")[1:])
        mask, image = read(tmp_path / "masks" / path), read(tmp_path / "tiles" / path)
        assert mask.shape == (64, 64)
        np.testing.assert_array_equal(image[..., 0], mask)
        np.testing.assert_array_equal(image, whole[y : y + 64, x : x + 64])
        np.testing.assert_array_equal(mask, VALUES[index[y : y + 64, x : x + 64]])
    # each pixel is counted once, however many tiles show it
    assert sum(summary.pixels.values()) + summary.ignored == 150 * 97 + 20 * 33
    assert json.loads((tmp_path / "masks" / "cut.json").read_text()) == {"size": None, "tile": 64, "overlap": 10}


@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
@settings(deadline=None)
def test_masks_are_resized_by_the_nearest_pixel(shape: tuple[int, int], size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    made = Cut(size=size).resized(mask, nearest=True)
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(size, shape, strict=True)
    )
    exact = all((((2 * np.arange(new) + 1) * old) % (2 * new)).all() for new, old in zip(size, shape, strict=True))
    if exact:  # else a centre lies on the border of two pixels, which are equally near
        np.testing.assert_array_equal(made, mask[np.ix_(rows, columns)])
    assert made.shape == size
    assert set(np.unique(made)) <= set(np.unique(mask))


def test_resized_then_cut(tmp_path: Path, pairs: Callable[..., None]) -> None:
    pairs("field", 100, 80)
    summary = run(tmp_path, Cut(size=(50, 40), tile=32))
    assert outcome(summary) == (1, 0, 0)
    assert sum(summary.pixels.values()) + summary.ignored == 50 * 40
    tiles = sorted((tmp_path / "masks" / "field").glob("*"))
    assert [path.name for path in tiles] == [f"field_{y:05}_{x:05}.png" for y in (0, 18) for x in (0, 8)]
    image = Image.open(tmp_path / "images" / "field.png").resize((40, 50), Image.Resampling.BOX)
    shown = read(tmp_path / "tiles" / "field" / "field_00018_00008.png").astype(int)
    assert abs(shown - np.asarray(image)[18:, 8:].astype(int)).max() <= 1


def test_size_alone_keeps_the_names(tmp_path: Path, pairs: Callable[..., None]) -> None:
    pairs("a/field", 10, 8)
    cut = Cut(size=(30, 16))
    assert outcome(run(tmp_path, cut)) == (1, 0, 0)
    assert read(tmp_path / "masks" / "a" / "field.png").shape == (30, 16)
    assert read(tmp_path / "tiles" / "a" / "field.png").shape == (30, 16, 3)
    assert outcome(run(tmp_path, cut)) == (0, 1, 0)


def test_templates(tmp_path: Path, pairs: Callable[..., None]) -> None:
    for name in ("x", "y", "z"):
        pairs(name, 8, 8)
        (tmp_path / "images" / f"{name}.png").rename(tmp_path / "images" / f"{name}_RGB.png")
        (tmp_path / "labels" / f"{name}.png").rename(tmp_path / "labels" / f"{name}_label.png")
    (tmp_path / "labels" / "z_label.png").rename(tmp_path / "labels" / "z_other.png")
    templates = {"image_template": "{}_RGB.png", "template": "{}_label.png"}
    summary = run(tmp_path, Cut(tile=8), templates)
    assert outcome(summary) == (2, 0, 0)
    assert summary.warnings == (
        "1 images have no label and were left out, the first 'z'",
        "1 labels do not fit template={}_label.png and were left out, the first 'z_other.png'",
    )
    names = {f"{name}/{name}_00000_00000.png" for name in "xy"}
    for folder in ("masks", "tiles"):
        assert {p.relative_to(tmp_path / folder).as_posix() for p in (tmp_path / folder).rglob("*.png")} == names


def test_only_what_changed_is_cut_again(tmp_path: Path, pairs: Callable[..., None]) -> None:
    for seed, name in enumerate(("a", "b", "c", "d")):
        pairs(name, 40, 40, seed)
    cut = Cut(tile=32)
    assert outcome(run(tmp_path, cut)) == (4, 0, 0)
    assert outcome(run(tmp_path, cut)) == (0, 4, 0)
    pairs("a", 32, 32, 9)  # both are smaller now: one tile instead of four
    os.utime(tmp_path / "images" / "b.png")
    (tmp_path / "tiles" / "c" / "c_00008_00008.png").unlink()
    assert outcome(run(tmp_path, cut)) == (3, 1, 0)
    assert [path.name for path in (tmp_path / "masks" / "a").iterdir()] == ["a_00000_00000.png"]
    assert [path.name for path in (tmp_path / "tiles" / "a").iterdir()] == ["a_00000_00000.png"]
    assert (tmp_path / "tiles" / "c" / "c_00008_00008.png").exists()
    assert outcome(run(tmp_path, cut)) == (0, 4, 0)
    for other in (Cut(tile=16), None):
        with pytest.raises(
            ValueError, match=r"got .* with masks made with size=None, tile=32, overlap=0; give another"
        ):
            convert_folder(tmp_path / "labels", tmp_path / "masks", LABELS, cut=other)
    convert_folder(tmp_path / "labels", tmp_path / "whole", LABELS)
    with pytest.raises(ValueError, match="got .* with masks made with tile=None, size=None; give another folder"):
        convert_folder(tmp_path / "labels", tmp_path / "whole", LABELS, cut=cut)


def test_what_fails_leaves_no_tile(tmp_path: Path, pairs: Callable[..., None]) -> None:
    for seed, name in enumerate(("alone", "colour", "size", "broken", "good")):
        pairs(name, 40, 40, seed)
    cut = Cut(tile=32)
    assert outcome(run(tmp_path, cut)) == (5, 0, 0)
    (tmp_path / "masks" / "size" / "notes.txt").touch()
    (tmp_path / "images" / "alone.png").unlink()
    save(tmp_path / "labels" / "colour.png", np.full((40, 40, 3), 77, np.uint8))
    save(tmp_path / "images" / "size.png", np.zeros((40, 41, 3), np.uint8))
    (tmp_path / "images" / "broken.png").write_bytes(b"text")
    summary = run(tmp_path, cut)
    assert outcome(summary) == (0, 1, 4)
    reasons = dict(summary.failures)
    assert "expected an image 'alone' for this label, got none; add it, set the templates" in reasons["alone.png"]
    assert "colour (77, 77, 77) is not in the label map" in reasons["colour.png"]
    assert "size.png': expected 40 x 40 pixels as its label, got 41 x 40; export both" in reasons["size.png"]
    assert "broken.png': expected one of .png" in reasons["broken.png"]
    for folder in ("masks", "tiles"):
        assert {path.parent.name for path in (tmp_path / folder).rglob("*.png")} == {"good"}
    assert (tmp_path / "masks" / "size" / "notes.txt").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "expected size or tile, got neither; give the side of a tile"),
        ({"tile": 0}, "tile: expected a whole number from 1 to 65536, got 0"),
        ({"tile": 1.5}, "tile: expected a whole number from 1 to 65536, got 1.5; give pixels"),
        ({"tile": 8, "overlap": 8}, "overlap: expected a whole number from 0 to 7, got 8; give fewer"),
        ({"tile": 8, "overlap": -1}, "got -1"),
        ({"size": (8, 8), "overlap": 1}, "overlap: expected a whole number from 0 to 0, got 1"),
        ({"size": 8}, r"size: expected \[HEIGHT,WIDTH\] in pixels from 1 to 65536, got 8; give"),
        ({"size": (8, 0)}, r"got \[8, 0\]"),
        ({"size": (8, 8, 8)}, r"got \[8, 8, 8\]"),
    ],
)
def test_wrong_cuts(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Cut(**options)


def test_wrong_requests(tmp_path: Path, pairs: Callable[..., None]) -> None:
    pairs("a", 8, 8)
    cut = Cut(tile=8)
    with pytest.raises(ValueError, match=r"expected an existing folder, got '.*missing'"):
        ImageTiles(cut, tmp_path / "missing", tmp_path / "tiles")
    with pytest.raises(ValueError, match="images_destination: expected a folder outside images, got"):
        ImageTiles(cut, tmp_path / "images", tmp_path / "images" / "tiles")
    with pytest.raises(ValueError, match=r"template: expected one \{\}"):
        ImageTiles(cut, tmp_path / "images", tmp_path / "tiles", template="x")
    images = ImageTiles(cut, tmp_path / "images", tmp_path / "tiles")
    with pytest.raises(ValueError, match="images: expected only with tile or size, got neither"):
        convert_folder(tmp_path / "labels", tmp_path / "masks", LABELS, images=images)


def test_tiles_of_images_keep_16_bits_and_say_what_they_lose(tmp_path: Path, pairs: Callable[..., None]) -> None:
    """They came out as 8-bit RGB, without a word."""
    for name in ("a", "b"):
        pairs(name, 40, 40)
    wide = np.random.default_rng(0).integers(0, 4096, (40, 40, 3), np.uint16)
    save(tmp_path / "images/a.png", wide)
    summary = run(tmp_path, Cut(tile=32, overlap=8))
    assert not [text for text in summary.warnings if "bands" in text]
    tile = read(tmp_path / "tiles/a/a_00000_00000.png")
    assert tile.dtype == np.uint16
    assert (tile == wide[:32, :32]).all()
    assert read(tmp_path / "tiles/b/b_00000_00000.png").dtype == np.uint8
    (tmp_path / "images/b.png").unlink()
    bands = np.random.default_rng(0).integers(0, 256, (40, 40, 4), np.uint8)
    Image.fromarray(bands).save(tmp_path / "images/b.tif")  # its fourth band is called alpha, and is not opaque
    summary = run(tmp_path, Cut(tile=32, overlap=8))
    assert any(
        "1 images have more bands or pages than their tiles, which are RGB" in text for text in summary.warnings
    ), summary
