"""manifest.jsonl: the outcome of each source, one line each, so that the next run converts only what has changed."""

import json
import os
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from seg.files import is_plain, open_to_append

Record = dict[str, Any]
"""One line: ``file, status, reason`` or ``file, status, size, mtime_ns, mask_size, mask_mtime_ns`` and what the writer
adds; in a file also ``key``. With ``crc32``, a source that was touched counts as unchanged if its bytes are the same;
without, it counts as changed, which suits work whose sources it would take too long to read again."""

_OFFSET_BITS = 36  # files up to 64 GB; the other 28 bits of an index entry are a hash of the name
_OFFSET = (1 << _OFFSET_BITS) - 1


class Manifest:
    """Append-only files of records in one folder, one JSON object a line.

    A run appends to a file of its own, ``manifest.jsonl`` or that of its shard, because on a network file system two
    machines cannot append to one; it reads those of all runs. Memory holds 8 bytes a line, a hash of the name and the
    position of the line, and in a run that is no shard 16 more, for `unclaimed`. Torn lines, which a killed run leaves,
    are ignored.

    Args:
        folder: where the files are.
        part: what the name of this run's file has between stem and suffix, such as ``.1-of-4``.
        key: label map and options of this run; masks made with others do not count as unchanged.
    """

    def __init__(self, folder: Path, part: str, key: str) -> None:
        self._key, self._is_shard = key, bool(part)
        self._own = own = folder / f"manifest{part}.jsonl"
        self._file = open_to_append(own)
        others = (path for path in sorted(folder.glob("manifest*.jsonl")) if path != own and is_plain(path))
        self._paths = [*others, own]
        self._readers = [path.open("rb") for path in self._paths]
        self._ends: list[int] = []  # of each file, as if all were one
        self._other_keys = False
        self._converted = array("Q")
        self._index = _in_order(self._read_entries())
        self._claimed = array("Q")
        self._complete = True

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
        self._write(json.dumps({**record, "key": self._key}).encode() + b"\n")

    def _write(self, line: bytes) -> None:
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
        for record, line in self._records(name):
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
            if touched:
                self.append({**record, "mtime_ns": now.st_mtime_ns})
            elif line is not None:
                self._write(line)
            return record
        return None

    def __contains__(self, name: str) -> bool:
        """Tell whether a source was converted before, in whatever way, or begun."""
        return any(record["status"] in ("converted", "begun") for record, _ in self._records(name))

    def __len__(self) -> int:
        """Count the lines of all calls."""
        return len(self._index)

    def claim(self, name: str, *, unlisted: bool = False) -> None:
        """Take note that this call makes something of a source; see `unclaimed`.

        Args:
            unlisted: the source is a folder, or a file of several, that cannot be read: nobody knows what is gone.
        """
        if not self._is_shard:
            self._claimed.append(_wide_hash(name))
        self._complete &= not unlisted

    def unclaimed(self) -> Iterator[Record]:
        """Yield a record of each source that was converted before, and that this call has not claimed.

        None where a part of the sources could not be listed. Not for a shard, which makes a part of them.
        """
        assert not self._is_shard
        if not self._index or not self._complete:
            return
        claimed, seen = _in_order(self._claimed), set()
        if all(_holds(claimed, number) for number in self._converted):  # nearly always: no line is read again
            return
        for record in self._lines():
            if not _holds(claimed, _wide_hash(name := record["file"])) and name not in seen:
                seen.add(name)
                yield record

    def of_other_keys(self) -> Iterator[Record]:
        """Yield the records of sources that were last converted with another label map or options."""
        for record in self._lines() if self._other_keys else ():
            if record["key"] != self._key and next(self._records(record["file"]))[0]["key"] != self._key:
                yield record

    def forget_other_keys(self) -> None:
        """Drop the files of which no line is of this key; what they list is to be gone."""
        if not self._other_keys:
            return
        alike = {self._paths[number] for number, record in self._numbered() if record["key"] == self._key}
        for path in {*self._paths} - alike - {self._own}:
            path.unlink(missing_ok=True)
        if self._own not in alike:
            os.ftruncate(self._file, 0)
        kept = [pair for pair in zip(self._paths, self._readers, strict=True) if pair[0] in alike | {self._own}]
        for reader in {*self._readers} - {reader for _, reader in kept}:
            reader.close()
        self._paths, self._readers = [path for path, _ in kept], [reader for _, reader in kept]
        self._index = _in_order(self._read_entries())

    def _lines(self) -> Iterator[Record]:
        """Yield what was converted, line by line."""
        return (record for _, record in self._numbered())

    def _numbered(self) -> Iterator[tuple[int, Record]]:
        starts = [0, *self._ends]
        for number, path in enumerate(self._paths):
            end = self._ends[number] - starts[number]  # lines of this call are not read again
            with path.open("rb") as file:
                while file.tell() < end:
                    if (record := _parsed(file.readline())) is not None and record["status"] == "converted":
                        yield number, record

    def _read_entries(self) -> Iterator[int]:
        """Read all files anew, and yield the entry of each line in the index."""
        self._ends, self._converted, offset, line = [], array("Q"), 0, b"\n"
        for reader in self._readers:
            reader.seek(0)
            line = b"\n"
            for line in reader:
                if (record := _parsed(line)) is not None:
                    yield _hash(record["file"]) | offset
                    self._other_keys |= record["key"] != self._key
                    if not self._is_shard and record["status"] == "converted":
                        self._converted.append(_wide_hash(record["file"]))
                offset += len(line)
            self._ends.append(offset)
        if not line.endswith(b"\n"):  # the last file is this run's own
            os.write(self._file, b"\n")  # a torn line must not spoil the next one

    def _records(self, name: str) -> Iterator[tuple[Record, bytes | None]]:
        """Every record of a source, the latest of this run's file first, and its line where another run wrote it."""
        wanted = _hash(name)
        at = bisect_right(self._index, wanted | _OFFSET)
        while at and self._index[at - 1] & ~_OFFSET == wanted:
            at -= 1
            offset = self._index[at] & _OFFSET
            number = bisect_right(self._ends, offset)
            reader = self._readers[number]
            reader.seek(offset - (self._ends[number - 1] if number else 0))
            record: Record = json.loads((line := reader.readline()).decode())
            if record["file"] == name:
                yield record, line.rstrip(b"\n") + b"\n" if number < len(self._readers) - 1 else None


_NUMBERS = ("size", "mtime_ns", "mask_size", "mask_mtime_ns")


def _parsed(line: bytes) -> Record | None:
    """Read a line; None for one that is torn, or that no call wrote."""
    try:
        record = json.loads(line.decode())  # of bytes it would guess the encoding first
    except ValueError:
        return None
    if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("file", "status", "key")):
        return None
    if record["status"] == "converted" and not all(type(record.get(key)) is int for key in _NUMBERS):
        return None
    return record


def _in_order(numbers: Iterable[int]) -> "array[int]":
    """Sort numbers of 64 bits, hashes in the upper ones: a part at a time, as a list takes five times their memory."""
    parts: defaultdict[int, array[int]] = defaultdict(partial(array, "Q"))
    found = array("Q")
    for number in numbers:
        parts[number >> 56].append(number)
    for part in sorted(parts):
        found.extend(sorted(parts.pop(part)))
    return found


def _holds(numbers: "array[int]", wanted: int) -> bool:
    at = bisect_left(numbers, wanted)
    return at < len(numbers) and numbers[at] == wanted


def _wide_hash(name: str) -> int:
    return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest())


def _hash(name: str) -> int:
    return zlib.crc32(os.fsencode(name)) >> 4 << _OFFSET_BITS


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc
