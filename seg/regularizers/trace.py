"""What a model really runs, observed while it evaluates one small image.

Attributes and class names tell what a model has; only running it tells what of that has an effect: encoders keep
layers beyond the depth in use, decoders ignore feature maps.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

SIZES = ((64, 96), (128, 192), (64, 64), (128, 128), (224, 224), (256, 256), (384, 384), (512, 512))
"""Images that are tried in turn: oblong ones tell rows from channels; some transformers take only one square size."""


@dataclass(frozen=True)
class Trace:
    """One forward pass.

    Attributes:
        size: height and width of the image in pixels.
        outputs: name of each module whose output reaches the result of the model -> its shape, in the order of
            execution; () for an output that is not a tensor.
        features: index of each feature map of the encoder that reaches the result -> its shape.
        result: of the model.
    """

    size: tuple[int, int]
    outputs: dict[str, tuple[int, ...]]
    features: dict[int, tuple[int, ...]]
    result: Tensor

    def is_map(self, shape: tuple[int, ...]) -> bool:
        """Tell whether a shape is (N, C, H, W): its last two numbers are in the image's proportions."""
        if len(shape) != 4:
            return False
        rows, columns = shape[2] / self.size[0], shape[3] / self.size[1]
        return shape[2] == shape[3] == 1 or abs(rows - columns) <= 1 / min(self.size)


def trace(model: nn.Module) -> Trace:
    """Observe a model while it evaluates one image; the model is left as it was.

    Raises:
        ValueError: it takes an image of none of the sizes that are tried.
    """
    with evaluating(model):
        for size in SIZES:
            try:
                return _run(model, size)
            except (RuntimeError, AssertionError, ValueError) as error:  # how models refuse a size
                reason = error
    raise ValueError(
        f"model: expected one that evaluates an image of one of the sizes {SIZES}, got errors; the last: {reason}"
    ) from reason


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Yield evaluation mode within; afterwards every module is back in its own mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _run(model: nn.Module, size: tuple[int, int]) -> Trace:
    done: dict[str, Any] = {}
    features: dict[int, Tensor] = {}

    def note(name: str, _module: nn.Module, _args: Any, output: Any) -> None:
        done.setdefault(name, output)  # of a module that runs twice, the first

    def part(_module: nn.Module, _args: Any, output: Any) -> Any:
        # clones: an encoder also feeds a feature map to its own next stage, and only what leaves it is in question
        parts = [feature.clone() for feature in features_of(output)]
        features.update((i, feature) for i, feature in enumerate(parts) if feature.numel())
        return with_features(output, parts)

    # whether an output reaches the result is read off a backward pass; callers may have switched gradients off
    with ExitStack() as hooks, torch.inference_mode(False), torch.enable_grad():
        for name, module in model.named_modules():
            if name:
                hooks.enter_context(module.register_forward_hook(partial(note, name)))
        if isinstance(encoder := getattr(model, "encoder", None), nn.Module):
            hooks.enter_context(encoder.register_forward_hook(part))
        result = model(_image(model, size).requires_grad_())
        result = result[0] if isinstance(result, tuple) else result
        reaching = _reaching(result, {**features, **done})
    outputs: dict[str, tuple[int, ...]] = {}
    for name, output in done.items():
        if not isinstance(output, Tensor) or not output.requires_grad:
            outputs[name] = ()
        elif name in reaching:
            outputs[name] = tuple(output.shape)
    shapes = {i: tuple(feature.shape) for i, feature in features.items() if i in reaching}
    return Trace(size, outputs, shapes, result.detach())


def _reaching(result: Tensor, values: dict[Any, Any]) -> set[Any]:
    """Return the keys of the values from which the result was computed."""
    tensors = {key: value for key, value in values.items() if isinstance(value, Tensor) and value.requires_grad}
    grads = torch.autograd.grad(result.sum(), list(tensors.values()), allow_unused=True) if tensors else ()
    return {key for key, grad in zip(tensors, grads, strict=True) if grad is not None}


def _image(model: nn.Module, size: tuple[int, int]) -> Tensor:
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    channels = first.in_channels if first is not None else 3
    like = first.weight if first is not None else torch.empty(())
    # from a generator of its own: the caller's random state stays as it is
    noise = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    return noise.to(like.device, like.dtype)


def features_of(output: Any) -> list[Tensor]:
    """Return the feature maps that an smp encoder returned; plain transformers return prefix tokens besides."""
    return list(output[0] if isinstance(output, tuple) and isinstance(output[0], list | tuple) else output)


def with_features(output: Any, features: list[Tensor]) -> Any:
    """Return what an encoder returned, with other feature maps."""
    if isinstance(output, tuple) and isinstance(output[0], list | tuple):
        return (features, *output[1:])
    return features
