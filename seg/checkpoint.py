"""Checkpoints: written whole or not at all, read without executing anything."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from seg.files import whole

FORMAT = 1


def save(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write plain data and tensors; a reader sees the old file or the new one, never a part.

    Args:
        path: the file to (over)write.
        state: nested dicts, lists, strings, numbers and tensors.
    """
    with whole(path) as temporary, temporary.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; never runs code that stands in the file.

    Raises:
        ValueError: no such file, or not a checkpoint of this toolkit.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint: no file '{path}'; seg-train writes best.pt and last.pt into runs/<name>/")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"checkpoint: '{path}' cannot be read as one ({reason})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"checkpoint: '{path}' was not written by seg-train (no format {FORMAT} mark)")
    return state
