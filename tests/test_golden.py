"""The run on record: what it trains to must not move unnoticed.

python -m pytest tests/test_golden.py
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Started

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "record_run.py"


def test_the_run_on_record_is_repeated(tmp_path: Path, start_in: Callable[..., Started]) -> None:
    """Within what processors and versions of libraries may round; `scripts/record_run.py` compares bits."""
    spec = importlib.util.spec_from_file_location("record_run", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    record_run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record_run)
    wanted = json.loads(record_run.GOLDEN.read_text())

    def command(folder: Path, name: str, *arguments: str) -> None:
        result = start_in(folder, name, *arguments, environment={"OMP_NUM_THREADS": "2"}).wait()
        assert result.returncode == 0, result.stderr

    found = record_run.record(tmp_path, command)
    assert len(found["lines"]) == len(wanted["lines"])
    for ours, theirs in zip(found["lines"], wanted["lines"], strict=True):
        assert list(ours) == list(theirs)
        for name in ("epoch", "loss", "lr", "terms", "val_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=0.02), name
        for name in ("val_miou", "val_accuracy"):
            assert ours[name] == pytest.approx(theirs[name], abs=0.02), name


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    wanted: dict[str, Any] = json.loads((SCRIPT.parents[1] / "tests/golden/run.json").read_text())
    assert wanted["lines"][0]["loss"] != pytest.approx(wanted["lines"][1]["loss"], rel=0.02)
    assert wanted["lines"][0]["val_loss"] != pytest.approx(wanted["lines"][1]["val_loss"], rel=0.02)
