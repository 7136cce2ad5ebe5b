"""Further heads on the decoder of a model, for tasks beside the segmentation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.models.libraries import smp


class WithHeads(smp.base.SegmentationModel):  # type: ignore[misc]  # untyped
    """A model of segmentation-models-pytorch, and heads that take what its decoder gives to the segmentation head.

    ``model(images)`` is what it is without them: logits (N, C, H, W), to the bit, so that inference, evaluation and
    export go on as they do. ``model(images, heads=True)`` is ``(logits, {name: what the head returns})``, through
    whatever wraps the module: several processes exchange the gradients of the heads too. Encoder, decoder and
    segmentation head are those of the model given, and have the same names in the ``state_dict``, the heads come after
    them as ``heads.NAME``: weights move between models with heads and without.

    Args:
        model: of segmentation-models-pytorch, or anything else with ``encoder``, ``decoder`` and ``segmentation_head``
            that are called one after the other.
        heads: modules that take the features (N, F, h, w); F is `features_of` the model, h and w are those of the
            images divided by what the architecture decides on (1 for unet, 4 for fpn, 8 for pspnet).

    Raises:
        ValueError: a model without these parts, or with a classification head.
    """

    def __init__(self, model: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        features_of(model)
        if getattr(model, "classification_head", None) is not None:
            raise ValueError("model: expected none with a classification head, got one; leave out aux_params")
        self.encoder: Any = model.encoder
        self.decoder: Any = model.decoder
        self.segmentation_head: Any = model.segmentation_head
        self.classification_head = None
        self.heads = nn.ModuleDict(dict(heads))
        self.name = f"{getattr(model, 'name', type(model).__name__)} with {', '.join(heads)}"
        self.requires_divisible_input_shape = getattr(model, "requires_divisible_input_shape", False)

    def forward(self, images: Tensor, *, heads: bool = False) -> Any:
        if not torch.compiler.is_compiling():
            self.check_input_shape(images)
        encoded = self.encoder(images)
        decoded = self.decoder(*encoded) if isinstance(encoded, tuple) else self.decoder(encoded)  # a tuple: dpt
        logits = self.segmentation_head(decoded)
        return (logits, {name: head(decoded) for name, head in self.heads.items()}) if heads else logits


def features_of(model: nn.Module) -> int:
    """Return the channels F of what the decoder of a model gives to its heads.

    Raises:
        ValueError: a model without encoder, decoder and segmentation head.
    """
    parts = ("encoder", "decoder", "segmentation_head")
    if not all(isinstance(getattr(model, part, None), nn.Module) for part in parts):
        raise ValueError(
            f"model: expected one with {', '.join(parts)}, as those of segmentation-models-pytorch, got "
            f"{type(model).__name__}; choose such a model, or task=none"
        )
    head: nn.Module = model.segmentation_head  # type: ignore[assignment]
    return next(module.in_channels for module in head.modules() if isinstance(module, nn.Conv2d))


class Joined(nn.Module):
    """A model with heads as one that returns logits and what these heads predict: images -> (N, C + K, H, W).

    That way whole images and windows of all sizes are predicted as logits are (`seg.inference.whole`, `sliding`).

    Args:
        model: ``(images, heads=True) -> (logits, {name: maps (N, K, h, w)})``.
        heads: names of those that are joined, in this order.
    """

    def __init__(self, model: nn.Module, heads: Sequence[str]) -> None:
        super().__init__()
        self.model, self.joined = model, tuple(heads)

    def forward(self, images: Tensor) -> Tensor:
        logits, outputs = self.model(images, heads=True)
        return torch.cat([logits, *(at_pixels(outputs[name], logits.shape[-2:]) for name in self.joined)], 1)


class Heads:
    """Heads of a model by name, of which each has ``channels``, the number of its maps; false without any."""

    def __init__(self, named: Mapping[str, Any] = {}) -> None:
        self.named = named

    def __bool__(self) -> bool:
        return bool(self.named)

    def joined(self, model: nn.Module) -> nn.Module:
        """Return a model that gives their maps after its logits; the same one without heads."""
        return Joined(model, list(self.named)) if self.named else model

    def split(self, both: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Part what a joined model gives: the logits, and the maps of each head."""
        if not self.named:
            return both, {}
        channels = [head.channels for head in self.named.values()]
        logits, *maps = torch.split(both, [both.shape[1] - sum(channels), *channels], 1)
        return logits.contiguous(), dict(zip(self.named, maps, strict=True))

    def draw(self, picture: Any, logits: Tensor, outputs: Mapping[str, Tensor], palette: Sequence[Any]) -> Any:
        """Draw what they predict for one image, logits (1, C, H, W) and maps, on a picture of it (H, W, 3) uint8."""
        for name, head in self.named.items():
            if hasattr(head, "draw"):
                picture = head.draw(picture, outputs[name][0].cpu(), logits[0].cpu(), palette)
        return picture


def at_pixels(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (N, K, h, w) to every pixel (N, K, H, W); linearly, as distances are within an object."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
