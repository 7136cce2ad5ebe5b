"""The same levels ranked by other metrics, and by another rule for classes that are absent."""

from collections.abc import Mapping, Sequence

import numpy as np

from seg.compare.entry import Entry
from seg.compare.study import Level
from seg.scores import image_ious, image_means, mean, ratio, worst

OTHERS = {
    "miou": "mIoU",
    "miou_i": "mIoU by image",
    "miou_c": "mIoU by class",
    "boundary_f1": "boundary F1",
    "ece": "calibration error",
    "worst": "mIoU of the worst 10 % of images",
    "target": "mIoU over the classes of the target alone",
}


def other_scores(levels: Sequence[Level]) -> dict[str, list[float]]:
    """Metric of `OTHERS` -> score of each level, mean over its runs; without those that a run does not have."""
    found = {key: [_mean([_score(entry, key) for entry in level.entries]) for level in levels] for key in OTHERS}
    return {key: values for key, values in found.items() if not np.isnan(values).any()}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _score(entry: Entry, key: str) -> float:
    if key == "worst":
        return float(worst(image_means(image_ious(entry.counts)))[9])
    if key == "target":
        intersection, prediction, target = entry.counts.sum(0).T.astype(np.float64)
        iou = ratio(intersection, prediction + target - intersection)
        return float(mean(np.where(target > 0, iou, np.nan)))
    value = _told(entry.scores, key)
    return float("nan") if value is None else value


def _told(scores: Mapping[str, object], key: str) -> float | None:
    value = scores.get(key)
    return float(value) if isinstance(value, int | float) else None
