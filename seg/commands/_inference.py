"""The group ``inference``: how a model predicts images of any size."""

from collections.abc import Callable, Mapping
from typing import Any

from seg.commands.cli import instantiate
from seg.inference import Model


def inference_of(config: Mapping[str, Any]) -> Callable[[Model], Model]:
    """What makes of a model one for images of any size.

    Raises:
        ValueError: an option that cannot work.
    """
    instantiate(config, lambda images: images, group="inference")  # wrong options are found before data are read
    infer: Callable[[Model], Model] = instantiate({**config, "_partial_": True})
    return infer
