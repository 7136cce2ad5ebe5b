"""Plans: what the data are like, what is measured, what the numbers lead to, and the recipe that they make.

python -m pytest tests/training/test_plan.py
"""

import json
import re
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from conftest import LABELS, Script, fails, write_pairs
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor

from seg.commands.cli import conf_dir
from seg.commands.cli.targets import inference_of
from seg.data.source import Part, Source
from seg.training.budget import Costs
from seg.training.plan import Budget, Candidate, Facts, Kept, Measured, candidates, choose, look, words
from seg.training.plan.candidates import crops

STUDIES = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
FACTS = Facts(
    train=300,
    val=50,
    size=(360, 480),
    largest=(360, 480),
    channels=3,
    classes=("road", "sky", "pole"),
    shares=(0.6, 0.39, 0.01),
    images_with=(1.0, 0.9, 0.5),
    widths=(200.0, 90.0, 3.0),
    tilt=0.8,
)
BUDGET = Budget(
    minutes=20.0,
    started=10.0,
    memory=8_000_000_000,
    encoder_name="resnet18",
    encoder_weights=None,
    precision="32-true",
    workers=1,
    machine="a machine",
)
BASE = 1_000_000_000  # bytes of a process that has loaded everything


def measured(
    facts: Facts = FACTS, *, per_megapixel: float = 1.0, lighter: float = 0.5, weights: bool = True
) -> list[list[Measured]]:
    """Measurements of a machine on which time and memory grow with the pixels."""

    def one(candidate: Candidate, factor: float) -> Measured:
        pixels = candidate.images * candidate.pixels / 1e6
        costs = Costs(start=1.0, step=factor * per_megapixel * pixels, epoch=0.2, validation=4.0, judgement=8.0)
        memory = BASE + round(2e9 * candidate.batch * candidate.pixels / 1e6)
        return Measured(candidate, costs, max(facts.train // candidate.images, 1), memory, BASE)

    return [
        [one(candidate, factor) for candidate in group]
        for group, factor in zip(candidates(facts, weights=weights), (1.0, lighter), strict=True)
    ]


def seconds(kept: Measured, steps: int, every: int) -> float:
    """What a run takes, counted part by part."""
    costs, total = kept.costs, kept.costs.start
    for step in range(1, steps + 1):
        total += costs.step
        if step % kept.epoch == 1 or kept.epoch == 1:
            total += costs.epoch
        ends = step % kept.epoch == 0 or step == steps
        if ends and step == steps:
            total += costs.judgement
        elif ends and step // kept.epoch % every == 0:
            total += costs.validation
    return total


def test_masks_tell_up_from_down_and_thin_from_thick(tmp_path: Path) -> None:
    write_pairs(tmp_path, 12)  # sky above a road, a car of 16 x 24 pixels between them
    part = Part(str(tmp_path / "images"), str(tmp_path / "masks"))
    source = Source(train=part, val_share=0.5)
    facts = look(source.read(source.take(), LABELS))
    assert facts.upright
    assert (facts.train, facts.size, facts.classes) == (6, (64, 96), ("sky", "road", "car"))
    assert facts.widths[2] == pytest.approx(16, abs=2)
    assert sum(facts.shares) == pytest.approx(1)
    assert facts.classes[facts.rarest] == "car"
    for number in range(12):  # the right half upside down: no up and no down
        path = tmp_path / "masks" / f"s{number}.png"
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.hstack([mask[:, :48], mask[::-1, 48:]]))
    turned = look(source.read(source.take(), LABELS))
    assert not turned.upright


@pytest.mark.parametrize("size", [(360, 480), (256, 256), (64, 96), (20, 500), (1080, 1920), (4000, 6000)])
def test_windows_suit_encoders_and_images(size: tuple[int, int]) -> None:
    found = crops(replace(FACTS, size=size))
    for height, width in found:
        assert height % 32 == width % 32 == 0
        assert height >= 64 or size[0] <= 32
        assert height <= size[0] + 31
        assert width <= size[1] + 31
        assert height * width <= 512 * 512 * 1.2
    assert found == sorted(set(found))
    assert 1 <= len(found) <= 3


def test_ample_time_buys_the_largest_window_and_scarce_time_the_smallest() -> None:
    ample = choose(FACTS, measured(), replace(BUDGET, minutes=60)).length
    assert ample.measured.candidate.crop == crops(FACTS)[-1]
    assert ample.steps >= 600
    less = choose(FACTS, measured(), replace(BUDGET, minutes=6)).length
    assert less.measured.candidate.pixels < ample.measured.candidate.pixels
    scarce = choose(FACTS, measured(), replace(BUDGET, minutes=1)).length
    assert scarce.measured.candidate == Candidate("unet_light", crops(FACTS)[0], 8)


@pytest.mark.parametrize("minutes", [1, 3, 7, 20, 45, 120])
@pytest.mark.parametrize("slow", [0.2, 1.0, 5.0])
def test_a_plan_ends_within_its_minutes_and_wastes_no_step(minutes: float, slow: float) -> None:
    length = choose(FACTS, measured(per_megapixel=slow), replace(BUDGET, minutes=minutes)).length
    within = 60 * minutes / length.seeds - BUDGET.started
    assert seconds(length.measured, length.steps, length.every) <= within + 1e-6
    assert seconds(length.measured, length.steps + 1, length.every) > within - 1e-6


def test_validations_take_a_tenth_of_the_time_or_are_three() -> None:
    length = choose(FACTS, measured(), BUDGET).length
    validations = -(-length.steps // length.measured.epoch) // length.every
    assert validations * 4.0 <= 0.1 * 60 * BUDGET.minutes + 8.0 or validations <= 3


def test_more_time_than_a_seed_can_use_buys_seeds() -> None:
    plan = choose(FACTS, measured(per_megapixel=0.01), replace(BUDGET, minutes=300))
    assert plan.length.seeds == 5
    assert plan.length.steps >= 100 * plan.length.measured.epoch
    assert "--multirun seed=0,1,2,3,4" in plan.recipe.text()
    assert choose(FACTS, measured(), BUDGET).length.seeds == 1


def test_the_same_numbers_make_the_same_plan() -> None:
    kept = Kept(FACTS, tuple(map(tuple, measured())), BUDGET, (("data", "synthetic"), ("data.render.train", 40)))
    texts = {choose(kept.facts, kept.measured, kept.budget).recipe.about(kept.data).text() for _ in range(3)}
    assert len(texts) == 1


def test_what_was_kept_is_read_back(tmp_path: Path) -> None:
    kept = Kept(FACTS, tuple(map(tuple, measured())), BUDGET, (("data.train.images", "a b"),))
    (tmp_path / "plan.json").write_text(json.dumps(kept.plain()))
    assert Kept.read(str(tmp_path / "plan.json")) == kept
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ValueError, match=r"measured: expected the NAME.json that seg-plan wrote .*; give that"):
        Kept.read(str(tmp_path / "plan.json"))


def test_memory_is_never_exceeded() -> None:
    tight = replace(BUDGET, memory=BASE + 900_000_000, minutes=600)
    length = choose(FACTS, measured(), tight).length
    assert length.measured.memory is not None
    assert tight.memory is not None
    assert length.measured.memory <= tight.memory
    with pytest.raises(ValueError, match=r"memory: expected at least 1\.8 GB, .*got 0.5; give more"):
        choose(FACTS, measured(), replace(BUDGET, memory=500_000_000))


def test_remedies_work_to_the_letter() -> None:
    """Whatever the numbers are, so many minutes and so many GB are enough."""
    for more in range(0, 95, 7):
        larger = [
            [replace(each, memory=(each.memory or 0) + more * 1_000_000) for each in group] for group in measured()
        ]
        budget = replace(BUDGET, minutes=0.2, memory=1_000_000_000, started=5 + 0.37 * more)
        for key, size in (("memory", 1e9), ("minutes", 1)):
            with pytest.raises(ValueError, match=f"{key}: expected at least") as caught:
                choose(FACTS, larger, budget)
            least = float(re.findall(r"at least ([\d.]+)", str(caught.value))[0])
            budget = replace(budget, **{key: type(getattr(budget, key))(round(least * size, 3))})
        assert choose(FACTS, larger, budget).length.steps >= 1


def test_a_reason_says_when_memory_decided() -> None:
    """And not that there was no time."""
    ample = replace(BUDGET, minutes=600)
    small, large = measured()[0]
    assert large.memory is not None
    plan = choose(FACTS, measured(), replace(ample, memory=large.memory - 1))
    assert plan.length.measured.candidate.model == "unet_small"
    assert "the largest of three sizes that fits into the memory and leaves" in " ".join(plan.recipe.text().split("# "))
    heavy = [replace(each, memory=10 * (each.memory or 0)) for each in (small, large)]
    plan = choose(FACTS, [heavy, measured()[1]], replace(ample, memory=large.memory))
    assert plan.length.measured.candidate.model == "unet_light"
    assert "lighter than unet_small, which does not fit into the memory" in plan.recipe.text()
    assert "memory and" not in choose(FACTS, measured(), replace(ample, memory=None)).recipe.text()
    tiny = replace(FACTS, size=(64, 64))
    assert "the only size that comes into question" in choose(tiny, measured(tiny), ample).recipe.text()


def test_what_was_measured_on_is_trained_on() -> None:
    cpu = choose(FACTS, measured(), replace(BUDGET, accelerator="cpu")).recipe
    assert cpu.value("device.accelerator") == "cpu"
    with pytest.raises(KeyError):
        choose(FACTS, measured(), BUDGET).recipe.value("device.accelerator")


def test_a_small_window_says_how_many_large_ones_fit() -> None:
    small, large = measured()[0]
    fits = small.most_images(large.candidate, BASE + round(2e9 * 5 * large.candidate.pixels / 1e6))
    assert fits == 5


def test_too_few_minutes_are_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"minutes: expected at least (\S+), .*, got 0\.2; give more") as caught:
        choose(FACTS, measured(), replace(BUDGET, minutes=0.2))
    least = float(re.findall(r"at least ([\d.]+)", str(caught.value))[0])
    assert choose(FACTS, measured(), replace(BUDGET, minutes=1.05 * least)).length.steps >= 1


