"""Image and mask files as arrays.

Images may be grayscale (repeated to three channels), RGBA (alpha dropped) or 16-bit (65535 becomes 255, rounded);
EXIF orientation is applied, as label tools do. Masks are 8-bit grayscale PNG, as ``seg-preprocess`` writes them.
"""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.files import SUFFIXES
from seg.images.headers import check_size, size_of
from seg.labels import IGNORE

_LIMIT = "SEG_MAX_PIXELS"

Image = NDArray[np.uint8]
"""RGB (H, W, 3), or a mask (H, W)."""


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """RGB image (H, W, 3) uint8 of any file that OpenCV reads; the module's docstring says how.

    Raises:
        ValueError: a file that cannot be read or decoded, or not of 8 or 16 bits.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"image '{path}': expected a file that can be read, got '{error.strerror}'; check the path"
        ) from None
    try:
        return decode_image(data)
    except ValueError as error:
        raise ValueError(f"image '{path}': {error}") from None


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """RGB image (H, W, 3) uint8 of the bytes of a file, see `read_image`.

    Raises:
        ValueError: too large, damaged, or not of 8 or 16 bits.
    """
    check_limit(data)
    image = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise ValueError(f"expected one of {' '.join(SUFFIXES)}, got a file that cannot be decoded; replace it")
    return to_rgb(image)


def limit() -> int:
    """The most pixels that an image may have: ``SEG_MAX_PIXELS`` of the environment, which loading workers inherit and
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


def decode(data: NDArray[np.uint8], how: int) -> NDArray[Any] | None:
    """`cv2.imdecode` that gives None instead of raising what OpenCV says of a file that it cannot read.

    Raises:
        ValueError: not enough memory.
    """
    try:
        return cv2.imdecode(data, how) if data.size else None
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise ValueError("expected memory for this image, got none; cut or shrink it") from None
        return None


def to_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image as OpenCV decodes it, gray (H, W), BGR or BGRA (H, W, C), as RGB (H, W, 3) uint8.

    Raises:
        ValueError: not 8- or 16-bit.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected 8 or 16 bits a channel, got {image.dtype}; convert it to 8 bits")
    if image.dtype == np.uint16:
        image = (image.astype(np.uint32) + 128) // 257
    rgb = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., 2::-1]
    return np.ascontiguousarray(rgb, np.uint8)


def read_mask(path: str | os.PathLike[str], classes: int) -> NDArray[np.uint8]:
    """Mask (H, W) uint8 of an 8-bit grayscale PNG.

    Raises:
        ValueError: another kind of file, damaged, or a value that is neither a class index nor 255.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"mask '{path}': expected a file that can be read, got '{error.strerror}'; check the path"
        ) from None
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
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[24:26] != b"\x08\x00":  # IHDR: bit depth 8, colour type 0
        raise ValueError(
            "expected an 8-bit grayscale PNG, got another kind of file; convert label images with seg-preprocess first"
        )
    check_limit(data)
    mask = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise ValueError("expected a PNG, got a damaged one; copy or convert it again")
    return mask
