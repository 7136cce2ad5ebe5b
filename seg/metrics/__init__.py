"""Metrics: meters that `seg.evaluation` feeds, and scores of what they counted (`seg.metrics.scores`, without torch).

A metric of your own is a file and a YAML. For example, how far the number of regions is off, in ``my_regions.py``::

    import cv2
    import torch

    from seg.metrics import Metric


    def regions(mask):  # ignored pixels, 255, form none
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
``classes``, ``loss`` or ``final`` are told those of the run. `seg.metrics.meters` says what else a meter may take and
have.

``seg-evaluate --config-dir my_conf metric=[default,regions] ...`` computes it of a checkpoint or of masks. A score that
cannot be told, because the set has nothing of its kind, is NaN: a dash in tables, left out of means.

One of ours is exported here (``__all__``, ``_FILES`` and the imports for type checkers), has ``conf/metric/NAME.yaml``
and stands in ``conf/metric/default.yaml``, unless it takes long; ``tests/metrics/test_contract.py`` enrols its YAML.

Meters load on first use, so that what reads scores alone loads no torch.

What bites here: counts become scores in `seg.metrics.scores` alone, without torch; a meter's totals must add up over
processes. One erosion and one dilation of the class indices (ignored = 255, then 0) give the boundaries of all classes
at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seg.metrics.catalogue import Metric

if TYPE_CHECKING:
    from seg.metrics.boundaries import Boundaries
    from seg.metrics.calibration import Calibration
    from seg.metrics.components import Components
    from seg.metrics.errors import ErrorKinds
    from seg.metrics.meters import MeanLoss
    from seg.metrics.pixels import PixelCounts

__all__ = ["Boundaries", "Calibration", "Components", "ErrorKinds", "MeanLoss", "Metric", "PixelCounts"]

_FILES = {
    "Boundaries": "boundaries",
    "Calibration": "calibration",
    "Components": "components",
    "ErrorKinds": "errors",
    "MeanLoss": "meters",
    "PixelCounts": "pixels",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'seg.metrics' has no attribute {name!r}")
    return getattr(import_module(f"seg.metrics.{_FILES[name]}"), name)
