"""Regularizers that a model comes with: those of smp, timm and torchvision."""

from dataclasses import dataclass

from torch import nn

from seg.regularizers.rate import Regularizer

KINDS = {
    "Dropout": "dropout",
    "Dropout2d": "spatial_dropout",
    "DropPath": "stochastic_depth",
    "StochasticDepth": "stochastic_depth",
    "DropBlock2d": "dropblock",
}
"""Class names of torch, torchvision and timm -> keyword of `seg.regularizers.attach`."""

DROP_CONNECT = "_drop_connect_rate"  # an attribute of smp's efficientnet, which passes it to its blocks: no module


@dataclass(frozen=True)
class Stock:
    """A regularizer that the model came with, whose rate is above 0."""

    kind: str
    name: str
    module: nn.Module
    attribute: str

    @property
    def rate(self) -> float:
        return float(getattr(self.module, self.attribute))

    def silence(self) -> None:
        """Set its rate to 0."""
        setattr(self.module, self.attribute, 0.0)

    @property
    def title(self) -> str:
        return "drop connect" if self.attribute == DROP_CONNECT else type(self.module).__name__

    @property
    def text(self) -> str:
        return f"{self.title} {self.rate:.3g} ({self.name})"


def stock(model: nn.Module) -> list[Stock]:
    """Return what regularizes a model besides `seg.regularizers`."""
    owned = []
    for name, module in model.named_modules():
        if hasattr(module, DROP_CONNECT):
            owned.append(Stock("stochastic_depth", name, module, DROP_CONNECT))
        kind = KINDS.get(type(module).__name__)
        left_over = name in ("encoder._dropout", "encoder.dropout")  # of the classifier that smp removed: never run
        if kind is not None and not left_over and not isinstance(module, Regularizer):
            owned.append(Stock(kind, name, module, "drop_prob" if hasattr(module, "drop_prob") else "p"))
    return [own for own in owned if own.rate > 0]
