"""Ctrl-C, a cluster's SIGTERM and a closed terminal's SIGHUP, asked for instead of raised."""

import signal
import sys
from collections.abc import Callable
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class stop_signals:
    """Within it, the first signal only sets what ``stop()`` returns; a second one ends at once."""

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        self.before = {s: signal.signal(s, self._ask) for s in _SIGNALS if self._is_ours(s)}
        return lambda: self.asked

    def _is_ours(self, number: int) -> bool:
        """All but a SIGHUP that nohup has said to ignore."""
        return signal.Signals(number).name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        for other in self.before:
            signal.signal(other, signal.default_int_handler if other == signal.SIGINT else signal.SIG_DFL)
        print("\nstopping after this step; Ctrl-C again stops at once, without saving", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
