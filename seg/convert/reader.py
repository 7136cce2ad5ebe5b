"""One label image to one mask: PNG by the C++ helper, other formats by OpenCV or Pillow, under one label map."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seg import _preproc
from seg.convert.objects import CODES, coded_objects
from seg.convert.opencv import Opened, open_other
from seg.files import SUFFIXES, checks
from seg.labels import IGNORE, Color, LabelMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

Unknown = tuple[int, int, Color | int, int, int, int | None, int, int, int]
"""What the label map does not list: pixels, distinct colours or values, the first of them, its x and y, the
``max_distance`` that would match them all, their largest gray level but 255 (-1: not all are gray), how many of the
pixels are fully transparent, and the largest channel of the colours."""

_WAYS = ("auto", "color", "index", "ade20k", "red", *CODES)
ANNOTATIONS = ("labelme", "coco", "cityscapes_polygons", "binary", "cvat", "labelstudio", "yolo")
"""What other readers read."""
_LONGEST_REACH = 16  # of colours that a table, or a program, has rounded
_PART = 1 << 16  # pixels, whose copy as whole numbers stays in the cache
_PAINTED = 1000  # nobody paints in more colours


class Mapped(NamedTuple):
    """A mask (H, W) uint8, the pixels of each of its values, what the label map does not list (None unless
    ``unknown=ignore`` let it pass), the name of the source's format if it is lossy, how many unlisted colours
    ``unknown=nearest`` made one class, with that class, if they are several, the pixels of classes that are fully
    transparent, the number of the object at each pixel (H, W) uint16, 0 = none, where that was asked for, how many
    groups of objects have no number there, by `seg.convert.summary.NOTHING` how many annotations draw nothing, with the
    first, what was done about an EXIF orientation (``applied``, ``left``, empty where there is none), and the value
    that the file declares as nodata, with the pixels of it that became a class, and that class."""

    mask: "NDArray[np.uint8]"
    counts: dict[int, int]
    missing: Unknown | None = None
    lossy: str = ""
    merged: tuple[int, int] | None = None
    clear: int = 0
    instances: "NDArray[np.uint16] | None" = None
    groups: int = 0
    nothing: dict[str, tuple[int, str]] | None = None
    exif: str = ""
    nodata: tuple[float, int, int] | None = None


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
            values; ``color`` and ``index`` (the stored value; in a map without values the classes are numbered from
            0 in its order, unless its file has other numbers beside the colours) read all images one way; ``ade20k``
            takes red / 10 * 256 + green of RGB images as the value, the coding of ADE20K's ``*_seg.png``, ``red``
            takes red alone, where CARLA's instance images have the class, ``id256`` takes number // 256 of gray
            images of 16 bits (Mapillary Vistas, KITTI), and ``id1000`` number // 1000 from 1000 on, below that the
            number itself (Cityscapes' ``*_instanceIds.png``).
        transparent: ``keep``: a pixel of alpha 0 counts as its colour; ``ignore``: it becomes 255.
        max_pixels: larger images are refused before they are decoded, because a header may be false.
        instances: number the objects too, with ``id256`` (every number is one) or ``id1000`` (those from 1000 on).

    Raises:
        ValueError: an option out of range.
    """

    suffixes = (*SUFFIXES, ".gif")

    def __init__(
        self,
        labels: LabelMap,
        *,
        unknown: str = "error",
        max_distance: int | None = None,
        read: str = "auto",
        transparent: str = "keep",
        max_pixels: int = 1 << 28,
        instances: bool = False,
    ) -> None:
        checks.whole("max_pixels", max_pixels, 1, 1 << 30)
        if max_distance is not None:
            checks.whole("max_distance", max_distance, 0, 255)
        if read not in _WAYS:
            checks.choice("read", read, (*_WAYS, *ANNOTATIONS))
        self.labels, self.max_pixels, self.instances = labels, max_pixels, instances
        self.options: dict[str, Any] = {"unknown": unknown, "max_distance": max_distance, "read": read}
        self.options["transparent"] = transparent
        values = _values(labels, read == "index")
        self._ignored = [value for value, _ in values if not 0 <= value <= 65535]
        self._values = {value: index for value, index in values if 0 <= value <= 65535}
        self._table = _preproc.Table(labels.colors, list(self._values.items()))
        self.files((), 1).close()  # the helper checks the options

    @property
    def key(self) -> str:
        """Everything that a mask depends on besides its source, as text."""
        numbered = ("instances",) if self.instances else ()
        return " ".join(map(str, (self.labels.digest, *self.options.values(), *numbered)))

    def files(self, jobs: "Iterable[Any]", threads: int) -> _preproc.Conversion:
        """Convert PNG files on threads: see `_preproc.convert_files`."""
        return _preproc.convert_files(jobs, self._table, max_pixels=self.max_pixels, threads=threads, **self.options)

    @property
    def numbered(self) -> str:
        """What to say where the order of the label map gives the values; else empty."""
        if self.options["read"] != "index" or any(row.values for row in self.labels.labels if not row.ignore):
            return ""
        names = ", ".join(f"{number} = {row.name}" for number, row in enumerate(self.labels.labels) if row.colors)
        agrees = "".join(f", as its '{column}' does" for column, same in _unread(self.labels).items() if same)
        return (
            f"read=index: the label map lists no values, so its classes were numbered in their order{agrees}: {names}"
        )

    def array(self, image: "NDArray[Any]") -> Mapped:
        """Map H x W x 3 uint8 (RGB) or H x W integers 0..65535 (ids, or gray colours if the map has no values).

        Raises:
            ValueError: another kind of array, or pixels that the label map does not list.
        """
        return self._mapped(_samples(image))

    def _mapped(self, samples: "NDArray[Any]", lossy: str = "") -> Mapped:
        import numpy as np

        wide = samples.ndim == 2 and samples.dtype not in (np.uint8, np.uint16)
        outside = (samples < 0) | (samples > 65535) if wide else None
        if outside is not None:
            self._check_outside(samples, outside)
            # any listed value will do: the mask is overwritten there
            listed = min(self._values, default=0) * (256 if self.options["read"] == "id256" else 1)
            samples = np.where(outside, listed, samples).astype(np.uint16)
        mask, counts, missing, merged, clear = _preproc.map_array(samples, self._table, **self.options)
        if missing and self.options["unknown"] != "ignore":
            whole = counts if outside is None or not outside.any() else {}
            raise ValueError(self.reason(missing, whole, lossy))
        if outside is not None and outside.any():
            mask[outside] = IGNORE
            counts = count(mask)
        return Mapped(mask, counts, missing, lossy, merged, clear)

    def _check_outside(self, ids: "NDArray[Any]", outside: "NDArray[np.bool_]") -> None:
        """Refuse ids that no class can have, unless they are ignored."""
        import numpy as np

        unlisted = outside & ~np.isin(ids, self._ignored)
        if (self.options["unknown"] == "ignore" and self._values) or not unlisted.any():
            return
        y, x = divmod(int(unlisted.argmax()), ids.shape[1])
        raise ValueError(
            f"ids: expected 0..65535, got {ids.min()}..{ids.max()}, the first outside {ids[y, x]} at x={x}, y={y}; use "
            f"ignore_values=[{ids[y, x]}] if it marks pixels to ignore, or renumber them first"
        )

    def file(self, path: Path) -> tuple[Mapped, Stamp]:
        """Read a file of any supported format as a mask.

        Raises:
            OSError: the file cannot be read.
            ValueError: damaged, of a form that is refused, or with pixels that the label map does not list.
        """
        result, mask = _preproc.map_file(path, self._table, max_pixels=self.max_pixels, **self.options)
        stamp = Stamp(result.size, result.mtime_ns, result.crc)
        if result.status == "unsupported":
            return self.other_file(path), stamp
        if mask is None:
            raise ValueError(result.reason or self.reason(result.unknown, result.counts))
        exif = "left" if result.orientation > 1 else ""
        mapped = Mapped(mask, result.counts, result.unknown, "", result.merged, result.clear, exif=exif)
        if not self.instances:
            return mapped, stamp
        return self._numbered(mapped, _preproc.decode(path.read_bytes(), self.max_pixels)[0]), stamp

    def _numbered(self, mapped: Mapped, samples: "NDArray[Any]") -> Mapped:
        return mapped._replace(instances=coded_objects(samples, self.options["read"], mapped.mask))

    def other_file(self, path: Path) -> Mapped:
        """Read a file that is not PNG as a mask, decoded by OpenCV or Pillow, mapped alike. Raises as `file` does."""
        by_number = self.options["read"] in ("index", *CODES) or not self.labels.colors
        gray = self.options["read"] != "color" and bool(self._values)
        opened = open_other(path, self.max_pixels, by_number, gray)
        pixels = opened.pixels if opened.pixels.ndim == 3 else _samples(opened.pixels)
        mapped = self._mapped(pixels, opened.lossy)
        if self.instances:
            mapped = self._numbered(mapped, pixels)
        return mapped._replace(exif=opened.exif, nodata=_nodata(opened, mapped.mask))

    def reason(self, missing: Unknown | None, counts: "Mapping[int, int]", lossy: str = "") -> str:
        """Return the error text about pixels that the label map does not list, with what to do about them.

        Args:
            counts: pixels of each mask value, those that are not listed among 255; empty if the file has others too.
            lossy: the name of the file's format if that is lossy.
        """
        assert missing is not None
        pixels, distinct, first, x, y, reach, level, clear, brightest = missing
        noun = "colour" if isinstance(first, tuple) else "value"
        problem = (
            f"{noun} {first} is not in the label map: {_many(pixels, 'pixel')} of "
            f"{_many(distinct, f'unlisted {noun}')}, the first at x={x}, y={y}"
        )
        advice = "add it to the label map, or use unknown=ignore"
        if clear:
            advice += f", or transparent=ignore ({clear} of the pixels have alpha 0)"
        numbers = isinstance(first, tuple) and self._look_like_numbers(level, brightest, counts)
        photo = isinstance(first, tuple) and distinct > _PAINTED and (reach is None or reach > _LONGEST_REACH)
        if lossy:
            advice = f"{lossy} is lossy, which changes what was painted: ask for PNG labels"
            if reach is not None and not numbers:
                advice += f", or use unknown=nearest max_distance={reach}, as this file needs, and look at the masks"
            if photo:
                advice += "; if this is a photo, not a label image, check source"
            return f"{problem}; {advice}"
        if not isinstance(first, tuple):
            hint = self._coded(first) + self._hint(first, counts, pixels, distinct)
            return f"{problem}; {hint}{advice}"
        if numbers and level >= 1:
            return (
                f"{problem}; these look like indices, not colours (gray levels of at most {level}): "
                f"{self._by_number(level)}"
            )
        if photo:
            clear_too = f", or use transparent=ignore ({clear} of the pixels have alpha 0)" if clear else ""
            return (
                f"{problem}; this looks like a photo, or a label image that was resized or stored with loss: check "
                f"source, or ask for the labels as they were painted{clear_too}"
            )
        away, nearest = _nearest(first, self.labels)
        if len(nearest) > 1:
            return f"{problem}; {' and '.join(nearest)} are equally near, {away} away; {advice}"
        if reach is not None and reach <= _LONGEST_REACH and not numbers:
            advice += f" or unknown=nearest max_distance={reach}"
        return f"{problem}; nearest is {nearest[0]}, {away} away; {advice}"

    def _coded(self, value: int) -> str:
        """Return what a large unlisted value may mean: a class and an instance."""
        if self.options["read"] not in ("auto", "index"):
            return ""
        fits = (code for code, step in CODES.items() if value >= step and value // step in self._values)
        return "".join(f"use read={code} if pixels hold class * {CODES[code]} + instance, or " for code in fits)

    def _look_like_numbers(self, level: int, brightest: int, counts: "Mapping[int, int]") -> bool:
        """Tell whether unlisted colours may well be numbers, whose nearest colour would be a wrong class: they are
        nearly black, and the file has no colour that is listed.

        Args:
            level, brightest: see `Unknown`.
        """
        tones: dict[int, set[bool]] = {}
        for (r, g, b), index in self.labels.colors:
            tones.setdefault(index, set()).add(r == g == b)
        if any(tones.get(value) == {False} for value in counts if value != IGNORE):
            return False
        if level < 0:
            return brightest <= _LONGEST_REACH
        return 1 <= level <= max(len(self.labels.labels) - 1, _LONGEST_REACH)

    def _by_number(self, level: int) -> str:
        """Say how to read indices of at most ``level`` under this map."""
        if self._values:
            return "use read=index"
        if (unread := _unread(self.labels)) and not any(unread.values()):
            return f"if they are those of {_listed(unread)} in the label map, call it 'value' there"
        rows = self.labels.labels
        name = json.dumps(rows[0].name, ensure_ascii=False)
        listed = f"a YAML label map that lists them (classes: [{{name: {name}, values: [0]}}, ...])"
        if level >= len(rows):
            return f"the label map has {len(rows)} classes, use {listed}"
        return f"use read=index if the classes of the label map are numbered from 0 in its order, or {listed}"

    def _hint(self, value: int, counts: "Mapping[int, int]", pixels: int, distinct: int) -> str:
        """Return what an unlisted 1 or 255 may mean: files of two values hold 0 and 1, or 0 and 255, and 255 beside
        other numbers marks pixels to ignore."""
        ignore = "use ignore_values=[255] if it marks pixels to ignore, or " if value == 255 else ""
        other = {1: 255, 255: 1}.get(value)
        if other is None or {*self._values} != {0, other} or distinct > 1:
            return ignore
        if not {*counts} <= {self._values[0], IGNORE} or counts.get(IGNORE) != pixels:
            return ignore
        name = self.labels.name_of(self._values[other])
        return (
            f"two values are stored as 0 and 1 or as 0 and 255; '{name}' has {other}: list [1, 255] for it, or {ignore}"
        )


def convert_array(
    image: "NDArray[Any]", labels: LabelMap, *, unknown: str = "error", max_distance: int | None = None
) -> "NDArray[np.uint8]":
    """Map one label image: H x W x 3 uint8 is RGB, H x W integers 0..65535 are ids (or gray colours, if the label
    map has no values). Returns the mask, H x W uint8.

    Args:
        unknown, max_distance: what to do with pixels that the label map does not list, see `LabelReader`.

    Raises:
        ValueError: another kind of array, a wrong option, or pixels that the label map does not list.

    >>> import numpy as np
    >>> from seg.convert import convert_array
    >>> from seg.labels import LabelMap
    >>> road, car = {"name": "road", "color": [128, 64, 128]}, {"name": "car", "color": [0, 0, 142]}
    >>> labels = LabelMap.from_list([road, car, {"name": "void", "color": [0, 0, 0], "ignore": True}])
    >>> labels
    LabelMap(2 classes: road, car, 1 ignored)
    >>> colours = np.array([[[128, 64, 128], [0, 0, 142], [0, 0, 0]]], np.uint8)
    >>> convert_array(colours, labels)
    array([[  0,   1, 255]], dtype=uint8)
    >>> convert_array(colours + np.uint8(3), labels, unknown="nearest", max_distance=5)
    array([[  0,   1, 255]], dtype=uint8)
    """
    return LabelReader(labels, unknown=unknown, max_distance=max_distance).array(image).mask


def _samples(image: "NDArray[Any]") -> "NDArray[Any]":
    """Return the array in one of the forms that the kernel takes."""
    import numpy as np

    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image
    if image.ndim == 2 and image.dtype.kind in "iu":
        if image.dtype in (np.uint8, np.uint16):
            return image.astype(image.dtype.newbyteorder("="), copy=False)
        return image
    raise ValueError(
        f"image: expected H x W x 3 uint8 (RGB) or H x W integers (ids), got {image.dtype} of shape {image.shape}; "
        "drop alpha with image[..., :3], and give whole numbers as integers"
    )


def _values(labels: LabelMap, by_order: bool) -> list[tuple[int, int]]:
    """Return values with their class index. A map without a class that has one gives them by its order, or not at all:
    those of ignored pixels alone do not make a map of ids."""
    if any(row.values for row in labels.labels if not row.ignore):
        return list(labels.values)
    if not by_order:
        return []
    if (unread := _unread(labels)) and not any(unread.values()):
        them = "it" if len(unread) == 1 else "them"
        raise ValueError(
            f"read=index: expected the values of the classes under the name 'value', got {_listed(unread)} beside "
            "colours, other numbers than those of the order; in the label map, call what label images hold 'value', or "
            f"remove {them} if they count the classes from 0 in their order"
        )
    index = dict(labels.colors)
    rows = (row for row in labels.labels if row.colors)
    return [*((number, index[row.colors[0]]) for number, row in enumerate(rows)), *labels.values]


def _unread(labels: LabelMap) -> dict[str, bool]:
    """Return for each column of numbers that is not read whether it counts the classes from 0 in their order."""
    rows = [row for row in labels.labels if row.colors]
    columns = dict.fromkeys(column for row in rows for column, _ in row.unread)
    return {
        column: all({n for name, n in row.unread if name == column} == {at} for at, row in enumerate(rows))
        for column in columns
    }


def _listed(names: "Iterable[str]") -> str:
    return " and ".join(f"'{name}'" for name in names)


def _nodata(opened: Opened, mask: "NDArray[np.uint8]") -> tuple[float, int, int] | None:
    """Return the value that a file declares as nodata, the pixels of it that became a class, and the class."""
    if opened.nodata is None or opened.missing is None:
        return None
    classes = mask[opened.missing & (mask != IGNORE)]
    return (opened.nodata, classes.size, int(classes[0])) if classes.size else None


def count(mask: "NDArray[np.uint8]") -> dict[int, int]:
    """Count the pixels of each value, by a histogram in parts: sorting takes several times as long."""
    import numpy as np

    flat, pixels = mask.reshape(-1), np.zeros(256, np.intp)
    for start in range(0, flat.size, _PART):
        pixels += np.bincount(flat[start : start + _PART], minlength=256)
    return {value: int(pixels[value]) for value in np.flatnonzero(pixels).tolist()}


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _nearest(color: Color, labels: LabelMap) -> tuple[int, list[str]]:
    """Return the distance of the nearest listed colours (greatest difference in a channel), and one of each class."""

    def distance(listed: Color) -> tuple[int, int]:
        offsets = [abs(a - b) for a, b in zip(color, listed, strict=True)]
        return max(offsets), sum(offset * offset for offset in offsets)

    least = min(distance(listed) for listed, _ in labels.colors)
    nearest = {index: listed for listed, index in labels.colors if distance(listed) == least}
    names = {listed: label.name for label in labels.labels for listed in label.colors}
    return least[0], [f"{listed} '{names[listed]}'" for listed in nearest.values()]
