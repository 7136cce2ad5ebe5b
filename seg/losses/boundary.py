"""Boundary loss and the signed distance maps it needs."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seg.labels import IGNORE
from seg.losses._check import check_choice, check_classes
from seg.losses._pixels import per_pixel, prepare

Pixels = npt.NDArray[Any]


class Boundary(nn.Module):
    """``sum_x,c distance_c(x) p_c(x) / (pixels * classes)`` over the labelled pixels (Kervadec et al. 2019, 2021).

    The bare boundary term: linear in the probabilities, negative when good, and the smaller the better. It is meant
    to be added to a region loss (``conf/loss/boundary.yaml``): alone it is easily trapped where a class is predicted
    nowhere. The maps are made from the labelled pixels alone: ignored ones are unknown and make no boundary. A class
    that is absent from an image, or alone in it, has a map of zeros.

    Args:
        normalize: ``none`` leaves distances in pixels (the paper); ``diagonal`` divides them by the diagonal of the
            image, ``maximum`` each map by its largest magnitude.
        classes: indices of those that count; None = all.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore,
        ``distance (N, C, H, W)`` floating, as `signed_distance` makes it, or the maps of ``classes`` alone in their
        order; in pixels, whatever ``normalize``; its values at ignored pixels do not matter -> scalar.
        Without ``distance`` it is made here, on the CPU: slow, and a synchronisation on a GPU. Let the loader make
        it, after augmentation.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(
        self,
        *,
        normalize: Literal["none", "diagonal", "maximum"] = "none",
        classes: Iterable[int] | None = None,
    ) -> None:
        super().__init__()
        check_choice("normalize", normalize, "none", "diagonal", "maximum")
        self.normalize = normalize
        self.classes = None if classes is None else check_classes(classes)

    def forward(self, logits: Tensor, target: Tensor, distance: Tensor | None = None) -> Tensor:
        logits, _, valid = prepare(logits, target)
        count = logits.shape[1]
        if self.classes is not None and max(self.classes) >= count:
            raise ValueError(f"classes: expected class indices 0..{count - 1}, got {self.classes}")
        if distance is None:
            distance = signed_distance(target, count, only=self.classes)
        p = logits.softmax(1)
        if self.classes is not None:
            p = p[:, self.classes]
            if distance.ndim == 4 and distance.shape[1] == count:
                distance = distance[:, self.classes]
        if distance.shape != p.shape or not distance.is_floating_point():
            raise ValueError(
                f"distance: expected floating {tuple(logits.shape)} to match logits, "
                f"got {distance.dtype} {tuple(distance.shape)}"
            )
        distance = torch.where(valid.unsqueeze(1), distance.to(p.device, p.dtype), 0)
        return per_pixel((p * self._normalized(distance)).sum(), valid) / p.shape[1]

    def _normalized(self, distance: Tensor) -> Tensor:
        if self.normalize == "diagonal":
            height, width = distance.shape[2:]
            return distance / max(float(np.hypot(height, width)), 1.0)
        if self.normalize == "maximum":
            largest = distance.abs().amax((2, 3), keepdim=True)
            return distance / torch.where(largest > 0, largest, 1)
        return distance


def signed_distance(target: Tensor, classes: int, *, only: Sequence[int] | None = None) -> Tensor:
    """Distance of every labelled pixel to the class's region in pixels: positive outside, 0 at its rim, negative in it.

    Outside, the distance to the nearest labelled pixel of the class; inside, 1 less than the distance to the nearest
    labelled pixel of any other class, negated. 0 at ignored pixels, and everywhere if the class has no labelled
    pixel or all of them. Exact (Euclidean, rounded once to float32) up to distances of about 1500 pixels.

    Args:
        target: (N, H, W) or (H, W) uint8 or int64, 255 = ignore; on any device.
        classes: C, the number of classes.
        only: classes to make maps of; the others' are 0. None = all.

    Returns:
        (N, C, H, W), or (C, H, W), float32 on the CPU.
    """
    if target.ndim not in (2, 3):
        raise ValueError(f"target: expected (N, H, W) or (H, W), got {tuple(target.shape)}")
    maps: Tensor = _signed_distance(target, classes, None if only is None else list(only))
    return maps


@torch.library.custom_op("seg::signed_distance", mutates_args=())
def _signed_distance(target: Tensor, classes: int, only: list[int] | None) -> Tensor:
    """The work of `signed_distance`, as one operation that a compiled graph calls without looking into it."""
    masks = target.cpu().numpy()
    height, width = masks.shape[-2:]
    maps = np.zeros((*masks.shape[:-2], classes, height, width), dtype=np.float32)
    pairs = zip(masks, maps, strict=True) if masks.ndim == 3 else [(masks, maps)]
    for mask, image_maps in pairs:
        _fill(image_maps, mask, range(classes) if only is None else only)
    return torch.from_numpy(maps)


@_signed_distance.register_fake
def _(target: Tensor, classes: int, only: list[int] | None) -> Tensor:
    shape = (*target.shape[:-2], classes, *target.shape[-2:])
    return target.new_empty(shape, dtype=torch.float32, device="cpu")


def _fill(maps: Pixels, mask: Pixels, wanted: Iterable[int]) -> None:
    """Write the maps (C, H, W) of one mask (H, W)."""
    labelled = mask != IGNORE
    for index in wanted:
        own = mask == index
        others = labelled & ~own
        if own.any() and others.any():
            maps[index] = np.where(own, 1 - _distance_to(others), _distance_to(own)) * labelled


def _distance_to(points: Pixels) -> Pixels:
    """Euclidean distance (H, W) float64 of every pixel to the nearest one where ``points`` (H, W) is True."""
    import cv2  # here: the other losses do without it

    rough = cv2.distanceTransform((~points).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # squared distances are whole numbers; rounding them takes away what OpenCV's float32 arithmetic adds
    return np.sqrt(np.rint(np.square(rough, dtype=np.float64)))
