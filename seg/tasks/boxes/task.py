"""The task of predicting boxes: what loading workers prepare of a mask, and what a batch costs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.data.batches import Batch
from seg.files import checks
from seg.losses import over_processes
from seg.models.heads import at_pixels
from seg.tasks.boxes.targets import MOST, find_objects
from seg.tasks.objective import Losses

Cut = Literal["keep", "skip"]

_TENTHS = 10


class BoxTask(nn.Module):
    """What the maps of a `BoxHead` cost: a box loss and, for the centerness, binary cross entropy.

    Every pixel of an object predicts its box. As in FCOS (Tian et al. 2019, eq. 2 and 3) the box loss is weighted by
    the centerness ``sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))``; and in both terms all pixels of an object
    together count as much as those of another one, or large objects would be all that is learnt. Boxes are measured in
    tenths of the square root of the true box's area; only ``smooth_l1``, which is not scale-invariant, notices that.

    Terms: ``box``, ``centerness``; without objects both are 0.

    Args:
        box_loss: of `seg.losses.boxes`: ``(pred, target, reduction="none")`` of xyxy pairs (P, 4).
        countable: indices of the classes that have objects, None = all.
        min_area: pixels of the smallest object.
        cut: ``skip``: leave out the objects that reach the border or ignored pixels, of which the box may be too small.

    Raises:
        ValueError: another ``cut``.
    """

    def __init__(
        self,
        box_loss: Callable[..., Tensor],
        *,
        countable: Sequence[int] | None = None,
        min_area: int = 16,
        cut: Cut = "keep",
    ) -> None:
        super().__init__()
        checks.choice("cut", cut, ("keep", "skip"))
        self.box_loss = partial(box_loss, reduction="none")
        self.prepare = partial(prepare, countable=countable, min_area=min_area, cut=cut)

    def forward(self, output: Tensor, logits: Tensor, batch: Batch) -> Losses:
        objects, boxes = batch.extra["objects"], batch.extra["boxes"]
        maps = at_pixels(output, objects.shape[-2:])
        image, row, column = objects.nonzero(as_tuple=True)
        target = boxes[image, objects[image, row, column].long() - 1]
        box, area = target[:, :4], target[:, 4]
        sides = _sides(torch.stack([column, row], 1) + 0.5, box)
        central = centerness(sides)
        found = maps[image, :, row, column]
        pair = (_TENTHS * _around(each) / _size(box) for each in (found[:, :4], sides))
        costs = self.box_loss(*pair)
        costs = costs.mean(1) if costs.ndim == 2 else costs
        doubts = F.binary_cross_entropy_with_logits(found[:, 4], central, reduction="none")
        sums = ((costs * central / area).sum(), (central / area).sum(), (doubts / area).sum(), (1 / area).sum())
        costs, weights, doubts, number = over_processes(*sums)
        terms = {"box": costs / weights.clamp(min=1e-6), "centerness": doubts / number.clamp(min=1e-6)}
        return Losses(terms["box"] + terms["centerness"], {name: term.detach() for name, term in terms.items()})


def prepare(
    mask: Tensor,
    *,
    instances: Tensor | None = None,
    countable: Sequence[int] | None = None,
    min_area: int = 1,
    cut: Cut = "keep",
) -> dict[str, Tensor]:
    """Return ``objects (H, W) uint8`` of a mask (H, W), 0 = none, else a row + 1 of ``boxes (255, 5)``: xyxy, pixels.

    Args:
        instances: (H, W) int32, number of the object at each pixel, 0 = none; None = connected components are objects.
        countable, min_area, cut: see `BoxTask`.
    """
    numbers = None if instances is None else instances.numpy()
    found = find_objects(mask.numpy(), instances=numbers, classes=countable, min_area=min_area)
    boxes, index = torch.zeros(MOST, 5), torch.from_numpy(found.numbers)
    boxes[: len(found.boxes), :4] = torch.from_numpy(found.boxes)
    boxes[: len(found.boxes), 4] = torch.from_numpy(found.areas)
    if cut == "skip":
        whole = torch.from_numpy(~(found.border | found.ignored))
        index = index * F.pad(whole, (1, 0))[index.long()]
    return {"objects": index, "boxes": boxes}


def centerness(sides: Tensor) -> Tensor:
    """Return 1 in the middle of a box, 0 at its sides, from distances (P, 4) to the left, top, right and bottom."""
    first, second = sides[:, :2], sides[:, 2:]
    return (first.minimum(second) / first.maximum(second)).prod(1).sqrt()


def _sides(centre: Tensor, box: Tensor) -> Tensor:
    """Return distances (P, 4) from points (P, 2) to the sides of boxes (P, 4) xyxy."""
    return torch.cat([centre - box[:, :2], box[:, 2:] - centre], 1)


def _around(sides: Tensor) -> Tensor:
    """Return boxes (P, 4) xyxy around the origin, from distances to their sides."""
    return torch.cat([-sides[:, :2], sides[:, 2:]], 1)


def _size(box: Tensor) -> Tensor:
    return (box[:, 2:] - box[:, :2]).prod(1, keepdim=True).sqrt()
