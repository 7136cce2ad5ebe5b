"""Signals that ask a run to stop, its own and those of the launcher that started it.

python -m pytest tests/training/test_signals.py
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import hear_hangups, train_options, write_pairs
from training.test_loop import Experiment

from seg.models import checkpoint
from seg.training import signals
from seg.training.signals import stop_signals


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signals that a launcher was told of, whose handlers of SIGUSR2 and SIGTERM these are."""
    monkeypatch.setattr(signals, "_TURN", 0.0)
    found: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: found.append(number))
        for number in (signal.SIGUSR2, signal.SIGTERM)
    }
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_launcher_is_told_when_the_run_has_saved(tmp_path: Path, called: list[int]) -> None:
    """As submitit is, which then requeues the job: SIGTERM comes along, and asks for nothing more."""
    write_pairs(tmp_path / "run", 6)
    run = Experiment(tmp_path / "run")
    steps = iter(range(100))

    def requeue(number: int, _: Any) -> None:
        called.append(number)
        assert checkpoint.load(run.folder / "last.pt")["position"]["step"] == 2
        sys.exit(7)

    signal.signal(signal.SIGUSR2, requeue)

    def after_step() -> bool:
        if next(steps) == 1:
            for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR2, signal.SIGTERM):
                os.kill(os.getpid(), number)
        return asked()

    with pytest.raises(SystemExit, match="7"), stop_signals() as asked:
        run.fit(stop=after_step)
    assert called == [signal.SIGTERM, signal.SIGUSR2]
    assert signal.getsignal(signal.SIGUSR2) is requeue


def test_a_launcher_is_told_at_the_end(called: list[int]) -> None:
    with stop_signals() as asked:
        signal.raise_signal(signal.SIGUSR2)
        assert asked()
        assert not called
    assert called == [signal.SIGUSR2]


def test_a_launcher_is_not_told_where_the_run_failed(called: list[int]) -> None:

    def fail() -> None:
        with stop_signals():
            signal.raise_signal(signal.SIGUSR2)
            raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        fail()
    assert not called


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2"])
def test_a_signal_that_is_sent_on_counts_once(name: str) -> None:
    """Slurm signals torchrun and the processes of torchrun, which signals them too."""
    number = signal.Signals[name]
    before = signal.getsignal(number)
    with stop_signals() as asked:
        assert not asked()
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert asked()
    assert signal.getsignal(number) is before


def test_ctrl_c_twice_ends_at_once() -> None:
    with stop_signals() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with stop_signals() as asked:
        signal.raise_signal(signal.SIGUSR1)
        assert not asked()
    assert signal.signal(signal.SIGUSR1, before) == signal.SIG_IGN


SLOW = """
import time

def slow(model):
    def infer(images):
        print("validating", flush=True)
        time.sleep(2)
        return model(images)

    return infer
"""
JOB = """
import signal, sys

def requeue(number, _):
    print("requeued", flush=True)
    sys.exit(3)

signal.signal(signal.SIGUSR2, requeue)
from seg.commands.train import main
main()
"""


@pytest.mark.slow
def test_a_long_validation_is_left_for_the_launcher(tmp_path: Path, data: Path) -> None:
    """The job must be requeued before its time is up, and nothing is lost."""
    (tmp_path / "slow.py").write_text(SLOW)
    options = [*train_options(data), "fit.epochs=1", "name=a"]
    words = [sys.executable, "-c", JOB, *options, "inference._target_=slow.slow"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_hangups
    ) as process:
        assert process.stdout is not None
        last = tmp_path / "runs/a/last.pt"  # without which it is the trial before the run
        assert any("validating" in line and last.exists() for line in process.stdout)
        process.send_signal(signal.SIGUSR2)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert stdout.count("validating") == 0  # of the second image
    assert "requeued" in stdout
    assert "stopping after this step, by SIGUSR2" in stderr
