"""Label images that are not PNG: BMP, TIFF, JPEG and WebP, decoded by OpenCV where it returns what is stored.

The header is read first, without OpenCV: a false size must not take memory, and what OpenCV changes without a word
(values of fewer than 8 bits, palettes, 5-bit colours) must not become a wrong mask.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seg.convert.pillow import PALETTE, open_gif, open_tiff
from seg.files import checks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seg.images.headers import Header, Tiff


class Opened(NamedTuple):
    """The pixels of a label image, and what is odd about its file.

    Attributes:
        pixels: H x W x 3 RGB or H x W; alpha comes as one more channel, H x W x 4 or H x W x 2; ids may be negative or
            of 32 bits.
        lossy: the name of its format if that is lossy.
        exif: what was done about an EXIF orientation: ``applied``, ``left``, or empty where there is none.
        nodata: the value that the file declares as missing.
        missing: (H, W), where that value is stored; None without any.
    """

    pixels: "NDArray[Any]"
    lossy: str = ""
    exif: str = ""
    nodata: float | None = None
    missing: "NDArray[np.bool_] | None" = None


def open_other(path: Path, max_pixels: int, by_number: bool, gray: bool = False) -> Opened:
    """Return the pixels of an image that is not PNG.

    Args:
        by_number: one-channel images are read by their stored values alone, not by colour.
        gray: gray images are, palettes need not be.

    Raises:
        ValueError: larger than ``max_pixels``, broken, of several pictures, or of a kind that OpenCV does not return as
            it is stored.
    """
    from seg.images.headers import read_header

    with path.open("rb") as file:
        if file.read(4) == b"GIF8":
            return Opened(open_gif(path, max_pixels, by_number))
        file.seek(0)
        header = read_header(file)
        checks.size(header.width, header.height, max_pixels)
        size = file.seek(0, 2)
        if size > 64 * header.width * header.height + (64 << 20):
            raise ValueError(
                f"expected a file for the {header.width} x {header.height} pixels of its header, got {size} bytes, far "
                "too many; export it again"
            )
    if header.frames > 1:
        raise ValueError(
            f"expected one picture, got {header.frames} (frames, or pictures of a JPEG); save the one that is the "
            "label as a PNG of its own"
        )
    if header.tiff is None:
        return _opened(path, header, by_number, gray)
    _check_tiff(header.tiff, by_number or gray)
    pixels = open_tiff(path, header.tiff, by_number, by_number or gray)
    opened = _opened(path, header, by_number, gray) if pixels is None else Opened(pixels, header.lossy)
    turned = "applied" if 1 < header.tiff.orientation <= 8 else ""
    missing = _missing(path, header.tiff, opened.pixels)
    return opened._replace(exif=turned, nodata=header.tiff.nodata, missing=missing)


def _check_tiff(tiff: "Tiff", gray: bool) -> None:
    """Refuse what has no place in a mask, and what no library returns as it is stored.

    Args:
        gray: gray images are read by their stored values.
    """
    if tiff.pictures > 1:
        raise ValueError(
            f"TIFF: expected one page, got {tiff.pictures}; save the page that is the label as a file of its own"
        )
    if tiff.samples > 4 or (tiff.is_gray and tiff.samples > 1 + (tiff.alpha in (1, 2))):
        raise ValueError(
            f"TIFF: expected one band (numbers) or RGB, got {tiff.samples} bands; write one number a pixel, that of "
            "its class, into one band"
        )
    if tiff.samples == 2 and tiff.bits > 8:
        raise ValueError("TIFF: expected gray of 16 bits without a second channel, got two; save it with one")
    if tiff.samples > 1 and tiff.separate and tiff.bits != 8:
        raise ValueError(
            "TIFF: expected the channels of a pixel together, got planes of 16 bits, which OpenCV mixes up; save the "
            "label as PNG"
        )
    if tiff.photometric == 0 and (gray or tiff.bits > 8):
        raise ValueError(
            "TIFF: expected numbers of black-is-zero, got white-is-zero (PhotometricInterpretation 0), where readers "
            "differ on what is 0; export PNG of class numbers again from what the label was made of, or list colours "
            "and use read=color with 8 bits or fewer"
        )


def _missing(path: Path, tiff: "Tiff", pixels: "NDArray[Any]") -> "NDArray[np.bool_] | None":
    """Find the pixels of the value that the file declares as missing; None without any."""
    import numpy as np

    if tiff.nodata is None:
        return None
    if tiff.photometric == PALETTE and pixels.ndim == 3:  # the value is the index, not the colour
        pixels = open_tiff(path, tiff, True, True)  # type: ignore[assignment]
    channels = pixels.reshape(*pixels.shape[:2], -1)
    if channels.shape[2] in (2, 4):
        channels = channels[..., :-1]
    return np.asarray((channels == tiff.nodata).all(2))


def _opened(path: Path, header: "Header", by_number: bool, gray: bool) -> Opened:
    """Return what OpenCV decodes."""
    from seg.images.headers import orientation_of

    data = path.read_bytes()
    image = _decode(data, header.palette)
    if data.startswith(b"BM") and image.ndim == 3:
        image = image[..., :3]  # the fourth byte is alpha in few of them, and 0 in most of the others
    if image.dtype.kind == "f" and image.ndim == 2 and (by_number or gray):
        image = _whole(image)
    if by_number and (header.palette or (image.ndim == 2 and not header.stored)):
        raise ValueError(
            "expected stored values of 8 or 16 bits, got a palette or fewer than 8 bits a pixel, whose values OpenCV "
            "does not return; add colours to the label map, or export the label as PNG of class numbers"
        )
    if image.ndim == 2 and not header.stored:
        image = image[..., None].repeat(3, axis=2)
    return Opened(image, header.lossy, "left" if orientation_of(data) > 1 else "")


def _decode(data: bytes, palette: bool) -> "NDArray[Any]":
    import cv2
    import numpy as np

    from seg.images import decode

    how = cv2.IMREAD_COLOR if palette else cv2.IMREAD_UNCHANGED
    image = decode(np.frombuffer(data, np.uint8), how)
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
            "save class numbers (resample labels by the nearest pixel alone), and for missing ones a number that is no "
            "class, such as -1, with ignore_values=[-1]"
        )
    return image.astype(np.int64)
