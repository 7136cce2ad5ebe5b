"""Two conversions at once: alike they share a destination, otherwise the second is refused.

python -m pytest tests/files/test_locks.py
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Script, fails, script_path

from seg.files import held

OTHERS = "expected a folder that no conversion of another source, label map or options writes to"
SLOW = """
import sys, time
from seg.convert import Cut, ImageTiles, convert_folder, recolor_folder
from seg.labels import LabelMap

def wait(done, failed):
    print("held", flush=True)
    time.sleep(100)

what, *folders, extra = sys.argv[1:]
labels, options = LabelMap.load("map.yaml"), eval(extra, {"Cut": Cut, "ImageTiles": ImageTiles})
(recolor_folder if what == "inverse" else convert_folder)(*folders, labels, progress=wait, **options)
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two folders of labels and two label maps."""
    for name in ("in", "other", "images"):
        (tmp_path / name).mkdir()
        for number in range(8):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.full((8, 8), number % 2, np.uint8))
    for name, first in (("map", "a"), ("two", "c")):
        rows = f"classes:\n- {{name: {first}, values: [0]}}\n- {{name: b, values: [1]}}\n"
        (tmp_path / f"{name}.yaml").write_text(rows)
    return tmp_path


@pytest.fixture
def start(labels: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Begin a conversion that does not end, and wait until it holds its destination."""
    with ExitStack() as stack:

        @contextmanager
        def ended(process: "subprocess.Popen[str]") -> Iterator[None]:
            with process:
                yield
                process.kill()

        def run(*words: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", SLOW, *words], cwd=labels, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(ended(process))
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            return process

        yield run


def by(process: "subprocess.Popen[str]") -> str:
    return f"which process {process.pid} on {platform.node()} holds; wait for it, or give another folder"


@pytest.mark.slow
def test_another_conversion_is_refused(
    labels: Path, start: Callable[..., "subprocess.Popen[str]"], script: Script
) -> None:
    process = start("convert", "in", "out", "{}")
    kept = {path.name: path.read_bytes() for path in (labels / "out").iterdir()}
    usual = {"source": "in", "destination": "out", "labels": "map.yaml"}
    for other in (
        {"labels": "two.yaml"},
        {"source": "other"},
        {"unknown": "ignore"},
        {"read": "index"},
        {"ignore": "[b]"},
        {"pattern": "1*"},
        {"tile": 4},
        {"shard": "1/2", "labels": "two.yaml"},
        {"inverse": "true"},
    ):
        result = script("seg-preprocess", **{**usual, **other})
        fails(result, 2, f"destination: {OTHERS}, got 'out', {by(process)}")
    assert {path.name: path.read_bytes() for path in (labels / "out").iterdir()} == kept
    process.kill()
    process.wait()
    result = script("seg-preprocess", **usual | {"labels": "two.yaml"})  # however the other one ended
    assert result.returncode == 0, result.stderr
    assert "name: c" in (labels / "out/labels.yaml").read_text().replace('"', "")


def test_equal_ones_and_shards_share(
    labels: Path, start: Callable[..., "subprocess.Popen[str]"], script: Script
) -> None:
    first = start("convert", "in", "out", "{}")
    second = start("convert", "in", "out", "{'shard': (1, 2)}")
    usual = {"source": labels / "in", "destination": labels / "out", "labels": "map.yaml"}
    for more in ({}, {"shard": "2/2"}, {"threads": 1, "overwrite": "true"}):
        result = script("seg-preprocess", **usual, **more)
        assert result.returncode == 0, result.stderr
    first.kill()
    first.wait()  # the second one still holds it, and is named
    fails(script("seg-preprocess", **{**usual, "labels": "two.yaml"}), 2, by(second))


def test_tiles_of_images_and_colours_are_held(
    labels: Path, start: Callable[..., "subprocess.Popen[str]"], script: Script
) -> None:
    process = start("convert", "in", "out", "{'cut': (c := Cut(tile=4)), 'images': ImageTiles(c, 'images', 'tiles')}")
    words = {"source": "in", "destination": "else", "labels": "map.yaml", "images": "images", "tile": 8}
    result = script("seg-preprocess", **words, images_destination="tiles")
    fails(result, 2, f"images_destination: {OTHERS}, got 'tiles', {by(process)}")
    process = start("inverse", "in", "colours", "{}")
    result = script("seg-preprocess", source="in", destination="colours", labels="map.yaml")
    fails(result, 2, f"destination: {OTHERS}, got 'colours', {by(process)}")


def test_of_many_at_the_same_moment_those_alike_run(labels: Path) -> None:
    command = [str(script_path("seg-preprocess")), "source=in", "destination=out", "threads=1"]
    started = [
        subprocess.Popen(
            [*command, f"labels={name}.yaml", f"shard={part}/3"], cwd=labels, stderr=subprocess.PIPE, text=True
        )
        for part in (1, 2, 3)
        for name in ("map",)
    ]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 3
    assert len(list((labels / "out").glob("?.png"))) == 8


def test_locks_of_one_process(tmp_path: Path) -> None:
    wait = "wait"
    with held(tmp_path, "expected x", wait, "a"):
        with held(tmp_path, "expected x", wait, "a"):
            pass
        for key in ("b", None):
            with (
                pytest.raises(ValueError, match=f"expected x, got '.*', which process {os.getpid()} on .* holds; wait"),
                held(tmp_path, "expected x", wait, key),
            ):
                pass
    with (
        held(tmp_path, "expected x", wait),
        pytest.raises(ValueError, match=f"process {os.getpid()} on"),
        held(tmp_path, "expected x", wait, "a"),
    ):
        pass
    with held(tmp_path, "expected x", wait, "b"):  # nothing is left of the others
        pass


def test_two_json_files_of_one_folder_are_two_sources(
    labels: Path, start: Callable[..., "subprocess.Popen[str]"], script: Script
) -> None:
    pytest.importorskip("pycocotools")
    images = [{"id": 1, "file_name": "a.jpg", "height": 8, "width": 8}]
    for name in ("train.json", "val.json"):
        (labels / name).write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    process = start("convert", "train.json", "out", "{'read': 'coco'}")
    words = {"destination": "out", "labels": "map.yaml", "read": "coco"}
    fails(script("seg-preprocess", source="val.json", **words), 2, f"destination: {OTHERS}, got 'out', {by(process)}")
    assert script("seg-preprocess", source="train.json", **words).returncode == 0
