"""Box losses against torchvision, by hand where that has none, and where boxes degenerate.

python -m pytest tests/losses/test_boxes.py
"""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra.utils import instantiate
from torch import Tensor
from torchvision import ops

from seg.losses import boxes

NAMES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "conf/box_loss").glob("*.yaml"))
PEERS: dict[str, Callable[..., Tensor]] = {
    "giou": ops.generalized_box_iou_loss,
    "diou": ops.distance_box_iou_loss,
    "ciou": ops.complete_box_iou_loss,
    "smooth_l1": F.smooth_l1_loss,
    "iou": lambda pred, target, reduction: REDUCE[reduction](1 - ops.box_iou(pred, target).diagonal()),
}
REDUCE: dict[str, Callable[[Tensor], Tensor]] = {"mean": Tensor.mean, "sum": Tensor.sum, "none": lambda values: values}


def pairs() -> tuple[Tensor, Tensor]:
    """Boxes that overlap, contain each other, touch and lie apart."""
    generator = torch.Generator().manual_seed(0)
    corner = 10 * torch.rand(2, 40, 2, generator=generator, dtype=torch.float64)
    size = 0.5 + 8 * torch.rand(2, 40, 2, generator=generator, dtype=torch.float64)
    pred, target = torch.cat([corner, corner + size], 2).unbind()
    target = torch.cat([target, torch.tensor([[2.0, 0, 4, 2], [3, 3, 4, 4], [50, 60, 70, 90]]).double()])
    pred = torch.cat([pred, torch.tensor([[0.0, 0, 2, 2], [0, 0, 9, 9], [1, 2, 3, 4]]).double()])
    return pred.requires_grad_(), target


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("name", NAMES)
def test_torchvision_agrees(name: str, reduction: str) -> None:
    pred, target = pairs()
    found = getattr(boxes, name)(pred, target, reduction=reduction)
    expected = PEERS[name](pred, target, reduction=reduction)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)  # theirs add 1e-7 to divisors
    ours, theirs = (torch.autograd.grad(value.sum(), pred, retain_graph=True)[0] for value in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ciou"])  # its gradient leaves the weight out
def test_gradient_by_central_differences(name: str) -> None:
    pred, target = (part.detach()[:40] for part in pairs())
    loss = getattr(boxes, name)
    assert torch.autograd.gradcheck(lambda p: loss(p, target), pred.requires_grad_(), eps=1e-6, atol=1e-8)


def test_values_by_hand() -> None:
    pred, target = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 1, 3, 4]])
    overlap = 1 / (4 + 6 - 1)
    assert boxes.iou(pred, target).item() == pytest.approx(1 - overlap)
    assert boxes.iou(pred, target, form="log").item() == pytest.approx(-math.log(overlap))
    assert boxes.giou(pred, target).item() == pytest.approx(1 - overlap + (12 - 9) / 12)
    distance = (1 + 1.5**2) / (9 + 16)
    assert boxes.diou(pred, target).item() == pytest.approx(1 - overlap + distance)
    v = 4 / math.pi**2 * (math.atan(2 / 3) - math.atan(1)) ** 2
    assert boxes.ciou(pred, target).item() == pytest.approx(1 - overlap + distance + v * v / (1 - overlap + v))
    assert boxes.smooth_l1(pred, target, beta=2).item() == pytest.approx((1 / 4 + 1 / 4 + 1 / 4 + 1) / 4)


POINT, LINE = [1.0, 1, 1, 1], [0.0, 1, 4, 1]
BOX, FAR, HUGE = [0.0, 0, 2, 3], [1e4, 1e4, 1e4 + 1, 1e4 + 2], [-1e8, -1e8, 1e8, 1e8]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_degenerate_boxes_stay_finite(name: str, dtype: torch.dtype) -> None:
    some = (POINT, LINE, BOX, FAR) if dtype == torch.float16 else (POINT, LINE, BOX, FAR, HUGE)
    pred = torch.tensor([a for a in some for _ in some], dtype=dtype).requires_grad_()
    target = torch.tensor([b for _ in some for b in some], dtype=dtype)
    forms = {"form": "log"} if name == "iou" else {}
    for options in ({}, forms):
        values = getattr(boxes, name)(pred, target, reduction="none", **options)
        assert values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert torch.isfinite(values).all()
        assert (values >= -1e-6).all()
        assert torch.isfinite(torch.autograd.grad(values.sum(), pred)[0]).all()


@pytest.mark.parametrize("name", NAMES)
def test_equal_boxes_cost_nothing_and_no_boxes_neither(name: str) -> None:
    loss = getattr(boxes, name)
    _, target = pairs()
    assert loss(target, target).item() == pytest.approx(0, abs=1e-12)
    for reduction in ("mean", "sum"):
        nothing = torch.zeros(0, 4, requires_grad=True)
        value = loss(nothing, torch.zeros(0, 4), reduction=reduction)
        value.backward()
        assert value == 0
        assert nothing.grad.shape == (0, 4)
    assert loss(torch.zeros(0, 4), torch.zeros(0, 4), reduction="none").numel() == 0


