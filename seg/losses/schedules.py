"""Loss weights that change during a run."""

from typing import Literal

from torch import Tensor

from seg.files import checks


class Ramp:
    """A weight that goes linearly from ``start`` to ``end`` and stays there.

    Args:
        start, end: weights, >= 0.
        until: share of the run after which ``end`` is reached, > 0 and <= 1.
    """

    def __init__(self, start: float, end: float, *, until: float = 1.0) -> None:
        checks.number("start", start, least=0)
        checks.number("end", end, least=0)
        checks.share("until", until, "the run", least=False)
        self.start, self.end, self.until = start, end, until

    def __call__(self, progress: Tensor) -> Tensor:
        """Return the weight at ``progress``, the share of the run that is done, in 0..1, any shape."""
        return self.start + (self.end - self.start) * (progress / self.until).clamp(max=1)

    def __repr__(self) -> str:
        return f"Ramp({self.start}, {self.end}, until={self.until})"


def boundary_weights(
    schedule: Literal["constant", "increase", "rebalance", "steal"] = "rebalance",
    *,
    start: float = 0.01,
    end: float = 0.99,
) -> dict[str, float | Ramp]:
    """Return weights of ``region`` and ``boundary`` for a `WeightedSum`: the schedules of Kervadec et al. 2021.

    With alpha going linearly from ``start`` to ``end`` over the run (in the paper by 0.01 per epoch):

    - ``constant``: region + start * boundary;
    - ``increase``: region + alpha * boundary;
    - ``rebalance``: (1 - alpha) * region + alpha * boundary, the paper's choice;
    - ``steal``: the paper's released code, with its 100 epochs stretched over the run: the weight of the region term
      falls from 1 to 0.1 in the first 90 % and stays there, that of the boundary term rises from ``start`` by 1.
      ``end`` is not used.
    """
    checks.choice("schedule", schedule, ["constant", "increase", "rebalance", "steal"])
    checks.number("start", start, least=0)
    checks.number("end", end, least=0)
    if schedule == "constant":
        return {"region": 1.0, "boundary": start}
    if schedule == "increase":
        return {"region": 1.0, "boundary": Ramp(start, end)}
    if schedule == "rebalance":
        if max(start, end) > 1:
            raise ValueError(
                f"start, end: expected 0..1 with the schedule 'rebalance', got {start} and {end}; or choose another"
            )
        return {"region": Ramp(1 - start, 1 - end), "boundary": Ramp(start, end)}
    return {"region": Ramp(1.0, 0.1, until=0.9), "boundary": Ramp(start, start + 1)}
