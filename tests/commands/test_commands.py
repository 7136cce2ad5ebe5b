"""The command lines as a user types them: results, exit codes, messages.

python -m pytest tests/commands/test_commands.py
"""

import json
import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import LABELS, Script, Started, fails, hear_hangups, scene, script_path, train_options, write_pairs

from seg.commands.cli import conf_dir
from seg.labels import LabelMap
from seg.models import checkpoint
from seg.report.pictures import colorize


def write_labels(folder: Path, count: int) -> None:
    """Colour label images, void as black."""
    folder.mkdir(parents=True)
    for seed in range(count):
        cv2.imwrite(str(folder / f"s{seed}.png"), colorize(scene(seed)[1], LABELS.palette)[..., ::-1])


def test_from_colours_to_predictions(tmp_path: Path, data: Path, script: Script) -> None:
    """The spine: preprocess, train, evaluate, predict."""
    write_labels(tmp_path / "labels", 6)
    LABELS.save(tmp_path / "map.yaml")
    result = script("seg-preprocess", source="labels", destination="masks", labels="map.yaml", json="true")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["converted"] == 6
    for seed in range(6):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / f"masks/s{seed}.png"), -1), scene(seed)[1])

    options = [o for o in train_options(data) if not o.startswith("data.train.masks")]
    options.append("device.precision=32-true")  # that of evaluation, whose scores are to be equal
    result = script("seg-train", *options, "data.train.masks=masks", "fit.epochs=6", name="spine", seed=3)
    assert result.returncode == 0, result.stderr
    assert "majority-class baseline ('road')" in result.stdout
    run = tmp_path / "runs" / "spine"
    for file in (
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "per_image.csv",
        "per_image_metrics.csv",
        "best.pt",
        "done.json",
        "curves.png",
        "README.md",
    ):
        assert (run / file).stat().st_size > 0, file
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 6
    assert any(path.name.startswith("events.out.tfevents") for path in run.iterdir())
    assert cv2.imread(str(run / "pictures" / "s100.png")) is not None
    done = json.loads((run / "done.json").read_text())
    assert done["last"]["miou"] > 2 * done["majority"]["miou"]
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    for key in ("miou_i", "miou_c", "accuracy", "boundary_f1", "boundary_iou", "ece"):
        assert 0 < last[f"val_{key}"] == done["last"][key] <= 1, key
    card = (run / "README.md").read_text()
    assert f"| mIoU | {100 * done['best']['score']:.1f} % | {100 * done['last']['miou']:.1f} % | " in card
    assert "| train | 6 | " in card

    again = script("seg-train", *options, "data.train.masks=masks", "fit.epochs=6", name="spine", seed=3)
    assert again.returncode == 0
    assert "is complete" in again.stdout

    best = run / "best.pt"
    result = script(
        "seg-evaluate",
        checkpoint=best,
        images=data / "val/images",
        masks=data / "val/masks",
        destination="evaluation",
        json="true",
    )
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout)
    assert scores["miou"] == pytest.approx(done["best_miou"], abs=1e-9)
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        if line["val_miou"] == done["best_miou"]:
            for key in ("miou_i", "miou_c", "boundary_iou", "boundary_f1", "ece"):
                assert scores[key] == pytest.approx(line[f"val_{key}"], abs=1e-6), key
    rows = (tmp_path / "evaluation/per_image.csv").read_text().splitlines()
    assert rows[0] == "image,class,intersection,prediction,target"
    assert len(rows) == 1 + 2 * 3
    assert len(list((tmp_path / "evaluation/pictures").iterdir())) == 2
    confusion = np.loadtxt(tmp_path / "evaluation/confusion.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3))
    expected = sum((scene(seed)[1] != 255).sum() for seed in (100, 101))
    assert confusion.sum() == expected

    result = script("seg-predict", checkpoint=best, images=data / "val/images", destination="predicted")
    assert result.returncode == 0, result.stderr
    predicted = np.stack([cv2.imread(str(tmp_path / f"predicted/s{seed}.png"), -1) for seed in (100, 101)])
    target = np.stack([scene(seed)[1] for seed in (100, 101)])
    agree = (predicted == target)[target != 255].mean()
    assert agree == pytest.approx(scores["accuracy"], abs=1e-6)
    assert LabelMap.load(tmp_path / "predicted/labels.yaml") == LabelMap.load(tmp_path / "masks/labels.yaml")
    assert (tmp_path / "predicted/overlays/s100.png").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["data", "labels", "map.yaml", "masks", "runs", "evaluation", "predicted"]
    ), "a command left something behind"


