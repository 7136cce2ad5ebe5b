"""Ctrl-C, a cluster's SIGTERM and a closed terminal's SIGHUP, asked for instead of raised."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_PATIENCE = 5.0  # seconds that a second signal gives Python to end the process


class stop_signals:
    """Within it, the first signal only sets what ``stop()`` returns; a second one ends at once.

    Also where the process waits in C for another one that will never answer: Python's handlers are not reached there,
    but a thread is.
    """

    def __enter__(self) -> Callable[[], bool]:
        self.asked, self.left = False, threading.Event()
        self.heard, self.wakeup = socket.socketpair()
        self.wakeup.setblocking(False)
        threading.Thread(target=self._listen, daemon=True).start()
        self.wakeup_before = signal.set_wakeup_fd(self.wakeup.fileno(), warn_on_full_buffer=False)
        self.before = {s: signal.signal(s, self._ask) for s in _SIGNALS if self._is_ours(s)}
        return lambda: self.asked

    def _is_ours(self, number: int) -> bool:
        """All but a SIGHUP that nohup has said to ignore."""
        return signal.Signals(number).name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN

    def _ask(self, _number: int, _: Any) -> None:
        self.asked = True
        for other in self.before:
            signal.signal(other, signal.default_int_handler if other == signal.SIGINT else signal.SIG_DFL)

    def _listen(self) -> None:
        count = 0
        while number := self.heard.recv(1):
            if number[0] not in _SIGNALS:
                continue
            count += 1
            if count == 1:
                print("\nstopping after this step; Ctrl-C again stops at once, without saving", file=sys.stderr)
            elif not self.left.wait(_PATIENCE):
                os._exit(128 + number[0])
        self.heard.close()

    def __exit__(self, *_: object) -> None:
        self.left.set()
        for number, handler in self.before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self.wakeup_before)
        self.wakeup.close()  # which ends the thread


def end_with_parent() -> None:
    """End this process, whatever it waits for, when the one that started it has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(1.0)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
