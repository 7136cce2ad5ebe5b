"""Where model and loss meet: the objective that training minimises.

An objective says what loading workers must prepare of each mask, and makes one number, with its terms, of a model and
a batch. The training loop and the loaders know neither masks nor losses.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from seg.loading import Batch
from seg.losses import distances_for


class Losses(NamedTuple):
    """What one batch costs.

    Attributes:
        total: scalar to minimise.
        terms: the unweighted terms of a composite by name, detached scalars; empty for a loss without terms.
    """

    total: Tensor
    terms: dict[str, Tensor]


class Objective(Protocol):
    """What `seg.training.fit` minimises: a module, whose own parameters and buffers are trained and saved too."""

    @property
    def prepare(self) -> Callable[[Tensor], dict[str, Any]]:
        """Mask (H, W) -> what `__call__` finds in ``batch.extra``; runs in loading workers, after augmentation."""

    def __call__(self, model: Callable[[Tensor], Any], batch: Batch) -> Losses: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Segmentation(nn.Module):
    """One loss on the logits of a model ``(N, 3, H, W) -> (N, C, H, W)``.

    Args:
        loss: ``(logits, target) -> scalar``; one that takes ``distance`` gets maps made by the loading workers.
        classes: number of classes C.

    Raises:
        ValueError: the loss names a class that is not there.
    """

    def __init__(self, loss: nn.Module, classes: int) -> None:
        super().__init__()
        self.loss = loss
        self.prepare = _Preparation(distances_for(loss, classes))

    def forward(self, model: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        return self.losses(model(batch.images), batch.masks, batch.extra)

    def losses(self, logits: Tensor, masks: Tensor, extra: Mapping[str, Any] | None = None) -> Losses:
        """What given logits (N, C, H, W) cost; the loss makes itself what is missing in ``extra``."""
        total: Tensor = self.loss(logits, masks, **(extra or {}))
        return Losses(total, dict(getattr(self.loss, "last", {})))


class _Preparation:
    """An object of its own, so that a worker that is spawned gets this and not a loss on its device."""

    def __init__(self, distances: Callable[[Tensor], Tensor] | None) -> None:
        self.distances = distances

    def __call__(self, mask: Tensor) -> dict[str, Any]:
        return {} if self.distances is None else {"distance": self.distances(mask)}
