"""The metrics that the group ``metric`` names, built for whoever computes them."""

from collections.abc import Mapping
from typing import Any

from seg.commands.cli.targets import Deferred, check_target
from seg.files import checks
from seg.metrics.wanted import Wanted


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