@pytest.mark.parametrize("loading", ["json", "hydra"])
@pytest.mark.parametrize("name", ["seg-train", "seg-preprocess", "seg-compare"])
def test_interrupted_while_modules_load(name: str, loading: str, tmp_path: Path) -> None:
    """A module of that name interrupts, as somebody would at that moment."""
    (tmp_path / f"{loading}.py").write_text(
        "import os, signal, sys\nif 'seg.commands' in sys.modules: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    ended = subprocess.run(
        [str(script_path(name)), "a=b"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        preexec_fn=hear_hangups,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_goes_on_to_the_same_result(
    number: signal.Signals, tmp_path: Path, data: Path, script: Script, start: Callable[..., Started]
) -> None:
    options = [*train_options(data), "fit.epochs=5", "loader.workers=1"]
    assert script("seg-train", *options, name="whole").returncode == 0
    process = start("seg-train", *options, "name=cut")
    lines = tmp_path / "runs/cut/metrics.jsonl"
    process.until(lambda: lines.exists() and len(lines.read_text().splitlines()) >= 2)
    process.send_signal(number, to_all=True)  # as a terminal does: the loading workers get it too
    ended = process.wait()
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "the same command goes on" in ended.stderr
    assert checkpoint.load(tmp_path / "runs/cut/last.pt")["position"]["epoch"] in (2, 3, 4)
    result = script("seg-train", *options, name="cut")
    assert result.returncode == 0, result.stderr
    assert "resuming" in result.stdout
    whole, cut = (checkpoint.load(tmp_path / f"runs/{name}/last.pt") for name in ("whole", "cut"))
    for key, tensor in whole["model"].items():
        assert torch.equal(cut["model"][key], tensor), key
    assert (tmp_path / "runs/whole/per_image.csv").read_text() == (tmp_path / "runs/cut/per_image.csv").read_text()
    epochs = [json.loads(line)["epoch"] for line in lines.read_text().splitlines()]
    assert epochs == list(range(5))


@pytest.mark.slow
def test_fine_tuning_and_splitting(tmp_path: Path, data: Path, script: Script) -> None:
    write_pairs(tmp_path / "named", 6, mask_name="{}_L.png")
    options = ["model=unet_small", "loader.batch=2", "loader.workers=0", "fit.epochs=1", "pictures=0", "logger=none"]
    result = script(
        "seg-train",
        *options,
        "data.train.images=named/images",
        "data.train.masks=named/masks",
        "data.template={}_L.png",
        "data.val_share=0.34",
        name="first",
    )
    assert result.returncode == 0, result.stderr
    assert "4 training and 2 validation pairs" in result.stdout
    (tmp_path / "val.txt").write_text("s1\ns2\n")
    (tmp_path / "train.txt").write_text("s0\ns3\n")
    result = script(
        "seg-train",
        *options,
        *(o for o in train_options(data) if o.startswith("data.train")),
        "data.train.list=train.txt",
        "data.val.list=val.txt",
        "init=runs/first/best.pt",
        "seed=4",
    )
    assert result.returncode == 0, result.stderr
    assert "init: weights of runs/first/best.pt" in result.stdout
    (made,) = (p.name for p in (tmp_path / "runs").iterdir() if p.name != "first")
    assert re.fullmatch(r"unet_small-cross_entropy-seed4-[0-9a-f]{6}", made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["sed=3"], "unknown key 'sed'; did you mean 'seed'"),
        (["augment=cutout", "augment.cutout.labels=1"], "'augment.cutout.labels'; did you mean 'augment.cutout.label'"),
        (["loss=dyce"], "Could not find 'loss/dyce' Available options in 'loss': .*cross_entropy"),
        (
            ["+loss.smoth=2"],
            "CrossEntropy: expected arguments among label_smoothing, reduction, got smoth; correct the name",
        ),
        (["fit.epochs=0"], "fit.epochs: expected a whole number of at least 1, got 0"),
        (["fit.epochs=abc"], "fit.epochs: expected a whole number of at least 1, got 'abc'"),
        (["loader.batch=many"], "loader.batch: expected a whole number of at least 1, got 'many'"),
        (["data.train.images=nowhere"], "expected an existing folder, got 'nowhere'; check the path"),
        (["data.train.images=."], "expected files like .* got none in '.'|expected mask files like"),
        (["labels=nowhere.csv"], "labels: expected a file or a built-in name, got 'nowhere.csv'"),
        (["init=nowhere.pt"], "checkpoint: expected a file, got 'nowhere.pt'"),
        (
            ["device.accelerator=cuda", "device.devices=64"],
            "device: expected what this machine has, got accelerator=cuda devices=64",
        ),
        (["runs=blocker/x"], "runs: expected a folder that can be made .*, got 'blocker/x/.*' .*; give another"),
        (["model.encoder_name=resnet19"], "expected an encoder of smp, got 'resnet19'; did you mean"),
        (["augment.crop.size=[100,100]"], r"size: expected \[HEIGHT,WIDTH\] in multiples of 32"),
    ],
    ids=lambda value: value[0].split("=")[0] if isinstance(value, list) else "",
)
def test_wrong_requests_to_train(change: list[str], message: str, tmp_path: Path, data: Path, script: Script) -> None:
    (tmp_path / "blocker").touch()
    fails(script("seg-train", *train_options(data), *change), 2, message)


