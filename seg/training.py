"""Training: functions on built objects.

`fit` runs epochs of `train_epoch` and a validation, and tells a `Watcher` what happened. Model, loss and data meet in
the objective that it is given. A run that was interrupted and resumed equals one that was not, to the bit on the CPU:
`State` holds everything that the next step depends on.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from seg.evaluation import Validation
from seg.loading import Batch, TrainBatches
from seg.objective import Losses, Objective

T = TypeVar("T")
Track = Callable[[Iterable[T], str, int, int], Iterable[T]]
"""Progress display: (iterable, title, length, completed already) -> the same items."""


@dataclass(frozen=True)
class FitOptions:
    """Numbers of the training loop.

    Args:
        epochs: passes over the training images.
        clip: greatest norm of the gradient, over all parameters; None = not clipped.
        validate_every: epochs from one validation to the next; the last epoch is always validated.
    """

    epochs: int = 40
    clip: float | None = 1.0
    validate_every: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "validate_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"fit.{name}: expected a whole number of at least 1, got {value!r}; give one")
        if self.clip is not None and not (isinstance(self.clip, int | float) and self.clip > 0):
            raise ValueError(f"fit.clip: expected a positive norm, got {self.clip!r}; null does not clip")


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Watcher(Protocol):
    """What `fit` tells: where numbers and checkpoints go is the watcher's business."""

    def line(self, line: dict[str, Any]) -> None:
        """An epoch is done: epoch, loss, terms, lr, seconds, images_per_second and, where it was validated, the
        scores with ``val_`` before their names."""

    def save(self, kind: Literal["last", "best"]) -> None:
        """Save the state: ``last`` to go on from, ``best`` because the validation mIoU rose."""


@dataclass
class Position:
    """How far a run is.

    Attributes:
        epoch, step: ``step`` batches of ``epoch`` are done.
        loss_sum: of the steps done in this epoch.
        term_sums: the same for each term of a composite loss.
        seconds: of training in this epoch.
        best: highest validation mIoU so far.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float | Tensor = 0.0
    term_sums: dict[str, float | Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    best: float = -math.inf

    def add(self, losses: Losses) -> None:
        """Count a finished step; sums stay on the device, because float() would wait for it at every step."""
        self.step += 1
        self.loss_sum += _wide(losses.total.detach())
        for name, value in losses.terms.items():
            self.term_sums[name] = self.term_sums.get(name, 0.0) + _wide(value)

    def next_epoch(self) -> None:
        """Move on to the start of the next epoch."""
        self.epoch, self.step, self.loss_sum, self.term_sums, self.seconds = self.epoch + 1, 0, 0.0, {}, 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": float(self.loss_sum),
            "term_sums": {name: float(value) for name, value in self.term_sums.items()},
            "seconds": self.seconds,
            "best": self.best,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in self.state_dict():
            setattr(self, name, state_dict[name])


def _wide(value: Tensor) -> Tensor:
    """In float64, where the device has it: Apple's GPUs have not."""
    return value if value.device.type == "mps" else value.double()


class State:
    """Everything that the next training step depends on: parts that have state, by name.

    Args:
        model: as built; `wrapped` is what Fabric makes of it (precision, processes), with the same weights.
        objective: an `Objective`, on its device.
        seed: of the noise of the steps.
        others: more parts by name, such as an average of the weights: saved and resumed with the rest.

    Attributes:
        parts: what `state_dict` holds: model, objective, optimizer, scheduler, precision, position, and the others.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        fabric: Fabric,
        *,
        seed: int = 0,
        others: Mapping[str, Stateful] | None = None,
    ) -> None:
        # channels last: a fifth faster on the CPU as well, and what GPUs want
        self.model = model.to(memory_format=torch.channels_last)
        self.wrapped, self.optimizer = fabric.setup(self.model, optimizer)
        self.objective, self.scheduler, self.fabric, self.seed = objective, scheduler, fabric, seed
        self.position = Position()
        self.parts: dict[str, Stateful] = {
            "model": self.model,
            "objective": objective,
            "optimizer": self.optimizer,
            "scheduler": scheduler,
            "precision": fabric.strategy.precision,
            "position": self.position,
            **(others or {}),
        }

    def begin_step(self, done: int, total: int) -> None:
        """Seed the noise of a step, and tell all that ramps (weights of a composite, a rate) where the run is.

        Noise depends on (seed, process, step) alone: each process has a stream of its own, and a resumed run goes on
        with the same numbers on any of them, though a checkpoint holds no random state.

        Args:
            done, total: steps of the run.
        """
        words = np.random.SeedSequence((self.seed, self.fabric.global_rank, done)).generate_state(1)
        torch.manual_seed(int(words[0]))
        for module in (*self.model.modules(), *self.objective.modules()):
            move = getattr(module, "set_progress", None)
            if callable(move):
                move(done, total)

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors of every part, for `seg.checkpoint.save`."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            KeyError: a part is missing.
        """
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        if isinstance(self.scheduler, LambdaLR):  # the schedule of a longer run: the rate saved is of the shorter one
            rates = zip(self.scheduler.base_lrs, self.scheduler.lr_lambdas, strict=True)
            for group, (base, factor) in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = base * factor(self.scheduler.last_epoch)


