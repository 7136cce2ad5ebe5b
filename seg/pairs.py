"""Pairs of image and mask files: by name templates, list files, or a seeded split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg.files import SUFFIXES


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the name both share (relative path without suffix)."""

    name: str
    image: Path
    mask: Path


def shared_name(file: str, template: str) -> str | None:
    """The part of a file name (a relative path) that ``{}`` stands for, with its folders; None if it does not fit.

    Args:
        template: such as ``{}_L.png``, or ``{}/label.png`` where each has a folder; without a suffix, every image
            suffix fits.

    Raises:
        ValueError: a template without ``{}``.
    """
    before, braces, after = template.partition("{}")
    if not braces or "{}" in after:
        raise ValueError(f"template: expected one {{}} for the name, such as '{{}}_L.png', got '{template}'; add it")
    parts = file.split("/")
    folders = max(len(parts) - 1 - template.count("/"), 0)
    folder, base = "".join(f"{part}/" for part in parts[:folders]), "/".join(parts[folders:])
    if not after.lower().endswith(SUFFIXES):  # not Path(after).suffix, which is empty for '.png' alone
        base = base.removesuffix(Path(base).suffix)
    if not (base.startswith(before) and base.endswith(after) and len(base) > len(before) + len(after)):
        return None
    return folder + base[len(before) : len(base) - len(after)]


def list_files(folder: Path, template: str = "{}") -> dict[str, list[Path]]:
    """Name -> files of that name below ``folder``; more than one is a fault in the data. See `list_images`."""
    shared_name("a", template)  # raises if it is not a template
    if not folder.is_dir():
        raise ValueError(f"expected an existing folder, got '{folder}'; check the path")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        name = shared_name(path.relative_to(folder).as_posix(), template)
        if name is not None:
            found.setdefault(name, []).append(path)
    if not found:
        raise ValueError(
            f"expected files like '{template}' ({' '.join(SUFFIXES)}), got none in '{folder}'; check folder and "
            "template"
        )
    return found


def list_images(folder: Path, template: str = "{}") -> dict[str, Path]:
    """Name -> file of every image below ``folder``; ``{}`` in the template stands for the name.

    Args:
        folder: searched with its subfolders, which are part of the name.
        template: such as ``{}_L.png``; without a suffix, every image suffix fits.

    Raises:
        ValueError: no folder, no such file, a template without ``{}``, or two files of one name.
    """
    found = list_files(folder, template)
    for name, paths in found.items():
        if len(paths) > 1:
            raise ValueError(
                f"expected one file named '{name}', got '{paths[0]}' and '{paths[1]}'; rename or remove one"
            )
    return {name: paths[0] for name, paths in found.items()}


def pair(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    *,
    image_template: str = "{}",
    template: str = "{}",
    only: str | os.PathLike[str] | None = None,
) -> list[Pair]:
    """Pair every image with its mask by name, sorted by name.

    Args:
        images, masks: folders, mirrored where nested; they may be one folder.
        image_template, template: file name of image and mask, ``{}`` for the shared name.
        only: a list file, one name (or image file name) a line, ``#`` comments; without it, all files must pair up.

    Raises:
        ValueError: a file without partner, an empty folder, or a listed name that does not exist.
    """
    mask_files = list_images(Path(masks), template)
    image_files = list_images(Path(images), image_template)
    if template != image_template:  # one folder may hold both: masks are not images
        taken = set(mask_files.values())
        image_files = {name: path for name, path in image_files.items() if path not in taken}
    if only is not None:
        names = listed_names(Path(only), image_files)
        image_files = {name: image_files[name] for name in names}
        mask_files = {name: mask_files[name] for name in names if name in mask_files}
    _check_partners("image", image_files, "mask", mask_files, Path(masks), template)
    _check_partners("mask", mask_files, "image", image_files, Path(images), image_template)
    return [Pair(name, image_files[name], mask_files[name]) for name in sorted(image_files)]


def _check_partners(
    kind: str, files: dict[str, Path], other: str, others: dict[str, Path], folder: Path, template: str
) -> None:
    alone = [path for name, path in files.items() if name not in others]
    if alone:
        raise ValueError(
            f"expected {other} files like '{template}' in '{folder}' for each {kind}, got none for {len(alone)} of "
            f"{len(files)}, the first '{alone[0]}'; add it, set the template, or name the wanted files in a list"
        )


def listed_names(file: Path, images: Mapping[str, Path]) -> list[str]:
    """The image names in a list file, one a line, as names or as file names.

    Raises:
        ValueError: a missing file, a line that names no image, or no line at all.
    """
    if not file.is_file():
        raise ValueError(f"list: expected an existing file, got '{file}'; check the path")
    by_file_name = {path.name: name for name, path in images.items()}
    names = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        name = entry if entry in images else by_file_name.get(entry)
        if name is None:
            raise ValueError(
                f"{file}, line {number}: expected the name of an image, such as '{next(iter(images))}', got '{entry}'; "
                "correct or remove the line"
            )
        names.append(name)
    if not names:
        raise ValueError(f"{file}: expected names of images, one a line, got none; add them")
    return names


def split(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """A seeded split into training and validation pairs; depends on the names and the seed alone.

    Args:
        share: of the pairs that are for validation, between 0 and 1; each part gets at least one pair.

    Raises:
        ValueError: a share outside 0..1, or fewer than two pairs.
    """
    if not 0 < share < 1:
        raise ValueError(f"data.val_share: expected a share between 0 and 1, got {share}; try 0.2")
    if len(pairs) < 2:
        raise ValueError(f"split: expected at least two pairs, got {len(pairs)}; add images, or name both parts")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(pairs))
    count = min(max(round(share * len(pairs)), 1), len(pairs) - 1)
    chosen = set(order[:count].tolist())
    return (
        [p for i, p in enumerate(pairs) if i not in chosen],
        [p for i, p in enumerate(pairs) if i in chosen],
    )
