"""One label image to one mask: PNG by the C++ helper, other formats by OpenCV, under one label map and its options."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seg import _preproc
from seg.convert.opencv import open_other
from seg.files import SUFFIXES
from seg.labels import Color, LabelMap

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

Unknown = tuple[int, int, Color | int, int, int, int | None]
"""What the label map does not list: pixels, distinct colours or values, the first of them, its x and y, and the
``max_distance`` that would match them all."""

_WAYS = ("auto", "color", "index", "ade20k")
_ANNOTATIONS = ("labelme", "coco", "cityscapes_polygons")  # which other files read


class Mapped(NamedTuple):
    """A mask (H, W) uint8, the pixels of each of its values, what the label map does not list (None unless
    ``unknown=ignore`` let it pass), and the name of the source's format if it is lossy."""

    mask: "NDArray[np.uint8]"
    counts: dict[int, int]
    missing: Unknown | None = None
    lossy: str = ""


class Stamp(NamedTuple):
    """State of a source file when it was read: bytes, modification time, checksum."""

    size: int
    mtime_ns: int
    crc32: int


class LabelReader:
    """Reads label images as masks, under one label map and one set of options.

    Args:
        unknown: what to do with pixels that the label map does not list: ``error``, ``ignore`` (255) or ``nearest``
            (the nearest listed colour within ``max_distance``, else an error).
        max_distance: largest difference in any channel, 0..255, for ``nearest``.
        read: ``auto`` reads palette PNG by colour if the label map has colours, and gray images by value if it has
            values; ``color`` and ``index`` (the stored value) read all images one way; ``ade20k`` takes
            red / 10 * 256 + green of RGB images as the value, the coding of ADE20K's ``*_seg.png``.
        max_pixels: larger images are refused before they are decoded, because a header may be false.

    Raises:
        ValueError: an option out of range.
    """

    suffixes = SUFFIXES

    def __init__(
        self,
        labels: LabelMap,
        *,
        unknown: str = "error",
        max_distance: int | None = None,
        read: str = "auto",
        max_pixels: int = 1 << 28,
    ) -> None:
        if not isinstance(max_pixels, int) or max_pixels < 1:
            raise ValueError(f"max_pixels: expected 1..2**30, got {max_pixels!r}; give a whole number")
        if read not in _WAYS:
            ways = ", ".join((*_WAYS, *_ANNOTATIONS[:-1]))
            raise ValueError(f"read: expected {ways} or {_ANNOTATIONS[-1]}, got {read!r}; choose one of them")
        self.labels, self.max_pixels = labels, max_pixels
        self.options: dict[str, Any] = {"unknown": unknown, "max_distance": max_distance, "read": read}
        self._table = _preproc.Table(labels.colors, labels.values)
        self.files((), 1).close()  # the helper checks the options

    @property
    def key(self) -> str:
        """Everything that a mask depends on besides its source, as text."""
        return " ".join(map(str, (self.labels.digest, *self.options.values())))

    def files(self, jobs: "Iterable[Any]", threads: int) -> _preproc.Conversion:
        """Convert PNG files on threads: see `_preproc.convert_files`."""
        return _preproc.convert_files(jobs, self._table, max_pixels=self.max_pixels, threads=threads, **self.options)

    def array(self, image: "NDArray[Any]") -> Mapped:
        """Map H x W x 3 uint8 (RGB) or H x W integers 0..65535 (ids, or gray colours if the map has no values).

        Raises:
            ValueError: another kind of array, or pixels that the label map does not list.
        """
        mask, counts, missing = _preproc.map_array(_samples(image), self._table, **self.options)
        if missing and self.options["unknown"] != "ignore":
            raise ValueError(self.reason(missing))
        return Mapped(mask, counts, missing)

    def file(self, path: Path) -> tuple[Mapped, Stamp]:
        """Mask of a file of any supported format.

        Raises:
            OSError: the file cannot be read.
            ValueError: damaged, of a form that is refused, or with pixels that the label map does not list.
        """
        result, mask = _preproc.map_file(path, self._table, max_pixels=self.max_pixels, **self.options)
        stamp = Stamp(result.size, result.mtime_ns, result.crc)
        if result.status == "unsupported":
            return self.other_file(path), stamp
        if mask is None:
            raise ValueError(result.reason or self.reason(result.unknown))
        return Mapped(mask, result.counts, result.unknown), stamp

    def other_file(self, path: Path) -> Mapped:
        """Mask of a file that is not PNG: OpenCV decodes, the same kernel maps. Raises as `file` does."""
        by_number = self.options["read"] == "index" or not self.labels.colors
        pixels, lossy = open_other(path, self.max_pixels, by_number)
        return self.array(pixels)._replace(lossy=lossy)

    def reason(self, missing: Unknown | None) -> str:
        """The error text about pixels that the label map does not list, with what to do about them."""
        assert missing is not None
        pixels, distinct, first, x, y, reach = missing
        noun = "colour" if isinstance(first, tuple) else "value"
        found = (
            f"{noun} {first} is not in the label map: {_many(pixels, 'pixel')} of "
            f"{_many(distinct, f'unlisted {noun}')}, the first at x={x}, y={y}"
        )
        advice = "add it to the label map, or use unknown=ignore"
        if not isinstance(first, tuple):
            return f"{found}; {advice}"
        away, nearest = _nearest(first, self.labels)
        if len(nearest) > 1:
            return f"{found}; {' and '.join(nearest)} are equally near, {away} away; {advice}"
        if reach is not None:
            advice += f" or unknown=nearest max_distance={reach}"
        return f"{found}; nearest is {nearest[0]}, {away} away; {advice}"


