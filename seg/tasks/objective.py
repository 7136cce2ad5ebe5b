"""Where model and loss meet: the objective that training minimises.

An objective says what loading workers must prepare of each mask, and makes one number, with its terms, of a model and
a batch. The training loop and the loaders know neither masks nor losses. `Segmentation` has one loss, `MultiTask` adds
the tasks of further heads; `seg.losses.weighting` says how several losses become one.

A second task of your own is a module on the decoder's features, and one that knows what it needs of a mask and what it
costs. For example, the edges between classes, in ``my_edges.py``::

    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, max_pool2d

    from seg.losses import over_processes
    from seg.metrics import Metric


    def edges(masks):  # (N, H, W) -> where the class changes
        values = masks[:, None].float()
        return (max_pool2d(values, 3, 1, 1) + max_pool2d(-values, 3, 1, 1) > 0)[:, 0]


    class Head(nn.Conv2d):  # features (N, F, h, w) -> (N, 1, h, w)
        channels, metrics = 1, (Metric("edge_error", "edges that are wrong", better="low"),)

        def __init__(self, in_channels):
            super().__init__(in_channels, 1, 1)

        def meter(self, images, names):
            return EdgeErrors(images)

        def draw(self, picture, output, logits, palette):
            picture[(output[0] > 0).numpy()] = 255
            return picture


    class EdgeErrors:
        metrics = Head.metrics

        def __init__(self, images):
            self.pixels = torch.zeros(images, 2, dtype=torch.float64)  # wrong, all

        def update(self, output, logits, mask, index):
            wrong, known = (output[:, 0] > 0) != edges(mask), mask != 255
            self.pixels[index] = torch.stack([(wrong & known).sum((1, 2)), known.sum((1, 2))], 1).double().cpu()

        def totals(self):
            return {"edge_pixels": self.pixels}

        def scores(self, totals):
            wrong, known = totals["edge_pixels"].sum(0).tolist()
            return {"edge_error": wrong / known}

        def per_image(self, totals):
            wrong, known = totals["edge_pixels"].T
            yield "edge_error", "", (wrong / known).numpy()


    class Edges(nn.Module):
        def prepare(self, mask):  # (H, W), in a loading worker
            return {"edge": edges(mask[None])}

        def forward(self, output, logits, batch):
            output = interpolate(output, batch.masks.shape[1:], mode="bilinear")[:, 0]
            edge, known = batch.extra["edge"][:, 0].float(), batch.masks != 255
            loss = binary_cross_entropy_with_logits(output, edge, reduction="none") * known
            total, count = over_processes(loss.sum(), known.sum().float())
            return total / count.clamp(min=1)

and, in ``my_conf/task/edges.yaml``::

    edges:
      head: {_target_: my_edges.Head}
      task: {_target_: my_edges.Edges}
      weight: 0.5

``seg-train --config-dir my_conf task=edges weighting=uncertainty ...`` trains both. What takes ``in_channels``,
``classes`` or ``names`` (of the classes) is told those of the run. A head that has ``channels``, ``metrics`` and
``meter`` is evaluated (`seg.inference.heads`): its scores stand where all others do, ``fit.monitor=edge_error`` goes by
them, and ``seg-compare metric=edge_error`` compares runs; what it draws is on the pictures. One without is trained
alone. ``seg-evaluate trust=[my_edges]`` evaluates it in a checkpoint. Masks are predicted as without the head, and
``seg-export`` leaves it out, and says so; ``seg.load(FILE, trust=["my_edges"]).model(images, heads=True)`` gives what
it returns.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from inspect import signature
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn
from torch.utils.data import default_collate

from seg.data.batches import Batch
from seg.files import checks
from seg.losses import WeightedSum, distances_for
from seg.losses.processes import over_step
from seg.losses.weighting import Weighting


class Losses(NamedTuple):
    """What one batch costs.

    Attributes:
        total: scalar to minimise.
        terms: the unweighted terms of a composite by name, detached scalars; empty for a loss without terms.
        weights: factors that a weighting gave the terms, detached scalars by name; empty without one.
    """

    total: Tensor
    terms: dict[str, Tensor]
    weights: Mapping[str, Tensor] = MappingProxyType({})


class Objective(Protocol):
    """What `seg.training.fit` minimises: a module, whose own parameters and buffers are trained and saved too."""

    @property
    def prepare(self) -> Callable[..., dict[str, Any]]:
        """Mask (H, W) -> what `__call__` finds in ``batch.extra``; runs in loading workers, after augmentation. It may
        take ``instances``, see `seg.data.dataset.SegmentationDataset`."""

    def __call__(self, model: Callable[[Tensor], Any], batch: Batch) -> Losses: ...
    def losses(self, logits: Tensor, masks: Tensor) -> Losses:
        """Compute what given logits (N, C, H, W) cost: the loss that runs with and without tasks share."""

    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Task(Protocol):
    """A task beside the segmentation: a module that knows what it needs of a mask, and what its head's output costs."""

    def prepare(self, mask: Tensor) -> dict[str, Any]:
        """Return what `__call__` finds in ``batch.extra`` for a mask (H, W) uint8: tensors and numbers whose shapes do
        not depend on the mask, so that batches can be stacked. Runs in loading workers, after augmentation.

        With a further argument ``instances`` it is given the number of the object at each pixel (H, W) int32 as well,
        0 = none, or None where the data have no such numbers."""

    def __call__(self, output: Any, logits: Tensor, batch: Batch) -> Losses | Tensor:
        """Return what a batch costs.

        It should be the same function of all images of a step however many processes share them
        (`seg.losses.over_processes`), depend on every output of the head even where there is nothing to learn, so that
        each parameter has a gradient, and never be negative, or say so: ``can_be_negative = True``.

        Args:
            output: of the task's head, for the decoder's features (N, F, h, w).
            logits: (N, C, H, W) of the segmentation.
            batch: whose ``extra`` is that of this task alone.
        """


