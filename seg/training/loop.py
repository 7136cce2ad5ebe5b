"""The training loop: functions on built objects.

`fit` runs epochs of steps (`train_step`) and a validation, and tells a `Watcher` what happened. Model, loss and data
meet in the objective that the state holds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from seg.data.batches import Batch, TrainBatches
from seg.evaluation.evaluate import Evaluation
from seg.files.errors import Failed
from seg.tasks.objective import Losses, one_step
from seg.training.options import FitOptions
from seg.training.state import Position, State

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


def train_step(state: State, batches: Sequence[Batch], *, done: int, total: int, clip: float | None = None) -> bool:
    """Optimize on the batches of one step, whose gradients are averaged, as on one batch with all their images.

    Losses that are no means over pixels, and batch normalisation, see one of the batches at a time.

    Args:
        done, total: steps of the run before this one, and of the whole run, for what ramps.
        clip: as in `FitOptions`.

    Returns:
        Whether the loss and the gradient were finite; if not, the weights stay as they are.
    """
    state.begin_step(done, total)
    with one_step(batches):
        losses = _gradients(state, batches)
    if not _is_finite(state, losses, _clipped(state, clip)):
        return False
    state.optimizer.step()
    state.position.add(losses)
    if state.average is not None:
        state.average.update(state.model, done + 1)
    return True


def _gradients(state: State, batches: Sequence[Batch]) -> Losses:
    """Return the mean losses of the batches of a step, and leave their gradients in the parameters."""
    state.optimizer.zero_grad(set_to_none=True)
    costs = []
    for number, batch in enumerate(batches, start=1):
        with state.fabric.no_backward_sync(state.wrapped, enabled=number < len(batches)):
            losses = state.objective(state.wrapped, batch)
            state.fabric.backward(losses.total / len(batches))
        costs.append(losses._replace(total=losses.total.detach()))
    for parameter in state.frozen:
        parameter.grad = None
    _average_over_processes(state)
    return costs[0] if len(costs) == 1 else Losses(*map(_mean, zip(*costs, strict=True)))


def _mean(values: Sequence[Any]) -> Any:
    """Average scalars, or mappings of them name by name."""
    if isinstance(values[0], Tensor):
        return torch.stack(list(values)).mean()
    return {name: _mean([value[name] for value in values]) for name in values[0]}


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
    """Check all processes; a gradient scaled for float16 may overflow: its scaler then skips the step, and adapts."""
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
    give_up: Callable[[], bool] = lambda: False,
    track: Track[Any] = lambda items, *_: items,
    stepped: Callable[[int], None] = lambda done: None,
) -> Evaluation | None:
    """Train until ``options.epochs`` or ``options.steps`` are done, or ``options.patience`` is at its end.

    Args:
        state: where to begin; moves on.
        loader: of the training set, over ``batches``.
        validate: evaluates the state's model.
        watcher: is told of every epoch, and saves.
        stop: asked after every step and every validation; True saves and ends the run.
        give_up: asked after every epoch but the last, when the watcher has been told of it; True ends the training as
            if these were all epochs.
        stepped: called with the steps of the run that are done, after each.

    Returns:
        The validation of the last epoch that was validated; None when all epochs were done before.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the state is saved, and the same call goes on from there.
        RuntimeError: the loss or the gradient of a step is not finite.
        ValueError: the monitored score is not computed, the model has no encoder to freeze, or ``options.minutes`` have
            no steps.
    """
    position, validation = state.position, None
    if options.minutes is not None and options.steps is None:
        raise ValueError(
            f"fit.minutes: expected the steps that fit into {options.minutes:g} minutes as fit.steps, got none; see "
            "seg.training.rehearsal"
        )
    epochs, _ = options.length(len(batches))
    while position.epoch < epochs and not position.stopped:
        last = position.epoch + 1 == epochs
        finished = _fit_epoch(state, loader, batches, options, watcher, stop, track, stepped)
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
        position.stopped = position.stopped or (not last and give_up())
    watcher.save("last")
    return validation


def _interrupted(state: State) -> KeyboardInterrupt:
    """Return what ends a run, once all processes have saved: where one ends, some launchers kill the others."""
    state.fabric.barrier()
    position = state.position
    return KeyboardInterrupt(
        f"saved at epoch {position.epoch + 1}, step {position.step}; the same command goes on from there"
    )


def _fit_epoch(
    state: State,
    loader: Iterable[Batch],
    batches: TrainBatches,
    options: FitOptions,
    watcher: Watcher,
    stop: Callable[[], bool],
    track: Track[Any],
    stepped: Callable[[int], None],
) -> bool:
    """Train the rest of an epoch; return whether it was finished."""
    position, (epochs, total) = state.position, options.length(len(batches))
    before = position.epoch * len(batches)
    length = min(len(batches), total - before)
    batches.go_to(position.epoch, position.step, length)
    state.train(frozen=position.epoch < options.freeze, norm=options.freeze_norm)
    waited = _timed(track(loader, f"epoch {position.epoch + 1}/{epochs}", length, position.step), position)
    started = time.perf_counter() - position.seconds
    while step := list(islice(waited, options.accumulate)):
        # a batch that is not finite spoils running statistics for good; the copies cost a pass over the buffers, which
        # only runs that may skip steps pay for
        buffers = [buffer.clone() for buffer in state.model.buffers()] if options.skip else []
        if not train_step(state, step, done=before + position.step, total=total, clip=options.clip):
            _skip(position, step, options, watcher)
            for buffer, value in zip(state.model.buffers(), buffers, strict=True):
                buffer.copy_(value)
            position.add(Losses(torch.zeros(()), {}))
        if not isinstance(state.scheduler, ReduceLROnPlateau):
            state.scheduler.step()
        position.seconds = time.perf_counter() - started
        stepped(before + position.step)
        if options.save_every and position.step % options.save_every == 0:
            watcher.save("last")
        if stop():
            return False
    return True


def _skip(position: Position, step: Sequence[Batch], options: FitOptions, watcher: Watcher) -> None:
    """Count a step that is not finite as left out; end the training where no more may be."""
    skipped = position.skipped < options.skip
    where = watcher.not_finite(step, skipped)
    if not skipped:
        left_out = f" ({position.skipped} steps were left out before)" if position.skipped else ""
        raise Failed(
            f"expected a finite loss and gradient, got none in epoch {position.epoch + 1}, step "
            f"{position.step + 1}{left_out}, {where}; lower optimizer.lr or fit.clip, or leave such steps out with "
            "fit.skip=N, in a run of another name"
        )
    position.skipped += 1


def _timed(batches: Iterable[Batch], position: Position) -> Iterator[Batch]:
    """Yield the batches, and count the seconds that are spent waiting for them."""
    iterator = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(iterator, None)
        position.wait += time.perf_counter() - started
        if batch is None:
            return
        yield batch


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
