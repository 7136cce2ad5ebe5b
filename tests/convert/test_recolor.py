"""Masks back to label images.

python -m pytest tests/convert/test_recolor.py
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Script, fails
from hypothesis import given, settings
from hypothesis import strategies as st

from seg.convert import convert_array, convert_folder, recolor_folder
from seg.convert.recolor import recolor_array
from seg.labels import Label, LabelMap, builtin_names

COLORED = LabelMap(
    [Label("void", ((9, 9, 9), (8, 8, 8)), ignore=True), Label("a", ((1, 2, 3), (4, 5, 6))), Label("b", ((0, 0, 0),))]
)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(builtin_names()))
def test_there_and_back(seed: int, name: str) -> None:
    labels = LabelMap.load(name)
    mask = np.random.default_rng(seed).integers(0, labels.classes, (7, 9), np.uint8)
    np.testing.assert_array_equal(convert_array(recolor_array(mask, labels), labels), mask)


def test_ignored_pixels() -> None:
    mask = np.array([[0, 1, 255]], np.uint8)
    assert recolor_array(mask, COLORED).tolist() == [[[1, 2, 3], [0, 0, 0], [9, 9, 9]]]
    without = LabelMap(label for label in COLORED.labels if not label.ignore)
    assert recolor_array(mask, without)[0, 2].tolist() == [255, 255, 255]  # black is a class
    other = LabelMap([Label("a", ((1, 2, 3),))])
    assert recolor_array(np.array([[255]], np.uint8), other).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize(("values", "ignored"), [(((7,), (8, 9)), 255), (((255,), (300,)), 0)])
def test_values_where_there_are_no_colours(values: tuple[tuple[int, ...], ...], ignored: int) -> None:
    labels = LabelMap(Label(str(i), values=value) for i, value in enumerate(values))
    made = recolor_array(np.array([[0, 1, 255]], np.uint8), labels)
    assert made.tolist() == [[values[0][0], values[1][0], ignored]]
    assert made.dtype == (np.uint16 if values[1][0] > 255 else np.uint8)


@pytest.mark.parametrize(
    ("mask", "labels", "reason"),
    [
        (np.zeros((2, 2), np.int64), COLORED, "mask: expected H x W uint8, got int64 of shape"),
        (np.array([[0], [2]], np.uint8), COLORED, r"expected 0\.\.1 or 255, got 2 at x=0, y=1; give the label map"),
        (
            np.zeros((1, 1), np.uint8),
            LabelMap([Label("a", ((1, 1, 1),)), Label("b", values=(3,))]),
            "label map: expected a colour for each class, got none for 'b'; add one",
        ),
    ],
)
def test_wrong_masks(mask: np.ndarray, labels: LabelMap, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        recolor_array(mask, labels)


def test_folder(tmp_path: Path) -> None:
    masks = {f"sub/{i}.png": np.random.default_rng(i).choice([0, 1, 255], (20, 30)).astype(np.uint8) for i in range(3)}
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    for name, mask in masks.items():
        cv2.imwrite(str(tmp_path / "masks" / name), mask)
    cv2.imwrite(str(tmp_path / "masks" / "rgb.png"), np.zeros((2, 2, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "masks" / "high.png"), np.full((2, 2), 9, np.uint8))
    summary = recolor_folder(tmp_path / "masks", tmp_path / "colors", COLORED)
    assert (summary.converted, summary.skipped, summary.failed) == (3, 0, 2)
    reasons = dict(summary.failures)
    assert "expected an 8-bit grayscale PNG" in reasons["rgb.png"]
    assert "got 9 at x=0, y=0; give the label map" in reasons["high.png"]
    total = np.bincount(np.concatenate([mask.ravel() for mask in masks.values()]), minlength=256)
    assert (summary.pixels, summary.ignored) == ({"a": total[0], "b": total[1]}, total[255])
    assert not (tmp_path / "colors" / "labels.yaml").exists()  # they are no masks
    again = recolor_folder(tmp_path / "masks", tmp_path / "colors", COLORED)
    assert (again.converted, again.skipped, again.failed) == (0, 3, 2)
    back = convert_folder(tmp_path / "colors", tmp_path / "back", COLORED)
    assert back.failed == 0
    for name, mask in masks.items():
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "back" / name), cv2.IMREAD_UNCHANGED), mask)


ROWS = {"car": "255,0,0", "bicycle": "182,89,6", "sky": "0,0,100", "void": "0,0,0", "edge": "9,9,9"}


def table(path: Path, *names: str, **colors: str) -> str:
    rows = [f"{name},{(ROWS | colors)[name]},{int(name in ('void', 'edge'))}" for name in names]
    path.write_text("\n".join(["name,r,g,b,ignore", *rows, ""]))
    return path.name


def test_a_map_of_other_classes_is_refused(script: Script, tmp_path: Path) -> None:
    """It painted cars as sky."""
    labels = np.array([[[255, 0, 0], [182, 89, 6], [0, 0, 100]]], np.uint8)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "in" / "sub" / "a.png"), labels[..., ::-1])
    made = table(tmp_path / "made.csv", "car", "bicycle", "sky")
    assert script("seg-preprocess", source="in", destination="m", labels=made).returncode == 0
    to = {"destination": "out", "inverse": "true"}
    turned = table(tmp_path / "turned.csv", "sky", "car", "bicycle")
    for source in ("m", "m/sub"):
        done = script("seg-preprocess", source=source, labels=turned, **to)
        fails(
            done, 2, "labels: expected the classes .* in '.*m/labels.yaml', got 'sky' as class 0, which is 'car' there"
        )
    more = table(tmp_path / "more.csv", "car", "bicycle", "sky", "edge", "void")
    fewer = table(tmp_path / "fewer.csv", "car", "bicycle")
    fails(
        script("seg-preprocess", source="m", labels=fewer, **to), 2, "got 2 classes for 3; give that file, or a label"
    )
    assert not (tmp_path / "out").exists()
    other = table(tmp_path / "other.csv", "car", "bicycle", "sky", sky="1,2,3")
    for given_map, sky in (("m/labels.yaml", [0, 0, 100]), (other, [1, 2, 3]), (more, [0, 0, 100])):
        done = script("seg-preprocess", source="m", labels=given_map, **to)
        assert (done.returncode, done.stderr) == (0, "")
        assert cv2.imread(str(tmp_path / "out" / "sub" / "a.png"))[0, 2, ::-1].tolist() == sky


def test_what_255_became_is_said(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    cv2.imwrite(str(tmp_path / "m" / "a.png"), np.array([[0, 255]], np.uint8))
    colors = {name: tuple(map(int, text.split(","))) for name, text in ROWS.items()}

    def said(*labels: Label) -> str:
        return " ".join(recolor_folder(tmp_path / "m", tmp_path / labels[-1].name, LabelMap(labels)).warnings)

    car, void = Label("car", (colors["car"],)), Label("void", (colors["void"],), ignore=True)
    edge = Label("edge", (colors["edge"],), ignore=True)
    assert said(car, edge, void) == "255 stands for edge, void, and became (9, 9, 9), the colour of 'edge'"
    assert said(void, car) == ""
    assert said(Label("sky", ((0, 0, 0),))) == "255 became (255, 255, 255), a colour that the label map does not list"
    numbers = Label("a", values=(7,)), Label("b", values=(-1,), ignore=True)
    assert said(*numbers) == "255 became 255, a value that the label map does not list"
