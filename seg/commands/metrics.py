"""The metrics that the group ``metric`` names, built for whoever computes them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seg.commands.cli.targets import Deferred, check_target
from seg.files import checks
from seg.metrics.catalogue import Metric
from seg.metrics.wanted import Wanted, catalogue
from seg.runs import CONFIG, read_config

log = logging.getLogger("seg")


def wanted_metrics(config: Any, options: Mapping[str, Mapping[str, Any]] | None = None) -> list[Wanted]:
    """Return the metrics that a configuration names.

    Args:
        config: the group ``metric``: by name, ``_target_``, its arguments and ``when``.
        options: of a command, by the name of the metric: for arguments that the configuration leaves open.

    Raises:
        ValueError: something else.
    """
    if not isinstance(config, Mapping) or not config:
        raise ValueError(f"metric: expected metrics by name, got {config!r}; give such as metric=[default,mine]")
    return [_wanted(str(name), node, (options or {}).get(str(name), {})) for name, node in config.items()]


def _wanted(name: str, node: Any, options: Mapping[str, Any]) -> Wanted:
    check_target(node, f"metric.{name}")
    when = node.get("when", "epoch")
    checks.choice(f"metric.{name}.when", when, ("epoch", "end"))
    deferred = Deferred({key: value for key, value in node.items() if key != "when"}, f"metric.{name}").told(**options)
    takes = [key for key in deferred.takes if key not in deferred.config]
    return Wanted(name, deferred, takes, when)


def name_left_out(wanted: Sequence[Wanted], checkpoints: Sequence[Path]) -> None:
    """Name the metrics of the runs of checkpoints that are not wanted here, such as those of the user's own."""
    records = [record for file in checkpoints if (record := file.parent / CONFIG).is_file()]
    names = {each.name for each in wanted} | {"loss"}
    found = dict.fromkeys(name for record in records for name in read_config(record).get("metric") or ())
    if left := [name for name in found if name not in names]:
        log.info(f"not computed, though the run has it: {', '.join(left)}; metric=[default,NAME] computes one")


def checked_catalogue(wanted: list[Wanted], *, loss: bool, names: Sequence[str] | None = None) -> dict[str, Metric]:
    """Describe their scores, by building each once on a set that does not exist, before data are read.

    Args:
        loss: there is one, as in a training.
        names: of the classes, where they are known.

    Raises:
        ValueError: an option that a metric refuses, or no metric.
    """
    names = names or ("a", "b")  # stand-ins
    known = {"images": 1, "names": names, "classes": len(names), "final": True}
    return catalogue(wanted, {**known, "loss": lambda logits, mask: logits.sum()} if loss else known)
