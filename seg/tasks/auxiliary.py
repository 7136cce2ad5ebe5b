"""The loss of auxiliary logits, which PSPNet, DeepLab and others have for training alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seg.data.batches import Batch


class Auxiliary(nn.Module):
    """The loss of the run on the logits that a model returns beside its own, see `seg.models.adapted`.

    Args:
        loss: ``(logits, target) -> scalar``; of several auxiliary logits, the mean is taken.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def prepare(self, mask: Tensor) -> dict[str, Any]:
        return {}

    def forward(self, output: Sequence[Tensor], logits: Tensor, batch: Batch) -> Tensor:
        return torch.stack([self.loss(one, batch.masks) for one in output]).mean()
