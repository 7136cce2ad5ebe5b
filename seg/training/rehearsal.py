"""What the parts of a run take on this machine, tried on a copy of it that is thrown away.

Nothing of a rehearsal reaches the run: the copy has weights, optimizer, batches and random numbers of its own, and what
it writes lies in a folder that is removed. A run whose steps were chosen so equals one with as many ``fit.steps``, to
the bit.
"""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from seg import runs
from seg.data.batches import release_workers
from seg.evaluation.files import write
from seg.files.clock import Stopwatch
from seg.inference import trained
from seg.report.console import muted
from seg.report.progress import duration
from seg.training.budget import Costs, least_minutes, steps_within
from seg.training.loop import train_step
from seg.training.pace import Budget
from seg.training.processes import broadcast_from_first
from seg.training.run import Run

log = logging.getLogger(__name__)

_SHARE, _LEAST, _MOST = 0.03, 1.5, 20.0  # of the budget, and in seconds: how long each part is measured
_STEPS = 6  # that are measured at least, where this does not take three times as long


def fix_steps(build: Callable[[], Run], watch: Stopwatch, *, before: runs.Before | None = None) -> tuple[int, Budget]:
    """Choose the most steps with which a run ends within ``fit.minutes``, its validations and its judgement included.

    Args:
        build: makes a copy of the run, as it will be, which is spoilt.
        watch: since when the minutes count.
        before: the run that is extended: the minutes beyond those of its epochs that are done count from now on.

    Returns:
        steps of the whole run, and the budget.

    Raises:
        ValueError: not one step and its validation fit; the message has the minutes that do.
    """
    log.info("fit.minutes: measuring what steps and validations take, on a copy of the run")
    built = watch.seconds()
    with muted():
        run = build()
    built, options = watch.seconds() - built, run.options
    assert options.minutes is not None
    epoch, every = len(run.loaders.batches), options.validate_every
    done, spent = (before or runs.Before()).spent(epoch)
    minutes = options.minutes - spent
    started = watch.seconds()
    costs = rehearse(run, min(max(_SHARE * 60 * minutes, _LEAST), _MOST))
    costs = replace(costs, start=costs.start + built)  # it will be built once more

    def choose() -> tuple[int, str]:
        elapsed = watch.seconds()
        steps = steps_within(60 * minutes - elapsed, costs, epoch=epoch, every=every, done=done)
        if steps == done:
            rest = costs.total(done, done + 1, epoch, every)
            least = f"{math.ceil(1000 * (spent + least_minutes(elapsed + rest))) / 1000:.10g}"
            raise ValueError(
                f"fit.minutes: expected at least {least}, of which {duration(elapsed)} were needed to start and to "
                f"measure, and {duration(rest)} are for one step and its validation, got {options.minutes:g}; give "
                f"fit.minutes={least} or more"
            )
        stepping = costs.stepping(done, steps, epoch)
        return steps, (
            f"fit.minutes={options.minutes:g}: {steps} steps in {-(-steps // epoch)} epochs; "
            f"{duration(stepping)} for {steps - done} steps of {stepping / (steps - done):.2g} s, "
            f"{duration(costs.total(done, steps, epoch, every) - stepping)} for validations and all that is written, "
            f"{duration(elapsed)} until now, of which {duration(elapsed - started + built)} to measure"
        )

    steps, plan = broadcast_from_first(run.state.fabric, choose)
    return steps, Budget(minutes, watch, costs, plan)


def rehearse(run: Run, seconds: float) -> Costs:
    """Measure each part of a run.

    Args:
        run: a copy of it, which is spoilt.
        seconds: how long to measure steps, and as long validations.
    """
    precision = run.state.fabric.strategy.precision
    before = copy.deepcopy(precision.state_dict())  # of float16's scaler, which the run shares
    began = time.monotonic()
    try:
        with run.explained(), TemporaryDirectory() as folder:
            run.check_sizes()
            checked = time.monotonic() - began
            costs = _measure(run, seconds, Path(folder))
        return replace(costs, start=costs.start + checked)
    finally:
        precision.load_state_dict(before)
        for loader in (run.loaders.train, run.loaders.val):
            release_workers(loader)


