"""manifest.jsonl: what became of each source, a line at a time, so that the next run does only what changed."""

import json
import os
import zlib
from array import array
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

Record = dict[str, Any]
"""One line: ``file, status, reason`` or ``file, status, size, mtime_ns, crc32, mask_size, mask_mtime_ns, counts``."""

_OFFSET_BITS = 36  # files up to 64 GB; the other 28 bits of an index entry are a hash of the name
_OFFSET = (1 << _OFFSET_BITS) - 1


class Manifest:
    """An append-only file of records, one JSON object a line; the last line about a source counts.

    Kept in memory are 8 bytes a line, however many files there are: a hash of the name and the line's offset.
    Several shards may append at once, because each line is one write to the end of the file. Torn lines, which a
    killed run leaves, are ignored.

    Args:
        path: the file; made if missing.
        key: label map and options of this run; what was made with others is not taken as unchanged.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._key = key
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._reader = os.fdopen(os.dup(self._file), "rb")
        self._index = self._read_index()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        os.close(self._file)

    def append(self, record: Record) -> None:
        os.write(self._file, json.dumps({**record, "key": self._key}).encode() + b"\n")

    def unchanged(self, name: str, source: Path, mask: Path) -> Record | None:
        """The record of a source if file, label map, options and mask are still those it tells of."""
        record = self._last(name)
        if record is None or record["status"] != "converted" or record["key"] != self._key:
            return None
        try:
            now, made = source.stat(), mask.stat()
            # A run with another label map, killed between mask and line, leaves a mask that is not the recorded one.
            if (made.st_size, made.st_mtime_ns) != (record["mask_size"], record["mask_mtime_ns"]):
                return None
            if now.st_size != record["size"]:
                return None
            if now.st_mtime_ns != record["mtime_ns"]:
                if _crc(source) != record["crc32"]:
                    return None
                record["mtime_ns"] = now.st_mtime_ns
                self.append(record)
        except OSError:
            return None
        return record

    def _read_index(self) -> "array[int]":
        entries = array("Q")
        offset = 0
        line = b"\n"
        for line in self._reader:
            with suppress(ValueError, KeyError, TypeError):  # a torn line
                entries.append(_hash(json.loads(line)["file"]) | offset)
            offset += len(line)
        if not line.endswith(b"\n"):
            os.write(self._file, b"\n")  # what was torn must not spoil the next line
        return array("Q", sorted(entries))

    def _last(self, name: str) -> Record | None:
        wanted = _hash(name)
        at = bisect_right(self._index, wanted | _OFFSET)
        while at and self._index[at - 1] & ~_OFFSET == wanted:
            at -= 1
            self._reader.seek(self._index[at] & _OFFSET)
            record: Record = json.loads(self._reader.readline())
            if record["file"] == name:
                return record
        return None


def _hash(name: str) -> int:
    return zlib.crc32(os.fsencode(name)) >> 4 << _OFFSET_BITS


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc
