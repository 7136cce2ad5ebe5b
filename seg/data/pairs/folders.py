"""The files below a folder: the one way in which all commands list them.

Folders that are symbolic links are followed, except back into one that they lie in. Hidden files and folders are left
out (``.ipynb_checkpoints``, ``._a.png``), and so is what is no file: a folder called ``a.png``, a pipe.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PRODUCTS = ("overlays/", "colors/", "confidence/", "disagreement/", "probabilities/", "geotiff/", "boxes/")
"""Folders of pictures and maps that seg-predict makes beside its masks."""


class Folder(NamedTuple):
    """A folder, relative to where the walk began and ending in ``/``, and its files as sorted (stem, suffix): no more,
    because it may hold a million. `reason` says why it cannot be listed."""

    inner: str
    files: list[tuple[str, str]]
    reason: str = ""


def walk(root: Path, inner: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Folder]:
    """Yield each folder with its files, in a fixed order, parents first.

    Args:
        root: where the walk begins.
        inner, above: how far it has come: the folder relative to ``root``, and the identities of those it lies in.
    """
    try:
        files, folders = _scan(root / inner)
        above |= {identity_of(root / inner)}
    except OSError as error:
        yield Folder(inner, [], f"cannot list the folder: {error.strerror}")
        return
    yield Folder(inner, files)
    for name in folders:
        if identity_of(root / inner / name) not in above:  # a link to a folder above would never end
            yield from walk(root, f"{inner}{name}/", above)


def list_names(root: Path) -> Iterator[str]:
    """Yield the path of each file below ``root``, relative to it.

    Raises:
        ValueError: no such folder, or one below it that cannot be listed, whose files would be missed in silence.
    """
    if not root.is_dir():
        raise ValueError(f"expected an existing folder, got '{root}'; check the path")
    for folder in walk(root):
        if folder.reason:
            raise ValueError(f"'{root / folder.inner}': {folder.reason}; let it be read, or move it away")
        yield from (folder.inner + stem + suffix for stem, suffix in folder.files)


def identities_around(destination: str | os.PathLike[str]) -> set[tuple[int, int]]:
    """Return the identities of a folder, which need not exist, and of all that it lies in."""
    target = Path(destination).resolve()
    return {identity_of(folder) for folder in (target, *target.parents) if folder.is_dir()}


def check_apart(destination: str | os.PathLike[str], folders: Iterable[str | os.PathLike[str]], what: str) -> None:
    """Check that a command does not write into the folders that it reads, this time or the next.

    Args:
        what: the option that names the destination, for the message.

    Raises:
        ValueError: the destination is one of the folders or within one, be it by a link.
    """
    around = identities_around(destination)
    for root in map(Path, folders):
        if any(not folder.reason and identity_of(root / folder.inner) in around for folder in walk(root)):
            raise ValueError(
                f"{what}: expected a folder outside '{root}', got '{destination}', where what is written would be read "
                "as images the next time; give another folder"
            )


def was_predicted(folder: Path) -> bool:
    """Tell whether seg-predict wrote into a folder: its manifest begins with the kinds of files that were asked for."""
    try:
        with (folder / "manifest.jsonl").open("rb") as file:
            return b"kinds" in file.readline(1 << 16)
    except OSError:
        return False


def _scan(folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Return (stem, suffix) of the files, and names of the folders, both sorted."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            kind = _kind(entry)
            if kind == "folder":
                folders.append(entry.name)
            elif kind == "file":
                stem, dot, suffix = entry.name.rpartition(".")
                files.append((stem, dot + suffix))
    return sorted(files), sorted(folders)


def _kind(entry: os.DirEntry[str]) -> str:
    """Return ``folder``, ``file`` or ``other``. A link into nowhere is a file: it is reported when it is opened."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() or not Path(entry.path).exists() else "other"
    except OSError:  # a link to itself, or into a folder that may not be entered
        return "file"


def identity_of(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
