"""What a training run is at any moment: everything that its next step depends on."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from seg.tasks.objective import Losses, Objective
from seg.training.averaging import Average, Stateful
from seg.training.fabric import Fabric
from seg.training.optim import encoder_of
from seg.training.options import FitOptions


@dataclass
class Position:
    """How far a run is.

    Attributes:
        epoch, step: ``step`` optimizer steps of ``epoch`` are done.
        loss_sum: of the steps done in this epoch.
        term_sums: the same for each term of a composite loss.
        weight_sums: the same for each factor of a weighting.
        seconds, wait: of training in this epoch, and the part of it that was spent waiting for data.
        best: highest monitored score so far, see `FitOptions.goodness`.
        since_best: validations since then.
        top: the best validations so far, (score, epoch), best first.
        skipped: steps left out.
        stopped: no better score came for long enough, or the run was given up.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float | Tensor = 0.0
    term_sums: dict[str, float | Tensor] = field(default_factory=dict)
    weight_sums: dict[str, float | Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    wait: float = 0.0
    best: float = -math.inf
    since_best: int = 0
    top: list[tuple[float, int]] = field(default_factory=list)
    skipped: int = 0
    stopped: bool = False

    def add(self, losses: Losses) -> None:
        """Count a finished step; sums stay on the device, because float() would wait for it at every step."""
        self.step += 1
        self.loss_sum += _wide(losses.total.detach())
        for sums, values in ((self.term_sums, losses.terms), (self.weight_sums, losses.weights)):
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + _wide(value)

    def rank(self, score: float, options: FitOptions) -> bool:
        """Count a validation; return whether it is the best so far."""
        better = score > self.best
        self.best = max(score, self.best) if not math.isnan(score) else self.best
        self.since_best = 0 if better else self.since_best + 1
        self.stopped = options.patience is not None and self.since_best >= options.patience
        if not math.isnan(score):
            self.top = sorted([*self.top, (score, self.epoch)], key=lambda one: -one[0])[: options.keep]
        return better

    def next_epoch(self) -> None:
        """Move on to the start of the next epoch."""
        self.epoch, self.step, self.loss_sum, self.term_sums, self.weight_sums = self.epoch + 1, 0, 0.0, {}, {}
        self.seconds = self.wait = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            **vars(self),
            "loss_sum": float(self.loss_sum),
            "term_sums": {name: float(value) for name, value in self.term_sums.items()},
            "weight_sums": {name: float(value) for name, value in self.weight_sums.items()},
            "top": [list(one) for one in self.top],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in self.state_dict():
            setattr(self, name, state_dict[name] if name != "weight_sums" else state_dict.get(name, {}))
        self.top = [(score, epoch) for score, epoch in self.top]


def _wide(value: Tensor) -> Tensor:
    """Return it in float64, which Apple's GPUs lack."""
    return value if value.device.type == "mps" else value.double()


def laid_out(model: nn.Module) -> nn.Module:
    """Return the model with weights in channels_last: a fifth faster on the CPU as well, and what GPUs want.

    But for dilated convolutions: of those in bfloat16, oneDNN's gradients of the weights in channels_last are wrong by
    more than their size on processors that compute with bfloat16 (torch 2.14: depthwise ones, and 24 channels, from
    maps of 32 x 32 on).
    """
    model = model.to(memory_format=torch.channels_last)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
            module.to(memory_format=torch.contiguous_format)
            module.register_forward_pre_hook(_by_channel)
    return model


def _by_channel(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    """Lay out what a convolution of bfloat16 on the CPU is given as its weights are."""
    (images,) = inputs
    narrow = images.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    return (images.contiguous(),) if images.device.type == "cpu" and narrow else None


def _is_untrained(module: nn.Module) -> bool:
    """Tell whether a module has parameters, and none of them is trained."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


class State:
    """Everything that the next training step depends on: parts that have state, by name.

    Args:
        model: as built; `wrapped` is what Fabric makes of it (precision, processes), with the same weights.
        objective: an `Objective`, on its device.
        average: model -> an average of its weights, updated after every step, evaluated and saved.
        compile: let torch compile the training step's model.
        seed: of the noise of the steps.

    Attributes:
        parts: what `state_dict` holds: model, objective, optimizer, scheduler, precision, position, and average where
            there is one.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        fabric: Fabric,
        *,
        average: Callable[[nn.Module], Average] | None = None,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        self.model = laid_out(model)
        compiled = cast(nn.Module, torch.compile(self.model)) if compile else self.model
        self.wrapped, self.optimizer = fabric.setup(compiled, optimizer)
        self.objective, self.scheduler, self.fabric, self.seed = objective, scheduler, fabric, seed
        self.average = None if average is None else average(self.model)
        self.position, self.progress = Position(), (0, 1)
        self.trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.frozen: list[nn.Parameter] = []
        self.untrained = [module for module in self.model.modules() if _is_untrained(module)]
        self.parts: dict[str, Stateful] = {
            "model": self.model,
            "objective": objective,
            "optimizer": self.optimizer,
            "scheduler": scheduler,
            "precision": fabric.strategy.precision,
            "position": self.position,
            **({"average": self.average} if self.average is not None else {}),
        }

    @property
    def evaluated(self) -> nn.Module:
        """The model whose scores count: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.model

    def begin_step(self, done: int, total: int, rank: int | None = None) -> None:
        """Seed the noise of a step, and tell all that ramps (weights of a composite, a rate) where the run is.

        Noise depends on (seed, process, step) alone: each process has a stream of its own, and a resumed run goes on
        with the same numbers on any of them, though a checkpoint holds no random state.

        Args:
            done, total: steps of the run.
            rank: the process whose noise it is; None = this one.
        """
        self.progress = done, total
        rank = self.fabric.global_rank if rank is None else rank
        words = np.random.SeedSequence((self.seed, rank, done)).generate_state(1)
        torch.manual_seed(int(words[0]))
        for module in (*self.model.modules(), *self.objective.modules()):
            if callable(move := getattr(module, "set_progress", None)):
                move(done, total)

    def next_epoch(self) -> None:
        """Move on to the start of the next epoch, and tell the parts of the objective that count epochs."""
        self.position.next_epoch()
        for module in self.objective.modules():
            if callable(move := getattr(module, "next_epoch", None)):
                move()

    def train(self, *, frozen: bool, norm: bool) -> None:
        """Set the mode of training.

        Args:
            frozen: without training the encoder.
            norm: nor the running statistics of its batch normalisation.

        Raises:
            ValueError: the model has no encoder.
        """
        self.wrapped.train()
        for module in self.untrained:
            module.eval()
        encoder = encoder_of(self.model, "fit.freeze", "fit.freeze=0") if frozen else nn.Module()
        self.frozen = list(encoder.parameters())
        if self.fabric.world_size == 1:  # processes that share gradients wait for those of all parameters
            kept = {id(parameter) for parameter in self.frozen}
            for parameter in self.trainable:
                parameter.requires_grad_(id(parameter) not in kept)
        if norm:
            for module in encoder.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def state_dict(self) -> dict[str, Any]:
        """Return plain data and tensors of every part, for `seg.models.checkpoint.save`."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            KeyError: a part is missing.
        """
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        self.schedule_at(self.scheduler.last_epoch)  # of a longer run: the rate saved is that of the shorter one

    def schedule_at(self, step: int) -> None:
        """Set the rates to those of a step of the run, where they follow from it alone.

        A run whose steps end within an epoch and that is made longer goes on at the next epoch: the steps left out
        count as done, or its schedule would not come to its end.
        """
        if isinstance(self.scheduler, LambdaLR):
            self.scheduler.last_epoch = step
            rates = zip(self.scheduler.base_lrs, self.scheduler.lr_lambdas, strict=True)
            for group, (base, factor) in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = base * factor(self.scheduler.last_epoch)
