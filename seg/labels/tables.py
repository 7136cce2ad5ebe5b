"""Label maps as rows: tables with a header, objects of JSON, lines of colours or numbers and names, CVAT's file."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from seg.labels.label import Color, Label, color_of

_TRUE = {"1", "true", "yes", "y", "x"}
_FALSE = {"", "0", "false", "no", "n"}

_COLUMNS = {
    "name": ("name", "class", "label", "classname", "labelname", "title"),
    "r": ("r", "red"),
    "g": ("g", "green"),
    "b": ("b", "blue"),
    "color": ("color", "colour", "hex", "rgb"),
    "value": ("value", "values", "pixelvalue"),
    "id": ("id", "index"),
    "ignore": ("ignore",),
}
"""What a column may be called, in lower case and without spaces and underscores; others are left out."""

_NUMBERS = re.compile(
    "(class|label|train|category|cat|object|pixel|mask|semantic|gr[ae]y|colou?r)?"
    "(id|ids|idx|index|indices|number|num|nr|no|code|values?|level|class|label|gr[ae]y)"
)
"""Names of columns whose numbers may be values."""

_LONGEST = 1000  # characters of a row without a header; the patterns are slow on very long ones
_COLOR = r"(?P<color>#[0-9a-fA-F]{6}|#[0-9a-fA-F]{3}|\d+[, ]\d+[, ]\d+)"
# The number beside the colour must not belong to the name: of 7 128 64 128 any three may be the colour.
_COLOR_FIRST = re.compile(_COLOR + r"(?:(?: ?[:=] ?|[, ])(?P<name>[^, ]*[^\W\d_][^,]*))?")
_NAME_FIRST = re.compile(r"(?P<name>[^,]*[^\W\d_][^, ]*?)(?: ?[:=] ?|[, ])" + _COLOR)
_NUMBER_FIRST = re.compile(r"(?P<value>-?\d+)(?P<mark> ?[:=] ?| ?[,;] ?| )(?P<name>\D.*)")
_CVAT = re.compile(r"(?P<name>[^:]+(?::[^:]+)*?)\s*:\s*(?P<color>\d+\s*,\s*\d+\s*,\s*\d+|#[0-9a-fA-F]+)\s*(?::.*)?")
_CVAT_HEADER = re.compile(r"\s*#\s*label\s*:", re.IGNORECASE)

Cells = dict[str, str]


class Row(NamedTuple):
    """What a file says of a class: the place for messages, the text by role, and that of numbers by their column."""

    where: str
    cells: Cells
    unread: Cells


def from_table(text: str) -> list[Label]:
    """Return the labels of a table; rows of one name are one class.

    Raises:
        ValueError: none of the forms, or a malformed row; the message names its line.
    """
    lines = io.StringIO(text, newline=None).readlines()
    if lines and re.fullmatch(r'\s*"?sep=.?"?\s*', lines[0], re.IGNORECASE):
        lines[0] = "\n"  # Excel's; the header tells as much
    start = next((number for number, line in enumerate(lines) if line.strip() and not _is_comment(line)), len(lines))
    first = lines[start] if lines[start:] else ""
    if any(_CVAT_HEADER.match(line) for line in lines[:start]) or _cvat_row(first):
        return joined(_cvat(lines))
    if _bare_row(first):
        return joined(_bare(lines))
    return joined(_numbered(lines) if _numbered_row(first) else _with_header(lines, start))


def joined(rows: Iterable[Row]) -> list[Label]:
    """Return the labels of rows; several rows of one name are one class with several colours and values.

    Raises:
        ValueError: a malformed row; the message says where.
    """
    found: dict[str, list[Label]] = {}
    for where, cells, unread in rows:
        try:
            label = _label(cells, unread)
            same = found.setdefault(label.name, [label])
            if same[0].ignore != label.ignore:
                raise ValueError(
                    f"class '{label.name}': expected one value of ignore in its rows, got two; make them equal"
                )
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if same[0] is not label:
            same.append(label)
    return [same[0] if len(same) == 1 else _merged(same) for same in found.values()]


def _merged(same: list[Label]) -> Label:
    return replace(
        same[0],
        colors=tuple(color for label in same for color in label.colors),
        values=tuple(value for label in same for value in label.values),
        unread=tuple(number for label in same for number in label.unread),
    )


def _is_comment(line: str) -> bool:
    """Before the first row, or among rows without a header; a line that begins with a colour is none."""
    return re.match(r"\s*#(?![0-9a-f]{6}\b|[0-9a-f]{3}\b)", line, re.IGNORECASE) is not None


def _with_header(lines: list[str], start: int) -> Iterator[Row]:
    first = lines[start] if lines[start:] else ""
    delimiter = max(",;\t|", key=first.count)
    rows = csv.reader(lines[start:], delimiter=delimiter, skipinitialspace=delimiter != "\t")
    columns: Columns | None = None
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if columns is None:
                columns = columns_of(cells, first.strip())
                continue
            yield columns.row(f"line {start + rows.line_num}", dict(enumerate(cells)))
    except csv.Error as error:
        raise ValueError(f"line {start + rows.line_num}: expected a table, got {error}; mend the line") from None


class Columns(NamedTuple):
    """Where each role stands among the columns, and by their names those of numbers that are not read."""

    roles: dict[str, int]
    unread: dict[str, int]

    def row(self, where: str, cells: Mapping[int, str]) -> Row:
        """Return the row of cells by their column."""
        return Row(where, *({key: cells[at] for key, at in each.items() if at in cells} for each in self))


def columns_of(names: Sequence[str], shown: str) -> Columns:
    """Return what the columns of these names hold.

    A number beside a colour counts rows as likely as it is a value, unless its column is called so.

    Args:
        shown: them as the file has them, for the message.

    Raises:
        ValueError: a column is missing, or any of several may hold the values.
    """
    words = [re.sub(r"[\W_]+", "", name.lower()) for name in names]
    roles = {
        role: next(words.index(known) for known in listed if known in words)
        for role, listed in _COLUMNS.items()
        if not {*listed}.isdisjoint(words)
    }
    numbers = {
        name: at
        for at, name in enumerate(names)
        if _NUMBERS.fullmatch(words[at]) and at not in {roles.get("name"), roles.get("value")}
    }
    unread: dict[str, int] = {}
    wanted: tuple[str, ...] = ("name", "r", "g", "b")
    if roles.keys() & {"r", "g", "b"}:
        roles.pop("color", None)  # its name in words
    elif roles.keys() & {"color", "value", "id"} or len(numbers) == 1:
        wanted = ("name",)
    if "value" in roles:
        roles.pop("id", None)
    elif roles.keys() & {"r", "color"}:
        roles.pop("id", None)
        unread = numbers
    elif "id" not in roles and len(numbers) == 1:
        roles["id"] = next(iter(numbers.values()))
    if missing := [role for role in wanted if role not in roles]:
        unsaid = "; say by a header what each number is" if all(name.isdigit() for name in names) else ""
        raise ValueError(
            f"expected a header with name,r,g,b, got '{shown[:200]}'{unsaid}; add {', '.join(missing)}, or "
            "use columns name and color (#804080), or name and value"
        )
    return Columns(roles, unread)


def _bare(lines: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or _is_comment(line):
            continue
        cells = _bare_row(line)
        if cells is None:
            raise ValueError(
                f"line {number}: expected r,g,b or r,g,b,name as in the lines before, got '{line.strip()[:80]}'; "
                "correct it"
            )
        yield Row(f"line {number}", cells if cells["name"] else cells | {"name": _name_of(cells["color"])}, {})


def _name_of(color: str) -> str:
    """Name a class without a name by its colour, because a row's number changes when a row is put in or taken out."""
    r, g, b = color_of(color)
    return f"rgb_{r}_{g}_{b}"


