"""python -m pytest tests/compare/test_study.py"""

import datetime
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Script, fails, train_options
from made_runs import CLASSES, made_counts, write_run

from seg import runs
from seg.compare.study import Study, read_study
from seg.compare.write import compare_study


def losses(root: Path, levels: tuple[str, ...] = ("dice", "focal"), seeds: int = 3) -> Path:
    for level in levels:
        for seed in range(seeds):
            write_run(root / f"{level}-{seed}", level, seed)
    return root


def left_out(study: Study) -> dict[str, str]:
    return dict(study.excluded)


def test_the_axis_is_found(tmp_path: Path) -> None:
    study = read_study(losses(tmp_path))
    assert (study.axis, study.excluded, study.warnings, study.on_test) == ("loss", (), (), False)
    assert [(level.name, level.seeds) for level in study.levels] == [("dice", (0, 1, 2)), ("focal", (0, 1, 2))]
    entry = study.levels[0].entries[1]
    assert (study.named(entry), entry.seconds, entry.classes) == ("dice-1", 6.0, CLASSES)
    assert np.array_equal(entry.counts, made_counts("dice", 1))
    assert entry.values["ece"].shape == (12,)


def test_folders_of_several_machines_are_searched(tmp_path: Path) -> None:
    """Nested, linked, hidden, and where data lie elsewhere."""
    losses(tmp_path / "all" / "here", seeds=2)
    write_run(tmp_path / "there" / "x", "focal", 2, config={"data": {"train": {"images": "D:/images"}}})
    (tmp_path / "all" / "there").symlink_to(tmp_path / "there")
    (tmp_path / "all" / "circle").symlink_to(tmp_path / "all")
    write_run(tmp_path / "all" / ".trash" / "x", "dice", 9)
    study = read_study(tmp_path / "all")
    assert [level.seeds for level in study.levels] == [(0, 1), (0, 1, 2)]
    assert study.excluded == ()
    assert study.warnings == ("dice lacks seed 2; pairs are compared by the seeds that both have",)


def test_an_option_may_set_nothing(tmp_path: Path) -> None:
    """``regularizer=none`` is a level like others, and differs from them in nothing else."""
    dropblock = {"_target_": "seg.regularizers.attach", "dropblock": {"p": 0.1}}
    for name, config in (("none", {}), ("dropblock", dropblock), ("dropout", {"_target_": "x", "dropout": {"p": 0.2}})):
        for seed in range(2):
            given = {"regularizer": config, "augment": {"flip": True}}
            write_run(tmp_path / f"{name}-{seed}", "dice", seed, choices={"regularizer": name}, config=given)
    study = read_study(tmp_path)
    assert (study.axis, study.excluded) == ("regularizer", ())
    assert [level.name for level in study.levels] == ["dropblock", "dropout", "none"]
    given = {"regularizer": {}, "augment": {"flip": False}}
    write_run(tmp_path / "odd", "dice", 2, choices={"regularizer": "none"}, config=given)
    assert "augment.flip: false instead of true" in left_out(read_study(tmp_path, "regularizer"))["odd"]


def test_a_key_is_an_axis(tmp_path: Path) -> None:
    for rate in (0.01, 0.001, 0.1):
        for seed in range(2):
            write_run(tmp_path / f"{rate}-{seed}", "dice", seed, config={"optimizer": {"lr": rate}})
    study = read_study(tmp_path)
    assert (study.axis, [level.name for level in study.levels]) == ("optimizer.lr", ["0.001", "0.01", "0.1"])


def test_the_precision_is_the_one_that_was_computed_in(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"a{seed}", seed=seed, config={"device": {"precision": "auto"}})
        other = {"config": {"device": {"precision": "16-mixed"}}, "environment": {"precision": "16-mixed"}}
        write_run(tmp_path / f"b{seed}", seed=seed, **other)
    study = read_study(tmp_path)
    assert (study.axis, [level.name for level in study.levels]) == ("device.precision", ["16-mixed", "32-true"])


def test_keys_within_a_group_that_varies_are_no_axis_of_their_own(tmp_path: Path) -> None:
    for level, options in (("dice", {"smooth": 0}), ("focal", {"gamma": 2.0})):
        write_run(tmp_path / level, level, config={"loss": {"_target_": level, **options}})
    assert read_study(tmp_path).axis == "loss"


