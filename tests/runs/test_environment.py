"""python -m pytest tests/runs/test_environment.py"""

import json
from pathlib import Path

import pytest

from seg.runs.environment import environment


def told() -> dict[str, object]:
    return environment(0, {"loss": "dice", "hydra/launcher": "basic"}, "32-true", libraries={}, threads=1, gpus=["X"])


def test_hardware_and_choices_are_told() -> None:
    found = told()
    assert (found["gpus"], found["torch_threads"], found["choices"]) == (["X"], 1, {"loss": "dice"})
    assert isinstance(found["cpu"], str)
    if Path("/proc/cpuinfo").exists() and "model name" in (text := Path("/proc/cpuinfo").read_text()):
        assert f": {found['cpu']}\n" in text
    json.dumps(found)


def test_a_system_that_names_no_processor_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", closed)
    monkeypatch.setattr("platform.processor", lambda: "")
    assert told()["cpu"] == ""
