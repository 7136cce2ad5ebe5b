"""Headers of files that are not PNG, and what OpenCV makes of them.

python -m pytest tests/convert/test_opencv.py
"""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seg.convert.opencv import open_other
from seg.images import decode_image
from seg.images.headers import read_header

RAMP = [c for i in range(256) for c in (i, i, i)]
OTHER = [c for i in range(256) for c in (i, 255 - i, 7)]
GRAYS = [c for i in range(256) for c in (255 - i, 255 - i, 255 - i)]


def written(mode: str, form: str, palette: list[int] | None = None, **options: object) -> bytes:
    """A 5 x 3 image of the values 0..14, written by Pillow."""
    image = Image.frombytes("L", (5, 3), bytes(range(15)))
    if palette:
        image = image.copy()
        image = Image.frombytes("P", (5, 3), image.tobytes())
        image.putpalette(palette)
    buffer = io.BytesIO()
    (image if palette else image.convert(mode)).save(buffer, form, **options)
    return buffer.getvalue()


def os2_bmp() -> bytes:
    """8 bits, BITMAPCOREHEADER, a palette of red, blue and 254 times black."""
    palette = bytes([0, 0, 255, 255, 0, 0]).ljust(768, b"\0")
    rows = bytes([0, 1, 0, 0, 1, 1, 1, 0])
    offset = 14 + 12 + len(palette)
    head = b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset)
    return head + struct.pack("<IHHHH", 12, 4, 2, 1, 8) + palette + rows


FILES = {
    "rgb.bmp": (written("RGB", "BMP"), False, ""),
    "gray.bmp": (written("L", "BMP"), True, ""),
    "ramp.bmp": (written("P", "BMP", RAMP), True, ""),
    "palette.bmp": (written("P", "BMP", OTHER), False, ""),
    "grays.bmp": (written("P", "BMP", GRAYS), False, ""),
    "one.bmp": (written("1", "BMP"), False, ""),
    "rgb.tif": (written("RGB", "TIFF"), False, ""),
    "gray.tif": (written("L", "TIFF", compression="tiff_lzw"), True, ""),
    "big.tif": (written("L", "TIFF", big_tiff=True), True, ""),
    "wide.tif": (written("I;16", "TIFF"), True, ""),
    "palette.tif": (written("P", "TIFF", OTHER), False, ""),
    "one.tif": (written("1", "TIFF"), False, ""),
    "jpeg.tif": (written("RGB", "TIFF", compression="jpeg"), False, "JPEG"),
    "rgb.jpg": (written("RGB", "JPEG"), True, "JPEG"),
    "progressive.jpg": (written("RGB", "JPEG", progressive=True, comment=b"x" * 999), True, "JPEG"),
    "lossy.webp": (written("RGB", "WEBP", quality=50), True, "WebP"),
    "lossless.webp": (written("RGB", "WEBP", lossless=True), True, ""),
    "extended.webp": (written("RGB", "WEBP", lossless=True, exif=b"Exif\0\0MM\0*"), True, ""),
}


@pytest.mark.parametrize("name", FILES)
def test_headers(name: str) -> None:
    content, stored, lossy = FILES[name]
    header = read_header(io.BytesIO(content))
    assert (header.width, header.height, header.stored, header.lossy) == (5, 3, stored, lossy)


@given(name=st.sampled_from(sorted(FILES)), data=st.data())
@settings(max_examples=300, deadline=None)
def test_broken_headers_are_value_errors(name: str, data: st.DataObject) -> None:
    content = bytearray(FILES[name][0][: data.draw(st.integers(0, 400))])
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = read_header(io.BytesIO(bytes(content)))
    except ValueError:
        return
    assert header.width >= 0
    assert header.height >= 0


@given(name=st.sampled_from(sorted(FILES)), data=st.data())
@settings(max_examples=300, deadline=None)
def test_broken_images_are_value_errors(name: str, data: st.DataObject) -> None:
    """Cut off, or with other bytes within the first hundred."""
    content = bytearray(FILES[name][0][: data.draw(st.integers(0, 2000))])
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, min(len(content), 100) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode_image(bytes(content))
    except ValueError:
        return
    assert image.ndim == 3


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"])
def test_a_tiff_without_pages(start: bytes) -> None:
    with pytest.raises(ValueError, match="got a file that cannot be decoded"):
        decode_image(start + bytes(40))


