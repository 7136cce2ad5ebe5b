"""What is odd about the values of images, and how a training set says what to do about it."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg.images.decoding import Values
from seg.images.headers import read_header
from seg.images.reading import Range, Reading, check_finite

_SHARES = (0.5, 99.5)  # percent: what `percentiles` takes for black and white; nnU-Net's choice for CT
_ENDS = (0.1, 99.9)  # percent: a few hot pixels are not the range that an image uses
_SAMPLE = 1 << 16  # values of an image that are looked at for that
_SAMPLES = 1 << 22  # values of a band that are kept for the percentiles of a training set
_FEW = 0.5  # of the range: with less, half of the 256 levels are empty
_CUT = 0.05  # of the values


class ValueFacts(NamedTuple):
    """Facts about the values of one image.

    Attributes:
        kind: see `Values.kind`.
        dropped: bands and pages of the file that nobody sees.
        low, high: ends of what its values use, 0 and 1 for those of the range; 0 and 1 of plain 8-bit images.
        cut: share of the values beyond the range.
        hidden: it is turned, or mirrored, in a way that its size does not show.
    """

    kind: str
    dropped: int = 0
    low: float = 0.0
    high: float = 1.0
    cut: float = 0.0
    hidden: bool = False


class Oddity(NamedTuple):
    """Something to say before the work starts: a short name, a sentence, what to do, and which images it is about."""

    check: str
    text: str
    advice: str
    images: list[int]


def left_out_pages(paths: Iterable[Path], reading: Reading) -> str:
    """Say how many TIFF files have pages that nobody sees; empty if none has, or if bands were chosen, of all pages."""
    if reading.bands is not None or not (found := [path for path in paths if _has_pages(path)]):
        return ""
    return (
        f"{len(found)} images have several pages, of which the first alone is read, such as '{found[0]}'; save each "
        "page as a file of its own, or train with data.bands to read all as bands"
    )


def _has_pages(path: Path) -> bool:
    """Tell whether there are several pictures in a file; a damaged one has none, and its reader says so."""
    try:
        with path.open("rb") as file:
            tiff = read_header(file, any_form=True).tiff
    except (ValueError, OSError):
        return False
    return tiff is not None and tiff.pictures > 1


def value_facts(values: Values, reading: Reading) -> ValueFacts:
    """Measure the values of an image as the reading takes them.

    Raises:
        ValueError: see `Reading.shares`.
    """
    height, width, _ = values.pixels.shape
    dropped = 0 if reading.bands is not None else values.dropped + max(values.colors.shape[2] - 3, 0)
    hidden = reading.exif and values.orientation > 1 and (values.orientation < 5 or height == width)
    if values.pixels.dtype == np.uint8 and reading.range is None:
        return ValueFacts(values.kind, dropped, hidden=hidden)
    pixels = values.chosen(reading)
    check_finite(pixels)
    shares = reading.shares(_sample(pixels, _SAMPLE))
    low, high = np.percentile(shares, _ENDS)
    cut = float(((shares < 0) | (shares > 1)).mean())
    return ValueFacts(values.kind, dropped, float(low), float(high), cut, hidden)


def oddities(images: Sequence[ValueFacts], reading: Reading) -> Iterator[Oddity]:
    """Yield what somebody who trains on these images, or evaluates on them, should know."""
    dropped = [i for i, facts in enumerate(images) if facts.dropped]
    if dropped:
        most = max(images[i].dropped for i in dropped)
        yield Oddity(
            "dropped-bands",
            f"images with bands or pages that are left out: {len(dropped)} of {len(images)}, up to {most} of them",
            "choose the bands with data.bands, such as [0,1,2,3]; with [0,1,2] that is meant",
            dropped,
        )
    for bits in sorted({_bits(facts) for facts in images}):
        chosen = [i for i, facts in enumerate(images) if _bits(facts) == bits]
        yield from _few_levels([images[i] for i in chosen], chosen, bits, reading)
    hidden = [i for i, facts in enumerate(images) if facts.hidden]
    if hidden:
        yield Oddity(
            "hidden-orientation",
            f"images that EXIF turns or mirrors, though their size does not show it: {len(hidden)} of {len(images)}",
            "see in a picture that mask and image agree; if the masks were painted on the pixels as they are stored, "
            "give data.exif=ignore",
            hidden,
        )


def percentiles(
    paths: Sequence[os.PathLike[str]],
    reading: Reading,
    read: Callable[[Any, Reading], Values],
) -> Range:
    """Measure for each channel the values that 0.5 % and 99.5 % of the pixels do not exceed; in units of the files.

    Every image gives an equal number of pixels, drawn at random, 4 million in all: of fewer, all are taken.

    Args:
        read: path -> values, `seg.images.read_values`.

    Raises:
        ValueError: a file that cannot be read, or a band of one value.
    """
    plain = Reading(reading.bands, None, reading.exif)
    most = max(_SAMPLES // max(len(paths), 1), 16)

    def drawn(path: os.PathLike[str]) -> NDArray[Any]:
        values = read(path, plain)
        try:
            pixels = values.chosen(plain)
            check_finite(pixels)
        except ValueError as error:
            raise ValueError(f"image '{path}': {error}") from None
        return _sample(pixels, most)

    with ThreadPoolExecutor() as pool:
        ends = np.percentile(np.concatenate(list(pool.map(drawn, paths))).astype(np.float64), _SHARES, axis=0)
    if (flat := np.flatnonzero(ends[0] >= ends[1])).size:
        raise ValueError(
            f"data.range: expected training images of differing values, got {ends[0][flat[0]]:g} nearly everywhere in "
            f"channel {flat[0]}; leave the band out, or give data.range=[low,high]"
        )
    return tuple((float(low), float(high)) for low, high in ends.T)


def _sample(pixels: NDArray[Any], most: int) -> NDArray[Any]:
    """Take (N, bands) of (H, W, bands): all pixels, or ``most`` at random places, the same in every call."""
    rows = pixels.reshape(-1, pixels.shape[2])
    if len(rows) <= most:
        return rows
    return rows[np.random.Generator(np.random.PCG64(len(rows))).integers(0, len(rows), most)]


def _bits(facts: ValueFacts) -> str:
    """Return the type of numbers of an image, such as ``16 bit``."""
    return facts.kind.rpartition(", ")[2]


def _few_levels(images: Sequence[ValueFacts], places: list[int], bits: str, reading: Reading) -> Iterator[Oddity]:
    """Report the range that images of one type of numbers use."""
    low, high = np.quantile([s.low for s in images], 0.1), np.quantile([s.high for s in images], 0.9)
    used = min(high, 1.0) - max(low, 0.0)
    cut = float(np.mean([s.cut for s in images]))
    name = f"data.range={text_of(reading.range)}" if reading.range else "0..65535"
    if used < _FEW:
        first, last = int(np.floor(65535 * low)), int(np.ceil(65535 * high))
        levels = f"{max(used, 0) * 100:.2g} % of {name}, {max(round(used * 255), 0) + 1} of 256 gray levels"
        ends = f"[{first},{max(last, first + 1)}] (values that become black and white)"
        remedy = "correct it" if reading.range else f"give data.range={ends}"
        yield Oddity(
            "few-levels",
            f"the values of {len(images)} images of {bits} use {levels}",
            f"{remedy}, or data.range=percentiles (of the training set)",
            places,
        )
    if cut > _CUT:
        yield Oddity(
            "cut-range",
            f"{100 * cut:.2g} % of the values of {len(images)} images of {bits} lie outside {name} and are cut off",
            "correct it, or give data.range=percentiles",
            places,
        )


def text_of(limits: Any) -> str:
    """Show the pairs of a range as they are typed."""
    pairs = [f"[{low:g},{high:g}]" for low, high in limits]
    return pairs[0] if len(pairs) == 1 else f"[{','.join(pairs)}]"
