"""An average of the weights that training passes through: less noisy than the last ones, and often better."""

from typing import Any, Protocol

from timm.utils.model_ema import ModelEmaV3
from torch import nn

from seg.files import checks


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Average(Stateful, Protocol):
    """What `seg.training.State` updates, evaluates and saves.

    Attributes:
        model: with the averaged weights, in evaluation mode.
    """

    model: nn.Module

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` optimizer steps of the run."""


class EMA:
    """Exponential moving average of parameters and buffers, by timm's `ModelEmaV3` (Polyak & Juditsky 1992).

    Args:
        model: on its device; copied.
        decay: share of the average that a step leaves, in (0, 1), once the run is long enough for it.
        warmup: begin with a lower share, 1 - (1 + step)^(-2/3), so that the first weights are soon forgotten.

    Raises:
        ValueError: a decay out of its range.
    """

    def __init__(self, model: nn.Module, *, decay: float = 0.999, warmup: bool = True) -> None:
        checks.number("average.decay", decay, above=0, below=1, what="a share", remedy="0.999 is usual")
        checks.flag("average.warmup", warmup)
        self._ema = ModelEmaV3(model, decay=decay, use_warmup=warmup)
        self.model: nn.Module = self._ema.module.requires_grad_(False)

    def update(self, model: nn.Module, step: int) -> None:
        self._ema.update(model, step)

    def state_dict(self) -> dict[str, Any]:
        return self.model.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.model.load_state_dict(state_dict)
