"""The training loop: functions on built objects.

`fit` runs epochs of `train_epoch` and a validation, and tells a `Watcher` what happened. Model, loss and data meet in
the objective that the state holds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from seg.data.batches import Batch, TrainBatches
from seg.evaluation.evaluate import Evaluation
from seg.tasks.objective import Losses
from seg.training.options import FitOptions
from seg.training.state import State

T = TypeVar("T")
Track = Callable[[Iterable[T], str, int, int], Iterable[T]]
"""Progress display: (iterable, title, length, completed already) -> the same items."""


class Watcher(Protocol):
    """What `fit` tells: where numbers and checkpoints go is the watcher's business."""

    def line(self, line: dict[str, Any]) -> None:
        """Take the numbers of an epoch: epoch, loss, terms and weights where there are some, lr, seconds, wait,
        images_per_second and, where it was validated, the scores with ``val_`` before their names."""

    def save(self, kind: Literal["last", "best"]) -> None:
        """Save the state: ``last`` to go on from, ``best`` because the monitored score is better than ever."""

    def keep(self, epochs: Sequence[int]) -> None:
        """Keep the states after these epochs, counted from 0: the one at hand may be among them; drop all others."""

    def not_finite(self, batches: Sequence[Batch], skipped: bool) -> str:
        """Keep what it takes to look into a step whose loss or gradient is not finite.

        Args:
            batches: of the step, of this process.
            skipped: the step is left out, and the run goes on.

        Returns:
            which images these are, and where they are kept.
        """


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
        # a batch that is not finite spoils running statistics for good; the copies cost a pass over the buffers, which
        # only runs that may skip steps pay for
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
    """Return the mean losses of the batches of a step, and leave their gradients in the parameters."""
    state.optimizer.zero_grad(set_to_none=True)
    found = []
    for number, batch in enumerate(batches, start=1):
        with state.fabric.no_backward_sync(state.wrapped, enabled=number < len(batches)):
            losses = state.objective(state.wrapped, batch)
            state.fabric.backward(losses.total / len(batches))
        found.append(losses._replace(total=losses.total.detach()))
    for parameter in state.frozen:
        parameter.grad = None
    _average_over_processes(state)
    if len(found) == 1:
        return found[0]
    return Losses(
        torch.stack([one.total for one in found]).mean(),
        _mean([one.terms for one in found]),
        _mean([one.weights for one in found]),
    )


def _mean(found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in found]).mean() for name in found[0]}


def _average_over_processes(state: State) -> None:
    """Average the gradients of the loss's own parameters: DistributedDataParallel knows those of the model alone."""
    if state.fabric.world_size == 1:
        return
    for parameter in state.objective.parameters():
        if parameter.requires_grad:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = state.fabric.all_reduce(gradient, reduce_op="mean")  # type: ignore[assignment]


def _clipped(state: State, clip: float | None) -> Tensor:
    """Limit the norm of the gradient to ``clip``; return what it was."""
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
    validate: Callable[[], Evaluation],
    watcher: Watcher,
    stop: Callable[[], bool] = lambda: False,
    track: Track[Any] = lambda items, *_: items,
) -> Evaluation | None:
    """Train until ``options.epochs`` or ``options.steps`` are done, or ``options.patience`` is at its end.

    Args:
        state: where to begin; moves on.
        loader: of the training set, over ``batches``.
        validate: evaluates the state's model.
        watcher: is told of every epoch, and saves.
        stop: asked after every step and every validation; True saves and ends the run.

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
            raise _interrupted(state)
        line, better = _line(state, batches), False
        if (position.epoch + 1) % options.validate_every == 0 or last:
            validation = validate()
            if stop():  # and it may have been cut short
                raise _interrupted(state)
            line |= {f"val_{key}": value for key, value in validation.scores.items()}
            score = options.goodness(validation.scores)
            better = position.rank(score, options)
            if isinstance(state.scheduler, ReduceLROnPlateau):
                state.scheduler.step(score)
        state.next_epoch()
        watcher.line(line)
        if better:
            watcher.save("best")
        if options.keep > 1:
            watcher.keep([epoch for _, epoch in position.top])
    watcher.save("last")
    return validation


def _interrupted(state: State) -> KeyboardInterrupt:
    """Return what ends a run, once all processes have saved: where one ends, some launchers kill the others."""
    state.fabric.barrier()
    position = state.position
    return KeyboardInterrupt(
        f"saved at epoch {position.epoch}, step {position.step}; the same command goes on from there"
    )


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
    """Return the training part of an epoch's line."""
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
    for key, sums in (("terms", position.term_sums), ("weights", position.weight_sums)):
        if sums:
            line[key] = {name: float(value) / position.step for name, value in sums.items()}
    return line
