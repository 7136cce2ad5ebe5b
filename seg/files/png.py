"""PNG files that are written some rows at a time, for images that are larger than memory."""

import struct
import zlib
from typing import IO

import numpy as np
from numpy.typing import NDArray


class PngRows:
    """A PNG file of 8 bits, gray or RGB, written some rows at a time (PNG specification, 3rd edition)."""

    def __init__(self, file: IO[bytes], height: int, width: int, channels: int = 1) -> None:
        self._file, self._packed, self._above = file, zlib.compressobj(4), np.zeros(width * channels, np.uint8)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0))

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Write the next rows, (h, width) or (h, width, 3)."""
        flat = rows.reshape(len(rows), -1)
        lines = np.full((len(rows), flat.shape[1] + 1), 2, np.uint8)  # filter 2: the difference from the row above
        np.subtract(flat, np.concatenate([self._above[None], flat[:-1]]), out=lines[:, 1:])
        self._above = flat[-1].copy()
        if data := self._packed.compress(lines.tobytes()):
            self._chunk(b"IDAT", data)

    def close(self) -> None:
        """Write the end."""
        self._chunk(b"IDAT", self._packed.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