def _bare_row(line: str) -> Cells | None:
    """Return a colour and perhaps a name after or before it; None for anything else, such as four numbers."""
    plain = re.sub(" ?[,;] ?", ",", " ".join(re.sub("\t+", ",", line.strip()).split()))
    match = len(plain) < _LONGEST and (_COLOR_FIRST.fullmatch(plain) or _NAME_FIRST.fullmatch(plain))
    return match.groupdict(default="") if match else None


def _numbered(lines: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or _is_comment(line):
            continue
        cells = _numbered_row(line)
        if cells is None:
            raise ValueError(
                f"line {number}: expected a number and a name as in the lines before, got '{line.strip()[:80]}'; "
                "correct it"
            )
        yield Row(f"line {number}", cells, {})


def _numbered_row(line: str) -> Cells | None:
    """Return a number and the name after it; None for anything else, such as more numbers beside the name."""
    plain = " ".join(re.sub("\t+", ",", line.strip()).split())
    match = len(plain) < _LONGEST and _NUMBER_FIRST.fullmatch(plain)
    if not match or not re.search(r"[^\W\d_]", match["name"]) or _bare_row(match["name"]):
        return None
    if match["mark"].strip() not in (":", "=") and re.search(r"[,;]| [\d.]+$", match["name"]):
        return None
    return {"value": match["value"], "name": match["name"].strip("'\"")}


def _cvat(lines: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        cells = _cvat_row(line)
        if cells is not None:
            yield Row(f"line {number}", cells, {})
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ValueError(
                f"line {number}: expected label:r,g,b:parts:actions, as CVAT writes it, got '{line.strip()[:80]}'; "
                "correct it"
            )


def _cvat_row(line: str) -> Cells | None:
    match = len(line) < _LONGEST and _CVAT.fullmatch(line.strip())
    return {role: text.strip() for role, text in match.groupdict().items()} if match else None


def _label(cells: Cells, unread: Cells) -> Label:
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
    others = tuple((column, int(text)) for column, text in unread.items() if re.fullmatch(r"-?\d{1,18}", text))
    return Label(cells.get("name", ""), colors, values, ignore=flag in _TRUE, unread=others)


def _colors(cells: Cells) -> tuple[Color, ...]:
    if "r" not in cells:
        return (color_of(cells["color"]),) if cells.get("color") else ()
    try:
        r, g, b = (int(cells.get(channel, "")) for channel in "rgb")
    except ValueError:
        got = ", ".join(cells.get(channel, "") for channel in "rgb")
        glued = any(re.match(r"\d+ *[^\W\d_]", cells.get(channel, "")) for channel in "rgb")
        hint = ": a line end seems to be missing there, as where files without one at their end are joined"
        raise ValueError(
            f"class '{cells.get('name', '')}': expected integers 0..255 as r, g, b, got '{got}'; correct them"
            f"{hint if glued else ''}"
        ) from None
    return ((r, g, b),)