def test_a_checkpoint_that_lacks_the_model(tmp_path: Path, data: Path, script: Script) -> None:
    request = {"checkpoint": "a.pt", "images": data / "val/images", "destination": "out"}
    checkpoint.save(tmp_path / "a.pt", {"format": 2, "model": {}})
    fails(
        script("seg-predict", **request), 2, "expected 'model_config' in 'a.pt', got format, model, .*; give one that"
    )
    checkpoint.save(tmp_path / "a.pt", {"state_dict": {}})
    fails(script("seg-predict", **request), 2, "expected one that seg-train wrote, .* got 'a.pt' with no format mark")


@pytest.mark.slow
def test_bad_data_is_named_before_training(tmp_path: Path, data: Path, script: Script) -> None:
    mask = data / "train/masks/s1.png"
    good = mask.read_bytes()
    cv2.imwrite(str(mask), np.full((64, 96), 3, np.uint8))
    fails(
        script("seg-train", *train_options(data)),
        2,
        "mask '.*s1.png': expected 0..2 for 3 classes, or 255, got 3; convert",
    )
    cv2.imwrite(str(mask), np.zeros((64, 90), np.uint8))
    fails(script("seg-train", *train_options(data)), 2, "expected 96x64 as its image '.*s1.png', got 90x64")
    mask.unlink()
    fails(
        script("seg-train", *train_options(data)),
        2,
        r"expected mask files .*, got none for 1 of 6, the first '.*s1.png'",
    )
    mask.write_bytes(good)
    LABELS.ignoring(["sky"]).save(data / "val/masks/labels.yaml")
    fails(
        script("seg-train", *train_options(data)),
        2,
        "classes of data.train.masks, sky, road, car, got masks in '.*val/masks' that were made with road, car",
    )
    (data / "train/masks/labels.yaml").unlink()
    fails(
        script("seg-train", *train_options(data)), 2, "expected a labels.yaml in '.*masks'.* got none; give labels=FILE"
    )
    for mask in (data / "train/masks").glob("*.png"):
        cv2.imwrite(str(mask), np.zeros((8, 8, 3), np.uint8))
    text = "expected a labels.yaml in '.*masks', .* got none, and label images such as .*; convert them first .seg-prep"
    fails(script("seg-train", *train_options(data)), 2, text)
    assert not (tmp_path / "runs").exists()


