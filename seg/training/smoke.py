"""Runs on few images: ``smoke=true`` does all that a long run does, ``fit.overfit=N`` shows if the model can learn."""

import logging
import shutil
from pathlib import Path
from typing import Any

from seg.data.pairs import Pair

log = logging.getLogger(__name__)

_STEPS, _VALIDATED = 2, 2


def smoke_test(cfg: dict[str, Any], folder: Path) -> Path:
    """Make the configuration that of a run of two steps; return its folder, which begins empty.

    Sizes of batches and crops stay, because memory is one of the things to find out about.
    """
    folder = folder.parent / ".smoke" / folder.name
    if folder.is_dir():
        shutil.rmtree(folder)
    cfg["fit"] |= {"steps": _STEPS, "validate_every": 1, "freeze": 0, "patience": None}
    cfg["pictures"] = min(cfg["pictures"], 1)
    cfg["runs"] = str(folder.parent)
    log.info(f"smoke test: {_STEPS} steps and {_VALIDATED} validation images, written to {folder}")
    return folder


def chosen(cfg: dict[str, Any], train: list[Pair], val: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """The pairs that a run takes: all, unless few are asked for.

    Raises:
        ValueError: there are not as many.
    """
    if (number := cfg["fit"]["overfit"]) is not None:
        if number > len(train):
            raise ValueError(f"fit.overfit: expected at most the {len(train)} training pairs, got {number}; lower it")
        return train[:number], train[:number]
    if cfg["smoke"]:
        step = cfg["loader"]["batch"] * cfg["fit"]["accumulate"]
        return _spread(train, _STEPS * step), _spread(val, _VALIDATED)
    return train, val


def _spread(pairs: list[Pair], number: int) -> list[Pair]:
    """At most so many, from all over the list."""
    return [pairs[i * len(pairs) // number] for i in range(number)] if len(pairs) > number else pairs
