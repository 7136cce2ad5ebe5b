"""The size of images that some models are made for: vision transformers, and files that were exported for one size."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seg.files import read_file
from seg.images.headers import size_of
from seg.inference.memory import out_of_memory
from seg.inference.padding import MULTIPLE, Model
from seg.models import WrongOutput
from seg.regularizers.trace import evaluating

Size = tuple[int, int]

_TRIED: tuple[Size, ...] = ((64, 96), *((side, side) for side in (64, 128, 224, 256, 384, 448, 512)))


def only_size(model: nn.Module, channels: int) -> Size | None:
    """Return height and width of the only images that a model takes; None if it takes others, or none that are tried.

    It is tried with small empty images, and with those of the sizes that its modules name as ``img_size``.

    Raises:
        WrongOutput: what it returns is no logits.
    """
    found: Any = [getattr(module, "img_size", None) for module in model.modules()]
    named = [size for size in found if isinstance(size, tuple) and len(size) == 2 and size != (None, None)]
    for size in dict.fromkeys([*_TRIED[:1], *named, *_TRIED[1:]]):
        if _takes(model, channels, size):
            other, double = (size[0] + 2 * MULTIPLE, size[1] + MULTIPLE), (2 * size[0], 2 * size[1])
            fixed = not any(_takes(model, channels, more) for more in (other, double))
            return size if fixed and not any(side % MULTIPLE for side in size) else None
    return None


def wanted_size(model: nn.Module, channels: int, size: Sequence[int] | None) -> Sequence[int] | None:
    """Return the size to scale images to: the one that is asked for, or the only one that the model takes.

    Raises:
        ValueError: another one is asked for.
    """
    only = only_size(model, channels)
    if size is not None and only is not None and tuple(size) != only:
        raise ValueError(
            f"size: expected [{only[0]},{only[1]}], the only one that the model takes, got {list(size)}; leave it out"
        )
    return size or only


def _takes(model: nn.Module, channels: int, size: Size) -> bool:
    device = next(model.parameters(), torch.empty(0)).device
    try:
        with evaluating(model), torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model(torch.zeros(1, channels, *size, device=device))
    except WrongOutput:
        raise
    except Exception as error:  # smp, timm and torch all have their ways to refuse a size
        if out_of_memory(error):
            raise
        return False
    return True


def check_size(size: Size, infer: Callable[[Model], Model], image: Size, path: str) -> None:
    """Refuse an image of which a model of one size is asked to predict another one, as ``infer`` cuts and pads it.

    Args:
        size: that it takes.
        image: height and width.
        path: of the model, for the message.

    Raises:
        ValueError: it says which inference would do.
    """

    def predict(images: Tensor) -> Tensor:
        if (got := tuple(images.shape[-2:])) != size:
            raise ValueError(
                f"inference: expected images or windows of {size[0]}x{size[1]}, the only size that '{path}' takes, got "
                f"{got[0]}x{got[1]} of an image of {image[0]}x{image[1]}; "
                + (
                    f"give inference=sliding inference.window={size[0]}"
                    if size[0] == size[1]
                    else "cut or scale the images to this size"
                )
            )
        return images

    most = 4 * max(size)  # further windows are like the first ones
    infer(predict)(torch.zeros(1, 1, *(min(side, most) for side in image)))


def sizes_of(paths: Iterable[Path]) -> Iterable[Size]:
    """Yield height and width of those images whose header can be read."""
    for path in paths:
        with suppress(OSError):
            if size := size_of(read_file(path)):
                yield size[::-1]
