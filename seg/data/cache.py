"""Decoded files, kept for the next epochs: in memory that all processes of a machine share, or on disk.

Both hold what was decoded, byte for byte. A file is decoded by whoever asks for it first; if two ask at once, both do
it, and write the same bytes.
"""

import hashlib
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.pairs import Pair
from seg.files import whole
from seg.files.memo import cache_folder
from seg.images import Reading

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Shape = tuple[int, ...]
Shapes = Iterable[tuple[Path, Shape]]
"""Files and the shapes that they are decoded to."""


class Cache(Protocol):
    """Where decoded files are kept."""

    def get(self, path: Path, decode: Callable[[], Pixels]) -> Pixels:
        """Return what ``decode`` returns for this file, or once returned; an array of the caller's own."""


class MemoryCache:
    """Decoded files in memory that has no name, and that the system takes back when the last process ends.

    A loading worker, or a copy by way of ``pickle``, uses the same memory.

    Args:
        files: all that will be asked for.
        address: that of the cache of another process of this machine, made for the same files, whose memory to use;
            None = new memory.

    Raises:
        ValueError: a system other than Linux.
    """

    def __init__(self, files: Shapes, address: str | None = None) -> None:
        if not hasattr(os, "memfd_create"):
            raise ValueError("data.cache: expected Linux for ram, got another system; give data.cache=disk, or null")
        self._shapes = dict(files)
        self._places: dict[Path, tuple[int, int]] = {}  # number of its mark, and where its bytes begin
        end = len(self._shapes)  # the marks come first: a byte for each file, 1 = its bytes are there
        for number, (path, shape) in enumerate(self._shapes.items()):
            self._places[path] = number, end
            end += int(np.prod(shape))
        if address is not None:
            self.address, self._file = address, os.open(address, os.O_RDWR)
            return
        self._file = os.memfd_create("seg-cache")
        os.ftruncate(self._file, end)
        self.address = f"/proc/{os.getpid()}/fd/{self._file}"

    def get(self, path: Path, decode: Callable[[], Pixels]) -> Pixels:
        """Return the kept or decoded pixels, see `Cache`."""
        (mark, start), shape = self._places[path], self._shapes[path]
        if os.pread(self._file, 1, mark) == b"\1":
            pixels = np.empty(shape, np.uint8)
            _move(os.preadv, self._file, pixels, start)
            return pixels
        pixels = decode()
        if pixels.shape == shape:  # it may have been changed since it was checked; whoever wants it finds out
            _move(os.pwritev, self._file, np.ascontiguousarray(pixels), start)
            os.pwrite(self._file, b"\1", mark)  # after the bytes that it vouches for
        return pixels

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_file"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._file = os.open(self.address, os.O_RDWR)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._file)


class DiskCache:
    """Decoded files as ``.npy`` in a folder, found again by later runs as long as their sources do not change.

    Args:
        folder: is made when something is written; it can be deleted at any time.
        reading: whatever else decides about the pixels, such as `seg.images.Reading` and versions.
    """

    def __init__(self, folder: Path, reading: str) -> None:
        self.folder, self.reading = folder, reading

    def path(self, source: Path) -> Path:
        """Return where the decoded form of a file is kept, as the file is now."""
        state = source.stat()
        key = repr((str(source.resolve()), state.st_size, state.st_mtime_ns, self.reading))
        digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        return self.folder / digest[:2] / f"{digest}.npy"

    def get(self, path: Path, decode: Callable[[], Pixels]) -> Pixels:
        """Return the kept or decoded pixels, see `Cache`; what cannot be kept is decoded again the next time."""
        try:
            kept = self.path(path)
        except OSError:  # the reader says what is wrong with it
            return decode()
        with suppress(OSError, ValueError, EOFError):  # not there yet, or damaged
            return np.load(kept, allow_pickle=False)  # type: ignore[no-any-return]  # of pixels
        pixels = decode()
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            with whole(kept) as temporary, temporary.open("wb") as file:
                np.save(file, pixels, allow_pickle=False)
        return pixels


def _move(step: Callable[[int, list[memoryview], int], int], file: int, pixels: Pixels, start: int) -> None:
    """Read or write all bytes of an array by ``step``, which moves some of them."""
    view, done = pixels.data.cast("B"), 0
    while done < len(view):
        done += step(file, [view[done:]], start + done)


def free_memory() -> int:
    """Return the bytes of memory that this machine, or the container, can still give."""
    free = []
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # not limited
            most, now = (int(Path("/sys/fs/cgroup", name).read_text()) for name in (limit, used))
            free.append(most - now)
    return min(free, default=0)


CACHES = ("ram", "disk")
_SPARE = 0.9  # share of the free space that may be taken


def disk_cache(reading: Reading, classes: int) -> DiskCache:
    """Make the cache on disk of files that are read in this way; it is kept for later runs."""
    return DiskCache(cache_folder() / "pixels", f"{reading}, {classes}, OpenCV {cv2.__version__}")


def decoded_shapes(pairs: Iterable[Pair], sizes: Iterable[tuple[int, int]], channels: int) -> dict[Path, Shape]:
    """List the files of pairs, with the shapes that they are decoded to.

    Args:
        sizes: of the images, (height, width).
        channels: of the images.
    """
    shapes: dict[Path, Shape] = {}
    for pair, size in zip(pairs, sizes, strict=True):
        shapes |= {pair.image: (*size, channels), pair.mask: size}
        if pair.instances is not None:
            shapes[pair.instances] = size[0], 2 * size[1]  # 16 bits
    return shapes


def check_space(kind: str, shapes: Mapping[Path, Shape], disk: DiskCache) -> None:
    """Say how much a cache takes, and refuse it where there is not as much.

    Args:
        kind: one of `CACHES`.

    Raises:
        ValueError: there is less.
    """
    missing = shapes if kind == "ram" else {path: s for path, s in shapes.items() if not disk.path(path).exists()}
    wanted = sum(math.prod(shape) for shape in missing.values())
    if kind == "ram":
        free, where = free_memory(), "memory, once for all processes"
    else:
        folder = next(folder for folder in (disk.folder, *disk.folder.parents) if folder.exists())
        free, where = shutil.disk_usage(folder).free, f"disk in {disk.folder}, which may be deleted at any time"
    if wanted > _SPARE * free:
        other = "disk" if kind == "ram" else "ram"
        raise ValueError(
            f"data.cache: expected at most {_gigabytes(_SPARE * free)} for {kind}, which is {_SPARE:.0%} of what is "
            f"free, got {_gigabytes(wanted)} of decoded images and masks; give data.cache={other}, or null"
        )
    there = "" if len(missing) == len(shapes) else f"; {len(shapes) - len(missing)} of {len(shapes)} files are there"
    log.info(f"data.cache={kind}: takes {_gigabytes(wanted)} of {where}{there}")


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
