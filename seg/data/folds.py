"""Folds: every image is for validation in one of several trainings, and for training in the others.

    train, val = part(pairs, folds=5, fold=0)

Scenes stay whole, and rare classes are dealt out first, so that each fold has its share of them, as far as there are
scenes enough: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data" (ECML PKDD 2011), here of
scenes instead of single examples.
"""

import logging
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.data.pairs import Pair, scenes_of
from seg.files import checks
from seg.files.memo import remembered
from seg.images import read_mask
from seg.labels import IGNORE

log = logging.getLogger(__name__)


def check_fold(folds: object, fold: object) -> None:
    """Refuse numbers that name no fold; None for both is none.

    Raises:
        ValueError: what was expected.
    """
    if folds is None:
        if fold is not None:
            raise ValueError(f"data.fold: expected data.folds with it, got {fold!r} alone; give such as data.folds=5")
        return
    number = checks.whole("data.folds", folds, 2, remedy="give such as 5")
    every = "or sweep=folds for all of them"
    if fold is None:
        raise ValueError(f"data.fold: expected 0 to {number - 1} with data.folds={number}, got none; give one, {every}")
    checks.whole("data.fold", fold, 0, number - 1, remedy=f"folds are counted from 0; give one, {every}")


def part(
    pairs: Sequence[Pair], folds: int, fold: int, *, group: str | None = None, seed: int = 0
) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to train on, and those of the fold, to validate on.

    Depends on names and masks of the pairs and on the numbers alone: all seeds, models and losses see the same folds.

    Args:
        group: what makes a scene, see `seg.data.pairs.scenes_of`.
        seed: of ties.

    Raises:
        ValueError: fewer scenes than folds, or see `check_fold`.
    """
    check_fold(folds, fold)
    scenes = scenes_of([one.name for one in pairs], group)
    if (number := len(set(scenes))) < folds:
        what = f"pairs of {number} scenes" if number < len(pairs) else f"{number} pairs"
        raise ValueError(
            f"data.folds: expected at most as many folds as there are scenes, got {folds} for {what}; lower it, or say "
            "by data.group what a scene is"
        )
    numbers = dealt(scenes, classes_in(pairs), folds, seed)
    if number < len(pairs):
        log.info(f"dealing {len(pairs)} pairs by scene: {number} scenes into {folds} folds")
    both = list(zip(pairs, numbers, strict=True))
    return [one for one, own in both if own != fold], [one for one, own in both if own == fold]


def dealt(scenes: Sequence[str], present: NDArray[np.bool_], folds: int, seed: int = 0) -> list[int]:
    """Deal scenes into folds; return the number of the fold of each member, 0..folds - 1.

    The class that the fewest undealt members have comes first: of its scenes the one with the most of them goes where
    the fewest are, or, of such folds, where the fewest members are. No fold is empty if there are as many scenes.

    Args:
        scenes: of each member.
        present: (members, classes): whether it has a class.
        seed: of the order of scenes that are alike.
    """
    names = sorted(set(scenes))
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(names))
    rows = {names[i]: row for row, i in enumerate(order.tolist())}
    table = np.zeros((len(names), present.shape[1] + 1), np.int64)  # of each scene; last, all members
    for scene, has in zip(scenes, present, strict=True):
        table[rows[scene]] += (*has, True)
    sums, fold_of, left = (
        np.zeros((folds, table.shape[1]), np.int64),
        np.zeros(len(names), np.int64),
        set(range(len(names))),
    )
    while left:
        undealt = table[sorted(left)].sum(0)
        column = min(np.flatnonzero(undealt).tolist(), key=lambda c: (undealt[c], c))
        for row in sorted((row for row in left if table[row, column]), key=lambda row: (-table[row, column], row)):
            own = min(range(folds), key=lambda k: (sums[k, column], sums[k, -1], k))
            sums[own] += table[row]
            fold_of[row] = own
            left.remove(row)
    return [int(fold_of[rows[scene]]) for scene in scenes]


def classes_in(pairs: Sequence[Pair]) -> NDArray[np.bool_]:
    """Return which values the mask of each pair has (pairs, 255); remembered, and none of a mask that cannot be read.

    Who checks the pairs says what is wrong with it.
    """

    def look(index: int) -> list[int] | None:
        try:
            return list(map(int, np.unique(read_mask(pairs[index].mask, IGNORE))))
        except (ValueError, OSError):
            return None

    found = remembered(
        f"classes of masks 1, OpenCV {cv2.__version__}",
        [(one.mask,) for one in pairs],
        look,
        keep=lambda values: values,
        restore=lambda _, values: values,
    )
    present = np.zeros((len(pairs), IGNORE + 1), bool)
    for row, values in zip(present, found, strict=True):
        row[values or []] = True
    return present[:, :IGNORE]
