"""Which files a checkpoint, a folder of a run, a pattern or a list of them mean.

python -m pytest tests/inference/test_members.py
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import write_run

from seg.inference.members import files_of, only, shown

Fill = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Write a run, in whose checkpoints its name stands, into ``runs``."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, *, complete: bool = True, best: bool = True, **run: Any) -> Path:
        write_run(Path("runs", name), complete=complete, **run)
        for file in ("last.pt", *(["best.pt"] if best else [])):
            Path("runs", name, file).write_text(f"{file} of {name}")
        return Path("runs", name)

    return write


def names(given: object) -> list[str]:
    return list(map(str, files_of(given)))  # type: ignore[arg-type]


def test_files_folders_and_patterns(fill: Fill) -> None:
    for name in ("dice-2", "dice-0", "dice-10", "focal-0"):
        fill(name)
    fill("old", best=False)
    assert names("runs/dice-2/last.pt") == ["runs/dice-2/last.pt"]
    assert names(Path("runs/dice-2")) == ["runs/dice-2/best.pt"]
    assert names("runs/old/") == ["runs/old/last.pt"]
    dice = ["runs/dice-0/best.pt", "runs/dice-10/best.pt", "runs/dice-2/best.pt"]
    assert names("runs/dice-*") == names("runs/dice-*/best.pt") == names(["runs/dice-*"]) == dice
    assert names("runs/d?ce-[02]/last.pt") == ["runs/dice-0/last.pt", "runs/dice-2/last.pt"]
    assert names(["runs/focal-0", "runs/dice-[02]"]) == ["runs/focal-0/best.pt", dice[0], dice[2]]
    Path("odd[1].pt").write_text("a file may be called so")
    assert names("odd[1].pt") == ["odd[1].pt"]
    assert names("missing.pt") == ["missing.pt"]  # whoever loads it says so
    assert shown(dice) == "runs/dice-0/best.pt and 2 more"
    assert shown(dice[:1]) == dice[0]


def test_what_is_refused(fill: Fill) -> None:
    for name in ("dice-0", "dice-1"):
        fill(name)
    fill("half", complete=False)
    shutil.copytree("runs/dice-0", "runs/copy")
    Path("link.pt").symlink_to("runs/dice-0/best.pt")
    Path("plain").mkdir()
    for given, message in (
        ("runs/none-*", "expected files or folders of runs that match 'runs/none-*', got none; correct the pattern"),
        ("runs/half", "expected a complete run, got 'runs/half', which has no done.json; give the seg-train command"),
        ("runs/*", "expected a complete run, got 'runs/half', which has no done.json"),
        (
            "plain",
            "expected a file, the folder of a run, or one of folds, got the folder 'plain', which is none; give",
        ),
        (["runs/dice-0", "runs/dice-1", "runs/dice-0/best.pt"], "each member once, got 'runs/dice-0/best.pt' twice"),
        (["link.pt", "runs/dice-*"], "expected each member once, got 'runs/dice-0/best.pt' twice; leave one out"),
        (["runs/copy", "runs/dice-0"], "got 'runs/dice-0/best.pt', the same as 'runs/copy/best.pt'; leave one out"),
        ([], "expected a file, or several, got []; give such as [a.pt,b.pt]"),
        ([1], "expected a file, or several, got [1]"),
    ):
        with pytest.raises(ValueError, match="^checkpoint: .*" + re.escape(message)):
            files_of(given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="checkpoint: expected one, got 2; give the command once for each"):
        only("runs/dice-*")
    assert only("runs/dice-0") == Path("runs/dice-0/best.pt")


def test_a_file_of_a_run_that_is_not_complete(fill: Fill, caplog: pytest.LogCaptureFixture) -> None:
    """Named, it is what the user wants; by a pattern it may be an oversight."""
    fill("a")
    fill("b", complete=False)
    assert names(["runs/a", "runs/b/best.pt"]) == ["runs/a/best.pt", "runs/b/best.pt"]
    assert not caplog.messages
    assert names("runs/*/best.pt") == ["runs/a/best.pt", "runs/b/best.pt"]
    assert caplog.messages == [
        "checkpoint: the run of 'runs/b/best.pt', which matches 'runs/*/best.pt', is not complete"
    ]


def test_the_home_folder(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    fill("a")
    monkeypatch.setenv("HOME", os.getcwd())  # noqa: PTH109
    assert names("~/runs/*") == [f"{Path.cwd()}/runs/a/best.pt"]


def test_a_folder_of_folds(fill: Fill) -> None:
    def fold(number: int, seed: int = 0, folder: str = "folds", folds: int = 3) -> None:
        data = {"folds": folds, "fold": number}
        fill(f"../{folder}/seed{seed}-fold{number}", seed=seed, config={"data": data})

    for number in (2, 0):
        fold(number)
    with pytest.raises(ValueError, match="expected each of 3 folds once in 'folds', got 0, 2 of seed 0; train the oth"):
        files_of("folds")
    fold(1)
    assert names("folds") == [f"folds/seed0-fold{number}/best.pt" for number in range(3)]
    fold(1, seed=4)
    with pytest.raises(ValueError, match="expected each of 3 folds once in 'folds', got 1 of seed 4"):
        files_of("folds")
    for number in (0, 2):
        fold(number, seed=4)
    assert names("folds")[3:] == [f"folds/seed4-fold{number}/best.pt" for number in range(3)]
    fold(0, folder="mixed", folds=5)
    fill("../mixed/another")
    with pytest.raises(ValueError, match=r"or one of folds, got the folder 'mixed', which is none; give 'mixed/\*'"):
        files_of("mixed")
    Path("folds/seed0-fold1/done.json").unlink()
    with pytest.raises(ValueError, match="expected a complete run, got 'folds/seed0-fold1'"):
        files_of("folds")
