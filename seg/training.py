"""Training: functions on built objects.

`fit` runs epochs of `train_epoch` and a validation, and tells a `Watcher` what happened. Model, loss and data meet in
the objective that it is given. A run that was interrupted and resumed equals one that was not, to the bit on the CPU:
`State` holds everything that the next step depends on.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar, cast

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from seg.averaging import Average
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
        steps: optimizer steps of the whole run, which then decide instead of ``epochs``.
        accumulate: batches whose gradients make one step.
        clip: greatest norm of the gradient, over all parameters; None = not clipped.
        validate_every: epochs from one validation to the next; the last epoch is always validated.
        monitor: the validation score that says which weights are best; dots lead into scores by class, ``iou.road``.
        mode: whether the ``max`` or ``min`` of it is best.
        patience: validations without a better score after which the run ends; None = it does not.
        keep: number of the best states to keep.
        save_every: steps from one save to the next within an epoch; None = saved after every epoch.
        skip: steps that may be left out because their loss or gradient is not finite.
        freeze: epochs at the start in which the encoder is not trained.
        freeze_norm: batch normalisation of a frozen encoder uses its running statistics, and leaves them as they are.
        overfit: for the record: the caller cut the training images to so many, and validates on them.
    """

    epochs: int = 40
    steps: int | None = None
    accumulate: int = 1
    clip: float | None = 1.0
    validate_every: int = 1
    monitor: str = "miou"
    mode: Literal["max", "min"] = "max"
    patience: int | None = None
    keep: int = 1
    save_every: int | None = None
    skip: int = 0
    freeze: int = 0
    freeze_norm: bool = True
    overfit: int | None = None

    def __post_init__(self) -> None:
        least = {"epochs": 1, "accumulate": 1, "validate_every": 1, "keep": 1, "skip": 0, "freeze": 0}
        for name in ("steps", "patience", "save_every", "overfit"):
            if getattr(self, name) is not None:
                least[name] = 1
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ValueError(f"fit.{name}: expected a whole number of at least {smallest}, got {value!r}; give one")
        if self.clip is not None and not (isinstance(self.clip, int | float) and self.clip > 0):
            raise ValueError(f"fit.clip: expected a positive norm, got {self.clip!r}; null does not clip")
        if self.mode not in ("max", "min"):
            raise ValueError(f"fit.mode: expected max or min, got {self.mode!r}; choose one")
        if not isinstance(self.monitor, str) or not self.monitor:
            raise ValueError(f"fit.monitor: expected the name of a score, got {self.monitor!r}; give miou, or another")

    def length(self, epoch: int) -> tuple[int, int]:
        """Epochs and steps of a run whose epochs have ``epoch`` steps; the last epoch may be cut short."""
        steps = self.epochs * epoch if self.steps is None else self.steps
        return -(-steps // epoch), steps

    def goodness(self, scores: Mapping[str, Any]) -> float:
        """The monitored score, negated where less is better.

        Raises:
            ValueError: it was not computed.
        """
        name, _, rest = self.monitor.partition(".")
        value = scores.get(name)
        if rest and isinstance(value, Mapping):
            value = value.get(rest)
        if not isinstance(value, int | float):
            raise ValueError(
                f"fit.monitor: expected a score among {', '.join(scores)}, got '{self.monitor}'; choose one, or one of "
                "a class, such as iou.NAME"
            )
        return float(value) if self.mode == "max" else -float(value)


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Watcher(Protocol):
    """What `fit` tells: where numbers and checkpoints go is the watcher's business."""

    def line(self, line: dict[str, Any]) -> None:
        """An epoch is done: epoch, loss, terms, lr, seconds, wait, images_per_second and, where it was validated, the
        scores with ``val_`` before their names."""

    def save(self, kind: Literal["last", "best"]) -> None:
        """Save the state: ``last`` to go on from, ``best`` because the monitored score is better than ever."""

    def keep(self, epochs: Sequence[int]) -> None:
        """Keep the states after these epochs, counted from 0: the one at hand may be among them; drop all others."""

    def not_finite(self, batches: Sequence[Batch], skipped: bool) -> str:
        """The loss or the gradient of a step is not finite; keep what it takes to look into it.

        Args:
            batches: of the step, of this process.
            skipped: the step is left out, and the run goes on.

        Returns:
            which images these are, and where they are kept.
        """


@dataclass
class Position:
    """How far a run is.

    Attributes:
        epoch, step: ``step`` optimizer steps of ``epoch`` are done.
        loss_sum: of the steps done in this epoch.
        term_sums: the same for each term of a composite loss.
        seconds, wait: of training in this epoch, and the part of it that was spent waiting for data.
        best: highest monitored score so far, see `FitOptions.goodness`.
        since_best: validations since then.
        top: the best validations so far, (score, epoch), best first.
        skipped: steps left out.
        stopped: no better score came for long enough.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float | Tensor = 0.0
    term_sums: dict[str, float | Tensor] = field(default_factory=dict)
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
        for name, value in losses.terms.items():
            self.term_sums[name] = self.term_sums.get(name, 0.0) + _wide(value)

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
        self.epoch, self.step, self.loss_sum, self.term_sums = self.epoch + 1, 0, 0.0, {}
        self.seconds = self.wait = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            **vars(self),
            "loss_sum": float(self.loss_sum),
            "term_sums": {name: float(value) for name, value in self.term_sums.items()},
            "top": [list(one) for one in self.top],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in self.state_dict():
            setattr(self, name, state_dict[name])
        self.top = [(score, epoch) for score, epoch in self.top]


def _wide(value: Tensor) -> Tensor:
    """In float64, where the device has it: Apple's GPUs have not."""
    return value if value.device.type == "mps" else value.double()


class State:
    """Everything that the next training step depends on: parts that have state, by name.

    Args:
        model: as built; `wrapped` is what Fabric makes of it (precision, processes), with the same weights.
        objective: an `Objective`, on its device.
        average: model -> an average of its weights, updated after every step, evaluated and saved.
        compile: let torch compile the training step's model.
        seed: of the noise of the steps.
        others: more parts by name: saved and resumed with the rest.

    Attributes:
        parts: what `state_dict` holds: model, objective, optimizer, scheduler, precision, position, average where there
            is one, and the others.
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
        others: Mapping[str, Stateful] | None = None,
    ) -> None:
        # channels last: a fifth faster on the CPU as well, and what GPUs want
        self.model = model.to(memory_format=torch.channels_last)
        compiled = cast(nn.Module, torch.compile(self.model)) if compile else self.model
        self.wrapped, self.optimizer = fabric.setup(compiled, optimizer)
        self.objective, self.scheduler, self.fabric, self.seed = objective, scheduler, fabric, seed
        self.average = None if average is None else average(self.model)
        self.position, self.progress = Position(), (0, 1)
        self.trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.frozen: list[nn.Parameter] = []
        self.parts: dict[str, Stateful] = {
            "model": self.model,
            "objective": objective,
            "optimizer": self.optimizer,
            "scheduler": scheduler,
            "precision": fabric.strategy.precision,
            "position": self.position,
            **({"average": self.average} if self.average is not None else {}),
            **(others or {}),
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
            move = getattr(module, "set_progress", None)
            if callable(move):
                move(done, total)

    def train(self, *, frozen: bool, norm: bool) -> None:
        """Set the mode of training.

        Args:
            frozen: without training the encoder.
            norm: nor the running statistics of its batch normalisation.

        Raises:
            ValueError: the model has no encoder.
        """
        self.wrapped.train()
        self.frozen = list(self._encoder().parameters()) if frozen else []
        if self.fabric.world_size == 1:  # processes that share gradients wait for those of all parameters
            kept = {id(parameter) for parameter in self.frozen}
            for parameter in self.trainable:
                parameter.requires_grad_(id(parameter) not in kept)
        if frozen and norm:
            for module in self._encoder().modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def _encoder(self) -> nn.Module:
        encoder = getattr(self.model, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise ValueError(
                f"fit.freeze: expected a model with an encoder, got {type(self.model).__name__}; give fit.freeze=0"
            )
        return encoder

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
    accumulate: int = 1,
    before: int = 0,
    total: int = 1,
    stop: Callable[[], bool] = lambda: False,
    not_finite: Callable[[Sequence[Batch]], None] | None = None,
    skips: bool = False,
) -> bool:
    """Optimize over the rest of an epoch.

    Args:
        loader: yields batches from the state's position on.
        clip, accumulate: as in `FitOptions`.
        before, total: steps of the epochs before this one, and of the whole run, for what ramps.
        stop: asked after every step; True ends the epoch there.
        not_finite: called with the batches of a step whose loss or gradient is not finite.
        skips: such a step is left out; else it ends the training.

    Returns:
        Whether the epoch was finished.

    Raises:
        RuntimeError: the loss or the gradient of a step is not finite.
    """
    remaining = iter(loader)
    while batches := list(islice(remaining, accumulate)):
        state.begin_step(before + state.position.step, total)
        # a batch that is not finite spoils running statistics for good
        buffers = [buffer.clone() for buffer in state.model.buffers()] if skips else []
        losses = _gradients(state, batches)
        if _is_finite(state, losses, _clipped(state, clip)):
            state.optimizer.step()
            state.position.add(losses)
            if state.average is not None:
                state.average.update(state.model, before + state.position.step)
        else:
            if not_finite is not None:
                not_finite(batches)
            if not skips:
                raise RuntimeError(f"expected a finite loss and gradient, got a loss of {float(losses.total)}")
            for buffer, value in zip(state.model.buffers(), buffers, strict=True):
                buffer.copy_(value)
            state.position.add(Losses(torch.zeros(()), {}))
        if not isinstance(state.scheduler, ReduceLROnPlateau):
            state.scheduler.step()
        if stop():
            return False
    return True


def _gradients(state: State, batches: Sequence[Batch]) -> Losses:
    """The mean losses of the batches of a step; their gradients are in the parameters."""
    state.optimizer.zero_grad(set_to_none=True)
    found = []
    for number, batch in enumerate(batches, start=1):
        with state.fabric.no_backward_sync(state.wrapped, enabled=number < len(batches)):
            losses = state.objective(state.wrapped, batch)
            state.fabric.backward(losses.total / len(batches))
        found.append(Losses(losses.total.detach(), losses.terms))
    for parameter in state.frozen:
        parameter.grad = None
    if len(found) == 1:
        return found[0]
    terms = {name: torch.stack([one.terms[name] for one in found]).mean() for name in found[0].terms}
    return Losses(torch.stack([one.total for one in found]).mean(), terms)


def _clipped(state: State, clip: float | None) -> Tensor:
    """The norm of the gradient, which is then at most ``clip``."""
    if clip is not None:
        norm = state.fabric.clip_gradients(state.wrapped, state.optimizer, max_norm=clip, error_if_nonfinite=False)
        assert isinstance(norm, Tensor)
        return norm
    gradients = [p.grad for group in state.optimizer.param_groups for p in group["params"] if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def _is_finite(state: State, losses: Losses, norm: Tensor) -> bool:
    """On any process; a gradient scaled for float16 may overflow: its scaler then leaves the step out, and adapts."""
    finite = torch.isfinite(losses.total)
    if getattr(state.fabric.strategy.precision, "scaler", None) is None:
        finite = finite & torch.isfinite(norm)
    if state.fabric.world_size > 1:
        finite = state.fabric.all_reduce(finite.float(), reduce_op="mean") == 1  # type: ignore[assignment]
    return bool(finite)


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
    """Train until ``options.epochs`` or ``options.steps`` are done, or ``options.patience`` is at its end.

    Args:
        state: where to begin; moves on.
        loader: of the training set, over ``batches``.
        validate: evaluates the state's model.
        watcher: is told of every epoch, and saves.
        stop: asked after every step; True saves and ends the run.

    Returns:
        The validation of the last epoch; None when all epochs were done before.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the state is saved, and the same call goes on from there.
        RuntimeError: the loss or the gradient of a step is not finite.
        ValueError: the monitored score is not computed, or the model has no encoder to freeze.
    """
    position, validation = state.position, None
    epochs, _ = options.length(len(batches))
    while position.epoch < epochs and not position.stopped:
        last = position.epoch + 1 == epochs
        finished = _fit_epoch(state, loader, batches, options, watcher, stop, track)
        # Before the validation: if that fails, or the machine does, the epoch is not trained again.
        watcher.save("last")
        if not finished or stop():
            raise KeyboardInterrupt(
                f"saved at epoch {position.epoch}, step {position.step}; the same command goes on from there"
            )
        line, better = _line(state, batches), False
        if (position.epoch + 1) % options.validate_every == 0 or last:
            validation = validate()
            line |= {f"val_{key}": value for key, value in validation.scores.items()}
            score = options.goodness(validation.scores)
            better = position.rank(score, options)
            if isinstance(state.scheduler, ReduceLROnPlateau):
                state.scheduler.step(score)
        position.next_epoch()
        watcher.line(line)
        if better:
            watcher.save("best")
        if options.keep > 1:
            watcher.keep([epoch for _, epoch in position.top])
    watcher.save("last")
    return validation


def _fit_epoch(
    state: State,
    loader: Iterable[Batch],
    batches: TrainBatches,
    options: FitOptions,
    watcher: Watcher,
    stop: Callable[[], bool],
    track: Track[Any],
) -> bool:
    """Train the rest of an epoch; return whether it was finished."""
    position, (epochs, total) = state.position, options.length(len(batches))
    before = position.epoch * len(batches)
    length = min(len(batches), total - before)
    batches.go_to(position.epoch, position.step, length)
    state.train(frozen=position.epoch < options.freeze, norm=options.freeze_norm)
    waited = _Waited(track(loader, f"epoch {position.epoch + 1}/{epochs}", length, position.step))
    started, earlier = time.perf_counter(), (position.seconds, position.wait)

    def after_step() -> bool:
        position.seconds = earlier[0] + time.perf_counter() - started
        position.wait = earlier[1] + waited.seconds
        if options.save_every and position.step % options.save_every == 0:
            watcher.save("last")
        return stop()

    def not_finite(bad: Sequence[Batch]) -> None:
        skipped = position.skipped < options.skip
        where = watcher.not_finite(bad, skipped)
        if not skipped:
            left_out = f" ({position.skipped} steps were left out before)" if position.skipped else ""
            raise RuntimeError(
                f"expected a finite loss and gradient, got none in epoch {position.epoch + 1}, step "
                f"{position.step + 1}{left_out}, {where}; lower optimizer.lr or fit.clip, or leave such steps out with "
                "fit.skip=N"
            )
        position.skipped += 1

    return train_epoch(
        state,
        waited,
        clip=options.clip,
        accumulate=options.accumulate,
        before=before,
        total=total,
        stop=after_step,
        not_finite=not_finite,
        skips=options.skip > 0,
    )


class _Waited:
    """The items of an iterable, and the seconds that were spent waiting for them."""

    def __init__(self, items: Iterable[Batch]) -> None:
        self.items, self.seconds = items, 0.0

    def __iter__(self) -> Iterator[Batch]:
        iterator = iter(self.items)
        while True:
            started = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - started
            yield item


def _line(state: State, batches: TrainBatches) -> dict[str, Any]:
    """The training part of an epoch's line."""
    position = state.position
    images = position.step * batches.batch * batches.accumulate
    line: dict[str, Any] = {
        "epoch": position.epoch,
        "loss": float(position.loss_sum) / max(position.step, 1),
        "lr": state.scheduler.get_last_lr()[0],
        "seconds": position.seconds,
        "wait": position.wait / max(position.seconds, 1e-9),
        "images_per_second": images / max(position.seconds, 1e-9),
    }
    if position.term_sums:
        line["terms"] = {name: float(value) / position.step for name, value in position.term_sums.items()}
    return line