def test_a_model_that_begins_at_random_sees_smaller_images_in_smaller_batches() -> None:
    def tried(size: tuple[int, int], *, weights: bool) -> set[tuple[float, int]]:
        found = candidates(replace(FACTS, size=size), weights=weights)
        return {(each.scale, each.images) for group in found for each in group}

    assert tried((360, 480), weights=True) == {(1.0, 8)}
    assert tried((360, 480), weights=False) == {(0.5, 4)}  # 180x240 pixels are left
    assert tried((192, 288), weights=False) == {(1.0, 4)}  # too little would be left
    small, large = candidates(FACTS, weights=False)[0]
    assert (small.crop, large.crop) == ((96, 128), (192, 256))
    recipe = choose(FACTS, measured(weights=False), BUDGET).recipe
    assert recipe.value("augment.crop.scale") == [0.375, 0.75]
    assert (recipe.value("inference"), recipe.value("inference.scales")) == ("tta", [0.5])
    assert (recipe.value("scheduler"), recipe.value("optimizer.lr")) == ("one_cycle", 4.0e-3)
    trained = choose(FACTS, measured(), replace(BUDGET, encoder_weights="lite0.pth")).recipe
    assert (trained.value("scheduler"), trained.value("optimizer.lr")) == ("poly", 3.0e-3)


