"""Files that are written whole or not at all, and folders that one process holds."""

import codecs
import csv
import errno
import itertools
import json
import math
import os
import platform
import re
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes of image files, upper or lower case."""

# Temporary files are named by host and process, here and in cpp_preproc/src/files.cpp: see `_sweep`.
_OURS = f".seg-{zlib.crc32(os.fsencode(os.uname().nodename)):08x}-"
_TEMPORARY = re.compile(r"(?P<host>\.seg-[0-9a-f]{8}-)(?P<process>\d+)-\d+\+?\.tmp|\.[0-9a-f]{16}\.\d+\.tmp")
_OLD = 24 * 3600.0  # seconds; no file takes so long to be written
_numbers = itertools.count()
_LOCK = ".lock"


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces ``path`` when the block ends without error."""
    path = Path(path)
    # without the name in it, which may be as long as the file system allows; with "+", which the C++ helper's lack
    temporary = path.with_name(f"{_OURS}{os.getpid()}-{next(_numbers)}+.tmp")
    try:
        with naming(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def held(folder: str | os.PathLike[str], expected: str, remedy: str, key: str | None = None) -> Iterator[None]:
    """Hold ``folder/.lock``; the system lets go of it when the process ends, however that happens.

    A file system without locks is not held.

    Args:
        expected, remedy: begin and end of the message: what the folder should be, and what to do.
        key: share it with those who give an equal one; None: with nobody.

    Raises:
        ValueError: another process holds it, which the message names with its host.
    """
    if fcntl is None:
        yield
        return
    descriptor = open_to_append(Path(folder) / _LOCK)
    with os.fdopen(descriptor, "a+", encoding="utf-8", errors="surrogateescape") as file:
        if holder := _taken(file, json.dumps(key)):
            raise ValueError(f"{expected}, got '{os.fspath(folder)}', which {holder} holds; {remedy}")
        yield


def open_to_append(path: Path) -> int:
    """Open a file, or make it, to add lines; return its descriptor. What somebody else put there is not written to.

    Raises:
        ValueError: there is a link or another thing that is no file.
    """
    try:
        # O_NONBLOCK: opening a pipe must not wait for a reader
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise ValueError(f"expected a file '{path}', or none, got a link or something else that is no file; remove it")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file whose name comes from elsewhere: no pipe, which would block, and no device, which has no end.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device", os.fspath(path))
        return file.read()


def is_plain(path: Path) -> bool:
    """Tell whether there is a file itself, and no link, pipe or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _taken(file: TextIO, key: str) -> str:
    """Lock the file, which holds the key and a line for each process; who has it already if that cannot be."""
    shared = key != "null"
    lines: list[str] = []
    for _ in range(20 if shared else 1):
        try:
            if _locked(file, fcntl.LOCK_EX):
                file.truncate(0)
                _add(file, key)
                if not shared:
                    _add(file, _process())
                    return ""
            # Going over from one kind of lock to the other lets go of it for a moment: the key is read again.
            mine = shared and _locked(file, fcntl.LOCK_SH)
            file.seek(0)
            lines = file.read().splitlines()
            if mine and lines[:1] == [key]:
                _add(file, _process())
                return ""
            fcntl.flock(file, fcntl.LOCK_UN)  # the key may be that of a process that has ended meanwhile
        except OSError:  # a file system without locks
            return ""
        if shared:
            time.sleep(0.02)
    return next((line for line in lines[1:] if not _ended(line)), "another process")


def _locked(file: TextIO, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _add(file: TextIO, line: str) -> None:
    file.write(line + "\n")
    file.flush()


def _process() -> str:
    return f"process {os.getpid()} on {platform.node()}"


def _ended(line: str) -> bool:
    """Whether a line of a lock is that of a process of this machine that no longer runs."""
    found = re.fullmatch(r"process (\d+) on (.*)", line)
    return found is not None and found[2] == platform.node() and not _alive(int(found[1]))


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it, what the system says of writing names ``path``: "no space left" does not say where."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is not None and Path(error.filename).parent != Path(path).parent):
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Indented JSON; NaN and infinity, which JSON lacks, become null."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(finite(data), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """UTF-8; names of files that are none are kept as they are."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_csv(path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated rows under a header."""
    with whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_png(path: str | os.PathLike[str], image: "NDArray[np.uint8 | np.uint16]") -> None:
    """RGB (H, W, 3) or grayscale (H, W) picture of 8 or 16 bits; makes missing folders.

    Raises:
        OSError: the file cannot be written.
    """
    import cv2

    encoded = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)[1]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def second_name(path: Path, other: Path) -> None:
    """Give a file a second name, which it keeps when another file takes its first; a copy where links cannot be made.

    Raises:
        OSError: neither can be had.
    """
    with whole(other) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            temporary.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, temporary)


