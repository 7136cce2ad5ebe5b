"""python -m pytest tests/training/test_search.py"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seg import runs
from seg.files.errors import Failed
from seg.training.run import GiveUp
from seg.training.search import BEST, EARLIEST, FIRST, STEPS, TuneOptions, search

EPOCHS = 10
SPACE: dict[str, Callable[[Any], Any]] = {"lr": lambda trial: trial.suggest_float("lr", 0.0, 1.0)}


class Killed(KeyboardInterrupt):
    """As by Ctrl-C, or worse."""


class Runs:
    """Trains trials whose scores follow from the rate; may be killed before an epoch."""

    def __init__(self, folder: Path, *, mode: str = "max", every: int = 1) -> None:
        self.folder, self.mode, self.every = folder, mode, every
        self.monitor = "miou" if mode == "max" else "loss"
        self.trained: list[tuple[int, int]] = []
        self.kill: int | None = None

    def score(self, lr: float, epoch: int) -> float:
        """The farther from 0.3, the worse, and it grows; a wave keeps orders from being the same at all epochs."""
        found = 0.3 + 0.5 * (epoch / EPOCHS) - (lr - 0.3) ** 2 + 0.02 * np.sin(40 * lr + epoch)
        return float(found) if self.mode == "max" else -float(found)

    def __call__(self, configured: tuple[int, dict[str, Any]], give_up: GiveUp) -> Path:
        number, values = configured
        folder = self.folder / f"trial-{number:03}"
        if (folder / runs.DONE).exists():
            return folder
        config = {"seed": 0, "fit": {"monitor": self.monitor, "mode": self.mode, "epochs": EPOCHS}}
        with runs.opened(folder, config, {"choices": {}}, {"train": [], "val": []}):
            (folder / runs.LAST).touch()
            epoch, ended = len(runs.read(folder).lines), False
            while epoch < EPOCHS and not ended:
                if self.kill is not None and len(self.trained) == self.kill:
                    raise Killed
                self.trained.append((number, epoch))
                line: dict[str, Any] = {"epoch": epoch, "seconds": 1.0}
                if (epoch + 1) % self.every == 0 or epoch + 1 == EPOCHS:
                    line[f"val_{self.monitor}"] = self.score(values["lr"], epoch)
                runs.append_line(folder, line)
                epoch += 1
                ended = epoch < EPOCHS and give_up(folder, EPOCHS)
            last = {"miou": 0.5, self.monitor: self.score(values["lr"], epoch - 1)}
            runs.mark_complete(folder, {"epochs": epoch, "planned_epochs": EPOCHS, "given_up": ended, "last": last})
        return folder

    def search(self, trials: int = 20, *, prune: bool = True) -> dict[str, Any]:
        search(self, lambda *asked: asked, SPACE, TuneOptions(trials=trials, prune=prune), self.folder)
        found: dict[str, Any] = json.loads((self.folder / BEST).read_text())
        return found


def test_trials_that_are_behind_end_early(tmp_path: Path) -> None:
    """By the rule of the median, written anew: the best score so far against what complete trials had then."""
    train = Runs(tmp_path)
    found = train.search()
    told = found["trials"]
    assert len(told) == 20
    pruned = [trial for trial in told if trial["pruned"]]
    assert 3 <= len(pruned) <= 15
    before: list[list[float]] = []
    for number, trial in enumerate(told):
        scores = [train.score(trial["values"]["lr"], epoch) for epoch in range(EPOCHS)]
        ends = [
            epoch + 1
            for epoch in range(EPOCHS - 1)
            if len(before) >= FIRST
            and STEPS * (epoch + 1) // EPOCHS >= EARLIEST
            and max(scores[: epoch + 1]) < np.median([other[epoch] for other in before])
        ]
        assert trial["epochs"] == min(ends, default=EPOCHS), number
        assert trial["pruned"] == bool(ends)
        assert trial["score"] == pytest.approx(scores[trial["epochs"] - 1])
        if not ends:
            before.append(scores)
    best = max((trial for trial in told if not trial["pruned"]), key=lambda trial: trial["score"])
    assert found["values"] == best["values"]
    assert abs(found["values"]["lr"] - 0.3) < 0.15
    assert min(trial["epochs"] for trial in pruned) == EPOCHS // 2


@pytest.mark.parametrize("kill", [0, 1, 37, 50, 55, 56, 57, 63, 70, 80])
def test_killed_and_started_again_it_is_the_same_search(tmp_path: Path, kill: int) -> None:
    """Also within a trial that is given up later, and between two of them; no epoch is trained twice."""
    whole, cut = Runs(tmp_path / "whole"), Runs(tmp_path / "cut")
    for train in (whole, cut):
        train.folder.mkdir()
    expected = whole.search(10)
    cut.kill = kill
    with pytest.raises(Killed):
        cut.search(10)
    assert not (cut.folder / BEST).exists()
    cut.kill = None
    assert cut.search(10) == expected
    assert cut.trained == whole.trained
    assert any(trial["pruned"] for trial in expected["trials"])


def test_without_pruning_all_are_trained_to_their_end(tmp_path: Path) -> None:
    train = Runs(tmp_path)
    found = train.search(8, prune=False)
    assert len(train.trained) == 8 * EPOCHS
    assert not any(trial["pruned"] for trial in found["trials"])


def test_what_the_run_monitors_decides(tmp_path: Path) -> None:
    """Of a loss the lowest wins; mIoU, which is the same for all here, is kept beside it."""
    train = Runs(tmp_path, mode="min")
    found = train.search(12)
    complete = [trial for trial in found["trials"] if not trial["pruned"]]
    assert found["values"] == min(complete, key=lambda trial: trial["score"])["values"]
    assert {(trial["monitor"], trial["miou"]) for trial in found["trials"]} == {("loss", 0.5)}
    assert any(trial["pruned"] for trial in found["trials"])


def test_epochs_without_a_validation_decide_nothing(tmp_path: Path) -> None:
    ends = {trial["epochs"] for trial in Runs(tmp_path, every=3).search()["trials"]}
    assert ends <= {6, 9, EPOCHS}
    assert len(ends) > 1


def test_scores_that_are_no_numbers_lose(tmp_path: Path) -> None:
    class Broken(Runs):
        def score(self, lr: float, epoch: int) -> float:
            return float("nan") if lr > 0.5 else super().score(lr, epoch)

    found = Broken(tmp_path).search(12)
    assert found["values"]["lr"] <= 0.5
    assert {trial["score"] for trial in found["trials"] if trial["values"]["lr"] > 0.5} == {None}


def test_no_trial_could_be_trained(tmp_path: Path) -> None:
    def fail(configured: object, give_up: GiveUp) -> Path:
        raise Failed("no memory")

    with pytest.raises(Failed, match="tune.trials: expected that one trial of 3 can be trained, got none; narrow"):
        search(fail, lambda *asked: asked, SPACE, TuneOptions(trials=3), tmp_path)


def test_prune_is_true_or_false() -> None:
    with pytest.raises(ValueError, match="tune.prune: expected true or false, got 'yes'"):
        TuneOptions(prune="yes")  # type: ignore[arg-type]