def test_several_axes_are_listed(tmp_path: Path) -> None:
    losses(tmp_path)
    write_run(tmp_path / "unet", "dice", 0, choices={"model": "fpn"}, config={"model": {"encoder_name": "x"}})
    study = read_study(tmp_path)  # six of seven runs differ in the loss alone
    assert study.axis == "loss"
    (reason,) = left_out(study).values()
    assert "model.encoder_name: x instead of resnet18" in reason
    for level in ("dice", "focal"):
        for seed in range(3):
            other = {"config": {"model": {"encoder_name": "x"}}, "choices": {"model": "fpn"}}
            write_run(tmp_path / f"{level}-fpn-{seed}", level, seed, **other)
    with pytest.raises(ValueError, match=r"differ in one thing, got 2 \(loss: dice, focal; model: fpn, unet\)"):
        read_study(tmp_path)
    (tmp_path / "unet" / runs.CONFIG).unlink()
    with pytest.raises(ValueError, match=r"axis=loss: .*as many of one kind as of another \(model: fpn, unet\)"):
        read_study(tmp_path, "loss")


def test_an_axis_that_nothing_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"axis: expected a .*, got 'lr'; these runs differ in loss"):
        read_study(losses(tmp_path), "lr")


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="runs: expected a folder with runs of seg-train"):
        read_study(tmp_path)
    with pytest.raises(ValueError, match="runs: expected a folder with runs of seg-train"):
        read_study(tmp_path / "nowhere")


def test_one_run_alone(tmp_path: Path) -> None:
    study = read_study(write_run(tmp_path / "only"))
    assert (study.axis, len(study.levels), study.named(study.entries[0])) == (None, 1, "only")


def test_what_does_not_compare_is_left_out_with_the_reason(tmp_path: Path) -> None:
    losses(tmp_path)
    other = made_counts("focal", 9)
    other[0, 0] += 1
    write_run(tmp_path / "classes", "focal", 9, classes=("sky", "road", "post"))
    write_run(tmp_path / "masks", "focal", 9, counts=other)
    write_run(tmp_path / "images", "focal", 9, counts=made_counts("focal", 9, images=10))
    write_run(tmp_path / "budget", "focal", 9, config={"fit": {"epochs": 3}})
    write_run(tmp_path / "options", "focal", 9, config={"loss": {"_target_": "seg.losses.focal", "gamma": 3}})
    write_run(tmp_path / "precision", "focal", 9, environment={"precision": "bf16-mixed"})
    write_run(tmp_path / "range", "focal", 9, config={"data": {"range": [0, 4095]}})
    write_run(tmp_path / "running", "focal", 9, complete=False)
    write_run(tmp_path / "zz", "focal", 2)
    write_run(tmp_path / "nan", "focal", 9, loss=float("nan"))
    study = read_study(tmp_path, "loss")
    reasons = left_out(study)
    for run, pattern in {
        "classes": "its 3 classes are not the 3 of most",
        "masks": "the same images with other masks",
        "images": "judged on 10 of the 12 images of most runs",
        "budget": r"fit.epochs: 3 instead of 2",
        "options": r"loss.gamma: 3 instead of nothing",
        "range": r"data.range: \[0, 4095\] instead of nothing",
        "precision": "precision: bf16-mixed instead of 32-true",
        "running": "not complete: 2 of 2 epochs",
        "zz": r"the same level and seed \(2\) as '.*focal-2'",
        "nan": "training loss is not a number",
    }.items():
        assert re.search(pattern, reasons.pop(run)), run
    assert not reasons
    assert [level.seeds for level in study.levels] == [(0, 1, 2)] * 2


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (runs.DONE, '{"last": {"miou": 0.9}}', "expected one miou in its files, got 0.9 and"),
        (runs.DONE, '{"best": 1}', "expected the files that seg-train wrote, got others"),
        (runs.DONE, "[]", "expected names and values as JSON"),
        (runs.CONFIG, "seed: 0\n", "expected the files that seg-train wrote, got others"),
        (runs.CONFIG, "- a\n", "expected a configuration"),
        (runs.ENVIRONMENT, "{}", "expected 'choices'"),
        (runs.PER_IMAGE, "image,class\n", "expected the columns"),
        (runs.PER_IMAGE_METRICS, "image,metric,class,value\na,b,,x\n", "expected one number"),
        (runs.EPOCHS, "{}\n", "expected an epoch's numbers"),
        (runs.EVALUATION, "[]", "expected scores in metrics.json, got something else"),
    ],
)
def test_files_that_were_edited_are_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    losses(tmp_path)
    (tmp_path / "dice-1" / name).write_text(text)
    study = read_study(tmp_path)
    assert reason in left_out(study)["dice-1"]
    assert [level.seeds for level in study.levels] == [(0, 2), (0, 1, 2)]


