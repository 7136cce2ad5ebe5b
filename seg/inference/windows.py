"""Sliding windows: images of any size in pieces of the size that a model was trained on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from seg.files import checks
from seg.inference.memory import out_of_memory
from seg.inference.padding import Model, whole_image

SMALLEST = 32
_ROWS = 64  # of a strip, at most


@dataclass(frozen=True)
class Sliding:
    """What `sliding` returns: a model ``(N, channels, H, W) -> logits (N, C, H, W)`` that can also give them in strips.

    Attributes:
        model: predicts a window.
        window, overlap: in pixels; ``0 <= overlap < window``.
        weighting: of the pixels of a window.
    """

    model: Model
    window: int
    overlap: int
    weighting: Literal["gaussian", "constant"]

    def __call__(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        out, top = None, 0
        for strip in self.strips(lambda first, last: images[..., first:last, :], height, width):
            if out is None:
                out = strip.new_empty(*strip.shape[:2], height, width)
            out[..., top : top + strip.shape[2], :] = strip
            top += strip.shape[2]
        assert out is not None  # every image has a window
        return out

    def strips(
        self,
        rows: Callable[[int, int], Tensor],
        height: int,
        width: int,
        prepare: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> Iterator[Tensor]:
        """Yield logits (N, C, h, width) from the top down, each strip as soon as no further window reaches it.

        Memory holds one row of windows: ``window * width`` pixels of the images and of their logits.

        Args:
            rows: (first, last) -> images (N, channels, last - first, width), such as 8-bit ones.
            prepare: makes of a window of them what the model takes.
        """
        down, across = (self._shares(side) for side in (height, width))
        total, band, reached = None, None, 0  # sums of the logits of the rows below `top`, and these rows
        for number, (top, rows_share) in enumerate(down):
            bottom = top + len(rows_share)
            fresh = rows(reached, bottom)  # every row is asked for once: of a file, it is decoded then
            band = fresh if band is None else torch.cat([band[..., band.shape[-2] - (reached - top) :, :], fresh], -2)
            reached = bottom
            for left, share in across:
                logits = self._predicted(prepare(band[..., left : left + len(share)]))
                if logits.dtype in (torch.float16, torch.bfloat16):
                    logits = logits.float()
                if total is None:
                    total = logits.new_zeros(*logits.shape[:2], len(rows_share), width)
                total[..., left : left + len(share)] += logits * (rows_share.to(logits)[:, None] * share.to(logits))
            assert total is not None  # every image has a window
            done = (down[number + 1][0] if number + 1 < len(down) else height) - top
            for first in range(0, done, _ROWS):
                yield total[..., first : min(first + _ROWS, done), :].clone()
            _shift(total, done)

    def _predicted(self, images: Tensor) -> Tensor:
        """Return logits of a window, or of an image that is smaller."""
        try:
            return whole_image(self.model, images)
        except Exception as error:
            if min(images.shape[-2:]) >= self.window or out_of_memory(error):
                raise
            return whole_image(self.model, images, self.window)  # a model of one size may take that

    def _shares(self, side: int) -> list[tuple[int, Tensor]]:
        """Return where the windows begin along one side, and the share (window,) that each has in its pixels' logits.

        The shares of a pixel sum to 1; where one window alone reaches, its share is exactly 1.
        """
        size = min(self.window, side)
        count = math.ceil((side - size) / (self.window - self.overlap)) + 1
        starts = [round(i * (side - size) / max(count - 1, 1)) for i in range(count)]
        place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        weight = torch.exp(-0.5 * (place / (size / 8)) ** 2) if self.weighting == "gaussian" else torch.ones_like(place)
        sums = torch.zeros(side, dtype=torch.float64)
        for start in starts:
            sums[start : start + size] += weight
        return [(start, weight / sums[start : start + size]) for start in starts]


def sliding(
    model: Model,
    window: int = 512,
    overlap: float = 0.5,
    weighting: Literal["gaussian", "constant"] = "gaussian",
) -> Sliding:
    """Predict square windows that overlap, and average their logits.

    The windows are spread evenly. Logits are averaged as nnU-Net does (Isensee et al. 2021), whose Gaussian this is;
    where one window alone reaches, its logits stay as they are. An image that is smaller than the window is predicted
    whole, padded by its edge to a multiple of 32 pixels (`whole_image`), and so is a side that is; to the window, if
    the model refuses that because it takes one size alone.

    Args:
        model: ``(N, channels, H, W) -> logits (N, C, H, W)`` for H and W multiples of 32, such as `augmented` returns.
        window: side in pixels, at least 32; best that of the crops in training.
        overlap: of neighbouring windows, at least: a whole number of pixels, or a share of the window, 0 <= share < 1.
        weighting: ``gaussian``: sigma 1/8 of the window, so that its border counts little; ``constant``.

    Raises:
        ValueError: another value.
    """
    checks.whole("window", window, SMALLEST, remedy="give such as 512")
    checks.choice("weighting", weighting, ("gaussian", "constant"))
    return Sliding(model, window, _pixels(overlap, window), weighting)


def _pixels(overlap: float, window: int) -> int:
    share = checks.is_number(overlap) and 0 <= overlap < 1
    pixels = overlap if checks.is_whole(overlap) else round(overlap * window) if share else -1
    if not 0 <= pixels < window:
        raise ValueError(
            f"overlap: expected pixels below the window of {window}, or a share of it below 1, so that the next window "
            f"begins at least a pixel further, got {overlap!r}; give such as {window // 2}, or 0.5"
        )
    return pixels


def _shift(rows: Tensor, count: int) -> None:
    """Move rows (..., h, W) up by a count, within their memory, and let zeros follow."""
    height = rows.shape[-2]
    for first in range(count, height, count):  # pieces that do not reach into where they go
        last = min(first + count, height)
        rows[..., first - count : last - count, :] = rows[..., first:last, :]
    rows[..., height - count :, :] = 0
