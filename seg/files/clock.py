"""Time that has passed while a machine was awake, and while it slept."""

import time
from dataclasses import dataclass, field


def _awake_and_asleep() -> float:
    """Return a clock that goes on while the machine sleeps: Linux has one, elsewhere the time of day has to do."""
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True)
class Stopwatch:
    """Runs from the moment at which it was made.

    Attributes:
        monotonic, passed: what the clocks were then.
    """

    monotonic: float = field(default_factory=lambda: time.monotonic())
    passed: float = field(default_factory=lambda: _awake_and_asleep())

    def seconds(self) -> float:
        """Return the seconds since then in which the machine was awake, whatever was done to its time of day."""
        return time.monotonic() - self.monotonic

    def slept(self) -> float:
        """Return the seconds since then in which the machine slept."""
        return max(_awake_and_asleep() - self.passed - self.seconds(), 0.0)
