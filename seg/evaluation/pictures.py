"""A picture of one image: itself, what it should be, what was predicted."""

from pathlib import Path

from seg.data.pairs import Pair
from seg.files import write_png
from seg.images import Image, as_rgb, read_mask
from seg.labels import LabelMap
from seg.report import pictures
from seg.tasks.boxes import Boxes
from seg.tasks.boxes.drawing import for_panel


def draw(
    path: Path, pair: Pair, image: Image, prediction: Image, labels: LabelMap, boxes: Boxes | None = None
) -> Image:
    """Write image | target | prediction of one pair as PNG and return it; of more than three bands the first ones."""
    target = read_mask(pair.mask, labels.classes)
    picture = pictures.panel(
        as_rgb(image), prediction, labels.palette, labels.names, target=target, boxes=for_panel(boxes)
    )
    write_png(path, picture)
    return picture
