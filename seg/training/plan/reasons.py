"""The recipe of a choice, with the reason of each line: a study of ours, a measurement, or a fact of the data."""

from dataclasses import dataclass
from typing import Any

from seg.report.progress import duration
from seg.training.plan.candidates import MODELS, Candidate, Measured, crops
from seg.training.plan.facts import Facts
from seg.training.plan.recipe import Line, Recipe
from seg.training.plan.settings import Budget, groups_of, has_rare, in_windows, options_of

_ENOUGH, _FROM_SCRATCH = 350, 2400  # steps, which a training is to have before it gets larger windows
PASSES = 100  # over the images, from which on another seed is worth more than more of them
VALIDATING = 0.1  # of the time, at most, unless that would be fewer than three validations
_RECIPES, _FASTER, _DEMO = "recipes-2026-11-26", "recipes-2026-11-30", "demo-2026-11-30"
_SCRATCH = "recipes-scratch-2026-11-30"
_LOSSES, _PLANS, _RISING = "camvid-losses-2026-11-26", "plan-2026-11-30", "plan-2026-12-01"


@dataclass(frozen=True)
class Length:
    """What fits into a budget.

    Attributes:
        steps: of each seed.
        every: epochs from one validation to the next.
        seeds: that there is time for.
        too_large: what would have been preferred, but does not fit into the memory.
    """

    measured: Measured
    steps: int
    every: int
    seeds: int
    too_large: tuple[Candidate, ...] = ()

    def is_too_large(self, model: str) -> bool:
        """Return whether windows of a model did not fit, and so were not chosen."""
        return any(each.model == model for each in self.too_large)


def enough(budget: Budget) -> int:
    """Return the steps that a training is to have before it gets larger windows; more where it begins at random."""
    return _FROM_SCRATCH if budget.encoder_weights is None else _ENOUGH


def recipe_of(facts: Facts, length: Length, budget: Budget) -> Recipe:
    """Return the recipe of a choice."""
    candidate = length.measured.candidate
    groups = groups_of(facts, candidate, budget)
    options: dict[str, Any] = {"fit.steps": length.steps, "fit.validate_every": length.every}
    options |= options_of(facts, candidate, budget) | {"average.decay": _decay(length.steps)}
    reasons = _of_groups(facts, length, budget) | _of_data(facts, length, budget) | _of_machine(facts, length, budget)
    return Recipe(
        _head(facts, length, budget),
        tuple(Line(key, value, reasons[key]) for key, value in groups.items()),
        tuple(Line(key, value, reasons[key]) for key, value in options.items()),
    )


def _decay(steps: int) -> float:
    """Return the decay of a mean over a ninth of the steps: 0.99 for the 920 steps of our recipes."""
    return round(min(max(1 - 1 / (0.11 * steps), 0.9), 0.9995), 4)


def _head(facts: Facts, length: Length, budget: Budget) -> tuple[str, ...]:
    passes = length.steps * length.measured.candidate.images / facts.train
    planned = (
        f"Planned by seg-plan for {budget.minutes:g} minutes on {budget.machine}: {length.steps} steps, "
        f"{passes:.1f} windows of every image."
    )
    if length.seeds == 1:
        return (planned, *_facts(facts))
    return (
        planned,
        f"There is time for {length.seeds} seeds, --multirun seed={','.join(map(str, range(length.seeds)))}: each "
        f"alone goes {PASSES} times over the images, and no study of ours has trained longer than that.",
        *_facts(facts),
    )


def _facts(facts: Facts) -> list[str]:
    return [f"{line[0].upper()}{line[1:]}." for line in facts.lines()]


def _of_groups(facts: Facts, length: Length, budget: Budget) -> dict[str, str]:
    candidate = length.measured.candidate
    if candidate.model == MODELS[0]:
        model = f"the model of our recipes ({_RECIPES})"
    elif length.is_too_large(MODELS[0]):
        model = f"lighter than {MODELS[0]}, which does not fit into the memory, or has no {enough(budget)} steps"
    else:
        model = f"lighter than {MODELS[0]}, which has no {enough(budget)} steps: more of them win ({_DEMO}, one seed)"
    if has_rare(facts):
        loss = f"it learns rare classes at once, cross entropy does not ({_LOSSES}, {_FASTER})"
    else:
        loss = f"no class is rare: on UUAD 0.6 points ahead of ce_lovasz, one seed ({_PLANS})"
    schedule = f"as in {_RECIPES}; it ends with the last step, however many there are"
    if budget.encoder_weights is None:
        schedule = f"from scratch: two points ahead of poly on the embedded set, none on CamVid ({_RISING}, one seed)"
    size = "larger than four windows of the training" if in_windows(facts) else "no giants"
    return {
        "model": model,
        "loss": loss,
        "scheduler": schedule,
        "average": f"as in {_RECIPES}",
        "inference": f"validation images are {size}{', and halved as in the training' * (candidate.scale != 1)}",
    }


