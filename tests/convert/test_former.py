"""What earlier calls left in a destination: python -m pytest tests/convert/test_former.py"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script, fails

from seg.convert import Cut, ImageTiles, convert_folder, recolor_folder
from seg.convert import folder as conversion
from seg.data.source import check_labels
from seg.labels import Label, LabelMap

ROWS = [Label("car", ((255, 0, 0),)), Label("sky", ((0, 0, 100),)), Label("road", ((90, 90, 90),))]
FIRST, TURNED = LabelMap(ROWS), LabelMap(ROWS[::-1])
MASK = np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.uint8)


def write_labels(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.array([row.colors[0] for row in ROWS], np.uint8)[MASK][..., ::-1])
    return folder


def masks_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def numbering(path: Path) -> str:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return "first" if np.array_equal(mask, MASK) else "turned" if np.array_equal(mask, 2 - MASK) else "other"


def test_a_mask_goes_with_its_label(tmp_path: Path) -> None:
    source, target = write_labels(tmp_path / "labels", "a", "b", "day/c"), tmp_path / "masks"
    convert_folder(source, target, FIRST)
    (source / "b.png").unlink()
    (source / "day/c.png").rename(source / "day/d.png")
    summary = convert_folder(source, target, FIRST)
    assert masks_in(target) == ["a.png", "day/d.png"]
    assert summary.warnings == ("2 masks were removed with their labels, the first 'b.png'",)
    assert (summary.converted, summary.skipped, summary.failed) == (1, 1, 0)
    assert convert_folder(source, target, FIRST).warnings == ()
    write_labels(source, "b")  # it is back
    assert convert_folder(source, target, FIRST).converted == 1
    assert masks_in(target) == ["a.png", "b.png", "day/d.png"]


@pytest.mark.parametrize("ended", [False, True])
def test_no_two_numberings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool) -> None:
    """Also when the second call ends with its first mask, and when a label is gone by then."""
    source, target = write_labels(tmp_path / "labels", *"abcdef"), tmp_path / "masks"
    convert_folder(source, target, FIRST)
    (source / "f.png").unlink()
    if ended:
        write = conversion.write_counts

        def one_line(path: Path, records: Any, *rest: Any) -> None:
            write(path, (record for record in [next(records)]), *rest)
            raise KeyboardInterrupt

        monkeypatch.setattr(conversion, "write_counts", one_line)
        with pytest.raises(KeyboardInterrupt):
            convert_folder(source, target, TURNED, threads=1)
        monkeypatch.undo()
        assert {numbering(target / name) for name in masks_in(target)} == {"turned"}
        assert LabelMap.load(target / "labels.yaml").names == TURNED.names
    convert_folder(source, target, TURNED)
    assert masks_in(target) == [f"{name}.png" for name in "abcde"]
    assert {numbering(target / name) for name in masks_in(target)} == {"turned"}
    assert convert_folder(source, target, TURNED).skipped == 5


def test_what_a_pattern_leaves_out_is_named(tmp_path: Path) -> None:
    source, target = write_labels(tmp_path / "labels", "day/a", "night/b"), tmp_path / "masks"
    convert_folder(source, target, FIRST)
    summary = convert_folder(source, target, FIRST, pattern="day/*")
    assert (summary.skipped, summary.failed) == (1, 1)
    ((file, reason),) = summary.failures
    assert file == "night/b.png"
    assert reason.startswith(f"its mask '{target / 'night/b.png'}' is of an earlier call, and this one leaves it out;")
    assert masks_in(target) == ["day/a.png", "night/b.png"]
    (target / "night/b.png").unlink()  # as it says
    assert convert_folder(source, target, FIRST, pattern="day/*").failed == 0


def test_masks_of_another_source(tmp_path: Path, script: Script) -> None:
    first, second = write_labels(tmp_path / "one", "a"), write_labels(tmp_path / "two", "b")
    target = tmp_path / "masks"
    convert_folder(first, target, FIRST)
    summary = convert_folder(second, target, FIRST)
    assert [file for file, _ in summary.failures] == ["a.png"]
    assert masks_in(target) == ["a.png", "b.png"]
    TURNED.save(tmp_path / "map.yaml")
    words = [f"source={first}", f"destination={target}", f"labels={tmp_path / 'map.yaml'}"]
    fails(
        script("seg-preprocess", *words), 2, f"with masks of '{second}' that were made otherwise, the first of 'a.png'"
    )
    assert {numbering(target / name) for name in masks_in(target)} == {"first"}


def test_a_destination_of_older_versions_loses_nothing(tmp_path: Path) -> None:
    """Nobody wrote down what it was made of."""
    source, target = write_labels(tmp_path / "labels", "a", "b"), tmp_path / "masks"
    convert_folder(source, target, FIRST)
    (target / "source.json").unlink()
    (source / "b.png").unlink()
    assert [file for file, _ in convert_folder(source, target, FIRST).failures] == ["b.png"]
    assert masks_in(target) == ["a.png", "b.png"]


def test_tiles_and_their_images_go_too(tmp_path: Path) -> None:
    source, target, images = write_labels(tmp_path / "labels", "a", "b"), tmp_path / "masks", tmp_path / "photos"
    write_labels(images, "a_photo", "b_photo")
    cut = Cut(None, 32, 0)

    def tiles() -> ImageTiles:
        return ImageTiles(cut, images, tmp_path / "tiles", image_template="{}_photo", template="{}")

    convert_folder(source, target, FIRST, cut=cut, images=tiles())
    assert len(masks_in(target)) == len(masks_in(tmp_path / "tiles")) == 8
    (source / "b.png").unlink()
    convert_folder(source, target, FIRST, cut=cut, images=tiles())
    for folder in (target, tmp_path / "tiles"):
        assert {name.partition("/")[0] for name in masks_in(folder)} == {"a"}


def test_numbers_of_objects_go_too(tmp_path: Path) -> None:
    source, target, numbers = tmp_path / "labels", tmp_path / "masks", tmp_path / "numbers"
    source.mkdir()
    shape = {"label": "car", "points": [[2, 2], [9, 2], [9, 9]], "shape_type": "polygon"}
    for name in "ab":
        about = {"shapes": [shape], "imageHeight": 16, "imageWidth": 16, "imagePath": f"{name}.png"}
        (source / f"{name}.json").write_text(json.dumps(about))
    options = {"read": "labelme", "background": "sky", "instances": numbers}
    convert_folder(source, target, FIRST, **options)
    (source / "b.json").unlink()
    convert_folder(source, target, FIRST, **options)
    assert masks_in(target) == masks_in(numbers) == ["a.png"]


def test_shards_agree_and_are_merged(tmp_path: Path) -> None:
    source, target = write_labels(tmp_path / "labels", *(f"a{i}" for i in range(12))), tmp_path / "masks"
    assert 0 < convert_folder(source, target, FIRST, shard=(1, 2)).converted < 12
    for labels, options in ((TURNED, {}), (FIRST, {"unknown": "ignore"}), (FIRST, {"read": "color"})):
        with pytest.raises(ValueError, match="with masks of other shards that were made otherwise, the first of"):
            convert_folder(source, target, labels, shard=(2, 2), **options)
    convert_folder(source, target, FIRST, shard=(2, 2))
    with pytest.raises(ValueError, match=r"shards that were merged, got .* with manifest.1-of-2.json, manifest.2-of-2"):
        check_labels(FIRST, target, "it")
    assert convert_folder(source, target, FIRST).skipped == 12
    check_labels(FIRST, target, "it")
    convert_folder(source, target, TURNED)
    assert {numbering(target / name) for name in masks_in(target)} == {"turned"}


@pytest.mark.parametrize("make", [convert_folder, recolor_folder])
def test_files_of_others_are_not_replaced(tmp_path: Path, make: Callable[..., Any]) -> None:
    """Photographs, masks painted by hand; the manifest of an ended call claims what is there."""
    labels = write_labels(tmp_path / "labels", "a", "b")
    convert_folder(labels, tmp_path / "masks", FIRST)
    source = labels if make is convert_folder else tmp_path / "masks"
    photos = write_labels(tmp_path / "photos", "b")
    cv2.imwrite(str(photos / "b.png"), np.random.default_rng(1).integers(0, 256, (8, 8, 3)))
    before = (photos / "b.png").read_bytes()
    with pytest.raises(ValueError, match=r"got '.*photos/b.png', which no conversion wrote .*; give .*overwrite=true"):
        make(source, photos, FIRST)
    assert (photos / "b.png").read_bytes() == before
    assert {path.name for path in photos.iterdir()} <= {"b.png", ".lock", "manifest.jsonl"}
    make(source, photos, FIRST, overwrite=True)
    assert (photos / "b.png").read_bytes() != before
    assert make(source, photos, FIRST).skipped == 2


@pytest.mark.parametrize(
    "line",
    ['{"file": "a.png"}', '{"file": "a.png", "status": "converted", "key": "x"}', "[]", "7", '{"status": 3}', "null"],
)
def test_lines_that_no_call_wrote(tmp_path: Path, line: str) -> None:
    source, target = write_labels(tmp_path / "labels", "a"), tmp_path / "masks"
    convert_folder(source, target, FIRST)
    with (target / "manifest.jsonl").open("a") as file:
        file.write(f"{line}\n")
    assert convert_folder(source, target, FIRST).skipped == 1


@pytest.mark.parametrize("name", [".lock", "manifest.jsonl"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_links_are_not_followed(tmp_path: Path, script: Script, name: str, kind: str) -> None:
    """Somebody else's file, which a link names, keeps its content; a pipe does not block."""
    source, target, victim = write_labels(tmp_path / "labels", "a"), tmp_path / "masks", tmp_path / "victim"
    target.mkdir()
    if kind == "pipe":
        os.mkfifo(target / name)
    else:
        (target / name).symlink_to(victim)
    if kind == "link":
        victim.write_text("precious")
    FIRST.save(tmp_path / "map.yaml")
    words = [f"source={source}", f"destination={target}", f"labels={tmp_path / 'map.yaml'}"]
    fails(script("seg-preprocess", *words), 2, f"expected a file '{target / name}', or none, got a link or something")
    assert victim.read_text() == "precious" if kind == "link" else not victim.exists()
    assert masks_in(target) == []


