"""Which boxes a picture shows."""

from seg.tasks.boxes.decode import Boxes

SHOWN = 0.3
"""Score from which a box is drawn: with all that are kept for the average precision nothing else would be seen."""


def shown(boxes: Boxes) -> tuple[list[list[float]], list[int]]:
    """Return the good boxes and their classes, for `seg.report.pictures.outlined`."""
    good = boxes.scores >= SHOWN
    return boxes.boxes[good].tolist(), boxes.classes[good].tolist()
