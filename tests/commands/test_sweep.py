"""python -m pytest tests/commands/test_sweep.py"""

import json
import os
import re
from pathlib import Path

import pytest
from conftest import Script, fails, train_options
from made_runs import write_run

from seg import runs
from seg.evaluation.testing import is_tested
from seg.report.console import console
from seg.report.progress import Overall
from seg.runs.table import results_table


def test_what_differs_has_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for encoder in ("resnet18", "mit_b0"):
        for seed in range(2):
            config = {"model": {"encoder_name": encoder}}
            folders.append(write_run(tmp_path / f"{encoder}-{seed}", "dice", seed, config=config))
    console.print(results_table([runs.read(folder) for folder in folders]))
    shown = capsys.readouterr().out
    assert "encoder_name" in shown
    assert all(re.search(rf"{encoder} .* 2 ", shown) for encoder in ("resnet18", "mit_b0"))


def test_the_table_fits_eighty_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = ("weighted_cross_entropy", "generalized_dice")
    folders = [write_run(tmp_path / f"{loss}-{seed}", loss, seed) for loss in losses for seed in range(3)]
    console.print(results_table([runs.read(folder) for folder in folders]))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for part in (*losses, "mIoU", "BF1", "ECE", "seconds"):
        assert part in shown


def test_runs_that_were_complete_are_no_work() -> None:
    told = []

    def tell(done: int, failed: int = 0, total: int | None = None) -> None:
        told.append((done, failed, total))

    overall = Overall(4, tell)
    overall.end("complete")
    overall.at(1, 10)
    overall.end("trained")
    overall.at(2, 10)
    overall.end("failed")
    overall.at(0, 10)
    assert told == [(1, 0, 30), (12, 0, 30), (10, 1, 20)]
    Overall(None, tell).at(3, 10)
    assert told[-1] == (3, 0, None)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_failed_runs_are_listed_and_tried_again(tmp_path: Path, data: Path, script: Script, launcher: str) -> None:
    options = [*train_options(data), "fit.epochs=1", "logger=none", f"hydra/launcher={launcher}"]
    options.append(f"loader.workers={int(launcher == 'joblib')}")  # its processes start others in a way of their own
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/unet_small-cross_entropy-seed1").write_text("a file is in the way")
    words = ["seg-train", "-m", *options, "seed=0,1,2", "name=unet_small-cross_entropy-seed${seed}"]
    result = script(*words)
    fails(result, 2, r"1 of 3 runs failed; unet_small-cross_entropy-seed1: .*; the same command tries again")
    lines = result.stdout.splitlines()
    for number, seed in ((1, 0), (3, 2)):
        assert any(re.fullmatch(rf"{number}/3 unet_small-cross_entropy-seed{seed}: mIoU .* s", line) for line in lines)
    assert any(line.startswith("2/3 unet_small-cross_entropy-seed1: failed: ") for line in lines)
    assert result.stdout.count("mean over seeds") == 1
    assert "epoch " not in result.stdout
    assert [path.name for path in (tmp_path / "runs/.sweep").glob("*.jsonl")] == []
    (tmp_path / "runs/unet_small-cross_entropy-seed1").unlink()
    result = script(*words)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("is complete") == 2


def test_what_changed_is_judged_again(tmp_path: Path) -> None:
    """The run, and the test set; not another run, nor a set of the same name elsewhere."""
    run, judged = tmp_path / "run", tmp_path / "run/test/metrics.json"
    judged.parent.mkdir(parents=True)
    where = {kind: str(tmp_path / "set" / kind) for kind in ("images", "masks")}
    (run / "last.pt").touch()
    assert not is_tested(run, tmp_path / "set", 0)
    for text in ("", "[]", "{}", '{"data": {}}', '{"data": {"images": 1, "masks": 2}}'):
        judged.write_text(text)
        assert not is_tested(run, tmp_path / "set", 0)
    judged.write_text(json.dumps({"data": where}))
    now = judged.stat().st_mtime
    assert is_tested(run, tmp_path / "set", now)
    assert not is_tested(run, tmp_path / "set", now + 1)
    assert not is_tested(run, tmp_path / "other", now)
    os.utime(run / "last.pt", (now + 1, now + 1))  # trained on
    assert not is_tested(run, tmp_path / "set", now)


def test_runs_are_judged_on_a_test_set(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), "fit.epochs=1", "logger=none", "name=a${seed}"]
    fails(script("seg-train", *options, "sweep.test=data/val"), 2, "sweep.test: expected several runs, got one")
    fails(script("seg-train", "-m", "seed=0,1", *options, "sweep.test=data"), 2, "got no images and no masks")
    assert not (tmp_path / "runs/a0").exists()
    result = script("seg-train", "-m", "seed=0,1", *options, "sweep.test=data/val")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("was judged on data/val") == 2
    assert (tmp_path / "runs/a1/test/per_image.csv").is_file()
    again = script("seg-train", "-m", "seed=0,1", *options, "sweep.test=data/val")
    assert "was judged on" not in again.stdout
    next((data / "val/masks").iterdir()).touch()  # the set has changed
    again = script("seg-train", "-m", "seed=0,1", *options, "sweep.test=data/val")
    assert again.stdout.count("was judged on data/val") == 2
    other = script("seg-train", "-m", "seed=0,1", *options, "sweep.test=data/train")
    assert other.stdout.count("was judged on data/train") == 2
    assert json.loads((tmp_path / "runs/a0/test/metrics.json").read_text())["images"] == 6
    compared = script("seg-compare", runs="runs", destination="compared", draws=100)
    assert compared.returncode == 0, compared.stderr
    assert "a test set" in (tmp_path / "compared/report.md").read_text()


SWEEPER = '''
from hydra.plugins.sweeper import Sweeper


class Asking(Sweeper):
    """As those that search: one batch of jobs, of which it wants a number each."""

    def __init__(self, **options):
        pass

    def setup(self, *, hydra_context, task_function, config):
        from hydra.core.plugins import Plugins
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments):
        jobs = [[*arguments, f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in ((0, 0.001), (1, -1))]
        scores = [float(job.return_value) for job in self.launcher.launch(jobs, initial_job_idx=0)]
        print("SCORES", scores)
'''


@pytest.mark.slow
def test_sweepers_are_told_the_monitored_score(
    tmp_path: Path, data: Path, fresh_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN where a run failed; ``hydra/sweeper=optuna`` fails at its end without a number."""
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/asking.py").write_text(SWEEPER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    options = [*train_options(data), "fit.epochs=1", "logger=none", "fit.monitor=accuracy", "name=a${seed}"]
    result = fresh_script("seg-train", "-m", *options, "hydra.sweeper._target_=hydra_plugins.asking.Asking")
    fails(result, 2, "1 of 2 runs failed; a1: ")
    scores = re.search(r"SCORES \[(.*), nan\]", result.stdout)
    assert scores is not None, result.stdout
    done = json.loads((tmp_path / "runs/a0/done.json").read_text())
    assert float(scores[1]) == done["best"]["score"] == done["last"]["accuracy"]