def decoded(data: bytes) -> str:
    """Return the text of a file: UTF-8, or UTF-16 and UTF-32 that begin with their mark.

    Raises:
        ValueError: another encoding; the message says where, and which one it may be.
    """
    marks = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
             (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
    encoding = next((name for mark, name in marks if data.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and (nul := data.find(0)) >= 0:
        raise ValueError(
            f"expected UTF-8 text, or UTF-16 with its mark, got a zero at byte {nul}, as in files that are no text, or "
            "in UTF-16 without its mark; give a text file, saved as UTF-8"
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        guess = "GB2312 or GBK, judging by its bytes" if _is_chinese(data) else "such as Windows-1252 or GBK"
        got = f"{encoding.removesuffix('-sig').upper()} that is damaged" if encoding != "utf-8-sig" else guess
        raise ValueError(
            f"expected UTF-8 text, or UTF-16 with its mark, got another encoding ({got}) at byte {error.start}; save "
            "it as UTF-8"
        ) from None


def _is_chinese(data: bytes) -> bool:
    """Whether it is Chinese in bytes above 127, which come in pairs there; Western letters among ASCII stand alone."""
    runs = re.findall(rb"[\x80-\xff]+", data)
    characters = re.findall(r"[\u4e00-\u9fff]", data.decode("gb18030", "replace"))
    return len(characters) >= 2 and 2 * sum(len(run) % 2 for run in runs) < len(runs)


def finite(data: Any) -> Any:
    """Return the same plain data with None for every NaN and infinity."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def make_folder(
    path: str | os.PathLike[str], what: str, apart: Mapping[str, str | os.PathLike[str]] | None = None
) -> Path:
    """Create a folder with its parents, check that it can be written to, and clear what killed processes left there.

    Args:
        what: the option that names it, for the message.
        apart: folders that are read, by the option that names them: no link below ``path`` may lead into them, where
            writing would replace what is read.

    Raises:
        ValueError: it cannot be created or written to, or a link leads where nothing may be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):  # its name is its own: many may start here at the same moment
            pass
    except OSError as error:
        raise ValueError(
            f"{what}: expected a folder that can be made and written to, got '{path}' ({error.strerror}); give another"
        ) from None
    read = {name: os.path.realpath(folder) for name, folder in (apart or {}).items()}
    folders = list(_below(str(path), what, read))  # all links are looked at before a file is removed
    for folder in folders:
        _sweep(folder)
    return path


def _below(top: str, what: str, read: Mapping[str, str]) -> Iterator[str]:
    """Yield the folder and all below it, each once: those behind links too if something must not be reached."""
    start = os.path.realpath(top)
    seen = {start}
    for folder, inner, _ in os.walk(top, followlinks=bool(read)):
        yield folder
        for name in list(inner):
            below = os.path.join(folder, name)  # noqa: PTH118  # a million of them
            real = os.path.realpath(below)
            reached = next((key for key, root in read.items() if _within(real, root)), None)
            if reached and not _within(real, start):
                raise ValueError(
                    f"{what}: expected folders apart from {reached}, got '{below}', a link into '{real}', where files "
                    "would be overwritten; remove the link, or give another folder"
                )
            if reached or real in seen:  # links may go round in circles
                inner.remove(name)
            seen.add(real)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _sweep(folder: str) -> None:
    """Remove temporary files whose process no longer runs on this machine, and old ones of any machine."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (match := _TEMPORARY.fullmatch(entry.name)) and _is_stale(entry, match):
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108


def _is_stale(entry: "os.DirEntry[str]", match: re.Match[str]) -> bool:
    if match["host"] == _OURS and not _alive(int(match["process"])):
        return True
    with suppress(OSError):
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD
    return False


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks whether it exists
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
