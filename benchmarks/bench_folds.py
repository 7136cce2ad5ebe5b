"""What folds hide: how often equal learners are called different, where folds are taken for repetitions or not.

nice -n 10 python benchmarks/bench_folds.py [--rounds 1000]        # one thread, ten minutes of a processor

Two learners are equally good by construction: each is shown as many features, drawn from the same distribution, of the
same images, and takes a pixel for the class whose mean is nearer; a seed leaves out a third of the features. Each
round draws new images, so that the score of a learner differs from round to round by its training set, too. How good a
trained model is on all images that there might be is known exactly.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
from dataclasses import dataclass
from datetime import date

import numpy as np
from bench_scatter import BUILD, bounds
from bench_statistics import RESULTS, hardware
from numpy.typing import NDArray
from scipy.stats import norm, t

from seg.compare.scores import LevelScores
from seg.compare.statistics import compare

Floats = NDArray[np.float64]

PIXELS, APART, IMAGE = 40, 0.25, 1.5
"""Pixels of an image, half the distance of the classes in each feature, and the deviation of what an image does to a
class in it; that of a pixel is 1."""
KEPT = 0.67
"""Share of the features that a seed keeps."""
SEEDS = 10
ROWS = ((30, 30, 5), (30, 10, 5), (30, 10, 10), (100, 10, 5), (300, 10, 5))
"""Images, features of each learner, folds."""
WAYS = (
    "folds as repetitions: t test",
    "folds x 3 seeds as repetitions: t test",
    "corrected t test of the folds",
    "seg-compare, folds joined, 3 seeds",
    "seg-compare, folds joined, 10 seeds",
    "seg-compare, one fold alone, 10 seeds",
)


@dataclass(frozen=True)
class Images:
    """What a learner is shown: features (images, pixels, F), and the class 0 or 1 of each pixel, coded -1 and 1."""

    features: Floats
    sign: Floats


def drawn(rng: np.random.Generator, images: int, features: int, sign: Floats) -> Images:
    of_image = IMAGE * rng.standard_normal((images, 2, 1, features))
    effects = np.where(sign[..., None] > 0, *of_image.swapaxes(0, 1)) + rng.standard_normal((*sign.shape, features))
    return Images(APART * sign[..., None] + effects, sign)


def trained(seen: Images, train: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the direction from one class's mean to the other (F,), and what lies between them."""
    sign, features = seen.sign[train], seen.features[train]
    low, high = (features[sign == side].mean(0) for side in (-1, 1))
    return high - low, (high + low) / 2


def right(seen: Images, direction: Floats, middle: Floats, masks: Floats) -> NDArray[np.bool_]:
    """Tell which pixels (S, images, pixels) are right, by each seed's features (S, F)."""
    votes = (seen.features - middle) @ (masks * direction).T
    found: NDArray[np.bool_] = np.moveaxis(votes * seen.sign[..., None] > 0, -1, 0)
    return found


def expected(direction: Floats, middle: Floats, masks: Floats) -> float:
    """Return the share of all pixels that there might be that is right, mean over seeds."""
    weights = masks * direction
    spread = np.sqrt(1 + IMAGE**2) * np.linalg.norm(weights, axis=1)
    shares = [norm.cdf(side * (weights @ (side * APART - middle)) / spread) for side in (-1, 1)]
    return float(np.mean(shares))


def learnt(rng: np.random.Generator, seen: Images, folds: int) -> tuple[NDArray[np.bool_], float]:
    """Return what is right out of fold (S, images, pixels), and what these models are truly worth."""
    images, features = len(seen.features), seen.features.shape[2]
    of_fold, found, worth = np.arange(images) % folds, np.zeros((SEEDS, images, PIXELS), bool), []
    for fold in range(folds):
        masks, more = (kept_features(rng, count, features) for count in (SEEDS, 100))
        direction, middle = trained(seen, of_fold != fold)
        own = Images(seen.features[of_fold == fold], seen.sign[of_fold == fold])
        found[:, of_fold == fold] = right(own, direction, middle, masks)
        worth.append(expected(direction, middle, more))
    return found, float(np.mean(worth))


def kept_features(rng: np.random.Generator, seeds: int, features: int) -> Floats:
    """Return which features each seed keeps (S, F), 0 or 1; the first one always."""
    kept = (rng.random((seeds, features)) < KEPT).astype(float)
    kept[:, 0] = 1
    return kept


def counts(correct: NDArray[np.bool_], sign: Floats) -> NDArray[np.int64]:
    """Return pixels (S, images, 2, 3) of the classes."""
    of = [np.broadcast_to(sign == side, correct.shape) for side in (-1, 1)]
    hit, target = (np.stack([(part & own).sum(-1) for own in of], -1) for part in (correct, np.ones_like(correct)))
    return np.stack([hit, hit + (target - hit)[..., ::-1], target], -1)


