"""Marks within the text of a report, and all else shown letter by letter, whatever Markdown or HTML would make of it.

A text holds names between backticks (see `code`), which are shown as code, and links to places that the report has:
``[image 3](#image-3)``. The cell of a table is plain text, or such a link as a whole.
"""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from seg.report import html
from seg.report.html import Html, element


class _Part(NamedTuple):
    """Text as it is, a name in code, or a link to a place of the report."""

    text: str
    code: bool = False
    place: str | None = None


_MARKS = re.compile(
    r"(?<!`)(?P<fence>`+)(?!`)(?P<code>.+?)(?<!`)(?P=fence)(?!`)|\[(?P<link>[^\[\]]*)\]\(#(?P<place>[\w-]+)\)",
    re.DOTALL,
)
_WHOLE_LINK = re.compile(r"\[(?P<link>.*)\]\(#(?P<place>[\w-]+)\)", re.DOTALL)


def code(name: str) -> str:
    """Mark a name as code within a text: between more backticks than it has side by side, as in Markdown."""
    most = max((len(run) for run in re.findall("`+", name)), default=0)
    ends = {name[:1], name[-1:]}
    space = " " if "`" in ends or ends == {" "} else ""  # is not shown, see `_unpadded`
    return "`" * (most + 1) + space + (name or " ") + space + "`" * (most + 1)


def _unpadded(name: str) -> str:
    """Remove a space at both ends, as Markdown does."""
    return name[1:-1] if name[0] == name[-1] == " " and name.strip(" ") else name


def on_page(text: str, places: Collection[str], *, cell: bool = False) -> Html:
    """Show a text as HTML.

    Args:
        places: what links can point to; a name that looks like another link is none.
        cell: whether this is all of the cell of a table.
    """
    return html.join(_element(part) for part in _parts(text, places, cell))


def in_markdown(text: str, places: Collection[str], *, cell: bool = False) -> str:
    """Show a text as Markdown, on one line. See `on_page`."""
    return "".join(_written(part) for part in _parts(text, places, cell))


def unmarked(text: str, places: Collection[str]) -> str:
    """Return the letters alone."""
    return "".join(part.text for part in _parts(text, places, False))


def _parts(text: str, places: Collection[str], cell: bool) -> Iterator[_Part]:
    start = 0
    for mark in [_WHOLE_LINK.fullmatch(text)] if cell else _MARKS.finditer(text):
        if mark is None or (mark["place"] is not None and mark["place"] not in places):
            continue
        yield _Part(text[start : mark.start()])
        place = mark["place"]
        yield _Part(_unpadded(mark["code"]), code=True) if place is None else _Part(mark["link"], place=place)
        start = mark.end()
    yield _Part(text[start:])


def _element(part: _Part) -> str:
    if part.code:
        return element("code", part.text)
    return part.text if part.place is None else element("a", part.text, href=f"#{part.place}")


def _written(part: _Part) -> str:
    if part.code:
        return code(_line(part.text))
    return escaped(part.text) if part.place is None else f"[{escaped(part.text)}](#{part.place})"


# "_" within a word means nothing to Markdown, and "&" only where an entity follows
_SPECIAL = re.compile(r"[\\`*\[\]<|~$#]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


def escaped(text: str) -> str:
    """Write plain text as Markdown, on one line."""
    return _SPECIAL.sub(r"\\\g<0>", _line(text))


def beginning(markdown: str) -> str:
    """Return what begins a line, where Markdown has further marks: those of lists, quotes and rules."""
    return re.sub(r"^(?:(\d+)(?=[.)](?:\s|$))|(?=[-+](?:\s|$)|---|>))", r"\1\\", markdown.lstrip())


def _line(text: str) -> str:
    """Replace line breaks and other controls by blanks."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
