"""The same levels ranked by other metrics, and by another rule for classes that are absent."""

from collections.abc import Sequence

import numpy as np

from seg.compare.answer import NAMES
from seg.compare.evidence import Entry, number
from seg.compare.study import Level
from seg.metrics.scores import image_ious, image_means, mean, ratio, worst

OTHERS = {
    **{key: NAMES[key] for key in ("miou", "miou_i", "miou_c", "boundary_f1")},
    "ece": "calibration error over all pixels",
    "ap": NAMES["ap"],
    "worst": "mIoU of the worst 10 % of images",
    "target": "mIoU over the classes of the target alone",
}


def other_scores(levels: Sequence[Level]) -> dict[str, list[float]]:
    """Metric of `OTHERS` -> score of each level, mean over its runs; without those that a run does not have."""
    found = {
        key: [float(np.mean([_score(entry, key) for entry in level.entries])) for level in levels] for key in OTHERS
    }
    return {key: values for key, values in found.items() if not np.isnan(values).any()}


def _score(entry: Entry, key: str) -> float:
    if key == "worst":
        return float(worst(image_means(image_ious(entry.counts)))[9])
    if key == "target":
        intersection, prediction, target = entry.counts.sum(0).T.astype(np.float64)
        iou = ratio(intersection, prediction + target - intersection)
        return float(mean(np.where(target > 0, iou, np.nan)))
    return number(entry.scores.get(key))
