"""Checkpoint files: written whole or not at all, read without executing anything. `seg.trained` knows the fields."""

import os
import pickle
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
        torch.save(state, file)
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
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"checkpoint: expected plain data and tensors as seg-train writes them, got '{path}', which cannot be read "
            f"as that ({reason}); give best.pt or last.pt of a run"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"checkpoint: expected values by name, got {type(state).__name__} in '{path}'")
    return state
