"""The steps that fit into the time that there is, given what the parts of a run take."""

import math
from dataclasses import dataclass

_MARGIN = 1.15  # of the smallest budget that is named: it is to work


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a run take.

    Attributes:
        start: until the first step, once they are known.
        step: of a step, its share of waiting for data included.
        epoch: between two epochs: the first batch is waited for, the state is saved.
        validation: with the pictures and the better state that may follow.
        judgement: the last validation, by all metrics, and all that is written after it.
        early: of a step in the first ``early_epochs``, in which the encoder is frozen or nothing is cached yet.
    """

    start: float
    step: float
    epoch: float
    validation: float
    judgement: float
    early: float = 0.0
    early_epochs: int = 0

    def stepping(self, done: int, steps: int, epoch: int) -> float:
        """Return the seconds of the steps themselves, see `total`."""
        early = max(min(steps, self.early_epochs * epoch) - done, 0)
        return early * self.early + (steps - done - early) * self.step

    def validating(self, done: int, steps: int, epoch: int, every: int) -> float:
        """Return the seconds of all validations, the judgement included, see `total`."""
        return (count_validations(done, steps, epoch, every) - 1) * self.validation + self.judgement

    def total(self, done: int, steps: int, epoch: int, every: int) -> float:
        """Return the seconds of a run.

        Args:
            done: steps that lie behind it.
            steps: of the whole run.
            epoch: steps of an epoch.
            every: epochs from one validation to the next.
        """
        epochs = -(-steps // epoch) - done // epoch
        work = self.stepping(done, steps, epoch) + self.validating(done, steps, epoch, every)
        return self.start + epochs * self.epoch + work


def count_validations(done: int, steps: int, epoch: int, every: int) -> int:
    """Count the validations that follow after ``done`` steps of a run; its last epoch always has one."""
    return (-(-steps // epoch) - 1) // every - done // epoch // every + 1


def steps_within(seconds: float, costs: Costs, *, epoch: int, every: int, done: int = 0) -> int:
    """Return the most steps, ``done`` ones included, of a run that ends within ``seconds``; ``done`` if not one fits.

    Args:
        epoch, every, done: see `Costs.total`.
    """
    fits, too_many = done, done + 1
    while costs.total(done, too_many, epoch, every) <= seconds:
        fits, too_many = too_many, done + 2 * (too_many - done)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if costs.total(done, middle, epoch, every) <= seconds:
            fits = middle
        else:
            too_many = middle
    return fits


def least_minutes(seconds: float) -> float:
    """Return a budget in minutes that holds so many seconds, with a margin, rounded up to two digits."""
    return rounded_up(_MARGIN * seconds / 60)


def rounded_up(number: float) -> float:
    """Return a number above 0 rounded up to two digits: what a message names is to be enough."""
    digit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(f"{math.ceil(number / digit - 1e-9) * digit:.2g}")
