"""A report of headings, text, tables and figures, written as Markdown and as a page.

Text may hold names between backticks, which are shown as code in both.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seg import html
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


Block = Heading | Text | Bullets | Table | Figure

_STYLE = """
.answer { margin: 18px 0 8px; padding: 14px 18px; border-left: 5px solid var(--bar); background: var(--track);
  border-radius: 4px; font-size: 17px }
.answer p + p { margin-top: 8px }
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
            yield f"![{caption}]({name})"


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
                parts.append(html.figure(folder / name, caption=caption))
    return html.page(title, *parts, style=_STYLE)


def _code(text: str) -> Html:
    """What stands between backticks as code."""
    parts = re.split(r"`([^`]*)`", text)
    return html.join(element("code", part) if i % 2 else part for i, part in enumerate(parts))