@pytest.mark.parametrize("number", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_offsets_beyond_all_files(number: int, tmp_path: Path) -> None:
    """Of a BigTIFF's first page, in memory and on the disk."""
    content = FILES["big.tif"][0]
    content = content[:8] + number.to_bytes(8, "little") + content[16:]
    (tmp_path / "a.tif").write_bytes(content)
    with (tmp_path / "a.tif").open("rb") as file:
        for each in (io.BytesIO(content), file):
            with pytest.raises(ValueError, match="got one that cannot be decoded; replace it"):
                read_header(each)


def opened(tmp_path: Path, content: bytes, by_number: bool = False) -> np.ndarray:
    (tmp_path / "file").write_bytes(content)
    return open_other(tmp_path / "file", 1 << 20, by_number)[0]


@pytest.mark.parametrize("name", ["gray.bmp", "ramp.bmp", "gray.tif", "big.tif", "wide.tif"])
def test_stored_numbers_come_as_they_are(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(opened(tmp_path, FILES[name][0], True), np.arange(15).reshape(3, 5))


@pytest.mark.parametrize("name", ["palette.bmp", "grays.bmp", "one.bmp"])
def test_other_numbers_are_read_by_color_only(tmp_path: Path, name: str) -> None:
    rgb = opened(tmp_path, FILES[name][0])
    np.testing.assert_array_equal(rgb, np.asarray(Image.open(tmp_path / "file").convert("RGB")))
    with pytest.raises(ValueError, match="expected stored values of 8 or 16 bits, .* OpenCV does not return; add"):
        opened(tmp_path, FILES[name][0], by_number=True)


def test_os2_palettes_stay_colors(tmp_path: Path) -> None:
    """Regression: OpenCV 5.0 makes gray of them when asked for the image as it is."""
    red, blue = [255, 0, 0], [0, 0, 255]
    assert opened(tmp_path, os2_bmp()).tolist() == [[blue, blue, blue, red], [red, blue, red, red]]


def bmp_header(bits: int, packing: int = 0, masks: tuple[int, int, int] = (0, 0, 0), side: int = 2) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, bits, packing, 0, 0, 0, 0, 0)
    return b"BM" + bytes(8) + struct.pack("<I", 66) + info + struct.pack("<III", *masks) + bytes(64)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "expected an image, got an empty file; export it again"),
        (
            b"GIF89a" + bytes(64),
            "expected a GIF, got one that cannot be decoded",
        ),
        (b"BM" + bytes(3), "got one that cannot be decoded"),
        (bmp_header(16), "BMP: expected 8, 24 or 32 bits a pixel, got 16, .* save it as PNG"),
        (bmp_header(32, 3, (0xFC00000, 0x3FFFE0, 0x1F)), "BMP: expected channels of 8 bits each, got others"),
        (bmp_header(24, side=40_000), r"expected at most 1048576 pixels \(max_pixels\), got 40000 x 40000; raise"),
        (bmp_header(24)[:54], "expected an image that OpenCV decodes, got a damaged or unknown one"),
        (written("CMYK", "TIFF"), "TIFF: expected gray, RGB or a palette, got another colour space"),
        (written("RGB", "JPEG")[:100], "got one that cannot be decoded"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        opened(tmp_path, content)


def test_far_more_bytes_than_pixels(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(bmp_header(24))
        file.truncate(1 << 30)  # sparse
    with pytest.raises(ValueError, match="expected a file for the 2 x 2 pixels of its header, got 1073741824 bytes"):
        open_other(tmp_path / "file", 1 << 20, False)


def test_true_16_bit_color_is_refused(tmp_path: Path) -> None:
    wide = np.full((2, 2, 3), 257 * 9, np.uint16)
    assert opened(tmp_path, cv2.imencode(".tif", wide)[1].tobytes()).tolist() == np.full((2, 2, 3), 9).tolist()
    with pytest.raises(ValueError, match="16-bit colour: expected an 8-bit colour stored wide .*, got others; save"):
        opened(tmp_path, cv2.imencode(".tif", wide + 1)[1].tobytes())
