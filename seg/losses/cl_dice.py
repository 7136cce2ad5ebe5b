"""Centreline Dice loss, for thin and branching classes."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.files import checks
from seg.losses.arguments import check_classes
from seg.losses.pixels import prepare
from seg.losses.processes import over_processes
from seg.losses.regions import Absent, class_mean, divide


class ClDice(nn.Module):
    """``1 - 2 a b / (a + b)``, averaged over classes: Dice of centrelines (Shit et al. 2021, CVPR).

    ``a = (sum S(p) y + s) / (sum S(p) + s)`` is the share of the predicted centreline that lies in the class,
    ``b = (sum S(y) p + s) / (sum S(y) + s)`` the share of the true centreline that is predicted; S is the soft
    skeleton, made by minima over crosses and maxima over squares of 3 x 3 pixels. A gap in a road costs much, a wrong
    width little: for roads, vessels, cracks. It is meant to be added to a region loss (``conf/loss/cl_dice.yaml``),
    because a class that covers the image has no centreline. Ignored pixels, like those outside the image, take part in
    no minimum or maximum. Memory grows with ``iterations`` times the number of classes: name the thin ones.

    Args:
        iterations: erosions, at least half the greatest width of the class in pixels.
        smooth: s, > 0.
        classes: indices of the classes that count; None = all.
        batch: sum over the batch; False takes the loss of each image and averages over those with a labelled pixel.
        absent: ``skip`` averages over the classes that the target has (in the batch, or in each image), ``count``
            over all.

    Shape:
        ``logits (N, C, H, W)`` floating, ``target (N, H, W)`` uint8 or int64, 255 = ignore -> scalar.

    Raises:
        ValueError: an option out of range, or arguments of the wrong shape or type.
    """

    def __init__(
        self,
        *,
        iterations: int = 10,
        smooth: float = 1.0,
        classes: Iterable[int] | None = None,
        batch: bool = True,
        absent: Absent = "skip",
    ) -> None:
        super().__init__()
        checks.whole("iterations", iterations, 1)
        checks.number("smooth", smooth, above=0)
        checks.choice("absent", absent, ["skip", "count"])
        self.iterations, self.smooth, self.batch = iterations, smooth, batch
        self.absent: Absent = absent
        self.classes = None if classes is None else check_classes(classes)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits, labels, valid = prepare(logits, target)
        known = valid.unsqueeze(1)
        wanted = self._wanted(logits)
        p = torch.where(known, logits.softmax(1)[:, wanted], 0)
        own = ((labels.unsqueeze(1) == wanted.view(1, -1, 1, 1)) & known).to(p.dtype)
        line, true_line = _skeleton(p, known, self.iterations), _skeleton(own, known, self.iterations)
        parts = [part.sum((2, 3)) for part in (line * own, line, true_line * p, true_line, own)]
        if self.batch:
            parts = list(over_processes(*(part.sum(0, keepdim=True) for part in parts)))
        inside, predicted, covered, true, labelled = parts
        precision = (inside + self.smooth) / (predicted + self.smooth)
        sensitivity = (covered + self.smooth) / (true + self.smooth)
        missed = 1 - divide(2 * precision * sensitivity, precision + sensitivity)
        return class_mean(missed, labelled, batch=self.batch, absent=self.absent)

    def _wanted(self, logits: Tensor) -> Tensor:
        count = logits.shape[1]
        if self.classes is not None and max(self.classes) >= count:
            raise ValueError(f"classes: expected class indices 0..{count - 1}, got {self.classes}")
        return torch.tensor(self.classes if self.classes is not None else range(count), device=logits.device)


def _skeleton(x: Tensor, known: Tensor, iterations: int) -> Tensor:
    """Return the soft skeleton of ``x (N, K, H, W)`` in 0..1; ``known (N, 1, H, W)`` is False at ignored pixels."""
    skeleton = F.relu(x - _dilate(_erode(x, known), known))
    for _ in range(iterations):
        x = _erode(x, known)
        ridge = F.relu(x - _dilate(_erode(x, known), known))
        skeleton = skeleton + F.relu(ridge - skeleton * ridge)
    return torch.where(known, skeleton, 0)


def _erode(x: Tensor, known: Tensor) -> Tensor:
    # a minimum as the maximum of -x; -inf at ignored pixels, as max_pool2d pads the border, so that neither ever wins
    negative = torch.where(known, -x, -torch.inf)
    column, row = F.max_pool2d(negative, (3, 1), 1, (1, 0)), F.max_pool2d(negative, (1, 3), 1, (0, 1))
    return torch.where(known, -torch.maximum(column, row), 0)


def _dilate(x: Tensor, known: Tensor) -> Tensor:
    # masked again afterwards: a pixel whose whole neighbourhood is ignored would be -inf
    return torch.where(known, F.max_pool2d(torch.where(known, x, -torch.inf), 3, 1, 1), 0)
