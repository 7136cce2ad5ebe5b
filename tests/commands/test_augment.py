"""Augmented copies on disk: ``seg-augment``, and `seg.data.augmented` below it.

python -m pytest tests/commands/test_augment.py
"""

import csv
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script, Started, fails, write_pairs
from hydra import compose, initialize_config_dir

from seg.commands.cli import conf_dir, instantiate, plain
from seg.data.augmented import augment_folder
from seg.data.pairs import pair
from seg.labels import LabelMap


def enlarge(folder: Path, target: str, recipe: str = "standard", changes: tuple[str, ...] = (), **options: Any) -> int:
    """What the command does, without its start."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = plain(compose("augment", [f"augment={recipe}", *changes]).augment)
    images, masks = folder / "images", folder / "masks"
    return augment_folder(images, masks, folder / target, instantiate(config), recipe=recipe, options=config, **options)


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "set", 3)
    return tmp_path / "set"


FOLDERS = {"images": "images", "masks": "masks", "destination": "out"}


def test_copies_are_traceable_seeded_and_resumed(folder: Path, script_in: Script) -> None:
    options = {"augment": "mosaic", "copies": 2, "seed": 3, "workers": 2}
    done = script_in(folder, "seg-augment", **FOLDERS, **options)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "6 copies written to out\n")
    out = folder / "out"
    pairs = pair(out / "images", out / "masks")
    assert [p.name for p in pairs] == sorted(
        [f"s{i}" + end for i in range(3) for end in ("", "__mosaic-1", "__mosaic-2")]
    )
    assert LabelMap.load(out / "masks" / "labels.yaml") == LabelMap.load(folder / "masks" / "labels.yaml")
    assert (out / "images" / "s0.png").read_bytes() == (folder / "images" / "s0.png").read_bytes()
    for p in pairs:
        image, mask = cv2.imread(str(p.image)), cv2.imread(str(p.mask), cv2.IMREAD_UNCHANGED)
        assert image.shape[:2] == mask.shape == (64, 96)
        assert set(np.unique(mask).tolist()) <= {0, 1, 2, 255}
    with (out / "augmented.csv").open() as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert len(rows) == 9
    row = rows["s1__mosaic-2.png"]
    assert [row[key] for key in ("source_image", "recipe", "seed", "copy", "index")] == [
        str(folder / "images/s1.png"),
        "mosaic",
        "3",
        "2",
        "1",
    ]
    assert json.loads((out / "recipe.json").read_text())["transform"]["mosaic"]["p"] == 0.5

    before = content(out)
    for name in ("masks/s2__mosaic-1.png", "images/s0__mosaic-2.png"):  # as if it had been stopped
        (out / name).unlink()
    assert enlarge(folder, "out", recipe="mosaic", copies=2, seed=3) == 2
    assert content(out) == before
    with pytest.raises(ValueError, match="out' was made with another seed: 3, not 4; give another destination"):
        enlarge(folder, "out", recipe="mosaic", copies=2, seed=4)


def test_more_copies_leave_the_earlier_ones(folder: Path) -> None:
    for copies in (1, 2):
        assert enlarge(folder, "out", copies=copies, changes=("augment.crop.size=[32,64]",)) == 3
    copies = [cv2.imread(str(folder / "out" / "images" / f"s1__standard-{n}.png")) for n in (1, 2)]
    assert copies[0].shape == copies[1].shape == (32, 64, 3)
    assert not np.array_equal(*copies)


def test_what_lies_there_stays_traceable(folder: Path) -> None:
    enlarge(folder, "out", copies=2)
    with pytest.raises(ValueError, match="out' holds 2 copies of each image; ask for at least as many"):
        enlarge(folder, "out", copies=1)
    mask = cv2.imread(str(folder / "masks/s1.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(folder / "masks/s1.png"), np.roll(mask, 9, 1))
    with pytest.raises(ValueError, match="made of other images or masks: 1 differ, the first is 's1'"):
        enlarge(folder, "out", copies=2)


def test_what_ramps_is_at_its_end(folder: Path) -> None:
    changes = ("augment.gridmask.p=1.0", "augment.gridmask.label=ignore", "augment.crop.scale=[1.0,1.0]")
    enlarge(folder, "out", "gridmask", changes)
    for i in range(3):
        mask = cv2.imread(str(folder / "out" / "masks" / f"s{i}__gridmask-1.png"), cv2.IMREAD_UNCHANGED)
        assert (mask[3:] == 255).any()


def test_label_images_are_no_masks(folder: Path) -> None:
    (folder / "masks" / "labels.yaml").unlink()
    for mask in (folder / "masks").glob("*.png"):
        cv2.imwrite(str(mask), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"got none, and label images such as '.*s\d.png', .*; convert them first"):
        enlarge(folder, "out")


@pytest.mark.slow
def test_wrong_requests(folder: Path, script_in: Script) -> None:
    """Each with exit code 2 and the reason, before anything is written."""
    (folder / "full").mkdir()
    (folder / "full" / "x").touch()
    given = [f"{key}={value}" for key, value in FOLDERS.items()]
    for words, reason in (
        (["destination=full"], "destination: expected an empty folder, got 'full' without recipe.json; give a new one"),
        (["destination=images/out"], "destination: expected a folder outside 'images', got 'images/out'"),
        (["masks=full"], "expected files like '{}' .* got none in 'full'"),
        (["images=[images,full]"], "images: expected one folder, got .'images', 'full'.; give the command once for"),
        (["copies=0"], "copies: expected a whole number of at least 1, got 0; give one"),
        (["seed=-1"], "seed: expected a whole number of at least 0, got -1; give one"),
        (["workers=many"], "workers: expected a whole number of at least 0, got 'many'; give one"),
        (["augment=standart"], "Available options in 'augment': .* standard strong"),
        (["augment=[standard,strong]"], "augment: expected one recipe, got several or none; give such as"),
        (["augment.crop.sice=3"], "unknown key 'augment.crop.sice'; did you mean 'augment.crop.size'"),
        (["~augment._target_"], "augment: expected a _target_ .* or correct its file in conf/augment"),
        (["augment.crop.size=[5,5]"], "size: expected .* multiples of 32"),
    ):
        fails(script_in(folder, "seg-augment", *given, *words), 2, reason)
        assert not (folder / "out").exists()
    for kind in ("images", "masks"):
        (folder / kind / "s0.png").rename(folder / kind / "s1__standard-1.png")
    with pytest.raises(
        ValueError, match="images: expected originals alone, got 's1__standard-1', which a copy would be called"
    ):
        enlarge(folder, "out")


def test_interrupted_it_goes_on_to_the_same_copies(
    tmp_path: Path, script: Script, start: Callable[..., Started]
) -> None:
    write_pairs(tmp_path / "set", 3)
    options = {"images": "set/images", "masks": "set/masks", "copies": 40, "augment": "strong", "workers": 1}
    process = start("seg-augment", *(f"{key}={value}" for key, value in options.items()), "destination=cut")
    process.until(lambda: len(list((tmp_path / "cut").glob("masks/*__*.png"))) > 2)
    process.send_signal(signal.SIGINT, to_all=True)  # as a terminal does: the loading workers get it too
    ended = process.wait()
    assert ended.returncode == 130
    assert re.fullmatch(r"interrupted: \d+ of 120 copies done; the same command goes on", ended.stderr.strip())
    assert not list((tmp_path / "cut").rglob("*.tmp"))
    for name in ("cut", "whole"):
        assert script("seg-augment", destination=name, **options).returncode == 0
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
