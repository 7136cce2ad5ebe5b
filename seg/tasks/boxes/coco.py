"""Boxes in the JSON of COCO."""

from collections.abc import Sequence
from typing import Any

from seg.tasks.boxes.decode import Boxes


def as_coco(images: Sequence[tuple[str, int, int]], found: Sequence[Boxes], names: Sequence[str]) -> dict[str, Any]:
    """Return ``images``, ``categories`` by name, and ``annotations`` with a ``score``; numbers begin at 1.

    A category is one more than its class index, as `seg.synthetic` has them; ``bbox`` is left, top, width, height.

    Args:
        images: name, height and width of each.
        found: the boxes of each.
        names: of all classes.
    """
    annotations: list[dict[str, Any]] = []
    for image, boxes in enumerate(found, start=1):
        for (left, top, right, bottom), score, index in zip(*(part.tolist() for part in boxes), strict=True):
            size = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": index + 1,
                    "bbox": [round(value, 2) for value in (left, top, *size)],
                    "area": round(size[0] * size[1], 2),
                    "iscrowd": 0,
                    "score": round(score, 5),
                }
            )
    return {
        "images": [
            {"id": number, "file_name": name, "height": height, "width": width}
            for number, (name, height, width) in enumerate(images, start=1)
        ],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(names)],
        "annotations": annotations,
    }