def convert_array(
    image: "NDArray[Any]", labels: LabelMap, *, unknown: str = "error", max_distance: int | None = None
) -> "NDArray[np.uint8]":
    """Map one label image: H x W x 3 uint8 is RGB, H x W integers 0..65535 are ids (or gray colours, if the label
    map has no values). Returns the mask, H x W uint8.

    Args:
        unknown, max_distance: what to do with pixels that the label map does not list, see `LabelReader`.

    Raises:
        ValueError: another kind of array, a wrong option, or pixels that the label map does not list.
    """
    return LabelReader(labels, unknown=unknown, max_distance=max_distance).array(image).mask


def _samples(image: "NDArray[Any]") -> "NDArray[Any]":
    """The array in one of the forms that the kernel takes."""
    import numpy as np

    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image
    if image.ndim == 2 and image.dtype.kind in "iu":
        if image.dtype in (np.uint8, np.uint16):
            return image.astype(image.dtype.newbyteorder("="), copy=False)
        if image.size == 0 or (image.min() >= 0 and image.max() <= 65535):
            return image.astype(np.uint16)
        raise ValueError(f"ids: expected 0..65535, got {image.min()}..{image.max()}; renumber them first")
    raise ValueError(
        f"image: expected H x W x 3 uint8 (RGB) or H x W integers (ids), got {image.dtype} of shape {image.shape}; "
        "drop alpha with image[..., :3], convert with astype"
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _nearest(color: Color, labels: LabelMap) -> tuple[int, list[str]]:
    """Distance of the nearest listed colours (largest difference in a channel), and one colour for each class."""

    def distance(listed: Color) -> tuple[int, int]:
        offsets = [abs(a - b) for a, b in zip(color, listed, strict=True)]
        return max(offsets), sum(offset * offset for offset in offsets)

    least = min(distance(listed) for listed, _ in labels.colors)
    nearest = {index: listed for listed, index in labels.colors if distance(listed) == least}
    names = {listed: label.name for label in labels.labels for listed in label.colors}
    return least[0], [f"{listed} '{names[listed]}'" for listed in nearest.values()]
