"""What a machine runs out of, and processes that wait for ever: said with what to do, and ended.

python -m pytest tests/training/test_resources.py
"""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Script, Started, fails, train_options

from seg.inference import out_of_memory
from seg.report import progress
from seg.report.console import console
from seg.training.state import _wide

MODELS = """\
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self, classes, limit=10**9, when="always"):
        super().__init__()
        self.layer, self.limit, self.when = nn.Conv2d(3, classes, 1), limit, when

    def forward(self, images):
        if images.shape[-1] > self.limit and (self.when == "always" or self.training):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\\nAnd more")
        return self.layer(images)
"""


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Options that train a model of the user's own, whose memory ends at 96 columns when it is asked to."""
    (tmp_path / "tiny_models.py").write_text(MODELS)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "tiny.yaml").write_text("_target_: tiny_models.Tiny\nlimit: 1000000\nwhen: always\n")
    return ["--config-dir", "conf", "model=tiny", "augment=none", "fit.epochs=1"]


def options_of(data: Path) -> list[str]:
    return train_options(data, model=())


def test_an_image_too_large_for_the_memory_does_not_stop_the_others(
    tmp_path: Path, data: Path, script: Script, tiny: list[str]
) -> None:
    result = script("seg-train", *options_of(data), *tiny, "model.limit=200", "name=a")
    assert result.returncode == 0, result.stderr
    shutil.copytree(data / "val/images", tmp_path / "images")
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "images/a.png"), np.zeros((64, 300, 3), np.uint8))
    request = {"checkpoint": "runs/a/best.pt", "images": "images", "destination": "out", "trust": "[tiny_models]"}
    result = script("seg-predict", **request, device="cpu")
    fails(result, 1, "")
    assert "1 of 3 images failed: image 'images/a.png': expected memory for 64x300 pixels on cpu, got none" in (
        result.stderr
    )
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["s100.png", "s101.png"]


def test_training_out_of_memory_says_which_options_help(data: Path, script: Script, tiny: list[str]) -> None:
    for when in ("always", "training"):  # in the trial before the first step, and in it
        result = script("seg-train", *options_of(data), *tiny, "model.limit=50", f"model.when={when}")
        said = r"expected enough memory, got none left \(CUDA out of memory.*GiB.\); not even a batch of one image fits"
        fails(result, 1, said)


def test_what_counts_as_memory() -> None:
    assert out_of_memory(torch.OutOfMemoryError("x"))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory"))
    assert not out_of_memory(RuntimeError("sizes differ"))
    assert not out_of_memory(ValueError("out of memory"))


def test_a_full_disk_names_the_file(tmp_path: Path, data: Path, start: Callable[..., Started]) -> None:
    options = [*train_options(data), "name=a", "fit.epochs=1"]
    result = start("seg-train", *options, limits={"RLIMIT_FSIZE": 1 << 18}).wait()
    fails(result, 1, "expected space for 'runs/a/last.pt', got 'File too large'; free some, and give the same command")
    assert not list((tmp_path / "runs/a").glob(".seg-*"))
    assert start("seg-train", *options).wait().returncode == 0


@pytest.mark.parametrize("files", [40, 90])
def test_too_few_open_files_for_the_workers(data: Path, start: Callable[..., Started], files: int) -> None:
    """It hung at its end: the workers that had been started ignored what should end them."""
    options = [*train_options(data), "loader.workers=12", "fit.epochs=1"]
    result = start("seg-train", *options, limits={"RLIMIT_NOFILE": files}).wait()
    assert "Exception ignored" not in result.stderr
    fails(result, 1, "loader.workers: expected to start 12 loading processes, got 'Too many open files'; lower it, or")


@pytest.mark.slow
def test_two_signals_end_processes_that_wait_for_each_other(
    tmp_path: Path, data: Path, start: Callable[..., Started]
) -> None:
    """The first process waits in C, where no handler of Python's is reached."""
    (tmp_path / "stuck.py").write_text(
        "import os, time\nfrom seg.losses import CrossEntropy\n\n\n"
        "class Stuck(CrossEntropy):\n"
        "    def forward(self, logits, target):\n"
        "        while self.training and os.environ.get('LOCAL_RANK') == '1':\n"
        "            time.sleep(600)\n"
        "        print('step', flush=True)\n"
        "        return super().forward(logits, target)\n"
    )
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "stuck.yaml").write_text("_target_: stuck.Stuck\n")
    words = [*train_options(data), "device.accelerator=cpu", "device.devices=2", "loss=stuck", "--config-dir", "conf"]
    process = start("seg-train", *words)
    process.until(lambda: "step" in process.stdout)
    time.sleep(2)
    process.send_signal(signal.SIGTERM)
    process.until(lambda: "stopping after this step" in process.stderr)  # told even then
    time.sleep(1.5)  # what comes sooner may have been sent on
    process.send_signal(signal.SIGTERM)
    assert process.wait().returncode in (128 + signal.SIGTERM, -signal.SIGTERM)
    process.all_end()


