"""The names that images and masks share, and the files that bear them."""

import unicodedata
from pathlib import Path

from seg.data.pairs.folders import list_names
from seg.files import SUFFIXES


def shared_name(file: str, template: str) -> str | None:
    """Return what ``{}`` stands for in a file name (a relative path), with its folders; None if it does not fit.

    Args:
        template: such as ``{}_L.png``, or ``{}/label.png`` where each has a folder; without a suffix, every image
            suffix fits. The case of the suffix makes no difference, nor does how accents are composed (NFC, NFD): the
            name is in NFC.

    Raises:
        ValueError: a template without ``{}``.
    """
    file, template = composed(file), composed(template)
    before, braces, after = template.partition("{}")
    if not braces or "{}" in after:
        raise ValueError(f"template: expected one {{}} for the name, such as '{{}}_L.png', got '{template}'; add it")
    parts = file.split("/")
    folders = max(len(parts) - 1 - template.count("/"), 0)
    folder, base = "".join(f"{part}/" for part in parts[:folders]), "/".join(parts[folders:])
    stem, suffix = _cut(base)
    end, wanted = _cut(after)
    if wanted.lower() in SUFFIXES or (wanted and wanted.lower() == suffix.lower()):
        if wanted.lower() != suffix.lower():
            return None
        after = end
    if not (stem.startswith(before) and stem.endswith(after) and len(stem) > len(before) + len(after)):
        return None
    return folder + stem[len(before) : len(stem) - len(after)]


def composed(text: str) -> str:
    """Return the text NFC-normalised: file systems and archives differ in how they compose accents."""
    return unicodedata.normalize("NFC", text)


def list_files(folder: Path, template: str = "{}") -> dict[str, list[Path]]:
    """Return the files of each name below ``folder``; more than one is a fault in the data. See `list_images`."""
    shared_name("a", template)  # raises if it is not a template
    wanted = {*SUFFIXES, _cut(template.partition("{}")[2])[1].lower()} - {""}
    files: dict[str, list[Path]] = {}
    for file in list_names(folder):
        name = shared_name(file, template) if _cut(file)[1].lower() in wanted else None
        if name is not None:
            files.setdefault(name, []).append(folder / file)
    if not files:
        raise ValueError(
            f"expected files like '{template}' ({' '.join(SUFFIXES)}), got none in '{folder}'; check folder and "
            "template"
        )
    return files


def one_each(files: dict[str, list[Path]]) -> dict[str, Path]:
    """Return the only file of each name.

    Raises:
        ValueError: two files of one name.
    """
    for name, paths in files.items():
        if len(paths) > 1:
            raise ValueError(
                f"expected one file named '{name}', got '{paths[0]}' and '{paths[1]}'; rename or remove one"
            )
    return {name: paths[0] for name, paths in files.items()}


def list_images(folder: Path, template: str = "{}") -> dict[str, Path]:
    """Return every image below ``folder`` by its name, which ``{}`` in the template stands for.

    Args:
        folder: searched with its subfolders, which are part of the name; `seg.data.pairs.folders` says how.
        template: such as ``{}_L.png``; without a suffix, every image suffix fits.

    Raises:
        ValueError: no folder, no such file, a template without ``{}``, or two files of one name.
    """
    return one_each(list_files(folder, template))


def _cut(base: str) -> tuple[str, str]:
    """Split into stem and suffix, of ``.png`` and ``{}.png`` too, for which `Path.suffix` is empty."""
    stem, dot, suffix = base.rpartition(".")
    return (stem, dot + suffix) if dot and "/" not in suffix else (base, "")