def test_giants_are_predicted_in_windows_of_the_size_that_was_trained() -> None:
    giants = replace(FACTS, size=(3000, 4000), largest=(3000, 4000))
    for weights, key in ((True, "inference.window"), (False, "inference.sliding.window")):
        recipe = choose(giants, measured(giants, weights=weights), BUDGET).recipe
        low, high = recipe.value("augment.crop.scale")
        assert recipe.value(key) == max(recipe.value("augment.crop.size")) / (low * high / 1.125) ** 0.5


@pytest.mark.parametrize("facts", [FACTS, replace(FACTS, tilt=0.0, largest=(4000, 6000), shares=(0.5, 0.3, 0.2))])
@pytest.mark.parametrize("weights", [None, "weights/it's mine.pth"])
@pytest.mark.parametrize("minutes", [2, 200])
def test_every_line_has_a_reason_and_every_study_exists(facts: Facts, weights: str | None, minutes: float) -> None:
    candidates_of = measured(facts, weights=weights is not None)
    plan = choose(facts, candidates_of, replace(BUDGET, minutes=minutes, encoder_weights=weights))
    lines = plan.recipe.text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r" +(- override )?\S+: \S", line):
            assert before.strip().startswith("# "), line
        assert len(line) <= 120
    for study in re.findall(r"[a-z-]+-\d{4}-\d\d-\d\d", plan.recipe.text()):
        assert (STUDIES / f"{study}.md").is_file()


