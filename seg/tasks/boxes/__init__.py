"""Boxes of objects, learnt from masks: targets, a head, its task, decoding, and the average precision.

The boxes of a mask are those of its connected components, or of its objects where these are numbered (`find_objects`).
A `BoxHead` on the last features of a segmentation's decoder predicts, at every pixel, the box that the pixel belongs to
and how central it is in it; `BoxTask` is what that costs, and `decode` makes boxes of it, with the classes and scores
of the segmentation.
"""

from seg.tasks.boxes.coco import as_coco
from seg.tasks.boxes.decode import CHANNELS, Boxes, Candidates, candidates, decode, select
from seg.tasks.boxes.head import BoxHead, BoxRules, JoinedBoxes, head_of, joined
from seg.tasks.boxes.meter import BoxMeter, Instances, average_precision, check_library, image_precisions
from seg.tasks.boxes.targets import MOST, Objects, find_objects
from seg.tasks.boxes.task import BoxTask, prepare

__all__ = [
    "CHANNELS",
    "MOST",
    "BoxHead",
    "BoxMeter",
    "BoxRules",
    "BoxTask",
    "Boxes",
    "Candidates",
    "Instances",
    "JoinedBoxes",
    "Objects",
    "as_coco",
    "average_precision",
    "candidates",
    "check_library",
    "decode",
    "find_objects",
    "head_of",
    "image_precisions",
    "joined",
    "prepare",
    "select",
]
