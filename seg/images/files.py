"""Images, masks and numbers of objects, read from files and checked."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.files import checks, read_file
from seg.images.decoding import Values, decode, decode_values
from seg.images.headers import check_frames, size_of
from seg.images.reading import RGB, Reading
from seg.labels import IGNORE

_LIMIT = "SEG_MAX_PIXELS"
_PNG = b"\x89PNG\r\n\x1a\n"
_DAMAGED = "expected a PNG, got a damaged one; copy or convert it again"

Image = NDArray[np.uint8]
"""An image (H, W, channels), RGB if not said otherwise, or a mask (H, W)."""


def read_image(path: str | os.PathLike[str], reading: Reading = RGB) -> NDArray[np.uint8]:
    """Read an image (H, W, channels) uint8, by default RGB; the docstring of `seg.images` says how.

    Raises:
        ValueError: a file that cannot be read or decoded, or not of 8 or 16 bits.
    """
    values = read_values(path, reading)
    with _named(f"image '{path}'"):
        return values.image(reading)


def read_values(path: str | os.PathLike[str], reading: Reading = RGB) -> Values:
    """Read the values of an image file, before bands and range are applied.

    Raises:
        ValueError: a file that cannot be read or decoded, or too large.
    """
    data = _bytes_of(path, "image")
    with _named(f"image '{path}'"):
        check_limit(data)
        return decode_values(data, reading)


def _bytes_of(path: str | os.PathLike[str], what: str) -> bytes:
    """Read a file; raise ValueError, which calls it an image, mask or instances, if that fails."""
    try:
        return read_file(path)
    except OSError as error:
        raise ValueError(
            f"{what} '{path}': expected a file that can be read, got '{error.strerror}'; check the path"
        ) from None


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Let every error in the block begin with the name of a file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def decode_image(data: bytes, reading: Reading = RGB) -> NDArray[np.uint8]:
    """Decode an image (H, W, channels) uint8 from the bytes of a file, see `read_image`.

    Raises:
        ValueError: too large, damaged, or not of 8 or 16 bits.
    """
    check_limit(data)
    return decode_values(data, reading).image(reading)


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show an image (H, W, channels) by its first three channels, or its first one as gray; (H, W, 3)."""
    return image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, 2)


def limit() -> int:
    """Return the most pixels that an image may have: ``SEG_MAX_PIXELS``, which loading workers inherit and
    which the commands set from their option ``max_pixels``, else 2**28.

    Raises:
        ValueError: the variable is no whole number of at least 1.
    """
    text = os.environ.get(_LIMIT, str(1 << 28))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"max_pixels: expected a whole number of at least 1, got {text!r}; give such as 268435456")
    return int(text)


def check_limit(data: bytes) -> None:
    """Refuse a file whose header states more pixels than the `limit`, before memory is taken for them.

    Raises:
        ValueError: too large; the message gives size and limit.
    """
    if size := size_of(data):
        checks.size(*size, limit())


def read_mask(path: str | os.PathLike[str], classes: int) -> NDArray[np.uint8]:
    """Read a mask (H, W) uint8 from an 8-bit grayscale PNG.

    Raises:
        ValueError: another kind of file, damaged, or a value that is neither a class index nor 255.
    """
    data = _bytes_of(path, "mask")
    with _named(f"mask '{path}'"):
        mask = decode_mask(data)
    highest = int(np.where(mask == IGNORE, 0, mask).max())
    if highest >= classes:
        raise ValueError(
            f"mask '{path}': expected 0..{classes - 1} for {classes} classes, or {IGNORE}, got {highest}; convert the "
            "labels with seg-preprocess, or give the label map that the masks were made with"
        )
    return mask


def is_mask(path: str | os.PathLike[str]) -> bool:
    """Tell by its first bytes whether a file has the form of a mask."""
    with Path(path).open("rb") as file:
        return _begins_as_mask(file.read(32))


def _begins_as_mask(data: bytes) -> bool:
    return data[:8] == _PNG and data[24:26] == b"\x08\x00"  # IHDR: bit depth 8, colour type 0


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """Decode a mask (H, W) uint8 from the bytes of an 8-bit grayscale PNG file.

    Raises:
        ValueError: another kind of file, or damaged.
    """
    if not _begins_as_mask(data):
        raise ValueError(
            "expected an 8-bit grayscale PNG, got another kind of file; convert label images with seg-preprocess first"
        )
    return _decode_png(data)


def _decode_png(data: bytes) -> NDArray[Any]:
    """Return the values of a gray PNG file of at most the `limit`."""
    check_limit(data)
    check_frames(data)
    values = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError(_DAMAGED)
    return values


def read_instances(path: str | os.PathLike[str]) -> NDArray[np.uint16]:
    """Read the number of the object at each pixel (H, W) from a grayscale PNG of 8 or 16 bits or a palette PNG.

    Raises:
        ValueError: a file that cannot be read, another kind of file, or damaged.
    """
    data = _bytes_of(path, "instances")
    with _named(f"instances '{path}'"):
        return _decode_instances(data)


def _decode_instances(data: bytes) -> NDArray[np.uint16]:
    depth, color = data[24:25], data[25:26]  # of IHDR: 0 = gray, 3 = palette
    if data[:8] != _PNG or (color, depth) not in ((b"\0", b"\x08"), (b"\0", b"\x10"), (b"\3", b"\x08")):
        raise ValueError(
            "expected a grayscale PNG of 8 or 16 bits, or a palette PNG, got another kind of file; give the numbers of "
            "objects, as seg-preprocess instances_destination=DIR writes them"
        )
    numbers = _palette_indices(data) if color == b"\3" else _decode_png(data)
    return numbers.astype(np.uint16)


def _palette_indices(data: bytes) -> NDArray[np.uint8]:
    """Read the indices of a palette PNG by Pillow, because OpenCV makes colours of them."""
    from PIL.PngImagePlugin import PngImageFile

    check_limit(data)
    check_frames(data)
    try:
        with PngImageFile(io.BytesIO(data)) as image:
            return np.array(image)
    except (OSError, SyntaxError):
        raise ValueError(_DAMAGED) from None
