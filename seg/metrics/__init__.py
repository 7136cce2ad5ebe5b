"""Metrics: meters that `seg.evaluation` feeds, and scores of what they counted (`seg.metrics.scores`, without torch).

A metric of your own is a file and a YAML. For example, how far the number of regions is off, in ``my_regions.py``::

    import cv2
    import torch

    from seg.metrics import Metric


    def regions(mask):  # of ignored pixels there is one more
        return sum(cv2.connectedComponents((mask == c).astype("uint8"))[0] - 1 for c in range(255))


    class RegionCounts:
        metrics = (Metric("region_error", "wrong number of regions", better="low", unit="regions"),)

        def __init__(self, images):
            self.counts = torch.zeros(images, 2, dtype=torch.float64)  # regions off, images

        def update(self, prediction, target, position):  # of one image, (H, W) uint8, 255 = ignore in the target
            prediction = prediction.copy()
            prediction[target == 255] = 255
            self.counts[position] = torch.tensor([abs(regions(prediction) - regions(target)), 1])

        def totals(self):  # which processes sum
            return {"regions": self.counts}

        def scores(self, totals):
            off, images = totals["regions"].sum(0).tolist()
            return {"region_error": off / images}

        def per_image(self, totals):  # what reports compare: metric, class or "", a value of each image
            yield "region_error", "", totals["regions"][:, 0].numpy()

and, in ``my_conf/metric/regions.yaml``, with ``when: end`` for one that takes long::

    regions: {_target_: my_regions.RegionCounts, when: epoch}

``seg-train --config-dir my_conf metric=[default,regions] fit.monitor=region_error ...`` computes it at every
validation; it stands in ``metrics.jsonl``, tables, the model card and ``results.csv``, and ``seg-compare
metric=region_error`` says which runs are better by it. Constructors that take ``images`` (their number), ``names`` or
``classes``, ``loss`` or ``final`` are told those of the run. `seg.metrics.meters` says what else a meter may take
and have.

Meters load on first use, so that what reads scores alone loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seg.metrics.boundaries import TOLERANCE, TOLERANCES, Boundaries, at_tolerance
    from seg.metrics.calibration import BINS, AtTemperature, Calibration, fit_temperature
    from seg.metrics.catalogue import Metric
    from seg.metrics.components import SIZES, Components
    from seg.metrics.counting import Counted, confusion_matrix, count
    from seg.metrics.errors import KINDS, ErrorKinds, error_shares
    from seg.metrics.meters import Column, MeanLoss, Meter, Pass, with_classes
    from seg.metrics.pixels import PixelCounts, image_counts
    from seg.metrics.wanted import Wanted, build, check_meter

_WHERE = {
    "boundaries": ("TOLERANCE", "TOLERANCES", "Boundaries", "at_tolerance"),
    "calibration": ("BINS", "AtTemperature", "Calibration", "fit_temperature"),
    "catalogue": ("Metric",),
    "components": ("SIZES", "Components"),
    "counting": ("Counted", "confusion_matrix", "count"),
    "errors": ("KINDS", "ErrorKinds", "error_shares"),
    "meters": ("Column", "MeanLoss", "Meter", "Pass", "with_classes"),
    "pixels": ("PixelCounts", "image_counts"),
    "wanted": ("Wanted", "build", "check_meter"),
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
    "Calibration",
    "Column",
    "Components",
    "Counted",
    "ErrorKinds",
    "MeanLoss",
    "Meter",
    "Metric",
    "Pass",
    "PixelCounts",
    "Wanted",
    "at_tolerance",
    "build",
    "check_meter",
    "confusion_matrix",
    "count",
    "error_shares",
    "fit_temperature",
    "image_counts",
    "with_classes",
]