class TestJobsOfSeveralProcesses:
    @pytest.mark.slow
    def test_a_sweep_has_one_table_and_no_traceback(self, data: Path, script: Script) -> None:
        words = [*train_options(data), "device.accelerator=cpu", "device.devices=2", "fit.epochs=1"]
        for _ in range(2):  # trained, then complete
            result = script("seg-train", "-m", "seed=0,1", *words)
            assert result.returncode == 0, result.stderr
            assert "Traceback" not in result.stderr
            assert result.stdout.count("mean over seeds") == 1
        assert result.stdout.count("is complete") == 2

    @pytest.mark.slow
    def test_a_wrong_job_does_not_lose_the_next(self, tmp_path: Path, data: Path, script: Script) -> None:
        words = [*train_options(data)[:2], *train_options(data)[4:], "fit.epochs=1"]
        result = script("seg-train", "-m", "data.val_share=5,0.3", *words, "device.accelerator=cpu", "device.devices=2")
        fails(result, 2, "data.val_share: expected a share of the scenes above 0 and below 1, got 5")
        assert result.stderr.count("error: ") == 1
        assert len(list((tmp_path / "runs").glob("*/done.json"))) == 1

    @pytest.mark.parametrize(
        ("word", "said"), [("fit.epochs=0", "fit.epochs"), ("model.encoder_name=x", "encoder_name")]
    )
    def test_a_wrong_request_is_told_once(self, data: Path, script: Script, word: str, said: str) -> None:
        result = script("seg-train", *train_options(data), "device.accelerator=cpu", "device.devices=2", word)
        fails(result, 2, f"{said}: expected")
        assert result.stderr.count("error: ") == 1


def test_a_line_now_and_then_within_an_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0

    def clock() -> float:
        return now

    monkeypatch.setattr(progress.time, "monotonic", clock)
    for _ in progress.track(range(30), "epoch 3/40", 40, 10):
        now += 10.0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10  # every 30 s
    assert lines[0].startswith("epoch 3/40: 13 of 40, ")
    assert "min left, 0.1" in lines[-1]
    monkeypatch.setattr(console, "quiet", True)
    for _ in progress.track(range(30), "epoch 3/40", 40, 10):
        now += 100.0
    assert not capsys.readouterr().err


class TestExtend:
    def test_a_finished_run_goes_on(self, tmp_path: Path, data: Path, script: Script) -> None:
        options = [*train_options(data), "name=a"]
        assert script("seg-train", *options, "fit.epochs=1").returncode == 0
        fails(
            script("seg-train", *options),
            2,
            "fit.epochs: expected 1, which the run in 'runs/a' has, got 2; extend=true",
        )
        assert (tmp_path / "runs/a/done.json").exists()
        result = script("seg-train", *options, "extend=true")
        assert result.returncode == 0, result.stderr
        assert (
            "the learning rate goes on at 0.0005 instead of 0, and the result is not that of one run" in result.stdout
        )
        lines = [json.loads(line) for line in (tmp_path / "runs/a/metrics.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == [0, 1]
        assert json.loads((tmp_path / "runs/a/done.json").read_text())["epochs"] == 2
        assert "is complete" in script("seg-train", *options).stdout
        fails(script("seg-train", *options, "fit.epochs=1", "extend=true"), 2, r"another configuration \(fit.epochs")

    def test_only_the_number_of_epochs_may_differ(self, data: Path, script: Script) -> None:
        options = [*train_options(data), "name=a"]
        assert script("seg-train", *options, "fit.epochs=1").returncode == 0
        fails(script("seg-train", *options, "extend=true", "optimizer.lr=3"), 2, "another configuration")
        other = (*options[:-1], "name=b", "extend=true")
        fails(script("seg-train", *other), 2, "extend: expected it with the name=... of a run that is there")


def test_validation_takes_whole_images_one_by_one(tmp_path: Path, data: Path, script: Script) -> None:
    """Whatever the batch of the training; more at once is a matter of speed, and may change."""
    options = [*train_options(data), "name=a", "fit.epochs=1"]
    assert script("seg-train", *options).returncode == 0
    assert "is complete" in script("seg-train", *options, "loader.val_batch=2").stdout
    fails(script("seg-train", *options, "loader.val_batch=0"), 2, "loader.val_batch: expected a whole number of at")


def test_sums_where_there_is_no_float64() -> None:
    """Apple's GPUs; none is here to try."""

    class OnMps:
        device = torch.device("mps")

        def double(self) -> None:
            raise TypeError

    value = OnMps()
    assert _wide(value) is value  # type: ignore[arg-type, comparison-overlap]
    assert _wide(torch.ones(())).dtype == torch.float64