def test_another_configuration_under_the_same_name(tmp_path: Path, data: Path, script: Script) -> None:
    assert script("seg-train", *train_options(data), "fit.epochs=1", name="a").returncode == 0
    result = script("seg-train", *train_options(data), "fit.epochs=2", name="a")
    fails(result, 2, "fit.epochs: expected 1, which the run in 'runs/a' has, got 2; extend=true trains it on")
    assert script("seg-train", *train_options(data), "fit.epochs=1", "loader.workers=2", name="a").returncode == 0


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), "device.accelerator=cpu", "fit.epochs=1", "loader.batch=4", "loss=boundary"]
    result = script("seg-train", *options, "device.devices=2", name="two")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("epoch   1/1") == 1
    assert script("seg-train", *options, name="one").returncode == 0
    one, two = ((tmp_path / f"runs/{name}/per_image.csv").read_text().splitlines() for name in ("one", "two"))
    targets = [[line.split(",")[-1] for line in lines] for lines in (one, two)]
    assert targets[0] == targets[1]  # every validation image counted once
    lines = [json.loads((tmp_path / f"runs/{name}/metrics.jsonl").read_text()) for name in ("one", "two")]
    assert lines[0]["loss"] == pytest.approx(lines[1]["loss"], rel=0.2)  # batch norm sees half a batch each
    for line in lines:  # one step at the start of the ramp: terms and their sum are of all images alike
        expected = 0.99 * line["terms"]["region"] + 0.01 * line["terms"]["boundary"]
        assert line["loss"] == pytest.approx(expected, rel=1e-5)


def test_two_processes_go_on_where_they_were(tmp_path: Path, data: Path, script: Script) -> None:
    """Noise and data of every process are those of a run that was never interrupted."""
    options = [
        *train_options(data)[:-1],
        "device.accelerator=cpu",
        "device.devices=2",
        "regularizer=all",
        "fit.epochs=3",
    ]
    whole = script("seg-train", *options, name="whole")
    assert whole.returncode == 0, whole.stderr
    words = [str(script_path("seg-train")), *options, "name=cut"]
    lines = tmp_path / "runs/cut/metrics.jsonl"
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as first:
        while first.poll() is None and not (lines.exists() and lines.read_text().count("\n")):
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)  # at the end of the first epoch, or in the second one
        assert first.wait() == -signal.SIGKILL, first.communicate()[1]
    second = script("seg-train", *options, name="cut")
    assert second.returncode == 0, second.stderr
    weights = [checkpoint.load(tmp_path / f"runs/{name}/last.pt")["model"] for name in ("whole", "cut")]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


@pytest.mark.slow
def test_a_sweep_over_seeds(tmp_path: Path, data: Path, script: Script) -> None:
    options = [o for o in train_options(data) if not o.startswith("fit")]
    result = script("seg-train", "-m", *options, "fit.epochs=1", "seed=1,2")
    assert result.returncode == 0, result.stderr
    assert sum((path / "done.json").exists() for path in (tmp_path / "runs").iterdir()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"data", "runs"}
    assert "last epoch, mean over seeds" in result.stdout
    # one job that fails does not keep the others from their end
    result = script("seg-train", "-m", *options, "fit.epochs=1", "seed=3,4", "loss.label_smoothing=2,0")
    assert result.returncode == 2
    assert "label_smoothing: expected a share from 0 to 1, got 2" in result.stderr
    assert sum((path / "done.json").exists() for path in (tmp_path / "runs").iterdir()) == 4


def test_a_run_that_never_began_can_be_corrected(tmp_path: Path, data: Path, script: Script) -> None:
    options = [*train_options(data), "fit.epochs=1", "name=a"]
    fails(script("seg-train", *options, "optimizer.lr=-1"), 2, "Invalid learning rate: -1")
    assert script("seg-train", *options).returncode == 0


