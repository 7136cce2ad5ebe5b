"""One class of a label map: its name, and the colours and values that stand for it in a label image."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from seg.files import checks

IGNORE = 255
"""Mask value of pixels that losses and metrics leave out."""

Color = tuple[int, int, int]

_MOST_VALUE = (1 << 32) - 1  # of ignored pixels, in files of 32 bits


@dataclass(frozen=True)
class Label:
    """One class: its name and everything that stands for it in a label image.

    Args:
        name: class name, unique within a label map.
        colors: RGB colours, each channel 0..255.
        values: values of single-channel label images, 0..65535; of an ignored class also others, such as -1.
        ignore: pixels of this class become `IGNORE`.
        unread: what a file says of the class in columns of numbers beside colours, (column, number): they may be values
            or count rows, and equal labels may differ in them.
    """

    name: str
    colors: tuple[Color, ...] = ()
    values: tuple[int, ...] = ()
    ignore: bool = False
    unread: tuple[tuple[str, int], ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"expected a class name, got {self.name!r}; name the class")
        for color in self.colors:
            if len(color) != 3 or not all(_is_int(c, 255) for c in color):
                raise ValueError(
                    f"class '{self.name}': expected a colour of three integers 0..255, got {tuple(color)}; correct it"
                )
        for value in self.values:
            if not (_is_int(value, 65535) or (self.ignore and _is_any(value))):
                raise ValueError(
                    f"class '{self.name}': expected a value of 0..65535, got {value!r}; correct it, or "
                    "mark the class as ignored there"
                )
        if not self.colors and not self.values:
            raise ValueError(f"class '{self.name}': expected colours or values, got neither; give at least one")


def with_ignored(labels: Sequence[Label], values: Sequence[int]) -> Sequence[Label]:
    """Return the labels with more values of single-channel sources that stand for ignored pixels, such as -1 or 255.

    Raises:
        ValueError: no whole number, or the value of a class.
    """
    listed = {value: label for label in labels for value in label.values}
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(
                f"ignore_values: expected whole numbers such as [-1, 255], got {value!r}; write a number that is no "
                "class in its place, such as -1 (numpy.nan_to_num(labels, nan=-1)), and give that"
            )
        if not _is_any(value):
            raise ValueError(f"ignore_values: expected whole numbers such as [-1, 255], got {value!r}; correct it")
        if value in listed and not (label := listed[value]).ignore:
            several = f"take {value} out of its values {[*label.values]} in the label map first"
            raise ValueError(
                f"ignore_values: expected values that are no class, got {value}, which is '{label.name}'; "
                f"{several if len(label.values) > 1 else 'ignore that class by its name (ignore=[...])'}"
            )
    if not (more := tuple(value for value in dict.fromkeys(values) if value not in listed)):
        return labels
    rows = [replace(row, values=row.values + more) if row.name == "ignore" and row.ignore else row for row in labels]
    known = any(row.name == "ignore" and row.ignore for row in rows)
    return rows if known else [*rows, Label("ignore", values=more, ignore=True)]


def _is_any(value: object) -> bool:
    return checks.is_whole(value) and abs(value) <= _MOST_VALUE


def _is_int(value: object, most: int) -> bool:
    return checks.is_whole(value) and 0 <= value <= most


def color_of(text: str) -> Color:
    """Return the colour that a text means: ``#804080``, ``804080``, ``#848``, ``128,64,128``, ``(128 64 128)``.

    Raises:
        ValueError: another text.
    """
    plain = text.strip().lower()
    if match := re.fullmatch(r"#([0-9a-f])([0-9a-f])([0-9a-f])", plain):
        plain = "".join(2 * digit for digit in match.groups())
    if match := re.fullmatch(r"(?:#|0x)?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", plain):
        r, g, b = (int(digits, 16) for digits in match.groups())
        return r, g, b
    if match := re.fullmatch(r"(?:rgb)?[(\[]?\s*(\d+)[\s,;]+(\d+)[\s,;]+(\d+)\s*[)\]]?", plain):
        r, g, b = (int(number) for number in match.groups())
        return r, g, b
    raise ValueError(f"expected a colour such as #804080 or 128,64,128, got '{text}'; correct it")
