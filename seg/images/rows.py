"""Rows of TIFF files that are too large to be decoded whole."""

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg.images.decoding import Values
from seg.images.reading import Reading

_BITS = {8, 16, 32, 64}
_GRAY, _RGB, _YCBCR = 1, 2, 6
_JPEG = 7
_ALPHA = ([1], [2])
_LARGEST = 1 << 28  # bytes of a tile or strip, which is decoded whole


class Rows:
    """A TIFF file of which some rows at a time are read, as `seg.images.read_image` reads all.

    Attributes:
        height, width: in pixels.
    """

    def __init__(self, page: Any, reading: Reading) -> None:
        self.page, self.reading = page, reading
        self.height, self.width = page.imagelength, page.imagewidth
        tiled = page.is_tiled
        self.tile = (page.tilelength, page.tilewidth) if tiled else (page.rowsperstrip, self.width)
        self.separate = page.planarconfig == 2 and page.samplesperpixel > 1

    def __call__(self, first: int, last: int) -> NDArray[np.uint8]:
        """Read these rows as an image (last - first, width, channels) uint8.

        Raises:
            ValueError: they cannot be decoded, or the reading does not fit.
        """
        kinds = [int(kind) for kind in self.page.extrasamples[:1]]
        alpha = self.page.samplesperpixel in (2, 4) and kinds in _ALPHA
        return Values(self._stored(first, last), alpha).image(self.reading)

    def _stored(self, first: int, last: int) -> NDArray[Any]:
        """Read (last - first, width, samples) as the file holds them."""
        page, (length, width) = self.page, self.tile
        out = np.zeros((last - first, self.width, page.samplesperpixel), page.dtype)
        down, across = math.ceil(self.height / length), math.ceil(self.width / width)
        for plane in range(page.samplesperpixel if self.separate else 1):
            part = out[..., plane : plane + 1] if self.separate else out
            for row in range(first // length, math.ceil(last / length)):
                for column in range(across):
                    tile = self._decoded((plane * down + row) * across + column)
                    if tile is None:  # never written: zeros
                        continue
                    top, left = row * length, column * width
                    begin, end = max(first, top), min(last, top + length, self.height)
                    right = min(left + width, self.width)
                    part[begin - first : end - first, left:right] = tile[begin - top : end - top, : right - left]
        if page.photometric == 0:  # white is zero
            return np.asarray(np.iinfo(out.dtype).max - out)
        return out

    def _decoded(self, index: int) -> NDArray[Any] | None:
        """Decode a tile or strip (rows, columns, samples)."""
        file, size = self.page.parent.filehandle, self.page.databytecounts[index]
        if size == 0:
            return None
        file.seek(self.page.dataoffsets[index])
        data = file.read(size)  # before `decode` is looked up, which moves the file's position the first time
        try:
            tile, *_ = self.page.decode(data, index, jpegtables=self.page.jpegtables)
        except Exception as error:  # of many kinds, where a file is damaged or a codec missing
            raise ValueError(
                f"expected a TIFF file whose tiles can be decoded, got '{str(error)[:200]}'; replace it, or "
                "pip install 'seg-toolkit[tiff]'"
            ) from None
        return None if tile is None else np.asarray(tile[0])


@contextmanager
def tiff_rows(path: str | os.PathLike[str], reading: Reading) -> Iterator[Rows]:
    """Open a TIFF file for reading some rows at a time.

    Raises:
        ValueError: it is damaged, or cannot be read so: its values would be others than those of `read_image`, or it
            has no tiles or strips that fit into memory; or tifffile is missing.
    """
    try:
        import tifffile
    except ImportError:
        raise ValueError(
            f"image '{path}': expected tifffile for reading it in windows, got none; pip install 'seg-toolkit[tiff]'"
        ) from None
    with ExitStack() as stack:
        try:
            pages: list[Any] = list(stack.enter_context(tifffile.TiffFile(path)).pages)
        except Exception as error:  # of many kinds, where a file is damaged
            raise ValueError(
                f"image '{path}': expected a TIFF file, got one that cannot be read ({error}); replace it"
            ) from None
        page = pages[0]
        alike = sum(other.shape == page.shape for other in pages)
        if why := _unfit(page, alike, reading):
            raise ValueError(
                f"image '{path}': expected a TIFF file that can be read in windows, got {why}; store it as gray, RGB "
                "or bands, upright and in tiles (gdal_translate -co TILED=YES), or cut it into tiles"
            )
        try:
            yield Rows(page, reading)
        except ValueError as error:
            if str(error).startswith("image '"):
                raise
            raise ValueError(f"image '{path}': {error}") from None


def _unfit(page: Any, alike: int, reading: Reading) -> str:
    """Say why rows of a page cannot be read as `read_image` would read them; empty if they can."""
    orientation = page.tags[274].value if 274 in page.tags else 1
    if page.photometric not in (0, _GRAY, _RGB, _YCBCR):
        return f"colours stored as {page.photometric.name}"
    if page.photometric == _YCBCR and page.compression != _JPEG:  # whose codec alone makes RGB of it
        return f"YCbCr in {page.compression.name}"
    if page.photometric == 0 and page.dtype.kind != "u":
        return "white as zero in numbers that are not unsigned"
    if page.bitspersample not in _BITS:
        return f"{page.bitspersample} bits a sample"
    if reading.exif and orientation != 1:
        return f"EXIF orientation {orientation}"
    if reading.bands is not None and alike > 1:
        return f"bands on {alike} pages"
    size = math.prod(page.chunks) * page.dtype.itemsize
    if size > _LARGEST:
        return f"tiles or strips of {size:,} bytes"
    return ""
