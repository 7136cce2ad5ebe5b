"""From the maps of a head to boxes with classes and scores."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms

_BEFORE = 1000  # candidates of an image that are compared with each other, as in FCOS
_PEAK = 3  # pixels: a candidate is the best of so many, each way


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


def decode(
    logits: Tensor,
    maps: Tensor,
    *,
    classes: Sequence[int] | None = None,
    threshold: float = 0.05,
    overlap: float = 0.6,
    most: int = 100,
) -> list[Boxes]:
    """Boxes of every image: those of the pixels with the best scores nearby, without those that overlap better ones.

    A box has the class of its pixel; its score is the probability of that class times the centerness.

    Args:
        logits: (N, C, H, W) of the segmentation.
        maps: (N, 5, H, W) of `seg.boxes.BoxHead`.
        classes: indices of those that have boxes; None = all.
        threshold: least score.
        overlap: IoU with a better box of its class from which a box is left out (non-maximum suppression).
        most: boxes of an image.
    """
    shares, labels = logits.float().softmax(1).max(1)
    scores = shares * maps[:, 4].sigmoid()
    if classes is not None:
        scores = scores * torch.isin(labels, torch.tensor(list(classes), device=labels.device))
    peak = F.max_pool2d(scores[:, None], _PEAK, 1, _PEAK // 2)[:, 0]
    scores = scores.where((scores == peak) & (scores > threshold), scores.new_zeros(()))
    return [_decoded(*each, overlap, most) for each in zip(scores, labels, maps[:, :4].float(), strict=True)]


def _decoded(scores: Tensor, labels: Tensor, sides: Tensor, overlap: float, most: int) -> Boxes:
    """Of one image: scores (H, W), 0 where there is none, labels (H, W), sides (4, H, W)."""
    height, width = scores.shape
    number = min(_BEFORE, int(scores.count_nonzero()))
    best, place = scores.flatten().topk(number)
    x, y = place % width + 0.5, place // width + 0.5
    left, top, right, bottom = sides.flatten(1)[:, place]
    edges = (
        (x - left).clamp(min=0),
        (y - top).clamp(min=0),
        (x + right).clamp(max=width),
        (y + bottom).clamp(max=height),
    )
    boxes, classes = torch.stack(edges, 1), labels.flatten()[place]
    kept = batched_nms(boxes, best, classes, overlap)[:most]
    return Boxes(boxes[kept], best[kept], classes[kept])
