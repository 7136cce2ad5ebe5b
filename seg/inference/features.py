"""What the encoder of a model finds in an image, as one vector: images that look alike to the model lie close."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from seg.files import whole
from seg.inference.ensemble import Ensemble
from seg.inference.ranking import Features
from seg.inference.trained import Trained
from seg.models.heads import Heads


class Pooled:
    """The mean of the last map of an encoder over its pixels, and over all that it is shown within a ``with`` block.

    Of an image that is predicted in windows or views, each of them counts as much.

    Args:
        encoder: images (N, channels, H, W) -> maps (N, F, h, w), one or several, of which the last one is taken.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder
        self.total, self.count = torch.zeros(()), 0

    def __enter__(self) -> Self:
        self.total, self.count = torch.zeros(()), 0
        self._handle = self.encoder.register_forward_hook(self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _take(self, _encoder: nn.Module, _images: Any, output: Any) -> None:
        means = last_map(output).float().mean((2, 3)).double().cpu()
        self.total, self.count = self.total + means.sum(0), self.count + len(means)

    @property
    def features(self) -> Features:
        """The mean (F,) float32."""
        mean: Features = (self.total / max(self.count, 1)).float().numpy()
        return mean


def last_map(output: Any) -> Tensor:
    """Return the last map (N, F, h, w) of what an encoder gives: one, or several, with tokens beside them or without.

    Raises:
        ValueError: there is none.
    """
    parts = [output]
    while parts:
        part = parts.pop()
        if isinstance(part, Tensor) and part.ndim == 4:
            return part
        parts += part if isinstance(part, list | tuple) else []
    raise ValueError(
        "rank: expected an encoder that gives maps (N, F, h, w), got none of four dimensions; leave rank out"
    )


def first_of(trained: Trained) -> Trained:
    """Return the first member of several models, by itself and without further heads: whose features are taken."""
    model = trained.model.members[0] if isinstance(trained.model, Ensemble) else trained.model
    return replace(trained, model=model, heads=Heads())


def encoder_of(trained: Trained) -> nn.Module:
    """Return the encoder of a model, of several that of the first.

    Raises:
        ValueError: it has none, as an exported file.
    """
    encoder = getattr(first_of(trained).model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ValueError(
            f"rank: expected a model with an encoder, by which images are told apart, got '{trained.path}', which has "
            "none; give best.pt or last.pt of a run, or leave rank out"
        )
    return encoder


def write_features(path: Path, features: Features) -> None:
    """Write ``NAME.npy``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary, temporary.open("wb") as file:
        np.save(file, features)
