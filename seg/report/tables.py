"""Tables on a terminal: names to the left, numbers in percent to the right."""

import math
from collections.abc import Sequence

from rich.table import Table


def table(title: str, first: str, columns: Sequence[str]) -> Table:
    """Make an empty table of names and of numbers, which stand to the right."""
    made = Table(title=title, title_justify="left", caption_justify="left")
    made.add_column(first)
    for column in columns:
        made.add_column(column, justify="right")
    return made


def percent(value: float) -> str:
    """Show a share in percent with one decimal, NaN as a dash."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
