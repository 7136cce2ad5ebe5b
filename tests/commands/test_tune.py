"""python -m pytest tests/commands/test_tune.py"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Script, fails, train_options
from made_runs import write_run

from seg.compare.report import write_report
from seg.compare.statistics import compare
from seg.compare.study import read_study

SPACE = '["optimizer.lr=tag(log,interval(1e-4,1e-1))","loss.gamma=choice(1.0,2.0)"]'


def test_levels_get_the_same_number_of_trials(tmp_path: Path, data: Path, script: Script) -> None:
    """Two losses, two seeds: trials once a level, judged on training images; the sweep uses what they found."""
    options = [*train_options(data), "fit.epochs=1", "logger=none", "tune.trials=2", "tune.share=0.5"]
    words = ("seg-train", "-m", "seed=0,1", "loss=cross_entropy,focal", *options, f"tune.space={SPACE}")
    result = script(*words)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("trial 1/2: optimizer.lr=") == 2
    assert result.stdout.count("trial 2/2: ") == 2
    assert "this run has no loss.gamma" in result.stderr
    searches = [json.loads(path.read_text()) for path in (tmp_path / "runs/.tune").glob("*/best.json")]
    assert sorted(len(search["values"]) for search in searches) == [1, 2]
    for search in searches:
        assert search["values"] == max(search["trials"], key=lambda trial: trial["miou"])["values"]
        assert len(search["trials"]) == 2
    for path in (tmp_path / "runs/.tune").glob("*/trial-*/config.yaml"):
        config = yaml.safe_load(path.read_text())
        assert not [value for key, value in config["data"]["val"].items() if key != "_target_" and value is not None]
        assert (config["data"]["val_share"], config["seed"]) == (0.5, 10_000)
    found: dict[str, set[float]] = {}
    for path in (tmp_path / "runs").glob("*/config.yaml"):
        config = yaml.safe_load(path.read_text())
        found.setdefault(config["loss"]["_target_"], set()).add(config["optimizer"]["lr"])
    assert all(len(rates) == 1 for rates in found.values())
    assert set.union(*found.values()) == {search["values"]["optimizer.lr"] for search in searches}
    again = script(*words)
    assert again.returncode == 0, again.stderr
    assert "trial " not in again.stdout
    assert again.stdout.count("is complete") == 4
    compared = script("seg-compare", runs="runs", destination="out", draws=100)
    assert compared.returncode == 0, compared.stderr
    text = (tmp_path / "out/report.md").read_text()
    assert "tuned for each level, 2 trials each, on 50 % of the training images" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["tune.trials=-1"], "tune.trials: expected a whole number of at least 1, got -1"),
        (
            ["tune.trials=2", "tune.share=1"],
            "tune.share: expected a share of the training images .* got 1",
        ),
        (["tune.trials=2", "tune.epochs=1.5"], "tune.epochs: expected a whole number of at least 1, got 1.5"),
        (["tune.trials=2", "tune.space=[optimizer.lr]"], "tune.space: expected KEY=interval.*got 'optimizer.lr'"),
        (["tune.trials=2", "tune.space=['optimizer.lr=interval(2,1)']"], "tune.space: expected KEY=interval"),
        (["tune.trials=2", "tune.space=['optimizer.rate=interval(1,2)']"], "got optimizer.rate, which this run lacks"),
        (["tune.trials=2", "tune.space=[]"], "tune.space: expected keys of the configuration, got none"),
        (["tune.trials=2", "device.devices=2"], "tune.trials: expected device.devices=1, got 2"),
        (["tune.trials=2", "data.val.images=null", "data.val.masks=null"], "tune.trials: expected data.val.images"),
    ],
)
def test_wrong_requests(data: Path, script: Script, options: list[str], message: str) -> None:
    fails(script("seg-train", *train_options(data), *options), 2, message)


def test_what_is_wrong_with_the_run_is_said_before_the_trials(data: Path, tmp_path: Path, script: Script) -> None:
    options = [*train_options(data), "logger=none", "tune.trials=2"]
    fails(script("seg-train", *options, "data.val.masks=typo"), 2, "expected an existing folder, got 'typo'")
    fails(script("seg-train", *options, "fit.probabilities=x"), 2, "fit.probabilities: expected null, uint8")
    assert not (tmp_path / "runs").exists()


def test_no_trials_for_two_steps(data: Path, tmp_path: Path, script: Script) -> None:
    result = script("seg-train", *train_options(data), "logger=none", "tune.trials=2", "smoke=true", "name=a")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()) == [".smoke"]


def test_values_that_were_found_on_other_images_are_refused(data: Path, tmp_path: Path, script: Script) -> None:
    options = [*train_options(data), "logger=none", "fit.epochs=1", "tune.trials=1"]
    done = script("seg-train", *options, "name=a")
    assert done.returncode == 0, done.stderr
    (best,) = (tmp_path / "runs/.tune").glob("*/best.json")
    assert (
        f"tuned: optimizer.lr={json.loads(best.read_text())['values']['optimizer.lr']}, of runs/.tune/" in done.stdout
    )
    shutil.copyfile(data / "train/images/s0.png", data / "train/images/s1.png")
    fails(
        script("seg-train", *options, "name=b"),
        2,
        "tune.trials: expected the training images of the trials in 'runs/.tune/.*', got 1 changed, such as 's1' of "
        "(train|val); remove that folder to search again",
    )


def tuned_runs(root: Path) -> None:
    tune = {"trials": 4, "share": 0.25, "epochs": None, "space": ["optimizer.lr=interval(1e-3,1e-2)"]}
    for level, lr in (("dice", 0.01), ("focal", 0.002)):
        for seed in range(3):
            config: dict[str, Any] = {"optimizer": {"lr": lr}, "tune": tune}
            write_run(root / f"{level}-{seed}", level, seed, config=config)


def test_what_was_tuned_belongs_to_its_level(tmp_path: Path) -> None:
    tuned_runs(tmp_path)
    study = read_study(tmp_path)
    assert (study.axis, [len(level.entries) for level in study.levels], study.excluded) == ("loss", [3, 3], ())
    write_report(tmp_path, study, compare({x.name: x.sample() for x in study.levels}, draws=100), "dice")
    text = (tmp_path / "report.md").read_text()
    assert "tuned for each level, 4 trials each, on 25 % of the training images" in text
    assert "optimizer.lr=0.002" in text


def test_other_values_of_one_level_are_left_out(tmp_path: Path) -> None:
    tuned_runs(tmp_path)
    tune = {"trials": 4, "share": 0.25, "epochs": None, "space": ["optimizer.lr=interval(1e-3,1e-2)"]}
    write_run(tmp_path / "dice-3", "dice", 3, config={"optimizer": {"lr": 0.5}, "tune": tune})
    write_run(tmp_path / "focal-3", "focal", 3, config={"optimizer": {"lr": 0.002}})
    excluded = dict(read_study(tmp_path).excluded)
    assert "optimizer.lr: 0.5 instead of 0.01" in excluded["dice-3"]
    assert "optimizer.lr: nothing instead of 0.002" in excluded["focal-3"]
