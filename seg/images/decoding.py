"""The values of an image file: by OpenCV, and by tifffile where OpenCV gives other values than the file holds."""

import io
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.files import SUFFIXES
from seg.images.headers import Tiff, check_frames, orientation_of, read_tiff
from seg.images.reading import Reading

_PNG_WITH_ALPHA = (b"\x04", b"\x06")  # colour types: gray and RGB
_NO_MEMORY = "expected memory for this image, got none; cut or shrink it"
MOST_BYTES = (1 << 31) - 1
"""Of a file that OpenCV decodes."""

_OPENCV_BITS = {1, 2, 4, 8, 16, 32, 64}


class Values(NamedTuple):
    """The values of a file.

    Attributes:
        pixels: (H, W, bands) of the file's type, colours first and in the order red, green, blue; upright.
        alpha: the last band says how opaque the pixels are.
        dropped: further bands of the file, or of its further pages, that are not among ``pixels``.
        orientation: EXIF's, 1 = as stored.
    """

    pixels: NDArray[Any]
    alpha: bool = False
    dropped: int = 0
    orientation: int = 1

    @property
    def colors(self) -> NDArray[Any]:
        """(H, W, bands) without alpha."""
        return self.pixels[..., :-1] if self.alpha else self.pixels

    def chosen(self, reading: Reading) -> NDArray[Any]:
        """Return the bands that the reading takes, (H, W, channels), of the file's type.

        Raises:
            ValueError: they are missing, or nobody said which to take.
        """
        return reading.chosen(self.colors if reading.bands is None else self.pixels)

    def image(self, reading: Reading) -> NDArray[np.uint8]:
        """Return the image as models see it, (H, W, channels) uint8.

        Raises:
            ValueError: see `chosen`, and `Reading.scaled`.
        """
        return reading.scaled(self.chosen(reading))

    @property
    def kind(self) -> str:
        """Such as ``RGBA, 8 bit``, ``4 bands, 16 bit``."""
        count, numbers = self.pixels.shape[2] + self.dropped, self.pixels.dtype
        name = {1: "gray", 2: "gray with alpha" * self.alpha, 3: "RGB", 4: "RGBA" * self.alpha}.get(count)
        bits = {"u": "", "i": " signed", "f": " float"}[numbers.kind]
        return f"{name or f'{count} bands'}, {8 * numbers.itemsize} bit{bits}"


def decode(data: NDArray[np.uint8], how: int) -> NDArray[Any] | None:
    """Call `cv2.imdecode`, but return None where OpenCV raises because it cannot read a file.

    Raises:
        ValueError: not enough memory.
    """
    try:
        return cv2.imdecode(data, how) if data.size else None
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise ValueError(_NO_MEMORY) from None
        return None


def decode_values(data: bytes, reading: Reading, *, every: bool = False) -> Values:
    """Decode a file once.

    Args:
        reading: decides how much is decoded; neither its bands nor its range are applied.
        every: alpha as well, even if the reading needs none, and gray as one band.

    Raises:
        ValueError: damaged, an animation, of another format, or in need of a library that is missing.
    """
    check_frames(data)
    every = every or reading.bands is not None
    orientation = orientation_of(data)
    tiff = read_tiff(data)
    if tiff is not None:
        return _tiff_values(data, tiff, reading, every)._replace(orientation=orientation)
    alpha = every and ((data[:4] == b"\x89PNG" and data[25:26] in _PNG_WITH_ALPHA) or data[8:12] == b"WEBP")
    if alpha:  # OpenCV turns what it is asked for unchanged in no format but TIFF
        pixels = _opencv(data, cv2.IMREAD_UNCHANGED)
        pixels = turned(pixels, orientation) if reading.exif else pixels
        return Values(pixels, pixels.shape[2] == 4, orientation=orientation)
    color = cv2.IMREAD_ANYCOLOR if every else cv2.IMREAD_COLOR
    as_stored = 0 if reading.exif else cv2.IMREAD_IGNORE_ORIENTATION
    return Values(_opencv(data, color | cv2.IMREAD_ANYDEPTH | as_stored), orientation=orientation)


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W, ...) upright, by its EXIF orientation 1..8."""
    if orientation > 4:  # stored on its side
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _opencv(data: bytes, how: int) -> NDArray[Any]:
    """Decode (H, W, bands), red first.

    Raises:
        ValueError: it cannot be decoded.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"expected a file of at most {MOST_BYTES} bytes, which OpenCV decodes, got {len(data)}; cut it into tiles, "
            "or store it as a TIFF file and give seg-predict inference=sliding"
        )
    pixels = decode(np.frombuffer(data, np.uint8), how)
    if pixels is None:
        raise ValueError(f"expected one of {' '.join(SUFFIXES)}, got a file that cannot be decoded; replace it")
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.shape[2] != 3:
        return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    if pixels.dtype in (np.uint8, np.uint16):  # to copy a reversed view takes NumPy as long as JPEG takes to decode
        try:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        except cv2.error:  # it has no other reason
            raise ValueError(_NO_MEMORY) from None
    return pixels[..., ::-1]


