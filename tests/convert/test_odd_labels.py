"""Label files that are easily misread, through the command line: palettes, alpha, indices, ids of many kinds.

python -m pytest tests/convert/test_odd_labels.py
"""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Script, fails
from made_labels import COLORS, INDICES, RGB, TABLE, VALUES, check, chunk, converted, png, tiff
from PIL import Image

from seg.convert import LabelReader, convert_folder
from seg.labels import Label, LabelMap


def gif(indices: np.ndarray, palette: bytes, **options: Any) -> bytes:
    image = Image.fromarray(indices).copy()
    image = Image.frombytes("P", image.size, indices.tobytes())
    image.putpalette(palette)
    buffer = io.BytesIO()
    image.save(buffer, "GIF", optimize=False, **options)
    return buffer.getvalue()


PALETTE = bytes(channel for color in TABLE for channel in color)


SHORT = png(INDICES, 3, palette=PALETTE[:6])  # two entries, four indices


def test_short_palettes(tmp_path: Path, script: Script) -> None:
    """An index is an index; one without a colour has none, whichever way chose to read colours."""
    for words in ((), ("read=color",)):
        result, made = converted(tmp_path, script, "a.png", SHORT, COLORS, *words)
        assert result.returncode == 1
        assert made is None
        assert (
            "indices below 2, the number of colours in the palette, got 2 at x=2, y=0; use read=index" in result.stderr
        )
    numbered = "0 = sky, 1 = road, 2 = car, 3 = void"
    check(converted(tmp_path, script, "a.png", SHORT, COLORS, "read=index"), INDICES, numbered)
    check(converted(tmp_path, script, "a.png", SHORT, VALUES + "- {name: x, values: [3]}"), INDICES)


def under_alpha(rgb: np.ndarray) -> np.ndarray:
    """Alpha 0 for the first row."""
    alpha = np.full((*rgb.shape[:2], 1), 255, rgb.dtype)
    alpha[0] = 0
    return np.concatenate([rgb, alpha], 2)


ALPHA = {
    "rgba.png": png(under_alpha(RGB), 6),
    "wide.png": png(under_alpha(RGB.astype(np.uint16) * 257), 6, 16),
    "rgba.tif": tiff(under_alpha(RGB), photometric=2, alpha=2),
}


@pytest.mark.parametrize("name", ["rgba.png", "wide.png", "rgba.tif"])
def test_colours_under_alpha(tmp_path: Path, script: Script, name: str) -> None:
    content = ALPHA[name]
    labels = COLORS.replace("void", "tree")
    first = converted(tmp_path, script, name, content, labels)
    check(first, INDICES, "4 pixels of 1 files have alpha 0 and count as the class of their colour, the first")
    assert json.loads(first[0].stdout)["transparent"] == 4
    assert json.loads((tmp_path / "out/manifest.json").read_text())["transparent"] == 4
    again = converted(tmp_path, script, name, content, labels)  # unchanged, and still odd
    assert json.loads(again[0].stdout)["skipped"] == 1
    check(again, INDICES, "4 pixels of 1 files have alpha 0")
    mask = INDICES.copy()
    mask[0] = 255
    check(converted(tmp_path, script, name, content, labels, "transparent=ignore"), mask)


CLEAR = {
    "palette": (png(INDICES, 3, palette=PALETTE, clear=bytes([255, 0])), COLORS, 2),
    "by number": (png(INDICES, 3, palette=PALETTE, clear=bytes([255, 0])), VALUES + "- {name: x, values: [3]}", 2),
    "gray level": (png(INDICES, 0, clear=bytes([0, 1])), VALUES + "- {name: x, values: [3]}", 2),
    "colour": (png(RGB, 2, clear=struct.pack(">HHH", 120, 120, 120)), COLORS, 2),
    "wide gray and alpha": (
        png(np.dstack([INDICES, np.where(INDICES == 1, 0, 1)]), 4, 16),
        VALUES + "- {name: x, values: [3]}",
        2,
    ),
}


@pytest.mark.parametrize("case", CLEAR)
def test_other_kinds_of_transparency(tmp_path: Path, script: Script, case: str) -> None:
    content, labels, pixels = CLEAR[case]
    check(converted(tmp_path, script, "a.png", content, labels), INDICES, f"{pixels} pixels of 1 files have alpha 0")
    mask = np.where(INDICES == 1, 255, INDICES)
    check(converted(tmp_path, script, "a.png", content, labels, "transparent=ignore"), mask)


