"""Which files of a folder a command wrote, by a list that it writes before them: others are not replaced."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seg.files import make_folder, read_file, write_text

_LIST = ".written"

Signs = Mapping[str, Iterable[str]]
"""JSON files that a command writes, and keys that they have: by these, folders of versions without lists are known."""


def claim(command: str, files: Mapping[Path, Iterable[Path]], signs: Signs, *, overwrite: bool = False) -> list[Path]:
    """Make folders and list the files that a command is about to write or remove there, so that a repetition may.

    Args:
        files: by the folder that they lie in, or below.
        overwrite: take files of others too.

    Returns:
        files that the command wrote at an earlier time and is not about to write again.

    Raises:
        ValueError: a file is there that the command did not write, or a folder cannot be made; nothing was listed.
    """
    listed: dict[Path, dict[str, list[str]]] = {}
    stale: list[Path] = []
    for folder, paths in files.items():
        before = _listed(folder)
        ours = {*before.get(command, ())}
        wanted = {path.relative_to(folder).as_posix(): path for path in paths}
        if not (overwrite or (command not in before and _is_signed(folder, signs))):
            others = (path for name, path in wanted.items() if name not in ours and os.path.lexists(path))
            if (there := next(others, None)) is not None:
                raise ValueError(
                    f"destination: expected a folder without files of others, got '{there}', which no {command} wrote "
                    "and this one would replace; give another folder, or overwrite=true"
                )
        listed[folder] = {**before, command: sorted(ours | wanted.keys())}
        stale += (folder / name for name in sorted(ours - wanted.keys()) if (folder / name).is_file())
    for folder, names in listed.items():
        make_folder(folder, "destination")
        write_text(folder / _LIST, json.dumps(names, indent=1) + "\n")
    return stale


def _listed(folder: Path) -> dict[str, list[str]]:
    """Return the files that each command listed; none where the list is missing or was edited."""
    names = _plain(folder / _LIST)
    lists = {command: some for command, some in names.items() if isinstance(some, list)}
    return {command: [name for name in some if isinstance(name, str)] for command, some in lists.items()}


def _is_signed(folder: Path, signs: Signs) -> bool:
    """Tell whether one of the files is there with its keys."""
    return any({*keys} <= _plain(folder / name).keys() for name, keys in signs.items())


def _plain(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
