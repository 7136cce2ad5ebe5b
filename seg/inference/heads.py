"""What further heads of a model predict, beside its logits: for whoever judges and draws it.

A head that is evaluated has ``channels``, the number of maps that it predicts; ``metrics``, what its meter scores; and
``meter(images, names)``, which returns a meter whose ``update`` takes ``(output, logits, mask, index)``
(`seg.metrics.meters`) and which is told ``instances``, if it takes them. It may have ``draw(picture, output, logits,
palette)``, which draws what it predicts for one image on a picture of it, and ``check()``, which raises ValueError
where something is missing to evaluate it. Heads without ``meter`` are trained, and left out otherwise.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seg.data.pairs import Pair
from seg.images import Image, read_instances
from seg.inference.padding import Model, whole
from seg.inference.windows import sliding
from seg.labels import Color
from seg.metrics import Meter, check_meter
from seg.models.heads import Joined
from seg.tasks.boxes import BoxRules


class Heads:
    """The heads of a model that are evaluated, by name; false without any."""

    def __init__(self, model: nn.Module) -> None:
        self.named: dict[str, Any] = {}
        if isinstance(described := getattr(model, "boxes", None), dict):  # of an exported file
            self.named = {"boxes": BoxRules(**described)}
        elif isinstance(heads := getattr(model, "heads", None), nn.ModuleDict):
            self.named = {name: head for name, head in heads.items() if is_evaluated(head)}

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

    def meters(self, names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Meter]:
        """Return a new meter for each, of a set of these pairs and with classes of these names.

        Raises:
            ValueError: a head returns no meter.
        """
        meters: dict[str, Meter] = {}
        for name, head in self.named.items():
            known = {"instances": instances_of(pairs)} if "instances" in signature(head.meter).parameters else {}
            meters[name] = head.meter(len(pairs), names, **known)
            check_meter(f"task.{name}.head", meters[name])
        return meters

    def check(self, infer: Callable[..., Any]) -> None:
        """Refuse what they cannot be predicted or judged with.

        Raises:
            ValueError: a library is missing, or see `check_views`.
        """
        for name, head in self.named.items():
            getattr(head, "check", lambda: None)()
            check_views(name, infer)

    @torch.inference_mode()
    def marked(
        self, model: nn.Module, images: Tensor, infer: Callable[[Model], Model], palette: Sequence[Color]
    ) -> tuple[Image, Callable[[Image], Image]]:
        """Predict the mask (H, W) of one normalised image (1, channels, H, W), and what draws the rest on a picture."""
        logits, outputs = self.split(infer(self.joined(model))(images))

        def mark(picture: Image) -> Image:
            for name, head in self.named.items():
                if hasattr(head, "draw"):
                    picture = head.draw(picture, outputs[name][0].cpu(), logits[0].cpu(), palette)
            return picture

        return logits.argmax(1)[0].byte().cpu().numpy(), mark


def is_evaluated(head: Any) -> bool:
    """Tell whether a head, or its class, says how it is evaluated."""
    return all(hasattr(head, part) for part in ("channels", "metrics", "meter"))


def check_views(name: str, infer: Callable[..., Any]) -> None:
    """Refuse what a head cannot be predicted with.

    Raises:
        ValueError: images are flipped, turned or scaled, which its maps, such as distances to sides, need not follow.
    """
    function = infer.func if isinstance(infer, partial) else infer
    if function not in (whole, sliding):
        raise ValueError(
            f"inference: expected whole or sliding with {name}, got {getattr(function, '__name__', function)}, whose "
            f"views are flipped or scaled; choose one of the two, or leave {name} out"
        )


def instances_of(pairs: Sequence[Pair]) -> Callable[[int], NDArray[np.int32]] | None:
    """Return what reads the numbers of objects by position in the set; None if these pairs have none."""

    def numbers(position: int) -> NDArray[np.int32]:
        path = pairs[position].instances
        assert path is not None
        return read_instances(path).astype(np.int32)

    return numbers if pairs and pairs[0].instances is not None else None
