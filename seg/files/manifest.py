"""manifest.jsonl: the outcome of each source, one line each, so that the next run converts only what has changed."""

import json
import os
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

Record = dict[str, Any]
"""One line: ``file, status, reason`` or ``file, status, size, mtime_ns, mask_size, mask_mtime_ns`` and what the writer
adds; in a file also ``key``. With ``crc32``, a source that was touched counts as unchanged if its bytes are the same;
without, it counts as changed, which suits work whose sources it would take too long to read again."""

_OFFSET_BITS = 36  # files up to 64 GB; the other 28 bits of an index entry are a hash of the name
_OFFSET = (1 << _OFFSET_BITS) - 1


class Manifest:
    """Append-only files of records in one folder, one JSON object a line.

    A run appends to a file of its own, ``manifest.jsonl`` or that of its shard, because on a network file system two
    machines cannot append to one; it reads those of all runs. Memory holds 8 bytes a line: a hash of the name and
    the position of the line. Torn lines, which a killed run leaves, are ignored.

    Args:
        folder: where the files are.
        part: what the name of this run's file has between stem and suffix, such as ``.1-of-4``.
        key: label map and options of this run; masks made with others do not count as unchanged.
    """

    def __init__(self, folder: Path, part: str, key: str) -> None:
        self._key = key
        self._own = own = folder / f"manifest{part}.jsonl"
        self._file = os.open(own, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        others = (path for path in sorted(folder.glob("manifest*.jsonl")) if path != own)
        self._readers = [path.open("rb") for path in (*others, own)]
        self._ends: list[int] = []  # of each file, as if all were one
        self._index = self._read_index()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.close()
        os.close(self._file)

    def append(self, record: Record) -> None:
        """Append a record.

        Raises:
            OSError: the file cannot be written, so that further work would be lost to the next run.
        """
        line = json.dumps({**record, "key": self._key}).encode() + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise self._stuck(error.strerror) from None
        if written < len(line):
            raise self._stuck("no space left")

    def _stuck(self, why: str | None) -> OSError:
        return OSError(f"cannot write to '{self._own}': {why}; make room and repeat the command, finished work is kept")

    def unchanged(self, name: str, source: Path, made: Callable[[Record], tuple[int, int]]) -> Record | None:
        """Return the record of a source if file, label map, options and mask are still as recorded, else None.

        Args:
            made: returns bytes and time of what was written for the source, as they are now; OSError if it is missing.
        """
        for record, foreign in self._records(name):
            if record["status"] != "converted" or record["key"] != self._key:
                continue
            try:
                now = source.stat()
                # Another label map, or a run killed between mask and line, leaves a mask that is not the recorded one.
                if now.st_size != record["size"] or made(record) != (record["mask_size"], record["mask_mtime_ns"]):
                    continue
                touched = now.st_mtime_ns != record["mtime_ns"]
                if touched and ("crc32" not in record or _crc(source) != record["crc32"]):
                    continue
            except (OSError, ValueError):
                continue
            if touched or foreign:
                record["mtime_ns"] = now.st_mtime_ns
                self.append(record)
            return record
        return None

    def _read_index(self) -> "array[int]":
        entries = array("Q")
        offset = 0
        for reader in self._readers:
            line = b"\n"
            for line in reader:
                with suppress(ValueError, KeyError, TypeError):  # a torn line
                    entries.append(_hash(json.loads(line)["file"]) | offset)
                offset += len(line)
            self._ends.append(offset)
        if not line.endswith(b"\n"):  # the last file is this run's own
            os.write(self._file, b"\n")  # a torn line must not spoil the next one
        return array("Q", sorted(entries))

    def _records(self, name: str) -> Iterator[tuple[Record, bool]]:
        """Every line about a source, the latest one of this run's file first, and whether another run wrote it."""
        wanted = _hash(name)
        at = bisect_right(self._index, wanted | _OFFSET)
        while at and self._index[at - 1] & ~_OFFSET == wanted:
            at -= 1
            offset = self._index[at] & _OFFSET
            number = bisect_right(self._ends, offset)
            reader = self._readers[number]
            reader.seek(offset - (self._ends[number - 1] if number else 0))
            record: Record = json.loads(reader.readline())
            if record["file"] == name:
                yield record, number < len(self._readers) - 1


def _hash(name: str) -> int:
    return zlib.crc32(os.fsencode(name)) >> 4 << _OFFSET_BITS


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc
