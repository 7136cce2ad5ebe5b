"""Resizing masks and cutting them into tiles, their images alike."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from seg import _preproc
from seg.files import checks, make_folder, write_png
from seg.files.manifest import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Number = TypeVar("_Number", np.uint8, np.uint16)


@dataclass(frozen=True)
class Cut:
    """The size that masks are resized to, and the tiles that they are then cut into.

    Tiles of ``a/b.png`` are ``a/b/b_<y>_<x>.png``, named by their top left pixel. The last tiles of a row or column
    are moved back to end with the image, so that all have full size; an image smaller than a tile is one tile of its
    own size.

    Args:
        size: (height, width) in pixels; masks are resized by nearest neighbour, images by area (or linearly when
            enlarged). None = as they are.
        tile: side of the tiles in pixels; None = whole images.
        overlap: pixels that neighbouring tiles share, less than ``tile``.

    Raises:
        ValueError: a number out of range, or nothing to do.
    """

    size: tuple[int, int] | None = None
    tile: int | None = None
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.size is None and self.tile is None:
            raise ValueError("expected size or tile, got neither; give the side of a tile, such as tile=512")
        if self.size is not None:
            object.__setattr__(self, "size", checks.sides("size", self.size))
        if self.tile is not None:
            checks.whole("tile", self.tile, 1, 1 << 16, remedy="give pixels")
        checks.whole("overlap", self.overlap, 0, (self.tile or 1) - 1, remedy="give fewer pixels than tile")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, for the file that records how masks were cut."""
        return {"size": self.size and list(self.size), "tile": self.tile, "overlap": self.overlap}

    def resized(self, image: "NDArray[_Number]", *, nearest: bool) -> "NDArray[_Number]":
        """Resize an image (H, W, 3) or mask (H, W) to the wanted size; ``nearest`` makes no new values."""
        if self.size is None or image.shape[:2] == self.size:
            return image
        import cv2

        smooth = cv2.INTER_AREA if self.size[0] < image.shape[0] or self.size[1] < image.shape[1] else cv2.INTER_LINEAR
        how = cv2.INTER_NEAREST_EXACT if nearest else smooth  # INTER_NEAREST is off by up to half a pixel
        return cv2.resize(image, self.size[::-1], interpolation=how)  # type: ignore[return-value]

    def places(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """Yield (y, x) of every tile of an image of that size, row by row."""
        for y in _starts(height, self.tile or height, self.overlap):
            for x in _starts(width, self.tile or width, self.overlap):
                yield y, x

    def paths(self, whole: Path, height: int, width: int) -> Iterator[Path]:
        """Yield the files that ``whole`` is cut into, in the order of `places`."""
        for y, x in self.places(height, width):
            yield whole.with_suffix("") / f"{whole.stem}_{y:05}_{x:05}.png" if self.tile else whole

    def write(self, whole: Path, image: "NDArray[Any]") -> tuple[int, int]:
        """Write the tiles of an image (H, W, 3), mask (H, W) or numbers of objects (H, W), all of the wanted size, and
        remove older ones.

        Returns:
            Their bytes together, and the latest of their times in ns.
        """
        self.remove(whole)
        height, width = image.shape[:2]
        paths = list(self.paths(whole, height, width))
        for (y, x), path in zip(self.places(height, width), paths, strict=True):
            tile = image[y : y + (self.tile or height), x : x + (self.tile or width)]
            if image.ndim == 2 and image.dtype.name == "uint8":
                _preproc.write_mask(path, tile)
            else:
                write_png(path, tile)
        return extent(paths)

    def existing(self, whole: Path) -> list[Path]:
        """List what is there of what any cut may have written for ``whole``."""
        if not self.tile:
            return [whole] if whole.exists() else []
        tile = re.compile(re.escape(whole.stem) + r"_\d{5,}_\d{5,}\.png")
        try:
            return [path for path in whole.with_suffix("").iterdir() if tile.fullmatch(path.name)]
        except OSError:
            return []

    def remove(self, whole: Path) -> None:
        """Remove everything that any cut wrote for ``whole``."""
        with suppress(OSError):
            for path in self.existing(whole):
                path.unlink()
            if self.tile:
                whole.with_suffix("").rmdir()  # stays if it holds anything else


class ImageTiles:
    """The images of the labels, cut as their masks are.

    Args:
        cut: of the masks.
        images: folder of the images, searched with its subfolders.
        destination: folder for the tiles.
        image_template: file name of an image, ``{}`` for the name that it shares with its label.
        template: file name of a label image. Masks and images are both called by the shared name.

    Raises:
        ValueError: a folder or template that does not fit, or no image.
    """

    def __init__(
        self,
        cut: Cut,
        images: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        image_template: str = "{}",
        template: str = "{}",
        exif: str = "apply",
    ) -> None:
        from seg.data.pairs import list_images, shared_name
        from seg.images import Reading

        self._reading = Reading.of(exif=exif)
        shared_name("a", template)  # is it a template?
        self._cut, self._template, self._shared_name = cut, template, shared_name
        self._files = list_images(Path(images), image_template)
        self._alone = set(self._files)
        self._unfit: list[str] = []
        self._narrowed: list[str] = []
        if Path(destination).resolve().is_relative_to(Path(images).resolve()):
            raise ValueError(
                f"images_destination: expected a folder outside images, got '{destination}' within '{images}', where "
                "tiles would be read as images; give another folder"
            )
        self._images, self._destination = images, Path(destination)

    def apart(
        self, source: str | os.PathLike[str], destination: str | os.PathLike[str]
    ) -> dict[str, str | os.PathLike[str]]:
        """Make the folder for the tiles, apart from labels and masks; returns what masks must stay apart from, by name.

        Raises:
            ValueError: a folder that does not fit.
        """
        if self._destination.resolve() == Path(destination).resolve():
            raise ValueError(
                f"images_destination: expected another folder than destination, got '{destination}' twice, where masks "
                "would replace tiles of images; give another folder"
            )
        read = {"source": source, "images": self._images}
        if self._destination.resolve().is_relative_to(Path(source).resolve()):
            raise ValueError(
                f"images_destination: expected a folder outside source, got '{self._destination}' within '{source}', "
                "where tiles would be read as labels; give another folder"
            )
        make_folder(self._destination, "images_destination", read)
        return read

    @property
    def exif(self) -> bool:
        """Whether images are turned as their EXIF orientation says."""
        return self._reading.exif

    @property
    def key(self) -> str:
        """Everything that the tiles depend on, as text."""
        about = [self._cut.to_dict(), os.path.realpath(self._images), self._template, "16 bits stay"]
        return json.dumps([*about, *([] if self.exif else ["exif=ignore"])])

    @property
    def destination(self) -> Path:
        """The folder for the tiles."""
        return self._destination

    def name(self, label: str) -> str | None:
        """Return the name that a label (relative path) shares with its image; None if the template does not fit."""
        name = self._shared_name(label, self._template)
        if name is None:
            self._unfit.append(label)
        self._alone.discard(name or "")
        return name

    def source(self, name: str) -> Path:
        """Return the image file of a name.

        Raises:
            ValueError: there is none.
        """
        if name not in self._files:
            raise ValueError(
                f"expected an image '{name}' for this label, got none; add it, set the templates (image_template=, "
                "template=), or leave out images="
            )
        return self._files[name]

    def paths(self, name: str, height: int, width: int) -> Iterator[Path]:
        """Yield the files that `write` writes for a mask of that size."""
        return self._cut.paths(self._destination / f"{name}.png", height, width)

    def write(self, name: str, size: tuple[int, int]) -> str:
        """Cut the image of a name into RGB tiles of 8 or 16 bits, as it has; ``size`` (height, width) is that of its
        label before it was resized.

        Returns:
            ``applied`` if EXIF turned or mirrored it in a way that its size does not show, else nothing.

        Raises:
            ValueError: no image, not readable, or of another size.
            OSError: a tile cannot be written.
        """
        from seg.images import read_values
        from seg.images.reading import RGB

        values = read_values(self.source(name), self._reading)
        if values.dropped or values.colors.shape[2] > 3:
            self._narrowed.append(str(self._files[name]))
        image = values.chosen(RGB) if values.pixels.dtype.name == "uint16" else values.image(RGB)
        height, width = image.shape[:2]
        if (height, width) != size:
            turned = (width, height) == size and values.orientation > 4
            other = "ignore" if self.exif else "apply"
            remedy = f"give exif={other}, because EXIF orientation {values.orientation} tells the two apart"
            raise ValueError(
                f"image '{self._files[name]}': expected {size[1]} x {size[0]} pixels as its label, got {width} x "
                f"{height}; {remedy if turned else 'export both at one size'}"
            )
        self._cut.write(self._destination / f"{name}.png", self._cut.resized(image, nearest=False))
        hidden = self.exif and values.orientation > 1 and (values.orientation < 5 or height == width)
        return "applied" if hidden else ""

    def remove(self, name: str) -> None:
        """Remove what was written for a name."""
        self._cut.remove(self._destination / f"{name}.png")

    def left_out(self) -> Iterator[str]:
        """Yield warnings of images without a label, labels that do not fit the template, and bands that tiles lack."""
        if self._narrowed:
            yield (
                f"{len(self._narrowed)} images have more bands or pages than their tiles, which are RGB, the first "
                f"'{min(self._narrowed)}'"
            )
        if self._alone:
            yield f"{len(self._alone)} images have no label and were left out, the first '{min(self._alone)}'"
        if self._unfit:
            first = f"the first '{self._unfit[0]}'"
            yield f"{len(self._unfit)} labels do not fit template={self._template} and were left out, {first}"


class Outputs(NamedTuple):
    """The files written for a source."""

    target: Path
    cut: Cut | None
    images: ImageTiles | None
    instances: Path | None = None

    def name(self, mask: Path) -> str:
        """Return the name that a label shares with its image."""
        return mask.relative_to(self.target).with_suffix("").as_posix()

    def _wholes(self, mask: Path) -> list[Path]:
        """Return a mask, and the numbers of its objects where they are wanted."""
        return [mask] if self.instances is None else [mask, self.numbers(mask)]

    def numbers(self, mask: Path) -> Path:
        """Return the file beside a mask that holds the numbers of its objects."""
        assert self.instances is not None
        return self.instances / mask.relative_to(self.target)

    def extent(self, mask: Path, record: Record) -> tuple[int, int]:
        """Return bytes and latest time of the files of a source, its image included; OSError if one is missing."""
        if not self.cut:
            return extent(self._wholes(mask))
        paths = [
            path for whole in self._wholes(mask) for path in self.cut.paths(whole, record["height"], record["width"])
        ]
        if self.images:
            name = self.name(mask)
            paths += [self.images.source(name), *self.images.paths(name, record["height"], record["width"])]
        return extent(paths)

    def exists(self, mask: Path) -> bool:
        """Tell whether there is a mask, or a tile of it."""
        return bool(self.cut.existing(mask)) if self.cut else mask.exists()

    def remove(self, mask: Path) -> None:
        """Remove what was written for a source, as far as possible."""
        if self.images:
            self.images.remove(self.name(mask))
        for whole in self._wholes(mask):
            if self.cut:
                self.cut.remove(whole)
                continue
            with suppress(OSError):
                whole.unlink()


def extent(paths: list[Path]) -> tuple[int, int]:
    """Return the bytes of all files together, and the latest modification time in ns; OSError if one is missing."""
    states = [path.stat() for path in paths]
    return sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    return [*range(0, length - tile, tile - overlap), max(length - tile, 0)]
