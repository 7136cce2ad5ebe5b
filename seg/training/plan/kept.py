"""What was found out for a plan, in a file, from which the same plan can be made again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from seg.training.plan.candidates import Measured
from seg.training.plan.facts import Facts
from seg.training.plan.settings import Budget

_FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """What a plan is made of.

    Attributes:
        facts: of the data.
        measured: of each model, see `seg.training.plan.choose`.
        budget: of time and memory.
        data: options that say where the data lie and how they are read, with their values; ``data`` is the group.
    """

    facts: Facts
    measured: tuple[tuple[Measured, ...], ...]
    budget: Budget
    data: tuple[tuple[str, Any], ...] = ()

    def within(self, minutes: float, memory: int | None) -> Self:
        """Return the same for another budget; memory in bytes, None: as before."""
        return replace(self, budget=self.budget.within(minutes, memory))

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        measured: Sequence[Any] = [[each.plain() for each in group] for group in self.measured]
        return {
            "format": _FORMAT,
            "facts": self.facts.plain(),
            "measured": measured,
            "budget": self.budget.plain(),
            "data": self.data,
        }

    @classmethod
    def read(cls, path: str) -> Self:
        """Read the file that an earlier plan has left.

        Raises:
            ValueError: it is none.
        """
        try:
            kept = json.loads(Path(path).read_text(encoding="utf-8"))
            if kept["format"] != _FORMAT:
                raise ValueError(f"format {kept['format']}")
            measured = tuple(tuple(map(Measured.of, group)) for group in kept["measured"])
            data = tuple((key, value) for key, value in kept["data"])
            return cls(Facts.of(kept["facts"]), measured, Budget(**kept["budget"]), data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"measured: expected the NAME.json that seg-plan wrote beside a recipe, got '{path}' ({error}); "
                "give that, or leave it out"
            ) from None
