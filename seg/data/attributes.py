"""What is known of each image besides its mask: a table whose columns part a set of images into slices.

image,weather,sun
0016E5_07959.png,rain,12.5
0016E5_07961.png,dry,41

slices = read_slices("images.csv", names)  # weather=dry, weather=rain, sun=12.5 to 20, ...
"""

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg.data.pairs.names import composed
from seg.files import SUFFIXES, read_file

IMAGE = "image"
"""The column of names."""
WORDS = 5
"""A column of numbers with more different ones than these is cut into bins."""
MOST = 100
"""Slices that a column may make: of more, each would take its time, and none would say anything."""
BINS, LEAST = 4, 10
"""Bins of about as many images each, at most, and images that each of them has at least, but for ties."""


@dataclass(frozen=True)
class Slice:
    """The images that have one value of an attribute.

    Attributes:
        images: their positions in the set, in order.
    """

    attribute: str
    value: str
    images: tuple[int, ...]

    @property
    def name(self) -> str:
        """Attribute and value: ``weather=rain``."""
        return f"{self.attribute}={self.value}"


@dataclass(frozen=True)
class Slices:
    """The slices of a set: attribute by attribute, words by letter, numbers by size.

    Attributes:
        notes: what a reader must know: columns that are left out, images whose value is not known.
    """

    slices: tuple[Slice, ...]
    notes: tuple[str, ...]

    @property
    def by_attribute(self) -> dict[str, list[Slice]]:
        """The slices of each attribute."""
        found: dict[str, list[Slice]] = {}
        for each in self.slices:
            found.setdefault(each.attribute, []).append(each)
        return found


def read_slices(file: str | os.PathLike[str], images: Sequence[str]) -> Slices:
    """Part images by the columns of a table, of commas or semicolons.

    A name may have the suffix of an image file. A column of words, or of few different numbers, makes a slice of each
    value; of many different numbers, up to four bins of about as many images. An empty cell is not known, and its image
    in no slice of that column. Rows of other images, and columns that part nothing, are left out with a note.

    Args:
        images: names of the set, as ``per_image.csv`` has them.

    Raises:
        ValueError: no such table, an image without a row or with two, or a number that is none.
    """
    header, rows = _table(Path(file))
    columns = [name for name in header if name != IMAGE]
    values, notes = _by_image(Path(file), rows, images)
    slices: list[Slice] = []
    for column in columns:
        cells = [values[image][column] for image in images]
        try:
            slices += _slices(column, cells, images)
        except _Unfit as reason:
            notes.append(f"column '{column}' is left out: {reason}")
        else:
            if unknown := sum(not cell for cell in cells):
                notes.append(
                    f"{column}: {unknown} of {len(images)} images have no value, and are in none of its slices"
                )
    if not slices:
        raise ValueError(
            f"attributes: expected a column in '{file}' that parts the images, got none ({'; '.join(notes)}); add one"
        )
    return Slices(tuple(slices), tuple(notes))


