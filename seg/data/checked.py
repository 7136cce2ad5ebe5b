"""Every pair is decoded once before a training, so that what is wrong with it is found first."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.pairs import Pair
from seg.files.memo import remembered
from seg.images import RGB, Reading, read_instances, read_mask, read_values
from seg.images.oddities import ValueFacts, value_facts


class Checked(NamedTuple):
    """The result of `check`: pixels of each class (pairs, classes) int64, and each pair's (height, width).

    ``facts`` are about the values of each image. ``moments`` holds mean and mean square of each channel (2, channels),
    of images scaled to 0..1, over all pixels; None for RGB, where nobody needs it. ``checksums`` are of the decoded
    pixels of each image, and of its mask: files that were moved or stored otherwise have the same.
    """

    counts: NDArray[np.int64]
    sizes: list[tuple[int, int]]
    facts: list[ValueFacts]
    moments: NDArray[np.float64] | None
    checksums: Sequence[tuple[str, str]] = ()


def check(
    pairs: Sequence[Pair],
    classes: int,
    *,
    reading: Reading = RGB,
    progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """Decode every file once, in threads, so that a bad one is found before the training and not in its middle.

    What is found is remembered (`seg.files.memo`): a second call looks only at the files that have changed.

    Args:
        reading: how images are read.
        progress: called with (done, total).

    Raises:
        ValueError: a file that cannot be read, a mask of another size than its image, or a wrong mask value; the
            message names the first and says how many there are.
    """
    results = remembered(
        f"check 3, {classes} classes, {reading}, OpenCV {cv2.__version__}",
        [pair.files for pair in pairs],
        lambda index: _facts_of(pairs[index], classes, reading),
        keep=lambda result: None if isinstance(result, str) else result.plain(),
        restore=lambda _, kept: PairFacts.of(kept),
        progress=progress,
    )
    problems = [result for result in results if isinstance(result, str)]
    if problems:
        more = f" (and {len(problems) - 1} more of {len(pairs)} pairs)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    good = [result for result in results if not isinstance(result, str)]
    table = np.array([result.counts for result in good], np.int64).reshape(len(pairs), classes)
    if not table.sum():
        raise ValueError(
            f"masks: expected labelled pixels, got 255 (ignore) everywhere in all {len(pairs)}, such as "
            f"'{pairs[0].mask}'; convert the labels with another label map"
        )
    sizes = [result.size for result in good]
    moments = None
    if not reading.is_rgb:
        moments = np.average([result.moments for result in good], 0, [height * width for height, width in sizes])
    checksums = [result.checksums for result in good]
    return Checked(table, sizes, [result.facts for result in good], moments, checksums)


class PairFacts(NamedTuple):
    """One pair: pixels of each class, (height, width), what `Checked` holds of its image, and both checksums."""

    counts: NDArray[np.int64]
    size: tuple[int, int]
    facts: ValueFacts
    moments: list[list[float]]
    checksums: tuple[str, str]

    @classmethod
    def of(cls, kept: list[Any]) -> "PairFacts":
        """Restore what `plain` returned."""
        counts, size, facts, moments, checksums = kept
        return cls(np.array(counts, np.int64), tuple(size), ValueFacts(*facts), moments, tuple(checksums))

    def plain(self) -> list[Any]:
        return [self.counts.tolist(), *self[1:]]


def _facts_of(pair: Pair, classes: int, reading: Reading) -> PairFacts | str:
    """Look at a pair; return what is in it, or what is wrong with it."""
    try:
        mask, values = read_mask(pair.mask, classes), read_values(pair.image, reading)
    except ValueError as error:
        return str(error)
    if mask.shape != values.pixels.shape[:2]:
        (h, w), (mh, mw) = values.pixels.shape[:2], mask.shape
        turned = values.orientation > 4 and reading.exif and (mh, mw) == (w, h)
        remedy = (
            "give data.exif=ignore, because EXIF turns the image and the mask was painted on the pixels as they are "
            "stored"
            if turned
            else "convert the label that belongs to the image"
        )
        return f"mask '{pair.mask}': expected {w}x{h} as its image '{pair.image}', got {mw}x{mh}; {remedy}"
    try:
        facts = value_facts(values, reading)
        moments = [] if reading.is_rgb else _moments(values.image(reading))
    except ValueError as error:
        return f"image '{pair.image}': {error}"
    numbers: list[NDArray[Any]] = []
    if pair.instances is not None:
        try:
            numbers.append(read_instances(pair.instances))
        except ValueError as error:
            return str(error)
        if numbers[0].shape != mask.shape:
            return _wrong_instances(pair, mask, numbers[0])
    counts = np.bincount(mask.ravel(), minlength=256)[:classes]
    bands = values.colors if reading.bands is None else values.pixels
    checksums = _checksum(bands[..., :1] if _is_gray(bands) else bands), _checksum(mask, *numbers)
    return PairFacts(counts, (mask.shape[0], mask.shape[1]), facts, moments, checksums)


def _is_gray(bands: NDArray[Any]) -> bool:
    """Tell whether an image is gray, though it may be stored in three bands; the first row settles it for most."""
    alike = bands.shape[2] == 3 and not (bands[:1] != bands[:1, :, :1]).any()
    return alike and not (bands != bands[..., :1]).any()


def _checksum(*arrays: NDArray[Any]) -> str:
    """Return a checksum of values and shapes, whatever the order of their bytes."""
    crc = 0  # a tenth of the time of a cryptographic one, which is a third of that of decoding
    for array in arrays:
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        crc = zlib.crc32(native.data, zlib.crc32(f"{native.shape} {native.dtype.str}".encode(), crc))
    return f"{crc:08x}"


def _wrong_instances(pair: Pair, mask: NDArray[np.uint8], numbers: NDArray[Any]) -> str:
    (h, w), (nh, nw) = mask.shape, numbers.shape
    return (
        f"instances '{pair.instances}': expected {w}x{h} as the mask '{pair.mask}', got {nw}x{nh}; give those that "
        "belong to the masks"
    )


def _moments(image: NDArray[np.uint8]) -> list[list[float]]:
    """Return mean and mean square of each channel of (H, W, channels), scaled to 0..1."""
    mean, deviation = (values.ravel() / 255 for values in cv2.meanStdDev(image))
    return [mean.tolist(), (mean**2 + deviation**2).tolist()]