def _of_data(facts: Facts, length: Length, budget: Budget) -> dict[str, str]:
    height, width = facts.size
    rare, share = facts.classes[facts.rarest], 100 * facts.shares[facts.rarest]
    scale = length.measured.candidate.scale
    halved = f"from scratch, more steps win: images of half the size have time for them ({_SCRATCH}, one set)"
    rate = f"as in {_RECIPES}" if budget.encoder_weights else f"higher than in {_RECIPES}: it rises first ({_RISING})"
    sides = "there is an up and a down" if facts.upright else "there is no up and down"
    images = f"of images of {width}x{height}{', halved' * (scale != 1)}"
    return {
        "augment.crop.size": f"{images}; {_window(facts, length, budget)}",
        "augment.crop.scale": f"a wider jitter costs short runs ({_RECIPES}){f'; {halved}' * (scale != 1)}",
        "augment.crop.wanted": f"'{rare}' has {share:.2g} % of the pixels, the thinnest objects are "
        f"{facts.thinnest:.0f} pixels across: a third of the windows lies around a class drawn at random ({_RECIPES})",
        "augment.flip.vertical": f"{sides}: between upper and lower half {100 * facts.tilt:.0f} % of the pixels "
        "change their class",
        "optimizer.lr": rate,
        "rates.encoder": f"what is known already is to change slowly ({_RECIPES})",
        "rates.frozen": f"more steps in the same time, and no worse ones ({_FASTER})",
        "model.encoder_name": "as it was asked for",
        "model.encoder_weights": f"worth 8 points on CamVid ({_FASTER}, {_SCRATCH})",
        "average.decay": f"the mean of about a ninth of the steps, as in {_RECIPES}",
        **dict.fromkeys(("inference.window", "inference.sliding.window"), "the longer side of the training's windows"),
        **dict.fromkeys(("inference.scales", "inference.tta.scales"), "that of the training"),
        **dict.fromkeys(("inference.flips", "inference.tta.flips"), "one view, the quickest"),
    }


def _window(facts: Facts, length: Length, budget: Budget) -> str:
    """Say why the windows have this size."""
    candidate = length.measured.candidate
    if (offered := len(crops(facts, candidate.scale))) == 1:
        return "the only size that comes into question"
    sizes = f"the largest of {'two' if offered == 2 else 'three'} sizes"
    fits = "that fits into the memory and leaves" if length.is_too_large(candidate.model) else "that leaves"
    return f"{sizes} {fits} {enough(budget)} steps, or else the one that leaves most ({_PLANS})"


def _of_machine(facts: Facts, length: Length, budget: Budget) -> dict[str, str]:
    measured = length.measured
    candidate, costs = measured.candidate, measured.costs
    stepping = costs.stepping(0, length.steps, measured.epoch)
    rest = costs.total(0, length.steps, measured.epoch, length.every) - stepping
    memory = ""
    if measured.memory is not None and budget.memory is not None:
        memory = f"; {measured.memory / 1e9:.2g} GB of the {budget.memory / 1e9:.2g} GB that may be taken"
    few = f"because {facts.train} images are few: an epoch is to have steps enough"
    if budget.encoder_weights is None:
        few = f"because more steps win where nothing is known yet ({_SCRATCH})"
    return {
        "fit.steps": f"{duration(stepping)} of steps of {costs.step:.2g} s, {duration(rest)} for validations and all "
        f"that is written, {duration(budget.started)} to start",
        "fit.validate_every": f"a validation takes {duration(costs.validation)}; all together are to take "
        f"{100 * VALIDATING:.0f} % of the time, or to be three",
        "fit.accumulate": f"more than {candidate.batch} windows at once do not fit into the memory",
        "loader.batch": f"{candidate.images} a step, {few if candidate.images < 8 else f'as in {_RECIPES}'}{memory}",
        "loader.workers": "as measured",
        "device.accelerator": "as it was asked for",
        "device.precision": "as measured: what this hardware computes with by default, or what was asked for",
    }
