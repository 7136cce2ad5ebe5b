"""Label files that hold more than one mask can take, or that say more than their pixels: pages, frames, bands, nodata,
EXIF, and the advice about what is not in the label map; through the command line.

python -m pytest tests/convert/test_pages.py
"""

import io
import re
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script, fails
from made_labels import COLORS, INDICES, RGB, VALUES, check, chunk, converted, png
from PIL import Image

tifffile = pytest.importorskip("tifffile")

FOUR = VALUES + "- {name: tree, values: [3]}\n"
TURNED = Image.Exif()
TURNED[274] = 6


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


def pages(*options: dict[str, Any]) -> bytes:
    """A TIFF file with a page of `INDICES`, or of its upper left corner, for each of the options."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for more in options:
            small = more.get("subfiletype", 0) & 1
            file.write(INDICES[:1, :2] if small else INDICES, photometric="minisblack", metadata=None, **more)
    return buffer.getvalue()


def frames(form: str, count: int, **options: Any) -> bytes:
    images = [Image.fromarray(np.roll(RGB, number, 1)) for number in range(count)]
    images[0].save(buffer := io.BytesIO(), form, save_all=True, append_images=images[1:], **options)
    return buffer.getvalue()


STACKS = {
    "8 bit": (tiff(np.stack([INDICES, INDICES])), "got 2;"),
    "16 bit": (tiff(np.stack([INDICES.astype(np.uint16)] * 3)), "got 3;"),
    "float": (tiff(np.stack([INDICES.astype(np.float32)] * 2)), "got 2;"),
    "rgb": (tiff(np.stack([RGB, RGB]), photometric="rgb"), "got 2;"),
    "hyperstack": (tiff(np.stack([INDICES] * 4).reshape(2, 2, 2, 4), imagej=True, metadata={"axes": "TZYX"}), "got 4;"),
    "truncated": (tiff(np.stack([INDICES] * 3), truncate=True), "got 3;"),
    "planes": (tiff(np.stack([np.resize(INDICES, (16, 16))] * 16), volumetric=True, tile=(16, 16, 16)), "got 16;"),
    "one directory": (tiff(np.stack([INDICES] * 3), imagej=True, truncate=True), "got 3;"),
    "multi-page flag": (pages({"subfiletype": 2}, {"subfiletype": 2}), "got 2;"),
    "overview first": (pages({"subfiletype": 1}, {}), "got 2;"),
}


@pytest.mark.parametrize("form", STACKS)
def test_stacks(tmp_path: Path, script: Script, form: str) -> None:
    content, got = STACKS[form]
    result, mask = converted(tmp_path, script, "a.tif", content, FOUR)
    fails(result, 1, "1 of 1 files failed")
    assert (
        f"a.tif: TIFF: expected one page, {got} save the page that is the label as a file of its own" in result.stderr
    )
    assert mask is None


def test_overviews_and_masks_are_no_pages(tmp_path: Path, script: Script) -> None:
    content = pages({"subifds": 1}, {"subfiletype": 1}, {"subfiletype": 1})
    check(converted(tmp_path, script, "a.tif", content, FOUR), INDICES)
    with tifffile.TiffWriter(buffer := io.BytesIO()) as file:
        file.write(INDICES, photometric="minisblack", metadata=None)
        file.write(INDICES > 0, photometric="miniswhite", subfiletype=4, metadata=None)  # the mask of GDAL
    check(converted(tmp_path, script, "a.tif", buffer.getvalue(), FOUR), INDICES)


ANIMATIONS = {
    "a.png": (frames("PNG", 3), "PNG: expected one picture, got an animation of 3 frames; save the frame"),
    "b.png": (frames("PNG", 3, default_image=True), "PNG: expected one picture, got an animation of 3 frames; save"),
    "a.jpg": (frames("MPO", 2), "expected one picture, got 2 (frames, or pictures of a JPEG); save the one"),
    "a.webp": (
        frames("WEBP", 2, lossless=True),
        "expected one picture, got 2 (frames, or pictures of a JPEG); save the one",
    ),
}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_animations(tmp_path: Path, script: Script, name: str) -> None:
    content, reason = ANIMATIONS[name]
    result, mask = converted(tmp_path, script, name, content, COLORS)
    fails(result, 1, "1 of 1 files failed")
    assert reason in result.stderr
    assert mask is None


def test_an_animation_of_one_frame_is_a_picture(tmp_path: Path, script: Script) -> None:
    plain = png(RGB, 2)
    control = chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", bytes(26))
    check(converted(tmp_path, script, "a.png", plain[:33] + control + plain[33:], COLORS), INDICES)


@pytest.mark.slow
def test_bands(tmp_path: Path, script: Script) -> None:
    """The first of several was taken, or the file called damaged."""
    for dtype in (np.uint8, np.uint16):
        for bands in (2, 3, 4, 5):
            for layout in ("contig", "separate"):
                pixels = np.stack([INDICES.astype(dtype)] * bands, 2 if layout == "contig" else 0)
                content = tiff(pixels, planarconfig=layout, extrasamples=["unspecified"] * (bands - 1))
                result, _ = converted(tmp_path, script, "a.tif", content, FOUR)
                assert result.returncode == 1, (dtype, bands, layout)
                assert f"TIFF: expected one band (numbers) or RGB, got {bands} bands; write one number" in result.stderr
    planes = tiff(RGB.transpose(2, 0, 1).astype(np.uint16) * 257, photometric="rgb", planarconfig="separate")
    result, _ = converted(tmp_path, script, "a.tif", planes, COLORS)
    assert "expected the channels of a pixel together, got planes of 16 bits" in result.stderr
    planes = tiff(RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    check(converted(tmp_path, script, "a.tif", planes, COLORS), INDICES)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_big_endian_bigtiff(tmp_path: Path, script: Script, dtype: Any) -> None:
    content = tiff(INDICES.astype(dtype), bigtiff=True, byteorder=">")
    check(converted(tmp_path, script, "a.tif", content, FOUR), INDICES)
    ramp = np.arange(768, dtype=np.uint16).reshape(3, 256)
    content = tiff(INDICES, photometric="palette", colormap=ramp, bigtiff=True, byteorder=">")
    result, _ = converted(tmp_path, script, "a.tif", content, FOUR)
    assert "which Pillow does not read there; store it little-endian" in result.stderr


def test_white_is_zero(tmp_path: Path, script: Script) -> None:
    for dtype in (np.uint8, np.uint16):
        content = tiff(INDICES.astype(dtype), photometric="miniswhite")
        for words in ((), ("read=index",)):
            result, _ = converted(tmp_path, script, "a.tif", content, FOUR, *words)
            assert "got white-is-zero (PhotometricInterpretation 0), where readers differ on what is 0" in result.stderr
    black = "name,r,g,b,value\nblack,0,0,0,0\nwhite,255,255,255,1\n"
    content = tiff(np.array([[0, 255]], np.uint8), photometric="miniswhite")
    check(converted(tmp_path, script, "a.tif", content, black, "read=color"), [[1, 0]])


def nodata(text: str, pixels: np.ndarray = INDICES, **options: Any) -> bytes:
    return tiff(pixels, extratags=[(42113, "s", 0, text, True)], **options)


def test_nodata(tmp_path: Path, script: Script) -> None:
    """A value that means no data became a class without a word."""
    first = "4 pixels of 2 files have the value that their file declares as nodata, and count as a class, the first"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/b.tif").write_bytes(nodata("0"))
    outcome = converted(tmp_path, script, "a.tif", nodata("0"), FOUR)
    check(outcome, INDICES, f"{first} 'a.tif', where 0 is 'sky'; if that means no data, give ignore=[sky] and give")
    assert outcome[0].stderr.count("nodata") == 1
    again = converted(tmp_path, script, "a.tif", nodata("0"), FOUR)
    check(again, INDICES, first)
    mask = np.where(INDICES == 0, 255, INDICES - 1)
    check(converted(tmp_path, script, "a.tif", nodata("0"), FOUR, "ignore=[sky]", "ignore_values=[0]"), mask)


def test_nodata_of_a_class_with_more_values(tmp_path: Path, script: Script) -> None:
    several = VALUES.replace("[2]", "[2, 3]")
    result, _ = converted(tmp_path, script, "a.tif", nodata("3.0"), several)
    assert "take 3 out of the values of 'car' in the label map and give ignore_values=[3]" in result.stderr
    mask = np.where(INDICES == 3, 255, INDICES)
    check(converted(tmp_path, script, "a.tif", nodata("3.0"), VALUES, "ignore_values=[3]"), mask)
    result, _ = converted(tmp_path, script, "a.tif", nodata("3"), several, "ignore_values=[3]")
    fails(result, 2, r"got 3, which is 'car'; take 3 out of its values \[2, 3\] in the label map first")


def test_nodata_that_is_no_class_is_no_news(tmp_path: Path, script: Script) -> None:
    for text in ("255", "-9999", "nan", "nothing"):
        check(converted(tmp_path, script, "a.tif", nodata(text), FOUR), INDICES)
    check(
        converted(tmp_path, script, "a.tif", nodata("3"), VALUES + "ignore_values: [3]\n"),
        INDICES % 3 + (INDICES == 3) * 255,
    )


def test_nodata_by_colour(tmp_path: Path, script: Script) -> None:
    """RGB, and a palette, whose index is meant."""
    rgb = nodata("0", RGB, photometric="rgb")
    check(
        converted(tmp_path, script, "a.tif", rgb, COLORS), INDICES, "where 0 is 'void'; if that means no data, give ig"
    )
    table = np.zeros((3, 256), np.uint16)
    table[:, :4] = np.array([(10, 20, 250), (120, 120, 120), (250, 10, 10), (0, 0, 0)]).T * 257
    palette = nodata("1", photometric="palette", colormap=table)
    check(converted(tmp_path, script, "a.tif", palette, COLORS), INDICES, "where 1 is 'road'; if that means no data")


def test_missing_numbers_of_floats(tmp_path: Path, script: Script) -> None:
    content = tiff(np.array([[0, np.nan]], np.float32))
    result, _ = converted(tmp_path, script, "a.tif", content, VALUES, "ignore_values=[nan]")
    fails(result, 2, r"ignore_values: expected whole numbers .*, got nan; write a number that is no class in its place")
    result, _ = converted(tmp_path, script, "a.tif", content, VALUES)
    assert "for missing ones a number that is no class, such as -1, with ignore_values=[-1]" in result.stderr
    filled = tiff(np.nan_to_num(np.array([[0, np.nan]], np.float32), nan=-1))
    check(converted(tmp_path, script, "a.tif", filled, VALUES, "ignore_values=[-1]"), [[0, 255]])


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_labels_with_an_orientation(tmp_path: Path, script: Script, name: str) -> None:
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, {"a.tif": "TIFF"}.get(name, name[2:].upper()), exif=TURNED, **options)
    said = "1 label files have an EXIF orientation, the first 'a"
    if name == "a.tif":
        check(converted(tmp_path, script, name, buffer.getvalue(), COLORS), np.rot90(INDICES, -1), said)
    else:
        check(converted(tmp_path, script, name, buffer.getvalue(), COLORS), INDICES, said)
        check(converted(tmp_path, script, name, buffer.getvalue(), COLORS), INDICES, said)  # unchanged, and still odd


def test_tiles_of_photos_that_exif_turns(tmp_path: Path, script: Script) -> None:
    """Tiles of square ones were turned without a word."""
    square = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    for name in ("a", "b"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(square).save(tmp_path / f"photos/{name}.png", exif=TURNED)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"in/{name}.png").write_bytes(png(np.resize(RGB, (16, 16, 3)), 2))
    words = ("tile=8", "images=photos", "images_destination=tiles")
    label = (tmp_path / "in/a.png").read_bytes()
    for exif, pixels in (("apply", np.rot90(square, -1)), ("ignore", square), ("apply", np.rot90(square, -1))):
        result, _ = converted(
            tmp_path, script, "a.png", label, COLORS, *words, *([] if exif == "apply" else ["exif=ignore"])
        )
        assert result.returncode == 0, result.stderr
        said = "EXIF turned or mirrored 2 images, though their size does not show it, the first that of 'a.png'"
        assert (said in result.stderr) == (exif == "apply")
        tile = cv2.imread(str(tmp_path / "tiles/a/a_00000_00000.png"))[..., ::-1]
        np.testing.assert_array_equal(tile, pixels[:8, :8])
    result, _ = converted(tmp_path, script, "a.png", label, COLORS, *words)
    assert '"skipped": 2' in result.stdout
    assert said in result.stderr


def test_tiles_of_photos_on_their_side(tmp_path: Path, script: Script) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(RGB).save(tmp_path / "photos/a.png", exif=TURNED)
    words = ("tile=2", "images=photos", "images_destination=tiles")
    result, _ = converted(tmp_path, script, "a.png", png(RGB, 2), COLORS, *words)
    assert "got 2 x 4; give exif=ignore, because EXIF orientation 6 tells the two apart" in result.stderr
    result, _ = converted(tmp_path, script, "a.png", png(RGB, 2), COLORS, *words, "exif=ignore")
    assert result.returncode == 0, result.stderr
    result, _ = converted(tmp_path, script, "a.png", png(RGB, 2), COLORS, "exif=ignore")
    fails(result, 2, "exif: expected it with images alone, got 'ignore' without; give that, or leave it out")
    result, _ = converted(tmp_path, script, "a.png", png(RGB, 2), COLORS, *words, "exif=no")
    fails(result, 2, "exif: expected apply or ignore, got 'no'; choose one")


def test_tiles_of_several_pages(tmp_path: Path, script: Script) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.tif").write_bytes(tiff(np.stack([RGB, RGB]), photometric="rgb"))
    words = ("tile=2", "images=photos", "images_destination=tiles")
    result, _ = converted(tmp_path, script, "a.png", png(RGB, 2), COLORS, *words)
    assert "1 images have more bands or pages than their tiles" in result.stderr


# --- advice, followed to the letter


def test_void_beside_other_numbers(tmp_path: Path, script: Script) -> None:
    """255 beside other numbers was to be listed with class 1."""
    for numbers in ([0, 1, 2, 255], [0, 2, 255]):
        content = png(np.array([numbers]), 0)
        result, _ = converted(tmp_path, script, "a.png", content, VALUES)
        assert "[1, 255]" not in result.stderr
        assert "use ignore_values=[255] if it marks pixels to ignore" in result.stderr
        check(converted(tmp_path, script, "a.png", content, VALUES, "ignore_values=[255]"), [numbers])
    two = VALUES[: VALUES.index("- {name: car")]
    result, _ = converted(tmp_path, script, "a.png", png(np.array([[0, 1, 255]]), 0), two)
    assert "[1, 255]" not in result.stderr
    full = two.replace("[1]", "[255]")
    result, _ = converted(tmp_path, script, "a.png", png(np.array([[0, 1, 255]]), 0), full)
    assert "[1, 255]" not in result.stderr


@pytest.mark.parametrize("top", [3, 9, 16])
def test_more_numbers_than_classes(tmp_path: Path, script: Script, top: int) -> None:
    """Numbers in a gray file, which nearest would make one class."""
    table = "name,r,g,b\nsky,10,20,250\nvoid,0,0,0\n"
    for void in ([], [255]):
        content = png(np.array([[*range(top + 1), *void]]), 0)
        result, _ = converted(tmp_path, script, "a.png", content, table)
        assert (
            f"these look like indices, not colours (gray levels of at most {top}): the label map has 2" in result.stderr
        )
        assert "nearest" not in result.stderr
    listed = [f"{{name: c{number}, values: [{number}]}}" for number in range(top + 1)]
    follow = f"classes: [{', '.join(listed)}]\nignore_values: [255]\n"
    check(converted(tmp_path, script, "a.png", content, follow), [[*range(top + 1), 255]])


def test_numbers_in_one_channel(tmp_path: Path, script: Script) -> None:
    """Such as CARLA's tags in red."""
    table = "name,r,g,b\nvoid,0,0,0\ncar,0,0,142\n"
    red = np.zeros((1, 5, 3), np.uint8)
    red[0, :, 0] = range(5)
    result, _ = converted(tmp_path, script, "a.png", png(red, 2), table)
    assert result.returncode == 1
    assert "max_distance" not in result.stderr
    red[0, 0] = 0, 0, 142  # a file of colours
    result, _ = converted(tmp_path, script, "a.png", png(red, 2), table)
    assert "unknown=nearest max_distance=4" in result.stderr


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif"])
def test_lossy_labels(tmp_path: Path, script: Script, name: str) -> None:
    colors = np.array([(255, 0, 0), (0, 160, 0), (0, 0, 100)], np.uint8)
    truth = np.zeros((64, 64), int)
    truth[:, 20:], truth[32:, 40:] = 1, 2
    options = {"a.tif": {"compression": "jpeg"}}.get(name, {"quality": 95})
    image = Image.fromarray(colors[truth])
    image.save(buffer := io.BytesIO(), {"a.jpg": "JPEG", "a.tif": "TIFF"}.get(name, "WEBP"), **options)
    table = "name,r,g,b\ncar,255,0,0\ntree,0,160,0\nsky,0,0,100\n"
    result, _ = converted(tmp_path, script, name, buffer.getvalue(), table)
    assert "is lossy, which changes what was painted: ask for PNG labels, or use unknown=nearest" in result.stderr
    assert "unknown=ignore" not in result.stderr
    (words,) = re.findall(r"unknown=nearest max_distance=\d+", result.stderr)
    result, mask = converted(tmp_path, script, name, buffer.getvalue(), table, *words.split())
    assert result.returncode == 0, result.stderr
    assert (mask == truth).mean() > 0.95
    assert "is lossy" in result.stderr
    number = int(words.rpartition("=")[2])
    result, _ = converted(
        tmp_path, script, name, buffer.getvalue(), table, "unknown=nearest", f"max_distance={number - 1}"
    )
    assert result.returncode == 1


def test_lossy_numbers(tmp_path: Path, script: Script) -> None:
    gray = np.zeros((16, 16), np.uint8)
    gray[:, 5:] = 40
    Image.fromarray(gray).save(buffer := io.BytesIO(), "JPEG")
    result, _ = converted(tmp_path, script, "a.jpg", buffer.getvalue(), VALUES)
    assert result.returncode == 1
    assert "JPEG is lossy, which changes what was painted: ask for PNG labels\n" in result.stderr
