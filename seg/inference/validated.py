"""How a run was validated: by whole images, windows or views; its model predicts so where nothing else is asked for."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from seg.inference.padding import Model, whole
from seg.inference.prediction import composed
from seg.inference.views import augmented
from seg.inference.windows import sliding

WHOLE = {"_target_": "seg.inference.whole"}

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


def restored(config: Any, path: str | os.PathLike[str]) -> Callable[[Model], Model]:
    """Return what wraps a model so that it accepts images of any size; nothing that a file names is imported for it.

    Args:
        config: the group ``inference`` of a run: ``_target_`` and options, plain data of unknown origin.
        path: of the file, for the message.

    Raises:
        ValueError: options that cannot be those of a run.
    """
    try:
        infer = _step(config)
        infer(lambda images: images)
    except Exception as error:  # whatever a damaged or edited file leads to
        raise ValueError(
            f"checkpoint: expected how it was validated in '{path}', got {str(config)[:60]!r} ({error}); the file is "
            "damaged or was edited"
        ) from None
    return infer


def is_ours(config: Mapping[str, Any]) -> bool:
    """Tell whether a run was validated by this toolkit alone, not by a function of the user's own."""
    return str(config.get("_target_")) in _CHOICES and all(
        is_ours(step) for step in config.values() if isinstance(step, Mapping)
    )


def words(config: Mapping[str, Any]) -> str:
    """Return what asks for it on a command line: ``inference=sliding inference.window=256``."""
    target = str(config.get("_target_"))
    choice = f"inference={_CHOICES[target]}" if target in _CHOICES else f"inference._target_={target}"
    return " ".join([choice, *_options(config, "inference")])


def _step(config: Mapping[str, Any]) -> Callable[[Model], Model]:
    options: dict[str, Any] = {key: value for key, value in config.items() if key not in ("_target_", "_partial_")}
    if config["_target_"] == _COMPOSED:
        steps: Any = {name: _step(step) for name, step in options.items()}
        return partial(composed, **steps)
    return partial(_STEPS[config["_target_"]], **options)


def _options(config: Mapping[str, Any], key: str) -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _options(value, f"{key}.{name}")
        elif not name.startswith("_"):
            yield f"{key}.{name}={str(value).replace(' ', '').replace(chr(39), '')}"
