"""Label images that are not PNG: BMP, TIFF, JPEG and WebP, decoded by OpenCV where it returns what is stored.

The header is read first, without OpenCV: a false size must not take memory, and what OpenCV changes without a word
(values of fewer than 8 bits, palettes, 5-bit colours) must not become a wrong mask.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg.convert.pillow import open_gif, open_tiff
from seg.files import checks

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_other(path: Path, max_pixels: int, by_number: bool, gray: bool = False) -> "tuple[NDArray[Any], str]":
    """Return the pixels of an image that is not PNG, H x W x 3 RGB or H x W, and the name of its format if it is lossy.

    Alpha comes as one more channel, H x W x 4 or H x W x 2; ids may be negative or of 32 bits.

    Args:
        by_number: one-channel images are read by their stored values alone, not by colour.
        gray: gray images are, palettes need not be.

    Raises:
        ValueError: larger than ``max_pixels``, broken, or of a kind that OpenCV does not return as it is stored.
    """
    from seg.images.headers import read_header

    with path.open("rb") as file:
        if (start := file.read(4)) == b"GIF8":
            return open_gif(path, max_pixels, by_number), ""
        file.seek(0)
        header = read_header(file)
        checks.size(header.width, header.height, max_pixels)
        size = file.seek(0, 2)
        if size > 64 * header.width * header.height + (64 << 20):
            raise ValueError(
                f"expected a file for the {header.width} x {header.height} pixels of its header, got {size} bytes, far "
                "too many; export it again"
            )
    if start[:2] in (b"II", b"MM") and (pixels := open_tiff(path, by_number, by_number or gray)) is not None:
        return pixels, header.lossy
    image = _decode(path, header.palette)
    if start[:2] == b"BM" and image.ndim == 3:
        image = image[..., :3]  # the fourth byte is alpha in few of them, and 0 in most of the others
    if image.dtype.kind == "f" and image.ndim == 2 and (by_number or gray):
        image = _whole(image)
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
        image = image[..., [2, 1, 0, 3][: image.shape[2]]] if image.shape[2] >= 3 else image  # BGR(A) to RGB(A)
    if image.dtype == np.uint16 and image.ndim == 3:
        if (image % 257).any():
            raise ValueError(
                "16-bit colour: expected an 8-bit colour stored wide (channels that are multiples of 257), got others; "
                "save the label with 8 bits"
            )
        image = (image // 257).astype(np.uint8)
    return image


def _whole(image: "NDArray[Any]") -> "NDArray[Any]":
    """Return floating-point ids as integers."""
    import numpy as np

    fit = (image == np.floor(image)) & (np.abs(image) < 1 << 53)  # not NaN
    if not fit.all():
        place = np.argwhere(~fit)[0]
        raise ValueError(
            f"floating-point image: expected whole numbers, got {image[tuple(place)]} at x={place[1]}, y={place[0]}; "
            "round them, or save class numbers (and a number for missing ones)"
        )
    return image.astype(np.int64)
