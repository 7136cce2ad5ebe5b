"""Label Studio's tasks as masks.

python -m pytest tests/convert/test_labelstudio.py
"""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from seg.convert import convert_folder
from seg.labels import Label, LabelMap

LABELS = LabelMap([Label("background", ((0, 0, 0),)), Label("car", ((1, 1, 1),)), Label("tree", ((2, 2, 2),))])
# 4 x 2 pixels, the middle four: 32 values; 8 bits; 3, 4, 8, 16; runs of 4 0s, 8 255s, 8 0s, 8 255s, 4 0s
BITS = f"{32:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
BITS += "".join(f"100{length - 1:03b}{value:08b}" for length, value in ((4, 0), (8, 255), (8, 0), (8, 255), (4, 0)))
RLE = [int(BITS[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(BITS), 8)]


def brush(**changes: Any) -> dict[str, Any]:
    value = {"format": "rle", "rle": RLE, "brushlabels": ["car"]} | changes.pop("value", {})
    about = {"id": "x1", "type": "brushlabels", "from_name": "label", "to_name": "image", "image_rotation": 0}
    return {**about, "original_width": 4, "original_height": 2, "value": value} | changes


def polygon(**changes: Any) -> dict[str, Any]:
    points = [[0, 0], [50, 0], [50, 100], [0, 100]]
    return brush(type="polygonlabels", value={"points": points, "polygonlabels": ["tree"]}, **changes)


def task(*results: dict[str, Any], image: Any = "a.png", **changes: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"image": image}, "annotations": [{"id": 1, "result": [*results]}]} | changes


def convert(folder: Path, *tasks: Any, **options: Any) -> Any:
    (folder / "in").mkdir()
    (folder / "in/tasks.json").write_text(json.dumps([*tasks]))
    return convert_folder(folder / "in/tasks.json", folder / "out", LABELS, read="labelstudio", **options)


def test_brushes_and_polygons_lie_in_their_order(tmp_path: Path) -> None:
    choice = {"type": "choices", "value": {"choices": ["night"]}}
    skipped = {"was_cancelled": True, "result": []}
    first = task(choice, polygon(), brush(), annotations=[skipped, {"result": [choice, polygon(), brush()]}])
    summary = convert(tmp_path, first, task(brush(), polygon(), image="sub/b.png"), instances=tmp_path / "numbers")
    assert (summary.converted, summary.failed) == (2, 0)
    a, b = (cv2.imread(str(tmp_path / f"out/{name}.png"), cv2.IMREAD_UNCHANGED).tolist() for name in ("a", "sub/b"))
    assert a == [[2, 1, 1, 0], [2, 1, 1, 0]]
    assert b == [[2, 2, 1, 0], [2, 2, 1, 0]]
    numbers = cv2.imread(str(tmp_path / "numbers/a.png"), cv2.IMREAD_UNCHANGED)
    assert numbers.tolist() == [[1, 2, 2, 0], [1, 2, 2, 0]]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/upload/3/8a7b6c5d-street%201.jpg", "street 1.png"),
        ("/data/local-files/?d=images/b.jpg", "b.png"),
        ("https://server/path/c.png?token=1", "c.png"),
        ("s3://bucket/d.jpeg", "d.png"),
        ("sub/e.png", "sub/e.png"),
    ],
)
def test_names_of_images(image: str, name: str, tmp_path: Path) -> None:
    assert convert(tmp_path, task(brush(), image=image)).failed == 0
    assert (tmp_path / "out" / name).is_file()


def test_the_image_may_have_another_key(tmp_path: Path) -> None:
    assert convert(tmp_path, task(brush(), data={"picture": "b.png", "width": 4})).failed == 0
    assert (tmp_path / "out/b.png").is_file()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (task(brush(value={"rle": RLE[:-3]})), "a.png: tasks.json, region x1: rle: expected the brush of 4 x 2 pixels"),
        (task(brush(value={"rle": [300]})), "rle: expected a list of bytes with format rle"),
        (task(brush(value={"format": "png"})), "rle: expected a list of bytes with format rle"),
        (task(brush(value={"brushlabels": ["car", "tree"]})), "brushlabels: expected one label, got .'car', 'tree'"),
        (task(brush(value={"brushlabels": ["cra"]})), "label: expected a name .*, got 'cra', nearest is 'car'"),
        (task(brush(image_rotation=90)), "image_rotation: expected 0, got 90; turn the image itself"),
        (task(brush(type="rectanglelabels")), "expected a brush or a polygon with a label, got 'rectanglelabels'"),
        (task(brush(), brush(original_width=5)), "expected regions that tell the size of the image, got several sizes"),
        (task(), "expected regions that tell the size of the image, got no region"),
        (task(brush(original_width="4")), "original_height and original_width: expected whole numbers"),
        (task(annotations=[{"result": []}, {"result": []}]), "annotations: expected one, got 2 that were not skipped"),
        (task(annotations=[]), "annotations: expected one, got 0"),
        (task(annotations=None), "annotations: expected a list of objects, got others; export the full JSON"),
        (task(image="../a.png"), "tasks.json, task 7: data: expected a path below the folder of the file"),
        (task(data=3), "tasks.json, task 7: data: expected a path below the folder of the file, got None"),
        (3, "tasks.json: expected a list of tasks, Label Studio's export JSON, got other JSON"),
    ],
)
def test_odd_tasks_are_named(content: Any, reason: str, tmp_path: Path) -> None:
    summary = convert(tmp_path, content)
    ((file, text),) = summary.failures
    assert summary.converted == 0
    assert not list((tmp_path / "out").rglob("*.png"))
    with pytest.raises(ValueError, match=reason):
        raise ValueError(f"{file}: {text}")