def called(a: NDArray[np.bool_], b: NDArray[np.bool_], sign: Floats) -> int:
    """Return what seg-compare says of two learners: 1 if a is better, -1 if worse, 0 if neither."""
    seeds = tuple(range(len(a)))
    samples = {name: LevelScores(seeds, counts(each, sign)) for name, each in (("a", a), ("b", b))}
    (pair,) = compare(samples, metric="accuracy", rope=0.0, draws=100).pairs
    return {"better": 1, "worse": -1}.get(pair.verdict, 0)


def t_test(differences: Floats, extra: float = 0.0) -> int:
    """Return what a t test says of differences; ``extra`` is Nadeau and Bengio's, of test to training images."""
    error = np.sqrt((1 / len(differences) + extra) * differences.var(ddof=1))
    p = 2 * t.sf(abs(differences.mean()) / error, len(differences) - 1)
    return int(np.sign(differences.mean())) if p < 0.05 else 0


def once(rng: np.random.Generator, images: int, features: int, folds: int) -> tuple[list[int], float]:
    """Return what each way calls two equal learners, and by how much the models of the first one are truly better."""
    sign = np.where(rng.random((images, PIXELS)) < 0.5, -1.0, 1.0)
    (a, worth), (b, other) = (learnt(rng, drawn(rng, images, features, sign), folds) for _ in range(2))
    of_fold = np.arange(images) % folds
    by_fold = np.array([(a[:, of_fold == k].mean((1, 2)) - b[:, of_fold == k].mean((1, 2))) for k in range(folds)])
    alone = of_fold == 0
    return [
        t_test(by_fold[:, 0]),
        t_test(by_fold[:, :3].ravel()),
        t_test(by_fold[:, 0], 1 / (folds - 1)),
        called(a[:3], b[:3], sign),
        called(a, b, sign),
        called(a[:, alone], b[:, alone], sign[alone]),
    ], worth - other


def main() -> None:
    """Simulate, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    rounds, kept = parser.parse_args().rounds, BUILD / "folds.jsonl"
    done = dict(map(json.loads, kept.read_text().splitlines())) if kept.exists() else {}
    for row in ROWS:
        if (key := json.dumps([*row, rounds])) not in done:
            done[key] = simulate(row, rounds)
            with kept.open("a") as file:
                file.write(json.dumps([key, done[key]]) + "\n")
        write({row: done[key] for row in ROWS if (key := json.dumps([*row, rounds])) in done}, rounds)


def simulate(row: tuple[int, int, int], rounds: int) -> list[list[float]]:
    """Return of each way how often one is called better, and the wrong one; last how far apart the models truly are."""
    rng = np.random.default_rng(row)
    found = [once(rng, *row) for _ in range(rounds)]
    calls, apart = np.array([each[0] for each in found]), np.array([each[1] for each in found])
    numbers = [[float((call != 0).sum()), float((call * apart < 0).sum())] for call in calls.T]
    print(row, numbers, flush=True)
    return [*numbers, [float(apart.std())]]


def write(done: dict[tuple[int, int, int], list[list[float]]], rounds: int) -> None:
    """Write the table of what is done."""
    lines = []
    for (images, features, folds), (*numbers, (apart,)) in done.items():
        for way, (wrong, these) in zip(WAYS, numbers, strict=True):
            low, high = bounds(int(wrong), rounds)
            shares = f"{100 * wrong / rounds:.1f} | {100 * low:.1f} to {100 * high:.1f} | {100 * these / rounds:.1f}"
            lines.append(f"| {images} | {features} | {folds} | {100 * apart:.1f} | {way} | {shares} |")
    text = [
        f"# What folds hide, {date.today()}",
        "",
        f"Two learners that are equally good by construction (nearest class mean, {PIXELS} pixels an image, each with "
        f"features of its own), in {rounds} simulated cross validations a row, accuracy, rope 0. **Any**: share, in %, "
        "in which one is called better, and its 95 % interval (Wilson): false of *the learners*, trained on other "
        "images. **These**: share in which the wrong one is called better, of *these very models*, whose worth on all "
        f"images is known. {hardware()} Made by `benchmarks/bench_folds.py`.",
        "",
        "- *worth*: the deviation, in points, of the true difference of two such sets of models from one draw of "
        "images to another: what other training images change;",
        "- *folds as repetitions*: the differences of the folds in a paired t test, as if they were independent;",
        "- *corrected*: its variance with the share of test to training images added (Nadeau and Bengio, Machine "
        "Learning 2003);",
        "- *folds joined*: every image by the model that was not trained on it, one score a seed, as `seg-compare` "
        "does it; *one fold alone*: the same of one split.",
        "",
        "| images | features | folds | worth | way | any | interval | these |",
        "|--:|--:|--:|--:|---|--:|--:|--:|",
        *lines,
    ]
    RESULTS.joinpath(f"folds-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
