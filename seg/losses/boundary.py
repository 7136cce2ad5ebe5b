"""Boundary loss."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from seg.files import checks
from seg.losses.arguments import check_classes
from seg.losses.distance import signed_distance
from seg.losses.native import native_sums
from seg.losses.pixel_sums import FIELD, LABELLED, Need, PixelSums
from seg.losses.pixels import per_pixel, prepare


class Boundary(nn.Module):
    """``sum_x,c distance_c(x) p_c(x) / (pixels * classes)`` over the labelled pixels (Kervadec et al. 2019, 2021).

    The boundary term alone: linear in the probabilities, the lower the better, and negative for a good prediction. It
    is meant to be added to a region loss (``conf/loss/boundary.yaml``), because by itself it easily gets stuck where a
    class is predicted nowhere. The maps are made from the labelled pixels only: ignored ones form no boundary. A class
    that is absent from an image, or covers all of it, has a map of zeros.

    Args:
        normalize: ``none`` leaves distances in pixels (the paper); ``diagonal`` divides them by the diagonal of the
            image, ``maximum`` each map by its largest magnitude.
        classes: indices of the classes that count; None = all.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore,
        ``distance (N, C, H, W)`` floating, as `signed_distance` makes it, or only the maps of ``classes`` in their
        order; in pixels, whatever ``normalize``; its values at ignored pixels do not matter -> scalar.
        If ``distance`` is None it is computed here on the CPU, which is slow and makes a GPU wait. Have the loader
        compute it, after augmentation (`distances_for`).

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    can_be_negative = True  # what `seg.losses.weighting` asks
    spans_batches = True

    def __init__(
        self,
        *,
        normalize: Literal["none", "diagonal", "maximum"] = "none",
        classes: Iterable[int] | None = None,
    ) -> None:
        super().__init__()
        checks.choice("normalize", normalize, ["none", "diagonal", "maximum"])
        self.normalize = normalize
        self.classes = None if classes is None else check_classes(classes)

    def forward(self, logits: Tensor, target: Tensor, distance: Tensor | None = None) -> Tensor:
        native = native_sums(self, logits, target, distance)
        if native is not None:
            return self.from_sums(native).to(native.dtype)
        # unlike the other losses by sums, this one is written a second time: maps of a few classes would have to be
        # padded to all of them for a sum, and `maximum` rescales maps that other terms of a composite share.
        # Measured at (4, 19, 256, 256) on a CPU: by `PlainSums` 2.1 times as long for one class, 1.5 times for all
        logits, _, valid = prepare(logits, target)
        classes = self._wanted(logits.shape[1])
        if distance is None:
            distance = signed_distance(target, logits.shape[1], only=self.classes)
        p = logits.softmax(1)
        if self.classes is not None:
            p = p[:, classes]
            if distance.ndim == 4 and distance.shape[1] == logits.shape[1]:
                distance = distance[:, classes]
        if distance.shape != p.shape or not distance.is_floating_point():
            raise ValueError(
                f"distance: expected floating {tuple(logits.shape)} to match logits, "
                f"got {distance.dtype} {tuple(distance.shape)}; make it with seg.losses.distances_for"
            )
        # ignored pixels: `prepare` made their logits 0, not their probabilities
        distance = torch.where(valid.unsqueeze(1), distance.to(p.device, p.dtype), 0)
        return per_pixel((p * self._normalized(distance)).sum(), valid.sum()) / len(classes)

    def sums_needed(self) -> tuple[Need, ...]:
        return () if self.normalize == "maximum" else (LABELLED, FIELD)

    def from_sums(self, sums: PixelSums) -> Tensor:
        classes = self._wanted(sums[FIELD].shape[1])
        value = per_pixel(sums[FIELD][:, classes].sum(), sums.pixels()) / len(classes)
        return value / _diagonal(sums.size) if self.normalize == "diagonal" else value

    def _wanted(self, count: int) -> list[int]:
        if self.classes is None:
            return list(range(count))
        if max(self.classes) >= count:
            raise ValueError(f"classes: expected class indices 0..{count - 1}, got {self.classes}")
        return self.classes

    def _normalized(self, distance: Tensor) -> Tensor:
        if self.normalize == "diagonal":
            return distance / _diagonal(distance.shape[2:])
        if self.normalize == "maximum":
            largest = distance.abs().amax((2, 3), keepdim=True)
            return distance / torch.where(largest > 0, largest, 1)
        return distance


def _diagonal(size: Sequence[int]) -> float:
    return max(math.hypot(*size), 1.0)
