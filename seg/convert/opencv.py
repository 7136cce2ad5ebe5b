"""Label images that are not PNG: BMP, TIFF, JPEG and WebP, decoded by OpenCV.

The header is read first, without OpenCV: a false size must not take memory, and what OpenCV changes without a word
(values of fewer than 8 bits, palettes, 5-bit colours) must not become a wrong mask.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_other(path: Path, max_pixels: int, by_number: bool) -> "tuple[NDArray[Any], str]":
    """Pixels of an image that is not PNG, H x W x 3 RGB or H x W, and the name of its format if that is lossy.

    Args:
        by_number: one-channel images are read by their stored values alone, not by colour.

    Raises:
        ValueError: larger than ``max_pixels``, broken, or of a kind that OpenCV does not return as it is stored.
    """
    from seg.images.headers import check_size, read_header

    with path.open("rb") as file:
        header = read_header(file)
        check_size(header.width, header.height, max_pixels)
        size = file.seek(0, 2)
        if size > 64 * header.width * header.height + (64 << 20):
            raise ValueError(
                f"expected a file for the {header.width} x {header.height} pixels of its header, got {size} bytes, far "
                "too many; export it again"
            )
    image = _decode(path, header.palette)
    if by_number and (header.palette or (image.ndim == 2 and not header.stored)):
        raise ValueError(
            "expected stored values of 8 or 16 bits, got a palette or fewer than 8 bits a pixel, whose values OpenCV "
            "does not return; add colours to the label map, or save the label as PNG"
        )
    if image.ndim == 2 and not header.stored:
        image = image[..., None].repeat(3, axis=2)
    return image, header.lossy


def _decode(path: Path, palette: bool) -> "NDArray[Any]":
    import cv2
    import numpy as np

    from seg.images import decode

    how = cv2.IMREAD_COLOR if palette else cv2.IMREAD_UNCHANGED
    image = decode(np.fromfile(path, np.uint8), how)
    if image is None:
        raise ValueError("expected an image that OpenCV decodes, got a damaged or unknown one; save the label as PNG")
    if image.ndim == 3:
        image = image[..., 2::-1] if image.shape[2] >= 3 else image[..., 0]  # BGR(A) to RGB, gray(A) to gray
    if image.dtype == np.uint16 and image.ndim == 3:
        if (image % 257).any():
            raise ValueError(
                "16-bit colour: expected an 8-bit colour stored wide (channels that are multiples of 257), got others; "
                "save the label with 8 bits"
            )
        image = (image // 257).astype(np.uint8)
    return image
