"""A training run: built objects, trained from where its folder stands to its end."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from seg import inference, runs
from seg.data.batches import TrainBatches
from seg.data.source import Data
from seg.evaluation.evaluate import Validation, evaluate
from seg.evaluation.files import Judged, Predictions
from seg.inference.trained import Description
from seg.metrics import BINS, KINDS, TOLERANCE, TOLERANCES, Boundaries, Components, ErrorKinds, MeanLoss, PixelCounts
from seg.metrics.meters import MaskMeter, Meter
from seg.report.progress import track
from seg.tasks import boxes
from seg.tasks.building import instances_of
from seg.tasks.objective import MultiTask, Segmentation
from seg.training.device import forget_peak, peak_memory
from seg.training.finish import write_results
from seg.training.loop import fit
from seg.training.options import FitOptions
from seg.training.pictures import ValidationPictures
from seg.training.preflight import explained, fitting_batch, try_sizes
from seg.training.recorder import Recorder
from seg.training.resume import resume
from seg.training.signals import stop_signals
from seg.training.state import Position, State

log = logging.getLogger(__name__)

_ONLY_JUDGED = {"size_iou", "size_recall", *(f"error_{kind}" for kind in KINDS)}
"""Scores left out of the epoch lines, because they are slow to compute."""


@dataclass(frozen=True)
class Run:
    """What a training run is made of.

    Attributes:
        about: what its checkpoints say besides the state.
        infer: wraps the model so that it accepts images of any size.
        make_logger: ``(log_dir, purge_step)`` -> a `seg.training.trackers.Writer`; None without one.
        extend: a run that had ended goes on.
        told: called with (epochs done, epochs) after each.
    """

    options: FitOptions
    data: Data
    state: State
    objective: Segmentation | MultiTask
    batches: TrainBatches
    train_loader: DataLoader[Any]
    val_loader: DataLoader[Any]
    pictures: ValidationPictures
    about: Description
    infer: Callable[[inference.Model], inference.Model]
    make_logger: Callable[..., Any] | None = None
    extend: bool = False
    told: Callable[[int, int], None] = lambda epoch, epochs: None

    def reduce(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, on the CPU."""
        total = self.state.fabric.all_reduce(tensor, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total.cpu()

    def predict(self, images: Tensor) -> Tensor:
        """Predict logits of images of any size, in the precision of the run.

        By the model itself: the wrapper of several processes waits for the others at every call, and they validate on
        other numbers of batches, if any.
        """
        return self._predicted(self.state.evaluated.eval(), images)

    def _predicted(self, model: nn.Module, images: Tensor) -> Tensor:
        precision = self.state.fabric.strategy.precision
        with precision.forward_context():
            logits = self.infer(model)(precision.convert_input(images))
        converted: Tensor = precision.convert_output(logits)
        return converted

    def validate(self, stop: Callable[[], bool]) -> Validation:
        """Evaluate the validation set by what each epoch tells; stop early, with partial counts, once ``stop()``."""
        masks = [Boundaries(len(self.data.val), self.data.labels.classes, tolerances=[TOLERANCE])]
        return self._evaluated(masks, stop)

    def judge(self, folder: Path, stop: Callable[[], bool] = lambda: False) -> Judged:
        """Evaluate the validation set by all that ``seg-evaluate`` finds, and write the predicted masks.

        Args:
            folder: of the run.
            stop: once true, it stops early, with partial counts.
        """
        names, classes = [pair.name for pair in self.data.val], self.data.labels.classes
        masks: list[MaskMeter] = [
            Boundaries(len(names), classes, tolerances=TOLERANCES),
            Components(classes),
            ErrorKinds(len(names)),
            Predictions(folder / runs.PREDICTIONS, names),
        ]
        return Judged(names, self.data.labels.names, TOLERANCES, self._evaluated(masks, stop))

    def _evaluated(self, masks: Sequence[MaskMeter], stop: Callable[[], bool]) -> Validation:
        if self.state.fabric.world_size > 1:  # the running statistics of each process are those of its own images
            models = dict.fromkeys((self.state.model, self.state.evaluated))  # in one order on all of them
            for buffer in (buffer for model in models for buffer in model.buffers()):
                torch.distributed.broadcast(buffer, 0)
        images, names = len(self.data.val), self.data.labels.names
        meters: list[Meter] = [
            MeanLoss(lambda logits, mask: self.objective.losses(logits, mask).total),
            PixelCounts(images, names, bins=BINS, masks=masks),
        ]
        predict: inference.Model = self.predict
        if (head := boxes.head_of(model := self.state.evaluated)) is not None:
            meters.append(meter := boxes.BoxMeter(images, names, head, instances_of(self.data.val)))
            predict = meter.reading(partial(self._predicted, boxes.joined(model).eval()))
        return evaluate(
            predict,
            takewhile(lambda _: not stop(), track(self.val_loader, "validation", len(self.val_loader))),
            meters,
            reduce=self.reduce,
        )

    def train(self, folder: Path) -> None:
        """Train to the end, from where the folder stands, and write what a complete run has.

        Args:
            folder: of the run, which this process holds (`seg.runs.opened`).

        Raises:
            ValueError: a checkpoint of another run, or options that the model cannot work with.
            RuntimeError: the loss is not finite.
            KeyboardInterrupt: it was asked to stop, and has saved.
        """
        fabric = self.state.fabric
        forget_peak(fabric.device)
        resume(self.state, folder, extend=self.extend)
        fitting = partial(fitting_batch, self.state, self.train_loader, self.batches)
        if self.state.position == Position():
            with explained(fitting):
                try_sizes(self.predict, self.train_loader.dataset, self.data, self.batches, fabric.device)
        epochs, _ = self.options.length(len(self.batches))
        names = [pair.name for pair in self.data.train]
        recorder = Recorder(folder, self.state, epochs, names, self.about, self.make_logger, self.pictures, self.told)
        with stop_signals() as stop, explained(fitting):
            judged = self._fit(folder, recorder, epochs, stop)
        if judged is None:  # patience was at its end, or the epochs were done before
            judged = self.judge(folder)
        if fabric.is_global_zero:
            recorder.close()
            self.pictures.draw(self.state.evaluated, folder / runs.PICTURES)
            memory = peak_memory(fabric.device)
            write_results(folder, judged, self.data, self.options, self.state.position, self.about, memory)

    def _fit(self, folder: Path, recorder: Recorder, epochs: int, stop: Callable[[], bool]) -> Judged | None:
        """Run the loop; return the judgement of the last epoch, if that was validated."""
        judged: Judged | None = None

        def validate() -> Validation:
            # the last validation is the judgement, so that no image is predicted twice
            nonlocal judged
            if self.state.position.epoch + 1 < epochs:
                return self.validate(stop)
            judged = self.judge(folder, stop)
            scores = {key: value for key, value in judged.found.scores.items() if key not in _ONLY_JUDGED}
            return replace(judged.found, scores=scores)

        alone = self.state.fabric.world_size == 1
        fit(
            self.state,
            self.train_loader,
            self.batches,
            options=self.options,
            validate=validate,
            watcher=recorder,
            # all processes have to stop after the same step
            stop=stop if alone else lambda: bool(self.reduce(torch.tensor(int(stop())))),
            track=track,
        )
        return judged