def test_a_sweep_over_losses(tmp_path: Path, data: Path, script: Script) -> None:
    options = [o for o in train_options(data) if not o.startswith("fit")]
    arguments = [*options, "fit.epochs=1", "sweep=losses", "seeds=2", "hydra.sweeper.params.loss='dice,cross_entropy'"]
    result = script("seg-train", *arguments)
    assert result.returncode == 0, result.stderr
    assert sum((path / "done.json").exists() for path in (tmp_path / "runs").iterdir()) == 4
    table = result.stdout.split("mean over seeds")[1]
    assert "dice" in table
    assert "cross_entropy" in table
    again = script("seg-train", *arguments)
    assert again.stdout.count("is complete") == 4
    assert again.stdout.split("mean over seeds")[1] == table


def test_every_loss_trains(tmp_path: Path, data: Path, script: Script) -> None:
    """All of conf/loss by name, in one process."""
    options = [o for o in train_options(data) if not o.startswith(("fit", "pictures"))]
    result = script("seg-train", *options, "fit.epochs=1", "pictures=0", "logger=none", "sweep=losses", "seeds=1")
    assert result.returncode == 0, result.stderr
    names = {path.stem for path in (conf_dir() / "loss").glob("*.yaml")}
    runs = [path.parent for path in (tmp_path / "runs").glob("*/done.json")]
    assert len(runs) == len(names)
    for run in runs:
        line = json.loads((run / "metrics.jsonl").read_text())
        for value in (line["loss"], line["val_loss"], *line.get("terms", {}).values()):
            assert math.isfinite(value), run.name


def test_missing_values_are_listed(script: Script) -> None:
    fails(script("seg-train"), 2, "missing on the command line: data.train.images=... data.train.masks=...")
    fails(script("seg-preprocess", source="a"), 2, "missing on the command line: destination=... labels=...")
    fails(script("seg-evaluate"), 2, "missing on the command line: checkpoint=... destination=... images=... masks=...")


def test_preprocess_exit_codes(tmp_path: Path, script: Script) -> None:
    write_labels(tmp_path / "labels", 3)
    LABELS.save(tmp_path / "map.yaml")
    arguments = {"source": "labels", "destination": "masks", "labels": "map.yaml"}
    fails(script("seg-preprocess", **{**arguments, "source": "nowhere"}), 2, "nowhere")
    fails(script("seg-preprocess", **arguments, unknown="guess"), 2, "unknown")
    fails(script("seg-preprocess", **arguments, shard="4/3"), 2, "shard: expected I/N with 1 <= I <= N.*got '4/3'")
    fails(
        script("seg-preprocess", **arguments, ignore="[Viod]"),
        2,
        "ignore: expected a class of the map .*, got 'Viod'; choose",
    )
    fails(
        script("seg-preprocess", **arguments, maxdistance=3),
        2,
        "unknown key 'maxdistance'; did you mean 'max_distance'",
    )
    (tmp_path / "file").touch()
    fails(script("seg-preprocess", **{**arguments, "destination": "file/x"}), 2, "file/x")
    image = cv2.imread(str(tmp_path / "labels/s1.png"))
    image[5, 7] = (3, 2, 1)
    cv2.imwrite(str(tmp_path / "labels/s1.png"), image)
    result = script("seg-preprocess", **arguments)
    fails(result, 1, "1 of 3 files failed")
    assert re.search(r"s1.png: .*\(1, 2, 3\).*1 pixel.*x=7, y=5.*'void'", result.stderr), result.stderr
    assert sorted(p.name for p in (tmp_path / "masks").glob("*.png")) == ["s0.png", "s2.png"]
    assert script("seg-preprocess", **arguments, unknown="ignore").returncode == 0


