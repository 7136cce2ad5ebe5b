"""Metrics: meters that `seg.evaluation` feeds; `seg.scores` makes scores of what they counted."""

from seg.metrics.boundaries import TOLERANCE, TOLERANCES, Boundaries, at_tolerance
from seg.metrics.calibration import fit_temperature
from seg.metrics.components import SIZES, Components
from seg.metrics.counting import Counted, count
from seg.metrics.counts import confusion_matrix, image_counts
from seg.metrics.errors import KINDS, ErrorKinds, error_shares
from seg.metrics.meters import BINS, AtTemperature, MaskMeter, MeanLoss, Meter, PixelCounts
from seg.scores import Scores, majority_scores, scores

__all__ = [
    "BINS",
    "KINDS",
    "SIZES",
    "TOLERANCE",
    "TOLERANCES",
    "AtTemperature",
    "Boundaries",
    "Components",
    "Counted",
    "ErrorKinds",
    "MaskMeter",
    "MeanLoss",
    "Meter",
    "PixelCounts",
    "Scores",
    "at_tolerance",
    "confusion_matrix",
    "count",
    "error_shares",
    "fit_temperature",
    "image_counts",
    "majority_scores",
    "scores",
]
