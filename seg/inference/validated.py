"""How a run was validated: by whole images, windows or views; its model predicts so where nothing else is asked for."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from seg.inference.padding import Model, whole
from seg.inference.prediction import composed
from seg.inference.views import augmented
from seg.inference.windows import sliding


@dataclass(frozen=True)
class Way:
    """How images of any size are predicted, as plain data of unknown origin.

    Attributes:
        target: name of the function, such as ``seg.inference.sliding``.
        options: of it; those of `seg.inference.composed` are ways.
    """

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)


WHOLE = Way("seg.inference.whole")

_STEPS: dict[str, Callable[..., Any]] = {
    "seg.inference.whole": whole,
    "seg.inference.sliding": sliding,
    "seg.inference.augmented": augmented,
}
_COMPOSED = "seg.inference.composed"
_CHOICES = {
    "seg.inference.whole": "whole",
    "seg.inference.sliding": "sliding",
    "seg.inference.augmented": "tta",
    _COMPOSED: "sliding_tta",
}


def as_validated(model: Model) -> Model:
    """Stand for the way in which the run of a trained model was validated, which a model alone does not tell.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "inference: expected how images are predicted, got validated, which is for a model that a run has trained; "
        "give inference=whole, or one of the others"
    )


def restored(way: Way, path: str | os.PathLike[str]) -> Callable[[Model], Model]:
    """Return what wraps a model so that it accepts images of any size; nothing that a file names is imported for it.

    Args:
        way: of a run.
        path: of the file, for the message.

    Raises:
        ValueError: options that cannot be those of a run.
    """
    try:
        infer = _step(way)
        infer(lambda images: images)
    except Exception as error:  # whatever a damaged or edited file leads to
        raise ValueError(
            f"checkpoint: expected how it was validated in '{path}', got {words(way)[:60]!r} ({error}); the file is "
            "damaged or was edited"
        ) from None
    return infer


def is_ours(way: Way) -> bool:
    """Tell whether a run was validated by this toolkit alone, not by a function of the user's own."""
    return way.target in _CHOICES and all(is_ours(step) for step in way.options.values() if isinstance(step, Way))


def words(way: Way) -> str:
    """Return what asks for it on a command line: ``inference=sliding inference.window=256``."""
    choice = _CHOICES.get(way.target, way.target)
    return " ".join([f"inference={choice}", *_options(way, "inference")])


def _step(way: Way) -> Callable[[Model], Model]:
    if way.target == _COMPOSED:
        steps: Any = {name: _step(step) for name, step in way.options.items()}
        return partial(composed, **steps)
    return partial(_STEPS[way.target], **way.options)


def _options(way: Way, key: str) -> Iterator[str]:
    for name, value in way.options.items():
        if isinstance(value, Way):
            yield from _options(value, f"{key}.{name}")
        else:
            yield f"{key}.{name}={str(value).replace(' ', '').replace(chr(39), '')}"
