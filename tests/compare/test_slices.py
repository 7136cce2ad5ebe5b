"""Comparisons on slices of the images, held against comparisons of these images alone.

python -m pytest tests/compare/test_slices.py
"""

import csv
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Script, fails
from made_runs import made_counts, write_run
from made_scores import World

from seg.compare.by_attribute import section, sentences
from seg.compare.findings import Comparison
from seg.compare.multiplicity import adjusted, holm_steps, shaffer_steps
from seg.compare.scores import LevelScores
from seg.compare.slices import Sliced, compare_slices
from seg.compare.statistics import compare
from seg.compare.variance import strongest
from seg.data.attributes import Slice, Slices
from seg.report.document import to_markdown

IMAGES = 40
NIGHT, DAY = tuple(range(0, IMAGES, 3)), tuple(i for i in range(IMAGES) if i % 3)


def made(levels: int, seeds: int = 3, gap: float = 0.0) -> dict[str, LevelScores]:
    world, rng = World(presence=(1.0, 0.8, 0.5)), np.random.default_rng(0)
    counts = world.counts(rng, world.seeds(rng, levels, seeds), IMAGES, gap=gap)
    values = rng.uniform(1, 9, (levels, seeds, IMAGES))
    return {
        name: LevelScores(tuple(range(seeds)), each, {"hd95": value})
        for name, each, value in zip("abcdefg", counts, values, strict=False)
    }


def parted(**values: tuple[int, ...]) -> Slices:
    return Slices(tuple(Slice("time", value, images) for value, images in values.items()), ())


