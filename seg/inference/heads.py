"""What further heads of a model predict, beside its logits: for whoever judges and draws it.

A head that is evaluated has ``channels``, the number of maps that it predicts; ``metrics``, what its meter scores; and
``meter(images, names)``, which returns a meter whose ``update`` takes ``(output, logits, mask, index)``
(`seg.metrics.meters`) and which is told ``instances``, if it takes them. It may have ``draw(picture, output, logits,
palette)``, which draws what it predicts for one image on a picture of it, and ``check()``, which raises ValueError
where something is missing to evaluate it. Heads without ``meter`` are trained, and left out otherwise. Of an ensemble
those take part that have ``to_mean(maps)``, what of several members can be averaged, and ``from_mean(mean)``, its maps.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from seg.data.pairs import Pair
from seg.images import read_instances
from seg.inference.disagreement import Disagreement
from seg.inference.ensemble import Ensemble
from seg.inference.padding import whole
from seg.inference.windows import sliding
from seg.metrics.meters import Meter
from seg.metrics.wanted import check_meter
from seg.models.heads import Heads, WithHeads
from seg.tasks.boxes import BoxRules

log = logging.getLogger(__name__)


def heads_of(model: nn.Module, kind: type = object) -> Heads:
    """Return the heads of a model that are evaluated.

    Args:
        kind: take only the first head of this class.
    """
    named: dict[str, Any] = {}
    if isinstance(model, Ensemble):
        named = model.merged
    elif isinstance(described := getattr(model, "boxes", None), dict):  # of an exported file
        named = {"boxes": BoxRules(**described)}
    elif isinstance(heads := getattr(model, "heads", None), nn.ModuleDict):
        named = {name: head for name, head in heads.items() if is_evaluated(head)}
    chosen = [(name, head) for name, head in named.items() if isinstance(head, kind)]
    return Heads(dict(chosen if kind is object else chosen[:1]))


def meters_of(heads: Heads, names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Meter]:
    """Return a new meter for every head, of a set of these pairs and with classes of these names.

    Raises:
        ValueError: a head returns no meter.
    """
    meters: dict[str, Meter] = {}
    for name, head in heads.named.items():
        known = {"instances": instances_of(pairs)} if "instances" in signature(head.meter).parameters else {}
        meters[name] = head.meter(len(pairs), names, **known)
        check_meter(f"task.{name}.head", meters[name])
    return meters


def judged_heads(model: nn.Module, infer: Callable[..., Any]) -> Heads:
    """Return the heads of a model that are evaluated; none, with a warning, where one cannot be predicted or judged.

    Of an ensemble also how far its members disagree, which any ``infer`` shows.
    """
    heads = heads_of(model)
    further = {Disagreement.name: Disagreement()} if isinstance(model, Ensemble) else {}
    try:
        for name, head in heads.named.items():
            getattr(head, "check", lambda: None)()
            check_views(name, infer)
    except ValueError as error:
        log.warning(f"{' and '.join(heads.named)} are left out: {error}")
        return Heads(further)
    return Heads({**heads.named, **further})


def warn_of_others(model: nn.Module, what: str) -> None:
    """Name the heads that are no boxes, which ``what`` (a file, a command) leaves out."""
    named: Any = model.heads if isinstance(model, WithHeads) else getattr(model, "merged", {})
    if others := [name for name, head in named.items() if not isinstance(head, BoxRules)]:
        log.warning(f"{' and '.join(others)}: left out, because {what} holds the segmentation, and boxes, alone")


def is_evaluated(head: Any) -> bool:
    """Tell whether a head, or its class, says how it is evaluated."""
    return all(hasattr(head, part) for part in ("channels", "metrics", "meter"))


def check_views(name: str, infer: Callable[..., Any]) -> None:
    """Refuse what a head cannot be predicted with.

    Raises:
        ValueError: images are flipped, turned or scaled, which its maps, such as distances to sides, need not follow.
    """
    function = infer.func if isinstance(infer, partial) else infer
    if function not in (whole, sliding):
        raise ValueError(
            f"inference: expected whole or sliding with {name}, got {getattr(function, '__name__', function)}, whose "
            f"views are flipped or scaled; choose one of the two, or leave {name} out"
        )


def instances_of(pairs: Sequence[Pair]) -> Callable[[int], NDArray[np.int32]] | None:
    """Return what reads the numbers of objects by position in the set; None if these pairs have none."""

    def numbers(position: int) -> NDArray[np.int32]:
        path = pairs[position].instances
        assert path is not None
        return read_instances(path).astype(np.int32)

    return numbers if pairs and pairs[0].instances is not None else None