def test_predict_names_bad_images_and_goes_on(tmp_path: Path, data: Path, script: Script) -> None:
    assert script("seg-train", *train_options(data), "fit.epochs=1", name="a").returncode == 0
    images = tmp_path / "mixed"
    images.mkdir()
    rgb = scene(0)[0]
    cv2.imwrite(str(images / "gray.png"), rgb[..., 0])
    cv2.imwrite(str(images / "rgba.png"), np.dstack([rgb, rgb[..., :1]]))
    cv2.imwrite(str(images / "wide.png"), rgb.astype(np.uint16) * 257)
    (images / "broken.jpg").write_bytes(b"no image")
    result = script("seg-predict", checkpoint="runs/a/best.pt", images="mixed", destination="out")
    fails(result, 1, "1 of 4 images failed: image 'mixed/broken.jpg': expected one of .* got a file that cannot")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == ["gray.png", "rgba.png", "wide.png"]
    result = script("seg-predict", checkpoint="runs/a/best.pt", images="mixed", destination="mixed")
    fails(result, 2, "destination: expected a folder outside 'mixed', got 'mixed'")


def test_shards_without_files_say_so_and_merge(tmp_path: Path, script: Script) -> None:
    write_labels(tmp_path / "labels", 3)
    LABELS.save(tmp_path / "map.yaml")
    folders = {"source": "labels", "destination": "masks", "labels": "map.yaml"}
    said = []
    for part in range(1, 6):
        result = script("seg-preprocess", **folders, shard=f"{part}/5")
        assert result.returncode == 0, result.stderr
        said.append(f"shard {part}/5 has none of the files" in result.stdout)
    converted = [len((tmp_path / f"masks/manifest.{part}-of-5.jsonl").read_text().splitlines()) for part in range(1, 6)]
    assert said == [count == 0 for count in converted]
    assert True in said
    merged = json.loads(script("seg-preprocess", **folders, json="true").stdout)
    assert (merged["converted"], merged["skipped"], merged["failed"]) == (0, 3, 0)
    script("seg-preprocess", **{**folders, "destination": "whole"})
    for name in ("counts.csv", "class_weights.json"):
        assert (tmp_path / "masks" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_shards_by_a_launcher(tmp_path: Path, script: Script, launcher: str) -> None:
    """As scripts/preprocess_slurm.sh does it: an array of shards in processes of their own, then one that merges."""
    write_labels(tmp_path / "labels", 6)
    LABELS.save(tmp_path / "map.yaml")
    folders = {"source": "labels", "destination": "masks", "labels": "map.yaml"}
    launched = [f"hydra/launcher={launcher}", "hydra.sweep.dir=masks/.launched", "shard=0/3,1/3,2/3"]
    result = script("seg-preprocess", "--multirun", *launched, **folders)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "masks").glob("manifest.*.jsonl")} == {
        f"manifest.{i}-of-3.jsonl" for i in (1, 2, 3)
    }
    merged = json.loads(script("seg-preprocess", **folders, json="true").stdout)
    assert (merged["converted"], merged["skipped"], merged["failed"]) == (0, 6, 0)
    (tmp_path / "labels" / "bad.png").write_text("text")
    result = script("seg-preprocess", "--multirun", *launched, **folders)
    assert result.returncode == 1
    assert "bad.png: " in result.stderr + "".join(p.read_text() for p in tmp_path.rglob("*_log.err"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", "map.yaml", "masks"]


def test_tiles_and_back(tmp_path: Path, script: Script) -> None:
    write_labels(tmp_path / "labels", 2)
    LABELS.save(tmp_path / "map.yaml")
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"s{seed}.png"), scene(seed)[0][..., ::-1])
    (tmp_path / "scenes").mkdir()
    for seed in range(2):
        (tmp_path / f"s{seed}.png").rename(tmp_path / "scenes" / f"s{seed}.png")
    folders = {"source": "labels", "destination": "masks", "labels": "map.yaml"}
    tiles = {"tile": 32, "overlap": 8, "images": "scenes", "images_destination": "tiles"}
    result = script("seg-preprocess", **folders, **tiles, json="true")
    assert result.returncode == 0, result.stderr
    masks = sorted(path.relative_to(tmp_path / "masks") for path in (tmp_path / "masks").rglob("*.png"))
    assert masks == sorted(path.relative_to(tmp_path / "tiles") for path in (tmp_path / "tiles").rglob("*.png"))
    assert len(masks) > 4
    fails(script("seg-preprocess", **folders), 2, "got 'masks' with masks made with size=None, tile=32, overlap=8")
    fails(script("seg-preprocess", **folders, tile=32, images="scenes"), 2, "got one of them; give both, or neither")
    fails(script("seg-preprocess", **folders, max_distance=3, inverse="true"), 2, "inverse=true without .*max_distance")
    fails(script("seg-preprocess", **folders, tile=32, inverse="true"), 2, "inverse=true without tile, .*; leave")
    other = {**folders, "destination": "other", "images": "scenes", "images_destination": "t"}
    fails(script("seg-preprocess", **other), 2, "expected tile or size with images, got neither")
    back = {"source": "masks", "destination": "colors", "labels": "masks/labels.yaml"}
    result = script("seg-preprocess", **back, inverse="true")
    assert f"{len(masks)} converted, 0 unchanged, 0 failed" in result.stdout
    mask, colors = (cv2.imread(str(tmp_path / folder / masks[0]), -1) for folder in ("masks", "colors"))
    np.testing.assert_array_equal(colors[..., ::-1], colorize(mask, LABELS.palette))


