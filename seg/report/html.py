"""Pages that open from disk: one file, nothing to load, light or dark as the reader's system is set.

    from seg.report import html
    scores = html.table(("loss", "mIoU %"), [("dice", "71.2")], numbers={1})
    html.write("report.html", html.page("Comparison", html.element("h1", "Comparison"), scores))

Whatever is given as a plain ``str`` is text and is escaped, wherever it ends up: class names, file names, attributes.
Only `Html` is markup, and only the functions here make it. An `Html` that is formatted or concatenated becomes a plain
``str`` again: the worst that a slip can do is to show tags to the reader.
"""

import base64
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType

from seg.files import whole


class Html(str):
    """Markup that is safe to put into a page."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: str | int | float) -> Html:
    """Make an element: ``element("td", "a < b", class_="number")`` is ``<td class="number">a &lt; b</td>``.

    Args:
        tag: name of the element; this one is the author's, not data.
        content: text or `Html`, one after another.
        attributes: ``class_`` stands for ``class``.
    """
    listed = "".join(f' {name.rstrip("_")}="{escape(str(value))}"' for name, value in attributes.items())
    closing = "" if tag in ("br", "img") else f"</{tag}>"
    return Html(f"<{tag}{listed}>{join(content)}{closing}")


def join(parts: Iterable[str], between: str = "") -> Html:
    """Join text and markup, with ``between`` (text or markup, too) between them."""
    return Html(_markup(between).join(map(_markup, parts)))


def lines(parts: Iterable[str]) -> Html:
    """Join them, each on a line of its own."""
    return join(parts, element("br"))


def page(title: str, *content: str, style: str = "", script: str = "") -> Html:
    """Make a whole document.

    Args:
        title: what the browser shows in its tab.
        content: of the body; without an ``h1`` of its own the page has none.
        style: CSS rules of this kind of page; the colours are variables, see ``:root`` in this module.
        script: JavaScript that runs once the page is there; the page has to be of use without.

    Raises:
        ValueError: a style or script that could end its element.
    """
    if "<" in style:
        raise ValueError(f"style: expected CSS without '<', got {style!r}; put text into the content")
    if "</" in script or "<!--" in script:
        raise ValueError(f"script: expected JavaScript without '</' and '<!--', got {script!r}; split such texts")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{element('title', title)}<style>{_STYLE}{style}</style>"
    )
    body = join((*content, Html(f"<script>{script}</script>")) if script else content, "\n")
    return Html(f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n')


def write(path: str | os.PathLike[str], document: Html) -> None:
    """Write a page, whole or not at all. Bytes of file names that are not UTF-8 are written as ``\\xff``.

    Raises:
        OSError: the file cannot be written.
    """
    with whole(path) as temporary:
        temporary.write_text(document, encoding="utf-8", errors="backslashreplace")


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Collection[int] = (),
    quiet: Collection[int] = (),
    tones: Mapping[tuple[int, int], str] = MappingProxyType({}),
) -> Html:
    """Make a table that scrolls sideways where the screen is narrower, and repeats its header on every printed page.

    Args:
        header: one cell a column.
        rows: as many cells each.
        numbers: the columns (from 0) that are aligned to the right.
        quiet: the columns of the class ``quiet``.
        tones: (row, column), both from 0, of a cell of the body -> its class.

    Raises:
        ValueError: a row of another length.
    """

    def classes(row: int, column: int) -> dict[str, str]:
        names = ["number" * (column in numbers), "quiet" * (column in quiet), tones.get((row, column), "")]
        return {"class_": " ".join(filter(None, names))} if any(names) else {}

    def cells(tag: str, content: Sequence[str], row: int = -1) -> Html:
        return join(element(tag, cell, **classes(row, column)) for column, cell in enumerate(content))

    body = []
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"table: expected {len(header)} cells in each row, got {len(row)} in row {number}; give one a column"
            )
        body.append(element("tr", cells("td", row, number - 1)))
    head = element("thead", element("tr", cells("th", header)))
    return element("div", element("table", head, element("tbody", *body)), class_="scroll")


def figure(*pictures: bytes | str | os.PathLike[str], caption: str) -> Html:
    """Show pictures side by side over a caption. See `picture`."""
    row = element("div", *map(picture, pictures), class_="row")
    return element("figure", row, element("figcaption", caption))


def picture(source: bytes | str | os.PathLike[str]) -> Html:
    """Make a picture within the page, from the bytes of a PNG or JPEG file or from the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: another format.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    kind = next((kind for start, kind in _KINDS.items() if data.startswith(start)), None)
    if kind is None:
        raise ValueError(f"picture: expected a PNG or JPEG file, got one that begins with {data[:8]!r}; convert it")
    return element("img", alt="", src=f"data:image/{kind};base64,{base64.b64encode(data).decode()}")