def test_boxes_apart_still_attract() -> None:
    """Plain IoU has no gradient there; the others were made for that."""
    pred, target = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True), torch.tensor([[5.0, 5, 6, 7]])
    assert not torch.autograd.grad(boxes.iou(pred, target), pred)[0].any()
    for loss in (boxes.giou, boxes.diou, boxes.ciou):
        gradient = torch.autograd.grad(loss(pred, target), pred)[0]
        assert (gradient[:, 2:] < 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_weights(name: str) -> None:
    """The mean is over the weights; a box of weight 0 is as good as absent, and has no gradient."""
    loss, (pred, target) = getattr(boxes, name), pairs()
    each = loss(pred, target, reduction="none")
    weight = torch.linspace(0, 2, len(pred)).double()
    per_box = each.mean(1) if each.ndim == 2 else each
    expected = (per_box * weight).sum() / weight.sum()
    torch.testing.assert_close(loss(pred, target, weight=weight), expected)
    weighted = loss(pred, target, weight=weight, reduction="none")
    torch.testing.assert_close(weighted, each * (weight[:, None] if each.ndim == 2 else weight))
    torch.testing.assert_close(loss(pred, target, weight=weight, reduction="sum"), weighted.sum())
    torch.testing.assert_close(loss(pred, target, weight=torch.full((len(pred),), 7.0)), loss(pred, target))
    some = (torch.arange(len(pred)) % 2).float()
    value = loss(pred, target, weight=some)
    torch.testing.assert_close(value, loss(pred[1::2], target[1::2]))
    assert not torch.autograd.grad(value, pred)[0][::2].any()
    nothing = loss(pred, target, weight=torch.zeros(len(pred)))
    assert nothing == 0
    assert not torch.autograd.grad(nothing, pred)[0].any()
    for wrong, message in (
        (torch.ones(3), r"weight: expected floating \(43,\), one for each box, got torch.float32 \(3,\)"),
        (torch.ones(43).long(), r"weight: expected floating \(43,\), one for each box, got torch.int64"),
        (torch.linspace(-1, 1, 43), "weight: expected finite numbers of at least 0, got from -1 to 1"),
        (torch.full((43,), math.nan), "weight: expected finite numbers of at least 0, got from nan to nan"),
    ):
        with pytest.raises(ValueError, match=message):
            loss(pred, target, weight=wrong)


@pytest.mark.parametrize("name", NAMES)
def test_swapped_corners_are_refused_with_their_row(name: str) -> None:
    loss, (pred, target) = getattr(boxes, name), pairs()
    wrong = pred.detach().clone()
    wrong[3] = torch.tensor([1.0, 5, 4, 2])
    expected = r"expected x1 <= x2 and y1 <= y2, got \[1.0, 5.0, 4.0, 2.0\] in row 3; sort the corners"
    with pytest.raises(ValueError, match=f"pred: {expected}"):
        loss(wrong, target)
    with pytest.raises(ValueError, match=f"target: {expected}"):
        loss(pred, wrong)
    wrong[[7, 9]] = torch.tensor([4.0, 2, 1, 5]).double()
    with pytest.raises(ValueError, match="in row 3 and 2 more; sort"):
        loss(wrong, target)


@pytest.mark.parametrize("name", NAMES)
def test_yaml_names_the_defaults(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / f"conf/box_loss/{name}.yaml"
    pred, target = pairs()
    assert instantiate(yaml.safe_load(path.read_text()))(pred, target) == getattr(boxes, name)(pred, target)


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments(name: str) -> None:
    loss, good = getattr(boxes, name), torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"pred: expected floating \(N, 4\), got torch.float32 \(4,\)"):
        loss(good[0], good)
    with pytest.raises(ValueError, match=r"target: expected floating \(N, 4\), got torch.int64 \(3, 4\)"):
        loss(good, good.long())
    with pytest.raises(ValueError, match=r"target: expected shape \(3, 4\) to match pred, got \(2, 4\)"):
        loss(good, good[:2])
    with pytest.raises(ValueError, match=r"reduction: expected mean, sum or none, got 'max'"):
        loss(good, good, reduction="max")


def test_bad_options() -> None:
    good = torch.zeros(3, 4)
    with pytest.raises(ValueError, match="form: expected linear or log, got 'square'"):
        boxes.iou(good, good, form="square")
    with pytest.raises(ValueError, match="beta: expected a number of at least 0, got -1"):
        boxes.smooth_l1(good, good, beta=-1)
