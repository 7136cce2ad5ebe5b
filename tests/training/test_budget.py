"""A training in the minutes that there are.

python -m pytest tests/training/test_budget.py
"""

import logging
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import train_options
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from seg import runs
from seg.commands.build import train_one
from seg.commands.cli.help import conf_dir
from seg.commands.cli.overrides import quoted
from seg.files.clock import Stopwatch
from seg.training import FitOptions, rehearsal
from seg.training.budget import Costs, count_validations, least_minutes, steps_within
from seg.training.options import check_length
from seg.training.pace import Budget, Pace, span

COSTS = Costs(start=1.0, step=0.5, epoch=0.25, validation=2.0, judgement=4.0)


@pytest.mark.parametrize(("epoch", "every", "done"), [(10, 1, 0), (10, 3, 0), (1, 1, 0), (7, 2, 14), (1000, 1, 0)])
def test_the_steps_are_the_most_that_fit(epoch: int, every: int, done: int) -> None:
    """And the sum is that of a run that is gone through step by step."""

    def walked(steps: int) -> float:
        seconds = COSTS.start
        for step in range(done + 1, steps + 1):
            seconds += COSTS.step
            if step % epoch == 0 or step == steps:
                seconds += COSTS.epoch
                last = step == steps
                if last or step // epoch % every == 0:
                    seconds += COSTS.judgement if last else COSTS.validation
        return seconds

    steps = steps_within(60, COSTS, epoch=epoch, every=every, done=done)
    assert steps > done
    assert COSTS.total(done, steps, epoch, every) == pytest.approx(walked(steps))
    assert walked(steps) <= 60 < walked(steps + 1)
    assert steps_within(5, COSTS, epoch=epoch, every=every, done=done) == done


def test_frozen_epochs_are_counted_apart() -> None:
    costs = Costs(0, 1.0, 0, 0, 0, early=0.1, early_epochs=2)
    assert costs.total(0, 30, 10, 1) == pytest.approx(12.0)
    assert costs.total(10, 30, 10, 1) == pytest.approx(11.0)
    assert costs.total(20, 30, 10, 1) == pytest.approx(10.0)
    assert costs.total(0, 5, 10, 1) == pytest.approx(0.5)


def test_validations_are_counted() -> None:
    counts = [count_validations(0, steps, 10, 2) for steps in (1, 20, 21, 40, 41)]
    assert counts == [1, 1, 2, 2, 3]
    assert count_validations(20, 40, 10, 2) == 1


def test_the_smallest_budget_is_rounded_up() -> None:
    for seconds in (0.7, 3, 5.2, 52, 521, 5210):
        least = least_minutes(seconds)
        assert 1.15 * seconds <= 60 * least <= 1.27 * seconds
        assert len(f"{least:g}".replace(".", "").strip("0")) <= 2


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (41.2, 50.1, "41 to 51 s"),
        (340, 539, "5.6 to 9.0 min"), (3000, 7000, "50 to 117 min"), (7300, 9e3, "2.0 to 2.5 h"),
    ],
)  # fmt: skip
def test_a_range_is_rounded_outwards(least: float, most: float, text: str) -> None:
    assert span(least, most) == text


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def paced(clock: Clock, **more: Any) -> Pace:
    return Pace(0, 1000, 100, 1, 4.0, now=clock, **more)


def test_a_run_says_how_long_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    """Within seconds, as a range that holds what is known, and better once a validation was timed."""
    clock = Clock()
    pace = paced(clock)
    with caplog.at_level(logging.INFO, "seg"):
        for done in range(1, 101):
            clock.time += 0.5 if done % 2 else 0.6
            pace.stepped(done)
        assert pace.title().startswith(", run: ")
        clock.time += 3
        pace.validated(3.0)
    first, second = (record.getMessage() for record in caplog.records)
    # 994 steps of 0.5 to 0.6 s and 10 validations of 0.5 to 2.4 s, less and more a tenth
    assert first == (
        "takes 7 to 12 min more: 994 steps of 0.55 s, and 10 validations (a rough guess until the first is done)"
    )
    assert second == "takes 7 to 11 min more: 900 steps of 0.55 s, and 9 validations"


