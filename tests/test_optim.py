"""python -m pytest tests/test_optim.py"""

import math

import pytest
import torch
from torch import nn

from seg import optim


def test_cosine_warms_up_and_falls() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = optim.cosine(optimizer, steps=100, warmup=0.1, floor=0.01)
    rates = []
    for _ in range(100):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    for step in range(10, 100):
        expected = 2 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 10) / 90)))
        assert rates[step] == pytest.approx(expected)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.02)
    with pytest.raises(
        ValueError, match=r"scheduler: expected warmup in \[0, 1\) and floor in \[0, 1\], got 1.0 and 0.0"
    ):
        optim.cosine(optimizer, steps=10, warmup=1.0)


def test_parameter_groups_spare_biases_and_norms() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1))
    decayed, others = optim.parameter_groups(model)
    assert [p.ndim for p in decayed["params"]] == [4, 4]
    assert [p.ndim for p in others["params"]] == [1, 1, 1, 1]
    assert others["weight_decay"] == 0.0
