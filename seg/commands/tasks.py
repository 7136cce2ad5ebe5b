"""Tasks beside the segmentation, from the group ``task``.

It holds, by name, a ``head`` (a module on the decoder's features), a ``task`` (see `seg.tasks.objective.Task`) and a
``weight``. Constructors that take ``in_channels``, ``classes``, ``names`` or ``box_loss`` are told those of the run;
``countable`` classes are named by name or index, and told by index.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seg.commands.cli.targets import Deferred, check_target
from seg.labels import LabelMap
from seg.models import AUXILIARY
from seg.tasks.building import class_indices
from seg.tasks.objective import SEGMENTATION


@dataclass(frozen=True)
class FurtherTask:
    """A task beside the segmentation, as the group ``task`` names it; the auxiliary one has no head."""

    task: Deferred
    weight: float
    head: Deferred | None = None


def further_tasks(config: Any) -> dict[str, FurtherTask]:
    """Return the tasks that a configuration names.

    Raises:
        ValueError: see `check_tasks`, or targets that cannot be found.
    """
    check_tasks(config)
    tasks = {}
    for name, task in (config or {}).items():
        parts = {part: Deferred(task[part], f"task.{name}.{part}") for part in ("head", "task") if part in task}
        tasks[name] = FurtherTask(**parts, weight=task.get("weight", 1.0))
    return tasks


def check_tasks(tasks: Any) -> None:
    """Refuse a configuration of tasks that is none, before data are read.

    Raises:
        ValueError: it has other keys or names that cannot be those of modules.
    """
    for name, task in (tasks or {}).items():
        if not isinstance(name, str) or not name.isidentifier() or name in (SEGMENTATION, "distance"):
            raise ValueError(f"task: expected a name such as boxes, got {name!r}; choose another in conf/task")
        needed = {"task"} if name == AUXILIARY else {"head", "task"}
        if not isinstance(task, Mapping) or not needed <= set(task) <= {"head", "task", "weight"}:
            raise ValueError(
                f"task.{name}: expected {', '.join(sorted(needed))} and perhaps weight, got "
                f"{', '.join(task) if isinstance(task, Mapping) else repr(task)}; correct its file in conf/task"
            )
        if "head" not in task and len(tasks) > 1:
            raise ValueError(f"task: expected {name} alone, because it needs no head, got {', '.join(tasks)}; give one")
        for part in {"head", "task"} & set(task):
            check_target(task[part], f"task.{name}.{part}")


def told_run(deferred: Deferred, labels: LabelMap, **known: Any) -> Deferred:
    """Tell a head or a task what it takes of what only a run knows."""
    deferred = deferred.told(classes=labels.classes, names=list(labels.names), **known)
    if (countable := deferred.config.get("countable")) is None:
        return deferred
    return deferred.given(countable=class_indices(countable, labels.names))