def in_json(name: str, *keys: str, value: object) -> Callable[[Path], None]:
    """An edit of one value."""

    def edit(folder: Path) -> None:
        path = folder / name
        data = json.loads(path.read_text()) if path.exists() else {}
        place = data
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
        path.write_text(json.dumps(data))

    return edit


def in_config(**values: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        data = yaml.safe_load((folder / runs.CONFIG).read_text())
        (folder / runs.CONFIG).write_text(yaml.safe_dump({**data, **values}))

    return edit


def in_lines(change: Callable[[list[str]], list[str]], name: str = runs.EPOCHS) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join(change(lines)) + "\n")

    return edit


def in_judged(**curves: object) -> Callable[[Path], None]:
    """What a run of today has, with curves."""

    def edit(folder: Path) -> None:
        last = json.loads((folder / runs.DONE).read_text())["last"]
        (folder / runs.EVALUATION).write_text(json.dumps({**last, **curves}))

    return edit


BOMB = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))


def as_pipe(name: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return edit


RELIABILITY = {"pixels": [1, 2], "confidence": [0.1, 0.9], "accuracy": [None, 0.5]}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (in_json(runs.DONE, "last", "miou_i", value=0.99), "expected one miou_i in its files, got 0.99 and, from"),
        (in_json(runs.DONE, "last", "mdice", value=0.01), "expected one mdice in its files"),
        (in_json(runs.DONE, "last", "accuracy", value="high"), "expected one accuracy in its files, got nan"),
        (in_json(runs.DONE, "last", "ece", value=True), "expected ece from 0 to 1, got True"),
        (in_json(runs.DONE, "last", "ece", value=-1), "expected ece from 0 to 1, got -1"),
        (in_json(runs.DONE, "last", "boundary_f1", value=1e999), "expected boundary_f1 from 0 to 1, got inf"),
        (in_json(runs.DONE, "last", "error_missed", value="x"), "expected error_missed from 0 to 1, got 'x'"),
        (in_json(runs.DONE, "peak_memory", value="much"), "expected a whole number as its peak_memory, got 'much'"),
        (lambda folder: (folder / runs.DONE).write_text("[" * 100_000), "expected the files that seg-train wrote"),
        (in_config(seed=1.9), "expected a whole number as its seed, got 1.9"),
        (in_config(seed=True), "expected a whole number as its seed, got True"),
        (in_config(seed=float("inf")), "expected a whole number as its seed, got inf"),
        (in_config(tune=[1]), "expected the files that seg-train wrote, got others (AttributeError"),
        (in_config(tune={"trials": 3, "space": 1}), "expected the files that seg-train wrote, got others (TypeError"),
        (in_config(when=datetime.date(2026, 1, 1)), "expected the files that seg-train wrote, got others (TypeError"),
        (in_lines(lambda lines: lines[:1]), "expected each of 2 epochs once in metrics.jsonl, got 1 lines"),
        (in_lines(lambda lines: [*lines, *lines]), "expected each of 2 epochs once in metrics.jsonl, got 4 lines"),
        (in_lines(lambda lines: [line.replace("3.0", '"x"') for line in lines]), "expected numbers in the line"),
        (in_lines(lambda lines: [re.sub("miou.*", 'miou": [1]}', line) for line in lines]), "expected numbers in"),
        (in_lines(lambda lines: [*lines, "word"], runs.PER_IMAGE), "expected the files that seg-train wrote"),
        (in_lines(lambda lines: [*lines[:-1], lines[-1] + "0" * 30], runs.PER_IMAGE), "OverflowError"),
        (in_lines(lambda lines: [*lines, "x" * 200_000], runs.PER_IMAGE), "expected the files that seg-train wrote"),
        (in_lines(lambda lines: [*lines, "val"], runs.PAIRS), "expected the files that seg-train wrote"),
        (in_judged(boundary_f1_curve=3), "expected the files that seg-train wrote"),
        (in_judged(boundary_f1_curve={"tolerances": [1, 2], "i": [0.5]}), "expected as many numbers in each column of"),
        (in_judged(reliability={**RELIABILITY, "pixels": "xy"}), "expected lists of numbers in reliability"),
        (lambda folder: (folder / runs.CONFIG).unlink(), "expected a folder with config.yaml"),
        (lambda folder: (folder / runs.CONFIG).write_text(BOMB), "expected a configuration in"),
        (as_pipe(runs.CONFIG), "expected a folder with config.yaml"),
        (as_pipe(runs.DONE), "got 'a pipe or a device'"),
        (as_pipe(runs.EPOCHS), "a pipe or a device"),
        (in_json(runs.DONE, "epochs", value=10**10), "expected each of 10000000000 epochs once in metrics"),
        (in_json(runs.DONE, "last", "ece", value=10**400), "OverflowError"),
    ],
)  # fmt: skip
def test_what_was_edited_is_left_out(tmp_path: Path, edit: Callable[[Path], None], reason: str) -> None:
    """By its name, and nothing else is: what is read now is what the report uses later."""
    edit(losses(tmp_path) / "dice-1")
    study = read_study(tmp_path)
    assert list(left_out(study)) == ["dice-1"]
    assert reason in left_out(study)["dice-1"]
    assert [level.seeds for level in study.levels] == [(0, 2), (0, 1, 2)]


