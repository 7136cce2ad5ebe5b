"""Ctrl-C and a cluster's SIGTERM, asked for instead of raised."""

import signal
import sys
from collections.abc import Callable
from typing import Any


class stop_signals:
    """Within it, the first Ctrl-C or SIGTERM only sets what ``stop()`` returns; a second Ctrl-C ends at once."""

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        self.before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return lambda: self.asked

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this step; Ctrl-C again stops at once, without saving", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