def test_unlisted_colours_under_alpha(tmp_path: Path, script: Script) -> None:
    rgb = RGB.copy()
    rgb[0] = 77
    content = png(under_alpha(rgb), 6)
    result, _ = converted(tmp_path, script, "a.png", content, COLORS)
    assert result.returncode == 1
    assert "or transparent=ignore (4 of the pixels have alpha 0)" in result.stderr
    mask = INDICES.copy()
    mask[0] = 255
    check(converted(tmp_path, script, "a.png", content, COLORS, "transparent=ignore"), mask)


def test_ignored_colours_under_alpha_are_no_news(tmp_path: Path, script: Script) -> None:
    rgb = RGB.copy()
    rgb[0] = 0
    mask = INDICES.copy()
    mask[0] = 255
    check(converted(tmp_path, script, "a.png", png(under_alpha(rgb), 6), COLORS, "ignore=[void]"), mask)


def test_a_broken_transparency_chunk_says_nothing(tmp_path: Path, script: Script) -> None:
    content = CLEAR["palette"][0]
    at = content.index(b"tRNS") + 4
    check(converted(tmp_path, script, "a.png", content[:at] + b"\0" + content[at + 1 :], COLORS), INDICES)


@pytest.mark.parametrize("form", ["gray", "rgb", "four bits", "gray.tif"])
def test_indices_under_a_colour_table(tmp_path: Path, script: Script, form: str) -> None:
    content = {
        "gray": png(INDICES, 0),
        "rgb": png(INDICES[..., None].repeat(3, 2), 2),
        "four bits": four_bits(INDICES),
        "gray.tif": tiff(INDICES),
    }[form]
    name = "a.tif" if form == "gray.tif" else "a.png"
    result, made = converted(tmp_path, script, name, content, COLORS)
    assert result.returncode == 1
    assert made is None
    assert (
        "these look like indices, not colours (gray levels of at most 3): use read=index if the classes"
        in result.stderr
    )
    assert 'YAML label map that lists them (classes: [{name: "sky", values: [0]}, ...])' in result.stderr
    assert "nearest" not in result.stderr
    check(converted(tmp_path, script, name, content, COLORS, "read=index"), INDICES, "0 = sky")
    if form != "rgb":  # which is colour for a map of values
        check(converted(tmp_path, script, name, content, VALUES + "- {name: x, values: [3]}"), INDICES)


NUMBERED = {
    "csv": "name,r,g,b,{}\nsky,10,20,250,2\nroad,120,120,120,0\ncar,250,10,10,1\n",
    "hex": "{};name;color\n2;sky;#0a14fa\n0;road;#787878\n1;car;#fa0a0a\n",
    "json": '[{{"{}": 2, "name": "sky", "color": [10, 20, 250]}}, {{"{}": 0, "name": "road", "color": "#787878"}}, '
    '{{"{}": 1, "name": "car", "color": [250, 10, 10]}}]',
}


@pytest.mark.parametrize("form", NUMBERED)
@pytest.mark.parametrize(
    "column", ["id", "ID", "Idx", "index", "class_id", "label id", "trainId", "Class Number", "Gray"]
)
def test_numbers_beside_colours(tmp_path: Path, form: str, column: str) -> None:
    """Rows were numbered instead, and the command said that the map has no values."""
    (tmp_path / "map").write_text(NUMBERED[form].format(column, column, column))
    with pytest.raises(
        ValueError, match=f"under the name 'value', got '{column}' beside colours, .* call what .* 'value'"
    ):
        LabelReader(LabelMap.load(tmp_path / "map"), read="index")
    labels = LabelMap.load(tmp_path / "map")
    assert labels.values == ()
    assert LabelReader(labels).array(np.array([[(120, 120, 120)]], np.uint8)).mask.tolist() == [[1]]
    (tmp_path / "map").write_text(NUMBERED[form].format("value", "value", "value"))
    for read in ("index", "auto"):
        made = LabelReader(LabelMap.load(tmp_path / "map"), read=read).array(np.array([[0, 1, 2]], np.uint8))
        assert made.mask.tolist() == [[1, 2, 0]]


