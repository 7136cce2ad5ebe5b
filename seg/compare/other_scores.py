"""The same levels ranked by other metrics, and by another rule for classes that are absent."""

from collections.abc import Mapping, Sequence

import numpy as np

from seg.compare.evidence import Entry, number
from seg.compare.study import Level
from seg.metrics.catalogue import KNOWN, Metric
from seg.metrics.scores import image_ious, image_means, mean, ratio, worst


def other_metrics(catalogue: Mapping[str, Metric]) -> dict[str, Metric]:
    """Choose what levels are ranked by besides: a few of our metrics, all of the user's own, and two views of mIoU."""
    ours = {key: KNOWN[key] for key in ("miou", "miou_i", "miou_c", "boundary_f1", "ece", "ap")}
    own = {key: metric for key, metric in catalogue.items() if key not in KNOWN and not metric.by_class}
    views = {"worst": "mIoU of the worst 10 % of images", "target": "mIoU over the classes of the target alone"}
    return {**ours, **own, **{key: Metric(key, title) for key, title in views.items()}}


def other_scores(levels: Sequence[Level], metrics: Mapping[str, Metric]) -> dict[str, list[float]]:
    """Return the score of each level, mean over its runs, by metric; without those that a run does not have."""
    scores = {
        key: [float(np.mean([_score(entry, key) for entry in level.entries])) for level in levels] for key in metrics
    }
    return {key: values for key, values in scores.items() if not np.isnan(values).any()}


def _score(entry: Entry, key: str) -> float:
    if key == "worst":
        return float(worst(image_means(image_ious(entry.counts)))[9])
    if key == "target":
        intersection, prediction, target = entry.counts.sum(0).T.astype(np.float64)
        iou = ratio(intersection, prediction + target - intersection)
        return float(mean(np.where(target > 0, iou, np.nan)))
    return number(entry.scores.get(key))
