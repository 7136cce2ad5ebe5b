"""What a model returns, read in one place: logits of every pixel, and the auxiliary ones that some have beside them."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seg.models.heads import WithHeads, at_pixels

log = logging.getLogger(__name__)

AUXILIARY = "auxiliary"
_NAMES = ("out", "logits")
"""Of the logits in a dict: torchvision's, and that of transformers."""

Model = TypeVar("Model", bound=nn.Module)


class WrongOutput(ValueError):
    """A model returns no logits."""


def adapted(model: Model, classes: int) -> Model:
    """Make ``model(images)`` return logits (N, C, H, W) of the images' size whatever its forward returns, in place.

    That may be logits, a tuple that begins with them, or a dict with ``out`` or ``logits``; of a size by a whole number
    smaller than that of the images, they are upsampled bilinearly. ``model(images, heads=True)`` returns ``(logits,
    {"auxiliary": those that come beside them})``, or what the heads of a `seg.models.WithHeads` return.

    Args:
        classes: number of classes C.

    Raises:
        WrongOutput: by each call, for anything else; the message says what came.
    """
    model.forward = _Outputs(model, classes)
    return model


class _Outputs:
    """The forward of a model that was adapted; an object and no closure, so that the model can be copied."""

    def __init__(self, model: nn.Module, classes: int) -> None:
        self.forward, self.classes, self.with_heads = model.forward, classes, isinstance(model, WithHeads)

    def __call__(self, images: Tensor, *, heads: bool = False) -> Any:
        if heads and self.with_heads:
            logits, outputs = self.forward(images, heads=True)
            return self._logits(logits, logits, images), outputs
        output = self.forward(images)
        first, others = _parted(output)
        logits = self._logits(first, output, images)
        if not heads and (not others or torch.compiler.is_compiling()):
            return logits
        further = [one for one in others if self._factor(one, images)]
        if not heads:
            taken = "those under " + " or ".join(_NAMES) if isinstance(output, Mapping) else "the first"
            trained = "; the auxiliary ones beside them are trained with task=auxiliary alone" if further else ""
            _tell_once(f"model: of the {type(output).__name__} that it returns, {taken} are the logits{trained}")
            return logits
        if not further:
            raise WrongOutput(
                f"task: expected auxiliary logits beside those of the model, got {_described(output)}; return both "
                "from forward(), such as a dict with out and aux, or give task=none"
            )
        return logits, {AUXILIARY: [at_pixels(one, images.shape[-2:]) for one in further]}

    def _logits(self, found: Any, output: Any, images: Tensor) -> Tensor:
        """Return logits of the images' size; what is traced or compiled has been looked at before."""
        if not torch.compiler.is_compiling():
            if not (factor := self._factor(found, images)):
                height, width = images.shape[-2:]
                raise WrongOutput(
                    f"model: expected logits ({len(images)}, {self.classes}, {height}, {width}) of {self.classes} "
                    f"classes, or of a half, a quarter, ... of the size, got {_described(output)}; return them from "
                    "forward(), alone, first in a tuple or as out of a dict, with as many channels as the argument "
                    "classes of its constructor says"
                )
            if factor > 1:
                _tell_once(f"model: its logits are 1/{factor} of the size, and upsampled bilinearly")
        logits: Tensor = found
        return at_pixels(logits, images.shape[-2:])

    def _factor(self, found: Any, images: Tensor) -> int:
        """Return how many times smaller than the images these logits are; 0 for anything else."""
        if not (isinstance(found, Tensor) and found.is_floating_point() and found.ndim == 4 and found.numel()):
            return 0
        if found.shape[:2] != (len(images), self.classes):
            return 0
        sides = list(zip(images.shape[-2:], found.shape[-2:], strict=True))
        factor = max(1, round(sides[0][0] / sides[0][1]))
        return factor if all(small in (side // factor, -(-side // factor)) for side, small in sides) else 0


@cache
def _tell_once(text: str) -> None:
    log.info(text)


def _parted(output: Any) -> tuple[Any, list[Any]]:
    """Part what a model returns: the logits, if they are where they should be, and the rest."""
    if isinstance(output, Mapping):
        key = next((name for name in _NAMES if name in output), None)
        return output.get(key), [value for name, value in output.items() if name != key]
    if isinstance(output, Sequence) and output:
        return output[0], list(output[1:])
    return output, []


def _described(output: Any) -> str:
    """Say what a model returns, for messages."""
    if isinstance(output, Tensor):
        return f"{str(output.dtype).removeprefix('torch.')} {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(f'{name}: {_described(value)}' for name, value in output.items()) or 'nothing'}"
    if isinstance(output, list | tuple):
        return f"a {type(output).__name__} of {', '.join(map(_described, output)) or 'nothing'}"
    return type(output).__name__