def _measure(run: Run, seconds: float, folder: Path) -> Costs:
    options, cached = run.options, run.loaders.train.dataset.cache is not None  # type: ignore[attr-defined]
    early, first = 0.0, None
    early_epochs = options.freeze or int(cached)
    if early_epochs:
        first = _time_steps(run, seconds, frozen=options.freeze > 0)
        early = first.step
    steps = _time_steps(run, seconds)
    saved = _timed(partial(_save, run, folder))
    validation, judgement = _time_validations(run, seconds / 2, folder)
    drawn = _timed(partial(run.draw, folder / runs.PICTURES))
    return Costs(
        start=(first or steps).start,
        step=steps.step,
        epoch=steps.refill + saved,
        validation=validation + saved + drawn * (run.make_logger is not None),
        judgement=judgement + 2 * saved + drawn * (1 + (run.make_logger is not None)),
        early=early,
        early_epochs=early_epochs,
    )


def _save(run: Run, folder: Path) -> None:
    if run.state.fabric.is_global_zero:
        trained.save(folder / runs.LAST, run.state.state_dict(), run.about, resumable=True)


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@dataclass
class _Steps:
    """Times of steps: of the first, beyond what it takes later; of one; until the first batch of an epoch is there."""

    start: float
    step: float
    refill: float


def _time_steps(run: Run, seconds: float, *, frozen: bool = False) -> _Steps:
    """Train as the run would, from its first epoch on."""
    state, batches, options = run.state, run.loaders.batches, run.options
    total = options.length(len(batches))[1]
    state.train(frozen=frozen, norm=options.freeze_norm)
    times: list[float] = []
    fills: list[float] = []
    began, epoch, enough = time.monotonic(), 0, False
    while not enough:
        batches.go_to(epoch, 0)
        started = time.monotonic()
        loaded = iter(run.loaders.train)
        while not enough and (step := list(islice(loaded, options.accumulate))):
            if len(fills) == epoch:
                fills.append(time.monotonic() - started)
                started = time.monotonic()
            train_step(state, step, done=len(times), total=total, clip=options.clip)
            times.append(time.monotonic() - started)
            started = time.monotonic()
            passed = started - began
            known = (passed >= seconds and len(times) >= _STEPS) or (passed >= 3 * seconds and len(times) >= 2)
            enough = state.fabric.broadcast(known) if state.fabric.world_size > 1 else known
        epoch += 1
    if len(fills) < 2:
        batches.go_to(epoch, 0, 1)
        started = time.monotonic()
        next(iter(run.loaders.train))
        fills.append(time.monotonic() - started)
    # the first steps fill caches, and find batches that were loaded ahead
    settled = times[max(1, len(times) // 3) :]
    step_seconds = sum(settled) / len(settled)
    return _Steps(fills[0] + max(times[0] - step_seconds, 0.0), step_seconds, min(fills[1:]))


@dataclass
class _UntilEnough:
    """Asked before every batch of a validation whether to stop; notes when."""

    seconds: float
    asked: list[float] = field(default_factory=list)
    stopped: bool = False

    def __call__(self) -> bool:
        self.asked.append(time.monotonic())
        self.stopped = len(self.asked) > 1 and self.asked[-1] - self.asked[0] >= self.seconds
        return self.stopped

    def whole(self, began: float, ended: float, sizes: list[int]) -> float:
        """Return what all batches would have taken, of which those of the first ``sizes`` were validated."""
        if not self.stopped:
            return ended - began
        done = sum(sizes[: len(self.asked) - 1])
        fixed = self.asked[0] - began + ended - self.asked[-1]
        return fixed + (self.asked[-1] - self.asked[0]) * sum(sizes) / done


def _time_validations(run: Run, seconds: float, folder: Path) -> tuple[float, float]:
    """Return the seconds of a validation, and of the judgement, by a part of the images where all would take long."""
    pixels = [height * width for height, width in run.data.val_sizes]
    sizes = [sum(pixels[index] for index in batch) for batch in run.loaders.val.batch_sampler.batches]  # type: ignore[union-attr]
    run.validate(_UntilEnough(0.0))  # starts processes that load, and meets sizes for the first time
    found = []
    for where in (None, folder):
        until, began = _UntilEnough(seconds), time.monotonic()
        judged = run.validate(until, where)
        found.append(until.whole(began, time.monotonic(), sizes))
    written = _timed(lambda: write(judged, folder)) if run.state.fabric.is_global_zero else 0.0
    return found[0], found[1] + written
