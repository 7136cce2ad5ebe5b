"""``scripts/loop.py``: the data loop, with few and small scenes and two steps for each training.

python -m pytest -m "" tests/scripts/test_loop.py
"""

import runpy
from functools import partial
from pathlib import Path

import pytest
from conftest import Script

import seg.synthetic

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.slow
def test_the_loop_ends_with_a_verdict(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    small = partial(seg.synthetic.Rendering, train=8, val=4, height=96, width=144)
    monkeypatch.setattr(seg.synthetic, "Rendering", small)
    said: list[str] = []

    def command(name: str, *flags: str, **options: object) -> None:
        if options.pop("fit.minutes", None):
            options |= {"fit.steps": 2, "loader.workers": 0, "augment.crop.size": "[96,96]"}
        result = script(name, *flags, **options)
        assert result.returncode == 0, result.stderr
        said.append(result.stdout + result.stderr)

    monkeypatch.setattr("demo.command", command)
    runpy.run_path(str(SCRIPTS / "loop.py"))
    assert len(said) == 5
    assert "masks written to loop/repaired" in said[2]
    assert "loop/repaired has other masks" in said[-1]
    assert "points of mIoU" in said[-1]
    assert Path("loop/report/report.html").is_file()
