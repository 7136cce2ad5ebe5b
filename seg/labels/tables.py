"""Label maps as text: tables with a header, rows of colours without one, and CVAT's ``labelmap.txt``."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace

from seg.labels.label import Color, Label, color_of

_TRUE = {"1", "true", "yes", "y", "x"}
_FALSE = {"", "0", "false", "no", "n"}

_COLUMNS = {
    "name": ("name", "class", "label", "class_name", "class name"),
    "r": ("r", "red"),
    "g": ("g", "green"),
    "b": ("b", "blue"),
    "color": ("color", "colour", "hex", "rgb"),
    "value": ("value", "values", "pixel value", "pixel_value"),
    "id": ("id", "index"),
    "ignore": ("ignore",),
}
"""What a column may be called, in lower case; others are left out."""

_LONGEST = 1000  # characters of a row without a header; the patterns are slow on very long ones
_COLOR = r"(?P<color>#[0-9a-fA-F]{6}|#[0-9a-fA-F]{3}|\d+[, ]\d+[, ]\d+)"
# The number beside the colour must not belong to the name: of 7 128 64 128 any three may be the colour.
_COLOR_FIRST = re.compile(_COLOR + r"(?:[, ](?P<name>[^, ]*[^\W\d_][^,]*))?")
_NAME_FIRST = re.compile(r"(?P<name>[^,]*[^\W\d_][^, ]*)[, ]" + _COLOR)
_CVAT = re.compile(r"(?P<name>[^:]+(?::[^:]+)*?)\s*:\s*(?P<color>\d+\s*,\s*\d+\s*,\s*\d+|#[0-9a-fA-F]+)\s*(?::.*)?")
_CVAT_HEADER = re.compile(r"\s*#\s*label\s*:", re.IGNORECASE)

Cells = dict[str, str]


def from_table(text: str) -> list[Label]:
    """Return the labels of a table; rows of one name are one class.

    Raises:
        ValueError: none of the forms, or a malformed row; the message names its line.
    """
    lines = io.StringIO(text, newline=None).readlines()
    start = next((number for number, line in enumerate(lines) if line.strip() and not _is_comment(line)), len(lines))
    if any(_CVAT_HEADER.match(line) for line in lines[:start]) or any(map(_cvat_row, lines[start : start + 1])):
        rows = _cvat(lines)
    elif lines[start:] and _bare_row(lines[start]) is not None:
        rows = _bare(lines)
    else:
        rows = _with_header(lines, start)
    labels: dict[str, Label] = {}
    for number, cells in rows:
        try:
            _merge(labels, _label(cells))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return list(labels.values())


def _is_comment(line: str) -> bool:
    """Before the first row, or among rows without a header; a line that begins with a colour is none."""
    return re.match(r"\s*#(?![0-9a-f]{6}\b|[0-9a-f]{3}\b)", line, re.IGNORECASE) is not None


def _with_header(lines: list[str], start: int) -> Iterator[tuple[int, Cells]]:
    first = lines[start] if lines[start:] else ""
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(lines[start:], delimiter=delimiter, skipinitialspace=delimiter != "\t")
    columns: dict[str, int] = {}
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not columns:
                columns = _columns(cells)
                continue
            yield start + rows.line_num, {role: cells[at] for role, at in columns.items() if at < len(cells)}
    except csv.Error as error:
        raise ValueError(f"line {start + rows.line_num}: expected a table, got {error}; mend the line") from None


def _columns(cells: list[str]) -> dict[str, int]:
    """Where each column stands that is read."""
    header = [cell.lower() for cell in cells]
    found = {
        role: next(header.index(word) for word in words if word in header)
        for role, words in _COLUMNS.items()
        if not {*words}.isdisjoint(header)
    }
    wanted: tuple[str, ...] = ("name", "r", "g", "b")
    if found.keys() & {"r", "g", "b"}:
        found.pop("color", None)  # its name in words
    elif found.keys() & {"color", "value", "id"}:
        wanted = ("name",)
    if found.keys() & {"r", "color", "value"}:
        found.pop("id", None)  # a number of the row, as likely as a value
    if missing := [role for role in wanted if role not in found]:
        unsaid = "; say by a header what each number is" if all(cell.isdigit() for cell in cells) else ""
        raise ValueError(
            f"expected a header with name,r,g,b, got '{','.join(cells)[:200]}'{unsaid}; add {', '.join(missing)}, or "
            "use columns name and color (#804080), or name and value"
        )
    return found


def _bare(lines: list[str]) -> Iterator[tuple[int, Cells]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or _is_comment(line):
            continue
        cells = _bare_row(line)
        if cells is None:
            raise ValueError(
                f"line {number}: expected r,g,b or r,g,b,name as in the lines before, got '{line.strip()[:80]}'; "
                "correct it"
            )
        yield number, cells if cells["name"] else cells | {"name": _name_of(cells["color"])}


def _name_of(color: str) -> str:
    """Name a class without a name by its colour, because a row's number changes when a row is put in or taken out."""
    r, g, b = color_of(color)
    return f"rgb_{r}_{g}_{b}"