def test_numbers_beside_colours_on_the_command_line(tmp_path: Path, script: Script) -> None:
    ids = np.array([2, 0, 1], np.uint8)[INDICES % 3]
    table = NUMBERED["csv"].format("id")
    result, made = converted(tmp_path, script, "a.png", png(ids, 0), table)
    assert result.returncode == 1
    assert "if they are those of 'id' in the label map, call it 'value' there" in result.stderr
    result, made = converted(tmp_path, script, "a.png", png(ids, 0), table, "read=index")
    fails(result, 2, "read=index: expected the values of the classes under the name 'value', got 'id' .* or remove it")
    assert made is None
    check(converted(tmp_path, script, "a.png", png(ids, 0), table.replace("id", "value"), "read=index"), INDICES % 3)
    table = "name,id,trainId,r,g,b\nsky,0,255,10,20,250\nroad,1,0,120,120,120\ncar,2,1,250,10,10\n"
    numbered = "its classes were numbered in their order, as its 'id' does: 0 = sky"
    check(converted(tmp_path, script, "a.png", png(INDICES % 3, 0), table, "read=index"), INDICES % 3, numbered)


def four_bits(indices: np.ndarray) -> bytes:
    packed = indices[:, ::2] * 16 + indices[:, 1::2]
    content = png(packed, 0)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", indices.shape[1], indices.shape[0], 4, 0, 0, 0, 0))
    return content[:8] + header + content[33:]


def test_nearest_that_merges(tmp_path: Path, script: Script) -> None:
    words = ("unknown=nearest", "max_distance=4")
    merged = (
        "in 1 files every pixel became one class, the first 'a.png' (3 of them became 'void'), from unlisted colours"
    )
    check(converted(tmp_path, script, "a.png", png(INDICES, 0), COLORS, *words), np.full((2, 4), 3), merged)
    rgb = RGB.copy()
    rgb[0, 0, 0], rgb[1, 0, 0] = 11, 12
    several = "in 1 files several unlisted colours became one class, the first 'a.png' (2 of them became 'sky')"
    check(converted(tmp_path, script, "a.png", png(rgb, 2), COLORS, *words), INDICES, several)
    rgb[1, 0, 0] = 10
    check(converted(tmp_path, script, "a.png", png(rgb, 2), COLORS, *words), INDICES)  # one is what nearest is for


IDS = np.array([[-1, 0, 1], [2, -1, 0]])
IGNORED = np.where(IDS < 0, 255, IDS)


@pytest.mark.parametrize("kind", ["<i1", "<i2", ">i2", "<i4", ">i4", "<f4", ">f4", "<f8"])
def test_ids_below_zero(tmp_path: Path, script: Script, kind: str) -> None:
    content = tiff(IDS.astype(kind))
    check(converted(tmp_path, script, "a.tif", content, VALUES, "ignore_values=[-1]"), IGNORED)
    check(converted(tmp_path, script, "a.tif", content, VALUES + "ignore_values: [-1, 254]\n"), IGNORED)
    result, made = converted(tmp_path, script, "a.tif", content, VALUES)
    assert result.returncode == 1
    assert made is None
    assert "the first outside -1 at x=0, y=0; use ignore_values=[-1] if it marks pixels to ignore" in result.stderr


def test_ids_of_32_bits_and_spare_values(tmp_path: Path, script: Script) -> None:
    ids = np.where(IDS < 0, 4294967295, IDS)
    check(converted(tmp_path, script, "a.tif", tiff(ids.astype("<u4")), VALUES, "ignore_values=[4294967295]"), IGNORED)
    content = png(np.where(IDS < 0, 254, IDS), 0)
    check(converted(tmp_path, script, "a.png", content, VALUES, "ignore_values=[254]", "pattern=*.png"), IGNORED)
    result, _ = converted(tmp_path, script, "a.png", content, VALUES, "ignore_values=[2]", "pattern=*.png")
    assert result.returncode == 2
    assert "ignore_values: expected values that are no class, got 2, which is 'car'" in result.stderr
    result, _ = converted(tmp_path, script, "a.png", content, COLORS, "ignore_values=[254]", "pattern=*.png")
    assert result.returncode == 2
    assert "ignore_values: expected values in the label map, or read=index, got colours alone" in result.stderr


def test_fractions_are_no_ids(tmp_path: Path, script: Script) -> None:
    for value, text in ((0.5, "0.5"), (np.nan, "nan")):
        content = tiff(np.array([[0, value]], "<f4"))
        result, _ = converted(tmp_path, script, "a.tif", content, VALUES)
        assert result.returncode == 1
        assert f"floating-point image: expected whole numbers, got {text} at x=1, y=0" in result.stderr


