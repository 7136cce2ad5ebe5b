"""The task of predicting boxes: what loading workers prepare of a mask, and what a batch costs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.boxes.targets import MOST, find_objects
from seg.losses._regions import divide
from seg.losses._shared import total


def prepare(
    mask: Tensor, *, classes: Sequence[int] | None = None, min_area: int = 1, cut: bool = True
) -> dict[str, Tensor]:
    """``objects (H, W) uint8`` of a mask (H, W), 0 = none, else a row + 1 of ``boxes (255, 5)``: xyxy and pixels.

    Args:
        classes, min_area: see `find_objects`.
        cut: with the objects that reach ignored pixels or the border, of which the box may be too small.
    """
    found = find_objects(mask.numpy(), classes=classes, min_area=min_area)
    boxes = torch.zeros(MOST, 5)
    rows = torch.cat([torch.from_numpy(found.boxes), torch.from_numpy(found.areas)[:, None]], 1)
    boxes[: len(rows)] = rows
    index = torch.from_numpy(found.index)
    if not cut:
        whole = torch.from_numpy(~(found.border | found.ignored))
        index = index * F.pad(whole, (1, 0)).byte()[index.long()]
    return {"objects": index, "boxes": boxes}


def box_losses(maps, extra, box_loss):
    objects, boxes = extra["objects"], extra["boxes"]
    image, row, column = objects.nonzero(as_tuple=True)
    rows = boxes[image, objects[image, row, column].long() - 1]
    centre = torch.stack([column, row], 1) + 0.5
    sides = torch.cat([centre - rows[:, :2], rows[:, 2:4] - centre], 1)
    area = rows[:, 4]
    found = maps[image, :, row, column]
    near, far = torch.minimum(sides[:, :2], sides[:, 2:]), torch.maximum(sides[:, :2], sides[:, 2:])
    centerness = (near / far).prod(1).sqrt()
    unit = ((rows[:, 2:4] - rows[:, :2]).prod(1, keepdim=True)).sqrt()
    sign = maps.new_tensor([-1.0, -1, 1, 1])
    cost = box_loss(sign * found[:, :4] / unit, sign * sides / unit, reduction="none")
    cost = cost.mean(1) if cost.ndim == 2 else cost
    weight = centerness / area
    bce = F.binary_cross_entropy_with_logits(found[:, 4], centerness, reduction="none")
    sums = total((cost * weight).sum(), weight.sum(), (bce / area).sum(), (1 / area).sum())
    return divide(sums[0], sums[1]), divide(sums[2], sums[3])
