"""Metrics: meters that `seg.evaluation` feeds, and scores of what they counted (`seg.metrics.scores`, without torch).

Meters load on first use, so that what reads scores alone loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg.metrics.boundaries import TOLERANCE, TOLERANCES, Boundaries, at_tolerance
    from seg.metrics.calibration import fit_temperature
    from seg.metrics.components import SIZES, Components
    from seg.metrics.counting import Counted, count
    from seg.metrics.counts import confusion_matrix, image_counts
    from seg.metrics.errors import KINDS, ErrorKinds, error_shares
    from seg.metrics.meters import BINS, AtTemperature, MaskMeter, MeanLoss, Meter, PixelCounts

_WHERE = {
    "boundaries": ("TOLERANCE", "TOLERANCES", "Boundaries", "at_tolerance"),
    "calibration": ("fit_temperature",),
    "components": ("SIZES", "Components"),
    "counting": ("Counted", "count"),
    "counts": ("confusion_matrix", "image_counts"),
    "errors": ("KINDS", "ErrorKinds", "error_shares"),
    "meters": ("BINS", "AtTemperature", "MaskMeter", "MeanLoss", "Meter", "PixelCounts"),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'seg.metrics' has no attribute {name!r}")
    return getattr(import_module(f"seg.metrics.{_MODULES[name]}"), name)


__all__ = [  # loaded by __getattr__
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
    "at_tolerance",
    "confusion_matrix",
    "count",
    "error_shares",
    "fit_temperature",
    "image_counts",
]