def test_few_long_steps_are_said_too(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    pace = paced(clock)
    with caplog.at_level(logging.INFO, "seg"):
        clock.time += 11
        pace.stepped(1)
    assert "999 steps of 11 s" in caplog.text


class Watch(Stopwatch):
    """One that follows a clock."""

    def __init__(self, clock: Clock, asleep: float = 0.0) -> None:
        object.__setattr__(self, "clock", clock)
        object.__setattr__(self, "asleep", asleep)
        object.__setattr__(self, "started", clock())

    def seconds(self) -> float:
        return self.clock() - self.started  # type: ignore[attr-defined,no-any-return]

    def slept(self) -> float:
        return self.asleep  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("slowdown", [1.0, 1.5])
def test_a_machine_that_slows_down_is_said(caplog: pytest.LogCaptureFixture, slowdown: float) -> None:
    """Once, while it can still be helped, and at the end; the steps stay."""
    clock = Clock()
    costs = Costs(0, 0.5, 0, 1.0, 2.0)
    pace = paced(clock, budget=Budget(510 / 60, Watch(clock, asleep=600.0), costs))
    with caplog.at_level(logging.INFO, "seg"):
        for done in range(1, 1001):
            clock.time += 0.5 * slowdown
            pace.stepped(done)
        pace.end()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    last = caplog.records[-1].getMessage()
    assert last.endswith("; the machine slept for 10 min 00 s, which is not counted")
    if slowdown == 1.0:
        assert warnings == []
        assert last.startswith("fit.minutes: 1000 steps and all else took 8 min 20 s of 8 min 30 s; the machine slept")
        return
    (warning,) = warnings
    assert "0.75 s a step instead of 0.5): the run keeps its 1000 steps" in warning
    assert re.search(r"will take about 12 min \d\d s instead of 8 min 30 s", warning)
    assert "took 12 min 30 s of 8 min 30 s: a step took 0.75 s instead of 0.5" in last


def test_sleep_is_told_from_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"awake": 10.0, "boot": 50.0}
    monkeypatch.setattr(time, "monotonic", lambda: now["awake"])
    monkeypatch.setattr(time, "clock_gettime", lambda _: now["boot"])
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    watch = Stopwatch()
    now["awake"] += 5
    now["boot"] += 65
    assert (watch.seconds(), watch.slept()) == (5.0, 60.0)
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")  # as elsewhere than on Linux
    monkeypatch.setattr(time, "time", lambda: now["boot"])
    watch = Stopwatch()
    now["awake"] += 5
    now["boot"] += 4  # the time of day was set back
    assert (watch.seconds(), watch.slept()) == (5.0, 0.0)


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), "five", True, [1]])
def test_minutes_are_a_positive_number(minutes: Any) -> None:
    with pytest.raises(ValueError, match=r"fit\.minutes: expected minutes above 0, got .*; give such as 20"):
        FitOptions(minutes=minutes)


