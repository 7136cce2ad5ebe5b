"""The scripts for clusters, with a stand-in for the command that they run.

python -m pytest tests/scripts/test_slurm.py
"""

import os
import subprocess
from pathlib import Path

import pytest

TRAIN = Path(__file__).parents[2] / "scripts" / "train_slurm.sh"


def train(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Standard output has the words that ``seg-train`` was given."""
    command = tmp_path / "seg-train"
    command.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    command.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    words = [str(TRAIN), *arguments]
    return subprocess.run(words, env={"PATH": path, **environment}, capture_output=True, text=True, check=False)


def test_a_job_has_a_task_for_each_gpu(tmp_path: Path) -> None:
    result = train(tmp_path, "main", "data=a b", "seed=0,1", GPUS="4", NODES="2", HOURS="10")
    assert result.returncode == 0, result.stderr
    words = result.stdout.splitlines()
    assert {"hydra.launcher.partition=main", "device.devices=4", "hydra.launcher.tasks_per_node=4"} <= set(words)
    assert {"hydra.launcher.gpus_per_node=4", "hydra.launcher.nodes=2", "hydra.launcher.timeout_min=600"} <= set(words)
    assert words[-2:] == ["data=a b", "seed=0,1"]  # as they were, and behind what they may replace


def test_without_gpus(tmp_path: Path) -> None:
    words = train(tmp_path, "main", "data=a", GPUS="0").stdout.splitlines()
    assert {"device.accelerator=cpu", "hydra.launcher.tasks_per_node=1"} <= set(words)
    assert not any("gpus" in word or "devices" in word for word in words)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ((), {}, "scripts/train_slurm.sh PARTITION data"),
        (("data=a", "seed=1"), {}, "PARTITION: expected the name of a partition, got 'data=a'; give it first"),
        (("main", "data=a"), {"GPUS": "two"}, "GPUS: expected a whole number, got 'two'; give such as 4"),
        (("main", "data=a"), {"HOURS": "1.5"}, "HOURS: expected a whole number, got '1.5'; give such as 4"),
    ],
)
def test_wrong_requests(tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], message: str) -> None:
    result = train(tmp_path, *arguments, **environment)
    assert result.returncode == 2
    assert message in result.stderr
    assert not result.stdout
