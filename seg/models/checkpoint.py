"""Checkpoint files: written whole or not at all, read without executing anything.

`seg.inference.trained` knows the fields.
"""

import os
import pickle
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from seg.files import whole


def save(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write plain data and tensors; a reader sees the old file or the new one, never a part.

    Args:
        path: the file to (over)write.
        state: nested dicts, lists, strings, numbers and tensors.
    """
    with whole(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch's writer goes on after the system's error, and then trips over itself
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; never runs code that stands in the file.

    Raises:
        ValueError: no such file, or not plain data and tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"checkpoint: expected a file, got '{path}'; give the best.pt or last.pt that seg-train writes into "
            "runs/<name>/"
        )
    try:
        with sealed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about pickles that are none; the refusal says enough
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make torch's readers raise nearly anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch advises to run what the file says
            named = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it names {named[1]}, code that is not run" if named else "it is damaged, or no such file"
        raise ValueError(
            f"checkpoint: expected plain data and tensors as seg-train writes them, got '{path}', which cannot be read "
            f"as that ({reason}); give best.pt or last.pt of a run"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"checkpoint: expected values by name, got {type(state).__name__} in '{path}'")
    return state


@contextmanager
def sealed() -> Iterator[None]:
    """Within it, Python code of this thread cannot use the network, start a process, or change a file.

    The second line of defence while a file of unknown origin is read and a model is built from it: what it names was
    checked before. An attempt raises PermissionError.
    """
    _watch()
    before, _sealed.on = getattr(_sealed, "on", False), True
    try:
        yield
    finally:
        _sealed.on = before


_sealed = threading.local()

_REFUSED = ("socket.", "subprocess.", "shutil.", "urllib.", "ftplib.", "webbrowser.")
_REFUSED_OF_OS = (
    "chmod", "chown", "exec", "fork", "forkpty", "kill", "killpg", "link", "mkdir", "posix_spawn", "putenv", "remove",
    "rename", "rmdir", "setxattr", "spawn", "startfile", "symlink", "system", "truncate", "unsetenv", "utime",
)  # fmt: skip
_COMPILER = "torch._dynamo"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@cache  # an audit hook stays for the life of the process
def _watch() -> None:
    sys.addaudithook(_refuse)


def _load_compiler() -> None:
    """Load torch's compiler, for which some encoders ask while they are built: it sets up a folder for what it makes.

    Refused in the middle of that, half of it would stay, and work for nobody.
    """
    _sealed.on = False
    try:
        import_module(_COMPILER)
    finally:
        _sealed.on = True


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if not getattr(_sealed, "on", False):
        return
    if event == "import" and str(args[0]).startswith(_COMPILER):
        _load_compiler()
    writes = event == "open" and isinstance(args[2], int) and args[2] & _WRITING
    if writes or event.startswith(_REFUSED) or (event.startswith("os.") and event[3:] in _REFUSED_OF_OS):
        raise PermissionError(f"expected a checkpoint to be data alone, got {event}{args[:1]} from it")
