"""The built-in label maps, against the data they are made for.

python -m pytest tests/labels/test_palettes.py
"""

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SHARED

from seg.convert import convert_folder
from seg.labels import IGNORE, PALETTES, LabelMap, builtin_names

CLASSES = {
    "ade20k": 150,
    "camvid": 11,
    "camvid32": 31,
    "cityscapes": 19,
    "cityscapes_trainids": 19,
    "deepglobe": 6,
    "gid15": 16,
    "landcoverai": 5,
    "loveda": 7,
    "potsdam": 6,
    "rellis3d": 20,
    "suim": 8,
    "uuad": 6,
    "vaihingen": 6,
    "voc": 21,
}


@pytest.mark.parametrize("name", builtin_names())
def test_a_map_keeps_the_contract(name: str, tmp_path: Path) -> None:
    path = PALETTES / f"{name}.yaml"
    assert re.fullmatch(r"[a-z0-9_]+", name), f"{path.name}: name it in lower case, as labels=NAME is looked up"
    head = path.read_text(encoding="utf-8").partition("classes:")[0]
    assert all(line.startswith("# ") for line in head.splitlines()), f"{path.name}: begin with a comment, then classes:"
    assert re.search(r"\bSources?: \S", head), f"{path.name}: say in the comment where colours come from: # Source: ..."
    labels = LabelMap.load(name)  # also says that no name, colour or value stands twice
    assert name in CLASSES, f"{path.name}: write how many classes are published into CLASSES of this file"
    assert labels.classes == CLASSES[name]
    assert LabelMap.load(name.upper()) == labels
    labels.save(tmp_path / "labels.yaml")
    assert LabelMap.load(tmp_path / "labels.yaml") == labels
    assert LabelMap.load(tmp_path / "labels.yaml").digest == labels.digest


@pytest.mark.parametrize("name", builtin_names())
@pytest.mark.parametrize("kind", ["colors", "values"])
def test_a_map_converts_what_it_lists(name: str, kind: str, tmp_path: Path) -> None:
    """Each colour, and each value of 8 bits, becomes the index of its class."""
    labels = LabelMap.load(name)
    listed = [(key, index) for key, index in getattr(labels, kind) if kind == "colors" or 0 <= key <= 255]
    if not listed:
        assert labels.colors or labels.values
        return
    pixels = np.array([[key for key, _ in listed]], np.uint8)
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels/a.png"), pixels[..., ::-1] if kind == "colors" else pixels)
    read = "color" if kind == "colors" else "index"
    summary = convert_folder(tmp_path / "labels", tmp_path / "masks", labels, read=read, threads=1)
    assert summary.failed == 0, summary.failures
    mask = cv2.imread(str(tmp_path / "masks/a.png"), cv2.IMREAD_UNCHANGED)
    assert mask[0].tolist() == [index for _, index in listed]


def test_every_map_is_counted() -> None:
    assert set(CLASSES) <= set(builtin_names()), "no longer there: take it out of CLASSES"


def test_a_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voc").write_text("name,r,g,b\nroad,1,2,3\n")
    assert LabelMap.load("voc").names == ("road",)
    assert LabelMap.load("camvid", ignore=["sky"]).names[0] == "Building"


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"expected a file or a built-in name, got 'camvit'; .* one of ade20k, camvid, camvid32, .*voc"
    ):
        LabelMap.load("camvit")


