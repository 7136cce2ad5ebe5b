"""python -m pytest tests/compare/test_statistics.py"""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from made_scores import World
from scipy import stats

from seg.compare.multiplicity import adjusted, equal_pairs, holm_steps, shaffer_steps
from seg.compare.ranks import agreement, joint_draws, rank_draws
from seg.compare.scatter import careful, contrasts, seed_interaction
from seg.compare.scores import COUNTED, LevelScores, group_numbers, image_scores, scored
from seg.compare.statistics import BOTH, IMAGES, Comparison, compare
from seg.compare.variance import (
    VarianceParts,
    difference_parts,
    image_degrees,
    more_needed,
    strongest,
    variance_parts,
    verdict,
)

IMAGE_COUNT = 30


def made(
    *levels: tuple[int, ...], seed: int = 0, gap: float = 0.0, images: int = IMAGE_COUNT
) -> dict[str, LevelScores]:
    """Samples of levels named a, b, ... with the given seeds; level a is better by ``gap``."""
    world, rng = World(presence=(1.0, 0.7, 0.4)), np.random.default_rng(seed)
    most = max(len(seeds) for seeds in levels)
    counts = world.counts(rng, world.seeds(rng, len(levels), most), images, gap=gap)
    values = rng.uniform(0.1, 0.4, (len(levels), most, images))
    values[..., 3:4] = np.nan
    return {
        name: LevelScores(
            seeds, each[: len(seeds)], {"ece": value[: len(seeds)], "boundary_f1": 1 - value[: len(seeds)]}
        )
        for name, seeds, each, value in zip("abcdefg", levels, counts, values, strict=False)
    }


def plain(compared: Comparison) -> Any:
    """All numbers, to compare them to the bit."""
    return repr(dataclasses.asdict(compared))


# --- metrics


def slowly(counts: np.ndarray, values: np.ndarray, metric: str, images: list[int]) -> float:
    """A metric of one run on some images, in loops."""
    if metric in ("miou", "mdice", "accuracy"):
        total = [[sum(int(counts[i, c, k]) for i in images) for k in range(3)] for c in range(counts.shape[1])]
        if metric == "accuracy":
            return sum(i for i, _, _ in total) / sum(t for _, _, t in total)
        if metric == "miou":
            each = [i / (p + t - i) for i, p, t in total if p + t]
        else:
            each = [2 * i / (p + t) for i, p, t in total if p + t]
        return sum(each) / len(each)
    if metric == "ece":
        known = [values[i] for i in images if not np.isnan(values[i])]
        return sum(known) / len(known)
    iou = {
        (n, c): counts[i, c, 0] / (counts[i, c, 1] + counts[i, c, 2] - counts[i, c, 0])
        for n, i in enumerate(images)
        for c in range(counts.shape[1])
        if counts[i, c, 2]
    }
    kept = 0 if metric == "miou_i" else 1
    parts: dict[int, list[float]] = {}
    for key, value in iou.items():
        parts.setdefault(key[kept], []).append(value)
    return float(np.mean([np.mean(part) for part in parts.values()]))


