"""Label files made by hand, and the command that converts one."""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from conftest import Script

COLORS = "name,r,g,b\nsky,10,20,250\nroad,120,120,120\ncar,250,10,10\nvoid,0,0,0\n"
VALUES = "classes:\n- {name: sky, values: [0]}\n- {name: road, values: [1]}\n- {name: car, values: [2]}\n"
TABLE = [(10, 20, 250), (120, 120, 120), (250, 10, 10), (0, 0, 0)]
INDICES = np.array([[0, 1, 2, 3], [0, 1, 2, 2]], np.uint8)
RGB = np.array(TABLE, np.uint8)[INDICES]


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png(samples: np.ndarray, kind: int, depth: int = 8, palette: bytes = b"", clear: bytes = b"") -> bytes:
    """A PNG file written by hand; ``samples`` (H, W) or (H, W, C) of 8 or, big-endian, 16 bits."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))]
    parts += [chunk(b"PLTE", palette)] if palette else []
    parts += [chunk(b"tRNS", clear)] if clear else []
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def tiff(
    samples: np.ndarray, *, photometric: int = 1, alpha: int | None = None, palette: list[int] | None = None
) -> bytes:
    """A TIFF file written by hand: one strip, uncompressed, in the byte order of the array."""
    order = ">" if samples.dtype.str[0] == ">" else "<"
    height, width = samples.shape[:2]
    channels, bits = samples.shape[2] if samples.ndim == 3 else 1, samples.dtype.itemsize * 8
    form = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    tags = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [photometric], 277: [channels]}
    tags |= {278: [height], 279: [samples.nbytes], 339: [form] * channels}
    tags |= ({338: [alpha]} if alpha is not None else {}) | ({320: palette} if palette else {})
    entries, blobs, start = b"", b"", 8 + 2 + 12 * (len(tags) + 1) + 4
    for tag, values in sorted({**tags, 273: [0]}.items()):
        packed = struct.pack(f"{order}{len(values)}H", *values)
        place = packed.ljust(4, b"\0")
        if tag == 273:
            blob_size = sum(2 * len(v) for v in tags.values() if len(v) > 2)
            place = struct.pack(order + "I", start + blob_size)
        elif len(packed) > 4:
            place = struct.pack(order + "I", start + len(blobs))
            blobs += packed
        entries += struct.pack(order + "HHI", tag, 4 if tag == 273 else 3, len(values)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags) + 1)
    return head + entries + bytes(4) + blobs + samples.tobytes()


def converted(tmp_path: Path, script: Script, name: str, content: bytes, labels: str, *words: str) -> Any:
    """Result of the command for one file, and the mask or None."""
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / name).write_bytes(content)
    path = tmp_path / ("map.csv" if labels.startswith("name") else "map.yaml")
    path.write_text(labels)
    result = script("seg-preprocess", "source=in", "destination=out", f"labels={path.name}", "json=true", *words)
    assert "Traceback" not in result.stderr
    return result, cv2.imread(str((tmp_path / "out" / name).with_suffix(".png")), cv2.IMREAD_UNCHANGED)


def check(outcome: Any, mask: Any, message: str = "") -> None:
    """The command succeeded with that mask, and said so much."""
    result, made = outcome
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(made, mask)
    assert message in result.stderr
    assert bool(message) == bool(result.stderr), result.stderr