def test_curves_with_gaps_are_no_edit(tmp_path: Path) -> None:
    in_judged(reliability=RELIABILITY, boundary_f1_curve={"tolerances": [1], "i": [0.5]})(losses(tmp_path) / "dice-1")
    assert read_study(tmp_path).excluded == ()


def test_what_cannot_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses(tmp_path)
    (tmp_path / "closed").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "config.yaml").write_text("of: something else")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    study = read_study(tmp_path)
    assert left_out(study) == {"closed": "cannot be read: Permission denied", "gone": "a link to nothing"}
    assert len(study.entries) == 6


@pytest.mark.parametrize(
    ("equal", "steps", "said"),
    [
        ("steps", (40, 40), r"equal steps were asked for \(sweep.equal=steps\): 40 in each run, .* \(fit.minutes=2\)"),
        ("steps", (40, 50), r"fit.minutes=2 in each run, which chose its steps by itself \(40 to 50\); .* as many"),
        ("minutes", (40, 50), r"equal time .*, fit.minutes=2\): levels differ in steps \(dice 40, focal 50\)"),
    ],
)
def test_runs_in_minutes_say_what_was_equal(tmp_path: Path, equal: str, steps: tuple[int, int], said: str) -> None:
    for level, count in zip(("dice", "focal"), steps, strict=True):
        for seed in range(2):
            config = {"fit": {"epochs": 2, "minutes": 2, "steps": count}, "sweep": {"equal": equal, "test": None}}
            write_run(tmp_path / f"{level}-{seed}", level, seed, config=config)
    study = read_study(tmp_path)
    assert [len(level.entries) for level in study.levels] == [2, 2]
    (warning,) = study.warnings
    assert re.fullmatch(said, warning)


def test_runs_in_minutes_and_in_steps_do_not_mix(tmp_path: Path) -> None:
    """Nor those whose sweeps asked for other things."""
    fit = {"epochs": 2, "minutes": 2, "steps": 9}
    for seed in range(3):
        write_run(tmp_path / f"dice-{seed}", "dice", seed, config={"fit": fit, "sweep": {"equal": "minutes"}})
        write_run(tmp_path / f"focal-{seed}", "focal", seed, config={"fit": fit, "sweep": {"equal": "minutes"}})
    write_run(tmp_path / "focal-3", "focal", 3, config={"fit": fit, "sweep": {"equal": "steps"}})
    write_run(tmp_path / "focal-4", "focal", 4, config={"fit": {"epochs": 2, "steps": 9}})
    excluded = dict(read_study(tmp_path, "loss").excluded)
    assert "sweep.equal: steps instead of minutes" in excluded["focal-3"]
    assert "fit.minutes: null instead of 2" in excluded["focal-4"]


def test_pairs_without_common_seeds_are_said_to_be_unpaired(tmp_path: Path) -> None:
    for level, seeds in (("dice", (0, 1, 2)), ("focal", (2, 3, 4)), ("tversky", (0, 1, 2))):
        for seed in seeds:
            write_run(tmp_path / f"{level}-{seed}", level, seed)
    first, second = read_study(tmp_path).warnings
    assert first.startswith("dice, tversky lack seed 3, 4; ")
    assert first.endswith("both have, but with focal, where those are fewer than two, by all seeds unpaired")
    assert second.startswith("focal lacks seed 0, 1; ")
    assert "but with dice, tversky, where" in second


