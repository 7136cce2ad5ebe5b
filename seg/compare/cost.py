"""What training the levels took, as far as it compares: what does not is left out, with the reason."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from seg.compare.evidence import Entry, machines
from seg.compare.study import Level
from seg.report.document import Block, Table, Text

Look = Callable[[Entry], float | None]

OF_MACHINES: dict[str, tuple[Look, Callable[[float], str]]] = {
    "seconds": (lambda entry: entry.training_time, lambda value: brief(value)),
    "images/s": (lambda entry: entry.images_per_second, lambda value: f"{value:.1f}"),
    "memory GiB": (lambda entry: entry.memory and entry.memory / 2**30, lambda value: f"{value:.2f}"),
}
"""What compares on one kind of machine alone."""
ANYWHERE: dict[str, tuple[Look, Callable[[float], str]]] = {
    "steps": (lambda entry: entry.steps, lambda value: f"{value:,.0f}"),
    "images": (lambda entry: entry.images_trained, lambda value: f"{value:,.0f}"),
}
"""What compares everywhere."""


def brief(value: float) -> str:
    """Show a number with two digits at least: 273, 4.2, 0.042."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def same_machine(levels: Sequence[Level]) -> bool:
    """Tell whether all runs were made on one kind of machine."""
    return machines([entry for level in levels for entry in level.entries]) == 1


def costs(levels: Sequence[Level]) -> Iterator[Block]:
    """Yield the cost of training the levels, mean over seeds, with what compares and what does not.

    Args:
        levels: in the order of the rows.
    """
    columns = {name: list(_column(levels, *how)) for name, how in (OF_MACHINES | ANYWHERE).items()}
    same, told = same_machine(levels), {name: cells for name, cells in columns.items() if any(cells)}
    known = {name: cells for name, cells in told.items() if all(cells) and (same or name in ANYWHERE)}
    if not told:
        return
    why = _ON_ONE if same else _ON_SEVERAL
    gaps = [name for name, cells in told.items() if not all(cells)]
    left_out = f" Left out, because not all runs tell it: {', '.join(gaps)}." if gaps else ""
    yield Text(f"The cost of training, mean over seeds. {why}{left_out}")
    if known:
        rows = [(level.name, *cells) for level, *cells in zip(levels, *known.values(), strict=True)]
        yield Table(("level", *known), rows, numbers=range(1, len(known) + 1))


_ON_ONE = (
    "All runs were made on one kind of machine. Seconds are those of the clock, and compare where it did nothing else; "
    "memory is the peak, of the GPU if there was one; images are counted as often as they were drawn."
)
_ON_SEVERAL = (
    "Seconds and memory are left out: the runs were made on several kinds of machine, and would say more of these than "
    "of the levels. What compares are steps, and images, counted as often as they were drawn."
)


def _column(levels: Sequence[Level], look: Look, form: Callable[[float], str]) -> Iterator[str]:
    """Yield the mean over the runs of each level; nothing where a run does not tell it."""
    for level in levels:
        values = [look(entry) for entry in level.entries]
        known = [value for value in values if value is not None]
        yield form(float(np.mean(known))) if len(known) == len(values) else ""
