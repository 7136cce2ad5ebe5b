"""Ctrl-C, a closed terminal, and what a cluster sends before it takes the machine: asked for instead of raised."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from seg.files.errors import hear, interrupt

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_PATIENCE = 5.0  # seconds that a second signal gives Python to end the process
_ECHO = 1.0  # seconds in which torchrun has sent on a signal that the cluster has sent to all processes
_TURN = 600.0  # seconds that the launcher's other processes have to end or to requeue a job that has stopped


class stop_signals:
    """Within it, the first signal only sets what ``stop()`` returns; a second one ends at once.

    Also where the process waits in C for another one that will never answer, see `seg.files.errors.hear`.

    Where a launcher has handlers, as submitit has in the jobs of a sweep, they are called at the end, when all is
    saved: that of SIGUSR2 requeues the job and ends this process, that of SIGTERM leaves both to the cluster.
    """

    def __enter__(self) -> Callable[[], bool]:
        self.asked, self.left = False, threading.Event()
        self.first: float | None = None  # time of the first signal that is not the launcher's
        self.launcher: dict[int, None] = {}  # its signals so far, in order
        self.heard_first: float | None = None  # the same, in the thread: in C, nobody tells `_ask`
        self.before: dict[int, Any] = {s: signal.getsignal(s) for s in _SIGNALS if _is_heard(s)}
        for number in self.before:
            signal.signal(number, self._ask)
        self.hear_no_more = hear(self._hear)
        return lambda: self.asked

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        if _is_launchers(self.before[number]):
            self.launcher[number] = None
        elif self.first is None:
            self.first = time.monotonic()
        elif _is_another(number, self.first):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            signal.raise_signal(number)

    def _hear(self, number: int) -> None:
        if number not in self.before:
            return
        if _is_launchers(self.before[number]):
            print(f"\nstopping after this step, by {signal.Signals(number).name}", file=sys.stderr)
        elif self.heard_first is None:
            self.heard_first = time.monotonic()
            print("\nstopping after this step; Ctrl-C again stops at once, without saving", file=sys.stderr)
        elif _is_another(number, self.heard_first) and not self.left.wait(_PATIENCE):
            os._exit(128 + number)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.left.set()
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.hear_no_more()
        if self.launcher and kind in (None, KeyboardInterrupt):
            print(error or "ended", file=sys.stderr)  # as nobody may live to say it
            for number in self.launcher:
                self.before[number](number, None)
            # It has not ended this process: it has in another one, which needs some time, or the cluster will.
            threading.Event().wait(_TURN)


def _is_heard(number: int) -> bool:
    """Tell whether a signal is ours: nohup has SIGHUP ignored, and a library in C may hear others."""
    handler = signal.getsignal(number)
    return handler is not None and (handler != signal.SIG_IGN or number in (signal.SIGINT, signal.SIGTERM))


def _is_launchers(handler: Any) -> bool:
    return callable(handler) and handler not in (signal.default_int_handler, interrupt)


def _is_another(number: int, first: float) -> bool:
    """Tell a second signal from the ``first`` one sent on; nobody sends on the terminal's Ctrl-C."""
    return number == signal.SIGINT or time.monotonic() - first > _ECHO


def end_with_parent() -> None:
    """End this process, whatever it waits for, when the one that started it has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(1.0)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
