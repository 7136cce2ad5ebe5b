"""The label images under a folder, each with the name of its mask, listed lazily and in a fixed order."""

import os
import re
from collections.abc import Collection, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

from seg.files import SUFFIXES


class Source(NamedTuple):
    """One label image. `name` is relative to the source folder, `mask` to the destination (empty: none may be
    written); `reason` says why it cannot be converted."""

    path: Path
    name: str
    mask: str
    reason: str = ""


def list_sources(
    folder: Path, destination: Path, pattern: str, suffixes: Collection[str] = SUFFIXES
) -> Iterator[Source]:
    """Check that both folders fit and that there is an image, then list.

    Args:
        pattern: glob over the relative path; ``**/`` stands for any folders. Hidden files are left out.
        suffixes: suffixes in lower case, or whole file names, of the files that are listed.

    Raises:
        ValueError: the source is missing or has no matching image, or the destination lies within it.
    """
    if not folder.is_dir():
        found = "which is not a folder" if folder.exists() else "which does not exist"
        raise ValueError(f"source: expected a folder of label images, got '{folder}', {found}; check the path")
    root, target = folder.resolve(), destination.resolve()
    if target.is_relative_to(root):
        raise ValueError(
            f"destination: expected a folder outside source, got '{destination}' within '{folder}', where masks would "
            "be read as labels; give another folder"
        )
    sources = _walk(root, target, re.compile(_regex(pattern)), suffixes)
    first = next(sources, None)
    if first is None:
        raise ValueError(
            f"source: expected label images ({' '.join(sorted(suffixes))}), got none under '{folder}' that matches "
            f"'{pattern}'; check source and pattern"
        )
    return chain((first,), sources)


def count_sources(folder: Path, pattern: str, suffixes: Collection[str] = SUFFIXES) -> int:
    """How many images `list_sources` would list, faster than by listing them."""
    wanted = re.compile(_regex(pattern))
    try:
        return sum(len(_chosen(inner, files, wanted, suffixes)) for inner, files, _ in _folders(folder.resolve()))
    except OSError:
        return 0


_File = tuple[str, str]  # stem and suffix


def _folders(
    root: Path, inner: str = "", above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, list[_File], str]]:
    """Each folder (relative, ending in /) with its files, parents first; or the reason why it cannot be listed."""
    try:
        files, folders = _scan(root / inner)
        above |= {_identity(root / inner)}
    except OSError as error:
        yield inner, [], f"cannot list the folder: {error.strerror}"
        return
    yield inner, files, ""
    for name in folders:
        if _identity(root / inner / name) not in above:  # a link to a folder above would never end
            yield from _folders(root, f"{inner}{name}/", above)


def _chosen(inner: str, files: list[_File], wanted: re.Pattern[str], suffixes: Collection[str]) -> list[_File]:
    def counts(stem: str, suffix: str) -> bool:
        name = stem + suffix
        return (suffix.lower() in suffixes or name in suffixes) and wanted.fullmatch(inner + name) is not None

    return [pair for pair in files if counts(*pair)]


def _walk(root: Path, target: Path, wanted: re.Pattern[str], suffixes: Collection[str]) -> Iterator[Source]:
    """The images of each folder, then those of its subfolders."""
    for inner, files, reason in _folders(root):
        if reason:
            yield Source(root / inner, inner, "", reason)
        for stem, group in groupby(_chosen(inner, files, wanted, suffixes), key=lambda pair: pair[0]):
            yield from _sources_of_mask(root, target, inner, f"{stem}.png", ["".join(pair) for pair in group])


def _scan(folder: Path) -> tuple[list[_File], list[str]]:
    """Sorted (stem, suffix) of the files and names of the folders; no more, because a folder may hold a million."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.is_file() or entry.is_symlink():  # a link into nowhere is reported when it is opened
                stem, dot, suffix = entry.name.rpartition(".")
                files.append((stem, dot + suffix))
    return sorted(files), sorted(folders)


def _sources_of_mask(root: Path, target: Path, inner: str, name: str, files: list[str]) -> Iterator[Source]:
    mask, reason = inner + name, ""
    if len(files) > 1:
        reason = f"{' and '.join(files)} would write one mask, {mask}; rename or remove all but one"
    if (target / mask).is_relative_to(root):
        mask, reason = "", f"its mask {mask} would lie in the source folder; give another destination"
    for file in files:
        yield Source(root / inner / file, inner + file, mask, reason)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _regex(pattern: str) -> str:
    """A glob as a regular expression over relative paths."""
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def translate(match: re.Match[str]) -> str:
        part = match.group()
        if part.startswith("[") and len(part) > 1:
            return part.replace("\\", r"\\").replace("[!", "[^", 1)
        return known.get(part) or re.escape(part)

    return "(?s:" + re.sub(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|(?s:.)", translate, pattern) + ")"
