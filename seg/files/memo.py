"""What was found out about files, kept until they change: decoding a data set takes minutes, asking its files for size
and time takes a second.

Results lie in the user's cache folder, ``$SEG_CACHE`` or ``~/.cache/seg-toolkit``, in a file for each folder of data
and purpose. All of it can be deleted at any time, and nothing but time is lost where it cannot be written.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from seg import __version__
from seg.files import open_to_append, whole

T = TypeVar("T")

_SETTLED = 2.0  # seconds; within it a file may change again without another time of modification (FAT: 2 s)


def remembered(
    purpose: str,
    files: Sequence[tuple[Path, ...]],
    look: Callable[[int], T],
    *,
    keep: Callable[[T], Any],
    restore: Callable[[int, Any], T],
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[T]:
    """``look(i)`` for every ``files[i]``, from memory where none of them has changed.

    Changed means another size, time or inode. What is found is written at once, so that an interrupted call is not
    lost.

    Args:
        purpose: what is looked for, with all settings that the result depends on; the version is added.
        files: that the i-th result depends on.
        look: called in threads.
        keep: result -> plain data for JSON; None = not to be remembered, such as an error.
        restore: (i, plain data) -> result.
        threads: that look; 0 = one for each core that this process may use.
        progress: called with (done, total), first with those that were remembered.
    """
    memory = _Memory(purpose, files)
    marks = [memory.mark(paths) for paths in files]
    known = [memory.get(mark) for mark in marks]
    missing = [i for i, value in enumerate(known) if value is None]
    results: dict[int, T] = {i: restore(i, value) for i, value in enumerate(known) if value is not None}
    if progress and files:
        progress(len(results), len(files))
    pool = ThreadPoolExecutor(threads or usable_cores())
    try:
        for i, result in zip(missing, pool.map(look, missing), strict=True):
            results[i] = result
            memory.put(marks[i], keep(result))
            if progress:
                progress(len(results), len(files))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the files that nobody will look at
        memory.close()
    return [results[i] for i in range(len(files))]


class _Memory:
    """Lines of [name, state, value], where name and state are hashes of paths and of what the file system says."""

    def __init__(self, purpose: str, files: Sequence[tuple[Path, ...]]) -> None:
        folder = os.path.commonpath([path.absolute().parent for paths in files for path in paths]) if files else ""
        self.path = cache_folder() / f"{_hash(__version__, purpose, folder)}.jsonl"
        self.started = time.time()
        self.values: dict[str, tuple[str, Any]] = {}
        self.lines, self.wrote = 0, False
        for name, state, value in self._read():
            self.values[name] = state, value
            self.lines += 1
        self.file = -1
        with suppress(OSError, ValueError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open_to_append(self.path)

    def _read(self) -> Iterator[tuple[str, str, Any]]:
        with suppress(OSError):
            for line in self.path.read_bytes().splitlines():
                with suppress(ValueError, TypeError):  # torn by a crash
                    name, state, value = json.loads(line)
                    yield name, state, value

    def mark(self, paths: tuple[Path, ...]) -> tuple[str, str] | None:
        """Name and state of files; None where they cannot be remembered."""
        try:
            found = [path.stat() for path in paths]
        except OSError:
            return None
        if max(stat.st_mtime for stat in found) > self.started - _SETTLED:
            return None
        state = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in found]
        return _hash(*(str(path.absolute()) for path in paths)), _hash(state)

    def get(self, mark: tuple[str, str] | None) -> Any:
        """Return the value of files in this state, else None."""
        if mark is None:
            return None
        state, value = self.values.get(mark[0], ("", None))
        return value if state == mark[1] else None

    def put(self, mark: tuple[str, str] | None, value: Any) -> None:
        if mark is None or value is None or self.file < 0:
            return
        line = _line(*mark, value)
        with suppress(OSError):  # no space left: only time is lost
            # One call a line, because other processes append to the same file; the first line break ends what a
            # crash may have torn.
            os.write(self.file, line if self.wrote else b"\n" + line)
            self.wrote = True
        self.values[mark[0]] = mark[1], value
        self.lines += 1

    def close(self) -> None:
        """Drop lines of files that have changed since, once they are the most."""
        if self.file < 0:
            return
        os.close(self.file)
        if self.lines > 2 * len(self.values):
            with suppress(OSError), whole(self.path) as temporary:
                lines = (
                    json.dumps([name, *entry], separators=(",", ":")) + "\n" for name, entry in self.values.items()
                )
                temporary.write_text("".join(lines), encoding="utf-8")


def usable_cores() -> int:
    """Cores that this process may use; on Linux its affinity tells, which a cluster or container sets."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """``$SEG_CACHE``, else the user's cache folder."""
    if chosen := os.environ.get("SEG_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seg-toolkit"


def _line(name: str, state: str, value: Any) -> bytes:
    return json.dumps([name, state, value], separators=(",", ":")).encode() + b"\n"


def _hash(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(errors="surrogateescape"), digest_size=12).hexdigest()