def _tiff_values(data: bytes, tiff: Tiff, reading: Reading, every: bool) -> Values:
    alpha = tiff.alpha in (1, 2) and tiff.samples in (2, 4)
    if _is_for_tifffile(tiff, reading):
        pixels = _tifffile(data, tiff, reading)
        others = 0 if reading.bands is not None else tiff.samples * (tiff.pictures - 1)
        return Values(pixels, alpha and pixels.shape[2] == tiff.samples, others)
    single = every or tiff.floats or tiff.bits > 16
    pixels = _opencv(data, (cv2.IMREAD_ANYCOLOR if single else cv2.IMREAD_COLOR) | cv2.IMREAD_ANYDEPTH)
    hidden = alpha and tiff.photometric == 2 and _is_seen(data)  # writers call any fourth band alpha
    if hidden and tiff.alpha == 2 and tiff.bits == 8:  # libtiff has multiplied the colours by it
        others = tiff.samples * (tiff.pictures - 1)
        return Values(_tifffile(data, tiff, reading)[..., :3], dropped=1 + others)
    if tiff.photometric == 0 and pixels.dtype == np.uint16:  # white is zero, which OpenCV knows of 8 bits alone
        pixels = 65535 - pixels
    if not reading.exif:
        pixels = turned(pixels, {6: 8, 8: 6}.get(tiff.orientation, tiff.orientation))
    dropped = tiff.samples - 3 if tiff.photometric == 2 and not alpha else int(hidden)
    return Values(pixels, False, dropped + tiff.samples * (tiff.pictures - 1))


def _is_seen(data: bytes) -> bool:
    """Tell whether the fourth band says anything: alpha of opaque pixels does not."""
    opacity = _opencv(data, cv2.IMREAD_UNCHANGED)[..., 3:]
    return opacity.size > 0 and opacity.dtype.kind == "u" and bool((opacity < np.iinfo(opacity.dtype).max).any())


def _is_for_tifffile(tiff: Tiff, reading: Reading) -> bool:
    """Tell whether OpenCV would take one band for all, mix them up, or give up."""
    if tiff.samples == 1:
        more_bands = reading.bands is not None and tiff.pages > 1
        return more_bands or (tiff.bits not in _OPENCV_BITS and reading.range is not None)
    return (
        tiff.is_gray
        or tiff.samples > 4
        or (tiff.separate and tiff.bits != 8)
        or (reading.bands is not None and (tiff.samples == 4 or tiff.pages > 1) and tiff.photometric == 2)
    )


def _tifffile(data: bytes, tiff: Tiff, reading: Reading) -> NDArray[Any]:
    """Decode (H, W, bands) of all samples, and of all pages if bands were chosen.

    Raises:
        ValueError: damaged, or the library is missing.
    """
    remedy = "pip install 'seg-toolkit[tiff]'"
    try:
        import tifffile
    except ImportError:
        raise ValueError(
            f"expected a TIFF file of 1 or 3 bands, got {tiff.samples} a page on {tiff.pages}, stored as OpenCV cannot "
            f"read them; {remedy}"
        ) from None
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            first = file.pages[0]
            pages = [page for page in file.pages if page.shape == first.shape] if reading.bands is not None else [first]
            bands = [_bands_last(np.asarray(page.asarray()), tiff) for page in pages]
    except Exception as error:  # of many kinds, where a file is damaged
        if "imagecodecs" in str(error):
            raise ValueError(f"expected a codec for this TIFF file, got '{error}'; {remedy}") from None
        raise ValueError(f"expected a TIFF file, got one that cannot be decoded ({error}); replace it") from None
    pixels = np.concatenate(bands, 2)
    if tiff.photometric == 0:
        pixels = np.iinfo(pixels.dtype).max - pixels if pixels.dtype.kind == "u" else pixels
    return turned(pixels, tiff.orientation) if reading.exif else pixels


def _bands_last(pixels: NDArray[Any], tiff: Tiff) -> NDArray[Any]:
    if pixels.ndim == 2:
        return pixels[..., None]
    return np.moveaxis(pixels, 0, 2) if tiff.separate and len(pixels) == tiff.samples else pixels