def train_epoch(
    state: State,
    loader: Iterable[Batch],
    *,
    clip: float | None = None,
    before: int = 0,
    total: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Optimize over the rest of an epoch.

    Args:
        loader: yields batches from the state's position on.
        clip: as in `FitOptions`.
        before, total: steps of the epochs before this one, and of the whole run, for what ramps.
        stop: asked after every step; True ends the epoch there.

    Returns:
        Whether the epoch was finished.

    Raises:
        RuntimeError: the loss is not finite.
    """
    state.wrapped.train()
    for batch in loader:
        state.begin_step(before + state.position.step, total)
        losses = state.objective(state.wrapped, batch)
        state.optimizer.zero_grad(set_to_none=True)
        state.fabric.backward(losses.total)
        if clip is not None:
            state.fabric.clip_gradients(state.wrapped, state.optimizer, max_norm=clip, error_if_nonfinite=False)
        state.optimizer.step()
        state.scheduler.step()
        state.position.add(losses)
        stopped = stop()
        if stopped or state.position.step % 50 == 0:
            _check_finite(state.position)
        if stopped:
            return False
    _check_finite(state.position)
    return True


def _check_finite(position: Position) -> None:
    if not math.isfinite(float(position.loss_sum)):
        raise RuntimeError(
            f"expected a finite loss, got {float(position.loss_sum)} in epoch {position.epoch} by step "
            f"{position.step}; lower optimizer.lr or fit.clip: what was saved last is from before this epoch"
        )


def fit(
    state: State,
    loader: Iterable[Batch],
    batches: TrainBatches,
    *,
    options: FitOptions,
    validate: Callable[[], Validation],
    watcher: Watcher,
    stop: Callable[[], bool] = lambda: False,
    track: Track[Any] = lambda items, *_: items,
) -> Validation | None:
    """Train until ``options.epochs`` are done.

    Args:
        state: where to begin; moves on.
        loader: of the training set, over ``batches``.
        validate: evaluates the state's model; of its scores, ``miou`` chooses the best weights.
        watcher: is told of every epoch, and saves.
        stop: asked after every step; True saves and ends the run.

    Returns:
        The validation of the last epoch; None when all epochs were done before.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the state is saved, and the same call goes on from there.
    """
    position, validation = state.position, None
    while position.epoch < options.epochs:
        started = time.perf_counter()
        batches.go_to(position.epoch, position.step)
        finished = train_epoch(
            state,
            track(loader, f"epoch {position.epoch + 1}/{options.epochs}", len(batches), position.step),
            clip=options.clip,
            before=position.epoch * len(batches),
            total=options.epochs * len(batches),
            stop=stop,
        )
        position.seconds += time.perf_counter() - started
        # Before the validation: if that fails, or the machine does, the epoch is not trained again.
        watcher.save("last")
        if not finished or stop():
            raise KeyboardInterrupt(
                f"saved at epoch {position.epoch}, step {position.step}; the same command goes on from there"
            )
        line, better = _line(state, batches.batch), False
        if (position.epoch + 1) % options.validate_every == 0 or position.epoch + 1 == options.epochs:
            validation = validate()
            line |= {f"val_{key}": value for key, value in validation.scores.items()}
            better = validation.scores["miou"] > position.best
            position.best = max(validation.scores["miou"], position.best)
        position.next_epoch()
        watcher.line(line)
        if better:
            watcher.save("best")
    watcher.save("last")
    return validation


def _line(state: State, batch: int) -> dict[str, Any]:
    """The training part of an epoch's line; ``batch`` images a step."""
    position = state.position
    line: dict[str, Any] = {
        "epoch": position.epoch,
        "loss": float(position.loss_sum) / max(position.step, 1),
        "lr": state.scheduler.get_last_lr()[0],
        "seconds": position.seconds,
        "images_per_second": position.step * batch / max(position.seconds, 1e-9),
    }
    if position.term_sums:
        line["terms"] = {name: float(value) / position.step for name, value in position.term_sums.items()}
    return line
