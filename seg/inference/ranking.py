"""Which images to label next: those that the model is unsure of, and that are unlike each other.

    order = ranked(uncertainty, features, number=100)  # (N,), (N, F) -> who comes first, and why

The first image is the one of greatest uncertainty. Each further one has the greatest product of its uncertainty and of
its distance to the nearest image before it, or that is labelled already: k-center greedy (Sener and Savarese, "Active
learning for convolutional neural networks: a core-set approach", ICLR 2018), weighted by uncertainty, as are distances
in BADGE (Ash et al., ICLR 2020), but without its draw: the order is always the same. The product has no weight to set:
the order does not depend on the units of the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS = 4096  # of features, looked at together

Features = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """One image of a ranking.

    Attributes:
        image: its position.
        score: uncertainty times novelty; of the first image, where none is labelled, the uncertainty.
        novelty: distance to the nearest image before it, 1 = as far as two images lie apart typically; NaN for the
            first.
        nearest: position of that image, of labelled ones behind all others; -1 for the first.
    """

    image: int
    score: float
    novelty: float
    nearest: int


class _Distances:
    """The distance of each image to the nearest of those that have been added."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.typical = _typical_distance(features) or 1.0
        self.to_nearest: Floats = np.full(len(features), np.inf)
        self.nearest = np.full(len(features), -1)

    def add(self, vector: Features, position: int) -> None:
        """Take in an image: its features (F,), and the position by which it is named."""
        for part in _parts(len(self.features)):
            difference = self.features[part] - vector
            found = np.sqrt(np.einsum("nf,nf->n", difference, difference, dtype=np.float64)) / self.typical
            closer = found < self.to_nearest[part]
            self.to_nearest[part][closer] = found[closer]
            self.nearest[part][closer] = position


def ranked(
    uncertainty: Floats, features: Features, labelled: Features | None = None, *, number: int = 100
) -> list[Ranked]:
    """Rank images, the one to label first at the top.

    Of the same score, the more uncertain one comes first, then the one that is given first.

    Args:
        uncertainty: (N,), 0 or more.
        features: (N, F), images that are alike close to each other.
        labelled: (M, F) of those that are labelled already.
        number: of images that are chosen one after the other, each given those before; N * number * F additions.

    Returns:
        All N; after the first ``number`` those that were not chosen, by their score beside them.
    """
    known = features[:0] if labelled is None else labelled
    distances = _Distances(features)
    for position, vector in enumerate(known, start=len(features)):
        distances.add(vector, position)
    left = np.ones(len(features), bool)
    order: list[Ranked] = []
    while len(order) < min(number, len(features)):
        scores = _scores(uncertainty, distances)
        alike = np.flatnonzero(left & (scores == scores[left].max()))
        image = int(alike[np.argmax(uncertainty[alike])])
        order.append(_row(image, scores, distances))
        left[image] = False
        distances.add(features[image], image)
    scores, rest = _scores(uncertainty, distances), np.flatnonzero(left)
    rest = rest[np.lexsort((-uncertainty[rest], -scores[rest]))]
    return [*order, *(_row(int(image), scores, distances) for image in rest)]


def _typical_distance(features: Features) -> float:
    """Return the root of the mean square of the distance between two of them: of each to the mean, times root two."""
    mean = features.mean(0, dtype=np.float64)
    squares = (((features[part] - mean) ** 2).sum() for part in _parts(len(features)))
    return float(np.sqrt(2 * sum(squares) / max(len(features), 1)))


def _parts(number: int) -> Iterator[slice]:
    return (slice(first, first + _ROWS) for first in range(0, number, _ROWS))


def _scores(uncertainty: Floats, distances: _Distances) -> Floats:
    novelty = distances.to_nearest
    return uncertainty * np.where(np.isinf(novelty), 1.0, novelty)


def _row(image: int, scores: Floats, distances: _Distances) -> Ranked:
    novelty = float(distances.to_nearest[image])
    novelty = novelty if np.isfinite(novelty) else float("nan")
    return Ranked(image, float(scores[image]), novelty, int(distances.nearest[image]))