def swatch(color: Sequence[int]) -> Html:
    """Make a small square in an RGB colour of 0..255."""
    red, green, blue = map(int, color)
    return element("span", class_="swatch", style=f"background:rgb({red},{green},{blue})")


def bar(share: float) -> Html:
    """Make a horizontal bar, ``share`` (0..1) of its track."""
    filled = [element("span", class_="bar", style=f"width:{100 * share:.2f}%")] if share else []
    return element("span", *filled, class_="track")


def _markup(content: str) -> str:
    return content if isinstance(content, Html) else escape(content)


_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8": "jpeg"}
# Dark colours are for screens only: a print is light, whatever the system is set to.
_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1f2328; --muted: #656d76; --line: #d8dee4; --faint: #eaeef2;
  --strong: #b6bec7; --track: #eff2f5; --bar: #4a78a8; --good: #2d8a4e; --warning: #c08a00; --error: #c1352b;
  --note: #8c96a0; --good-ground: #eef8f1; --warning-ground: #fdf8e8; --error-ground: #fdf0ef }
@media screen and (prefers-color-scheme: dark) { :root { --ground: #14171b; --text: #dde3e9; --muted: #98a2ac;
  --line: #363d45; --faint: #272d34; --strong: #525c66; --track: #272d34; --bar: #6f9fd0; --good: #57b378;
  --warning: #d9a520; --error: #f0796e; --note: #7b858f; --good-ground: #16281d; --warning-ground: #2b2512;
  --error-ground: #301a19 } }
@media print { :root { color-scheme: light } }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact }
body { margin: 0 auto; max-width: 1000px; padding: 32px 28px 64px; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif }
h1 { font-size: 26px; margin: 0 0 2px; font-weight: 650 }
h2 { font-size: 19px; margin: 40px 0 10px; padding-bottom: 5px; border-bottom: 1px solid var(--line); font-weight: 650 }
h3 { font-size: 15px; margin: 0; font-weight: 600 }
p { margin: 4px 0 }
ul { margin: 6px 0 0; padding-left: 18px } li { margin: 1px 0 }
.muted, figcaption { color: var(--muted); font-size: 13px }
code, .file { font: 12.5px/1.45 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere }
.scroll { overflow-x: auto } td .file { display: inline-block; min-width: 180px }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; font-size: 13px; color: var(--muted); border-bottom: 1px solid var(--strong) }
th, td { padding: 5px 10px 5px 0; vertical-align: middle } td { border-bottom: 1px solid var(--faint) }
tr { break-inside: avoid } .number { text-align: right; white-space: nowrap }
.number + :not(.number) { padding-left: 16px }
.swatch { display: inline-block; width: 13px; height: 13px; border-radius: 3px; border: 1px solid var(--strong);
  vertical-align: -2px; margin-right: 7px }
.track { display: inline-block; width: 110px; height: 10px; background: var(--track); border-radius: 2px;
  vertical-align: middle; margin-right: 8px }
.bar { display: block; height: 10px; background: var(--bar); border-radius: 2px; min-width: 1px }
.pictures { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 10px }
figure { margin: 0; break-inside: avoid } figure .row { display: flex; gap: 3px }
figure img { display: block; min-width: 0; max-width: 100%; height: auto; border: 1px solid var(--line) }
figcaption { overflow-wrap: anywhere; margin-top: 3px }
@media (max-width: 600px) { body { padding: 20px 14px 40px } .track { width: 60px } }
@media print { body { padding: 0; font-size: 12px } h2 { break-after: avoid } .scroll { overflow-x: visible } }
"""
