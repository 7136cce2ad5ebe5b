"""How several losses become one: of tasks, or of the terms of a composite loss.

A weighting is told the names of the losses, and makes ``(total, factors)`` of their values; only training asks it, so
that the validation's loss stays the sum of the losses, which runs with different weightings have in common. What it
learns or counts is in its parameters and buffers, and so is optimised, saved and resumed as the rest of the objective.
Factors follow from the mean of each loss over all processes, and are the same on each of them.

To add one: a class here and a YAML in ``conf/weighting/``. Left out: methods that combine the gradients of the losses
(PCGrad, GradNorm, those of TorchJD). They need a backward pass for each loss, past DistributedDataParallel, which then
exchanges nothing (two processes went apart in the first step), and past the scaler of float16.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from seg.files import checks
from seg.losses import over_processes


class Weighting(nn.Module):
    """What the weightings have in common; by itself it is the sum.

    Args:
        names: of the losses.

    Attributes:
        needs_positive: a loss below 0 is refused.
        rate: learning rate of what it learns, as a share of that of the run.
        spans_batches: its factors do not follow from a single one of the batches of a step.
    """

    needs_positive = False
    spans_batches = True
    rate = 1.0

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def forward(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise for scalars by name, and the factor of each, detached.

        Raises:
            ValueError: a loss below 0, with a weighting that needs positive ones.
        """
        values = torch.stack([losses[name] for name in self.names])
        total, count = over_processes(values.detach(), values.new_ones(1))
        means = total / count
        if self.needs_positive and bool((means < 0).any()):
            negative = self.names[int(means.argmin())]
            raise ValueError(_refusal(negative, f"{float(means.min()):.3g}", self))
        factors = self.factors(means)
        return (factors * values).sum() + self.penalty(), dict(zip(self.names, factors.detach(), strict=True))

    def factors(self, means: Tensor) -> Tensor:
        """Return the factors (K,) for the means (K,) of the losses over all processes, detached."""
        return torch.ones_like(means)

    def penalty(self) -> Tensor | float:
        """Return what is added to the weighted losses."""
        return 0.0

    def check(self, losses: Mapping[str, nn.Module]) -> None:
        """Refuse modules that say ``can_be_negative``, before anything is computed.

        Raises:
            ValueError: one does, or is made of one that does, with a weighting that needs positive ones.
        """
        for name, module in losses.items():
            negative = [type(part).__name__ for part in module.modules() if getattr(part, "can_be_negative", False)]
            if self.needs_positive and negative:
                raise ValueError(_refusal(name, negative[0], self))


def _refusal(name: str, value: str, weighting: Weighting) -> str:
    return (
        f"weighting: expected losses that are never below 0, because {type(weighting).__name__} divides by their size, "
        f"got '{name}' ({value}); give weighting=fixed, or another loss"
    )


class Fixed(Weighting):
    """The sum of the losses, each times the weight that its configuration gives it."""


class Uncertainty(Weighting):
    """``sum_k exp(-s_k) L_k + s_k / 2`` with a learnt log variance ``s_k`` for each loss, at first 0 (Kendall et al.
    2018).

    It is the paper's form for classification; that for regression has ``exp(-s) / 2`` and leads to the same weights,
    ``1 / (2 L_k)`` where L_k is constant. The total goes below 0 once losses are small: that is no fault.

    Args:
        names: of the losses.
        positive: ``sum_k exp(-s_k) L_k / 2 + ln(1 + exp(s_k))`` instead (Liebel & Koerner 2018), whose total is never
            below 0, and whose weight of a small loss grows only to ``1 / sqrt(2 L_k)``.
        rate: learning rate of the log variances as a share of that of the run, > 0. Optimizers such as Adam move them
            by about that a step, however far they have to go: at the rate of the model, a short run ends before.
    """

    needs_positive = True

    def __init__(self, names: Sequence[str], *, positive: bool = False, rate: float = 10.0) -> None:
        super().__init__(names)
        self.rate = float(checks.number("weighting.rate", rate, above=0))
        checks.flag("weighting.positive", positive)
        self.positive = positive
        self.log_variance = nn.Parameter(torch.zeros(len(names)))

    def factors(self, means: Tensor) -> Tensor:
        factors = torch.exp(-self.log_variance)
        return factors / 2 if self.positive else factors

    def penalty(self) -> Tensor:
        return softplus(self.log_variance).sum() if self.positive else self.log_variance.sum() / 2


class SoftOptimalUncertainty(Weighting):
    """``sum_k w_k L_k`` with ``w = softmax(1 / (temperature L))``, without a gradient: small losses get great weights
    (Kirchdorfer et al. 2024, UW-SO). The weights add up to 1.

    A loss of exactly 0, as of a batch without an object, has nothing to teach and takes no part.

    Args:
        names: of the losses.
        temperature: > 0; the greater, the more alike the weights are.
    """

    needs_positive = True
    spans_batches = False

    def __init__(self, names: Sequence[str], *, temperature: float = 1.0) -> None:
        super().__init__(names)
        self.temperature = float(checks.number("weighting.temperature", temperature, above=0))

    def factors(self, means: Tensor) -> Tensor:
        scores = torch.where(means > 0, 1 / (self.temperature * means.clamp(min=1e-8)), -math.inf)
        return torch.where((means > 0).any(), scores.softmax(0), 1 / len(means))


class DynamicWeightAverage(Weighting):
    """``K softmax(r / temperature)`` of ``r_k = L_k(t - 1) / L_k(t - 2)``, the means of the last two epochs: the slower
    a loss falls, the greater its weight (Liu et al. 2019, DWA). In the first two epochs all weights are 1.

    Args:
        names: of the losses, K in number.
        temperature: > 0; the greater, the more alike the weights are.
    """

    needs_positive = True
    sums: Tensor
    count: Tensor
    epochs: Tensor

    def __init__(self, names: Sequence[str], *, temperature: float = 2.0) -> None:
        super().__init__(names)
        self.temperature = float(checks.number("weighting.temperature", temperature, above=0))
        self.register_buffer("sums", torch.zeros(len(names)))
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("epochs", torch.full((2, len(names)), math.nan))  # means, the older first

    def factors(self, means: Tensor) -> Tensor:
        finite = means.isfinite().all()  # else the step is left out, or ends the run
        self.sums += torch.where(finite, means, 0)
        self.count += finite
        ratios = self.epochs[1] / self.epochs[0]
        ratios = torch.where(ratios.isfinite(), ratios, 1)  # not yet known, or of a loss that was 0
        return len(self.names) * (ratios / self.temperature).softmax(0)

    def next_epoch(self) -> None:
        """Take note that an epoch of training is done."""
        if self.count:
            self.epochs.copy_(torch.stack([self.epochs[1], self.sums / self.count]))
        self.sums.zero_()
        self.count.zero_()
