"""python -m pytest tests/report/test_progress.py"""

import pytest
from rich.console import Console

from seg.report.progress import bulk_progress

CONSOLES = [Console(quiet=True), Console(force_terminal=True, stderr=True), Console(force_terminal=False)]


@pytest.mark.parametrize(
    ("goes_on", "total", "signal", "said"),
    [
        (True, 1010, (), "17 of 1,010 images done; the same command goes on"),
        (True, None, ("by SIGTERM",), "by SIGTERM, 17 images done; the same command goes on"),
        (False, 1010, ("by SIGTERM",), "by SIGTERM"),
    ],
)
@pytest.mark.parametrize("console", CONSOLES)
def test_what_goes_on_says_how_far_it_came(
    console: Console, goes_on: bool, total: int | None, signal: tuple[str, ...], said: str
) -> None:
    def work(*, told: bool) -> None:
        with bulk_progress("converting", "images", console, goes_on=goes_on) as tell:
            if told:
                tell(17, 1, total=total)
            raise KeyboardInterrupt(*signal)

    with pytest.raises(KeyboardInterrupt, match=f"^{said}$"):
        work(told=True)
    with pytest.raises(KeyboardInterrupt, match=f"^{''.join(signal)}$"):
        work(told=False)
