"""Text of the user's that reaches a terminal: names of classes and files are printed as they are, or escaped."""

import io
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_anything() -> None:
    """Escape what the output's encoding lacks, instead of failing when the work is done: ``B\\xe4ume`` in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain_console(*, stderr: bool = False) -> "Console":
    """A console that takes no text for an instruction: a class may be called ``[bold]`` or ``:car:``."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, stderr=stderr)


def interrupt(number: int, _: Any) -> None:
    """End as Ctrl-C does; the next such signal ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt(f"by {signal.Signals(number).name}")


def end_by_signal() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does; a second one ends it at once. ``nohup`` stays in force."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
