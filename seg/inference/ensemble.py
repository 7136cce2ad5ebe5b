"""Several models as one: the mean of what they predict, and how far they disagree.

Each member predicts as it would alone, whole, in windows or in several views; of that the mean is taken: of the
probabilities of the classes, and of what each head says can be averaged. The logits that are returned are the
logarithms of the mean probabilities: argmax, softmax and losses take them as they are.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seg.inference.padding import Model
from seg.models.heads import Heads


class Ensemble(nn.Module):
    """Models that predict together: images (N, channels, H, W) -> logits (N, C, H, W), the logarithms of their mean
    probabilities.

    They are called one after the other, so that memory holds what one of them needs, and the sums. With ``heads=True``
    it returns ``(logits, {name: mean of the maps})`` for ``merged``.

    Args:
        members: models ``(N, channels, H, W) -> logits (N, C, H, W)`` for images that are normalised alike.
        merged: heads that all of them have, by name; each has ``to_mean(maps)``, what can be averaged, and
            ``from_mean(mean)``, the way back.
    """

    def __init__(self, members: Sequence[nn.Module], merged: Mapping[str, Any] = {}) -> None:
        super().__init__()
        self.members, self.merged = nn.ModuleList(members), dict(merged)
        names = [getattr(member, "name", None) for member in members]
        shown = dict.fromkeys(
            n if isinstance(n, str) else type(m).__name__ for n, m in zip(names, members, strict=True)
        )
        self.name = f"{len(members)} x {', '.join(shown)}"

    def forward(self, images: Tensor, *, heads: bool = False) -> Any:
        some = Heads(self.merged if heads else {})
        mean = _mean((some.joined(member)(images) for member in self.members), len(self.members), some)
        return some.split(mean) if heads else mean

    def predictor(self, infer: Callable[[Model], Model], heads: Heads) -> "Together":
        """Return what predicts images of any size: each member as ``infer`` has it, then the mean.

        Args:
            heads: some of ``merged``, and a `seg.inference.disagreement.Disagreement` behind them; their maps come
                after the logits.
        """
        own = _of_members(heads)
        parts = [infer(own.joined(member)) for member in self.members]
        return (SlidingTogether if all(hasattr(part, "strips") for part in parts) else Together)(parts, heads)


class Renormalized(nn.Module):
    """A model for images that are normalised as for another one.

    Args:
        own, other: mean and deviation of each channel, of images scaled to 0..1: those that it was trained with, and
            those that images have been normalised by.
    """

    def __init__(self, model: nn.Module, own: tuple[Sequence[float], ...], other: tuple[Sequence[float], ...]) -> None:
        super().__init__()
        self.model, self.name = model, getattr(model, "name", type(model).__name__)
        (mean, std), (before, spread) = (
            torch.tensor(each, dtype=torch.float64).view(2, 1, -1, 1, 1) for each in (own, other)
        )
        self.register_buffer("scale", (spread / std).float(), persistent=False)
        self.register_buffer("shift", ((before - mean) / std).float(), persistent=False)

    def forward(self, images: Tensor, *, heads: bool = False) -> Any:
        images = images * self.get_buffer("scale") + self.get_buffer("shift")
        return self.model(images, heads=True) if heads else self.model(images)


@dataclass(frozen=True)
class Together:
    """What `Ensemble.predictor` returns: a model of several for images of any size.

    Attributes:
        parts: the members, as models for images of any size.
        heads: whose maps come after the logits.
    """

    parts: Sequence[Any]
    heads: Heads

    def __call__(self, images: Tensor) -> Tensor:
        return _mean((part(images) for part in self.parts), len(self.parts), self.heads)


class SlidingTogether(Together):
    """The same of members that slide, which can give its logits in strips."""

    def strips(
        self,
        rows: Callable[[int, int], Tensor],
        height: int,
        width: int,
        prepare: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> Iterator[Tensor]:
        """Yield logits, and maps, from the top down; see `seg.inference.Sliding.strips`.

        Memory holds the logits of one row of windows for each member.
        """
        shared = _Shared(rows)
        streams = [part.strips(shared, height, width, prepare) for part in self.parts]
        for strips in zip(*streams, strict=True):
            yield _mean(strips, len(strips), self.heads)


class _Shared:
    """Rows that several members ask for, one after the other, and that are read once."""

    def __init__(self, rows: Callable[[int, int], Tensor]) -> None:
        self.rows = rows
        self.last: tuple[tuple[int, int], Tensor] | None = None

    def __call__(self, first: int, last: int) -> Tensor:
        if self.last is None or self.last[0] != (first, last):
            self.last = (first, last), self.rows(first, last)
        return self.last[1]


def _of_members(heads: Heads) -> Heads:
    return Heads({name: head for name, head in heads.named.items() if not getattr(head, "of_members", False)})


def _mean(predicted: Iterable[Tensor], members: int, heads: Heads) -> Tensor:
    """Return one prediction of those of several members.

    Args:
        predicted: of each, logits (N, C, H, W) and the maps of its heads after them; taken one after the other.
        heads: with a `seg.inference.disagreement.Disagreement` behind the others if its map is wanted.
    """
    own, total, entropy = _of_members(heads), None, torch.zeros(())
    wanted, sums = len(own.named) < len(heads.named), dict[str, Tensor]()
    for each in predicted:
        logits, outputs = own.split(each)
        logs = (logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits).log_softmax(1)
        total = logs if total is None else _sum_of_logs(total, logs)
        entropy = _entropy(logs) + entropy if wanted else entropy
        for name, maps in outputs.items():
            shares = own.named[name].to_mean(maps)
            sums[name] = sums[name] + shares if name in sums else shares
        del each, logits, logs, outputs  # not held while the next member computes
    assert total is not None  # there is a member at least
    logs = total - math.log(members)
    further = [own.named[name].from_mean(shares / members) for name, shares in sums.items()]
    if wanted:
        most = math.log(min(members, logs.shape[1]))
        further.append(((_entropy(logs) - entropy / members) / most).clamp(0, 1))
    return torch.cat([logs, *further], 1) if further else logs


def _entropy(logs: Tensor) -> Tensor:
    """Return the entropy (N, 1, H, W), in nats, of logarithms of probabilities."""
    return -(logs.exp() * logs).sum(1, keepdim=True)


def _sum_of_logs(a: Tensor, b: Tensor) -> Tensor:
    """Return log(exp(a) + exp(b)); of an exported model in steps that ONNX has, and that do not underflow."""
    if not torch.compiler.is_compiling():
        return torch.logaddexp(a, b)
    return torch.maximum(a, b) + (-(a - b).abs()).exp().log1p()
