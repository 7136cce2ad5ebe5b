"""Pairs of image and mask files: by name templates, list files, or a seeded split."""

import os
from dataclasses import dataclass
from pathlib import Path

from seg.pairs.lists import chosen
from seg.pairs.names import list_files, list_images, one_each, shared_name
from seg.pairs.scenes import scenes_of, split, torn_scenes


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the name both share (relative path without suffix)."""

    name: str
    image: Path
    mask: Path


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
        only: a list file, which `seg.pairs.lists.chosen` explains; without it, all files must pair up.

    Raises:
        ValueError: a file without partner, an empty folder, or a listed name that does not exist.
    """
    image_paths, mask_paths = list_both(images, masks, image_template=image_template, template=template, only=only)
    image_files, mask_files = one_each(image_paths), one_each(mask_paths)
    _check_partners("image", image_files, "mask", mask_files, Path(masks), template)
    _check_partners("mask", mask_files, "image", image_files, Path(images), image_template)
    return [Pair(name, image_files[name], mask_files[name]) for name in sorted(image_files)]


def list_both(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    *,
    image_template: str = "{}",
    template: str = "{}",
    only: str | os.PathLike[str] | None = None,
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Name -> image files and name -> mask files, whether or not they pair up; the arguments are those of `pair`."""
    mask_files = list_files(Path(masks), template)
    image_files = list_files(Path(images), image_template)
    if template != image_template:  # one folder may hold both: masks are not images
        taken = {path for paths in mask_files.values() for path in paths}
        image_files = {name: paths for name, paths in image_files.items() if not taken & set(paths)}
    if only is not None:
        return chosen(only, image_files, mask_files, (Path(images), Path(masks)))
    return image_files, mask_files


def _check_partners(
    kind: str, files: dict[str, Path], other: str, others: dict[str, Path], folder: Path, template: str
) -> None:
    alone = [path for name, path in files.items() if name not in others]
    if alone:
        raise ValueError(
            f"expected {other} files like '{template}' in '{folder}' for each {kind}, got none for {len(alone)} of "
            f"{len(files)}, the first '{alone[0]}'; add it, set the template, or name the wanted files in a list"
        )


__all__ = [
    "Pair",
    "list_both",
    "list_files",
    "list_images",
    "pair",
    "scenes_of",
    "shared_name",
    "split",
    "torn_scenes",
]
