"""How long a run takes: said from its first steps, again when its first validation is known, and when it slows down."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from seg.files.clock import Stopwatch
from seg.report.progress import duration
from seg.training.budget import Costs, count_validations

log = logging.getLogger(__name__)

_SOON = 3.0  # seconds of steps from which a run is estimated, if they were _ENOUGH steps
_ENOUGH, _LATEST = 3, 10.0  # seconds after which fewer have to do
_SPREAD = 0.1  # of an estimate, to both sides: the first steps of a run say no more about its last ones
_UNSEEN = 0.25, 1.0  # of a training step's time for as many pixels: what a validation may take that nobody has timed
_SLOWER = 1.1  # times a budget: what is said to be late
_CHECK = 10.0  # seconds from one look at the budget to the next
_NAP = 60.0  # seconds of sleep that are worth a word


@dataclass(frozen=True)
class Budget:
    """The time that a run was given, while its steps were fixed for it.

    Attributes:
        minutes: as asked for, or those that it is extended by.
        watch: since it began.
        costs: as measured.
        plan: how its steps came about, in words.
    """

    minutes: float
    watch: Stopwatch
    costs: Costs
    plan: str = ""


@dataclass
class Pace:
    """Times the steps and validations of a run, from where it begins or goes on.

    Args:
        done: steps that lie behind.
        steps: of the whole run.
        epoch: steps of an epoch.
        every: epochs from one validation to the next.
        val_steps: pixels of the validation images, as a multiple of those of a step.
        budget: None where the run has no minutes, or another process has begun it.
        now: the clock.
    """

    done: int
    steps: int
    epoch: int
    every: int
    val_steps: float
    budget: Budget | None = None
    now: Callable[[], float] = time.monotonic
    times: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    validations: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.last = self.checked = self.now()
        self.told = self.warned = False
        self.spent, self.counted = 0.0, 0

    def stepped(self, done: int) -> None:
        """Take note that so many steps of the run are done; say how long the others take, as soon as that is known."""
        now = self.now()
        self.times.append(now - self.last)
        self.spent, self.counted = self.spent + self.times[-1], self.counted + 1
        self.done, self.last = done, now
        seconds = now - self.began
        if not self.told and seconds >= _SOON and (self.counted >= _ENOUGH or seconds >= _LATEST):
            self._tell()
        if now - self.checked >= _CHECK:
            self.checked = now
            self._warn()

    def validated(self, seconds: float) -> None:
        """Take note of a validation, which lies between the last step and the next one."""
        self.validations.append(seconds)
        self.last = self.now()
        if len(self.validations) == 1 and self.told and self.done < self.steps:
            self._tell()
        self._warn()

    def left(self) -> tuple[float, float] | None:
        """Return the least and the most seconds that the rest of the run is expected to take; None if unknown yet."""
        if not self.times:
            return None
        # the first steps of a process fill caches; where they are all that there is, they say the most
        times = list(self.times)
        settled = sorted(times[max(1, len(times) // 4) :] or times)
        half = max(len(settled) // 2, 1)
        fast, slow = (sum(some) / len(some) for some in (settled[:half], settled[-half:]))
        ways = [(fast, 1 - _SPREAD), (slow, 1 + _SPREAD)]
        shares = _UNSEEN if not (self.budget or self.validations) else (1.0, 1.0)
        least, most = (
            factor * ((self.steps - self.done) * step + self._validating(share * step * self.val_steps))
            for (step, factor), share in zip(ways, shares, strict=True)
        )
        return least, most

    def _validating(self, unseen: float) -> float:
        """Return the seconds of the validations that are left, of which one takes ``unseen`` where none was timed."""
        count = count_validations(self.done, self.steps, self.epoch, self.every)
        if self.validations:
            return count * sum(self.validations) / len(self.validations)
        if self.budget is not None:
            return (count - 1) * self.budget.costs.validation + self.budget.costs.judgement
        return count * unseen

    def _tell(self) -> None:
        left = self.left()
        assert left is not None
        self.told = True
        count = count_validations(self.done, self.steps, self.epoch, self.every)
        rough = "" if self.validations or self.budget else " (a rough guess until the first is done)"
        log.info(
            f"takes {span(*left)} more: {self.steps - self.done} steps of {self._step():.2g} s, and {count} "
            f"validation{'s' * (count != 1)}{rough}"
        )

    def title(self) -> str:
        """Return what a progress bar says of the whole run."""
        left = self.left() if self.told else None
        return "" if left is None else f", run: {span(*left)} left"

    def _warn(self) -> None:
        """Say once that the budget will not be met: its steps stay, so that results do."""
        left = self.left()
        if self.budget is None or left is None or self.warned:
            return
        minutes, end = self.budget.minutes, self.budget.watch.seconds() + sum(left) / 2
        if end > _SLOWER * 60 * minutes:
            self.warned = True
            log.warning(
                f"fit.minutes: the machine is slower than it was measured ({self._step():.2g} s a step instead of "
                f"{self.budget.costs.step:.2g}): the run keeps its {self.steps} steps, so that its result stays "
                f"exact, and will take about {duration(end)} instead of {duration(60 * minutes)}"
            )

    def _step(self) -> float:
        return self.spent / max(self.counted, 1)

    def end(self) -> None:
        """Say what became of the budget, and that the machine slept, if it did."""
        if self.budget is None:
            return
        minutes, took, slept = self.budget.minutes, self.budget.watch.seconds(), self.budget.watch.slept()
        late = took > _SLOWER * 60 * minutes
        slower = f": a step took {self._step():.2g} s instead of {self.budget.costs.step:.2g}" if late else ""
        log.info(
            f"fit.minutes: {self.steps} steps and all else took {duration(took)} of {duration(60 * minutes)}{slower}"
            + (f"; the machine slept for {duration(slept)}, which is not counted" if slept > _NAP else "")
        )


def span(least: float, most: float) -> str:
    """Return a range of seconds in the unit that suits it, rounded outwards: ``6 to 9 min``."""
    unit, length = next((unit for unit in (("h", 3600.0), ("min", 60.0)) if most >= 2 * unit[1]), ("s", 1.0))
    digits = 1 if most < 10 * length and unit != "s" else 0
    scale = 10**digits
    low, high = int(least / length * scale) / scale, -int(-most / length * scale // 1) / scale
    return f"{low:.{digits}f} to {high:.{digits}f} {unit}"
