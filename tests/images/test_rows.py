"""Rows of TIFF files are those of the whole image. python -m pytest tests/images/test_rows.py"""

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from seg.images import Reading, read_image, tiff_rows

tifffile = pytest.importorskip("tifffile")

FORMS: dict[str, tuple[int, dict[str, Any]]] = {
    "gray": (1, {"photometric": "minisblack"}),
    "white is zero": (1, {"photometric": "miniswhite"}),
    "RGB": (3, {"photometric": "rgb"}),
    "RGBA": (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "premultiplied": (4, {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    "RGB and infrared": (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
    "gray and alpha": (2, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
}
STORED: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (32, 64)},
    "strips": {"rowsperstrip": 7},
    "deflate": {"tile": (32, 48), "compression": "deflate", "predictor": True},
    "lzw": {"tile": (64, 64), "compression": "lzw"},
}


def smooth(bands: int, kind: str, height: int = 104, width: int = 136) -> np.ndarray:
    """A picture that JPEG does not tear apart."""
    small = np.random.default_rng(0).random((height // 8, width // 8, bands))
    pixels = cv2.resize(small, (width, height)).reshape(height, width, bands)
    return (pixels * (np.iinfo(kind).max if np.dtype(kind).kind == "u" else 1)).astype(kind)


def check(path: Path, reading: Reading) -> None:
    whole = read_image(path, reading)
    with tiff_rows(path, reading) as rows:
        assert (rows.height, rows.width) == whole.shape[:2]
        for first, last in ((0, 32), (5, 70), (30, 31), (0, rows.height), (60, rows.height)):
            np.testing.assert_array_equal(rows(first, last), whole[first:last])


@pytest.mark.parametrize(("form", "stored", "kind"), [*itertools.product(FORMS, STORED, ["u1", "u2"])])
def test_rows_are_those_of_the_image(form: str, stored: str, kind: str, tmp_path: Path) -> None:
    bands, options = FORMS[form]
    pixels = smooth(bands, kind)
    tifffile.imwrite(tmp_path / "a.tif", pixels[..., 0] if bands == 1 else pixels, **options, **STORED[stored])
    check(tmp_path / "a.tif", Reading())


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_jpeg_in_tiff(subsampling: tuple[int, int], tmp_path: Path) -> None:
    options = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": subsampling}
    tifffile.imwrite(tmp_path / "a.tif", smooth(3, "u1"), tile=(32, 64), **options)
    check(tmp_path / "a.tif", Reading())


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_and_range(kind: str, planar: str, tmp_path: Path) -> None:
    pixels = smooth(6, kind)
    pixels = np.moveaxis(pixels, 2, 0) if planar == "separate" else pixels
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig=planar, tile=(32, 64))
    most = np.iinfo(kind).max if kind[0] == "u" else 1
    check(tmp_path / "a.tif", Reading(bands=(4, 0, 2, 5), range=((0.2 * most, 0.8 * most),)))


@pytest.mark.parametrize(
    ("pixels", "options", "reading", "message"),
    [
        (smooth(3, "u1"), {"extratags": [(274, 3, 1, 6, True)]}, Reading(), "got EXIF orientation 6; store it as"),
        (smooth(1, "u1")[..., 0], {"photometric": "palette", "colormap": np.zeros((3, 256), "u2")}, Reading(),
         "got colours stored as PALETTE"),
        (smooth(5, "u1"), {"photometric": "minisblack", "planarconfig": "contig"}, Reading(),
         "expected 1, 3 or 4 bands, got 5"),
        (smooth(1, "f4")[..., 0], {}, Reading(), "expected 8 or 16 bits a channel, got float32"),
        (smooth(3, "u1"), {"photometric": "ycbcr"}, Reading(), "got YCbCr in NONE"),
        (np.full((64, 64), np.nan, "f4"), {}, Reading(bands=(0,), range=((0, 1),)), "expected finite values, got NaN"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_so(
    pixels: np.ndarray, options: dict[str, Any], reading: Reading, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(32, 64), **options)
    with pytest.raises(ValueError, match=f"image '{path}': .*{message}"), tiff_rows(path, reading) as rows:
        rows(0, 32)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    with (
        pytest.raises(ValueError, match="expected a TIFF file, got one that cannot be read"),
        tiff_rows(path, Reading()),
    ):
        pass
    tifffile.imwrite(path, smooth(3, "u1"), tile=(32, 64), compression="deflate")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].dataoffsets[0]
    data[at : at + 20] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="tiles can be decoded, got"), tiff_rows(path, Reading()) as rows:
        rows(0, 32)
    with tiff_rows(path, Reading()) as rows:
        rows(64, 104)  # others can be read
