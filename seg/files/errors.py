"""How work ends otherwise than well: exit codes, failures, interrupts."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

WRONG_REQUEST, FAILED, INTERRUPTED = 2, 1, 130


class Failed(RuntimeError):
    """Work that failed for a reason that the message says in full."""


class AlreadyTold(Exception):
    """A wrong request that the first process reports; the others end, or go on with the next job, in silence."""


def hear(tell: Callable[[int], object]) -> Callable[[], None]:
    """Call ``tell`` with the number of every signal that Python handles, in a thread; return what ends that.

    Also where the process computes or waits in C: Python's handlers are not reached there, but a thread is.
    """
    heard, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    before = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        while received := heard.recv(1):
            tell(received[0])
        for end in (heard, wakeup):  # the thread keeps both, or the system would give their numbers to other files
            end.close()

    def stop() -> None:
        signal.set_wakeup_fd(before)
        wakeup.shutdown(socket.SHUT_RDWR)  # which ends the thread

    threading.Thread(target=listen, daemon=True).start()
    return stop


# a loading worker that is forked has the socket too: of a terminal's Ctrl-C, which all get, each would tell once more
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))


def interrupt(number: int, _: Any) -> None:
    """End as Ctrl-C does; the next such signal ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt(f"by {signal.Signals(number).name}")


def end_by_signal() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does; a second one ends it at once. ``nohup`` stays in force."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
    asked: list[int] = []

    def tell(number: int) -> None:
        if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asked.append(number)
        if len(asked) > 1:
            os._exit(128 + number)

    hear(tell)
