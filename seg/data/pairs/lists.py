"""List files: which images, or images and masks, belong to a part of the data."""

import codecs
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from seg.data.pairs.names import composed

Files = Mapping[str, Sequence[Path]]
"""Name -> files that bear it, as `seg.data.pairs.list_files` gives them."""

_BETWEEN = re.compile(r"\s*[\t,]\s*|\s+")
_SHOWN = 4  # candidates that a message names


_File = tuple[str, Path]
"""A name, and a file that bears it."""


def listed_files(
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
    finder, mask_finder = (_Finder(f, folder, path) for f, folder in zip((images, masks), folders, strict=True))
    read = [_read(text, finder, mask_finder, f"{path}, line {i}") for i, text in enumerate(lines(path), start=1)]
    if not any(read):
        raise ValueError(f"{path}: expected names of images, one a line, got none; add them")
    kept: dict[str, list[Path]] = {}
    partners: dict[str, list[Path]] = {}
    for (name, image), named in filter(None, read):
        mask = [named] if named else list(masks.get(name, ()))
        if kept.get(name, [image]) != [image] or partners.get(name, mask) != mask:
            raise ValueError(
                f"{path}: expected one image and one mask named '{name}', got several; remove the other line"
            )
        kept[name] = [image]
        if mask:
            partners[name] = mask
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


def _read(line: str, images: "_Finder", masks: "_Finder", where: str) -> tuple[_File, Path | None] | None:
    """Return the image that a line names, and the mask in its second column; None for an empty line or a comment."""
    text = line.strip()
    if not text:
        return None
    candidates = images.find(text)
    if len(candidates) == 1:
        return candidates[0], None
    if not candidates and text.startswith("#"):
        return None
    if not candidates:
        columns = [(text[: gap.start()], text[gap.end() :]) for gap in _BETWEEN.finditer(text)]
        both = [(image, mask) for a, b in columns for image in images.find(a) for mask in masks.find(b)]
        if len(both) == 1:
            (image, (_, mask)) = both[0]
            return image, mask
        candidates = list(dict.fromkeys(image for image, _ in both))
        if len(candidates) == 1:  # it is the mask that is not clear
            candidates = [mask for _, mask in both]
        if not candidates and (known := [columns for columns in columns if images.find(columns[0])]):
            first, second = known[-1]
            raise ValueError(
                f"{where}: expected the name of a mask after '{first}', such as '{masks.example}', got '{second}'; "
                "correct or remove it; a comment needs a line of its own"
            )
    if not candidates:
        raise ValueError(
            f"{where}: expected the name of an image, such as '{images.example}', got '{text}'; correct or remove the "
            "line"
        )
    named = ", ".join(f"'{path}'" for _, path in candidates[:_SHOWN])
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    raise ValueError(f"{where}: expected one file, got '{text}', which may be {named}{more}; write more of the path")


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
        """Return name and path of each file that a word fits, quoted or written as on Windows too."""
        for word in dict.fromkeys((text, text.strip("\"'"), text.replace("\\", "/"))):
            if candidates := self._exact(word) or self._ending(word):
                return candidates
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
        """Return the files whose path, or name, ends in the word: for lists that were written elsewhere."""
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
        """Return the absolute paths of a file, with and without suffix."""
        inner = composed(file[1].relative_to(self._folder).as_posix())
        bare = inner.removesuffix(file[1].suffix)
        return {f"{composed(root)}/{path}" for root in self._roots for path in (inner, bare)}
