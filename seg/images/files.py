"""Images, masks and numbers of objects, read from files and checked."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.images.decoding import Values, decode, decode_values
from seg.images.headers import check_size, size_of
from seg.images.reading import RGB, Reading
from seg.labels import IGNORE

_LIMIT = "SEG_MAX_PIXELS"
_PNG = b"\x89PNG\r\n\x1a\n"

Image = NDArray[np.uint8]
"""An image (H, W, channels), RGB if not said otherwise, or a mask (H, W)."""


def read_image(path: str | os.PathLike[str], reading: Reading = RGB) -> NDArray[np.uint8]:
    """Image (H, W, channels) uint8 of a file, by default RGB; the module's docstring says how.

    Raises:
        ValueError: a file that cannot be read or decoded, or not of 8 or 16 bits.
    """
    values = read_values(path, reading)
    try:
        return values.image(reading)
    except ValueError as error:
        raise ValueError(f"image '{path}': {error}") from None


def read_values(path: str | os.PathLike[str], reading: Reading = RGB) -> Values:
    """Return what an image file holds, before bands and range are applied.

    Raises:
        ValueError: a file that cannot be read or decoded, or too large.
    """
    data = _bytes_of(path, "image")
    try:
        check_limit(data)
        return decode_values(data, reading)
    except ValueError as error:
        raise ValueError(f"image '{path}': {error}") from None


def _bytes_of(path: str | os.PathLike[str], what: str) -> bytes:
    """Read a file; raise ValueError, which calls it an image, mask or instances, if that fails."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"{what} '{path}': expected a file that can be read, got '{error.strerror}'; check the path"
        ) from None


def decode_image(data: bytes, reading: Reading = RGB) -> NDArray[np.uint8]:
    """Image (H, W, channels) uint8 of the bytes of a file, see `read_image`.

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
        check_size(*size, limit())


def read_mask(path: str | os.PathLike[str], classes: int) -> NDArray[np.uint8]:
    """Mask (H, W) uint8 of an 8-bit grayscale PNG.

    Raises:
        ValueError: another kind of file, damaged, or a value that is neither a class index nor 255.
    """
    data = _bytes_of(path, "mask")
    try:
        mask = decode_mask(data)
    except ValueError as error:
        raise ValueError(f"mask '{path}': {error}") from None
    highest = int(np.where(mask == IGNORE, 0, mask).max())
    if highest >= classes:
        raise ValueError(
            f"mask '{path}': expected 0..{classes - 1} for {classes} classes, or {IGNORE}, got {highest}; convert the "
            "labels with seg-preprocess, or give the label map that the masks were made with"
        )
    return mask


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """Mask (H, W) uint8 of the bytes of an 8-bit grayscale PNG file.

    Raises:
        ValueError: another kind of file, or damaged.
    """
    if data[:8] != _PNG or data[24:26] != b"\x08\x00":  # IHDR: bit depth 8, colour type 0
        raise ValueError(
            "expected an 8-bit grayscale PNG, got another kind of file; convert label images with seg-preprocess first"
        )
    check_limit(data)
    mask = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise ValueError("expected a PNG, got a damaged one; copy or convert it again")
    return mask


def read_instances(path: str | os.PathLike[str]) -> NDArray[np.uint16]:
    """Count the the object at each pixel (H, W) of a grayscale PNG of 8 or 16 bits, or of the indices of a palette PNG.

    Raises:
        ValueError: a file that cannot be read, another kind of file, or damaged.
    """
    data = _bytes_of(path, "instances")
    try:
        return _decode_instances(data)
    except ValueError as error:
        raise ValueError(f"instances '{path}': {error}") from None


def _decode_instances(data: bytes) -> NDArray[np.uint16]:
    depth, color = data[24:25], data[25:26]  # of IHDR: 0 = gray, 3 = palette
    if data[:8] != _PNG or (color, depth) not in ((b"\0", b"\x08"), (b"\0", b"\x10"), (b"\3", b"\x08")):
        raise ValueError(
            "expected a grayscale PNG of 8 or 16 bits, or a palette PNG, got another kind of file; give the numbers of "
            "objects, as seg-preprocess instances_destination=DIR writes them"
        )
    check_limit(data)
    if color == b"\3":
        return _palette_indices(data).astype(np.uint16)
    numbers = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if numbers is None:
        raise ValueError("expected a PNG, got a damaged one; copy or convert it again")
    return numbers.astype(np.uint16)


def _palette_indices(data: bytes) -> NDArray[np.uint8]:
    """By Pillow, because OpenCV makes colours of them."""
    from PIL.PngImagePlugin import PngImageFile

    try:
        with PngImageFile(io.BytesIO(data)) as image:
            return np.array(image)
    except (OSError, SyntaxError):
        raise ValueError("expected a PNG, got a damaged one; copy or convert it again") from None
