"""A trained model as a checkpoint describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from seg import checkpoint, inference, models
from seg.labels import LabelMap


@dataclass(frozen=True)
class Trained:
    """Model, label map and normalisation of one checkpoint, on one device.

    Attributes:
        regularizer: settings of `seg.regularizers.attach` that it was trained with; the model is without them.
    """

    model: nn.Module
    labels: LabelMap
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    regularizer: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, image: inference.Image) -> inference.Image:
        """Mask (H, W) of an RGB image (H, W, 3)."""
        return inference.predict(self.model, image, mean=self.mean, std=self.std, device=self.device)


def load(path: str, device: str) -> Trained:
    """Rebuild what ``seg-train`` saved.

    Raises:
        ValueError: not such a checkpoint, or no such device.
    """
    state = checkpoint.load(path)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = models.restore(state["model_config"], state["model"]).to(device)
        labels = LabelMap.from_list(state["labels"])
        mean, std = (tuple(state["normalization"][key]) for key in ("mean", "std"))
    except KeyError as error:
        raise ValueError(f"checkpoint: '{path}' lacks {error}; it was not written by seg-train") from None
    except (RuntimeError, AssertionError) as error:  # torch's answers to a device that is not there
        raise ValueError(
            f"device: '{device}' is not usable here ({str(error).splitlines()[0]}); try device=cpu"
        ) from None
    return Trained(model, labels, mean, std, device, _regularizer(state))


def _regularizer(state: Mapping[str, Any]) -> dict[str, Any]:
    """Empty where it is none of ours: a checkpoint's config is never executed."""
    settings = dict(state.get("config", {}).get("regularizer") or {})
    return settings if settings.pop("_target_", None) == "seg.regularizers.attach" else {}
