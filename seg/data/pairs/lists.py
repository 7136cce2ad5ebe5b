"""List files: which images, or images and masks, belong to a part of the data."""

import codecs
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seg.data.pairs.names import composed

Files = Mapping[str, Sequence[Path]]
"""Name -> files that bear it, as `seg.data.pairs.list_files` gives them."""

_BETWEEN = re.compile(r"\s*[\t,]\s*|\s+")
_SHOWN = 4  # candidates that a message names


class Entry:
    """What one line of a list calls: an image, and its mask where a second column names it."""

    def __init__(self, image: tuple[str, Path], mask: Path | None) -> None:
        (self.name, self.image), self.mask = image, mask


def chosen(
    file: str | os.PathLike[str], images: Files, masks: Files, folders: tuple[Path, Path]
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Return the images and masks that a list file names, in the order of its lines.

    A line is an image, or an image and its mask with a blank, tab or comma between. Either is called by its name or by
    its path (with or without suffix), relative to the list or to its folder, or absolute; else by the end of its path,
    such as the file name, if only one file ends so. A line that begins with ``#`` is a comment, unless a file is called
    so. The text is UTF-8, or UTF-16 with its mark.

    Args:
        folders: of the images and of the masks.

    Returns:
        Name -> image, and name -> masks: the one in the second column, else those that share the name.

    Raises:
        ValueError: a missing file, one that is no text, a line that fits no image or several, or no line at all.
    """
    path = Path(file)
    found_images, found_masks = (_Finder(f, folder, path) for f, folder in zip((images, masks), folders, strict=True))
    entries = [
        entry
        for number, line in enumerate(lines(path), start=1)
        if (entry := _entry(line, found_images, found_masks, f"{path}, line {number}"))
    ]
    if not entries:
        raise ValueError(f"{path}: expected names of images, one a line, got none; add them")
    kept: dict[str, list[Path]] = {}
    partners: dict[str, list[Path]] = {}
    for entry in entries:
        mask = [entry.mask] if entry.mask else list(masks.get(entry.name, ()))
        if kept.get(entry.name, [entry.image]) != [entry.image] or partners.get(entry.name, mask) != mask:
            raise ValueError(
                f"{path}: expected one image and one mask named '{entry.name}', got several; remove the other line"
            )
        kept[entry.name] = [entry.image]
        if mask:
            partners[entry.name] = mask
    return kept, partners


def lines(file: Path) -> list[str]:
    """Split a text file at the breaks of Unix, Windows and old Macs, at no others: a name may hold them."""
    if not file.is_file():
        raise ValueError(f"list: expected an existing file, got '{file}'; check the path")
    data = file.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
        if "\0" in text:
            raise ValueError("a zero byte")
    except ValueError as error:
        reason = f"byte {error.start + 1} is not" if isinstance(error, UnicodeDecodeError) else "zero bytes"
        raise ValueError(
            f"{file}: expected a list in UTF-8, got another encoding ({reason}); save it as UTF-8"
        ) from None
    return re.split(r"\r\n|\r|\n", text)


def _entry(line: str, images: "_Finder", masks: "_Finder", where: str) -> Entry | None:
    """Return what a line calls; None for an empty line or a comment."""
    text = line.strip()
    if not text:
        return None
    found = images.find(text)
    if len(found) == 1:
        return Entry(found[0], None)
    if not found and text.startswith("#"):
        return None
    if not found:
        columns = [(text[: gap.start()], text[gap.end() :]) for gap in _BETWEEN.finditer(text)]
        both = [(image, mask) for first, second in columns for image, mask in _pairs(first, second, images, masks)]
        if len(both) == 1:
            (image, (_, mask)) = both[0]
            return Entry(image, mask)
        found = list(dict.fromkeys(image for image, _ in both))
        found = found if len(found) != 1 else [mask for _, mask in both]  # it is the mask that is not clear
        if not found and (known := [columns for columns in columns if images.find(columns[0])]):
            first, second = known[-1]
            raise ValueError(
                f"{where}: expected the name of a mask after '{first}', such as '{masks.example}', got '{second}'; "
                "correct or remove it; a comment needs a line of its own"
            )
    if not found:
        raise ValueError(
            f"{where}: expected the name of an image, such as '{images.example}', got '{text}'; correct or remove the "
            "line"
        )
    named = ", ".join(f"'{path}'" for _, path in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise ValueError(f"{where}: expected one file, got '{text}', which may be {named}{more}; write more of the path")


def _pairs(first: str, second: str, images: "_Finder", masks: "_Finder") -> Iterator[tuple["_File", "_File"]]:
    """Say what two columns may stand for."""
    if found := images.find(first):
        others = masks.find(second)
        yield from ((image, mask) for image in found for mask in others)


_File = tuple[str, Path]


class _Finder:
    """Finds the files that a word of a list may stand for."""

    def __init__(self, files: Files, folder: Path, file: Path) -> None:
        self.example = next(iter(files), "")
        self._folder, self._bases = folder, (folder.absolute(), file.parent.absolute())
        self._roots = {os.fspath(folder.absolute()), os.fspath(folder.resolve())}
        self._by_end: dict[str, list[_File]] = defaultdict(list)  # of name, file name, and file name without suffix
        for name, paths in files.items():
            for path in paths:
                for end in {name.rpartition("/")[2], composed(path.name), composed(path.stem)}:
                    self._by_end[end].append((name, path))

    def find(self, text: str) -> list[_File]:
        """Name and path of each, none if it fits no file; also as other programs quote it, or write it on Windows."""
        for word in dict.fromkeys((text, text.strip("\"'"), text.replace("\\", "/"))):
            if found := self._exact(word) or self._ending(word):
                return found
        return []

    def _exact(self, word: str) -> list[_File]:
        wanted = {os.path.normpath(base / word) for base in self._bases}
        for texts in (wanted, {os.path.realpath(base / word) for base in self._bases}):
            known = {composed(text) for text in texts}
            fits = [file for file in self._of(word) if file[0] == composed(word) or known & self._paths(file)]
            if fits:
                return fits
        return []

    def _ending(self, word: str) -> list[_File]:
        """Files whose path, or name, ends in the word: for lists that were written elsewhere."""
        if Path(word).is_absolute() and Path(word).exists():
            return []
        end = composed("/" + os.path.normpath(word).lstrip("./"))
        return [
            file
            for file in self._of(word)
            if f"/{file[0]}".endswith(end) or any(path.endswith(end) for path in self._paths(file))
        ]

    def _of(self, word: str) -> list[_File]:
        return self._by_end.get(composed(os.path.normpath(word).rpartition("/")[2]), [])

    def _paths(self, file: _File) -> set[str]:
        """Its absolute paths, with and without suffix."""
        inner = composed(file[1].relative_to(self._folder).as_posix())
        bare = inner.removesuffix(file[1].suffix)
        return {f"{composed(root)}/{path}" for root in self._roots for path in (inner, bare)}
