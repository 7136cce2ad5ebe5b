"""One binary mask a class, merged by a stated order, as a user converts them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from seg.convert import Summary, convert_folder
from seg.labels import Label, LabelMap
from tests.convert.test_folder import outcome, read

LABELS = LabelMap([Label("road", values=(0,)), Label("car", values=(1,)), Label("red car", values=(2,))])
ROAD, CAR = np.array([[1, 1, 1, 0]], np.uint8), np.array([[0, 0, 1, 0]], np.uint8)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def convert(tmp_path: Path, **options: Any) -> Summary:
    options = {"class_template": "{class}/{}.png", "read": "binary", **options}
    return convert_folder(tmp_path / "in", tmp_path / "masks", LABELS, **options)


@pytest.mark.parametrize(("order", "mask"), [(["road", "car"], [0, 0, 1, 255]), (["car", "road"], [0, 0, 0, 255])])
def test_the_order_says_which_class_lies_over_the_other(tmp_path: Path, order: list[str], mask: list[int]) -> None:
    write(tmp_path / "in" / "road" / "town" / "a.png", 255 * ROAD)
    write(tmp_path / "in" / "car" / "town" / "a.png", CAR)
    assert outcome(convert(tmp_path, order=order)) == (1, 0, 0)
    assert read(tmp_path / "masks" / "town" / "a.png").tolist() == [mask]
    assert outcome(convert(tmp_path, order=order)) == (0, 1, 0)


def test_an_overlap_without_an_order_fails(tmp_path: Path) -> None:
    write(tmp_path / "in" / "road" / "a.png", ROAD)
    write(tmp_path / "in" / "car" / "a.png", CAR)
    write(tmp_path / "in" / "road" / "b.png", ROAD - CAR)
    write(tmp_path / "in" / "car" / "b.png", CAR)
    for order in (None, ["road"], ["car"]):
        summary = convert(tmp_path, order=order)
        wanted = "expected pixels of '.*' alone, got 1 that are of '.*' too, the first at x=2, y=0; give order"
        assert len(summary.failures) == 1
        with pytest.raises(ValueError, match=wanted):
            raise ValueError(summary.failures[0][1])
        assert not (tmp_path / "masks" / "a.png").exists()
        assert read(tmp_path / "masks" / "b.png").tolist() == [[0, 0, 1, 255]]


def test_files_of_one_class_are_united_and_every_file_is_an_object(tmp_path: Path) -> None:
    """The names of Label Studio; what no file covers is the background."""
    for number, column in enumerate((0, 2)):
        image = np.zeros((2, 4), np.uint8)
        image[0, column] = 255
        write(tmp_path / "in" / f"task-7-annotation-1-by-2-tag-red car-{number}.png", image)
    template = "task-{}-annotation-*-by-*-tag-{class}-*.png"
    summary = convert(tmp_path, class_template=template, background="road", instances=tmp_path / "numbers")
    assert outcome(summary) == (1, 0, 0)
    assert read(tmp_path / "masks" / "7.png").tolist() == [[2, 0, 2, 0], [0, 0, 0, 0]]
    assert read(tmp_path / "numbers" / "7.png").tolist() == [[1, 0, 2, 0], [0, 0, 0, 0]]


def test_names(tmp_path: Path) -> None:
    """A name of two meanings, of an unknown class, or of no meaning fails; nothing is guessed."""
    for name in ("a_car", "b_red car", "c_tree", "d-car"):
        write(tmp_path / "in" / f"{name}.png", CAR)
    summary = convert(tmp_path, class_template="{}_{class}.png")
    reasons = dict(summary.failures)
    assert "label: expected a name in the label map, got 'tree'" in reasons.pop("c.png")
    assert "expected a name as in class_template={}_{class}.png, got another" in reasons.pop("d-car.png")
    assert not reasons
    assert read(tmp_path / "masks" / "b.png").tolist() == [[255, 255, 2, 255]]
    two = LabelMap([Label("car", values=(0,)), Label("red_car", values=(1,))])
    write(tmp_path / "two" / "b_red_car.png", CAR)
    write(tmp_path / "two" / "c_car.png", CAR)
    failures = convert_folder(
        tmp_path / "two", tmp_path / "m", two, read="binary", class_template="{}_{class}.png"
    ).failures
    assert [name for name, _ in failures] == ["b_red_car.png"]
    assert "got 'red_car' of 'b' and 'car' of 'b_red'; rename the file" in failures[0][1]


def test_files_that_are_not_binary(tmp_path: Path) -> None:
    rgba = np.zeros((1, 4, 4), np.uint8)
    rgba[..., :3] = 255  # white everywhere, drawn by alpha
    rgba[0, 2, 3] = 255
    odd = {
        "gray": (np.array([[0, 7, 255]], np.uint8), "expected 0 and one other value, got 2 others; save it with two"),
        "alpha": (rgba, "expected pixels of the class without transparency, got 3 of alpha 0; save it"),
        "size": (np.zeros((2, 4), np.uint8), "expected 4 x 2 pixels as 'car/size.png' has, got 4 x 1; mend one"),
    }
    for name, (image, _) in odd.items():
        write(tmp_path / "in" / "car" / f"{name}.png", image)
    write(tmp_path / "in" / "road" / "size.png", ROAD)
    write(tmp_path / "in" / "car" / "colour.png", np.full((1, 4, 3), (0, 0, 1), np.uint8))
    reasons = dict(convert(tmp_path).failures)
    assert set(reasons) == {f"{name}.png" for name in odd}
    for name, (_, reason) in odd.items():
        assert reason in reasons[f"{name}.png"]
    assert (read(tmp_path / "masks" / "colour.png") == 1).all()


def test_a_file_that_changes_or_goes_converts_its_image_again(tmp_path: Path) -> None:
    write(tmp_path / "in" / "road" / "a.png", ROAD - CAR)
    write(tmp_path / "in" / "car" / "a.png", CAR)
    write(tmp_path / "in" / "car" / "b.png", CAR)
    assert outcome(convert(tmp_path)) == (2, 0, 0)
    (tmp_path / "in" / "car" / "a.png").unlink()
    assert outcome(convert(tmp_path)) == (1, 1, 0)
    assert read(tmp_path / "masks" / "a.png").tolist() == [[0, 0, 255, 255]]
    (tmp_path / "in" / "road" / "a.png").unlink()
    summary = convert(tmp_path)
    assert (outcome(summary), summary.warnings[0][:33]) == ((0, 1, 0), "1 masks were removed with their l")
    assert not (tmp_path / "masks" / "a.png").exists()
    assert json.loads((tmp_path / "masks" / "manifest.json").read_text())["options"]["order"] == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"class_template": None}, r"class_template: expected \{\} and \{class\} once each, got None; give such as"),
        ({"class_template": "{class}.png"}, "class_template: expected .* got '{class}.png'"),
        ({"order": ["road", "tree"]}, "order: expected classes of the map .road, car, red car., got 'tree'; choose"),
        ({"order": ["car", "car"]}, "order: expected a list of different classes"),
        ({"order": "car"}, "order: expected a list of different classes"),
        ({"unknown": "nearest"}, "unknown: expected error or ignore with read=binary"),
        ({"read": "auto"}, "class_template: expected only with read=binary, got '{class}/{}.png' with read=auto"),
        ({"read": "auto", "class_template": None, "order": ["car"]}, "order: expected only with read=binary"),
        ({"class_template": "{}-{class}.png"}, "car/a.png: expected a name as in class_template={}-{class}.png"),
    ],
)
def test_wrong_requests(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    write(tmp_path / "in" / "car" / "a.png", CAR)
    with pytest.raises(ValueError, match=reason):
        convert(tmp_path, **options)
