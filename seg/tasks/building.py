"""The objective of a run: its loss, and those of tasks beside the segmentation, weighed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from seg.labels import LabelMap
from seg.losses import WeightedSum
from seg.losses.weighting import Fixed, Weighting
from seg.tasks.objective import SEGMENTATION, MultiTask, Segmentation


def class_indices(countable: Any, names: Sequence[str]) -> list[int]:
    """Return the indices of classes that are given by name or index.

    Raises:
        ValueError: something else, or too many for the description of a model in a checkpoint.
    """
    known = {name: index for index, name in enumerate(names)} | {index: index for index in range(len(names))}
    listed = countable if isinstance(countable, list) else [countable]
    wrong = [item for item in listed if isinstance(item, bool) or item not in known]
    if wrong or not 1 <= len(listed) <= 64:
        raise ValueError(
            f"countable: expected 1 to 64 classes among {', '.join(names)}, or null for all, got {countable!r}; give "
            "names or indices"
        )
    return sorted({known[item] for item in listed})


def make_objective(
    loss: nn.Module,
    labels: LabelMap,
    make_weighting: Callable[[list[str]], Weighting],
    tasks: Mapping[str, nn.Module],
    weights: Mapping[str, float],
) -> Segmentation | MultiTask:
    """Build what is minimised: the loss, its terms weighed, or the loss and those of further tasks.

    Args:
        make_weighting: names of the losses -> what weighs them.
        tasks: beside the segmentation, by name.
        weights: of these tasks.

    Raises:
        ValueError: a weighting that does not fit the losses.
    """
    if tasks:
        segmentation = Segmentation(loss, labels.classes)
        return MultiTask(segmentation, tasks, make_weighting([SEGMENTATION, *tasks]), weights)
    weighting = make_weighting(list(loss.terms) if isinstance(loss, WeightedSum) else [SEGMENTATION])
    return Segmentation(loss, labels.classes, None if type(weighting) is Fixed else weighting)
