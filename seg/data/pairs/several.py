"""Several folders of images, each with its folder of masks, as one set."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

Folder = str | os.PathLike[str]
Folders = Folder | Sequence[Folder]
"""One path, or several."""


class Part(NamedTuple):
    """A folder of images and its masks; ``prefix`` goes before the names, to tell them from those of other folders."""

    prefix: str
    images: Path
    masks: Path
    listed: Path | None


def as_list(folders: Folders) -> list[Path]:
    """Return one path or several as a list."""
    return [Path(f) for f in ([folders] if isinstance(folders, str | os.PathLike) else folders)]


def one(folder: Folders, what: str) -> Path:
    """Return the only folder, where a command takes no more.

    Raises:
        ValueError: there are several, or it is no path.
    """
    if not isinstance(folder, str | os.PathLike):
        raise ValueError(f"{what}: expected one folder, got {folder!r}; give the command once for each")
    return Path(folder)


def parts_of(images: Folders, masks: Folders, listed: Folders | Sequence[Folder | None] | None) -> list[Part]:
    """Pair folders of images with folders of masks, and with list files, by their order.

    Raises:
        ValueError: their numbers differ, or folders of images lie within each other.
    """
    first, second = as_list(images), as_list(masks)
    lists = [listed] if listed is None or isinstance(listed, str | os.PathLike) else list(listed)
    if lists == [None]:
        lists = [None] * len(first)
    if not len(first) == len(second) == len(lists) or not first:
        raise ValueError(
            f"expected a folder of masks, and a list or none, for each folder of images, got {len(first)} of images, "
            f"{len(second)} of masks and {len(lists)} lists; give as many, in the same order"
        )
    return [
        Part(prefix, image, mask, Path(only) if only is not None else None)
        for prefix, image, mask, only in zip(_prefixes(first), first, second, lists, strict=True)
    ]


def _prefixes(folders: list[Path]) -> list[str]:
    """Return what differs between their paths: ``d1/``, ``d2/`` of ``d1/images``, ``d2/images``; empty for one."""
    if len(folders) == 1:
        return [""]
    paths = [PurePath(os.path.realpath(folder)) for folder in folders]
    for i, path in enumerate(paths):
        inside = [k for k, other in enumerate(paths) if k != i and path.is_relative_to(other)]
        if inside:
            raise ValueError(
                f"expected folders apart, got '{folders[i]}' within '{folders[inside[0]]}'; name one of them"
            )
    parts = [list(path.parts) for path in paths]
    while all(part[0] == parts[0][0] for part in parts):
        parts = [part[1:] for part in parts]
    while all(len(part) > 1 and part[-1] == parts[0][-1] for part in parts):
        parts = [part[:-1] for part in parts]
    return ["/".join(part) + "/" for part in parts]
