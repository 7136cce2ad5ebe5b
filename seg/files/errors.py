"""How work ends otherwise than well: exit codes, failures, interrupts."""

import signal
from typing import Any

WRONG_REQUEST, FAILED, INTERRUPTED = 2, 1, 130


class Failed(RuntimeError):
    """Work that failed for a reason that the message says in full."""


class AlreadyTold(Exception):
    """A wrong request that the first process reports; the others end, or go on with the next job, in silence."""


def interrupt(number: int, _: Any) -> None:
    """End as Ctrl-C does; the next such signal ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt(f"by {signal.Signals(number).name}")
