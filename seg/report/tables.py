"""Tables on a terminal: names to the left, numbers in percent to the right."""

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text


def table(title: str, first: str, columns: Sequence[str]) -> Table:
    """Make an empty table of names and of numbers, which stand to the right; headings may have several lines."""
    made = Table(title=title, title_justify="left", caption_justify="left")
    made.add_column(first)
    for column in columns:
        made.add_column(Text(column), justify="right")
    return made


def percent(value: float) -> str:
    """Show a share in percent with one decimal, NaN as a dash."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
