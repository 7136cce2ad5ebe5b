"""Looks at runs that are trained in rounds of seeds, until the pairs are settled: what each look may claim.

After each round the levels are compared, and those whose pairs are all settled get no more seeds. Who looks eight times
has eight chances to be wrong. So the 5 % are spent over the looks, by a rule that knows the design alone, ``3..10``:
after n of at most N seeds (n / N)^2 of them are spent (the power family of Kim and DeMets, "Design and analysis of
group sequential tests based on the type I error spending rate function", Biometrika 1987). The looks may depend on one
another in any way: what each may spend is the upper bound of what it adds (Bonferroni).

What is settled at a look stays so, and makes it easier for the pairs that are still open (Maurer and Bretz, "Multiple
testing in group sequential trials using graphical approaches", Statistics in Biopharmaceutical Research 2013). When,
and for which reason, a sweep ends is of no importance for the error: looks that are not made spend nothing.

``benchmarks/results/settled-2026-11-30.md`` has simulated sweeps: of 80 rows 79 have a false verdict at any look in at
most 4.0 % of them, one in 5.1 % (20 levels, each with a scatter of its own).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from seg.compare.scores import check_rope
from seg.files import checks

LEAST = 2
"""Seeds of a first look: one seed settles nothing."""


@dataclass(frozen=True)
class Looks:
    """When runs are looked at: after ``first`` seeds, and after each further one, up to ``most``.

    Raises:
        ValueError: numbers that are no such thing.
    """

    first: int
    most: int

    def __post_init__(self) -> None:
        checks.whole("seeds", self.first, LEAST, remedy="one seed settles nothing; give such as 3..10")
        if self.most < self.first:
            raise ValueError(f"seeds: expected FIRST..MOST, such as 3..10, got {self}; give the smaller one first")

    @classmethod
    def read(cls, text: object) -> "Looks":
        """Return what ``3..10`` means.

        Raises:
            ValueError: another text.
        """
        if (match := re.fullmatch(r"(\d+)\.\.(\d+)", str(text))) is None:
            raise ValueError(
                f"seeds: expected FIRST..MOST with until=settled, such as 3..10, got {text}; the first look comes "
                "after FIRST seeds, the last one after MOST"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.first}..{self.most}"

    @property
    def numbers(self) -> range:
        """Seeds after which there is a look."""
        return range(self.first, self.most + 1)

    def spent(self, seeds: int) -> float:
        """Return which share of the 5 % has been spent after so many seeds, 0..1."""
        return 0.0 if seeds < self.first else (min(seeds, self.most) / self.most) ** 2

    def share(self, seeds: int) -> float:
        """Return which share of the 5 % the look after so many seeds spends, 0..1."""
        return self.spent(seeds) - self.spent(seeds - 1)


@dataclass(frozen=True)
class Design:
    """What a sweep ``until=settled`` fixed before its first run; each run of it keeps it in its configuration.

    Attributes:
        looks: its seeds.
        metric, rope, group: those of the comparison; no rope: the usual one of the metric.
        reference: the level whose pairs are to be settled; None = all pairs.
    """

    looks: Looks
    metric: str = "miou"
    rope: float | None = None
    reference: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        for key in ("metric", "reference", "group"):
            if (value := getattr(self, key)) is not None:
                checks.text(f"until.{key}", value)
        check_rope(self.rope, self.metric)
        if self.group is not None:
            checks.pattern("until.group", self.group)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Design | None":
        """Return that of a configuration; None where it has none.

        Raises:
            ValueError: it asks for something that is no such thing.
        """
        until = config.get("until")
        if until is None:
            return None
        if not isinstance(until, Mapping) or not set(until) <= {"metric", "rope", "reference", "group"}:
            raise ValueError(f"until: expected settled, got {until!r}; give until=settled, or leave it out")
        given = {key: value for key, value in until.items() if value is not None}
        return cls(Looks.read(config.get("seeds")), **given)


class HasConfig(Protocol):
    """A run."""

    @property
    def config(self) -> Mapping[str, Any]: ...


def designs_of(runs: Sequence[HasConfig]) -> list[Design]:
    """Return the designs that some runs were made by, each once."""
    return [*dict.fromkeys(design for run in runs if (design := Design.of(run.config)) is not None)]


def widest(designs: Sequence[Design]) -> Design | None:
    """Return the design with the most seeds, if there is any."""
    return max(designs, key=lambda design: design.looks.most, default=None)


def one_after_the_other(designs: Sequence[Design]) -> Iterator[str]:
    """Yield that runs were made by several designs, each of which may err."""
    seeds = sorted({str(design.looks) for design in designs})
    if len(seeds) > 1:
        yield (
            f"the runs are of sweeps until=settled with seeds={' and seeds='.join(seeds)}, one after the other: each "
            f"has a chance of 5 % of a false verdict, all of them together of up to {5 * len(seeds)} %"
        )
