"""The console that everything prints to, and that progress bars live on.

Names of classes and files are data: no character in them steers the terminal, or begins a line of its own.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

# the controls of ASCII and Latin-1, line separators, and what turns the direction of writing
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def line(text: str) -> str:
    """Return a text on one line, its control characters escaped: ``\\x1b``."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str, *, error: bool = False) -> None:
    """Print one line, at once, on standard output or standard error."""
    print(line(text), file=sys.stderr if error else sys.stdout, flush=True)


class _Plain(Console):
    """A console whose texts and cells are one line each; what is to have several is made a `rich.text.Text`."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(line(text), **options)


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console that takes no text for an instruction: a class may be called ``[bold]`` or ``:car:``."""
    return _Plain(highlight=False, markup=False, emoji=False, stderr=stderr)


console = plain_console()
"""Standard output; quiet in the runs of a sweep, and in processes that leave the talking to the first one."""


@contextmanager
def muted() -> Iterator[None]:
    """Log nothing within a ``with`` block: what is done there is done once more, and said then."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
