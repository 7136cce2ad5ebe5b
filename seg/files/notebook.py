"""What objects say of themselves in a notebook: one line of text, and a small table in HTML.

Text is escaped; nothing sets a colour of text or background, so that tables read on dark pages and on light ones.
"""

from collections.abc import Iterable, Sequence
from html import escape

WIDTH = 120
"""Characters of the longest line."""

ROWS = 50
"""Of the longest table."""

_CELL = "text-align:left"


def said(name: str, *facts: str) -> str:
    """Return ``Name(fact, fact)``; what is too long ends with dots."""
    text = ", ".join(fact for fact in facts if fact)
    room = WIDTH - len(name) - 2
    return f"{name}({text if len(text) <= room else text[: room - 3] + '...'})"


def listed(names: Sequence[str], width: int) -> str:
    """Return the names with commas between, or the first ones with dots after them."""
    text = ""
    for index, name in enumerate(names):
        more = f", {name}" if index else name
        if len(text) + len(more) > width - 5 * (index < len(names) - 1):
            return f"{text}, ..." if text else "..."
        text += more
    return text


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str | tuple[int, int, int]]]) -> str:
    """Return a table in HTML.

    Args:
        title: above it; "" for none.
        head: of the columns; empty for none.
        rows: cells: text, or a colour, which is shown as a square; of many the first `ROWS`, and how many there are.
    """
    rows = list(rows)
    cells = ["".join(_cell(cell) for cell in row) for row in rows[:ROWS]]
    cells += [_cell(f"... {len(rows) - ROWS} more")] if len(rows) > ROWS else []
    top = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in head)
    lines = [f"<tr>{top}</tr>"] * bool(head) + [f"<tr>{line}</tr>" for line in cells]
    caption = f'<caption style="text-align:left">{escape(title)}</caption>' if title else ""
    return f"<table>{caption}{''.join(lines)}</table>"


def _cell(value: str | tuple[int, int, int]) -> str:
    if isinstance(value, str):
        return f'<td style="{_CELL}">{escape(value)}</td>'
    red, green, blue = value
    square = f"display:inline-block;width:1em;height:1em;border:1px solid gray;background:rgb({red},{green},{blue})"
    return f'<td style="{_CELL}"><span style="{square}"></span></td>'
