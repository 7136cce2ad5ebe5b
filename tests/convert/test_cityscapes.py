"""Polygons of Cityscapes that the tests write; masks against the distance of each pixel to each polygon.

python -m pytest tests/convert/test_cityscapes.py
"""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script, fails

from seg.convert import convert_folder
from seg.convert.cityscapes import CityscapesReader
from seg.data.pairs import pair
from seg.images import read_mask
from seg.labels import Label, LabelMap

LABELS = LabelMap.load("cityscapes")
ROAD, PERSON, CAR = (LABELS.names.index(name) for name in ("road", "person", "car"))
HEIGHT, WIDTH = 40, 80


def item(label: Any, polygon: Any, **more: Any) -> dict[str, Any]:
    return {"label": label, "polygon": polygon, **more}


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def content(*objects: Any, **changes: Any) -> bytes:
    return json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": list(objects)} | changes).encode()


def mask_of(*objects: Any, labels: LabelMap = LABELS, **options: Any) -> np.ndarray:
    return CityscapesReader(labels, **options).drawn(content(*objects)).mask


@pytest.mark.parametrize("seed", range(8))
def test_pixels_are_those_of_the_last_polygon_around_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names, polygons = ("road", "car", "person", "persongroup", "out of roi"), []
    objects = []
    for _ in range(6):
        middle, angles = rng.uniform([0, 0], [WIDTH, HEIGHT]), np.sort(rng.uniform(0, 2 * np.pi, 7))
        corners = middle + rng.uniform(5, 25, (7, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
        polygons.append(corners.round().astype(np.int32))
        objects.append(item(str(rng.choice(names)), polygons[-1].tolist()))
    mask = mask_of(*objects)
    values = {"road": ROAD, "car": CAR, "person": PERSON, "persongroup": PERSON, "out of roi": 255}
    compared = 0
    for y in range(HEIGHT):
        for x in range(WIDTH):
            away = [cv2.pointPolygonTest(polygon[:, None], (x, y), True) for polygon in polygons]
            if min(map(abs, away)) <= 1:
                continue  # on an outline, where a rule of the painter decides
            around = [values[each["label"]] for each, distance in zip(objects, away, strict=True) if distance > 0]
            assert mask[y, x] == (around[-1] if around else 255), (x, y)
            compared += 1
    assert compared > HEIGHT * WIDTH / 3


def test_the_outline_belongs_to_the_polygon_as_in_cityscapes_scripts() -> None:
    assert int((mask_of(item("car", box(10, 10, 19, 29))) == CAR).sum()) == 10 * 20


def test_deleted_objects_groups_and_plates() -> None:
    car, plate = item("car", box(10, 10, 19, 29)), item("license plate", box(12, 12, 15, 15))
    gone = item("road", box(0, 0, 79, 39), deleted=1)
    assert int((mask_of(gone, car) == 255).sum()) == HEIGHT * WIDTH - 200
    assert int((mask_of(gone | {"deleted": 0}, car) == ROAD).sum()) == HEIGHT * WIDTH - 200
    assert int((mask_of(car, plate) == CAR).sum()) == 200, "a plate is no class: the car below stays"
    named = LabelMap([Label("car", values=(1,)), Label("license plate", values=(2,)), Label("cargroup", values=(3,))])
    assert int((mask_of(car, plate, labels=named) == 1).sum()) == 16
    for name, value in (("cargroup", CAR), ("polegroup", 255)):
        assert int((mask_of(item("road", box(0, 0, 79, 39)), item(name, box(10, 10, 19, 29))) == value).sum()) == 200
    assert int((mask_of(item("cargroup", box(10, 10, 19, 29)), labels=named) == 2).sum()) == 200, "it is in the map"


def test_background() -> None:
    car = item("car", box(10, 10, 19, 29))
    assert int((mask_of(car, background="road") == ROAD).sum()) == HEIGHT * WIDTH - 200
    assert int((mask_of(car, background="unlabeled") == 255).sum()) == HEIGHT * WIDTH - 200
    with pytest.raises(ValueError, match=r"background: expected a class of the map \(.*\), got 'floor'; choose"):
        mask_of(car, background="floor")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected JSON as Cityscapes has it, got another or a damaged file"),
        (b"{}", "expected an object with a list of objects, as Cityscapes has it, got other JSON"),
        (content(imgHeight=None), "imgHeight and imgWidth: expected whole .*, got None and 80; take"),
        (content(imgWidth=1 << 40), "too large: expected at most .* raise max_pixels"),
        (content(7), "object 1, expected an object with label and polygon, got 7"),
        (content(item("kar", box(0, 0, 9, 9))), "object 1, label: expected a name in .*, got 'kar', nearest"),
        (content(item(None, box(0, 0, 9, 9))), "object 1, label: expected a name, got None"),
        (content(item("car", None)), r"object 1, polygon: expected \[\[x, y\], ...\], got None"),
        (content(item("car", [[0, 0], [9, 9]])), "object 1, polygon: expected at least 3 points, got 2"),
        (content(item("car", [[0, 0], [9, float("nan")], [3, 3]])), "object 1, polygon: expected numbers less than"),
        (content(item("car", box(0, 0, 9, 9)), item("car", box(90, 0, 99, 9))),
         "object 2, polygon: expected one within the 80 x 40 pixels of the image, got x from 90 to 99"),
    ],
)  # fmt: skip
def test_odd_files(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        CityscapesReader(LABELS).drawn(data)


def test_unknown_labels_may_be_ignored() -> None:
    assert int((mask_of(item("kar", box(0, 0, 9, 9)), unknown="ignore", background="road") == 255).sum()) == 100


def test_command_line(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "gtFine" / "train" / "aachen"
    folder.mkdir(parents=True)
    images = tmp_path / "leftImg8bit" / "train" / "aachen"
    images.mkdir(parents=True)
    for number in range(3):
        name = f"aachen_00000{number}_000019"
        (folder / f"{name}_gtFine_polygons.json").write_bytes(
            content(item("road", box(0, 0, 79, 39)), item("cargroup", box(10, 10, 19, 29)))
        )
        cv2.imwrite(str(folder / f"{name}_gtFine_labelIds.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
        cv2.imwrite(str(images / f"{name}_leftImg8bit.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    options = {"source": "gtFine", "destination": "masks", "labels": "cityscapes", "read": "cityscapes_polygons"}
    done = script("seg-preprocess", **options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 converted" in done.stdout
    pairs = pair(tmp_path / "leftImg8bit", tmp_path / "masks", image_template="{}_leftImg8bit.png",
                 template="{}_gtFine_polygons.png")  # fmt: skip
    assert len(pairs) == 3
    assert int((read_mask(pairs[0].mask, 19) == CAR).sum()) == 200
    assert "3 unchanged" in script("seg-preprocess", **options).stdout
    assert convert_folder(tmp_path / "gtFine", tmp_path / "masks", LABELS, read="cityscapes_polygons").skipped == 3
    next(folder.glob("*.json")).write_bytes(content(item("kar", box(0, 0, 9, 9))))
    done = script("seg-preprocess", **options)
    assert re.search(r"train/aachen/.*_polygons.json: object 1, label: .* got 'kar'", done.stderr)
    fails(done, 1, "1 of 3 files failed")
    fails(script("seg-preprocess", **options, background="floor"), 2, "background: expected a class of the map")


@pytest.mark.parametrize(
    ("objects", "nothing"),
    [
        ([], {"none": (1, "")}),
        ([item("car", box(1, 1, 9, 9))], None),
        ([item("car", [[3, 3], [3, 3], [3, 3]])], None),  # Pillow draws a pixel
        ([item("car", [[0.1, 0.1], [0.4, 0.1], [0.4, 1.0]])] * 2, {"fractions": (2, "object 1")}),
        ([item("road", box(1, 1, 9, 9)), item("car", box(WIDTH, 3, WIDTH + 9, 8))], {"blank": (1, "object 2")}),
        ([item("car", [[-5, 20], [-1, 40], [30, 60], [-5, 60]])], {"blank": (1, "object 1")}),  # around a corner
    ],
)
def test_objects_that_draw_nothing_are_noted(objects: list[Any], nothing: Any) -> None:
    assert CityscapesReader(LABELS).drawn(content(*objects)).nothing == nothing


def test_files_without_objects_are_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a_polygons.json").write_bytes(content())
    summary = convert_folder(tmp_path / "in", tmp_path / "m", LABELS, read="cityscapes_polygons")
    assert summary.warnings == (
        "1 images have no annotations, the first 'a_polygons.json'; their masks are background alone",
    )
