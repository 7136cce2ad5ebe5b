"""The label images under a folder, each with the name of its mask, listed lazily and in a fixed order."""

import re
from collections.abc import Collection, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

from seg.data.pairs.folders import PRODUCTS, identities_around, identity_of, walk, was_predicted
from seg.files import SUFFIXES

# what a conversion writes beside its files, which is no annotation
_OURS = re.compile(r"(manifest|class_weights)(\.\d+-of-\d+)?\.json|source\.json|cut\.json|labels\.yaml")


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
    """Count the images that `list_sources` would list, faster than by listing them."""
    wanted = re.compile(_regex(pattern))
    try:
        beside = _beside(folder)
        return sum(
            len(_chosen(inner, files, wanted, suffixes))
            for inner, files, _ in walk(folder.resolve())
            if not inner.startswith(beside)
        )
    except OSError:
        return 0


def _chosen(
    inner: str, files: list[tuple[str, str]], wanted: re.Pattern[str], suffixes: Collection[str]
) -> list[tuple[str, str]]:
    ours = _OURS if ("manifest", ".jsonl") in files else None

    def counts(stem: str, suffix: str) -> bool:
        name = stem + suffix
        if ours is not None and ours.fullmatch(name):
            return False
        return (suffix.lower() in suffixes or name in suffixes) and wanted.fullmatch(inner + name) is not None

    return [file for file in files if counts(*file)]


def _beside(root: Path) -> tuple[str, ...]:
    """Return the folders of pictures and maps beside the masks that seg-predict wrote."""
    return PRODUCTS if was_predicted(root) else ()


def _walk(root: Path, target: Path, wanted: re.Pattern[str], suffixes: Collection[str]) -> Iterator[Source]:
    """Yield the images of each folder, then those of its subfolders."""
    around = identities_around(target)
    skipped = list(_beside(root))
    within = f"{root.relative_to(target).as_posix()}/" if root.is_relative_to(target) else None
    for inner, files, reason in walk(root):
        if any(map(inner.startswith, skipped)):
            continue
        if not reason and identity_of(root / inner) in around:
            skipped.append(inner)
            files, reason = [], "a link to a folder that holds the destination, whose masks would be read; remove it"
        if reason:
            yield Source(root / inner, inner, "", reason)
        for stem, group in groupby(_chosen(inner, files, wanted, suffixes), key=lambda file: file[0]):
            yield from _sources_of_mask(root / inner, inner, f"{stem}.png", ["".join(file) for file in group], within)


def _sources_of_mask(folder: Path, inner: str, name: str, files: list[str], within: str | None) -> Iterator[Source]:
    """Yield the images of one mask; ``within``: where the source folder lies in the destination, if it does."""
    mask, reason = inner + name, ""
    if len(files) > 1:
        reason = f"{' and '.join(files)} would write one mask, {mask}; rename or remove all but one"
    if within and mask.startswith(within):
        mask, reason = "", f"its mask {mask} would lie in the source folder; give another destination"
    for file in files:
        yield Source(folder / file, inner + file, mask, reason)


def _regex(pattern: str) -> str:
    """Return a glob as a regular expression over relative paths."""
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def translate(match: re.Match[str]) -> str:
        part = match.group()
        if part.startswith("[") and len(part) > 1:
            return part.replace("\\", r"\\").replace("[!", "[^", 1)
        return known.get(part) or re.escape(part)

    return "(?s:" + re.sub(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|(?s:.)", translate, pattern) + ")"
