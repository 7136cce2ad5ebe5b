"""The metrics that were asked for, and the meters that are built of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from seg.metrics.catalogue import Metric, When
from seg.metrics.meters import COUNTED, LOGITS, MASKS, OUTPUT, Meter
from seg.metrics.pixels import PixelCounts


@dataclass(frozen=True)
class Wanted:
    """A metric that was asked for.

    Attributes:
        name: of its entry in the group ``metric``.
        make: returns a new meter.
        takes: what ``make`` is told by name, where it is known: ``images``, the number of images in the set; ``names``
            and ``classes``, the names of the classes and their number; ``loss``, of logits and masks, in a training;
            ``final``, false in its epochs.
        when: ``end``: in the last evaluation of a run alone.
    """

    name: str
    make: Callable[..., Meter]
    takes: Sequence[str] = ("images",)
    when: When = "epoch"


def build(wanted: Sequence[Wanted], **known: Any) -> dict[str, Meter]:
    """Build a meter of each metric, by its name; without a loss, those that take one are left out.

    Args:
        known: what metrics may be told; see `Wanted`.

    Raises:
        ValueError: options that a meter refuses, no meter, a score that two of them have, or no counts of pixels.
    """
    meters: dict[str, Meter] = {}
    for one in wanted:
        if "loss" in known or "loss" not in one.takes:
            meters[one.name] = one.make(**{name: value for name, value in known.items() if name in one.takes})
            check_meter(f"metric.{one.name}", meters[one.name])
    if not any(isinstance(meter, PixelCounts) for meter in meters.values()):
        raise ValueError(
            f"metric: expected pixels among them, of which per_image.csv is made, got {', '.join(meters) or 'none'}; "
            "give such as metric=[default,mine]"
        )
    check_apart(meters)
    return meters


def catalogue(wanted: Sequence[Wanted], known: Mapping[str, Any]) -> dict[str, Metric]:
    """Describe the scores of the metrics that were asked for, by building them once.

    Raises:
        ValueError: see `build`.
    """
    meters, whens = build(wanted, **known), {one.name: one.when for one in wanted}
    return {m.name: replace(m, when=whens[name]) for name, meter in meters.items() for m in meter.metrics}


def checked_catalogue(wanted: Sequence[Wanted], *, loss: bool, names: Sequence[str] | None = None) -> dict[str, Metric]:
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


def late(wanted: Sequence[Wanted], meters: Mapping[str, Meter]) -> set[str]:
    """Name the scores of those meters that only the last evaluation of a run has."""
    ends = [meters[one.name] for one in wanted if one.when == "end" and one.name in meters]
    return {metric.name for meter in ends for metric in meter.metrics}


def check_meter(name: str, meter: Any) -> None:
    """Refuse what is no meter.

    Raises:
        ValueError: what it lacks; the message begins with ``name``.
    """
    what = f"{name}: expected a meter as seg.metrics describes it, got {type(meter).__name__}"
    parts = ("metrics", "update", "totals", "scores", "per_image")
    if missing := [part for part in parts if not hasattr(meter, part)]:
        raise ValueError(f"{what} without {', '.join(missing)}; add {'them' if len(missing) > 1 else 'it'}")
    if not meter.metrics or not all(isinstance(metric, Metric) for metric in meter.metrics):
        raise ValueError(f"{what} whose metrics are no seg.metrics.Metric; describe each of its scores by one")
    if (takes := tuple(signature(meter.update).parameters)) not in (LOGITS, MASKS, COUNTED, OUTPUT):
        known = " or ".join(f"({', '.join(names)})" for names in (LOGITS, MASKS, COUNTED))
        raise ValueError(f"{what} whose update takes ({', '.join(takes)}); let it take {known}")


def check_scores(meter: Meter, scores: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of a meter, if they are those that its ``metrics`` describe.

    Raises:
        ValueError: a score without a description, or the other way round.
    """
    described = [metric.name for metric in meter.metrics]
    if {*scores} != {*described}:
        raise ValueError(
            f"{type(meter).__name__}: expected scores() to return {', '.join(described) or 'nothing'}, as its metrics "
            f"describe, got {', '.join(scores)}; give both the same names"
        )
    return scores


def check_apart(meters: Mapping[str, Meter]) -> None:
    """Refuse two meters that give one score, or count under one name.

    Raises:
        ValueError: which ones.
    """
    owners: dict[str, str] = {}
    for name, meter in meters.items():
        for key in [*(metric.name for metric in meter.metrics), *(f"the totals {key!r}" for key in meter.totals())]:
            if (other := owners.setdefault(key, name)) != name:
                raise ValueError(f"metric: expected each score once, got {key} of {other} and of {name}; rename one")
