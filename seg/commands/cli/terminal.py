"""What reaches the terminal, and the signals that come from it.

The library logs to ``seg``; here its records are printed as plain lines. Names of classes and files are printed as they
are, or escaped: what the output's encoding lacks here, control characters by `seg.report.console`.
"""

import io
import logging
import signal
import sys

from seg.commands import end_at_once
from seg.files.errors import interrupt

_SILENT = logging.CRITICAL + 1


def print_anything() -> None:
    """Escape what the output's encoding lacks, instead of failing when the work is done: ``B\\xe4ume`` in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Lines(logging.Handler):
    """Print what is logged: information on standard output, warnings on standard error, each text of those once."""

    def __init__(self) -> None:
        super().__init__()
        self.warned: set[str] = set()
        self.stderr = False

    def emit(self, record: logging.LogRecord) -> None:
        from seg.report.console import console, say

        text = record.getMessage()
        if record.levelno < logging.WARNING and self.stderr:
            say(text, error=True)
        elif record.levelno < logging.WARNING:
            console.print(text, soft_wrap=True)
        elif text not in self.warned:
            self.warned.add(text)
            say(f"warning: {text}", error=True)


_lines = _Lines()


def print_logs(*, stderr: bool = False) -> None:
    """Print what the library logs, from now on; all on standard error where standard output is asked for JSON."""
    _lines.stderr = stderr
    logger = logging.getLogger("seg")
    logger.setLevel(logging.INFO)
    logger.addHandler(_lines)
    logger.propagate = False


def speak(first: bool) -> None:
    """Leave the talking to the first process: the others print neither logs nor progress."""
    from seg.report.console import console

    console.quiet |= not first
    _lines.setLevel(logging.NOTSET if first else _SILENT)


def end_by_signal() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does; a second one ends it at once. ``nohup`` stays in force."""
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
