"""Training: functions on built objects.

`fit` runs epochs of `train_epoch` and a validation, and hands what happened to the caller's ``record`` and ``save``.
Data, model and loss meet only in its arguments. A run that was interrupted and resumed equals one that was not, to
the bit on the CPU: `State` holds everything that the next step depends on.
"""

import atexit
import math
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader

from seg.dataset import TrainBatches
from seg.metrics import confusion_matrix, image_counts

T = TypeVar("T")
Batch = tuple[Tensor, Tensor, Tensor, *tuple[Tensor, ...]]
"""Images (N, 3, H, W), masks (N, H, W), indices (N,), and what the loss takes besides, if anything."""
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
                raise ValueError(f"fit.{name}: expected a whole number of at least 1, got {value!r}")
        if self.clip is not None and not (isinstance(self.clip, int | float) and self.clip > 0):
            raise ValueError(f"fit.clip: expected a positive norm or null, got {self.clip!r}")


@dataclass
class State:
    """Everything that the next training step depends on.

    Attributes:
        seed: of the noise of the steps.
        epoch, step: position; ``step`` batches of ``epoch`` are done.
        loss_sum: of the steps done in this epoch.
        term_sums: the same for each term of a loss that has terms (`seg.losses.WeightedSum`).
        best: highest validation mIoU so far.
    """

    model: nn.Module
    loss: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    fabric: Fabric
    seed: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float | Tensor = 0.0
    term_sums: dict[str, float | Tensor] = field(default_factory=dict)
    best: float = -math.inf
    module: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.module = self.model  # the model proper, whose weights a checkpoint holds under their own names
        # channels last: a fifth faster on the CPU as well, and what GPUs want
        self.model = self.model.to(memory_format=torch.channels_last)
        self.model, self.optimizer = self.fabric.setup(self.model, self.optimizer)

    def begin_step(self, done: int, total: int) -> None:
        """Seed the noise of a step, and tell all that ramps (weights of a composite, a rate) where the run is.

        Noise depends on (seed, process, step) alone: each process has a stream of its own, and a resumed run goes on
        with the same numbers on any of them, though a checkpoint holds no random state.

        Args:
            done, total: steps of the run.
        """
        words = np.random.SeedSequence((self.seed, self.fabric.global_rank, done)).generate_state(1)
        torch.manual_seed(int(words[0]))
        for module in (*self.module.modules(), *self.loss.modules()):
            move = getattr(module, "set_progress", None)
            if callable(move):
                move(done, total)

    def add(self, loss: Tensor) -> None:
        """Count a finished step; sums stay on the device, because float() would wait for it at every step."""
        self.step += 1
        self.loss_sum += loss.detach().double()
        for name, value in getattr(self.loss, "last", {}).items():
            self.term_sums[name] = self.term_sums.get(name, 0.0) + value.double()

    def next_epoch(self) -> None:
        """Move on to the start of the next epoch."""
        self.epoch, self.step, self.loss_sum, self.term_sums = self.epoch + 1, 0, 0.0, {}

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors, for `seg.checkpoint.save`."""
        return {
            "model": self.module.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": float(self.loss_sum),
            "term_sums": {name: float(value) for name, value in self.term_sums.items()},
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.module.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.loss_sum, self.term_sums, self.best = state["loss_sum"], state["term_sums"], state["best"]


@dataclass(frozen=True)
class Validation:
    """What `evaluate` counted.

    Attributes:
        counts: (images, C, 3) int64 pixels: intersection, prediction, target; see `seg.metrics.image_counts`.
        confusion: (C, C) int64 over all images; row = target, column = prediction.
        loss: mean over images, NaN without a loss.
    """

    counts: Tensor
    confusion: Tensor
    loss: float


def cosine(optimizer: Optimizer, *, steps: int, warmup: float = 0.05, floor: float = 0.0) -> LRScheduler:
    """Learning rate that rises linearly, then falls along half a cosine (Loshchilov & Hutter 2017, one cycle).

    Args:
        steps: optimizer steps of the whole run.
        warmup: share of the steps on which the rate rises, in 0..1.
        floor: share of the full rate at the end, in 0..1.
    """
    if not (0 <= warmup < 1 and 0 <= floor <= 1):
        raise ValueError(f"scheduler: warmup is in 0..1 (less than 1), floor in 0..1, got {warmup} and {floor}")
    rising = round(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        done = min((step - rising) / max(steps - rising, 1), 1.0)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, *, steps: int) -> LRScheduler:
    """Learning rate that stays."""
    del steps
    return LambdaLR(optimizer, lambda _: 1.0)


def parameter_groups(*modules: nn.Module) -> list[dict[str, Any]]:
    """Trainable parameters, without weight decay for biases and normalisation scales."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [{"params": decayed}, *([{"params": others, "weight_decay": 0.0}] if others else [])]


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
        loader: yields batches from ``state.step`` on.
        clip: as in `FitOptions`.
        before, total: steps of the epochs before this one, and of the whole run, for what ramps.
        stop: asked after every step; True ends the epoch there.

    Returns:
        Whether the epoch was finished.

    Raises:
        RuntimeError: the loss is not finite.
    """
    state.model.train()
    for images, masks, _, *extra in loader:
        state.begin_step(before + state.step, total)
        loss = state.loss(state.model(images), masks, *extra)
        state.optimizer.zero_grad(set_to_none=True)
        state.fabric.backward(loss)
        if clip is not None:
            state.fabric.clip_gradients(state.model, state.optimizer, max_norm=clip, error_if_nonfinite=False)
        state.optimizer.step()
        state.scheduler.step()
        state.add(loss)
        stopped = stop()
        if stopped or state.step % 50 == 0:
            _check_finite(state)
        if stopped:
            return False
    _check_finite(state)
    return True


def _check_finite(state: State) -> None:
    if not math.isfinite(float(state.loss_sum)):
        raise RuntimeError(
            f"the loss became {float(state.loss_sum)} in epoch {state.epoch} by step {state.step}: lower optimizer.lr "
            "or fit.clip; last.pt holds the state before this epoch"
        )


@torch.inference_mode()
def evaluate(
    predict: Callable[[Tensor], Tensor],
    loader: Iterable[Batch],
    *,
    images: int,
    classes: int,
    loss: nn.Module | None = None,
    reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Validation:
    """Count pixels of predictions against masks.

    Args:
        predict: images (N, 3, H, W) -> logits (N, C, H, W).
        loader: yields batches; the processes of a run share the indices among them.
        images: number of images in the set, over all processes.
        reduce: sum of a tensor over all processes.
    """
    counts = torch.zeros(images, classes, 3, dtype=torch.int64)
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    losses = torch.zeros(2, dtype=torch.float64)
    for batch, masks, indices, *extra in loader:
        logits = predict(batch)
        if loss is not None:
            losses += torch.tensor([float(loss(logits, masks, *extra)) * len(batch), len(batch)], dtype=torch.float64)
        for prediction, mask, index in zip(logits.argmax(1), masks, indices.tolist(), strict=True):
            matrix = confusion_matrix(prediction, mask, classes).cpu()
            counts[index] = image_counts(matrix)
            confusion += matrix
    losses = reduce(losses)
    return Validation(reduce(counts), reduce(confusion), float(losses[0] / losses[1]))


def fit(
    state: State,
    loader: DataLoader[Any],
    batches: TrainBatches,
    *,
    options: FitOptions,
    validate: Callable[[], dict[str, Any]],
    record: Callable[[dict[str, Any]], None],
    save: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
    track: Track[Any] = lambda items, *_: items,
) -> None:
    """Train until ``options.epochs`` are done.

    Args:
        state: where to begin; moves on.
        loader: of the training set, over ``batches``.
        validate: evaluates ``state.model``; of what it returns, ``miou`` chooses the best weights.
        record: takes one line an epoch: epoch, loss, lr, seconds, images_per_second and, where it was validated,
            the validation's items with ``val_`` before their names.
        save: writes ``state`` under a file name: ``last.pt`` after every epoch, ``best.pt`` when mIoU rises.
        stop: asked after every step and around a validation; True saves and ends the run.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the state is saved, and the same call goes on from there.
    """
    if state.epoch == 0 and state.step == 0:
        save("last.pt")  # even the first epoch can be interrupted
    while state.epoch < options.epochs:
        started, first_step = time.perf_counter(), state.step
        batches.go_to(state.epoch, state.step)
        title = f"epoch {state.epoch + 1}/{options.epochs}"
        finished = train_epoch(
            state,
            track(loader, title, len(batches), state.step),
            clip=options.clip,
            before=state.epoch * len(batches),
            total=options.epochs * len(batches),
            stop=stop,
        )
        if not finished:
            _interrupt(state, save)
        seconds = time.perf_counter() - started
        line: dict[str, Any] = {
            "epoch": state.epoch,
            "loss": float(state.loss_sum) / max(state.step, 1),
            "lr": state.scheduler.get_last_lr()[0],
            "seconds": seconds,
            "images_per_second": (state.step - first_step) * batches.batch / seconds,
        }
        if state.term_sums:
            line["terms"] = {name: float(value) / state.step for name, value in state.term_sums.items()}
        better = False
        if (state.epoch + 1) % options.validate_every == 0 or state.epoch + 1 == options.epochs:
            if stop():
                _interrupt(state, save)
            scores = validate()
            line |= {f"val_{key}": value for key, value in scores.items()}
            better = scores["miou"] > state.best
            state.best = max(scores["miou"], state.best)
        state.next_epoch()
        record(line)
        if better:
            save("best.pt")
        save("last.pt")
        if stop() and state.epoch < options.epochs:
            raise KeyboardInterrupt("saved in last.pt; the same command goes on from there")


def _interrupt(state: State, save: Callable[[str], None]) -> None:
    save("last.pt")
    raise KeyboardInterrupt(f"saved in last.pt at epoch {state.epoch}, step {state.step}; the same command goes on")


def make_loader(
    dataset: Any, batches: Any, *, workers: int, device: torch.device, fabric: Fabric | None = None
) -> DataLoader[Any]:
    """A loader over ``batches`` whose iteration leaves the global RNG alone and whose workers outlive Ctrl-C."""
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        worker_init_fn=_outlive_signals,
        generator=torch.Generator(),  # iter() draws a base seed, from the global RNG otherwise
    )
    atexit.register(_release_workers, weakref.ref(loader))
    if fabric is None:
        return loader
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)  # type: ignore[return-value]


def _release_workers(loader: "weakref.ref[DataLoader[Any]]") -> None:
    """End the workers of a loader that lives on at exit: multiprocessing would send them a SIGTERM, and wait."""
    alive = loader()
    if alive is not None and (workers := getattr(alive, "_iterator", None)) is not None:
        workers._shutdown_workers()


def _outlive_signals(_: int) -> None:
    """Ctrl-C and a cluster's SIGTERM reach every process; the main one finishes its step first, and needs workers."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # a core a worker: OpenCV would start one thread for every core in each


def image_rows(names: Sequence[str], classes: Sequence[str], counts: Tensor) -> Iterable[tuple[Any, ...]]:
    """Rows of ``per_image.csv``: image, class, intersection, prediction, target (pixels)."""
    for name, table in zip(names, counts.tolist(), strict=True):
        for label, numbers in zip(classes, table, strict=True):
            yield (name, label, *numbers)
