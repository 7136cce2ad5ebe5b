"""A training run: built objects, trained from where its folder stands to its end."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seg import inference, runs
from seg.data.source import Data
from seg.evaluation.evaluate import Evaluation, evaluate
from seg.evaluation.files import Predictions, Probabilities, draw_predictions
from seg.images import Image
from seg.inference.examples import spread
from seg.inference.heads import heads_of, meters_of
from seg.inference.trained import Description, Trained
from seg.metrics import Metric
from seg.metrics.meters import Meter
from seg.metrics.wanted import Wanted, build, late
from seg.report.progress import track
from seg.training.device import forget_peak, peak_memory
from seg.training.finish import write_results
from seg.training.loaders import Loaders
from seg.training.loop import fit
from seg.training.options import FitOptions
from seg.training.pace import Budget, Pace
from seg.training.preflight import batch_by_batch, explained, fitting_batch, try_sizes
from seg.training.recorder import Recorder
from seg.training.resume import resume
from seg.training.signals import stop_signals
from seg.training.state import Position, State

log = logging.getLogger(__name__)


GiveUp = Callable[[Path, int], bool]
"""Asked after an epoch, with the folder of a run and the epochs that it would have: whether it ends there."""


def never(folder: Path, epochs: int) -> bool:
    """Give up no run."""
    return False


@dataclass(frozen=True)
class Run:
    """What a training run is made of.

    Attributes:
        pictures: number of validation images that are drawn, spread over the set: neighbours in a list of names are
            often neighbours in the world.
        about: what its checkpoints say besides the state.
        infer: wraps the model so that it accepts images of any size.
        metrics: that are computed of the validation set; ``catalogue``: what is known of their scores.
        make_logger: ``(log_dir, purge_step)`` -> a logger, see `seg.training.trackers`; None without one.
        extend: a run that had ended goes on.
        told: called with (epochs done, epochs) after each.
        give_up: asked after each epoch.
        budget: where ``fit.minutes`` were turned into steps just now.
    """

    options: FitOptions
    data: Data
    state: State
    loaders: Loaders
    pictures: int
    about: Description
    infer: Callable[[inference.Model], inference.Model]
    metrics: Sequence[Wanted]
    catalogue: Mapping[str, Metric]
    make_logger: Callable[..., Any] | None = None
    extend: bool = False
    told: Callable[[int, int], None] = lambda epoch, epochs: None
    give_up: GiveUp = never
    budget: Budget | None = None

    def reduce(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, on the CPU."""
        total = self.state.fabric.all_reduce(tensor, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total.cpu()

    def predict(self, model: nn.Module, images: Tensor) -> Tensor:
        """Predict what a model gives for images of any size, in the precision of the run.

        Not by the wrapper of several processes: it waits for the others at every call, and they validate on other
        numbers of batches, if any.
        """
        precision = self.state.fabric.strategy.precision
        with precision.forward_context():
            logits = self.infer(model)(precision.convert_input(images))
        converted: Tensor = precision.convert_output(logits)
        return converted

    def validate(self, stop: Callable[[], bool], folder: Path | None = None) -> Evaluation:
        """Evaluate the validation set.

        Args:
            stop: once true, it stops early, with partial counts.
            folder: of the run, whose last evaluation this is: by all metrics, and the predicted masks are written;
                None = by the metrics that every epoch has.
        """
        if self.state.fabric.world_size > 1:  # the running statistics of each process are those of its own images
            models = dict.fromkeys((self.state.model, self.state.evaluated))  # in one order on all of them
            for buffer in (buffer for model in models for buffer in model.buffers()):
                torch.distributed.broadcast(buffer, 0)
        pairs, names, model = self.data.val, self.data.labels.names, self.state.evaluated
        images, final = [pair.name for pair in pairs], folder is not None
        wanted = [metric for metric in self.metrics if final or metric.when == "epoch"]
        sinks: list[Meter] = [] if folder is None else [Predictions(folder / runs.PREDICTIONS, images)]
        if folder is not None and (kind := self.options.probabilities) is not None:
            halves = kind == "float16"
            sinks.append(Probabilities(folder / runs.PROBABILITIES, images, names, halves=halves))
        known = {"images": len(pairs), "names": names, "classes": len(names), "final": final}
        meters = build(wanted, **known, loss=lambda logits, mask: self.state.objective.losses(logits, mask).total)
        heads = heads_of(model)
        return evaluate(
            partial(self.predict, heads.joined(model).eval()),
            takewhile(lambda _: not stop(), track(self.loaders.val, "validation", len(self.loaders.val))),
            [*meters.values(), *sinks],
            split=heads.split,
            outputs=meters_of(heads, names, pairs),
            images=images,
            names=names,
            late=late(wanted, meters),
            reduce=self.reduce,
        )

    def draw(self, folder: Path) -> list[tuple[str, Image]]:
        """Draw what the model predicts for some validation images, the same at every call; see `draw_predictions`."""
        model, device = self.state.evaluated.eval(), str(self.state.fabric.device)
        trained = Trained(
            model,
            self.data.labels,
            *self.about.normalization,
            device,
            reading=self.data.reading,
            infer=self.infer,
            heads=heads_of(model),
        )
        return draw_predictions(trained, spread(self.data.val, self.pictures), folder)

    def explained(self) -> AbstractContextManager[None]:
        """Turn errors of torch in steps and validations into advice."""
        return explained(partial(fitting_batch, self.state, self.loaders.train, self.loaders.batches))

    def check_sizes(self) -> None:
        """Check that the model takes the sizes that are to come; see `try_sizes`."""
        model, batches = self.state.evaluated.eval(), self.loaders.batches
        predict = partial(self.predict, model)
        try_sizes(model, predict, self.loaders.train.dataset, self.data, batches, self.state.fabric.device)

    def train(self, folder: Path) -> None:
        """Train to the end, from where the folder stands, and write what a complete run has.

        Args:
            folder: of the run, which this process holds (`seg.runs.opened`).

        Raises:
            ValueError: a checkpoint of another run, or options that the model cannot work with.
            RuntimeError: the loss is not finite.
            KeyboardInterrupt: it was asked to stop, and has saved.
        """
        fabric, options = self.state.fabric, self.options
        forget_peak(fabric.device)
        if options.minutes is not None:
            kept = f"fit.minutes={options.minutes:g}: {options.steps} steps, as this run, or its sweep, was begun with"
            log.info(self.budget.plan if self.budget else kept)
        resume(self.state, folder, epoch=len(self.loaders.batches), extend=self.extend)
        if self.state.position == Position():
            with self.explained():
                self.check_sizes()
        if self.options.accumulate > 1 and (apart := batch_by_batch(self.state)):
            log.info(
                f"fit.accumulate={self.options.accumulate}: a step is that of one larger batch, but for what takes "
                f"{self.loaders.batches.batch} images at a time: {', '.join(apart)}"
            )
        epochs, _ = self.options.length(len(self.loaders.batches))
        names = [pair.name for pair in self.data.train]
        shown = self._shown()
        recorder = Recorder(
            folder, self.state, epochs, names, self.about, self.make_logger, self.draw, shown, self.told
        )
        pace = self._pace()
        with stop_signals() as stop, self.explained():
            judged = self._fit(folder, recorder, epochs, stop, pace)
        if judged is None:  # patience was at its end, it was given up, or the epochs were done before
            judged = self.validate(lambda: False, folder)
        if fabric.is_global_zero:
            recorder.close()
            self.draw(folder / runs.PICTURES)
            memory = peak_memory(fabric.device)
            write_results(folder, judged, self.data, self.options, self.state.position, epochs, self.about, memory)
            pace.end()

    def _pace(self) -> Pace:
        """Return what says how long the rest of the run takes."""
        batches, position = self.loaders.batches, self.state.position
        images = batches.batch // batches.world * batches.accumulate
        pixels = images * math.prod(self.loaders.train.dataset[0, 0].mask.shape)
        return Pace(
            done=position.epoch * len(batches) + position.step,
            steps=self.options.length(len(batches))[1],
            epoch=len(batches),
            every=self.options.validate_every,
            val_steps=sum(height * width for height, width in self.data.val_sizes) / batches.world / pixels,
            budget=self.budget,
        )

    def _shown(self) -> list[Metric]:
        """List the scores that the line of an epoch shows: mIoU, the monitored one, and the first of each head."""
        of_heads = [head.metrics[0].name for head in heads_of(self.state.evaluated).named.values()]
        names = dict.fromkeys(["miou", self.options.monitor.partition(".")[0], *of_heads])
        return [self.catalogue[name] for name in names if name != "loss" and not self.catalogue[name].by_class]

    def _fit(
        self, folder: Path, recorder: Recorder, epochs: int, stop: Callable[[], bool], pace: Pace
    ) -> Evaluation | None:
        """Run the loop; return the judgement of the last epoch, if that was validated."""
        judged: Evaluation | None = None

        def validate() -> Evaluation:
            # the last validation is the judgement, so that no image is predicted twice
            nonlocal judged
            began = time.monotonic()
            if self.state.position.epoch + 1 < epochs:
                evaluated = self.validate(stop)
                pace.validated(time.monotonic() - began)
                return evaluated
            judged = self.validate(stop, folder)
            return judged.early

        alone = self.state.fabric.world_size == 1
        fit(
            self.state,
            self.loaders.train,
            self.loaders.batches,
            options=self.options,
            validate=validate,
            watcher=recorder,
            # all processes have to stop after the same step
            stop=stop if alone else lambda: bool(self.reduce(torch.tensor(int(stop())))),
            give_up=lambda: self.give_up(folder, epochs),
            track=lambda items, title, total, done: track(items, title + pace.title(), total, done),
            stepped=pace.stepped,
        )
        return judged