class _Unfit(Exception):
    """A column parts nothing; the reason."""


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read header and rows.

    Raises:
        ValueError: it is no such table.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"attributes: expected a table, got '{path}' ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise ValueError(f"attributes: expected UTF-8 in '{path}', got another encoding; save it as UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(
            f"attributes: expected a table in '{path}', got another file ({error}); save it as CSV"
        ) from None
    header = [name.strip() for name in (table or [[]])[0]]
    if header.count(IMAGE) != 1 or len(header) < 2 or len({*header}) < len(header) or "" in header:
        raise ValueError(
            f"attributes: expected a column '{IMAGE}' and others, each with a name of its own, in '{path}', got "
            f"{', '.join(header) or 'nothing'}; write such as image,weather,site"
        )
    rows = []
    for number, row in enumerate(table[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise ValueError(
                f"attributes: expected {len(header)} cells in '{path}', row {number}, got {len(row)}; write one for "
                "each column"
            )
        rows.append(dict(zip(header, (cell.strip() for cell in row), strict=True)))
    return header, rows


def _by_image(
    path: Path, rows: Sequence[Mapping[str, str]], images: Sequence[str]
) -> tuple[dict[str, Mapping[str, str]], list[str]]:
    """Return the row of each image, and a note on rows of others.

    Raises:
        ValueError: an image has none, or two.
    """
    known = {composed(image): image for image in images}
    found: dict[str, Mapping[str, str]] = {}
    others = []
    for row in rows:
        name = composed(row[IMAGE])
        stem, _, suffix = name.rpartition(".")
        image = known.get(name) or (known.get(stem) if f".{suffix.lower()}" in SUFFIXES else None)
        if image is None:
            others.append(row[IMAGE])
        elif image in found:
            raise ValueError(f"attributes: expected one row of '{image}' in '{path}', got two; remove one")
        else:
            found[image] = row
    if missing := [image for image in images if image not in found]:
        there = f"; its other rows are such as '{others[0]}'" if others else ""
        raise ValueError(
            f"attributes: expected a row for each of {len(images)} images in '{path}', got none for {_some(missing)}"
            f"{there}; add them, with empty cells for what is not known"
        )
    what = "row is of another image" if len(others) == 1 else "rows are of other images"
    return found, [f"{len(others)} {what} than those of the set ({_some(others)})"] if others else []


def _some(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _slices(column: str, cells: Sequence[str], images: Sequence[str]) -> Iterator[Slice]:
    """Return the slices of a column.

    Raises:
        _Unfit: it parts nothing.
        ValueError: a number that is none.
    """
    known = [cell for cell in cells if cell]
    if not known:
        raise _Unfit("it is empty")
    numbers = [_number(cell) for cell in cells]
    if all(number is not None for number, cell in zip(numbers, cells, strict=True) if cell):
        values = _bins(column, numbers, images)
    else:
        values = list(cells)
    different = {value for value in values if value}
    if len(different) == 1:
        raise _Unfit(f"all images have the same value, '{min(different)}'")
    if 2 * len(different) > len(known) or len(different) > MOST:
        odd = next((cell for cell, number in zip(cells, numbers, strict=True) if cell and number is None), "")
        mixed = f"; '{odd}' is no number, others are" if odd and any(number is not None for number in numbers) else ""
        raise _Unfit(f"{len(different)} values of {len(known)} images part them too finely{mixed}")
    order = sorted(different, key=lambda value: (_first_number(value, numbers), value))
    return (Slice(column, value, tuple(place for place, each in enumerate(values) if each == value)) for value in order)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _first_number(value: str, numbers: Sequence[float | None]) -> float:
    """Return what sorts a value: the first number of a bin; words come in the order of their letters."""
    number = _number(value.partition(" to ")[0])
    return number if number is not None and any(each is not None for each in numbers) else math.inf


def _bins(column: str, numbers: Sequence[float | None], images: Sequence[str]) -> list[str]:
    """Return the name of the bin of each image: from its least to its greatest number.

    Raises:
        ValueError: a number is not finite.
    """
    known = []
    for image, number in zip(images, numbers, strict=True):
        if number is not None and not math.isfinite(number):
            raise ValueError(
                f"attributes: expected numbers in column '{column}', got {number} for '{image}'; leave the cell empty "
                "where the number is not known"
            )
        known += [number] if number is not None else []
    if len(set(known)) <= WORDS:
        return ["" if number is None else f"{number:.15g}" for number in numbers]
    bins = max(2, min(BINS, len(known) // LEAST))
    edges = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    place = [None if number is None else int(np.searchsorted(edges, number)) for number in numbers]  # upper edges
    ends: dict[int, list[float]] = {}
    for bin_, number in zip(place, numbers, strict=True):
        if bin_ is not None and number is not None:
            ends.setdefault(bin_, []).append(number)
    names = {
        bin_: " to ".join(dict.fromkeys(f"{pick(some):.15g}" for pick in (min, max))) for bin_, some in ends.items()
    }
    return ["" if bin_ is None else names[bin_] for bin_ in place]