MAP16 = [channel * 257 for c in range(3) for channel in [color[c] for color in TABLE] + [0] * 252]


def test_palette_tiff(tmp_path: Path, script: Script) -> None:
    content = tiff(INDICES, photometric=3, palette=MAP16)
    check(converted(tmp_path, script, "a.tif", content, VALUES + "- {name: x, values: [3]}"), INDICES)
    check(converted(tmp_path, script, "a.tif", content, COLORS), INDICES)
    check(converted(tmp_path, script, "a.tif", content, COLORS, "read=index"), INDICES, "0 = sky")


def test_gif(tmp_path: Path, script: Script) -> None:
    content = gif(INDICES, PALETTE)
    check(converted(tmp_path, script, "a.gif", content, VALUES + "- {name: x, values: [3]}"), INDICES)
    check(converted(tmp_path, script, "a.gif", content, COLORS), INDICES)
    clear = gif(INDICES, PALETTE, transparency=1)
    check(converted(tmp_path, script, "a.gif", clear, COLORS), INDICES, "2 pixels of 1 files have alpha 0")
    mask = np.where(INDICES == 1, 255, INDICES)
    check(converted(tmp_path, script, "a.gif", clear, COLORS, "transparent=ignore"), mask)
    other = Image.new("P", (4, 2))
    other.putpalette(PALETTE)
    moving = gif(INDICES, PALETTE, save_all=True, append_images=[other])
    result, made = converted(tmp_path, script, "a.gif", moving, COLORS)
    assert result.returncode == 1
    assert made is None
    assert "GIF: expected one frame that fills the image, got several or a part" in result.stderr


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_masks_of_two_values(tmp_path: Path, script: Script, name: str) -> None:
    one_bit = Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1")
    one_bit.save(buffer := io.BytesIO(), "PNG" if name == "a.png" else "TIFF")
    full = "classes:\n- {name: sky, values: [0]}\n- {name: car, values: [255]}\n"
    result, _ = converted(tmp_path, script, name, buffer.getvalue(), full)
    assert result.returncode == 1
    assert "value 1 is not in the label map" in result.stderr
    assert "stored as 0 and 1 or as 0 and 255; 'car' has 255: list [1, 255] for it" in result.stderr
    listed = full.replace("[255]", "[1, 255]")
    check(converted(tmp_path, script, name, buffer.getvalue(), listed), [[0, 1, 1]])
    if name == "a.png":
        two = VALUES[: VALUES.index("- {name: car")]
        result, _ = converted(tmp_path, script, name, png(np.array([[0, 255]]), 0), two)
        assert "'road' has 1: list [1, 255] for it, or use ignore_values=[255] if it marks pixels to" in result.stderr
        check(converted(tmp_path, script, name, png(np.array([[0, 255]]), 0), two, "ignore_values=[255]"), [[0, 255]])


def test_ignored_values_are_kept_and_left(tmp_path: Path) -> None:
    """A map with a value that no mask can hold is saved, loaded, and coloured by another."""
    labels = LabelMap([Label("a", values=(0,)), Label("b", values=(1,))]).ignoring_values([-1])
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tif").write_bytes(tiff(np.array([[-1, 0, 1]], "<i2")))
    assert convert_folder(tmp_path / "in", tmp_path / "out", labels).failed == 0
    assert LabelMap.load(tmp_path / "out/labels.yaml") == labels
    with pytest.raises(ValueError, match=r"ignore_values: expected whole numbers such as \[-1, 255\], got 0.5"):
        labels.ignoring_values([0.5])  # type: ignore[list-item]


@pytest.mark.parametrize("read", ["labelme", "coco", "cityscapes_polygons"])
def test_annotations_have_neither_alpha_nor_values(tmp_path: Path, script: Script, read: str) -> None:
    if read == "coco":
        pytest.importorskip("pycocotools")
    for option, got in (("transparent=ignore", "'ignore'"), ("ignore_values=[-1]", r"\[-1\]")):
        result, _ = converted(tmp_path, script, "a.json", b"{}", VALUES, option, f"read={read}", "pattern=*.json")
        name = option.partition("=")[0]
        fails(result, 2, f"{name}: expected only with images, got {got} with read={read}; leave it out")
    assert not (tmp_path / "out").exists()