@pytest.mark.parametrize(
    ("words", "steps", "message"),
    [
        (["fit.epochs=3"], None, r"fit\.epochs, got 2 beside 3; leave out fit\.epochs, or give fit\.minutes=null"),
        (["+fit.epochs=3"], None, r"without fit\.epochs"),
        ([], 9, r"without fit\.steps, got 2 beside 9; give fit\.steps=null, or give fit\.minutes=null"),
        (["fit.epochs=3", "fit.steps=9"], 9, r"without fit\.steps"),
    ],
)  # fmt: skip
def test_one_length_is_enough(words: list[str], steps: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_length({"minutes": 2, "steps": steps, "epochs": 3}, words)
    check_length({"minutes": None, "steps": steps, "epochs": 3}, words)
    check_length({"minutes": 2, "steps": None, "epochs": 3}, ["fit.minutes=2"])


class Trainings:
    """Trainings in this process, on a machine that takes as long as it is told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.rehearsed, self.costs = folder, 0, Costs(0, 1.0, 0, 0, 3.0)
        measure = rehearsal.rehearse

        def told(run: Any, _: float) -> Costs:
            measured = measure(run, 0.0)  # it spoils what it is given, as ever
            assert min(measured.step, measured.validation, measured.judgement) > 0
            self.rehearsed += 1
            return self.costs

        monkeypatch.setattr(rehearsal, "rehearse", told)
        monkeypatch.setattr(Stopwatch, "seconds", lambda _: 0.0)

    def __call__(self, name: str, *words: str) -> Path:
        options = [word for word in train_options(self.folder / "data") if not word.startswith("fit.epochs")]
        more = ["logger=none", "regularizer=dropblock", "augment.crop.size=[32,32]", f"name={name}"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("train", quoted([*options, *more, *words]), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        OmegaConf.set_struct(config, True)
        folder = train_one(config)
        assert folder is not None
        return folder


@pytest.fixture
def train(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    monkeypatch.chdir(tmp_path)
    assert data == tmp_path / "data"
    return Trainings(tmp_path, monkeypatch)


def steps_of(folder: Path) -> int:
    steps = runs.read_config(folder / runs.CONFIG)["fit"]["steps"]
    assert isinstance(steps, int)
    return steps


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for pair in zip(a, b, strict=True):
            assert_equal(*pair)
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, optimizer, schedule and scores, to the bit."""
    states = [torch.load(folder / runs.LAST, weights_only=True) for folder in (a, b)]
    for part in ("model", "optimizer", "scheduler", "objective"):
        assert_equal(*(state[part] for state in states))
    assert (a / runs.PER_IMAGE).read_bytes() == (b / runs.PER_IMAGE).read_bytes()


def test_a_run_in_minutes_is_that_of_its_steps(train: Trainings) -> None:
    """A rehearsal leaves no trace, in what is random, ramps, or is counted; an extension neither."""
    loss = "loss=boundary"
    timed = train("timed", loss, "fit.minutes=0.17")
    assert (steps_of(timed), train.rehearsed) == (7, 1)
    stepped = train("stepped", loss, "fit.steps=7")
    assert_same_run(timed, stepped)
    with pytest.raises(ValueError, match=r"fit\.minutes: expected 0\.17, which .* got 0\.25; extend=true"):
        train("timed", loss, "fit.minutes=0.25")
    train("timed", loss, "fit.minutes=0.25", "extend=true")
    # 4.8 s for its judgement and one step; the two that the last epoch lacked count as done
    assert steps_of(timed) == 10
    train("stepped", loss, "fit.steps=10", "extend=true")
    assert_same_run(timed, stepped)
    assert runs.read(stepped).lines[-1]["lr"] == 0  # the schedule comes to its end


@pytest.mark.slow
def test_what_was_fixed_is_kept(train: Trainings, caplog: pytest.LogCaptureFixture) -> None:
    """By a run that was interrupted, on a machine that has become slower; other options are measured anew."""
    folder = train("a", "fit.minutes=0.17")
    (folder / runs.DONE).unlink()
    train.costs = Costs(0, 2.0, 0, 0, 3.0)
    with caplog.at_level(logging.INFO, "seg"):
        train("a", "fit.minutes=0.17")
    assert (steps_of(folder), train.rehearsed) == (7, 1)
    assert "fit.minutes=0.17: 7 steps, as this run, or its sweep, was begun with" in caplog.text
    (folder / runs.LAST).unlink()
    (folder / runs.DONE).unlink()
    train("a", "fit.minutes=0.17", "loss=dice")
    assert (steps_of(folder), train.rehearsed) == (3, 2)


def test_a_budget_that_is_too_small_is_refused(train: Trainings) -> None:
    """Before anything is written, and the minutes that the message names are enough."""
    train.costs = Costs(1.0, 1.0, 0, 0, 30.0)
    with pytest.raises(ValueError, match=r"fit\.minutes: expected at least .*, got 0\.5; give fit\.minutes=") as error:
        train("a", "fit.minutes=0.5")
    assert not (train.folder / "runs").exists()
    remedy = re.search(r"give (fit\.minutes=[\d.]+) or more", str(error.value))
    assert remedy is not None
    assert steps_of(train("a", remedy[1])) >= 1


def write_config(folder: Path, steps: int | None, **more: Any) -> None:
    folder.mkdir(parents=True)
    config = {
        "fit": {"minutes": 2, "steps": steps},
        "sweep": {"equal": "steps"},
        "seed": 0,
        "loss": {"gamma": 1},
    } | more
    (folder / runs.CONFIG).write_text(yaml.safe_dump(config))


def test_the_first_run_of_a_sweep_decides(tmp_path: Path) -> None:
    """For all of them, for its level, or for itself alone; runs of other settings decide nothing."""
    config = {"fit": {"minutes": 2, "steps": None}, "sweep": {"equal": "steps"}, "seed": 1, "loss": {"gamma": 2}}
    folder = tmp_path / "mine"
    fixed: Callable[..., int | None] = lambda free: runs.fixed_steps(folder, config, free)  # noqa: E731
    write_config(tmp_path / "a", 10, fit={"minutes": 3, "steps": 10})
    write_config(tmp_path / "b", 20, seed=2)
    write_config(tmp_path / "c", 30, augment={"flip": 1})
    write_config(tmp_path / "d", 40, sweep={"equal": "minutes"})
    assert fixed(["seed", "loss"]) == 20
    assert fixed(["seed"]) is None
    assert fixed(None) is None
    write_config(tmp_path / "e", 50, loss={"gamma": 2})
    assert fixed(["seed"]) == 50
    write_config(folder, 60, seed=1, loss={"gamma": 2})
    assert fixed(["seed", "loss"]) == fixed(None) == 60


def test_runs_of_one_sweep_have_equal_steps_whatever_it_varies(tmp_path: Path) -> None:
    """A recipe changes settings that no swept key names; minutes of another number fix nothing."""
    words = ["experiment=b", "seed=1", "+loss.gamma=2", "model.depth=3", "runs=elsewhere", "fit.minutes=2"]
    of = runs.sweep_of(words, ["experiment", "loss.gamma"])
    assert of == ["experiment", "loss.gamma", "fit.minutes=2", "model.depth=3"]
    config = {"fit": {"minutes": 2, "steps": None}, "seed": 1, "loss": {"gamma": 2}, "model": {"depth": 3}}
    mine: Callable[..., int | None] = lambda sweep, free, **more: runs.fixed_steps(  # noqa: E731
        tmp_path / "mine", config | {"sweep": {"equal": "steps"} | sweep} | more, free
    )
    write_config(tmp_path / "a", 10, sweep={"equal": "steps", "of": of}, lr=0.5)
    assert mine({"of": of}, ["seed", "experiment"]) == 10
    assert mine({"of": of}, ["seed", "fit.minutes"], fit={"minutes": 3, "steps": None}) is None
    assert mine({"of": [*of, "more"]}, ["seed", "experiment"]) is None
    assert mine({}, ["seed", "experiment"]) is None
    write_config(tmp_path / "b", 20, fit={"minutes": 5, "steps": 20}, model={"depth": 3})
    assert mine({}, ["seed", "loss", "fit.minutes"]) is None


def test_an_extension_counts_what_was_really_done() -> None:
    """Of a run that was cut off, its own minutes that are left belong to the new ones."""
    whole = runs.Before(epochs=5, steps=50, minutes=30)
    assert whole.spent(10) == (50, 30)
    assert whole._replace(steps=47).spent(10) == (50, 30)  # its last epoch was cut short
    assert whole._replace(epochs=2).spent(10) == (20, 12)
    assert runs.Before().spent(10) == (0, 0)


def test_a_run_that_was_cut_off_is_extended(train: Trainings) -> None:
    """By the minutes that its epochs have not taken: as many steps as a run of so many minutes has."""
    folder = train("a", "fit.minutes=0.17")
    (folder / runs.DONE).unlink()
    state = torch.load(folder / runs.LAST, weights_only=False)
    position = state["position"]
    assert position["epoch"] == 3
    state["position"] = position | {"epoch": 1}
    torch.save(state, folder / runs.LAST)
    lines = (folder / runs.EPOCHS).read_text().splitlines(keepends=True)
    (folder / runs.EPOCHS).write_text(lines[0])
    train("a", "fit.minutes=0.25", "extend=true")
    assert steps_of(folder) == 3 + int(60 * (0.25 - 0.17 / 3) - 3)  # a step takes 1 s, the judgement 3


def test_what_was_said_is_kept(train: Trainings) -> None:
    with caplog_level():
        folder = train("a", "fit.minutes=0.17")
        (folder / runs.DONE).unlink()
        train("a", "fit.minutes=0.17")
    lines = (folder / runs.LOG).read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING|ERROR) ", line) for line in lines)
    for said in (
        "fit.minutes=0.17: 7 steps in 3 epochs; 7.0 s for 7 steps of 1 s, 3.0 s for ",
        "7 steps, as this",
        "resuming",
    ):
        assert any(said in line for line in lines)
    assert all(a[:19] <= b[:19] for a, b in pairwise(lines))


class caplog_level:
    """Information of the library is heard, as commands hear it."""

    def __enter__(self) -> None:
        self.before = logging.getLogger("seg").level
        logging.getLogger("seg").setLevel(logging.INFO)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("seg").setLevel(self.before)
