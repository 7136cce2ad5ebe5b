"""Lovasz-Softmax loss."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seg.files import checks
from seg.losses.native import native_lovasz
from seg.losses.pixels import prepare
from seg.losses.regions import Absent, class_mean
from seg.losses.weight import ClassWeight


class LovaszSoftmax(nn.Module):
    """The Lovasz extension of the Jaccard loss of each class, averaged over classes (Berman et al. 2018).

    It sorts the errors of every class, which takes several times as long as the other losses do, and on the plain path
    several times their memory.
    In a distributed run the errors of all processes are not sorted together: with ``batch`` each process takes the loss
    of its own images, and the mean is over the processes that have a labelled pixel. Per image the value is the same
    on one process or many.

    Args:
        batch: sort the errors of the batch together; False takes the loss of each image and averages over those with
            a labelled pixel.
        absent: ``skip`` averages over the classes that the target has, ``count`` over all.
        weight: one number per class for a weighted mean over the classes averaged; None = 1 for all.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(self, *, batch: bool = True, absent: Absent = "skip", weight: Iterable[float] | None = None) -> None:
        super().__init__()
        checks.choice("absent", absent, ["skip", "count"])
        self.batch = batch
        self.absent: Absent = absent
        self.weight = ClassWeight(weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        values, labelled = native_lovasz(logits, target, batch=self.batch) or self._by_class(logits, target)
        loss = class_mean(values, labelled, batch=False, absent=self.absent, weight=self.weight(values))
        return loss.to(torch.promote_types(logits.dtype, torch.float32))  # native values are float64

    def _by_class(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and labelled pixels of each class: (1, C) of the batch, or (N, C) per image."""
        logits, labels, valid = prepare(logits, target)
        classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
        own = (labels.unsqueeze(1) == classes) & valid.unsqueeze(1)
        errors = (own.to(logits.dtype) - logits.softmax(1)).abs()
        # errors are in 0..1: at -1 ignored pixels are sorted behind all others and change no rank
        errors = torch.where(valid.unsqueeze(1), errors, -1)
        errors, order = self._rows(errors).sort(dim=-1, descending=True, stable=True)
        own = self._rows(own).gather(-1, order)
        return (errors.clamp(min=0) * _slope(own, errors.dtype)).sum(-1), own.sum(-1)

    def _rows(self, pixels: Tensor) -> Tensor:
        """Reshape (N, C, H, W) to (1, C, N * H * W), or to (N, C, H * W) per image."""
        return pixels.transpose(0, 1).flatten(1).unsqueeze(0) if self.batch else pixels.flatten(2)


def _slope(own: Tensor, dtype: torch.dtype) -> Tensor:
    """Return by how much each pixel, in order of decreasing error, raises ``1 - intersection / union`` (..., pixels).

    Computed in closed form from intersection and union: differences of the loss itself, which are about 1 / pixels,
    would have few digits left in float32.
    """
    # counted in int32: float32 would stop at 2^24 pixels
    rank = torch.arange(1, own.shape[-1] + 1, dtype=torch.int32, device=own.device)
    hits = own.cumsum(-1, dtype=torch.int32)
    total = own.sum(-1, keepdim=True, dtype=torch.int32)
    union = (total + rank - hits).to(dtype)
    new = torch.where(total > 0, (total - hits).to(dtype) / (union * (union - 1).clamp(min=1)), (rank == 1).to(dtype))
    return torch.where(own, 1 / union, new)