def test_tracebacks_on_request(start: Callable[..., Started]) -> None:
    words = ["checkpoint=x.pt", "images=i", "masks=m", "destination=d"]
    result = start("seg-evaluate", *words, environment={"HYDRA_FULL_ERROR": "1"}).wait()
    assert result.returncode == 2
    assert "Traceback" in result.stderr


def test_a_users_own_loss(tmp_path: Path, data: Path, script: Script) -> None:
    """One file and one YAML outside the package are enough."""
    (tmp_path / "my_losses.py").write_text(
        "from torch import nn\nfrom seg.losses import CrossEntropy\n\n\nclass Mine(nn.Module):\n"
        "    def __init__(self, *, factor=1.0):\n        super().__init__()\n        self.factor = factor\n"
        "        self.inner = CrossEntropy()\n\n"
        "    def forward(self, logits, target):\n        return self.factor * self.inner(logits, target)\n"
    )
    (tmp_path / "my_conf/loss").mkdir(parents=True)
    (tmp_path / "my_conf/loss/mine.yaml").write_text("_target_: my_losses.Mine\nfactor: 2.0\n")
    options = [*train_options(data), "fit.epochs=1", "--config-dir", "my_conf", "loss=mine", "loss.factor=3"]
    result = script("seg-train", *options, name="own")
    assert result.returncode == 0, result.stderr
    assert "factor: 3" in (tmp_path / "runs/own/config.yaml").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "labels: expected a file or a built-in name, got 'map.csv', which is a folder; give a CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "map.csv: expected UTF-8 text, .*, got a zero at byte 8.*; give a text file"),
        ("name,value\nBäume,0\n".encode("cp1252"), "map.csv: .*another encoding .*Windows-1252.*; save it as UTF-8"),
        ("name,value\nb,0\n".encode("utf-16-le"), "map.csv: .*got a zero at byte 1, .*UTF-16 without its mark; give"),
        ("name,value\nb,0\n".encode("utf-16")[:-1], "map.csv: .*UTF-16 that is damaged.*; save it as UTF-8"),
    ],
)
def test_a_label_map_that_cannot_be_read(
    tmp_path: Path, data: Path, script: Script, content: bytes | None, message: str
) -> None:
    path = tmp_path / "map.csv"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    masks, folders = data / "val/masks", {"destination": "out", "labels": "map.csv"}
    images = data / "val/images"
    fails(script("seg-preprocess", source=masks, **folders), 2, message)
    fails(script("seg-preprocess", source=masks, inverse="true", **folders), 2, message)
    fails(script("seg-audit", images=images, masks=masks, **folders), 2, message)
    fails(script("seg-evaluate", predictions=masks, masks=masks, **folders), 2, message)
    fails(script("seg-train", *train_options(data), labels="map.csv"), 2, message)
    path.rename(tmp_path / "labels.yaml")
    assert sorted(each.name for each in tmp_path.iterdir() if each.name != "data") == ["labels.yaml"]
