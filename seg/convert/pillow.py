"""Label images whose stored values Pillow returns and OpenCV does not.

GIF, and TIFF with a palette, with alpha (OpenCV multiplies colours by it) or of fewer than 8 bits.
"""

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.files import checks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from seg.images.headers import Tiff

_DAMAGED = (OSError, SyntaxError, LookupError, TypeError, AttributeError, OverflowError, EOFError, struct.error)
PALETTE = 3
"""Photometric interpretation of a TIFF with a palette."""


def open_gif(path: Path, max_pixels: int, by_number: bool) -> "NDArray[Any]":
    """Return the pixels of a GIF of one frame: H x W x 3 RGB or H x W indices, alpha behind if a colour is transparent.

    Raises:
        ValueError: larger than ``max_pixels``, damaged, animated, or with an index that has no colour.
    """
    from PIL.GifImagePlugin import GifImageFile

    try:
        with GifImageFile(path) as image:
            checks.size(image.width, image.height, max_pixels)
            whole = image.tile and image.tile[0][1] == (0, 0, *image.size)
            pixels = _indexed(image, by_number, image.info.get("transparency"))
            if not whole or image.is_animated:
                raise ValueError(
                    "GIF: expected one frame that fills the image, got several or a part; save the label as PNG"
                )
            return pixels
    except _DAMAGED as error:
        raise ValueError(f"expected a GIF, got one that cannot be decoded ({error}); export it again") from None


def open_tiff(path: Path, tiff: "Tiff", by_number: bool, gray: bool) -> "NDArray[Any] | None":
    """Return the pixels of a TIFF, as `open_gif` returns them or H x W gray levels; None if OpenCV is to read it.

    Args:
        by_number, gray: palettes, and gray images, are read by their stored values.

    Raises:
        ValueError: damaged, or of a form that neither library returns as it is stored.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    few = tiff.bits < 8 and gray
    if not (tiff.photometric == PALETTE or tiff.samples == 2 or (tiff.samples == 4 and tiff.bits == 8) or few):
        return None
    if tiff.big:
        raise ValueError(
            "TIFF: expected numbers of at least 8 bits, or RGB, in a big-endian BigTIFF, got a palette, alpha or fewer "
            "bits, which Pillow does not read there; store it little-endian (gdal_translate -co ENDIANNESS=LITTLE)"
        )
    try:
        with TiffImageFile(path) as image:
            return _stored(image, tiff.bits, by_number)
    except _DAMAGED as error:
        raise ValueError(f"expected a TIFF, got one that cannot be decoded ({error}); export it again") from None


def _stored(image: "Image", bits: int, by_number: bool) -> "NDArray[Any]":
    import numpy as np

    if image.mode == "P":
        return _indexed(image, by_number, None)
    pixels = np.array(image)
    if image.mode in ("1", "L") and bits < 8:  # Pillow stretches gray levels to 0..255
        return (pixels.astype(np.uint8) // (1 if image.mode == "1" else 255 // ((1 << bits) - 1))).astype(np.uint8)
    return pixels


def _indexed(image: "Image", by_number: bool, clear: Any) -> "NDArray[Any]":
    """Return indices (H, W) or colours (H, W, 3) of a palette image; alpha is last if ``clear`` is an index."""
    import numpy as np

    index = np.array(image)
    pixels = index[..., None]
    if not by_number:
        palette = np.array(image.getpalette() or np.arange(256).repeat(3), np.uint8).reshape(-1, 3)
        if index.max() >= len(palette):
            y, x = divmod(int((index >= len(palette)).argmax()), index.shape[1])
            raise ValueError(
                f"read by colour: expected palette indices below {len(palette)}, the number of colours in the palette, "
                f"got {index[y, x]} at x={x}, y={y}; use read=index if the stored numbers are the classes, or export "
                "the file again"
            )
        pixels = palette[index]
    if clear is not None:
        pixels = np.dstack([pixels, np.where(index == clear, 0, 255).astype(np.uint8)])
    return pixels if pixels.shape[2] > 1 else index
