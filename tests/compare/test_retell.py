"""A kept comparison is told anew as it was told from its runs.

python -m pytest tests/compare/test_retell.py
"""

import json
import sys
from pathlib import Path

import pytest
from made_runs import made_counts, write_run

from seg.compare.study import read_study
from seg.compare.write import compare_study, write_comparison

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import retell


def test_a_comparison_is_told_as_it_was_from_its_runs(tmp_path: Path) -> None:
    for level, better in (("dice", 0.15), ("focal", 0.0), ("tversky", 0.02), ("lovasz", 0.03)):
        for seed in range(3):
            write_run(
                tmp_path / f"runs/{level}-{seed}",
                level,
                seed,
                counts=made_counts(level, seed, images=30, better=better),
            )
    study, out = read_study(tmp_path / "runs"), tmp_path / "out"
    write_comparison(out, study, compare_study(study, "miou", group=None, rope=None, draws=2000, seed=0))
    before, text = json.loads((out / "statistics.json").read_text()), (out / "report.md").read_text()
    retell.alone(out)
    after, told = json.loads((out / "statistics.json").read_text()), (out / "report.md").read_text()
    for kind, keys in (("pairs", ("difference", "p_verdict", "p_better", "p_holm")), ("levels", ("mean", "scatter"))):
        for ours, theirs in zip(after[kind], before[kind], strict=True):
            assert {key: ours[key] for key in keys} == pytest.approx({key: theirs[key] for key in keys}, abs=1e-4)
            assert ours["interval_new_seeds"] == pytest.approx(theirs["interval_new_seeds"], abs=1e-5)
    assert [pair["verdict"] for pair in after["pairs"]] == [pair["verdict"] for pair in before["pairs"]]
    assert after["winner"]["level"] == "dice"
    for heading in ("## Levels", "## Pairs", "## Do other metrics agree?", "## Classes", "## What was compared"):
        assert told.count(heading) == text.count(heading) == 1
    table = "| level | runs | mIoU % |"
    assert told[told.index(table) :].split("\n\n")[0] == text[text.index(table) :].split("\n\n")[0]
    assert "The counts of single images were not kept" in told
