"""Boxes of objects, learnt from masks: targets, a head, its task, decoding, and the average precision.

The boxes of a mask are those of its connected components, or of its objects where these are numbered (`find_objects`).
A `BoxHead` on the last features of a segmentation's decoder predicts, at every pixel, the box that the pixel belongs to
and how central it is in it; `BoxTask` is what that costs, and `decode` makes boxes of it, with the classes and scores
of the segmentation.
"""

from seg.tasks.boxes.coco import as_coco
from seg.tasks.boxes.decode import Boxes, Candidates, candidates, decode, select
from seg.tasks.boxes.head import BoxHead, BoxRules
from seg.tasks.boxes.meter import BoxMeter
from seg.tasks.boxes.targets import find_objects
from seg.tasks.boxes.task import BoxTask, prepare

__all__ = [
    "BoxHead",
    "BoxMeter",
    "BoxRules",
    "BoxTask",
    "Boxes",
    "Candidates",
    "as_coco",
    "candidates",
    "decode",
    "find_objects",
    "prepare",
    "select",
]
