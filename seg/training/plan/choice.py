"""What the numbers lead to: the model, the window, how long, and how many seeds."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seg.training.budget import least_minutes, rounded_up, steps_within
from seg.training.plan.candidates import Measured, crops
from seg.training.plan.facts import Facts
from seg.training.plan.reasons import PASSES, VALIDATING, Length, enough, recipe_of
from seg.training.plan.recipe import Recipe, words
from seg.training.plan.settings import Budget

_SEEDS = 5


@dataclass(frozen=True)
class Plan:
    """A recipe, what it was chosen from, and how many seeds of it there is time for."""

    recipe: Recipe
    length: Length

    def command(self, destination: Path, name: str, groups: Iterable[Path] = ()) -> str:
        """Return the command line that trains by the recipe.

        Args:
            destination: folder, in which the recipe stands as ``experiment/NAME.yaml``.
            name: of the recipe.
            groups: folders of configuration that it needs beside that one.
        """
        more = [f"file://{path.absolute()}" for path in groups if path.resolve() != destination.resolve()]
        given = ["--config-dir", str(destination), f"experiment={name}"]
        given += words({}, {"hydra.searchpath": more}) if more else []
        if self.length.seeds > 1:
            given += ["--multirun", f"seed={','.join(map(str, range(self.length.seeds)))}"]
        return f"seg-train {shlex.join(given)}"


def choose(facts: Facts, measured: Sequence[Sequence[Measured]], budget: Budget) -> Plan:
    """Plan a training.

    Args:
        facts: of the data.
        measured: for each model, its smallest window and, where it has another, its largest; the model that ample time
            would buy first.
        budget: of time and memory.

    Raises:
        ValueError: nothing that was measured ends within the minutes, or fits into the memory.
    """
    offered = _offered(facts, measured)
    fitting = [each for each in offered if _fits(each, budget)]
    if not fitting:
        least = min(each.memory or 0 for each in offered)
        raise ValueError(
            f"memory: expected at least {rounded_up(least / 1e9):g} GB, which the smallest candidate takes, got "
            f"{(budget.memory or 0) / 1e9:g}; give more, or a smaller encoder"
        )
    lengths = [_length(each, budget) for each in fitting]
    best = next((each for each in lengths if each.steps >= enough(budget)), max(lengths, key=lambda each: each.steps))
    if best.steps == 0:
        soonest = min(budget.started + each.costs.total(0, 1, each.epoch, 1) for each in fitting)
        raise ValueError(
            f"minutes: expected at least {least_minutes(soonest):g}, which a start, one step and one validation take, "
            f"got {budget.minutes:g}; give more"
        )
    better = offered[: offered.index(best.measured)]
    best = replace(best, too_large=tuple(each.candidate for each in better if each not in fitting))
    return Plan(recipe_of(facts, best, budget), best)


def _offered(facts: Facts, measured: Sequence[Sequence[Measured]]) -> list[Measured]:
    """Return what there is to choose from, what ample time would buy first."""
    found = []
    for group in measured:
        small, large = group[0], group[-1]
        known = {small.candidate.crop: small, large.candidate.crop: large}
        found += [known.get(crop) or small.at(crop, large) for crop in reversed(crops(facts, small.candidate.scale))]
    return found


def _fits(measured: Measured, budget: Budget) -> bool:
    return budget.memory is None or measured.memory is None or measured.memory <= budget.memory


def _length(measured: Measured, budget: Budget) -> Length:
    """Return how many steps fit, and of how many seeds."""
    for seeds in range(_SEEDS, 1, -1):
        steps, every = _steps(measured, 60 * budget.minutes / seeds - budget.started)
        if steps >= PASSES * measured.epoch and steps >= enough(budget):
            return Length(measured, steps, every, seeds)
    steps, every = _steps(measured, 60 * budget.minutes - budget.started)
    return Length(measured, steps, every, 1)


def _steps(measured: Measured, seconds: float) -> tuple[int, int]:
    """Return the steps that fit into the seconds, and the epochs from one validation to the next."""
    costs, epoch, every = measured.costs, measured.epoch, 1
    while True:
        steps = steps_within(seconds, costs, epoch=epoch, every=every)
        epochs = -(-steps // epoch)
        if 3 * every >= epochs or costs.validating(0, steps, epoch, every) <= VALIDATING * seconds:
            return steps, every
        every += 1
