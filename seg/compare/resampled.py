"""Scores of resampled images: the bootstrap, with the same images in every draw for all runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg.compare.sample import Sample, sums
from seg.scores import mean

Floats = NDArray[np.float64]

CHUNK = 250
"""Draws at a time: for 100 runs of 19 classes their sums take 8 MB."""


@dataclass(frozen=True)
class Resampled:
    """The scores of a level.

    Attributes:
        scores: (S,) of each seed on all images.
        draws: (draws, S) on resampled images; draws without a labelled pixel are left out.
        class_iou, class_draws: (S, C) and (draws, S, C) IoU over the dataset, NaN where a class does not occur.
    """

    scores: Floats
    draws: Floats
    class_iou: Floats
    class_draws: Floats

    def of(self, seeds: list[int]) -> tuple[Floats, Floats]:
        """Scores and draws of some seeds, by position."""
        return self.scores[seeds], self.draws[:, seeds]


def resample(
    samples: Mapping[str, Sample], metric: str, groups: NDArray[np.intp], draws: int, rng: np.random.Generator
) -> dict[str, Resampled]:
    """Bootstrap all levels over the same images, or groups of images.

    Args:
        groups: (images,) as numbers.
    """
    units = int(groups.max()) + 1
    wanted = {name: sums(sample, metric).grouped(groups) for name, sample in samples.items()}
    iou = wanted if metric == "miou" else {name: sums(each, "miou").grouped(groups) for name, each in samples.items()}
    found = {name: np.empty((draws, len(sample.seeds))) for name, sample in samples.items()}
    classes = {name: np.empty((draws, *each.numerator.shape[1:])) for name, each in iou.items()}
    for part, weights in drawn_weights(units, draws, rng):
        for name in samples:
            classes[name][part] = iou[name].drawn(weights)
            ratios = classes[name][part] if metric == "miou" else wanted[name].drawn(weights)
            found[name][part] = mean(ratios, axis=2)
    whole = np.all([~np.isnan(each).any(1) for each in found.values()], axis=0)
    return {
        name: Resampled(wanted[name].scores(), found[name][whole], iou[name].ratios(), classes[name][whole])
        for name in samples
    }


def drawn_weights(units: int, draws: int, rng: np.random.Generator) -> Iterator[tuple[slice, Floats]]:
    """How often each of the images is drawn, (draws, units) in chunks, with their place among all draws."""
    for start in range(0, draws, CHUNK):
        count = min(CHUNK, draws - start)
        drawn = rng.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        yield slice(start, start + count), weights.astype(np.float64)
