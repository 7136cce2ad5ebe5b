"""A report of headings, text, tables and figures, written as Markdown and as a page.

Text may hold names between backticks, which are shown as code in both, and links to a place of the report:
``[image 3](#image-3)``. On the page a click enlarges a picture, and keys flip through those that lie pixel on pixel.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seg import html
from seg.compare import viewer
from seg.html import Html, element


@dataclass(frozen=True)
class Heading:
    """Of a section."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; ``strong`` for the answer that a report begins with."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Cells are text; ``numbers`` are the columns that stand to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[int] = field(default=())


@dataclass(frozen=True)
class Figure:
    """A PNG file beside the report."""

    name: str
    caption: str


@dataclass(frozen=True)
class Views:
    """Pictures of one thing, pixel on pixel: on the page one by one in two rows, column by column; in Markdown a file.

    Attributes:
        anchor: what links point to; ``#<anchor>-<n>`` opens the n-th picture, from 1.
        name: of the file that shows them side by side.
        pictures: title and PNG or JPEG bytes.
    """

    anchor: str
    name: str
    caption: str
    pictures: Sequence[tuple[str, bytes]]


Block = Heading | Text | Bullets | Table | Figure | Views

_STYLE = """
.answer { margin: 18px 0 8px; padding: 14px 18px; border-left: 5px solid var(--bar); background: var(--track);
  border-radius: 4px; font-size: 17px }
.answer p + p { margin-top: 8px }
a { color: var(--bar) }
th.number { white-space: normal; vertical-align: bottom }
figure { margin: 12px 0 }
figure img { background: #fff }
"""


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The report as Markdown; figures are links to files beside it."""
    return "\n\n".join([f"# {title}", *(part for block in blocks for part in _markdown(block))]) + "\n"


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case Heading(text):
            yield f"## {text}"
        case Text(text, strong):
            yield f"**{text}**" if strong else text
        case Bullets(items):
            yield "\n".join(f"- {item}" for item in items)
        case Table(header, rows, numbers):
            aligned = ["---:" if i in numbers else "---" for i in range(len(header))]
            yield "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in (header, aligned, *rows))
        case Figure(name, caption):
            yield f"![{_plain(caption)}]({name})"
        case Views(anchor, name, caption, _):
            yield f'<a id="{anchor}"></a>'
            yield f"![{_plain(caption)}]({name})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def to_page(title: str, blocks: Sequence[Block], folder: Path) -> Html:
    """The report as one page that opens from disk, with the figures of a folder in it."""
    parts: list[Html] = [element("h1", title)]
    answer = [element("p", _code(block.text)) for block in blocks if isinstance(block, Text) and block.strong]
    if answer:
        parts.append(element("div", *answer, class_="answer"))
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(element("h2", text))
            case Text(text, False):
                parts.append(element("p", _code(text)))
            case Bullets(items):
                parts.append(element("ul", *(element("li", _code(item)) for item in items)))
            case Table(header, rows, numbers):
                parts.append(html.table(header, [[_code(cell) for cell in row] for row in rows], numbers=numbers))
            case Figure(name, caption):
                view = viewer.view(f"plot-{Path(name).stem}", _plain(caption), folder / name)
                parts.append(element("figure", view, element("figcaption", _code(caption))))
            case Views(anchor, _, caption, pictures):
                views = [
                    viewer.view(f"{anchor}-{i}", name, data, element("span", name))
                    for i, (name, data) in enumerate(pictures, start=1)
                ]
                row = element("div", *views, class_="views")
                parts.append(element("figure", row, element("figcaption", _code(caption)), id=anchor))
    return html.page(title, *parts, viewer.dialog(), style=_STYLE + viewer.STYLE, script=viewer.SCRIPT)


_MARKS = re.compile(r"`([^`]*)`|\[([^\]]*)\]\(#([\w-]+)\)")


def _code(text: str) -> Html:
    """What stands between backticks as code, links as links."""
    parts, start = [], 0
    for mark in _MARKS.finditer(text):
        code, linked, anchor = mark.groups()
        parts += [text[start : mark.start()], element("code", code) if anchor is None else _link(linked, anchor)]
        start = mark.end()
    return html.join([*parts, text[start:]])


def _link(text: str, anchor: str) -> Html:
    return element("a", text, href=f"#{anchor}")


def _plain(text: str) -> str:
    """Without the marks."""
    return _MARKS.sub(lambda mark: mark[1] or mark[2], text)
