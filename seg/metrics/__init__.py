"""Metrics: meters that `seg.evaluation` feeds, and scores from what they counted."""

from seg.metrics.counting import Counted, count
from seg.metrics.counts import Scores, confusion_matrix, image_counts, majority_scores, scores
from seg.metrics.meters import MeanLoss, Meter, PixelCounts

__all__ = [
    "Counted",
    "MeanLoss",
    "Meter",
    "PixelCounts",
    "Scores",
    "confusion_matrix",
    "count",
    "image_counts",
    "majority_scores",
    "scores",
]
