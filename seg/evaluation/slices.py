"""The scores of parts of a set, such as its images at night: those that evaluating these images alone would give."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from seg.data.attributes import Slice, Slices
from seg.evaluation.evaluate import Evaluation
from seg.files import write_csv
from seg.metrics.meters import Meter
from seg.metrics.wanted import Wanted, build

FILE = "slices.csv"
COLUMNS = ("attribute", "value", "images", "metric", "class", "score")


def scores_by_slice(
    found: Evaluation, slices: Slices, wanted: Sequence[Wanted]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what ``metrics.json`` holds of each slice, and the scores that cannot be told of one.

    What a meter counted image by image is taken of the images of a slice, and its scores are computed of that. A score
    for which it counts something over the whole set cannot be told.

    Args:
        found: by meters of ``wanted``.
    """
    kept = _counted_by_image(found, wanted)
    parts, untold = [], dict[str, None]()
    for part in slices.slices:
        scores: dict[str, Any] = {}
        for meter in found.meters:
            own = _scores(meter, kept, part)
            scores |= own
            untold |= {metric.name: None for metric in meter.metrics if metric.name not in own}
        about = {"attribute": part.attribute, "value": part.value, "images": len(part.images)}
        parts.append({**about, "scores": scores})
    return parts, list(untold)


def _counted_by_image(found: Evaluation, wanted: Sequence[Wanted]) -> dict[str, torch.Tensor]:
    """Return the totals that have a row for each image.

    Those of ``wanted`` are told by meters for a set of one image more, whatever shapes look alike; others say so.
    """
    images, names = len(found.images), found.names
    larger = build(wanted, images=images + 1, names=names, classes=len(names), final=True)
    told = {name for meter in found.meters for name in getattr(meter, "by_image", ())}
    told |= {
        name for meter in larger.values() for name, total in meter.totals().items() if total.shape[:1] == (images + 1,)
    }
    return {name: total for name, total in found.totals.items() if name in told and total.shape[:1] == (images,)}


def _scores(meter: Meter, kept: Mapping[str, torch.Tensor], part: Slice) -> dict[str, Any]:
    """Return the scores of a meter on a slice; none where they need totals that have no row for each image."""
    places = torch.tensor(part.images)
    totals = {name: kept[name][places] for name in meter.totals() if name in kept}
    try:
        return meter.scores(totals)
    except KeyError:  # of a total that is left out
        return {}


def write_slices(folder: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    """Write ``slices.csv``: a row for each slice, score and class.

    Raises:
        OSError: it cannot be written.
    """
    write_csv(folder / FILE, COLUMNS, _rows(parts))


def _rows(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for part in parts:
        about = part["attribute"], part["value"], part["images"]
        for metric, score in part["scores"].items():
            for name, value in score.items() if isinstance(score, Mapping) else [("", score)]:
                yield (*about, metric, name, "" if value is None or value != value else f"{value:.6f}")