def alone(samples: dict[str, LevelScores], images: tuple[int, ...], **options: object) -> Comparison:
    """The images of a slice, as if there were no others."""
    part = {
        name: LevelScores(
            sample.seeds, sample.counts[:, list(images)], {"hd95": sample.values["hd95"][:, list(images)]}
        )
        for name, sample in samples.items()
    }
    return compare(part, draws=100, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", ["miou", "miou_i", "miou_c", "accuracy", "hd95"])
def test_a_slice_is_compared_as_its_images_alone(metric: str) -> None:
    samples = made(2, gap=0.3)
    found = compare_slices(samples, parted(night=NIGHT, day=DAY), metric=metric)
    assert found.tests == 2
    for (part, compared), images in zip(found.compared, (NIGHT, DAY), strict=True):
        reference = alone(samples, images, metric=metric)
        assert part.images == images
        for ours, theirs in zip(compared.levels, reference.levels, strict=True):
            assert (ours.mean, ours.interval, ours.wide, ours.scores) == (
                theirs.mean, theirs.interval, theirs.wide, theirs.scores,
            )  # fmt: skip
        (ours,), (theirs,) = compared.pairs, reference.pairs
        assert (ours.difference, ours.wide, ours.variance) == (theirs.difference, theirs.wide, theirs.variance)


@pytest.mark.parametrize("reference", [None, "b"])
def test_verdicts_hold_together_over_all_slices(reference: str | None) -> None:
    """Adjusted by hand, from what each pair alone says."""
    samples, slices = made(4, gap=0.9), parted(night=NIGHT, day=DAY)
    found = compare_slices(samples, slices, reference=reference)
    pairs = [pair for _, compared in found.compared for pair in compared.pairs]
    assert found.tests == len(pairs) == (6 if reference else 12)
    claims = [strongest(pair.difference, pair.variance, 0.005) for pair in pairs]
    steps = holm_steps(6) if reference else shaffer_steps(4, 2)
    wanted = adjusted([p for _, p in claims], steps)
    assert [pair.p_verdict for pair in pairs] == wanted
    for pair, (claim, _), p in zip(pairs, claims, wanted, strict=True):
        assert pair.verdict == (claim if p < 0.05 else "inconclusive")
    assert {pair.verdict for pair in pairs} >= {"inconclusive", "better"}
    single = alone(samples, NIGHT, reference=reference)
    ours = found.compared[0][1].pairs
    assert all(a.p_verdict >= b.p_verdict for a, b in zip(ours, single.pairs, strict=True))  # slices cost power
    assert [pair.p_holm for pair in ours] != [pair.p_holm for pair in single.pairs]


def test_shaffer_of_several_families_by_all_partitions() -> None:
    """How many pairs may be equal at most, once so many are not: by all ways to part the levels of each family."""
    for levels, families in ((3, 1), (3, 2), (4, 2), (3, 3)):
        ways = {
            sum(a == b for a, b in itertools.combinations(labels, 2))
            for labels in itertools.product(range(levels), repeat=levels)
        }
        sums = {sum(each) for each in itertools.product(ways, repeat=families)}
        tests = families * levels * (levels - 1) // 2
        assert shaffer_steps(levels, families) == [max(s for s in sums if s <= left) for left in range(tests, 0, -1)]
    steps = shaffer_steps(7, 4)
    assert all(left / 2 <= step <= left for step, left in zip(steps, holm_steps(len(steps)), strict=True))


def test_slices_that_cannot_be_compared_are_told() -> None:
    samples = made(2)
    found = compare_slices(samples, parted(one=(4,), day=DAY))
    assert [part.value for part, _ in found.compared] == ["day"]
    assert found.notes == ("time=one is left out: expected two images with a score at least, got 1",)
    grouped = compare_slices(samples, parted(few=(0, 1, 2), day=DAY), groups=[i // 4 for i in range(IMAGES)])
    assert grouped.notes[0].startswith("time=few is left out: expected two groups of images with a score")
    assert grouped.compared[0][1].units == 10
    with pytest.raises(ValueError, match="expected a slice of two images or more, got none .*time=one is left out"):
        compare_slices(samples, parted(one=(4,), two=(5,)))
    with pytest.raises(ValueError, match="metric: expected one of"):
        compare_slices(samples, parted(night=NIGHT, day=DAY), metric="luck")


def test_a_class_that_a_slice_lacks_leaves_it_out() -> None:
    samples = made(2)
    for name, sample in samples.items():
        counts = sample.counts.copy()
        counts[:, list(NIGHT), 2] = 0
        samples[name] = replace(sample, counts=counts, classes=("x", "y", "z"))
    found = compare_slices(samples, parted(night=NIGHT, day=DAY), metric="iou.z")
    assert found.notes == ("time=night is left out: expected two images with a score at least, got 0",)


def said(found: Sliced, **verdicts: str) -> list[str]:
    """The sentences, if a is this against b on each slice, and open against the others."""
    compared = []
    for part, each in found.compared:
        pairs = (
            replace(pair, verdict=verdicts[part.value] if (pair.a, pair.b) == ("a", "b") else "inconclusive",
                    difference=0.04, wide=(0.01, 0.07))
            for pair in each.pairs
        )  # fmt: skip
        compared.append((part, replace(each, pairs=tuple(pairs))))
    return list(sentences(replace(found, compared=tuple(compared)), "a"))


def test_sentences_say_where() -> None:
    found = compare_slices(made(3), parted(night=NIGHT, day=DAY))
    assert said(found, night="better", day="inconclusive") == [
        "`a` against `b`, by `time`: better for `night` by 4.0 points (1.0 to 7.0), open for `day`."
    ]
    assert said(found, night="equivalent", day="worse") == [
        "`a` against `b`, by `time`: worse for `day` by 4.0 points (1.0 to 7.0), equivalent for `night`."
    ]
    assert said(found, night="inconclusive", day="inconclusive") == [
        "By `time` nothing is settled between `a` and `b` and `c`."
    ]
    five = {f"v{i}": tuple(range(8 * i, 8 * i + 8)) for i in range(5)}
    found = compare_slices(made(2), parted(**five))
    assert said(found, **dict.fromkeys(five, "better")) == [
        "`a` against `b`, by `time`: better for `v0`, `v1`, `v2`, `v3` and `v4` by 4.0 to 4.0 points."
    ]


def test_one_level_has_scores_and_no_verdicts(tmp_path: Path) -> None:
    samples = made(1)
    found = compare_slices(samples, parted(night=NIGHT, day=DAY))
    assert (found.tests, list(sentences(found, "a"))) == (0, [])
    text = to_markdown("", list(section(tmp_path, found, compare(samples, draws=100), "a")))
    assert "verdict" not in text
    means = [100 * compared.levels[0].mean for _, compared in found.compared]
    assert f"| a | {100 * compare(samples, draws=100).levels[0].mean:.1f} | {means[0]:.1f} | {means[1]:.1f} |" in text


def test_of_an_error_less_is_better_on_a_slice() -> None:
    samples = made(2)
    samples["a"] = replace(samples["a"], values={"hd95": samples["a"].values["hd95"] / 100})
    found = compare_slices(samples, parted(night=NIGHT, day=DAY), metric="hd95")
    (told,) = sentences(found, "a")
    assert re.fullmatch(
        r"`a` against `b`, by `time`: better for `night` by (\d\.\d\d) pixels \((\d\.\d\d) to (\d\.\d\d)\) and `day` "
        r"by \d\.\d\d pixels \(\d\.\d\d to \d\.\d\d\)\.",
        told,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two losses; dice is better at night alone."""
    for level in ("dice", "focal"):
        for seed in range(3):
            counts = made_counts(level, seed, images=IMAGES)
            better = made_counts(level, seed, images=IMAGES, better=0.2)
            if level == "dice":
                counts[list(NIGHT)] = better[list(NIGHT)]
            write_run(tmp_path / f"runs/{level}-{seed}", level, seed, counts=counts)
    rows = [f"val/{i:03}.png,{'night' if i in NIGHT else 'day'},{i / 2}" for i in range(IMAGES)]
    (tmp_path / "images.csv").write_text("\n".join(["image,time,sun", *rows, "train/1.png,day,3"]) + "\n")
    return tmp_path


def test_the_command_writes_them(root: Path, script: Script) -> None:
    options = {"runs": "runs", "destination": "out", "draws": 100}
    result = script("seg-compare", **options, attributes="images.csv")
    assert result.returncode == 0, result.stderr
    assert re.search(r"'dice' against 'focal', by 'time': better for 'night' by \d+\.\d points \(.*open for 'day'\.\n",
                     result.stdout)  # fmt: skip
    assert "attributes: 1 row is of another image than those of the set (1: train/1.png)" in result.stderr
    assert "slices.csv, slices.json" in result.stdout
    data = json.loads((root / "out/slices.json").read_text())
    assert (data["tests"], data["reference"], data["adjusted"]) == (6, None, "Shaffer")
    assert [(part["attribute"], part["value"], part["images"]) for part in data["slices"]] == [
        ("time", "day", len(DAY)), ("time", "night", len(NIGHT)),
        *[("sun", f"{low:g} to {low + 4.5:g}", 10) for low in (0, 5, 10, 15)],
    ]  # fmt: skip
    with (root / "out/slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    night = {row["level"]: row for row in rows if row["value"] == "night"}
    assert (night["focal"]["verdict"], night["dice"]["verdict"]) == ("worse", "")
    assert (night["focal"]["reference"], night["focal"]["images"]) == ("dice", str(len(NIGHT)))
    assert float(night["focal"]["difference"]) < float(night["focal"]["difference_high"]) < 0
    text = (root / "out/report.md").read_text()
    assert "## By attribute" in text
    assert "| time | all images: 40 images | day: 26 images | night: 14 images |" in text
    assert "(slices.png)" in text
    assert "column" not in text.split("## By attribute")[1].split("| time |")[0]
    assert script("seg-compare", **options).returncode == 0
    assert not [path.name for path in (root / "out").glob("slices*")]  # nothing stays that is not of this call


def test_the_command_refuses_what_does_not_fit(root: Path, script: Script) -> None:
    options = {"runs": "runs", "destination": "out", "draws": 100}
    fails(script("seg-compare", **options, attributes="no.csv"), 2, "attributes: expected a table of the images, got")
    (root / "images.csv").write_text("image,time\nval/000,day\n")
    fails(script("seg-compare", **options, attributes="images.csv"), 2, "expected a row for each of 40 images")
    assert not (root / "out").exists()


def test_slices_of_each_value(root: Path, script: Script) -> None:
    for folder in (root / "runs").iterdir():
        level, seed = folder.name.split("-")
        for value, better in ((1, 0.0), (8, -0.1)):
            data = {"train": None, "render": {"imbalance": value}}
            counts = made_counts(level, int(seed), images=IMAGES, better=better)
            write_run(root / f"runs8/{value}-{folder.name}", level, int(seed), counts=counts, config={"data": data})
    result = script("seg-compare", runs="runs8", axis="loss", by="data.render.imbalance", destination="out", draws=100,
                    attributes="images.csv")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (root / "out/1/slices.json").exists()
    assert (root / "out/8/slices.json").exists()
