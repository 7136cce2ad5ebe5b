"""Tasks beside the segmentation, and how their losses are weighed, from the groups ``task`` and ``weighting``.

``task`` holds, by name, a ``head`` (a module on the decoder's features), a ``task`` (see `seg.objective.Task`) and a
``weight``. Constructors that take ``in_channels``, ``classes`` or ``names`` are told those of the run.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from seg import models
from seg.commands._targets import instantiate, parameters
from seg.labels import LabelMap
from seg.losses import WeightedSum
from seg.objective import SEGMENTATION, MultiTask, Segmentation
from seg.weighting import Fixed, Weighting


def check_tasks(tasks: Any) -> None:
    """Refuse a configuration of tasks that is none, before data are read.

    Raises:
        ValueError: it has other keys, names that cannot be those of modules, or targets that cannot be found.
    """
    for name, task in (tasks or {}).items():
        if not isinstance(name, str) or not name.isidentifier() or name in (SEGMENTATION, "distance"):
            raise ValueError(f"task: expected a name such as boxes, got {name!r}; choose another in conf/task")
        if not isinstance(task, Mapping) or not {"head", "task"} <= set(task) <= {"head", "task", "weight"}:
            raise ValueError(
                f"task.{name}: expected head, task and perhaps weight, got "
                f"{', '.join(task) if isinstance(task, Mapping) else repr(task)}; correct its file in conf/task"
            )
        for part in ("head", "task"):
            if not isinstance(task[part], Mapping) or "_target_" not in task[part]:
                raise ValueError(
                    f"task.{name}.{part}: expected a _target_ and its arguments, got {task[part]!r}; correct its "
                    "file in conf/task"
                )
            parameters(str(task[part]["_target_"]))


def head_configs(tasks: Mapping[str, Any], model: nn.Module, labels: LabelMap) -> dict[str, Any]:
    """What builds the head of each task on this model."""
    features = models.features_of(model)
    return {name: _told(task["head"], labels, in_channels=features) for name, task in tasks.items()}


def make_objective(cfg: Mapping[str, Any], loss: nn.Module, labels: LabelMap) -> Segmentation | MultiTask:
    """What is minimised: the loss, its terms weighed, or the loss and those of further tasks."""
    if not (tasks := cfg["task"]):
        weighting = _weighting(cfg, list(loss.terms) if isinstance(loss, WeightedSum) else [SEGMENTATION])
        return Segmentation(loss, labels.classes, None if type(weighting) is Fixed else weighting)
    built = {name: instantiate(_told(task["task"], labels), group=f"task.{name}.task") for name, task in tasks.items()}
    weights = {name: task.get("weight", 1.0) for name, task in tasks.items()}
    return MultiTask(Segmentation(loss, labels.classes), built, _weighting(cfg, [SEGMENTATION, *built]), weights)


def _weighting(cfg: Mapping[str, Any], names: list[str]) -> Weighting:
    weighting: Weighting = instantiate(cfg["weighting"], names, group="weighting")
    return weighting


def _told(config: Mapping[str, Any], labels: LabelMap, **more: Any) -> dict[str, Any]:
    """A configuration and, of what only a run knows, that which its target takes."""
    known = {"classes": labels.classes, "names": labels.names, **more}
    taken = parameters(str(config["_target_"]))[0]
    return {**{name: value for name, value in known.items() if name in taken}, **config}