def test_a_metric_must_be_there_for_the_same_images(tmp_path: Path) -> None:
    losses(tmp_path)
    path = tmp_path / "dice-1" / runs.PER_IMAGE_METRICS
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("val/003,ece")))
    study = read_study(tmp_path, metric="ece")
    assert left_out(study) == {"dice-1": "it has ece for other images than most runs"}
    assert read_study(tmp_path).excluded == ()


def test_a_metric_has_a_direction(tmp_path: Path) -> None:
    """What may be written for each image but is no score is refused, not taken for "more is better"."""
    for folder in losses(tmp_path).iterdir():
        path = folder / runs.PER_IMAGE_METRICS
        rows = "".join(f"val/{i:03},{metric},,0.5\n" for i in range(12) for metric in ("hd95", "luck", "error_missed"))
        path.write_text(path.read_text() + rows)
    with pytest.raises(ValueError, match="accuracy, boundary_f1, ece, error_missed, hd95.*got 'luck'"):
        read_study(tmp_path, metric="luck")
    for metric in ("hd95", "error_missed"):
        assert len(read_study(tmp_path, metric=metric).entries) == 6


@pytest.mark.parametrize(("score", "title"), [(0.5, "AP of boxes"), (0.2, "AP of boxes by image")])
def test_a_mean_over_images_is_told_from_a_score_of_that_name(tmp_path: Path, score: float, title: str) -> None:
    """The AP of a set is not the mean of its images' AP: a number that no run has written must not bear its name."""
    for folder in losses(tmp_path).iterdir():
        path, done = folder / runs.PER_IMAGE_METRICS, folder / runs.DONE
        path.write_text(path.read_text() + "".join(f"val/{i:03},ap,,{0.4 + 0.2 * (i % 2)}\n" for i in range(12)))
        data = json.loads(done.read_text())
        data["last"]["ap"] = score
        done.write_text(json.dumps(data))
    found = compare_study(read_study(tmp_path, metric="ap"), "ap", group=None, rope=None, draws=100, seed=0)
    assert found.measure.title == title
    assert found.levels[0].mean == pytest.approx(0.5)


def test_a_run_that_was_cut_off_before_its_last_file_is_not_complete(tmp_path: Path) -> None:
    losses(tmp_path)
    (tmp_path / "dice-1" / runs.EVALUATION).write_text((tmp_path / "dice-1" / runs.DONE).read_text())
    (tmp_path / "dice-1" / runs.DONE).unlink()
    assert left_out(read_study(tmp_path)) == {"dice-1": "not complete: 2 of 2 epochs"}


def test_impossible_counts_are_named(tmp_path: Path) -> None:
    losses(tmp_path)
    path = tmp_path / "dice-1" / runs.PER_IMAGE
    lines = path.read_text().splitlines()
    image, name, *_ = lines[1].split(",")
    lines[1] = f"{image},{name},9,5,7"
    path.write_text("\n".join(lines) + "\n")
    reason = left_out(read_study(tmp_path))["dice-1"]
    assert reason.endswith("got [9, 5, 7] for 'sky' in 'val/000'; it was edited")


def evaluation(folder: Path, level: str, seed: int, checkpoint: str) -> None:
    """What ``seg-evaluate`` leaves: the record of the run, and scores of its own."""
    write_run(folder, level, seed)
    last = json.loads((folder / runs.DONE).read_text())["last"]
    for name in (runs.DONE, runs.LAST):
        (folder / name).unlink()
    (folder / "metrics.json").write_text(json.dumps({"checkpoint": checkpoint, **last}))


def test_evaluations_compare_too(tmp_path: Path) -> None:
    for level in ("dice", "focal"):
        evaluation(tmp_path / level, level, 0, f"runs/{level}/last.pt")
    assert [level.seeds for level in read_study(tmp_path).levels] == [(0,), (0,)]
    (tmp_path / "dice" / runs.EPOCHS).unlink()
    evaluation(tmp_path / "dice", "dice", 0, "runs/dice/best.pt")
    assert "best.pt was chosen by the images" in left_out(read_study(tmp_path))["dice"]


