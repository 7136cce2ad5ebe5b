"""Pages: escaped by construction, complete in one file.

python -m pytest tests/report/test_html.py
"""

import base64
import os
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from seg.report.html import Html, bar, element, figure, join, lines, page, picture, swatch, table, write

EVIL = """</td></title><script>alert("x")</script><img src=x onerror='y'> &amp"""


class Parsed(HTMLParser):
    """Elements, attributes and text as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: dict[str, str] = {}
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name: value or "" for name, value in attrs}
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.zeros((3, 5, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    "made",
    [
        element("p", EVIL),
        element("p", element("b", EVIL)),
        join([EVIL, Html("<b></b>")]),
        join(["", ""], EVIL),
        lines([EVIL, "b"]),
        table([EVIL], [["x"]]),
        table(["a"], [[EVIL]]),
        figure(encoded(".png"), caption=EVIL),
        page("title", EVIL),
        page(EVIL),
    ],
)
def test_text_is_escaped_wherever_it_ends_up(made: Html) -> None:
    parsed = Parsed(made)
    assert "".join(parsed.texts).count(EVIL) == 1
    assert "script" not in parsed.tags
    assert "onerror" not in parsed.attributes
    assert not parsed.open


def test_attributes_are_escaped() -> None:
    made = element("td", "a < b", class_="number", title=EVIL, colspan=2)
    parsed = Parsed(made)
    assert made.startswith('<td class="number" title="')
    assert made.endswith('colspan="2">a &lt; b</td>')
    assert parsed.attributes == {"class": "number", "title": EVIL, "colspan": "2"}
    assert parsed.tags == ["td"]


def test_markup_passes_once_and_what_is_formatted_is_text_again() -> None:
    bold = element("b", "x")
    assert element("p", bold) == "<p><b>x</b></p>"
    for text in (f"{bold}", bold + EVIL, "".join([bold, EVIL]), bold.upper()):
        assert not isinstance(text, Html)
        assert Parsed(element("p", text)).tags == ["p"]


def test_a_page_stands_alone_and_suits_dark_screens_phones_and_paper(tmp_path: Path) -> None:
    made = page(
        "Audit & more", element("h1", "Audit"), figure(encoded(".png"), caption="x"), style=".mine { margin: 0 }"
    )
    write(tmp_path / "a.html", made)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    parsed = Parsed(text)
    assert text == made
    assert text.startswith("<!doctype html>\n<html lang=")
    assert parsed.tags[:5] == ["html", "head", "meta", "meta", "title"]
    assert parsed.attributes["content"] == "width=device-width, initial-scale=1"
    assert not parsed.open
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    for part in (
        "Audit &amp; more",
        ".mine { margin: 0 }",
        "prefers-color-scheme: dark",
        "@media print",
        "max-width: 6",
    ):
        assert part in text
    for part in ("http", "url(", "@import"):
        assert part not in text.replace("<!doctype html>", "")


def test_a_name_that_is_not_utf8_is_written(tmp_path: Path) -> None:
    write(tmp_path / "a.html", page("x", os.fsdecode(b"\xff.png")))
    assert b"\\udcff.png" in (tmp_path / "a.html").read_bytes()


def test_a_style_that_could_end_its_element_is_refused() -> None:
    with pytest.raises(ValueError, match="style: expected CSS without '<', got '</style>'; put text into the content"):
        page("x", style="</style>")


def test_table() -> None:
    made = table(("loss", "mIoU %"), [("dice", "71.2"), (element("b", "ce"), "70.0")], numbers={1})
    assert made == (
        '<div class="scroll"><table><thead><tr><th>loss</th><th class="number">mIoU %</th></tr></thead>'
        '<tbody><tr><td>dice</td><td class="number">71.2</td></tr>'
        '<tr><td><b>ce</b></td><td class="number">70.0</td></tr></tbody></table></div>'
    )
    with pytest.raises(ValueError, match="table: expected 2 cells in each row, got 1 in row 2; give one a column"):
        table(("a", "b"), [("1", "2"), ("3",)])


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "png"), (".jpg", "jpeg")])
def test_pictures_from_bytes_and_files(tmp_path: Path, suffix: str, kind: str) -> None:
    data = encoded(suffix)
    (tmp_path / "x").write_bytes(data)
    assert picture(data) == picture(tmp_path / "x") == picture(str(tmp_path / "x"))
    source = Parsed(picture(data)).attributes["src"]
    assert source.startswith(f"data:image/{kind};base64,")
    assert base64.b64decode(source.partition(",")[2]) == data
    assert Parsed(figure(data, tmp_path / "x", caption="two")).tags == ["figure", "div", "img", "img", "figcaption"]


def test_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a PNG or JPEG file, got one that begins with b'GIF89a'; convert it"):
        picture(b"GIF89a")


def test_swatch_and_bar() -> None:
    assert swatch((1, 2, 3)) == '<span class="swatch" style="background:rgb(1,2,3)"></span>'
    assert swatch(np.array([1, 2, 255], np.uint8)) == swatch((1, 2, 255))
    assert bar(0.5) == '<span class="track"><span class="bar" style="width:50.00%"></span></span>'
    assert bar(0) == '<span class="track"></span>'
