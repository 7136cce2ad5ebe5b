"""Gradients of dilated convolutions in bfloat16, which oneDNN gets wrong in channels_last on some processors."""

import copy

import pytest
import torch
from torch import nn

from seg.training.state import laid_out


@pytest.mark.parametrize("groups", [1, 24])
@pytest.mark.parametrize("dilation", [1, 2, 12])
def test_gradients_of_convolutions_in_bfloat16(groups: int, dilation: int) -> None:
    """Against float32: 0.004 is rounding, and what was wrong was wrong by more than 1, or infinite."""
    torch.manual_seed(dilation)
    net = nn.Sequential(
        nn.Conv2d(3, 24, 1), nn.Conv2d(24, 24, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)
    )
    images = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    wanted = copy.deepcopy(net)
    wanted(images).square().mean().backward()
    model = laid_out(copy.deepcopy(net))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images)
    logits.float().square().mean().backward()
    for one, other in zip(model.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0.02 * float(other.grad.abs().max()))


def test_a_model_that_was_laid_out_can_be_copied() -> None:
    net = laid_out(nn.Sequential(nn.Conv2d(2, 2, 3, dilation=2, padding=2), nn.Conv2d(2, 2, 1)))
    images = torch.randn(1, 2, 8, 8)
    assert torch.equal(copy.deepcopy(net)(images), net(images))
