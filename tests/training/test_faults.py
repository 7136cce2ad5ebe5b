"""What goes wrong in trainings of other people, through the command line: said, refused, or gone on from.

python -m pytest tests/training/test_faults.py
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import LABELS, Script, Started, fails, scene, script_path, train_options, write_pairs

from seg.evaluation.tables import verdict
from seg.labels import Label, LabelMap
from seg.metrics.scores import majority_scores, scores_of
from seg.models import checkpoint


def masks_of(folder: Path) -> list[Path]:
    return sorted((folder / "masks").glob("*.png"))


def repaint(folder: Path, change: dict[int, int]) -> None:
    for path in masks_of(folder):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        table = np.arange(256, dtype=np.uint8)
        for before, after in change.items():
            table[before] = after
        cv2.imwrite(str(path), table[mask])


class TestScoresThatCannotBeTrue:
    def test_masks_of_0_and_255_with_two_classes(self, tmp_path: Path, data: Path, script: Script) -> None:
        two = LabelMap([Label("background", ((0, 0, 0),)), Label("thing", ((255, 255, 255),))])
        for part in ("train", "val"):
            repaint(data / part, {1: 0, 2: 255})
            two.save(data / part / "masks" / "labels.yaml")
        fails(
            script("seg-train", *train_options(data)),
            2,
            "expected pixels of two classes or more in the training masks, got 'background' alone of background, thing"
            "; [0-9,]+ pixels are 255, which is ignored: .* gives it the value 255",
        )
        assert not (tmp_path / "runs").exists()

    def test_a_class_without_pixels_is_said_before_and_beside_the_score(
        self, tmp_path: Path, data: Path, script: Script
    ) -> None:
        repaint(data / "val", {2: 1})
        result = script("seg-train", *train_options(data), "fit.epochs=1", name="a")
        assert result.returncode == 0, result.stderr
        warning = "warning: no validation pixel is 'car': its IoU is 0 in the mean over classes as soon as one pixel is"
        assert warning in result.stderr
        request = {"images": data / "val/images", "masks": data / "val/masks", "destination": "out"}
        result = script("seg-evaluate", checkpoint="runs/a/best.pt", **request)
        assert result.returncode == 0, result.stderr
        assert warning.replace("validation", "evaluation") in result.stderr
        repaint(data / "train", {2: 255})
        result = script("seg-train", *train_options(data), "fit.epochs=1", name="b")
        assert result.returncode == 0, result.stderr
        assert "warning: no training pixel is 'car'" in result.stderr

    def test_the_mean_says_how_many_classes(self) -> None:
        """Where one is neither there nor predicted."""
        counts = torch.tensor([[3, 4, 4], [2, 2, 3], [0, 0, 0]])
        text = verdict(scores_of(counts), majority_scores(counts), "road")
        assert text.startswith("mIoU 63.3 % (mean over 2 of 3 classes), pixel accuracy 71.4 %; majority-class baseline")
        assert "mean over" not in verdict(scores_of(counts[:2]), majority_scores(counts[:2]), "road")


@pytest.mark.slow
def test_data_that_change_between_start_and_end(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), "fit.epochs=1", "name=a"]
    assert script("seg-train", *options).returncode == 0
    images, masks = data / "train/images", data / "train/masks"
    shutil.copy(images / "s0.png", images / "s9.png")
    shutil.copy(masks / "s0.png", masks / "s9.png")
    message = "expected the 8 pairs that 'runs/a' was begun with, got 1 new, such as 's9' of train; bring them back, or"
    fails(script("seg-train", *options), 2, message)  # it is complete, but not of these data
    (tmp_path / "runs/a/done.json").unlink()
    fails(script("seg-train", *options), 2, message)  # and does not go on with others
    (images / "s9.png").unlink()
    (masks / "s9.png").unlink()
    assert script("seg-train", *options).returncode == 0
    shutil.rmtree(data)
    assert "is complete" in script("seg-train", *options).stdout  # nobody needs them any more


@pytest.mark.parametrize("asked", [None, ([0.1] * 3, [0.2] * 3)])
def test_normalization_that_is_asked_for_holds_beside_first_weights(
    tmp_path: Path, data: Path, script: Script, asked: tuple[list[float], list[float]] | None
) -> None:
    """Those of the weights counted instead, without a word; without any, they do."""
    options = [*train_options(data), "fit.epochs=1", "logger=none"]
    theirs = [[0.3, 0.4, 0.5], [0.25, 0.25, 0.25]]
    first = [f"normalization.{key}={values}" for key, values in zip(("mean", "std"), theirs, strict=True)]
    assert script("seg-train", *options, *first, "name=first").returncode == 0
    mine = [f"normalization.{key}={values}" for key, values in zip(("mean", "std"), asked or (), strict=False)]
    result = script("seg-train", *options, *mine, "init=runs/first/best.pt", "name=second")
    assert result.returncode == 0, result.stderr
    kept = checkpoint.load(tmp_path / "runs/second/last.pt")["normalization"]
    assert [list(kept["mean"]), list(kept["std"])] == (theirs if asked is None else list(asked))
    assert ("normalization= holds, which is not that of these weights" in result.stderr) == (asked is not None)


@pytest.mark.slow
def test_fine_tuning_takes_the_head_by_class_name(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), "optimizer.lr=1e-12", "fit.epochs=1"]
    assert script("seg-train", *options, name="first").returncode == 0
    order = [LABELS.labels[i] for i in (2, 0, 1, 3)]  # car, sky, road
    for part in ("train", "val"):
        repaint(data / part, {0: 1, 1: 2, 2: 0})
        LabelMap(order).save(data / part / "masks" / "labels.yaml")
    result = script("seg-train", *options, name="second", init="runs/first/best.pt")
    assert result.returncode == 0, result.stderr
    assert "the classes differ; the head starts with the rows of 3 of 3 classes, by name" in result.stdout
    first, second = (checkpoint.load(tmp_path / f"runs/{name}/best.pt")["model"] for name in ("first", "second"))
    for key in ("segmentation_head.0.weight", "segmentation_head.0.bias"):
        torch.testing.assert_close(second[key], first[key][[2, 0, 1]], atol=1e-6, rtol=0)
    other = LabelMap([Label("x", ((9, 9, 9),)), *order[1:]])
    for part in ("train", "val"):
        other.save(data / part / "masks" / "labels.yaml")
    result = script("seg-train", *options, name="third", init="runs/first/best.pt")
    assert "the rows of 2 of 3 classes, by name; from scratch: x" in result.stdout
    third = checkpoint.load(tmp_path / "runs/third/best.pt")["model"]["segmentation_head.0.weight"]
    torch.testing.assert_close(third[1:], first["segmentation_head.0.weight"][:2], atol=1e-6, rtol=0)
    assert not torch.allclose(third[0], first["segmentation_head.0.weight"][2])


def test_fewer_processes_than_devices(data: Path, start: Callable[..., Started]) -> None:
    """One task of Slurm for two devices trained on one, without a word."""
    slurm = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "job", "SLURM_JOB_ID": "1", "SLURM_PROCID": "0",
             "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost", "SLURM_NNODES": "1"}  # fmt: skip
    words = [*train_options(data), "device.accelerator=cpu", "device.devices=2"]
    result = start("seg-train", *words, environment=slurm).wait()
    fails(result, 2, "device.devices: expected 2 processes, got 1, as the environment says; start one task for each")


def test_more_processes_than_validation_images(tmp_path: Path, data: Path, script: Script) -> None:
    """Those without an image waited for ever."""
    for path in [*masks_of(data / "val"), *(data / "val/images").iterdir()]:
        if path.stem != "s100":
            path.unlink()
    options = [*train_options(data), "device.accelerator=cpu", "device.devices=2", "loader.batch=4"]
    result = script("seg-train", *options, name="two")
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "runs/two/per_image.csv").read_text().splitlines()) == 1 + 3


def test_torchrun_says_how_many_processes_there_are(tmp_path: Path, data: Path, start: Callable[..., Started]) -> None:
    """By the variables that it sets."""
    words = [*train_options(data), "device.accelerator=cpu", "loader.batch=4"]
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29714"}
    torchrun |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1"}
    ranks = [torchrun | {"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
    for more, code in ((["name=a"], 0), (["name=b", "device.devices=3"], 2)):
        started = [start("seg-train", *words, *more, environment=rank) for rank in ranks]
        first, second = (process.wait() for process in started)
        assert (first.returncode, second.returncode) == (code, code), first.stderr + second.stderr
    assert "expected 2, as many as torchrun has started, got 3; leave it out" in first.stderr
    lines = (tmp_path / "runs/a/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]


@pytest.mark.slow  # the same with the real one, which starts two interpreters
def test_torchrun_itself(tmp_path: Path, data: Path) -> None:
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-port=29713",
        "--no-python",
    ]
    words = [*torchrun, str(script_path("seg-train")), *train_options(data), "device.accelerator=cpu", "loader.batch=4"]
    for more, code in ((["name=a"], 0), (["name=b", "device.devices=3"], 1)):
        result = subprocess.run([*words, *more], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
        assert result.returncode == code, result.stderr
    assert "expected 2, as many as torchrun has started, got 3; leave it out" in result.stderr
    lines = (tmp_path / "runs/a/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]


class TestFirstErrors:
    def test_training_images_of_several_sizes(self, tmp_path: Path, data: Path, script: Script) -> None:
        image, mask = scene(7, 96, 128)
        cv2.imwrite(str(data / "train/images/s7.png"), image[..., ::-1])
        cv2.imwrite(str(data / "train/masks/s7.png"), mask)
        fails(
            script("seg-train", *train_options(data), name="a"),
            2,
            "expected training images of one size in a batch, got 64x96 and 96x128; give augment.crop.size=",
        )
        result = script("seg-train", *train_options(data), "augment.crop.size=[64,64]", name="a")
        assert result.returncode == 0, result.stderr  # the folder of a run that never began blocks nothing

    def test_a_batch_of_one_under_batch_normalisation(self, data: Path, script: Script) -> None:
        options = [o for o in train_options(data, model=()) if not o.startswith("loader.batch")]
        result = script("seg-train", *options, "model=deeplabv3plus", "model.encoder_name=resnet18", "loader.batch=1")
        fails(result, 2, "loader.batch: expected at least two images a process, .* got 1; raise loader.batch")

    def test_an_encoder_of_one_size(self, tmp_path: Path, data: Path, script: Script) -> None:
        options = train_options(data, model=())
        vit = ["model=unet", "model.architecture=dpt", "model.encoder_name=tu-vit_tiny_patch16_224"]
        fails(
            script("seg-train", *options, *vit, name="a"),
            2,
            r"model: expected one that takes training images of 64x96, got a refusal .*224.*\+model.img_size=",
        )
        assert not (tmp_path / "runs/a/last.pt").exists()


def test_two_trainings_in_one_folder(tmp_path: Path, data: Path, script: Script, start: Callable[..., Started]) -> None:
    options = [*train_options(data), "fit.epochs=500", "name=a"]
    first = start("seg-train", *options)
    first.until((tmp_path / "runs/a/metrics.jsonl").exists)
    fails(
        script("seg-train", *options),
        2,
        rf"runs: expected a folder that no other process trains in, got 'runs/a', which process {first.pid} on .*",
    )
    first.send_signal(signal.SIGINT)
    assert first.wait().returncode == 130


class TestDamagedRunFolders:
    @pytest.fixture
    def options(self, tmp_path: Path, data: Path, script: Script) -> list[str]:
        """Of a run in runs/a whose last epoch is still to come."""
        options = [*train_options(data), "fit.epochs=2", "name=a"]
        assert script("seg-train", *options).returncode == 0
        (tmp_path / "runs/a/done.json").unlink()
        return options

    def test_lost_lines(self, tmp_path: Path, options: list[str], script: Script) -> None:
        (tmp_path / "runs/a/metrics.jsonl").unlink()
        result = script("seg-train", *options)
        assert result.returncode == 0, result.stderr
        assert "metrics.jsonl' lacks 2 of the 2 epochs that are done, such as epoch 1; the curves" in result.stderr
        assert (tmp_path / "runs/a/done.json").exists()

    @pytest.mark.slow
    def test_a_line_cut_in_the_middle(self, tmp_path: Path, options: list[str], script: Script) -> None:
        path = tmp_path / "runs/a/metrics.jsonl"
        whole = path.read_text()
        path.write_text(whole[:-30])
        result = script("seg-train", *options)
        assert result.returncode == 0, result.stderr
        assert "lacks 1 of the 2 epochs that are done, such as epoch 2" in result.stderr
        (tmp_path / "runs/a/done.json").unlink()
        path.write_text(whole[:-30] + "\n")
        fails(script("seg-train", *options), 2, "expected an epoch's numbers in '.*metrics.jsonl', line 2, got")

    @pytest.mark.parametrize("text", ["", "just words", "a: [", "\x00"])
    def test_a_configuration_that_is_none(self, tmp_path: Path, options: list[str], script: Script, text: str) -> None:
        (tmp_path / "runs/a/config.yaml").write_text(text)
        fails(script("seg-train", *options), 2, "expected a configuration in '.*config.yaml', .*; remove the folder")

    @pytest.mark.slow
    def test_half_a_checkpoint(self, tmp_path: Path, options: list[str], script: Script) -> None:
        path = tmp_path / "runs/a/last.pt"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        (tmp_path / "runs/a/previous.pt").write_bytes(path.read_bytes())
        fails(
            script("seg-train", *options),
            2,
            "expected the state of this run in 'runs/a/last.pt', .*; remove it to train anew, .*init=runs/a/best.pt",
        )
        path.unlink()
        assert script("seg-train", *options).returncode == 0
        shutil.copy(tmp_path / "runs/a/best.pt", path)  # lacks the optimizer
        (tmp_path / "runs/a/done.json").unlink()
        fails(script("seg-train", *options), 2, "expected the state of this run in 'runs/a/last.pt', got another one")


def test_a_training_of_a_folder_called_by_a_number(tmp_path: Path, script: Script) -> None:
    write_pairs(tmp_path / "data" / "train", 4)
    write_pairs(tmp_path / "data" / "val", 2, first=100)
    result = script("seg-train", *train_options(tmp_path / "data"), "fit.epochs=1", name="20240105")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs/20240105/done.json").exists()


def test_runs_do_not_lie_among_the_images(tmp_path: Path, data: Path, script: Script) -> None:
    """Their pictures would be images the next time."""
    result = script("seg-train", *train_options(data), runs=data / "train/images/runs")
    fails(result, 2, "runs: expected a folder outside '.*train/images', got '.*train/images/runs/")
    assert not (data / "train/images/runs").exists()


def test_two_signals_end_a_process(tmp_path: Path, data: Path, start: Callable[..., Started]) -> None:
    """Even where the first one cannot be followed, because a step never ends."""
    (tmp_path / "slow.py").write_text(
        "import time\nfrom seg.losses import CrossEntropy\n\n\n"
        "class Slow(CrossEntropy):\n"
        "    def forward(self, logits, target):\n"
        "        print('waiting', flush=True)\n"
        "        time.sleep(600)\n"
    )
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "slow.yaml").write_text("_target_: slow.Slow\n")
    process = start("seg-train", *train_options(data), "loss=slow", "--config-dir", "conf")
    process.until(lambda: "waiting" in process.stdout)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert process.poll() is None  # it is asked to finish its step
    process.send_signal(signal.SIGTERM)
    assert process.wait().returncode == -signal.SIGTERM
