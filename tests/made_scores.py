"""Counts of runs whose truth is known: images, seeds, levels and what they do to each other, all of them random.

`benchmarks/bench_statistics.py` and ``compare/test_coverage.py`` ask how often intervals hold the truth of such worlds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg.compare.looks import Looks
from seg.compare.multiplicity import shaffer_steps
from seg.compare.pairs import Judge
from seg.compare.scores import LevelScores, Scored
from seg.metrics.scores import mean, ratio

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Where runs and images come from. Effects are standard deviations of the log odds that a pixel is found.

    Attributes:
        image, image_class: difficulty of an image, and of a class in it, for every run.
        seed, seed_class: effect of a seed of a level on all images.
        level_image: what a class in an image does to all seeds of one level.
        seed_image: what it does to one run.
        per_group: images of a scene, which follow one another.
        alike: share of the variance between images, in all of these effects of them, that is between scenes.
        presence: share of the images that have each class.
        sizes: standard deviation of the log of the pixels of a class in an image.
        tails: degrees of freedom of Student's t, from which effects come; None for the normal distribution.
    """

    image: float = 0.5
    image_class: float = 0.6
    seed: float = 0.08
    seed_class: float = 0.1
    level_image: float = 0.2
    seed_image: float = 0.3
    per_group: int = 1
    alike: float = 0.8
    presence: tuple[float, ...] = (1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.4, 0.3)
    sizes: float = 0.8
    tails: float | None = None

    def _noise(self, rng: np.random.Generator, *shape: int) -> Floats:
        if self.tails is None:
            return rng.standard_normal(shape)
        return rng.standard_t(self.tails, shape) / np.sqrt(self.tails / (self.tails - 2))

    def _of_images(self, rng: np.random.Generator, *shape: int) -> Floats:
        """Noise (..., images, C or 1), alike in the images of a scene."""
        own = self._noise(rng, *shape)
        if self.per_group == 1:
            return own
        shared = self._noise(rng, *shape[:-2], -(-shape[-2] // self.per_group), shape[-1])
        shared = shared.repeat(self.per_group, -2)[..., : shape[-2], :]
        return np.sqrt(self.alike) * shared + np.sqrt(1 - self.alike) * own

    def seeds(self, rng: np.random.Generator, levels: int, seeds: int) -> Floats:
        """What each run does to each class (levels, seeds, C)."""
        classes = len(self.presence)
        return self.seed * self._noise(rng, levels, seeds, 1) + self.seed_class * self._noise(
            rng, levels, seeds, classes
        )

    def counts(self, rng: np.random.Generator, runs: Floats, images: int, *, gap: float = 0.0) -> NDArray[np.int64]:
        """Pixels (levels, seeds, images, C, 3) of runs on new images; ``gap`` is added to the log odds of level 0."""
        levels, seeds, classes = runs.shape
        present = rng.random((images, classes)) < self.presence
        target = np.rint(present * np.exp(6 + self.sizes * rng.standard_normal((images, classes))))
        odds = 1.5 - 0.15 * np.arange(classes) + runs[:, :, None]
        of_images = self._of_images
        odds = odds + self.image * of_images(rng, images, 1) + self.image_class * of_images(rng, images, classes)
        odds = odds + self.level_image * of_images(rng, levels, 1, images, classes)
        odds = odds + self.seed_image * of_images(rng, levels, seeds, images, classes)
        odds[0] += gap
        found = np.rint(target / (1 + np.exp(-odds)))
        # what is missed is taken for a class near by; so classes that an image lacks are found there too
        missed = target - found
        taken = found + np.rint(0.6 * np.roll(missed, 1, -1)) + np.rint(0.4 * np.roll(missed, -1, -1))
        return np.stack([found, taken, np.broadcast_to(target, found.shape)], axis=-1).astype(np.int64)

    def truth(self, rng: np.random.Generator, runs: Floats, images: int, *, gap: float = 0.0) -> Floats:
        """mIoU (levels,) of these runs on very many images."""
        total = sum(self.counts(rng, runs, 500, gap=gap).sum(2) for _ in range(images // 500))
        return miou(np.asarray(total)).mean(1)


def miou(counts: Floats | NDArray[np.int64]) -> Floats:
    """mIoU (...) of counts (..., C, 3)."""
    intersection, prediction, target = np.moveaxis(counts, -1, 0).astype(np.float64)
    values = ratio(intersection, prediction + target - intersection)
    return mean(values.reshape(-1, values.shape[-1]), axis=1).reshape(values.shape[:-1])


WORLDS = {
    "as usual": World(),
    "seeds matter": World(seed=0.3, seed_class=0.3),
    "images matter": World(image=1.2, image_class=1.0, seed=0.03, seed_class=0.03),
    "heavy tails": World(tails=3.0, sizes=1.5, seed=0.15, seed_class=0.2),
    "rare classes": World(presence=(1.0, 1.0, 1.0, 0.9, 0.8, 0.6, 0.1, 0.06, 0.05, 0.05)),
    "seeds do nothing": World(seed=0.0, seed_class=0.0),
}


def levels_of(scores: Floats) -> dict[str, Scored]:
    """Levels a, b, ... with these scores (L, S), on images that do nothing; NaN where a level has no such seed."""
    levels = {}
    for name, row in zip("abcdefghijkl", scores, strict=False):
        seeds = np.flatnonzero(~np.isnan(row))
        own, counts = row[seeds], np.ones((len(seeds), 50, 1, 3), np.int64)
        without = np.zeros((50, 1)) + own
        sample = LevelScores(tuple(seeds.tolist()), counts)
        levels[name] = Scored(sample, own, without, own[:, None], without[..., None])
    return levels


def judge(scores: Floats, looks: Looks | None, rope: float = 0.0) -> Judge:
    """What judges their pairs."""
    levels = levels_of(scores)
    return Judge(levels, dict.fromkeys(levels, np.zeros(50)), shaffer_steps(len(levels)), 1, rope, looks)
