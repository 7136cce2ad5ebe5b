"""From the maps of a head to boxes with classes and scores."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms

CHANNELS = 5
"""Distances to the left, top, right and bottom side in pixels, and the logit of the centerness."""

MOST_FOUND = 100
"""Boxes of an image at most, as COCO counts them."""

_BEFORE = 1000  # candidates of an image that are compared with each other, as in FCOS
_PEAK = 5  # a candidate has the best score of a square of so many pixels


class Boxes(NamedTuple):
    """The k boxes of an image, the best first.

    Attributes:
        boxes: (k, 4) float32, xyxy in pixels, within the image.
        scores: (k,) float32 in 0..1.
        classes: (k,) int64.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor


class Candidates(NamedTuple):
    """What is known of a box at every pixel of N images, without the logits.

    Attributes:
        scores: (N, H, W) float32, probability of the pixel's class times centerness; 0 where it is not countable.
        classes: (N, H, W) uint8.
        sides: (N, 4, H, W) float32, distances to the left, top, right and bottom side.
    """

    scores: Tensor
    classes: Tensor
    sides: Tensor


def candidates(logits: Tensor, maps: Tensor, countable: Sequence[int] | None = None) -> Candidates:
    """Return a box at every pixel.

    Args:
        logits: (N, C, H, W) of the segmentation.
        maps: (N, 5, H, W) of `seg.tasks.boxes.BoxHead`.
        countable: indices of the classes that have boxes; None = all.
    """
    shares, classes = logits.float().softmax(1).max(1)
    scores = shares * maps[:, 4].float().sigmoid()
    if countable is not None:
        scores = scores * torch.isin(classes, torch.tensor(list(countable), device=classes.device))
    return Candidates(scores, classes.byte(), maps[:, :4].float())


def select(
    found: Candidates, *, threshold: float = 0.05, overlap: float = 0.6, most: int = MOST_FOUND, min_area: float = 0
) -> list[Boxes]:
    """Select the boxes of every image: pixels with the best scores nearby, without those that overlap better ones.

    Args:
        threshold: least score.
        overlap: IoU with a better box of its class from which a box is left out (non-maximum suppression).
        most: boxes of an image.
        min_area: pixels of the smallest box.
    """
    peaks = F.max_pool2d(found.scores[:, None], _PEAK, 1, _PEAK // 2)[:, 0]
    good = (found.scores == peaks) & (found.scores > threshold)
    scores = found.scores.where(good, found.scores.new_zeros(()))
    return [_selected(*each, overlap, most, min_area) for each in zip(scores, found.classes, found.sides, strict=True)]


def _selected(scores: Tensor, classes: Tensor, sides: Tensor, overlap: float, most: int, min_area: float) -> Boxes:
    """Select from one image: scores (H, W), 0 = no candidate, classes (H, W), sides (4, H, W)."""
    height, width = scores.shape
    best, place = scores.flatten().topk(min(_BEFORE, int(scores.count_nonzero())))
    x, y = place % width + 0.5, place // width + 0.5
    left, top, right, bottom = sides.flatten(1)[:, place]
    boxes = torch.stack([x - left, y - top, x + right, y + bottom], 1)
    boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
    large = (boxes[:, 2:] - boxes[:, :2]).prod(1) >= min_area
    boxes, best, named = boxes[large], best[large], classes.flatten()[place].long()[large]
    kept = batched_nms(boxes, best, named, overlap)[:most]
    return Boxes(boxes[kept], best[kept], named[kept])


def decode(
    logits: Tensor,
    maps: Tensor,
    *,
    countable: Sequence[int] | None = None,
    threshold: float = 0.05,
    overlap: float = 0.6,
    most: int = MOST_FOUND,
    min_area: float = 0,
) -> list[Boxes]:
    """Return the boxes of every image (`candidates`, `select`), such as from an exported model's outputs.

    A box has the class of its pixel; its score is the probability of that class times the centerness.
    """
    found = candidates(logits, maps, countable)
    return select(found, threshold=threshold, overlap=overlap, most=most, min_area=min_area)
