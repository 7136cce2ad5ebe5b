"""Pretrained weights from a file: whichever library named the tensors, they find their places in an encoder."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seg.models import checkpoint

SUFFIXES = (".pth", ".pt", ".bin", ".tar", ".ckpt", ".safetensors")

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "teacher", "encoder", "backbone")
"""Names under which training scripts keep the weights in their checkpoints."""

_HEAD = 10  # tensors of a classifier at most, with a convolution and a normalisation before it


class Found(NamedTuple):
    """What a file had for a module.

    Attributes:
        taken: number of tensors.
        missing: names of the module's tensors that were not found, which keep their first values.
        by_position: the names did not fit, but the order and the shapes of all tensors did.
    """

    taken: int
    missing: tuple[str, ...]
    by_position: bool

    def __str__(self) -> str:
        how = " by position (no name fits, but the number, order and shapes of the tensors do)"
        missing = f"; {len(self.missing)} were not found, such as {self.missing[0]}" if self.missing else ""
        return f"{self.taken} tensors taken{how if self.by_position else ''}{missing}"


def is_file(weights: object) -> bool:
    """Tell whether ``encoder_weights`` names a file, and not weights that smp or timm know."""
    return isinstance(weights, str) and (weights.endswith(SUFFIXES) or os.sep in weights)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read tensors by name from a .safetensors file or what ``torch.save`` wrote; nothing in the file is executed.

    Raises:
        ValueError: no such file, or no tensors by name in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"weights: expected a file, got '{path}'; give a .pth or .safetensors file")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except Exception as error:  # the library's own kind, not exported
            raise ValueError(f"weights: expected a .safetensors file, got '{path}', which is none ({error})") from None
    state = checkpoint.load(path)
    for name in _WRAPPERS:
        if isinstance(inner := state.get(name), Mapping) and any(isinstance(v, Tensor) for v in inner.values()):
            state = dict(inner)
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(
            f"weights: expected tensors by name in '{path}', got {', '.join(map(str, list(state)[:8])) or 'nothing'}; "
            "give a file with a state dict"
        )
    return tensors


def fill(module: nn.Module, weights: Mapping[str, Tensor], path: str | os.PathLike[str]) -> Found:
    """Copy weights into a module: by name, whatever prefix stands before it, else by position.

    A first layer for another number of channels gets the weights for RGB repeated, and scaled so that its output keeps
    its size.

    Args:
        path: for the message.

    Raises:
        ValueError: they belong to another module.
    """
    own = {name: value for name, value in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    given = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    pairs, by_position = _by_name(own, given), False
    if len(pairs) < len(own) / 2:
        pairs, by_position = _by_position(own, given) or pairs, True
    if len(pairs) < len(own) / 2:
        raise ValueError(
            f"weights: expected those of the {len(own)} tensors here, got {len(given)} in '{path}', of which "
            f"{len(pairs)} fit in name and shape; its first is '{next(iter(given))}', ours '{next(iter(own))}': choose "
            "the model or encoder that the file was made for"
        )
    with torch.no_grad():
        for name, value in pairs.items():
            own[name].copy_(_for_channels(value, own[name].shape))
    return Found(len(pairs), tuple(name for name in own if name not in pairs), by_position)


def _fits(value: Tensor, shape: torch.Size) -> bool:
    """Tell whether weights fit; those of a layer that takes RGB fit another number of input channels, too."""
    return value.shape == shape or (
        value.ndim == 4 and len(shape) == 4 and value.shape[1] == 3 and value[:, 0].shape == (shape[0], *shape[2:])
    )


def _for_channels(value: Tensor, shape: torch.Size) -> Tensor:
    if value.shape == shape:
        return value
    channels = shape[1]
    return value[:, [i % 3 for i in range(channels)]] * (3 / channels)


def _by_name(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Find the most that one pair of prefixes, of the file's names and of the module's, brings together.

    timm's feature extractors write ``stages_0`` for ``stages.0``, hence the comparison without dots.
    """
    best: dict[str, Tensor] = {}
    ours = {prefix: {name[len(prefix) :].replace(".", "_"): name for name in own} for prefix in _prefixes(own, 1.0)}
    for prefix in _prefixes(given, 0.2):
        theirs = {name[len(prefix) :].replace(".", "_"): v for name, v in given.items() if name.startswith(prefix)}
        for names in ours.values():
            found = {
                name: theirs[key]
                for key, name in names.items()
                if key in theirs and _fits(theirs[key], own[name].shape)
            }
            best = max(best, found, key=len)
    return best


def _prefixes(names: Mapping[str, Tensor], share: float) -> list[str]:
    """List the beginnings up to a dot that at least this share of the names has; the empty one first."""
    counts = Counter(
        ".".join(parts[:depth]) + "."
        for parts in (name.split(".") for name in names)
        for depth in range(1, min(len(parts), 5))
    )
    return ["", *(prefix for prefix, count in counts.items() if count >= share * len(names))]


def _by_position(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take all tensors in their order, if every shape fits and only a head is left over; else nothing."""
    pairs = dict(zip(own, given.values(), strict=False))
    whole = len(own) <= len(given) <= len(own) + _HEAD
    return pairs if whole and all(_fits(value, own[name].shape) for name, value in pairs.items()) else {}
