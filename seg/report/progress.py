"""How far a bulk run is: a bar with rate and time left on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from seg.report.console import console as shared_console

_EVERY = 30.0  # seconds between two lines in a log file


class Tell(Protocol):
    """Takes how many are done, how many of these failed, and the number of all where the caller knows it."""

    def __call__(self, done: int, failed: int = 0, total: int | None = None) -> None: ...


class Overall:
    """Progress of all runs of this process, in epochs; runs that were already complete are not counted."""

    def __init__(self, jobs: int | None, tell: Tell) -> None:
        self.left, self.tell, self.ended, self.failed = jobs, tell, 0, 0

    def at(self, epoch: int, epochs: int) -> None:
        """Show that the present run has completed so many epochs."""
        total = None if self.left is None else (self.ended + self.left) * epochs
        self.tell(self.ended * epochs + epoch, self.failed, total=total)

    def end(self, how: str) -> None:
        """Note that the present run is ``trained``, ``complete`` before it began, or ``failed``."""
        self.ended += how == "trained"
        self.failed += how == "failed"
        if self.left is not None:
            self.left -= 1


@contextmanager
def bulk_progress(
    title: str, unit: str, console: Console, count: Callable[[], int] | None = None, *, goes_on: bool = False
) -> Iterator[Tell]:
    """Yield a function to be told how far the work is.

    Args:
        count: how many there are in all; called on a thread of its own, because a folder may hold a million files.
            None = the caller tells.
        goes_on: the same command goes on after Ctrl-C, which then says how far the work was.
    """
    known: list[int] = []
    if count is not None:
        Thread(target=lambda: known.append(count()), daemon=True).start()
    last = ""
    with _shown(title, unit, console, known) as show:

        def tell(done: int, failed: int = 0, total: int | None = None) -> None:
            nonlocal last
            whole = total if total is not None else known[0] if known else None
            last = f"{done:,} {unit} done" if whole is None else f"{done:,} of {whole:,} {unit} done"
            show(done, failed, total)

        with going_on(lambda: last if goes_on else ""):
            yield tell


@contextmanager
def going_on(how_far: Callable[[], str]) -> Iterator[None]:
    """Say with Ctrl-C how far the work was, unless that is empty, and that the same command goes on."""
    try:
        yield
    except KeyboardInterrupt as error:
        if not (done := how_far()):
            raise
        raise KeyboardInterrupt(", ".join([*map(str, error.args), f"{done}; the same command goes on"])) from error


@contextmanager
def _shown(title: str, unit: str, console: Console, known: list[int]) -> Iterator[Tell]:
    """Yield what shows how far the work is, in the way that the console allows."""
    if console.quiet or not console.is_terminal:
        yield _silent if console.quiet else _lines(title, unit, known)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failures]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(title, total=None, rate="", failures="")
        pace = _Pace()

        def tell(done: int, failed: int = 0, total: int | None = None) -> None:
            whole = total if total is not None else max(known[0], done) if known else None
            failures = f"{failed:,} failed" if failed else ""
            bars.update(
                task, total=whole, completed=done, rate=f"{_short(pace.rate(done))} {unit}/s", failures=failures
            )

        yield tell


def _silent(done: int, failed: int = 0, total: int | None = None) -> None:
    """Say nothing, as processes do that leave the talking to the first one."""


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def duration(seconds: float) -> str:
    """Return a time in words: ``48 s``, ``4 min 10 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


class _Pace:
    """Work a second, without what was done before anything was told, such as what is remembered."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.first: int | None = None

    def rate(self, done: int) -> float:
        if self.first is None:
            self.first = done - 1 if done else 0
        return (done - self.first) / max(time.monotonic() - self.start, 1e-9)


def _lines(title: str, unit: str, known: list[int]) -> Tell:
    pace, told = _Pace(), time.monotonic()

    def tell(done: int, failed: int = 0, total: int | None = None) -> None:
        nonlocal told
        rate, now = pace.rate(done), time.monotonic()
        if now - told < _EVERY:
            return
        told = now
        whole = total if total is not None else known[0] if known else None
        of = f" of {whole:,}, {(whole - done) / rate / 60:.1f} min left" if whole is not None and rate else ""
        failures = f", {failed:,} failed" if failed else ""
        print(f"{title}: {done:,}{of}, {_short(rate)} {unit}/s{failures}", file=sys.stderr, flush=True)

    return tell


def track(items: Iterable[Any], title: str, total: int, done: int = 0, unit: str = "steps") -> Iterator[Any]:
    """Yield the items, of which ``done`` lie behind, while a bar or a line now and then says how far they are."""
    with bulk_progress(title, unit, shared_console) as tell:
        for count, item in enumerate(items, start=done + 1):
            tell(count - 1, total=total)
            yield item
        tell(total, total=total)