@pytest.mark.slow
def test_seg_evaluate_leaves_what_compares(tmp_path: Path, data: Path, script: Script) -> None:
    words = [*train_options(data), "fit.epochs=1", "logger=none", "device.precision=32-true"]
    assert script("seg-train", "-m", "loss=dice,focal", "name=${hydra:runtime.choices.loss}", *words).returncode == 0
    folders = {"images": data / "val/images", "masks": data / "val/masks"}
    for loss in ("dice", "focal"):
        options = {"checkpoint": f"runs/{loss}/last.pt", "destination": f"judged/{loss}", **folders}
        result = script("seg-evaluate", **options)
        assert result.returncode == 0, result.stderr
    found, again = read_study(tmp_path / "runs"), read_study(tmp_path / "judged")
    assert (again.axis, again.excluded, found.excluded) == ("loss", (), ())
    for ours, theirs in zip(found.entries, again.entries, strict=True):
        assert np.array_equal(ours.counts, theirs.counts)
        assert theirs.judged is not None
        assert theirs.seconds == ours.seconds
        assert theirs.values["boundary_f1"] == pytest.approx(ours.values["boundary_f1"], abs=1e-5)
    options = {"checkpoint": "runs/dice/last.pt", "destination": "runs/dice", **folders}
    fails(script("seg-evaluate", **options), 2, "destination: expected a folder of its own, got the run 'runs/dice'")
    assert script("seg-compare", runs="runs", destination="compared", draws=200).returncode == 0
    for name in ("errors", "tolerances", "reliability", "image-1"):
        assert f"({name}.png)" in (tmp_path / "compared/report.md").read_text()
    # masks of another tool in the same folder are no longer those of the run
    words = ["predictions=judged/masks", "destination=judged/dice", f"masks={data / 'val/masks'}"]
    shutil.copytree(data / "val/masks", tmp_path / "judged/masks")
    assert script("seg-evaluate", *words).returncode == 0
    assert not (tmp_path / "judged/dice" / runs.CONFIG).exists()


def test_a_test_set_that_all_runs_have_is_compared(tmp_path: Path) -> None:
    losses(tmp_path, seeds=1)
    evaluation(tmp_path / "dice-0" / "test", "dice", 0, "runs/dice-0/last.pt")
    study = read_study(tmp_path)
    assert not study.on_test
    assert study.warnings == ("1 of 2 runs were judged on a test set; validation scores are compared",)
    evaluation(tmp_path / "focal-0" / "test", "focal", 0, "runs/focal-0/last.pt")
    study = read_study(tmp_path)
    assert study.on_test
    assert [study.named(entry) for entry in study.entries] == ["dice-0", "focal-0"]


def test_other_versions_and_machines_are_told(tmp_path: Path) -> None:
    losses(tmp_path, seeds=1)
    write_run(tmp_path / "dice-1", "dice", 1, environment={"torch": "2.11.0", "platform": "Darwin"})
    warnings = read_study(tmp_path).warnings
    assert "the runs were made with torch 2.11.0 and 2.14.1" in warnings
    assert "the runs were made on 2 kinds of machine: their times do not compare" in warnings


def test_a_length_is_compared_in_pixels(tmp_path: Path, script: Script) -> None:
    """Less is better, half a pixel does not matter, and nothing is taken for a share."""
    rng = np.random.default_rng(0)
    for folder in losses(tmp_path / "runs").iterdir():
        far = (4.0 if folder.name.startswith("dice") else 9.0) + rng.uniform(0, 1, 12)
        rows = "".join(f"val/{i:03},hd95,,{value:.4f}\n" for i, value in enumerate(far))
        path = folder / runs.PER_IMAGE_METRICS
        path.write_text(path.read_text() + rows)
    result = script("seg-compare", runs="runs", destination="out", metric="hd95", draws=100)
    assert result.returncode == 0, result.stderr
    title = "95th percentile of the Hausdorff distance"
    assert re.search(
        rf"'dice' beats 'focal' by [45]\.\d\d pixels of {title}, 95 % interval [345]\.\d\d to", result.stdout
    )
    statistics = json.loads((tmp_path / "out/statistics.json").read_text())
    assert (statistics["rope"], statistics["winner"]["level"]) == (0.5, "dice")
    report = (tmp_path / "out/report.md").read_text()
    assert f"{title} px" in report
    assert "standard errors in pixels" in report
    assert "lower is better; differences are the first level minus the second, in pixels" in report
