"""A run of two steps that does all that a long run does: ``smoke=true``."""

import logging
import shutil
from pathlib import Path
from typing import Any

from seg.training.options import FitOptions

log = logging.getLogger(__name__)

STEPS, VALIDATED = 2, 2
SHORT: dict[str, Any] = {"steps": STEPS, "minutes": None, "validate_every": 1, "freeze": 0, "patience": None}
"""The options of the loop that differ. Sizes of batches and crops stay: memory is one of the things to find out."""


def smoke_folder(folder: Path, *, emptied: bool = True) -> Path:
    """Return the folder of the short run, which begins empty, unless a file of it is wanted."""
    folder = folder.parent / ".smoke" / folder.name
    if emptied and folder.is_dir():
        shutil.rmtree(folder)
    log.info(f"smoke test: {STEPS} steps and {VALIDATED} validation images, written to {folder}")
    return folder


def few_pairs(batch: int, options: FitOptions) -> tuple[int, int]:
    """Return the number of training and validation pairs that the short run takes."""
    return STEPS * batch * options.accumulate, VALIDATED