def _bare_row(line: str) -> Cells | None:
    """Return a colour and perhaps a name after or before it; None for anything else, such as four numbers."""
    plain = re.sub(" ?[,;] ?", ",", " ".join(re.sub("\t+", ",", line.strip()).split()))
    match = len(plain) < _LONGEST and (_COLOR_FIRST.fullmatch(plain) or _NAME_FIRST.fullmatch(plain))
    return match.groupdict(default="") if match else None


def _cvat(lines: list[str]) -> Iterator[tuple[int, Cells]]:
    for number, line in enumerate(lines, start=1):
        cells = _cvat_row(line)
        if cells is not None:
            yield number, cells
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ValueError(
                f"line {number}: expected label:r,g,b:parts:actions, as CVAT writes it, got '{line.strip()[:80]}'; "
                "correct it"
            )


def _cvat_row(line: str) -> Cells | None:
    match = len(line) < _LONGEST and _CVAT.fullmatch(line.strip())
    return {role: text.strip() for role, text in match.groupdict().items()} if match else None


def _label(cells: Cells) -> Label:
    colors = _colors(cells)
    numbers = cells.get("value") or cells.get("id") or ""
    try:
        values = tuple(int(number) for number in numbers.replace(";", " ").replace(",", " ").split())
    except ValueError:
        raise ValueError(
            f"class '{cells.get('name', '')}': expected whole numbers as value, got '{numbers}'; correct them"
        ) from None
    flag = cells.get("ignore", "").lower()
    if flag not in _TRUE | _FALSE:
        raise ValueError(f"ignore: expected one of {sorted(_TRUE | _FALSE)}, got '{flag}'; write 1 or 0")
    return Label(cells.get("name", ""), colors, values, ignore=flag in _TRUE)


def _colors(cells: Cells) -> tuple[Color, ...]:
    if "r" not in cells:
        return (color_of(cells["color"]),) if cells.get("color") else ()
    try:
        r, g, b = (int(cells.get(channel, "")) for channel in "rgb")
    except ValueError:
        got = ", ".join(cells.get(channel, "") for channel in "rgb")
        raise ValueError(
            f"class '{cells.get('name', '')}': expected integers 0..255 as r, g, b, got '{got}'; correct them"
        ) from None
    return ((r, g, b),)


def _merge(labels: dict[str, Label], label: Label) -> None:
    """Several rows of one name are one class with several colours and values."""
    earlier = labels.get(label.name)
    if earlier is None:
        labels[label.name] = label
    elif earlier.ignore != label.ignore:
        raise ValueError(f"class '{label.name}': expected one value of ignore in its rows, got two; make them equal")
    else:
        labels[label.name] = replace(
            earlier, colors=earlier.colors + label.colors, values=earlier.values + label.values
        )
