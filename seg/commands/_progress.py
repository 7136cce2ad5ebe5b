"""How far a bulk run is: a bar with rate and time left on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_EVERY = 30.0  # seconds between two lines in a log file


@contextmanager
def bulk_progress(
    title: str, unit: str, count: Callable[[], int], console: Console
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to be told (done, failed).

    Args:
        count: how many there are in all; called on a thread of its own, because a folder may hold a million files.
    """
    known: list[int] = []
    Thread(target=lambda: known.append(count()), daemon=True).start()
    if not console.is_terminal:
        yield _lines(title, unit, known)
        return
    columns = (
        TextColumn("{task.description}"),
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
        start = time.monotonic()

        def tell(done: int, failed: int) -> None:
            rate = f"{done / max(time.monotonic() - start, 1e-9):,.0f} {unit}/s"
            failures = f"{failed:,} failed" if failed else ""
            bars.update(
                task, total=max(known[0], done) if known else None, completed=done, rate=rate, failures=failures
            )

        yield tell


def _lines(title: str, unit: str, known: list[int]) -> Callable[[int, int], None]:
    start = told = time.monotonic()

    def tell(done: int, failed: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < _EVERY:
            return
        told = now
        rate = done / (now - start)
        of = f" of {known[0]:,}, {(known[0] - done) / rate / 60:.1f} min left" if known and rate else ""
        failures = f", {failed:,} failed" if failed else ""
        print(f"{title}: {done:,}{of}, {rate:,.0f} {unit}/s{failures}", file=sys.stderr, flush=True)

    return tell
