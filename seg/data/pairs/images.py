"""The images of ``seg-predict``: a folder, a list file, or one file."""

import os
from pathlib import Path

from seg.data.pairs.lists import lines
from seg.data.pairs.names import list_images
from seg.files import SUFFIXES


def images_of(source: Path, template: str) -> dict[str, Path]:
    """Return the file of each image by the name that its mask will bear.

    Args:
        source: a folder, searched with its subfolders; an image; or a text file of images, one a line, absolute or
            relative to the list, whose names are what the lines say without suffix; of paths that lead elsewhere, the
            file name.
        template: file name of an image in a folder.

    Raises:
        ValueError: no such file or folder, no image in it, or two that share a name.
    """
    if not source.is_file():
        return list_images(source, template)
    if template != "{}":
        raise ValueError(f"image_template: expected {{}} with a file as images, got '{template}'; leave it out")
    if source.suffix.lower() in SUFFIXES:
        return {source.stem: source}
    images: dict[str, Path] = {}
    for number, text in enumerate(lines(source), start=1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        image = source.parent / line
        if not image.is_file():
            raise ValueError(
                f"{source}, line {number}: expected an image, got '{line}'; give it absolute, or relative to the list"
            )
        inside = os.path.normpath(line)
        name = str(Path(inside).with_suffix("")) if not inside.startswith(("..", os.sep)) else image.stem
        if images.get(name, image) != image:
            raise ValueError(
                f"{source}, line {number}: expected one image called '{name}', got '{images[name]}' and '{image}'; "
                "predict them one list at a time"
            )
        images[name] = image
    if not images:
        raise ValueError(f"images: expected images in the list '{source}', one a line, got none; add them")
    return images
