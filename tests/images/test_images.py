"""python -m pytest tests/images/test_images.py"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seg.images import read_image, read_instances, read_mask, read_values


def test_image_rules(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    gray = rgb[..., 0]
    wide = rgb[..., ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "rgb.png"), rgb[..., ::-1])
    Image.fromarray(np.dstack([rgb, np.zeros((5, 7), np.uint8)])).save(tmp_path / "transparent.png")
    Image.fromarray(gray).save(tmp_path / "gray.png")
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    cv2.imwrite(str(tmp_path / "wide_gray.tif"), wide[..., 2])
    Image.fromarray(rgb).quantize(256).save(tmp_path / "palette.png")
    for name in ("rgb.png", "transparent.png", "wide.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name), rgb, err_msg=name)
    for name in ("gray.png", "wide_gray.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.dstack([gray] * 3), err_msg=name)
    expected = np.array(Image.open(tmp_path / "palette.png").convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), expected)
    rounded = np.array([[0, 128, 129, 65535, 65406, 65407]], np.uint16)
    cv2.imwrite(str(tmp_path / "rounded.png"), rounded)
    assert read_image(tmp_path / "rounded.png")[0, :, 0].tolist() == [0, 0, 1, 255, 254, 255]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by a quarter turn
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (40, 20, 3)


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "empty.png").touch()
    for name in ("a.png", "empty.png"):
        with pytest.raises(
            ValueError, match=f"image '.*{name}': expected one of .png .*, got a file that cannot be decoded"
        ):
            read_image(tmp_path / name)
    with pytest.raises(
        ValueError, match="expected a file that can be read, got 'No such file or directory'; check the path"
    ):
        read_image(tmp_path / "none.png")
    cv2.imwrite(str(tmp_path / "float.tif"), np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="expected 8 or 16 bits a channel, got float32"):
        read_image(tmp_path / "float.tif")


def test_masks_are_8_bit_grayscale_png(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255]], np.uint8)
    cv2.imwrite(str(tmp_path / "good.png"), mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "good.png", 2), mask)
    Image.fromarray(mask).convert("P").save(tmp_path / "palette.png")
    cv2.imwrite(str(tmp_path / "rgb.png"), np.dstack([mask] * 3))
    cv2.imwrite(str(tmp_path / "wide.png"), mask.astype(np.uint16))
    cv2.imwrite(str(tmp_path / "a.bmp"), mask)
    for name in ("palette.png", "rgb.png", "wide.png", "a.bmp"):
        with pytest.raises(
            ValueError, match="expected an 8-bit grayscale PNG, got another kind of file; convert label"
        ):
            read_mask(tmp_path / name, 2)
    with pytest.raises(ValueError, match=r"expected 0..0 for 1 classes, or 255, got 1; convert the labels"):
        read_mask(tmp_path / "good.png", 1)
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    with pytest.raises(ValueError, match="cut.png': expected a PNG, got a damaged one; copy"):
        read_mask(tmp_path / "cut.png", 2)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_animations_are_refused(tmp_path: Path, form: str) -> None:
    """Their first frame was read as an image, as a mask and as numbers of objects."""
    gray = [Image.fromarray(np.full((8, 8), number, np.uint8)) for number in (0, 90, 180)]
    path = tmp_path / f"a.{form}"
    gray[0].save(path, save_all=True, append_images=gray[1:])
    readers = [read_image, read_values, *([lambda path: read_mask(path, 200), read_instances] if form == "png" else [])]
    for read in readers:
        with pytest.raises(ValueError, match=r"a\.\w+': expected one picture, got an animation of 3 frames; save the"):
            read(path)
    gray[0].save(path, save_all=True)  # one frame
    assert read_image(path).shape == (8, 8, 3)


def test_pages_of_images_are_counted_without_overviews(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    pixels = np.zeros((32, 32, 3), np.uint8)

    def dropped(*pages: tuple[int, int]) -> int:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for size, kind in pages:
                file.write(pixels[:size, :size], photometric="rgb", subfiletype=kind, metadata=None)
        return read_values(tmp_path / "a.tif").dropped

    assert dropped((32, 0)) == dropped((32, 0), (16, 1), (8, 1)) == 0
    assert dropped((32, 0), (32, 0)) == dropped((32, 2), (16, 2)) == 3  # a page of another size, too
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 32, 32), np.uint8), imagej=True, truncate=True)
    assert read_values(tmp_path / "a.tif").dropped == 4
