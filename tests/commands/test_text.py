"""Whatever a class or file is called, and whatever the terminal can write: the work ends as it should.

python -m pytest tests/commands/test_text.py
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Script, fails, hear_hangups, scene, script_path, train_options, write_pairs

from seg.labels import Label, LabelMap
from seg.report.pictures import colorize

NAMES = ("[/red]", "[bold]", ":car: Bäume")


def odd(folder: Path) -> LabelMap:
    """Label images, and a map whose names are markup, an emoji code and not ASCII."""
    colors = ((10, 20, 250), (120, 120, 120), (250, 10, 10))
    labels = LabelMap([Label(name, (color,)) for name, color in zip(NAMES, colors, strict=True)])
    (folder / "labels").mkdir(parents=True)
    for seed in range(2):
        mask = scene(seed)[1] % 255
        cv2.imwrite(str(folder / "labels" / f"s{seed}.png"), colorize(mask, labels.palette)[..., ::-1])
    labels.save(folder / "map.yaml")
    return labels


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "C"])
def test_odd_names_in_every_command(
    encoding: str, tmp_path: Path, script: Script, fresh_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = odd(tmp_path)
    for part in ("train", "val"):
        write_pairs(tmp_path / "data" / part, 2)
        labels.save(tmp_path / "data" / part / "masks" / "labels.yaml")
    if encoding == "C":
        for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
            monkeypatch.setenv(name, value)
    else:
        monkeypatch.setenv("PYTHONIOENCODING", encoding)

    def shows(command: str, *arguments: str) -> None:
        result = (fresh_script if encoding == "C" else script)(command, *arguments)
        assert result.returncode == 0, (result.stderr, result.stdout)
        tree = "B\\xe4ume" if encoding == "ascii" else "B"
        for name in ("[/red]", "[bold]", f":car: {tree}"):
            assert name in result.stdout, (command, result.stdout)

    shows("seg-preprocess", "source=labels", "destination=masks", "labels=map.yaml")
    shows("seg-train", *train_options(tmp_path / "data"), "fit.epochs=1", "name=a")
    folders = ["images=data/val/images", "masks=data/val/masks"]
    shows("seg-evaluate", "checkpoint=runs/a/best.pt", *folders, "destination=evaluation")


def test_findings_are_printed_as_they_are(tmp_path: Path, script: Script) -> None:
    write_pairs(tmp_path / "d", 2)
    LabelMap([Label(name, ((i, i, i),)) for i, name in enumerate(("[/red]", "[bold]", "x", "[/] :car:"))]).save(
        tmp_path / "d/masks/labels.yaml"
    )
    result = script("seg-audit", images="d/images", masks="d/masks", destination="'[dim]'")
    assert result.returncode in (0, 1)
    assert "[/]" in result.stdout
    assert ":car:" in result.stdout
    assert "written to [dim]" in result.stdout


def test_names_of_files_and_classes_steer_no_terminal(tmp_path: Path, script: Script) -> None:
    write_pairs(tmp_path / "d", 2)
    hostile = "\x1b[2Jbad\nerror: none"
    (tmp_path / "d/images/s0.png").rename(tmp_path / f"d/images/{hostile}.png")
    (tmp_path / "d/masks/s0.png").rename(tmp_path / f"d/masks/{hostile}.png")
    given = ["images=d/images", "masks=d/masks"]
    audit = script("seg-audit", *given, "destination=out")
    judged = script("seg-evaluate", "predictions=d/masks", "masks=d/masks", "destination=judged")
    (tmp_path / f"d/masks/{hostile}.png").write_bytes(b"none")
    refused = script("seg-evaluate", "predictions=d/masks", "masks=d/masks", "destination=judged")
    assert refused.returncode == 2
    for result in (audit, judged, refused):
        assert "\x1b" not in result.stdout + result.stderr
        assert not re.search("^error: none", result.stdout + result.stderr, re.MULTILINE)
    assert "\\x1b[2Jbad" in judged.stdout
    assert "\\x1b[2Jbad" in refused.stderr


def test_an_error_about_a_file_that_ascii_cannot_name(
    tmp_path: Path, fresh_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd(tmp_path)
    (tmp_path / "labels" / "Bäume [b].png").write_bytes(b"no image")
    (tmp_path / "labels" / os.fsdecode(b"\xff.png")).write_bytes(b"no image")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = fresh_script("seg-preprocess", source="labels", destination="masks", labels="map.yaml")
    fails(result, 1, "2 of 4 files failed")
    assert "B\\xe4ume [b].png: expected" in result.stderr
    assert "2 converted, 0 unchanged, 2 failed" in result.stdout


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "classes: *i\n",
        "x: &x {name: a, color: [1, 2, 3]}\n"
        + "".join(f"y{i}: &y{i} {{<<: [{', '.join(['*x' if i == 0 else f'*y{i - 1}'] * 20)}]}}\n" for i in range(9))
        + "classes: [*y8]\n",
        "classes: &a [*a, *a]\n",
        "classes: " + "[" * 20000 + "]" * 20000 + "\n",
        "classes:\n" + "  - {name: a, color: [1, 2, 3]}\n" * 50_000,
    ],
    ids=["aliases", "merges", "itself", "depth", "size"],
)
def test_a_label_map_that_would_fill_the_memory(text: str, tmp_path: Path, script: Script) -> None:
    odd(tmp_path)
    (tmp_path / "bomb.yaml").write_text(text)
    start = time.monotonic()
    result = script("seg-preprocess", source="labels", destination="masks", labels="bomb.yaml")
    fails(result, 2, r"bomb.yaml: expected .* (entries|nested|MiB|itself)")
    assert time.monotonic() - start < 20
    assert len(result.stderr) < 1000


def test_anchors_in_a_label_map_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("classes:\n  - {name: a, color: &c [1, 2, 3], values: [1]}\n  - {name: b, color: [4, 5, 6]}\n")
    assert LabelMap.load(path).names == ("a", "b")


def test_names_that_yaml_takes_for_something_else(tmp_path: Path, script: Script) -> None:
    odd(tmp_path)
    (tmp_path / "map.yaml").write_text(
        "classes:\n- {name: no, color: [10, 20, 250]}\n- {name: 010, color: [120, 120, 120]}\n"
        "- {name: null, color: [250, 10, 10]}\n- name: 2024-01-05\n  values: [7]\n- {name: 5, values: [8]}\n"
    )
    result = script("seg-preprocess", source="labels", destination="m", labels="map.yaml", json="true", ignore="[5]")
    assert result.returncode == 0, result.stderr
    assert list(json.loads(result.stdout)["pixels"]) == ["no", "010", "null", "2024-01-05"]
    assert LabelMap.load(tmp_path / "m/labels.yaml").names == ("no", "010", "null", "2024-01-05")


@pytest.mark.parametrize("way", ["masks", "tiles", "images", "inverse", "predict"])
def test_a_link_into_what_is_read(way: str, tmp_path: Path, script: Script, data: Path) -> None:
    """A link in the destination, however deep, must not let an input be replaced."""
    odd(tmp_path)
    (tmp_path / "labels" / "sub").mkdir()
    for path in list((tmp_path / "labels").glob("*.png")):
        (tmp_path / "labels" / "sub" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "scenes" / "sub").mkdir(parents=True)
    for path in (tmp_path / "labels").rglob("*.png"):
        other = tmp_path / "scenes" / path.relative_to(tmp_path / "labels")
        other.write_bytes(path.read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    read = "scenes" if way == "images" else "labels"
    (tmp_path / "out").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / read / "sub", target_is_directory=True)
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "way", target_is_directory=True)  # a link to a link
    common = {"source": "labels", "labels": "map.yaml", "destination": "out"}
    tiles = {"tile": 32, "images": "scenes", "images_destination": "tiles"}
    if way == "tiles":
        result = script("seg-preprocess", **common, **tiles)
    elif way == "images":
        result = script("seg-preprocess", **{**common, "destination": "masks", **tiles, "images_destination": "out"})
    elif way == "inverse":
        result = script("seg-preprocess", **common, inverse="true")
    elif way == "predict":
        assert script("seg-train", *train_options(data), "fit.epochs=1", name="a").returncode == 0
        result = script("seg-predict", checkpoint="runs/a/best.pt", images="labels", destination="out")
    else:
        result = script("seg-preprocess", **common)
    fails(result, 2, "destination: expected folders apart from (source|images), got 'out/sub', a link into '.*sub'")
    assert {path: path.read_bytes() for path in before} == before


def test_tiles_and_masks_in_one_folder(tmp_path: Path, script: Script) -> None:
    odd(tmp_path)
    folders = {"source": "labels", "labels": "map.yaml", "destination": "out"}
    for there, message in (("out", "another folder than destination"), ("labels/x", "a folder outside source")):
        images = {"tile": 32, "images": "data", "images_destination": there}
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "s0.png").write_bytes((tmp_path / "labels" / "s0.png").read_bytes())
        fails(script("seg-preprocess", **folders, **images), 2, f"images_destination: expected {message}")


def test_temporary_files_of_the_dead(tmp_path: Path, script: Script) -> None:
    """Those of this host's dead processes and old ones of others go, in every folder that is written to."""
    from seg import _preproc

    odd(tmp_path)
    (tmp_path / "scenes").mkdir()
    for path in (tmp_path / "labels").glob("*.png"):
        (tmp_path / "scenes" / path.name).write_bytes(path.read_bytes())
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    here = _preproc.temporary_prefix
    gone = [f"{here}{dead.pid}-0.tmp", f"{here}{dead.pid}-12+.tmp"]
    old = [".seg-00000000-1-0.tmp", f".{'a' * 16}.{dead.pid}.tmp"]
    kept = [f"{here}{os.getpid()}-0.tmp", f"{here}{os.getpid()}-1+.tmp", ".seg-00000000-1-1.tmp", ".other.tmp"]
    folders = [tmp_path / "masks", tmp_path / "masks/s0", tmp_path / "tiles/deep/er"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*gone, *old, *kept):
            (folder / name).touch()
        for name in old:
            os.utime(folder / name, (0, 0))
    options = {"tile": 32, "images": "scenes", "images_destination": "tiles"}
    result = script("seg-preprocess", source="labels", destination="masks", labels="map.yaml", **options)
    assert result.returncode == 0, result.stderr
    for folder in folders:
        assert sorted(path.name for path in folder.glob(".*.tmp")) == sorted(kept)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_conversion_that_is_ended(number: signal.Signals, tmp_path: Path, script: Script) -> None:
    labels = odd(tmp_path)
    rng = np.random.default_rng(0)
    big = colorize(rng.integers(0, 3, (1500, 1500)).astype(np.uint8), labels.palette)[..., ::-1]
    cv2.imwrite(str(tmp_path / "labels" / "s0.png"), big, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    for index in range(10, 130):
        os.link(tmp_path / "labels" / "s0.png", tmp_path / "labels" / f"s{index}.png")
    words = ["seg-preprocess", "source=labels", "destination=masks", "labels=map.yaml", "threads=2"]
    command = [str(script_path(words[0])), *words[1:]]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=hear_hangups
    ) as process:
        end = time.monotonic() + 60
        while len(list((tmp_path / "masks").glob("*.png"))) < 5 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    if number != signal.SIGKILL:
        assert process.returncode == 130, stderr
        assert stderr.decode().startswith("interrupted")
        assert b"Traceback" not in stderr
        assert not list((tmp_path / "masks").glob(".*.tmp"))
    result = script(*words, "json=true")
    done = json.loads(result.stdout)
    assert done["skipped"] >= 1
    assert done["skipped"] + done["converted"] == 122
    assert not list((tmp_path / "masks").glob(".*.tmp"))


def test_many_that_start_at_once(tmp_path: Path) -> None:
    """Each checks that it can write to the folder; none may be disturbed by another."""
    code = "import sys; from seg.files import make_folder\nfor _ in range(300): make_folder(sys.argv[1], 'destination')"
    words = [str(script_path("python")), "-c", code, str(tmp_path / "masks")]
    started = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(4)]
    for process in started:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr.decode()
    assert list((tmp_path / "masks").iterdir()) == []