@pytest.mark.parametrize(
    ("name", "color", "wanted"),
    [
        ("camvid", (0, 0, 192), "Pavement"),
        ("camvid", (60, 40, 222), "Pavement"),
        ("camvid", (64, 192, 0), "Building"),
        ("camvid32", (0, 128, 192), "Bicyclist"),
        ("camvid32", (0, 0, 0), "ignore"),
        ("cityscapes", (119, 11, 32), "bicycle"),
        ("cityscapes", (150, 120, 90), "ignore"),
        ("voc", (0, 64, 128), "tvmonitor"),
        ("voc", (224, 224, 192), "ignore"),
        ("potsdam", (0, 255, 255), "low vegetation"),
        ("vaihingen", (0, 0, 0), "ignore"),
    ],
)
def test_known_colors(name: str, color: tuple[int, int, int], wanted: str) -> None:
    labels = LabelMap.load(name)
    assert labels.name_of(dict(labels.colors)[color]) == wanted


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ade20k", (IGNORE, *range(150))),
        ("camvid", (*range(11), IGNORE)),
        ("cityscapes_trainids", range(19)),
        ("loveda", (IGNORE, *range(7))),
        ("voc", range(21)),
    ],
)
def test_known_values(name: str, values: Sequence[int]) -> None:
    table = dict(LabelMap.load(name).values)
    assert [table[value] for value in range(len(values))] == list(values)


def test_cityscapes_ids() -> None:
    """trainId of the label ids 0..33 as published, -1 standing for ignored."""
    train_ids = [-1] * 7 + [0, 1, -1, -1, 2, 3, 4, -1, -1, -1, 5, -1, *range(6, 16), -1, -1, 16, 17, 18]
    table = dict(LabelMap.load("cityscapes").values)
    assert [table[value] for value in range(34)] == [IGNORE if i < 0 else i for i in train_ids]


FOUND = [
    ("camvid", "camvid12/val_labels", "**/*"),
    ("camvid", "camvid12/val_index", "**/*"),
    ("uuad", "uuad/val_labels", "**/*"),
    ("cityscapes", "zoo/cityscapes_ids/labelIds", "**/*"),
    ("rellis3d", "zoo/rellis_sparse_ids/labels", "**/*"),
    ("suim", "zoo/suim_bmp/labels", "**/*"),
    ("voc", "zoo/voc_palette_labelme/labels", "**/*"),
    ("ade20k", "zoo_misc/ade20k", "*_index.png"),
    ("loveda", "zoo/torchgeo_toy_tiff/loveda", "**/masks_png/*"),
    ("deepglobe", "zoo/torchgeo_toy_tiff/deepglobelandcover", "**/masks/*"),
    ("gid15", "zoo/torchgeo_toy_tiff/gid15", "**/ann_dir/**/*"),
    ("landcoverai", "zoo/torchgeo_toy_tiff/landcoverai/masks", "**/*"),
    ("potsdam", "zoo/torchgeo_toy_tiff/potsdam", "*_label.tif"),
    ("vaihingen", "zoo/torchgeo_toy_tiff/vaihingen", "*"),
]


@pytest.mark.parametrize(("name", "folder", "pattern"), FOUND, ids=[f"{name}-{where}" for name, where, _ in FOUND])
def test_published_labels_convert(name: str, folder: str, pattern: str, tmp_path: Path) -> None:
    source = SHARED / folder
    if not source.is_dir():
        pytest.skip(f"../shared/data/{folder} is not here")
    summary = convert_folder(source, tmp_path / "masks", LabelMap.load(name), pattern=pattern, threads=1)
    assert summary.failed == 0, summary.failures[:3]
    assert summary.converted > 0


def test_camvid_colors_give_the_published_indices(tmp_path: Path) -> None:
    folder = SHARED / "camvid12"
    if not folder.is_dir():
        pytest.skip("../shared/data/camvid12 is not here")
    convert_folder(folder / "val_labels", tmp_path, LabelMap.load("camvid"), pattern="0016E5_079*", threads=1)
    masks = sorted(tmp_path.glob("*.png"))
    assert masks
    for mask in masks:
        wanted = cv2.imread(str(folder / "val_index" / mask.name), cv2.IMREAD_UNCHANGED)
        wanted[wanted == 11] = IGNORE
        np.testing.assert_array_equal(cv2.imread(str(mask), cv2.IMREAD_UNCHANGED), wanted)
