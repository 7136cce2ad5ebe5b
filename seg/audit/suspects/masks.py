"""Masks of a set in which suspects do not count."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg.audit.suspects.finding import Suspect, Suspects
from seg.data.pairs import Pair
from seg.files import write_png
from seg.images import read_mask
from seg.labels import IGNORE


def write_masks(
    folder: Path,
    pairs: Sequence[Pair],
    suspects: Suspects,
    chosen: Sequence[Suspect],
    corrected: Mapping[str, Path],
) -> int:
    """Write the masks of a set with 255 in the chosen regions; return how many pixels became so.

    Args:
        folder: for ``NAME.png`` and ``labels.yaml``; it is there already.
        pairs: of the whole set, those that nobody predicted as well.
        chosen: of the suspects.
        corrected: masks that came back, by name, which are taken as they are.

    Raises:
        ValueError: a mask that cannot be read.
    """
    by_name: dict[str, list[Suspect]] = {}
    for suspect in chosen:
        by_name.setdefault(suspect.name, []).append(suspect)
    changed = 0
    for pair in pairs:
        mask = read_mask(pair.mask, suspects.labels.classes).copy()
        if pair.name in corrected:
            mask = _corrected(corrected[pair.name], mask, suspects.labels.classes)
        elif pair.name in by_name:
            known, suggested = suspects.look(pair.name)
            for suspect in by_name[pair.name]:
                region = suspects.region(suspect, known, suggested)
                changed += int(np.count_nonzero(region))
                mask[region] = IGNORE
        path = folder / f"{pair.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, mask)
    suspects.labels.save(folder / "labels.yaml")
    return changed


def _corrected(path: Path, before: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    mask = read_mask(path, classes)
    if mask.shape != before.shape:
        height, width = before.shape
        raise ValueError(
            f"corrected: expected masks of the size of those that they replace, got {mask.shape[1]}x{mask.shape[0]} "
            f"for {width}x{height} in '{path}'; export it at its full size"
        )
    return mask
