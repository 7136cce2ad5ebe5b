"""Test-time augmentation: an image seen flipped, turned and scaled, and what is predicted for it averaged."""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seg.files import checks
from seg.inference.padding import Model, whole_image

_FLIPS = {"horizontal": 0, "vertical": 2}  # quarter turns after a flip of left and right
_QUARTERS = (0, 90, 180, 270)


def augmented(
    model: Model,
    flips: Sequence[str] = ("horizontal",),
    scales: Sequence[float] = (1.0,),
    rotations: Sequence[int] = (0,),
) -> Model:
    """Predict several views of the images, and average the probabilities.

    Every scale is combined with every flip, all flips together, and every rotation; views that are the same are
    predicted once. Returned are the logarithms of the mean probabilities, which serve as logits: argmax, softmax and
    losses take them as they are.

    Args:
        model: ``(N, channels, H, W) -> logits (N, C, H, W)`` for H and W multiples of 32, such as `sliding` returns.
        flips: ``horizontal`` (left and right change places), ``vertical``, both (the images upside down as well, and
            turned by 180 degrees), or none.
        scales: of the sides, such as ``(0.75, 1.0, 1.25)``; images and logits are resized bilinearly.
        rotations: counter-clockwise, some of 0, 90, 180 and 270 degrees; 0 has to be named if it is wanted.

    Returns:
        A model for images of any size; each view is padded by its edge to a multiple of 32 pixels.

    Raises:
        ValueError: another value.
    """
    _check(flips, scales, rotations)
    turns = _turns(flips, rotations)

    def predict(images: Tensor) -> Tensor:
        total = None
        for scale in dict.fromkeys(scales):
            sized = _resized(images, [max(1, round(side * scale)) for side in images.shape[-2:]])
            for quarters, flip in turns:
                logits = _turned_back(whole_image(model, _turned(sized, quarters, flip)), quarters, flip)
                logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
                logs = _resized(logits, images.shape[-2:]).log_softmax(1)
                total = logs if total is None else torch.logaddexp(total, logs)
        assert total is not None  # there is a view at least
        return total - math.log(len(turns) * len(dict.fromkeys(scales)))

    return predict


def _turns(flips: Sequence[str], rotations: Sequence[int]) -> list[tuple[int, bool]]:
    """Return the distinct (quarter turns after it, flip of left and right) of all combinations."""
    mirrored = {(0, False)}
    for name in flips:
        mirrored |= {((_FLIPS[name] - k) % 4, not f) for k, f in mirrored}
    return sorted({((k + degrees // 90) % 4, f) for (k, f), degrees in itertools.product(mirrored, rotations)})


def _turned(images: Tensor, quarters: int, flip: bool) -> Tensor:
    return torch.rot90(images.flip(-1) if flip else images, quarters, (-2, -1))


def _turned_back(images: Tensor, quarters: int, flip: bool) -> Tensor:
    turned = torch.rot90(images, -quarters, (-2, -1))
    return turned.flip(-1) if flip else turned


def _resized(images: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size=tuple(size), mode="bilinear", align_corners=False)


def _check(flips: Sequence[str], scales: Sequence[float], rotations: Sequence[int]) -> None:
    if not checks.is_list(flips) or not all(name in _FLIPS for name in flips):
        raise ValueError(
            f"flips: expected some of {', '.join(_FLIPS)}, or none, got {flips!r}; give such as [horizontal]"
        )
    if not checks.is_list(scales) or not scales or not all(checks.is_number(s) and 0 < s <= 8 for s in scales):
        raise ValueError(
            f"scales: expected numbers above 0 and at most 8, got {scales!r}; give such as [0.75,1.0,1.25]"
        )
    if not checks.is_list(rotations) or not rotations or not all(turn in _QUARTERS for turn in rotations):
        raise ValueError(
            f"rotations: expected some of {', '.join(map(str, _QUARTERS))} degrees, got {rotations!r}; give such as [0]"
        )