def test_a_link_to_a_folder_above(tmp_path: Path) -> None:
    """Its own masks are not read as labels, neither by the first call nor by the next."""
    source, target = write_labels(tmp_path / "labels", "a", "b"), tmp_path / "masks"
    (source / "up").symlink_to(tmp_path)
    for skipped in (0, 2):
        summary = convert_folder(source, target, FIRST)
        assert (summary.converted, summary.skipped, summary.failed) == (2 - skipped, skipped, 1)
        assert summary.failures[0][0] == "up/"
        assert summary.failures[0][1].startswith("a link to a folder that holds the destination")
        assert sum(summary.pixels.values()) == 2 * MASK.size


def test_nothing_goes_while_a_part_cannot_be_listed(tmp_path: Path) -> None:
    """A damaged file of annotations: its images are not gone."""
    source, target = tmp_path / "labels", tmp_path / "masks"
    for part in ("one", "two"):
        (source / part).mkdir(parents=True)
        about = {"images": [{"id": 1, "file_name": f"{part}.jpg", "height": 8, "width": 8}]}
        about |= {"categories": [{"id": 1, "name": "car"}], "annotations": []}
        (source / part / "a.json").write_text(json.dumps(about))
    options = {"read": "coco", "background": "sky"}
    convert_folder(source, target, FIRST, **options)
    assert masks_in(target) == ["one/one.png", "two/two.png"]
    (source / "one/a.json").write_text("{")
    summary = convert_folder(source, target, FIRST, **options)
    assert (summary.skipped, summary.failed) == (1, 1)
    assert masks_in(target) == ["one/one.png", "two/two.png"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_damaged_record_of_the_cut(tmp_path: Path, text: str) -> None:
    source, target = write_labels(tmp_path / "labels", "a"), tmp_path / "masks"
    convert_folder(source, target, FIRST, cut=Cut(None, 32, 0))
    (target / "cut.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"destination: expected '.*cut.json' as an earlier call wrote it, got a damaged"
    ):
        convert_folder(source, target, FIRST, cut=Cut(None, 32, 0))
