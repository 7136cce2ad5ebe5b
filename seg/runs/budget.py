"""What the runs of a sweep may cost together: training time, or their number."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from seg.report.progress import duration
from seg.runs.records import RunRecord

_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_RUNS = "runs"


@dataclass(frozen=True)
class Spending:
    """A limit on runs.

    Attributes:
        text: as asked for.
        most: seconds of training, or runs; None = no limit.
        of_runs: whether it is a number of runs.
    """

    text: str = ""
    most: float | None = None
    of_runs: bool = False

    @classmethod
    def read(cls, text: object) -> "Spending":
        """Return what ``6h`` or ``30runs`` means; None is no limit.

        Raises:
            ValueError: another text, or nothing at all.
        """
        if text is None:
            return cls()
        match = re.fullmatch(rf"(\d+(?:\.\d+)?)({'|'.join(_SECONDS)}|{_RUNS})", str(text))
        if match is None or not float(match[1]) or (match[2] == _RUNS and "." in match[1]):
            raise ValueError(
                f"budget: expected a time such as 90m, 6h or 2d, or a number of runs such as 30runs, got {text}; say "
                "how much may be spent, or leave it out"
            )
        return cls(str(text), float(match[1]) * _SECONDS.get(match[2], 1), match[2] == _RUNS)

    def lacking(self, done: Sequence[RunRecord], coming: Sequence[Sequence[RunRecord]]) -> str | None:
        """Say why the budget does not suffice for a round; None where it does.

        Args:
            done: the runs so far, whose time counts however often they were interrupted.
            coming: of each run that would be trained, those of its level so far: it will take as long.
        """
        if self.most is None:
            return None
        if self.of_runs:
            if len(done) + len(coming) <= self.most:
                return None
            return f"the budget of {self.text} is spent: {len(done)} were made, and the next round has {len(coming)}"
        spent = sum(run.seconds for run in done)
        expected = sum(sum(run.seconds for run in level) / len(level) for level in coming if level)
        if spent + expected <= self.most:
            return None
        return (
            f"the budget of {self.text} is spent: {duration(spent)} by {len(done)} runs, and the next round would take "
            f"about {duration(expected)}"
        )
