from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Path = str | bytes | PathLike[str] | PathLike[bytes]
_Color = tuple[int, int, int]
# (pixels, distinct, first, x, y, reach, level, clear, brightest): `first` is the first unknown colour or value, at x,
# y; `reach` the max_distance under which all would have a nearest colour, None if there is none; `level` their largest
# gray level but 255, -1 if not all are gray; `clear` how many of the pixels are fully transparent; `brightest` the
# largest channel of these colours
_Unknown = tuple[int, int, _Color | int, int, int, int | None, int, int, int]
# (distinct, class): how many unlisted colours became one class by unknown="nearest", if they are several
_Merged = tuple[int, int]

inflate: str
"""Who inflates: ``libdeflate 1.14`` or ``zlib 1.2.13``."""

temporary_prefix: str
"""What this machine's temporary masks are called: this, the process, a number."""

class Table:
    """Colours and values with their mask values (0..255)."""
    def __init__(self, colors: Sequence[tuple[_Color, int]], values: Sequence[tuple[int, int]]) -> None: ...

class Result:
    """What became of one job; `job` is the very object that was given."""
    @property
    def job(self) -> Any: ...
    @property
    def status(self) -> str:
        """converted, unknown, failed, unsupported (not a PNG file) or skipped (source None)."""
    @property
    def reason(self) -> str:
        """Why it failed; empty otherwise."""
    @property
    def size(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def crc(self) -> int:
        """CRC-32 of the source file."""
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def orientation(self) -> int:
        """EXIF's, 1..8, which is not applied."""
    @property
    def counts(self) -> dict[int, int]:
        """Pixels of each mask value that occurs."""
    @property
    def unknown(self) -> _Unknown | None: ...
    @property
    def merged(self) -> _Merged | None: ...
    @property
    def clear(self) -> int:
        """Fully transparent pixels whose colour or value is a class; 0 with transparent="ignore"."""

class Conversion(Iterator[Result]):
    def __next__(self) -> Result: ...
    def close(self) -> None:
        """Each worker finishes its current file; the rest is dropped."""

def convert_files(
    jobs: Iterable[Sequence[Any]],
    table: Table,
    *,
    unknown: str = "error",
    max_distance: int | None = None,
    read: str = "auto",
    transparent: str = "keep",
    max_pixels: int = 2**28,
    threads: int = 1,
) -> Conversion:
    """Convert files on threads, or with one on the thread that reads the results; they come in the order of the jobs,
    which are pulled as needed.

    A job is a sequence (source, destination, ...); with the source None it is passed through as skipped.
    """

def map_file(
    path: _Path,
    table: Table,
    *,
    unknown: str = "error",
    max_distance: int | None = None,
    read: str = "auto",
    transparent: str = "keep",
    max_pixels: int = 2**28,
) -> tuple[Result, NDArray[np.uint8] | None]:
    """What `convert_files` makes of one file, and its mask (H, W) if the status is converted."""

def map_array(
    image: NDArray[np.uint8] | NDArray[np.uint16],
    table: Table,
    *,
    unknown: str = "error",
    max_distance: int | None = None,
    read: str = "auto",
    transparent: str = "keep",
) -> tuple[NDArray[np.uint8], dict[int, int], _Unknown | None, _Merged | None, int]:
    """Mask, pixels of each mask value, what the table did not answer for (255 in the mask), and see `Result`."""

def write_mask(path: _Path, mask: NDArray[np.uint8]) -> None:
    """Write an 8-bit grayscale PNG whole or not at all; OSError if that fails."""

def decode(file: bytes, max_pixels: int = 2**28) -> tuple[NDArray[Any], list[_Color] | None]:
    """Samples of a PNG file as stored, without alpha, and its palette."""
