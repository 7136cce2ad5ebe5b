"""Which files the commands take: links, hidden files, folders called as images, their own earlier results.

python -m pytest tests/data/test_walk.py
"""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import LABELS, Script, fails, scene, train_options, write_pairs

from seg.audit import Split
from seg.audit import audit as look_at
from seg.convert.sources import list_sources
from seg.data.pairs import list_images, pair
from seg.data.pairs.folders import check_apart, list_names
from seg.labels import Label, LabelMap

LABELS_BY_VALUE = LabelMap(
    [Label(name, values=(i,)) for i, name in enumerate(("sky", "road", "car"))]
    + [Label("void", values=(255,), ignore=True)]
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, script_in: Script) -> Path:
    """Of a training of one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    for part, first in (("train", 0), ("val", 100)):
        write_pairs(folder / "data" / part, 2, first)
    words = [*train_options(folder / "data"), "fit.epochs=1", "name=one"]
    done = script_in(folder, "seg-train", *words)
    assert done.returncode == 0, done.stderr
    return folder / "runs/one/best.pt"


def entangle(folder: Path) -> None:
    """Beside the files of ``images`` and ``masks``: a linked folder with two, and what must not be seen."""
    write_pairs(folder / "elsewhere", 2, first=50)
    for kind in ("images", "masks"):
        inner = folder / kind
        (inner / "linked").symlink_to(folder / "elsewhere" / kind)
        (folder / "elsewhere" / kind / "ring").symlink_to(inner)
        (inner / "s99.png").mkdir()
        shutil.copytree(inner, inner / ".ipynb_checkpoints", ignore=lambda _, names: set(names) - {"s0.png", "s1.png"})
        (inner / "._s0.png").write_bytes(b"not an image")
        os.mkfifo(inner / "pipe.png")


NAMES = ["linked/s50", "linked/s51", *(f"s{i}" for i in range(6))]


def test_one_walker(tmp_path: Path, data: Path) -> None:
    entangle(data / "train")
    images, masks = data / "train/images", data / "train/masks"
    assert sorted(list_images(images)) == NAMES
    assert [p.name for p in pair(images, masks)] == NAMES
    assert sorted(s.mask.removesuffix(".png") for s in list_sources(masks, tmp_path / "out", "**/*")) == NAMES
    assert [look.name for look in look_at([Split("data", images, masks)], LABELS).pairs[0]] == NAMES


def test_links_into_nowhere_are_listed_so_that_opening_them_tells(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "b.png")
    assert list(list_names(tmp_path)) == ["a.png", "b.png"]


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match="closed': cannot list the folder: Permission denied; let it be read"):
        list(list_names(tmp_path))


def test_destinations_within(tmp_path: Path) -> None:
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "images/link").symlink_to(tmp_path / "store")
    check_apart(tmp_path / "images-too/x", [tmp_path / "images"], "destination")
    check_apart(tmp_path, [tmp_path / "images"], "destination")
    for inside in ("images", "images/new/x", "images/a", "store/x"):
        with pytest.raises(
            ValueError, match=r"destination: expected a folder outside '.*images', got .*; give another"
        ):
            check_apart(tmp_path / inside, [tmp_path / "images"], "destination")


@pytest.mark.slow
def test_every_command_sees_the_same_files(tmp_path: Path, data: Path, checkpoint: Path, script: Script) -> None:
    entangle(data / "train")
    folders = {"images": data / "train/images", "masks": data / "train/masks"}
    done = script("seg-audit", destination="audit", json="true", **folders)
    assert json.loads(done.stdout)["splits"][0]["pairs"] == 8, done.stderr
    done = script("seg-evaluate", checkpoint=checkpoint, destination="evaluation", json="true", **folders)
    assert json.loads(done.stdout)["images"] == 8, done.stderr
    done = script("seg-predict", checkpoint=checkpoint, images=folders["images"], destination="predicted")
    assert done.returncode == 0, done.stderr
    assert sorted(list_images(tmp_path / "predicted", "{}")) == sorted([*NAMES, *(f"overlays/{n}" for n in NAMES)])
    done = script("seg-diagnose", checkpoint=checkpoint, images=folders["images"], destination="diagnosis", json="true")
    assert json.loads(done.stdout)["images"] == 8, done.stderr
    done = script("seg-train", *train_options(data), "fit.epochs=1", name="linked")
    assert "checking 8 training and 2 validation pairs" in done.stdout, done.stderr
    done = script("seg-augment", destination="augmented", **folders)
    assert (done.returncode, done.stdout) == (0, "8 copies written to augmented\n"), done.stderr


@pytest.mark.slow
def test_pictures_beside_predicted_masks_are_no_masks(
    tmp_path: Path, data: Path, checkpoint: Path, script: Script
) -> None:
    """Masks of seg-predict are turned into colours, trained on, audited and judged, without what lies beside them."""
    images = data / "train/images"
    done = script(
        "seg-predict", "colors=true", "confidence=true", checkpoint=checkpoint, images=images, destination="out"
    )
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"overlays", "colors", "confidence"}
    done = script("seg-preprocess", "inverse=true", source="out", destination="colours", labels="out/labels.yaml")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "colours").rglob("*.png")) == [f"s{i}.png" for i in range(6)]
    (tmp_path / "copy").mkdir()  # no manifest: these are somebody's own folders
    shutil.copytree(tmp_path / "out/colors", tmp_path / "copy/colors")
    done = script("seg-preprocess", source="copy", destination="back", labels="out/labels.yaml")
    assert sorted(path.name for path in (tmp_path / "back/colors").iterdir()) == [f"s{i}.png" for i in range(6)]
    options = [f"data.train.images={images}", "data.train.masks=out", "data.val_share=0.34", *train_options(data)[4:]]
    done = script("seg-train", *options, "fit.epochs=1", name="pseudo")
    assert "checking 4 training and 2 validation pairs" in done.stdout, done.stderr
    done = script("seg-audit", images=images, masks="out", destination="audit", json="true")
    assert json.loads(done.stdout)["splits"][0]["pairs"] == 6, done.stderr
    done = script("seg-evaluate", predictions="out", masks=data / "train/masks", destination="judged", json="true")
    assert json.loads(done.stdout)["images"] == 6, done.stderr
    assert "left out" not in done.stderr


def test_no_command_writes_where_it_reads(tmp_path: Path, data: Path, checkpoint: Path, script: Script) -> None:
    images, masks = data / "val/images", data / "val/masks"
    message = "destination: expected a folder outside '.*', got '.*', where what is written would be read as images"
    fails(script("seg-predict", checkpoint=checkpoint, images=images, destination=images / "out"), 2, message)
    fails(script("seg-predict", checkpoint=checkpoint, images=images, destination=images), 2, message)
    fails(script("seg-diagnose", checkpoint=checkpoint, images=images, destination=images / "out"), 2, message)
    for inside in (images / "out", masks / "out"):
        done = script("seg-evaluate", checkpoint=checkpoint, images=images, masks=masks, destination=inside)
        fails(done, 2, message)
    fails(script("seg-augment", images=images, masks=masks, destination=images / "out"), 2, message)
    assert sorted(p.name for p in images.iterdir()) == ["s100.png", "s101.png"]


def test_predictions_replace_no_image_and_no_other_picture(
    tmp_path: Path, data: Path, checkpoint: Path, script: Script
) -> None:
    images = tmp_path / "overlays"
    (images / "overlays").mkdir(parents=True)
    shutil.copy(data / "val/images/s100.png", images / "s100.png")
    before = (images / "s100.png").read_bytes()
    done = script("seg-predict", checkpoint=checkpoint, images=images, destination=".")
    fails(done, 2, "destination: expected a folder whose files lie outside images, got 'overlays/s100.png' within")
    assert (images / "s100.png").read_bytes() == before
    shutil.copy(images / "s100.png", images / "overlays/s100.png")
    done = script("seg-predict", checkpoint=checkpoint, images=images, destination="out")
    fails(
        done,
        2,
        "images: expected no image whose mask has the file name of another picture, got 'out/overlays/s100.png'",
    )


def test_predictions_of_an_earlier_call(tmp_path: Path, data: Path, checkpoint: Path, script: Script) -> None:
    images, out = data / "val/images", tmp_path / "out"
    assert script("seg-predict", checkpoint=checkpoint, images=images, destination="out").returncode == 0
    (images / "s100.png").write_bytes(b"broken")
    (images / "s101.png").rename(images / "s102.png")
    done = script("seg-predict", "overlays=false", checkpoint=checkpoint, images=images, destination="out")
    fails(done, 1, "1 of 2 images failed: .*s100.png")
    assert "warning: 2 pictures in out belong to none of these images, such as s101.png; they stay" in done.stdout
    assert sorted(p.name for p in out.rglob("*.png")) == ["s101.png", "s101.png", "s102.png"]


def test_evaluation_leaves_no_picture_of_an_earlier_one(
    tmp_path: Path, data: Path, checkpoint: Path, script: Script
) -> None:
    folders = {"images": data / "train/images", "masks": data / "train/masks", "destination": "out"}
    assert script("seg-evaluate", checkpoint=checkpoint, pictures=5, **folders).returncode == 0
    pictures = tmp_path / "out/pictures"
    (pictures / "mine.png").touch()
    first = {p.name for p in pictures.iterdir()}
    assert len(first) == 6
    for seed in range(6):  # other masks, other scores, other names of pictures
        cv2.imwrite(str(data / f"train/masks/s{seed}.png"), np.flipud(scene(seed)[1]))
    assert script("seg-evaluate", checkpoint=checkpoint, pictures=2, **folders).returncode == 0
    second = {p.name for p in pictures.iterdir()}
    assert {name[:2] for name in second} == {"01", "02", "mi"}
    assert len(second) == 3


@pytest.mark.slow
def test_list_files(tmp_path: Path, data: Path, checkpoint: Path, script: Script) -> None:
    images, masks = data / "train/images", data / "train/masks"
    shutil.copy(images / "s1.png", images / "photo #2.png")
    shutil.copy(masks / "s1.png", masks / "photo #2.png")
    (tmp_path / "train.txt").write_text(f"photo #2.png\r\n{images / 's0.png'}\r\ns3.png s4.png\r\n", encoding="utf-16")
    (tmp_path / "val.txt").write_text("# the rest\ndata/train/images/s5.png\n")
    lists = ["data.train.list=train.txt", "data.val.list=val.txt"]
    options = [o for o in train_options(data) if not o.startswith("data.val")]
    done = script("seg-train", *options, *lists, "fit.epochs=1", name="listed")
    assert "checking 3 training and 1 validation pairs" in done.stdout, done.stderr
    done = script("seg-audit", *options[:2], *lists, destination="audit", json="true")
    assert [part["pairs"] for part in json.loads(done.stdout)["splits"]] == [3, 1], done.stderr
    folders = {"images": images, "masks": masks, "checkpoint": checkpoint, "destination": "evaluation"}
    done = script("seg-evaluate", list="train.txt", json="true", **folders)
    assert json.loads(done.stdout)["images"] == 3, done.stderr
    (images / "town").mkdir()
    shutil.copy(images / "s5.png", images / "town/s9.png")
    (images / "city").mkdir()
    shutil.copy(images / "s5.png", images / "city/s9.png")
    (tmp_path / "val.txt").write_text("s9.png\n")
    message = "val.txt, line 1: expected one file, got 's9.png', which may be '.*city/s9.png', '.*town/s9.png'; write"
    fails(script("seg-train", *options, *lists, name="twice"), 2, message)
    fails(script("seg-audit", *options[:2], *lists, destination="audit"), 2, message)
    fails(script("seg-evaluate", list="val.txt", **folders), 2, message)


@pytest.mark.slow
def test_tiles_of_a_scene_stay_in_one_part(tmp_path: Path, data: Path, script: Script) -> None:
    images, masks = data / "train/images", data / "train/masks"
    cut = ["tile=48", "overlap=16", "images_destination=tiles", "read=index", f"images={images}"]
    LABELS_BY_VALUE.save(tmp_path / "map.yaml")
    done = script("seg-preprocess", *cut, source=masks, destination="cut", labels="map.yaml")
    assert done.returncode == 0, done.stderr
    options = ["data.train.images=tiles", "data.train.masks=cut"]
    done = script("seg-audit", *options, destination="audit", json="true")
    assert [part["pairs"] for part in json.loads(done.stdout)["splits"]] == [30, 6], done.stderr
    small = ["model=unet_small", "loader.workers=0", "fit.epochs=1", "augment=none", "pictures=0"]
    done = script("seg-train", *options, *small, "data.val_share=0.34", name="tiles")
    assert "splitting 36 pairs by scene: 6 scenes" in done.stdout, done.stderr
    shown = {line.split(",")[0] for line in (tmp_path / "runs/tiles/per_image.csv").read_text().splitlines()[1:]}
    assert len(shown) == 12
    assert len({name.partition("/")[0] for name in shown}) == 2
    done = script("seg-audit", *options, r"data.group=^(s[0-2]|s)\d?/", destination="audit", json="true")
    assert sorted(part["pairs"] for part in json.loads(done.stdout)["splits"]) == [6, 30], done.stderr
    fails(script("seg-audit", *options, "data.group=^(s[0-2])/", destination="audit"), 2, "got none in 18 of 36")
    fails(script("seg-train", *options, *small, "data.group=(", name="bad"), 2, "data.group: expected a regular expr")