@pytest.mark.parametrize("metric", [*COUNTED, "ece"])
@pytest.mark.parametrize("size", [1, 3])
def test_metrics_with_and_without_each_image(metric: str, size: int) -> None:
    sample = made((0, 1))["a"]
    groups = [[i for i in range(IMAGE_COUNT) if i // size == group] for group in range(IMAGE_COUNT // size)]
    found = scored(sample, metric, group_numbers([i // size for i in range(IMAGE_COUNT)], IMAGE_COUNT))
    for run in range(2):
        inputs = sample.counts[run], sample.values["ece"][run], metric
        assert found.scores[run] == pytest.approx(slowly(*inputs, list(range(IMAGE_COUNT))), rel=1e-12)
        expected = [slowly(*inputs, [i for i in range(IMAGE_COUNT) if i not in group]) for group in groups]
        assert found.without[:, run] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("metric", [*COUNTED, "ece"])
def test_scores_of_single_images(metric: str) -> None:
    sample = made((0, 1))["a"]
    found = image_scores(sample, metric, group_numbers(None, IMAGE_COUNT))
    of_images = metric if metric in ("accuracy", "ece") else "miou_i"
    for image in range(IMAGE_COUNT):
        if metric == "ece" and image == 3:
            assert np.isnan(found[image])
        elif metric != "mdice":
            each = [slowly(sample.counts[s], sample.values["ece"][s], of_images, [image]) for s in range(2)]
            assert found[image] == pytest.approx(np.mean(each))
        else:
            present = sample.counts[:, image, sample.counts[0, image, :, 2] > 0].astype(float)
            assert found[image] == pytest.approx((2 * present[..., 0] / present[..., 1:].sum(-1)).mean())


# --- variance


def anova(values: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of seeds, images and residuals in a table (seeds, images)."""
    seeds, images = values.shape
    left = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    by_seed, by_image = images * np.var(values.mean(1), ddof=1), seeds * np.var(values.mean(0), ddof=1)
    return float(by_seed), float(by_image), float((left**2).sum() / (seeds - 1) / (images - 1))


def test_the_parts_of_the_variance_are_those_of_an_analysis_of_variance() -> None:
    """For the mean of values, which is linear."""
    rng = np.random.default_rng(0)
    seeds, images = 6, 40
    values = 2 * rng.normal(size=(seeds, 1)) + 5 * rng.normal(size=images) + 4 * rng.normal(size=(seeds, images))
    sample = LevelScores(tuple(range(seeds)), np.ones((seeds, images, 1, 3), np.int64), {"x": values})
    found = scored(sample, "x", np.arange(images))
    parts = variance_parts(found.scores, found.without)
    by_seed, by_image, residual = (square / seeds / images for square in anova(values))
    assert by_seed > residual  # or a part would be mended
    assert parts.remainder == pytest.approx(residual)
    assert parts.images == pytest.approx(by_image - residual)
    assert parts.seeds == pytest.approx(by_seed - residual)
    assert parts.error(new_seeds=True) ** 2 == pytest.approx(by_image + by_seed - residual)
    assert parts.error(new_seeds=False) ** 2 == pytest.approx(by_image)


def test_one_seed_and_a_mean_over_images_give_the_t_interval() -> None:
    values = np.random.default_rng(1).uniform(size=(1, 40))  # flat tails, which take no degrees of freedom away
    sample = LevelScores((0,), np.ones((1, 40, 1, 3), np.int64), {"x": values})
    (level,) = compare({"a": sample}, metric="x").levels
    reference = stats.ttest_1samp(values[0], 0).confidence_interval()
    assert level.interval == pytest.approx((reference.low, reference.high))


def test_the_jackknife_agrees_with_the_bootstrap_of_scipy() -> None:
    """Standard error and interval of one run's mIoU; the two ways differ by about one in the number of images."""
    images = 300
    sample = made((0,), images=images)["a"]

    def miou(drawn: np.ndarray, axis: int) -> np.ndarray:
        counts = sample.counts[0, np.moveaxis(drawn, axis, -1)].sum(-3)
        return (counts[..., 0] / (counts[..., 1] + counts[..., 2] - counts[..., 0])).mean(-1)

    reference = stats.bootstrap(
        (np.arange(images),), miou, n_resamples=3000, method="percentile", random_state=np.random.default_rng(1)
    )
    (level,) = compare({"a": sample}).levels
    error = float(reference.standard_error)
    assert level.variance.error(new_seeds=False) == pytest.approx(error, rel=0.05)  # scipy knows it to 1.3 %
    assert level.interval == pytest.approx(tuple(reference.confidence_interval), abs=0.25 * error)


def made_spread(**changes: Any) -> VarianceParts:
    return dataclasses.replace(VarianceParts(1.0, 1.0, 0.0, 5, 4.0, 50, 49.0), **changes)


def test_quantiles_are_between_those_of_the_parts() -> None:
    few, many = stats.t.ppf(0.975, 4), stats.t.ppf(0.975, 49)
    for found, weight in (
        (made_spread(images=0.0), 1.0),
        (made_spread(seeds=0.0), 0.0),
        (made_spread(), 0.5),
        (made_spread(seeds=0.5, remainder=0.5), 0.5),
        (made_spread(seeds=2.0, remainder=1.0), 0.75),
    ):
        assert found.quantile(0.975, new_seeds=True) == pytest.approx(weight * few + (1 - weight) * many)
        assert found.quantile(0.975, new_seeds=False) == pytest.approx(many)
        for share in (1e-9, 0.001, 0.3, 0.5, 0.9, 0.999):
            bound = 0.7 + found.error(new_seeds=True) * found.quantile(share, new_seeds=True)
            assert found.below(bound, 0.7, new_seeds=True) == pytest.approx(share, rel=1e-6)
            if not found.images:
                continue
            bound = 0.7 + found.error(new_seeds=False) * stats.t.ppf(share, 49)
            assert found.below(bound, 0.7, new_seeds=False) == pytest.approx(share, rel=1e-6)
    assert made_spread().below(-1e300, 0.7, new_seeds=True) == pytest.approx(0)
    still = made_spread(images=0.0, seeds=0.0)
    assert still.interval(0.5, new_seeds=True) == (0.5, 0.5)
    assert [still.below(bound, 0.5, new_seeds=True) for bound in (0.4, 0.6)] == [0, 1]


def test_degrees_of_freedom_of_images_shrink_with_the_weight_of_a_few() -> None:
    rng = np.random.default_rng(0)
    assert image_degrees(rng.uniform(size=100)) == pytest.approx(99)
    alone = np.zeros(100)
    alone[:5] = 1, -1, 2, -2, 0.5
    assert image_degrees(alone) == pytest.approx(2 / (2 / 99 + stats.kurtosis(alone) / 100))
    assert image_degrees(alone) < 7
    # for the normal distribution the variance of a sample variance is 2 s^4 / (n - 1): nothing is taken away
    assert np.mean([image_degrees(rng.normal(size=100)) for _ in range(200)]) > 90
    two = rng.normal(size=(100, 1)) * (1, -1)  # of two levels, their difference
    assert image_degrees(two) == pytest.approx(image_degrees(two[:, 0]))


def test_without_paired_seeds_variances_add_up_after_welch() -> None:
    rng = np.random.default_rng(0)
    still = np.zeros((100, 1))  # images do nothing: what is left is Welch's test
    a, b = rng.normal(size=5), 3 * rng.normal(size=4)
    difference, parts = difference_parts((a, still + a), (b, still + b), paired=False)
    reference = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert parts.interval(difference, new_seeds=True) == pytest.approx((reference.low, reference.high))


def test_paired_seeds_without_images_give_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=5)
    b = a + 0.1 * rng.normal(size=5)
    still = np.zeros((100, 1))
    difference, parts = difference_parts((a, still + a), (b, still + b), paired=True)
    reference = stats.ttest_rel(a, b)
    interval = reference.confidence_interval()
    assert parts.interval(difference, new_seeds=True) == pytest.approx((interval.low, interval.high))
    one_sided = min(parts.below(0, sign * difference, new_seeds=True) for sign in (-1, 1))
    assert 2 * one_sided == pytest.approx(reference.pvalue)


def exactly(scores: np.ndarray, pair: tuple[int, int], distance: float) -> float:
    """The probability that a pair of equal levels is found farther apart, by a sum over all multiples of all levels.

    Given the multiples, what is left follows from normal theory: a weighted analysis of variance with (L - 1) (S - 1)
    degrees of freedom.
    """
    levels, seeds = scores.shape
    logs = np.arange(-4, 13) * np.log(2) / 2
    shares = np.exp(-np.abs(logs) / 2.5) * (logs != 0)
    prior = np.where(logs == 0, 0.8, 0.2 * shares / shares.sum())
    moved = scores - scores.mean(1, keepdims=True)
    total = beyond = 0.0
    for chosen in itertools.product(range(len(logs)), repeat=levels):
        squares = np.exp(2 * logs[list(chosen)])
        weights = 1 / squares
        center = weights @ moved / weights.sum()
        left = float(weights @ ((moved - center) ** 2).sum(1))
        degrees = (levels - 1) * (seeds - 1)
        share = np.prod(prior[list(chosen)]) * (np.prod(squares) * weights.sum()) ** (-(seeds - 1) / 2)
        share *= left ** (-degrees / 2)
        error = np.sqrt(left / degrees * squares[list(pair)].sum() / seeds)
        total, beyond = total + share, beyond + share * 2 * stats.t.cdf(-distance / error, degrees)
    return float(beyond / total)


@pytest.mark.parametrize(("deviations", "seeds"), [((1, 1, 1), 3), ((5, 1, 1), 3), ((1, 3, 1), 5), ((1, 1, 1), 2)])
def test_the_scatter_of_pairs_is_that_of_a_sum_over_all_possibilities(
    deviations: tuple[float, ...], seeds: int
) -> None:
    rng = np.random.default_rng(seeds)
    scores = np.array(deviations)[:, None] * rng.normal(size=(3, seeds)) + rng.normal(size=seeds)
    found = seed_interaction(scores)
    for pair in itertools.combinations(range(3), 2):
        variance, degrees = found.pair(*pair, 3)
        for p in (0.05, 0.01):
            reach = np.sqrt(variance / seeds) * stats.t.ppf(1 - p / 2, degrees)
            assert exactly(scores, pair, reach) == pytest.approx(p * careful(3, seeds), rel=0.1)


def test_a_level_that_scatters_more_is_told_from_the_others() -> None:
    rng = np.random.default_rng(0)
    scores = np.array([10.0, 1, 1, 1, 1, 1, 1])[:, None] * rng.normal(size=(7, 3)) + 5 * rng.normal(size=3)
    found = seed_interaction(scores)
    assert found.more[0] > 0.9
    assert found.more[1:].max() < 0.3
    assert found.levels[0] > 10 * found.levels[1:].max()
    alone, others = (found.pair(0, 1, 21), found.pair(1, 2, 21))
    assert alone[0] > 10 * others[0]
    assert alone[1] < 5 < others[1] + 3
    without = seed_interaction(scores[1:]).pair(0, 1, 21)
    assert others[0] == pytest.approx(without[0], rel=0.3)  # it takes nothing away from the others


def test_scatter_has_no_scale_and_knows_no_order() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 3))
    found = seed_interaction(scores).pair(0, 1, 6)
    assert seed_interaction(scores).pair(0, 1, 6) == found
    for same in (scores + np.arange(3), scores + np.arange(4)[:, None], scores[:, ::-1]):
        assert seed_interaction(same).pair(0, 1, 6) == pytest.approx(found, rel=0.06)
    variance, degrees = seed_interaction(1e-6 * scores).pair(0, 1, 6)
    assert (1e12 * variance, degrees) == pytest.approx(found, rel=0.06)


def test_scores_that_do_not_scatter_have_no_variance() -> None:
    found = seed_interaction(0.3 + np.ones((3, 4)) * np.arange(3)[:, None])
    assert (found.pair(0, 1, 3)[0], found.levels.tolist()) == (0, [0, 0, 0])
    one = seed_interaction(np.stack([[9.0, -9, 0, 0, 0], *np.zeros((4, 5))]))  # as a level that never learns beside
    assert np.isfinite(one.levels).all()
    assert one.levels[0] > 100 * one.levels[1]
    for levels, seeds in ((2, 3), (3, 1)):
        with pytest.raises(
            ValueError, match=f"scores: expected at least 3 levels and 2 seeds, got {levels} and {seeds}"
        ):
            seed_interaction(np.ones((levels, seeds)))


def test_few_seeds_count_for_all_pairs_together() -> None:
    samples = made(*[(0, 1, 2)] * 4)
    found = {name: scored(sample, "miou", np.arange(sample.counts.shape[1])) for name, sample in samples.items()}
    together = seed_interaction(np.stack([each.scores for each in found.values()]))
    compared = compare(samples, draws=100)
    for pair, (a, b) in zip(compared.pairs, itertools.combinations(range(4), 2), strict=True):
        variance, degrees = together.pair(a, b, 6)
        assert pair.variance.seed_degrees == degrees > 2
        assert (pair.variance.seeds or 0) + pair.variance.remainder == pytest.approx(variance / 3)
    assert [level.scatter for level in compared.levels] == pytest.approx(np.sqrt(together.levels))
    assert [level.scatters_more for level in compared.levels] == pytest.approx(together.more)
    alone = [*[tuple(range(10))] * 3], [(0, 1, 2), (0, 1, 2)], [(0, 1, 2), (0, 1, 2), (0, 3, 4)]
    for seeds in alone:
        compared = compare(made(*seeds), draws=100)
        assert compared.levels[0].scatter is None
        for pair in compared.pairs:
            if len(pair.seeds) > 1:
                assert pair.variance.seed_degrees == len(pair.seeds) - 1
    uneven = made((0, 1, 2), (1, 2, 0), (2, 1))  # as while a sweep runs
    scores = np.full((3, 3), np.nan)
    for row, sample in zip(scores, uneven.values(), strict=True):
        there = [sample.seeds.index(seed) for seed in (1, 2, 0) if seed in sample.seeds]
        row[: len(there)] = scored(sample, "miou", np.arange(30)).scores[there]
    together = seed_interaction(scores)
    for pair, ends in zip(compare(uneven, draws=100).pairs, itertools.combinations(range(3), 2), strict=True):
        assert pair.variance.seed_degrees == together.pair(*ends, 3)[1]


def test_contrasts_hold_what_seeds_do_to_levels() -> None:
    """Without the levels, with the squares of the scores around them; of fewer seeds the first ones are the same."""
    scores = np.random.default_rng(0).normal(size=(4, 6))
    moved = contrasts(scores)
    assert moved == pytest.approx(contrasts(scores + np.arange(4)[:, None]))
    assert (moved**2).sum(1) == pytest.approx(((scores - scores.mean(1, keepdims=True)) ** 2).sum(1))
    scores[2, 4:] = np.nan
    assert contrasts(scores)[2] == pytest.approx([*moved[2, :3], 0, 0])


def test_levels_with_more_seeds_are_known_better() -> None:
    """As far as the seeds go that all have, it is what a weighted analysis of variance finds of levels alike."""
    rng = np.random.default_rng(0)
    scores = 0.02 * rng.normal(size=(6, 9)) + rng.normal(size=9)
    fewer = scores.copy()
    fewer[2:, 3:] = np.nan
    known, most, least = (seed_interaction(some) for some in (fewer, scores, scores[:, :3]))
    assert (known.degrees, most.degrees, least.degrees) == (5 * 2 + 6, 5 * 8, 5 * 2)
    assert known.seeds == (9, 9, 3, 3, 3, 3)
    assert known.levels == pytest.approx(np.full(6, 0.02**2), rel=0.6)
    assert least.degrees < known.degrees < most.degrees
    with pytest.raises(ValueError, match="expected levels that lack their last seeds alone, got others"):
        seed_interaction(np.where(np.arange(9) == 4, np.nan, scores))
    with pytest.raises(ValueError, match="expected at least 3 levels and 2 seeds, got 6 and 1"):
        seed_interaction(np.where(np.arange(54).reshape(6, 9) % 54 > 45, np.nan, scores))


# --- verdicts


@pytest.mark.parametrize(
    ("interval", "rope", "expected"),
    [
        ((0.006, 0.02), 0.005, "better"),
        ((0.004, 0.02), 0.005, "inconclusive"),
        ((0.004, 0.02), 0.0, "better"),
        ((-0.02, -0.006), 0.005, "worse"),
        ((-0.004, 0.005), 0.005, "equivalent"),
        ((-0.004, 0.006), 0.005, "inconclusive"),
        ((0.001, 0.004), 0.005, "equivalent"),
        ((0.0, 0.0), 0.0, "equivalent"),
    ],
)
def test_the_verdict(interval: tuple[float, float], rope: float, expected: str) -> None:
    assert verdict(interval, rope) == expected


@pytest.mark.parametrize("rope", [0.0, 0.005])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_the_strongest_claim_is_that_of_the_interval(rope: float, level: float) -> None:
    found = VarianceParts(2e-5, 2e-6, 3e-5, 5, 4.0, 40, 39.0)
    for scale, difference in itertools.product((1e-6, 0.02, 1), np.linspace(-0.06, 0.06, 41)):
        small = dataclasses.replace(found, seeds=scale * 2e-5, images=scale * 2e-6, remainder=scale * 3e-5)
        claim, p = strongest(float(difference), small, rope)
        interval = small.interval(float(difference), new_seeds=True, level=level)
        assert verdict(interval, rope) == (claim if p < 1 - level else "inconclusive")


@pytest.mark.parametrize("difference", [0.02, -0.02, 0.001])
def test_so_many_more_settle_it_and_one_less_does_not(difference: float) -> None:
    found = VarianceParts(2e-5, 2e-6, 3e-5, 3, 2.0, 40, 39.0)

    def decided(more: VarianceParts) -> bool:
        return verdict(more.interval(difference, new_seeds=True), 0.005) != "inconclusive"

    assert not decided(found)
    seeds, images = more_needed(difference, found, 0.005)
    assert seeds is not None
    assert (decided(found.scaled(seeds=seeds)), decided(found.scaled(seeds=seeds - 1))) == (True, False)
    if images is not None:
        assert (decided(found.scaled(images=images)), decided(found.scaled(images=images - 1))) == (True, False)


def test_what_cannot_settle_it_is_not_asked_for() -> None:
    assert more_needed(0.02, VarianceParts(1e-3, 0.0, 0.0, 3, 2.0, 40, 39.0), 0.005)[1] is None  # seeds alone matter
    assert more_needed(0.02, VarianceParts(0.0, 1e-3, 0.0, 3, 2.0, 40, 39.0), 0.005)[0] is None  # images alone matter
    assert more_needed(0.02, VarianceParts(None, 1e-3, 0.0, 1, 0.0, 40, 39.0), 0.005) == (None, None)
    assert more_needed(0.005, VarianceParts(1e-3, 1e-3, 0.0, 3, 2.0, 40, 39.0), 0.005) == (None, None)  # at the rope


def test_parts_shrink_with_what_they_depend_on() -> None:
    found = VarianceParts(4.0, 6.0, 8.0, 2, 1.0, 10, 9.0).scaled(seeds=2, images=10)
    assert (found.seeds, found.images, found.remainder) == (2, 3, 2)
    assert (found.seed_count, found.seed_degrees, found.image_count, found.image_degrees) == (4, 3, 20, 18)


# --- the whole


def test_levels_and_pairs() -> None:
    found = compare(made((0, 1, 2), (0, 1, 2), (0, 1, 2), gap=0.8), draws=500)
    assert [level.level for level in found.levels] == ["a", "b", "c"]
    assert [(pair.a, pair.b) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    first, pair = found.levels[0], found.pairs[0]
    assert (first.rank, first.rank_interval, first.interval_kind) == (1, (1, 1), IMAGES)
    assert first.interval[0] < first.mean < first.interval[1]
    assert first.wide is not None
    assert first.wide[0] <= first.interval[0]
    assert pair.difference == pytest.approx(first.mean - found.levels[1].mean)
    assert (pair.verdict, pair.p_kind, pair.seeds, found.rank_kind) == ("better", BOTH, (0, 1, 2), BOTH)
    assert (pair.more_seeds, pair.more_images) == (None, None)
    assert pair.wins + pair.ties + pair.losses == IMAGE_COUNT
    assert pair.wins > 20
    assert pair.effect > 0.8
    assert pair.p_better + pair.p_equivalent + pair.p_worse == pytest.approx(1)
    assert pair.p_better > 0.975
    assert found.ranks.false_claim < 0.05
    assert found.class_iou.shape == (3, 3)
    assert (found.class_interval[..., 0] < found.class_iou).all()


def test_verdicts_and_what_they_need_hold_for_all_pairs_together() -> None:
    samples = made(*[(0, 1, 2, 3)] * 5, gap=0.4, images=100)
    found = compare(samples, draws=100)
    assert len(found.pairs) == 10
    single = [strongest(pair.difference, pair.variance, 0.005) for pair in found.pairs]
    assert [pair.p_verdict for pair in found.pairs] == adjusted([p for _, p in single], shaffer_steps(5))
    decided = [pair for pair in found.pairs if pair.verdict != "inconclusive"]
    for pair, (claim, _) in zip(found.pairs, single, strict=True):
        assert pair.verdict == (claim if pair.p_verdict < 0.05 else "inconclusive")
        if pair.more_seeds is not None:
            level = 1 - 0.05 / shaffer_steps(5)[len(decided)]
            for seeds, enough in ((pair.more_seeds, True), (pair.more_seeds - 1, False)):
                more = pair.variance.scaled(seeds=seeds).interval(pair.difference, new_seeds=True, level=level)
                assert (verdict(more, 0.005) != "inconclusive") == enough
    assert {p < 0.05 for _, p in single} == {True, False}
    with_reference = compare(samples, reference="c", draws=100)
    assert [(pair.a, pair.b) for pair in with_reference.pairs] == [("a", "c"), ("b", "c"), ("d", "c"), ("e", "c")]
    (of_all,) = [pair for pair in found.pairs if (pair.a, pair.b) == ("a", "c")]
    assert with_reference.pairs[0].difference == of_all.difference
    assert with_reference.pairs[0].p_verdict < of_all.p_verdict


def test_ten_seeds_are_enough_for_intervals_about_new_seeds() -> None:
    found = compare(made(tuple(range(10)), tuple(range(9))), draws=200)
    assert [level.interval_kind for level in found.levels] == [BOTH, IMAGES]
    assert found.levels[0].interval == found.levels[0].wide
    assert found.pairs[0].interval_kind == IMAGES
    assert found.pairs[0].seeds == tuple(range(9))


def test_one_seed_speaks_about_itself() -> None:
    found = compare(made((4,), (4,), gap=2.0), draws=20_000)
    assert [level.wide for level in found.levels] == [None, None]
    assert found.levels[0].variance.seeds is None
    assert found.rank_kind == IMAGES
    (pair,) = found.pairs
    assert (pair.p_kind, pair.wide, pair.seeds, pair.more_seeds, pair.more_images) == (IMAGES, None, (), None, None)
    assert pair.interval[0] > 0.005
    assert pair.p_better > 0.975
    assert (pair.verdict, pair.p_verdict) == ("inconclusive", 1)  # as far as one run can tell
    close = compare(made((4,), (4,), gap=0.1), draws=20_000)
    expected = close.pairs[0].variance.below(0, abs(close.pairs[0].difference), new_seeds=False)
    assert close.ranks.false_claim == pytest.approx(expected, abs=0.015)


def test_pairs_use_the_seeds_that_both_have() -> None:
    samples = made((2, 0, 1), (0, 1, 7))
    found = compare(samples, draws=200)
    same = {
        "a": LevelScores((0, 1), samples["a"].counts[[1, 2]]),
        "b": LevelScores((0, 1), samples["b"].counts[:2]),
    }
    (pair,), (alone,) = found.pairs, compare(same, draws=200).pairs
    assert pair.seeds == alone.seeds == (0, 1)
    assert (pair.difference, pair.interval, pair.verdict) == (alone.difference, alone.interval, alone.verdict)


def test_levels_without_common_seeds_are_compared_unpaired() -> None:
    found = compare(made((0, 1, 2), (2, 3, 4)), draws=200)
    (pair,) = found.pairs
    assert (pair.seeds, pair.p_kind) == ((), BOTH)
    assert pair.difference == pytest.approx(found.levels[0].mean - found.levels[1].mean)
    assert compare(made((0, 1, 2), (3,)), draws=200).pairs[0].p_kind == IMAGES


def test_one_level_has_no_pairs() -> None:
    found = compare(made((0, 1)), draws=200)
    assert (found.pairs, found.ranks.intervals, found.ranks.false_claim) == ((), ((1, 1),), 0)
    assert np.isnan(found.ranks.tau)


def test_identical_levels_are_equivalent() -> None:
    sample = made((0, 1, 2))["a"]
    found = compare({"a": sample, "b": sample}, draws=200)
    (pair,) = found.pairs
    assert (pair.difference, pair.interval, pair.verdict, pair.p_holm, pair.effect) == (0, (0, 0), "equivalent", 1, 0)
    assert (pair.wins, pair.ties, pair.losses) == (0, IMAGE_COUNT, 0)
    assert (pair.p_better, pair.p_equivalent, pair.p_worse) == (0, 1, 0)
    assert found.ranks.ranks == (1, 1)


def test_the_lowest_calibration_error_is_the_best() -> None:
    samples = made((0, 1, 2), (0, 1, 2))
    low = dataclasses.replace(samples["a"], values={"ece": samples["a"].values["ece"] / 4})
    found = compare(samples | {"a": low}, metric="ece", draws=200)
    (pair,) = found.pairs
    assert pair.difference < 0
    assert (pair.verdict, found.levels[0].rank, found.ranks.winner) == ("better", 1, 0)
    assert pair.p_better > 0.97
    assert pair.wins == IMAGE_COUNT - 1  # one has no value
    assert pair.effect == 1
    other = compare(samples, metric="boundary_f1", draws=200)
    assert other.levels[0].mean == pytest.approx(1 - np.nanmean(samples["a"].values["ece"]))
    assert other.ranks.winner == int(other.levels[1].mean > other.levels[0].mean)


@pytest.mark.parametrize("metric", ["miou", "miou_c", "accuracy", "ece"])
def test_the_same_seed_gives_the_same_numbers_in_any_order_of_levels(metric: str) -> None:
    samples = made((0, 1, 2), (0, 1, 2), (0, 1, 2))
    found = compare(samples, metric=metric, draws=300, seed=5)
    assert plain(found) == plain(compare(samples, metric=metric, draws=300, seed=5))
    assert plain(found) != plain(compare(samples, metric=metric, draws=300, seed=6))
    turned = compare(dict(reversed(samples.items())), metric=metric, draws=300, seed=5)
    assert turned.levels == found.levels[::-1]
    assert turned.pairs[0].difference == -found.pairs[-1].difference
    assert [pair.p_holm for pair in turned.pairs] == pytest.approx([pair.p_holm for pair in found.pairs[::-1]])
    assert np.array_equal(turned.class_interval, found.class_interval[::-1])
    assert turned.ranks.false_claim == found.ranks.false_claim


def test_the_order_of_seeds_does_not_matter() -> None:
    samples = made((0, 1, 2), (0, 1, 2))
    turned = samples | {"b": LevelScores((2, 1, 0), samples["b"].counts[::-1])}
    found, other = compare(samples, draws=200), compare(turned, draws=200)
    for a, b in zip(found.pairs, other.pairs, strict=True):
        assert (a.interval, a.wide) == (pytest.approx(b.interval), pytest.approx(b.wide))
    assert found.ranks.false_claim == pytest.approx(other.ranks.false_claim, abs=0.01)


def test_the_order_of_images_does_not_matter() -> None:
    samples = made((0, 1, 2), (0, 1, 2))
    order = np.random.default_rng(0).permutation(IMAGE_COUNT)
    moved = {name: LevelScores(sample.seeds, sample.counts[:, order]) for name, sample in samples.items()}
    (pair,), (other,) = compare(samples).pairs, compare(moved).pairs
    for name in ("difference", "interval", "wide", "p_holm", "effect", "p_better"):
        assert getattr(pair, name) == pytest.approx(getattr(other, name))


def test_groups_of_one_image_are_no_groups() -> None:
    samples = made((0, 1, 2), (0, 1, 2))
    alone = compare(samples, groups=[f"scene {i}" for i in range(IMAGE_COUNT)], draws=200)
    assert plain(alone) == plain(compare(samples, draws=200))


def test_images_of_a_group_are_one_large_image() -> None:
    samples = made((0, 1, 2), (0, 1, 2))
    groups = [i % 10 for i in range(IMAGE_COUNT)]
    found = compare(samples, groups=groups, draws=200)
    merged = {
        name: LevelScores(sample.seeds, sample.counts.reshape(3, 3, 10, 3, 3).sum(1))
        for name, sample in samples.items()
    }
    other = compare(merged, draws=200)
    assert (found.units, found.levels[0].images) == (10, IMAGE_COUNT)
    for a, b in zip(found.levels, other.levels, strict=True):
        assert (a.mean, a.interval, a.wide) == (b.mean, b.interval, b.wide)
    assert found.pairs[0].interval == other.pairs[0].interval
    assert found.pairs[0].wins + found.pairs[0].losses == 10


def test_copies_of_images_in_a_group_teach_nothing() -> None:
    """What groups are for: the same scene four times is not four images."""
    samples = made((0, 1, 2), (0, 1, 2))
    copied = {name: LevelScores(sample.seeds, np.repeat(sample.counts, 4, axis=1)) for name, sample in samples.items()}
    once = compare(samples, draws=200).levels[0]
    honest = compare(copied, groups=np.repeat(np.arange(IMAGE_COUNT), 4).tolist(), draws=200).levels[0]
    naive = compare(copied, draws=200).levels[0]
    assert honest.interval == pytest.approx(once.interval)
    assert naive.interval[1] - naive.interval[0] < 0.65 * (once.interval[1] - once.interval[0])


def test_wilcoxon_over_images_and_groups() -> None:
    samples = made((0, 1, 2), (0, 1, 2), (0, 1, 2))
    for groups in (None, [i // 2 for i in range(IMAGE_COUNT)]):
        found = compare(samples, groups=groups, draws=200)
        scores = []
        for sample in samples.values():
            iou = sample.counts[..., 0] / np.maximum(sample.counts[..., 1:].sum(-1) - sample.counts[..., 0], 1)
            iou = np.where(sample.counts[..., 2] > 0, iou, np.nan)
            each = np.nanmean(iou, axis=2).mean(0)
            scores.append(each if groups is None else each.reshape(-1, 2).mean(1))
        tests = [stats.wilcoxon(scores[a], scores[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        p = np.sort([test.pvalue for test in tests])
        adjusted = [min(3 * p[0], 1), min(max(3 * p[0], 2 * p[1]), 1), min(max(3 * p[0], 2 * p[1], p[2]), 1)]
        assert sorted(pair.p_holm for pair in found.pairs) == pytest.approx(adjusted)
        total = len(scores[0]) * (len(scores[0]) + 1) / 2
        assert [total / 2 * (1 - abs(pair.effect)) for pair in found.pairs] == pytest.approx(
            [test.statistic for test in tests]
        )


def test_holm_by_hand() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.005], holm_steps(4)) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([0.5, 0.9], holm_steps(2)) == pytest.approx([1, 1])
    assert adjusted([], holm_steps(0)) == []


def test_shaffer_by_hand_and_by_all_partitions() -> None:
    assert shaffer_steps(3) == [3, 1, 1]
    assert shaffer_steps(4) == [6, 3, 3, 3, 2, 1]
    assert adjusted([0.01, 0.04, 0.03], shaffer_steps(3)) == pytest.approx([0.03, 0.04, 0.03])
    for levels in range(1, 6):
        labels = itertools.product(range(levels), repeat=levels)
        pairs = {sum(a == b for a, b in itertools.combinations(each, 2)) for each in labels}
        assert equal_pairs(levels) == pairs
    for levels in (7, 20):  # what the docstring says of a rope
        steps = shaffer_steps(levels)
        assert all(left / 2 <= step <= left for step, left in zip(steps, holm_steps(len(steps)), strict=True))


def test_a_class_interval_is_that_of_the_class_alone() -> None:
    samples = made((0, 1, 2))
    found = compare(samples, draws=100)
    for index in range(3):
        alone = {"a": LevelScores((0, 1, 2), samples["a"].counts[:, :, index : index + 1])}
        (level,) = compare(alone, draws=100).levels
        assert found.class_iou[0, index] == pytest.approx(level.mean)
        assert found.class_interval[0, index] == pytest.approx(level.interval)


def test_classes_are_judged_by_iou_whatever_the_metric() -> None:
    samples = made((0, 1, 2))
    found = [compare(samples, metric=metric, draws=200) for metric in ("miou", "accuracy")]
    assert np.array_equal(found[0].class_interval, found[1].class_interval)


def test_a_class_in_one_image_or_none_has_no_interval() -> None:
    counts = made((0, 1))["a"].counts.copy()
    counts[:, :, 2] = 0
    counts[:, 1:, 1] = 0
    counts[:, 0, 1] = (5, 10, 20)
    found = compare({"a": LevelScores((0, 1), counts)}, draws=200)
    assert np.isnan(found.class_interval[0, 1:]).all()
    assert np.isfinite(found.class_interval[0, 0]).all()
    assert found.class_iou[0, 1] == pytest.approx(5 / 25)
    assert np.isnan(found.class_iou[0, 2])


def test_images_without_labels_are_passed_over() -> None:
    counts = made((0, 1), (0, 1))
    blank = {name: LevelScores(s.seeds, np.where(np.arange(IMAGE_COUNT)[:, None, None] < 2, s.counts, 0))
             for name, s in counts.items()}  # fmt: skip
    for metric in COUNTED:
        found = compare(blank, metric=metric, draws=500)
        assert np.isfinite(found.levels[0].interval).all()
        assert found.pairs[0].wins + found.pairs[0].losses == 2


# --- ranks


def test_a_false_claim_has_the_probability_that_the_pair_gives_it() -> None:
    samples = made(tuple(range(5)), tuple(range(5)), gap=0.1)
    found = compare(samples, draws=40_000)
    (pair,) = found.pairs
    expected = pair.variance.below(0, abs(pair.difference), new_seeds=True)
    assert found.ranks.false_claim == pytest.approx(expected, abs=0.03)  # Behrens and Fisher, Cochran and Cox


def test_ranks_of_draws() -> None:
    draws = np.array([[3.0, 2, 1], [3, 1, 2], [3, 2, 1], [2, 3, 1]])
    found = rank_draws(np.array([0.9, 0.8, 0.7]), draws)
    assert found.ranks == (1, 2, 3)
    assert found.shares.tolist() == [[0.75, 0.25, 0], [0.25, 0.5, 0.25], [0, 0.25, 0.75]]
    assert found.intervals == ((1, 2), (1, 3), (2, 3))
    assert (found.winner, found.false_claim) == (0, 0.25)
    taus = [stats.kendalltau([3, 2, 1], draw).statistic for draw in draws]
    assert found.tau == pytest.approx(np.mean(taus))
    tied = rank_draws(np.array([0.9, 0.8, 0.8]), draws)
    assert tied.ranks == (1, 2, 2)
    assert tied.tau == pytest.approx(np.mean([stats.kendalltau([3, 2, 2], draw).statistic for draw in draws]))


@pytest.mark.parametrize("paired", [True, False])
def test_the_covariance_of_joint_draws_has_the_parts(paired: bool) -> None:
    """Of every pair of three levels, where chance left no part negative."""
    world, rng = World(presence=(1.0, 1.0), seed=0.3), np.random.default_rng(3)
    runs = world.seeds(rng, 3, 8)
    counts = world.counts(rng, runs, 60)
    samples = {name: LevelScores(tuple(range(8)), each) for name, each in zip("abc", counts, strict=True)}
    found = {name: scored(sample, "miou", np.arange(60)) for name, sample in samples.items()}
    levels = [(found[name].scores, found[name].without) for name in "abc"]
    draws = joint_draws(levels, 100_000, rng, paired=paired)
    assert draws.mean(0) == pytest.approx([scores.mean() for scores, _ in levels], abs=0.001)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        _, parts = difference_parts(levels[a], levels[b], paired=paired)
        middle = np.quantile(draws[:, a] - draws[:, b], 0.75) - np.quantile(draws[:, a] - draws[:, b], 0.25)
        assert middle == pytest.approx(2 * stats.t.ppf(0.75, 10) * parts.error(new_seeds=True), rel=0.05)


def test_joint_draws_of_few_seeds_scatter_as_all_levels_do() -> None:
    rng = np.random.default_rng(0)
    scores = np.array([1.0, 1, 1, 5])[:, None] * rng.normal(size=(4, 3))
    pooled = seed_interaction(scores)
    levels = [(each, np.zeros((20, 1)) + each) for each in scores]
    draws = joint_draws(levels, 200_000, rng, paired=True, pooled=pooled)
    assert pooled.levels[3] > 2 * pooled.levels[0]
    assert draws.mean(0) == pytest.approx(scores.mean(1), abs=0.05)
    doubt = rng.standard_t(pooled.degrees, (len(pooled.variances) * 4, 1)) * [[1.0] * 4]
    mixture = doubt * np.sqrt(np.tile(pooled.variances, (4, 1)) / 3)
    for share in (0.6, 0.75, 0.9):
        reach = np.quantile(draws, share, axis=0) - np.quantile(draws, 1 - share, axis=0)
        wanted = np.quantile(mixture, share, axis=0) - np.quantile(mixture, 1 - share, axis=0)
        assert reach == pytest.approx(wanted, rel=0.06)


def test_ranks_of_few_seeds_follow_all_levels() -> None:
    """A level of a pair that happens to scatter little is not taken for firm; from ten seeds on it is."""
    for seeds, together in ((3, True), (10, False)):
        samples = made(*[tuple(range(seeds))] * 4)
        found = {name: scored(sample, "miou", np.arange(30)) for name, sample in samples.items()}
        levels = [(each.scores, each.without) for each in found.values()]
        pooled = seed_interaction(np.stack([each.scores for each in found.values()])) if together else None
        draws = joint_draws(levels, 500, np.random.default_rng(0), paired=True, pooled=pooled)
        means = np.array([each.scores.mean() for each in found.values()])
        assert compare(samples, draws=500).ranks.shares.tolist() == rank_draws(means, draws).shares.tolist()


def test_agreement_of_metrics() -> None:
    found = agreement(
        {"miou": [0.5, 0.6, 0.7], "ece": [-0.3, -0.2, -0.1], "boundary_f1": [0.5, 0.7, 0.6], "accuracy": [np.nan, 1, 1]}
    )
    assert found[:3, :3] == pytest.approx(np.array([[1, 1, 1 / 3], [1, 1, 1 / 3], [1 / 3, 1 / 3, 1]]))
    assert np.isnan(found[3]).all()
    assert np.isnan(agreement({"miou": [0.5, 0.5], "ece": [0.1, 0.2]})[0]).all()
    assert np.isnan(agreement({"miou": [0.5]})).all()


# --- nonsense


def broken(**changes: Any) -> dict[str, LevelScores]:
    samples = made((0, 1), (0, 1))
    return samples | {"b": dataclasses.replace(samples["b"], **changes)}


def one_labelled() -> dict[str, LevelScores]:
    counts = made((0, 1))["a"].counts.copy()
    counts[:, 1:] = 0
    return {"a": LevelScores((0, 1), counts)}


def counts_with(index: tuple[int, ...], value: int) -> np.ndarray:
    counts = made((0, 1), (0, 1))["b"].counts.copy()
    counts[index] = value
    return counts


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ({}, {}, "levels: expected at least one, got none; "),
        (broken(seeds=(0,)), {}, r"b: expected counts \(seeds, images, classes, 3\) of 1 seeds, got shape \(2, 30, 3"),
        (broken(counts=np.ones((2, 30, 9), np.int64)), {}, r"b: expected counts .* got shape \(2, 30, 9\)"),
        (broken(seeds=(4, 4)), {}, r"b: expected each seed once, got \[4, 4\]; "),
        (made((0, 1), images=1), {}, "a: expected at least 2 images, got 1; "),
        (broken(counts=np.ones((2, 30, 3, 3))), {}, "b: expected counts as whole numbers, got float64; "),
        (broken(counts=np.full((2, 30, 3, 3), np.nan)), {}, "b: expected counts as whole numbers, got float64; "),
        (broken(counts=counts_with((1, 2, 0, 0), -1)), {}, "b: expected an intersection within .* seed 1, image 2, cl"),
        (broken(counts=counts_with((1, 2, 0, 1), 0)), {}, "b: expected an intersection within prediction and target"),
        (broken(counts=counts_with((1, 2, 0, 2), 10**6)), {}, "b: expected the same target pixels in every run, got o"),
        (broken(counts=np.zeros((2, 30, 3, 3), np.int64)), {}, "b: expected labelled pixels, got none; "),
        (broken(counts=made((0, 1))["a"].counts[:, :29]), {}, "b: expected 30 images and 3 classes .* got 29 and 3; "),
        (broken(), {"metric": "mio"}, "metric: expected one of miou, .*boundary_f1, ece, got 'mio' for a; "),
        (broken(values={}), {"metric": "ece"}, "metric: expected one of .* got 'ece' for b; "),
        (broken(values={"ece": np.ones(30)}), {"metric": "ece"}, r"b: expected ece as \(seeds, images\) \(2, 30\), "),
        (broken(values={"ece": np.full((2, 30), np.nan)}), {"metric": "ece"}, "b: expected ece to be a number for the"),
        (broken(values={"ece": np.ones((2, 30))}), {"metric": "ece"}, "b: expected ece to be a number for the same"),
        (broken(), {"rope": -0.1}, "rope: expected a difference that would not matter of at least 0, got -0.1; "),
        (broken(), {"rope": float("nan")}, "rope: expected .* got nan; "),
        (broken(), {"reference": "x"}, "reference: expected one of a, b, got 'x'; "),
        (broken(), {"draws": 99}, "draws: expected a whole number of at least 100, got 99; "),
        (broken(), {"groups": ["x"] * 29}, "groups: expected one for each of 30 images, got 29; "),
        (broken(), {"groups": ["x"] * 30}, "miou: expected a score in at least 2 groups of images, got fewer; "),
        (one_labelled(), {}, "miou: expected a score in at least 2 images, got fewer; "),
        (one_labelled(), {"metric": "accuracy"}, "accuracy: expected a score in at least 2 images, got fewer; "),
    ],
)  # fmt: skip
def test_nonsense_is_refused(samples: dict[str, LevelScores], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(samples, **{"draws": 100, **options})