@pytest.mark.parametrize("largest", [(360, 480), (4000, 6000)])
def test_a_recipe_of_halved_images_composes(largest: tuple[int, int], tmp_path: Path) -> None:
    facts = replace(FACTS, largest=largest)
    plan = choose(facts, measured(facts, weights=False), BUDGET)
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(plan.recipe.text())
    common = ["data.train.images=a", "data.train.masks=b", "name=x"]
    with initialize_config_dir(str(conf_dir()), version_base=None):
        by_name = compose("train", [f"hydra.searchpath=[{tmp_path}]", *common, "experiment=mine"])
        by_words = compose("train", [*common, *plan.recipe.words()])
    assert OmegaConf.to_container(by_name) == OmegaConf.to_container(by_words)
    config: Any = OmegaConf.to_container(by_name)
    infer = inference_of(config["inference"])
    assert infer is not None
    seen: list[tuple[int, ...]] = []

    def model(images: Tensor) -> Tensor:
        seen.append(tuple(images.shape[-2:]))
        return images

    infer(model)(torch.zeros(1, 3, 360, 480))
    assert all(side <= 256 for size in seen for side in size)  # halved, and no larger than the windows


def test_a_recipe_composes_and_is_what_was_measured(tmp_path: Path) -> None:
    """As ``experiment=``, and as the words by which its candidate was measured."""
    budget = replace(BUDGET, encoder_weights="it's mine.pth", memory=BASE + 1_500_000_000)
    groups = measured()
    accumulated = replace(groups[0][-1], candidate=replace(groups[0][-1].candidate, batch=4, accumulate=2))
    plan = choose(FACTS, [[groups[0][0], accumulated], groups[1]], replace(budget, minutes=600))
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(plan.recipe.text())
    common = ["data.train.images=a", "data.train.masks=b", "name=x"]
    with initialize_config_dir(str(conf_dir()), version_base=None):
        path = [f"hydra.searchpath=[{tmp_path}]"]
        by_name = compose("train", overrides=[*path, *common, "experiment=mine"])
        by_words = compose("train", overrides=[*common, *plan.recipe.words()])
    assert OmegaConf.to_container(by_name) == OmegaConf.to_container(by_words)
    assert by_name.model.encoder_weights == "it's mine.pth"
    assert by_name.fit.accumulate * by_name.loader.batch == 8
    assert yaml.safe_load(plan.recipe.text())["fit"]["steps"] == plan.length.steps


def test_words_are_quoted_for_the_command_line() -> None:
    with initialize_config_dir(str(conf_dir()), version_base=None):
        folders = ["größe/it's", "b, c"]
        said = words({"model": "fpn"}, {"runs": "a b/c,d=e", "name": "0012", "fit.patience": None})
        said += words({}, {"data.val.images": folders})
        found = compose("train", overrides=["data.train.images=a", "data.train.masks=b", *said])
    assert (found.runs, found.name, found.fit.patience) == ("a b/c,d=e", "0012", None)
    assert found.data.val.images == folders


def test_the_command_plans_again_from_what_was_kept(tmp_path: Path, script: Script) -> None:
    kept = Kept(FACTS, tuple(map(tuple, measured())), BUDGET, (("data", "synthetic"), ("data.render.train", 40)))
    (tmp_path / "kept.json").write_text(json.dumps(kept.plain()))
    done = script("seg-plan", "measured=kept.json", "minutes=20", "destination=my_conf")
    assert done.returncode == 0, done.stderr
    assert "seg-train --config-dir my_conf experiment=plan" in done.stderr + done.stdout
    recipe = tmp_path / "my_conf" / "experiment" / "plan.yaml"
    expected = choose(kept.facts, kept.measured, kept.budget).recipe.about(kept.data).text()
    assert recipe.read_text() == expected
    fails(
        script("seg-plan", "measured=kept.json", "minutes=20", "destination=my_conf"),
        2,
        "name: expected a new recipe, got .*; give another name",
    )
    fails(
        script("seg-plan", "measured=kept.json", "data=synthetic", "minutes=20", "destination=other"),
        2,
        "data: expected it with measured=null alone, got 'synthetic' without; .*leave it out",
    )
    for word in ("data.train.images=other", "device.precision=16-mixed", "max_pixels=100"):
        fails(
            script("seg-plan", "measured=kept.json", word, "minutes=20", "destination=other"),
            2,
            f"{word.partition('=')[0]}: expected it with measured=null alone, got .* without; .*leave it out",
        )
    shown = script("seg-train", "--config-dir", "my_conf", "experiment=plan", "--cfg", "job")
    assert "file://" not in done.stderr + done.stdout  # there is no other folder to look into
    assert "train: 40" in shown.stdout
    assert f"steps: {yaml.safe_load(expected)['fit']['steps']}" in shown.stdout


