"""A report of headings, text, tables and figures, written as Markdown and as a page.

Text may hold marks (see `seg.report.inline_markup`). On the page a click enlarges a picture, and keys flip through
those that lie pixel on pixel.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seg.files import write_text
from seg.report import html, viewer
from seg.report.html import Html, element
from seg.report.inline_markup import beginning, escaped, in_markdown, on_page, unmarked


@dataclass(frozen=True)
class Heading:
    """The heading of a section."""

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
    """A table, whose cells are text or a link.

    Attributes:
        numbers: the columns that stand to the right.
        quiet: the columns that step back on the page.
        tones: (row, column) of a cell -> ``good``, ``bad``, ``even`` or ``open``: its colour on the page, which says
            nothing that the cell does not.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[int] = field(default=())
    quiet: Collection[int] = field(default=())
    tones: Mapping[tuple[int, int], str] = field(default_factory=dict)


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
@media (max-width: 600px) { .plot { overflow-x: auto } .plot img { max-width: none; width: 500px } }
.quiet { color: var(--muted); font-size: 12.5px }
td.good { background: color-mix(in srgb, #0072b2 20%, transparent) }
td.bad { background: color-mix(in srgb, #d55e00 22%, transparent) }
td.even { background: color-mix(in srgb, #009e73 18%, transparent) }
td.open { color: var(--muted) }
"""


REPORT = ("report.md", "report.html")
"""The files of a document."""


def write_document(folder: Path, title: str, blocks: Sequence[Block]) -> None:
    """Write ``report.md`` and ``report.html``, with the figures of the folder in it.

    Raises:
        OSError: a file cannot be written.
    """
    text, page = (folder / name for name in REPORT)
    write_text(text, to_markdown(title, blocks))
    html.write(page, to_page(title, blocks, folder))


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """Write the report as Markdown; figures are links to files beside it."""
    places = _places(blocks)
    written = (part for block in blocks for part in _markdown(block, places))
    return "\n\n".join([f"# {escaped(title)}", *written]) + "\n"


def _markdown(block: Block, places: Collection[str]) -> Iterator[str]:
    match block:
        case Heading(text):
            yield f"## {escaped(text)}"
        case Text(text, strong):
            body = in_markdown(text, places)
            yield f"**{body}**" if strong else beginning(body)
        case Bullets(items):
            yield "\n".join(f"- {beginning(in_markdown(item, places))}" for item in items)
        case Table(header, rows, numbers):  # what is quiet, or has a colour, is so on the page alone
            aligned = ["---:" if i in numbers else "---" for i in range(len(header))]
            cells = ([in_markdown(cell, places, cell=True) for cell in row] for row in rows)
            yield "\n".join(f"| {' | '.join(row)} |" for row in (map(escaped, header), aligned, *cells))
        case Figure(name, caption):
            yield f"![{escaped(unmarked(caption, places))}]({name})"
        case Views(_, name, caption, _):
            yield "".join(f'<a id="{place}"></a>' for place in _places_of(block))
            yield f"![{escaped(unmarked(caption, places))}]({name})"


def _places(blocks: Sequence[Block]) -> set[str]:
    """Return what a link of the report can point to."""
    return {place for block in blocks if isinstance(block, Views) for place in _places_of(block)}


def _places_of(views: Views) -> list[str]:
    return [views.anchor, *(f"{views.anchor}-{i}" for i in range(1, len(views.pictures) + 1))]


def to_page(title: str, blocks: Sequence[Block], folder: Path) -> Html:
    """Write the report as one page that opens from disk, with the figures of a folder in it."""
    places = _places(blocks)
    answer = [element("p", on_page(block.text, places)) for block in blocks if isinstance(block, Text) and block.strong]
    content = [element("h1", title), *([element("div", *answer, class_="answer")] if answer else [])]
    content += [part for block in blocks for part in _content(block, places, folder)]
    return html.page(title, *content, viewer.dialog(), style=_STYLE + viewer.STYLE, script=viewer.SCRIPT)


def _content(block: Block, places: Collection[str], folder: Path) -> Iterator[Html]:
    """Yield the content of the page, without its answer."""
    match block:
        case Heading(text):
            yield element("h2", text)
        case Text(text, False):
            yield element("p", on_page(text, places))
        case Bullets(items):
            yield element("ul", *(element("li", on_page(item, places)) for item in items))
        case Table(header, rows, numbers, quiet, tones):
            cells = [[on_page(cell, places, cell=True) for cell in row] for row in rows]
            yield html.table(header, cells, numbers=numbers, quiet=quiet, tones=tones)
        case Figure(name, caption):
            view = viewer.view(f"plot-{Path(name).stem}", unmarked(caption, places), folder / name)
            yield element("figure", view, element("figcaption", on_page(caption, places)), class_="plot")
        case Views(anchor, _, caption, pictures):
            views = [
                viewer.view(place, name, data, element("span", name))
                for place, (name, data) in zip(_places_of(block)[1:], pictures, strict=True)
            ]
            row = element("div", *views, class_="views")
            yield element("figure", row, element("figcaption", on_page(caption, places)), id=anchor)