class Segmentation(nn.Module):
    """One loss on the logits of a model ``(N, 3, H, W) -> (N, C, H, W)``.

    Args:
        loss: ``(logits, target) -> scalar``; one that takes ``distance`` gets maps made by the loading workers.
        classes: number of classes C.
        weighting: of the terms of a `seg.losses.WeightedSum`, times the weights that it gives them; None = their sum.

    Raises:
        ValueError: the loss names a class that is not there, or a weighting for a loss that it cannot weigh.
    """

    def __init__(self, loss: nn.Module, classes: int, weighting: Weighting | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.prepare = partial(_prepare, distances_for(loss, classes))
        if weighting is not None:
            if not isinstance(loss, WeightedSum):
                raise ValueError(
                    f"weighting: expected several losses to weigh, got {type(loss).__name__} alone; give "
                    "weighting=fixed, a task=..., or a composite loss such as loss=ce_dice"
                )
            weighting.check(dict(loss.terms.items()))
        self.weighting = weighting

    def forward(self, model: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        logits = model(batch.images)
        if self.weighting is None:
            return self.losses(logits, batch.masks, batch.extra)
        assert isinstance(self.loss, WeightedSum)
        total, weights = self.weighting(self.loss.weighted(logits, batch.masks, **batch.extra))
        return Losses(total, dict(self.loss.last), weights)

    def losses(self, logits: Tensor, masks: Tensor, extra: Mapping[str, Any] | None = None) -> Losses:
        """Compute what given logits (N, C, H, W) cost, without a weighting; the loss makes what ``extra`` lacks."""
        total: Tensor = self.loss(logits, masks, **(extra or {}))
        return Losses(total, dict(getattr(self.loss, "last", {})))


def _prepare(distances: Callable[[Tensor], Tensor] | None, mask: Tensor) -> dict[str, Any]:
    """Prepare a mask. No method, so that a worker that is spawned gets the distances and not a loss on its device."""
    return {} if distances is None else {"distance": distances(mask)}


class MultiTask(nn.Module):
    """A segmentation and the tasks of further heads, summed by a weighting as ``segmentation`` and by their names.

    The model is one such as `seg.models.WithHeads`: ``(images, heads=True) -> (logits, {name: output})``.

    Args:
        segmentation: without a weighting; terms of a composite loss have their fixed weights.
        tasks: by the names of their heads; modules that are a `Task`.
        weighting: of the names in this order, segmentation first.
        weights: of some tasks, by name, which their losses are multiplied by before the weighting; 1 for others.

    Raises:
        ValueError: a weighting for other names or for losses that it cannot weigh, or a weight that is not positive.
    """

    def __init__(
        self,
        segmentation: Segmentation,
        tasks: Mapping[str, nn.Module],
        weighting: Weighting,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.segmentation, self.tasks, self.weighting = segmentation, nn.ModuleDict(dict(tasks)), weighting
        if weighting.names != (expected := (SEGMENTATION, *tasks)):
            raise ValueError(
                f"weighting: expected one of {expected}, got one of {weighting.names}; build it with these"
            )
        weighting.check({SEGMENTATION: segmentation.loss, **tasks})
        given = {name: (weights or {}).get(name, 1.0) for name in tasks}
        self.weights = {
            name: checks.number(f"task.{name}.weight", weight, above=0, remedy="give one, or task=none")
            for name, weight in given.items()
        }
        further: dict[str, Any] = {name: task.prepare for name, task in tasks.items()}
        self.prepare = _Preparations(segmentation.prepare, further)

    def forward(self, model: Callable[..., Any], batch: Batch) -> Losses:
        logits, outputs = model(batch.images, heads=True)
        extra = {key: value for key, value in batch.extra.items() if key not in self.tasks}
        first = self.segmentation.losses(logits, batch.masks, extra)
        losses, terms = {SEGMENTATION: first.total}, _named(SEGMENTATION, first)
        for name, task in self.tasks.items():
            own = batch.extra[name] if name in batch.extra else self._prepared(name, batch.masks)
            found = task(outputs[name], logits, batch._replace(extra=own))
            one = found if isinstance(found, Losses) else Losses(found, {})
            if one.total.ndim:
                raise ValueError(
                    f"task.{name}: expected a scalar, got a loss of shape {tuple(one.total.shape)}; reduce it"
                )
            losses[name] = self.weights[name] * one.total
            terms |= _named(name, one)
        total, weights = self.weighting(losses)
        return Losses(total, terms, weights)

    def losses(self, logits: Tensor, masks: Tensor, extra: Mapping[str, Any] | None = None) -> Losses:
        """Compute what given logits (N, C, H, W) cost: the loss that runs with and without tasks share."""
        return self.segmentation.losses(logits, masks, extra)

    def _prepared(self, name: str, masks: Tensor) -> Any:
        """Return what the workers did not prepare."""
        samples = [self.prepare.of_task(name, mask) for mask in masks.cpu()]
        from lightning_fabric.utilities import move_data_to_device  # training has loaded it

        return move_data_to_device(default_collate(samples), masks.device)


SEGMENTATION = "segmentation"
"""The name of the first task."""


def _named(name: str, losses: Losses) -> dict[str, Tensor]:
    return {name: losses.total.detach(), **{f"{name}.{term}": value for term, value in losses.terms.items()}}


class _Preparations:
    """What all tasks need of a mask; that of the further ones under their names."""

    def __init__(
        self, first: Callable[[Tensor], dict[str, Any]], tasks: Mapping[str, Callable[..., dict[str, Any]]]
    ) -> None:
        self.first, self.tasks = first, dict(tasks)
        self._numbered = {name for name, prepare in tasks.items() if "instances" in signature(prepare).parameters}

    def __call__(self, mask: Tensor, instances: Tensor | None = None) -> dict[str, Any]:
        return {**self.first(mask), **{name: self.of_task(name, mask, instances) for name in self.tasks}}

    def of_task(self, name: str, mask: Tensor, instances: Tensor | None = None) -> dict[str, Any]:
        """Return what one of the further tasks needs."""
        more = {"instances": instances} if name in self._numbered else {}
        return self.tasks[name](mask, **more)


def one_step(batches: Sequence[Batch]) -> AbstractContextManager[None]:
    """Within it, losses are such that their mean over the batches is the loss of one batch with all of their images.

    `seen_by_batch` names those for which it is not.
    """
    return over_step([batch.masks for batch in batches]) if len(batches) > 1 else nullcontext()


def seen_by_batch(objective: Objective) -> list[str]:
    """Name the losses and weightings to which a batch is all there is: they do not say ``spans_batches``."""
    found, parts = [], [next(objective.modules())]
    for part in parts:
        if isinstance(part, Segmentation | MultiTask | WeightedSum | nn.ModuleDict):
            parts += part.children()
        elif not getattr(part, "spans_batches", False):
            found.append(type(part).__name__)
    return list(dict.fromkeys(found))