def test_a_recipe_finds_the_users_own_data_set(data: Path, tmp_path: Path, script: Script) -> None:
    """The command that is printed names the folder in which ``data=mine`` stands, whatever it is called."""
    own = tmp_path / "my own, conf" / "data"
    own.mkdir(parents=True)
    folders = {key: str(data / "train" / key) for key in ("images", "masks")}
    text = yaml.safe_dump({"defaults": ["folders", "_self_"], "train": folders})
    (own / "mine.yaml").write_text(text)
    kept = Kept(FACTS, tuple(map(tuple, measured())), BUDGET, (("data", "mine"),))
    (tmp_path / "kept.json").write_text(json.dumps(kept.plain()))
    words = ("measured=kept.json", "minutes=20", "--config-dir", str(own.parent))
    done = script("seg-plan", *words, "destination=plans")
    assert done.returncode == 0, done.stderr
    (line,) = re.findall(r"^ *(seg-train .*)$", done.stdout + done.stderr, re.MULTILINE)
    shown = script(*shlex.split(line), "--cfg", "job")
    assert str(data / "train" / "images") in shown.stdout, shown.stderr
    done = script("seg-plan", *words, "destination='my own, conf'")
    assert "file://" not in done.stdout + done.stderr, "one folder has both"


def test_what_was_measured_is_not_lost(tmp_path: Path, script: Script) -> None:
    """Numbers are kept though no plan can be made of them, not replaced unasked, and a folder is tried before."""
    kept = Kept(FACTS, tuple(map(tuple, measured())), BUDGET, (("data", "synthetic"),))
    (tmp_path / "kept.json").write_text(json.dumps(kept.plain()))
    words = ("seg-plan", "measured=kept.json", "minutes=20")
    fails(
        script(*words, "destination=kept.json"), 2, "destination: expected a folder that can be written to, got .*kept"
    )
    failed = script(*words, "memory=0.1", "destination=it's mine")
    fails(failed, 2, "memory: expected at least")
    numbers = tmp_path / "it's mine/experiment/plan.json"
    assert Kept.read(str(numbers)).measured == kept.measured
    assert f"measured={numbers.relative_to(tmp_path)} plans from it again" in failed.stderr + failed.stdout
    fails(
        script(*words, "destination=it's mine"), 2, "name: expected a new recipe, got .*plan.json'; give another name"
    )
    done = script("seg-plan", f"measured={numbers}", "minutes=20", "memory=1.8", "destination=it's mine")
    assert done.returncode == 0, done.stderr
    assert """--config-dir 'it'"'"'s mine' experiment=plan""" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("minutes=0",), "minutes: expected minutes above 0, got 0; give such as 20"),
        (("minutes=abc",), "minutes: expected"),
        (("minutes=3", "memory=-1"), "memory: expected GB above 0, got -1; give such as 8"),
        (("minutes=3", "name=a/b"), "name: expected letters, digits and underscores, got 'a/b'; give such as plan"),
        (("minutes=3", "workers=-1"), "workers: expected a whole number of at least 0, got -1; give one"),
        (("minutes=3", "encoder_weights=w.pth"), "encoder_name: expected it beside encoder_weights, got none; name"),
        (("minutes=3", "encoder_name=nosuch"), "model.encoder_name: expected .*nosuch"),
    ],
)
def test_wrong_requests_are_refused_before_data_are_read(
    words: tuple[str, ...], message: str, tmp_path: Path, script: Script
) -> None:
    where = ("data.train.images=no", "data.train.masks=no", "destination=my_conf")
    fails(script("seg-plan", *where, *words), 2, message)
    assert not (tmp_path / "my_conf").exists()


@pytest.mark.slow
def test_a_plan_is_measured_and_trained_by(data: Path, tmp_path: Path, script: Script) -> None:
    words = [f"data.{part}.{kind}={data / part / kind}" for part in ("train", "val") for kind in ("images", "masks")]
    done = script("seg-plan", *words, "minutes=5", "workers=0", "destination=my_conf")
    assert done.returncode == 0, done.stderr
    kept = Kept.read(str(tmp_path / "my_conf" / "experiment" / "plan.json"))
    assert [len(group) for group in kept.measured] == [2, 2] or len(crops(kept.facts)) == 1
    assert all(each.costs.step > 0 and each.memory for group in kept.measured for each in group)
    trained = script("seg-train", "--config-dir", "my_conf", "experiment=plan", "fit.steps=2", "name=a", "logger=none")
    assert trained.returncode == 0, trained.stderr
    assert np.isfinite(json.loads((tmp_path / "runs" / "a" / "done.json").read_text())["last"]["miou"])
