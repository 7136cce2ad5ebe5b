"""CVAT's XML as masks.

python -m pytest tests/convert/test_cvat.py
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Script

from seg.convert import convert_folder
from seg.labels import Label, LabelMap

LABELS = LabelMap([Label("background", ((0, 0, 0),)), Label("car", ((1, 1, 1),)), Label("a & b", ((2, 2, 2),))])
IMAGE = '<image id="0" name="sub/a.jpg" width="6" height="4">{}</image>'
MASK = (
    '<mask label="car" source="manual" occluded="0" rle="{}" left="1" top="0" width="3" height="2" z_order="{}"></mask>'
)
POLYGON = '<polygon label="a &amp; b" source="manual" occluded="0" points="{}" z_order="{}"></polygon>'
SQUARE = "2.00,1.00;6.00,1.00;6.00,4.00;2.00,4.00"


def made(folder: Path, *images: str) -> Path:
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{"".join(images)}</annotations>'
    (folder / "annotations.xml").write_text(text)
    return folder / "annotations.xml"


def test_shapes_lie_by_their_z_order(tmp_path: Path) -> None:
    """By hand: run lengths go row by row through the box, those outside first."""
    tag = '<tag label="night" source="manual"></tag>'
    below = IMAGE.format(MASK.format("1, 2, 3", 1) + tag + POLYGON.format(SQUARE, 0))
    above = IMAGE.replace("a.jpg", "b.jpg").format(MASK.format("0,3,3", 0) + POLYGON.format(SQUARE, 0))
    (tmp_path / "in").mkdir()
    source = made(tmp_path / "in", below, above)
    summary = convert_folder(source, tmp_path / "out", LABELS, read="cvat", instances=tmp_path / "numbers")
    assert (summary.converted, summary.failed) == (2, 0)
    masks = [cv2.imread(str(tmp_path / f"out/sub/{name}.png"), cv2.IMREAD_UNCHANGED).tolist() for name in "ab"]
    assert masks[0] == [[0, 0, 1, 1, 0, 0], [0, 0, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2]]
    assert masks[1] == [[0, 1, 1, 1, 0, 0], [0, 0, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2]]
    numbers = cv2.imread(str(tmp_path / "numbers/sub/a.png"), cv2.IMREAD_UNCHANGED)
    assert numbers[0].tolist() == [0, 0, 1, 1, 0, 0]
    assert numbers[1].tolist() == [0, 0, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (
            IMAGE.format(MASK.format("1, 2", 0)),
            "sub/a.jpg: annotations.xml, shape 1: rle: expected run lengths of 6 pixels",
        ),
        (IMAGE.format(MASK.format("1, x, 5", 0)), "rle: expected run lengths of 6 pixels together"),
        (IMAGE.format(MASK.format("7, -1", 0)), "rle: expected run lengths of 6 pixels together"),
        (IMAGE.format(MASK.replace('left="1"', 'left="4"').format("6", 0)), "mask: expected a box within 6 x 4 pixels"),
        (
            IMAGE.format(MASK.replace('"car"', '"cra"').format("6", 0)),
            "label: expected a name .*'cra', nearest is 'car'",
        ),
        (IMAGE.format(POLYGON.format("1,2;x", 0)), "points: expected x,y;x,y;..., got '1,2;x'"),
        (IMAGE.format(POLYGON.format("1,2;3,4", 0)), "polygon: expected at least 3 points, got 2"),
        (
            IMAGE.format('<box label="car" xtl="1" ytl="1" xbr="2" ybr="2"></box>'),
            "expected a mask or a polygon, got <box>",
        ),
        (IMAGE.replace('"6"', '"0"').format(""), "height and width: expected whole numbers of at least 1, got 4 and 0"),
        (IMAGE.replace("sub/a.jpg", "../a.jpg").format(""), "image 0: name: expected a path below the folder"),
        ('<track id="0" label="car"></track>', "annotations.xml: expected CVAT's XML for images, got that for video"),
        ("<image", "annotations.xml: expected CVAT's XML, got another or a damaged file"),
        ("", "annotations.xml: image: expected at least one, got none"),
    ],
)
def test_odd_files_are_named(image: str, reason: str, tmp_path: Path) -> None:
    summary = convert_folder(made(tmp_path, image), tmp_path / "out", LABELS, read="cvat")
    ((file, text),) = summary.failures
    assert summary.converted == 0
    assert not list((tmp_path / "out").rglob("*.png"))
    with pytest.raises(ValueError, match=reason):
        raise ValueError(f"{file}: {text}")


def test_no_entities_are_expanded(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]><annotations>&a;</annotations>')
    summary = convert_folder(tmp_path / "a.xml", tmp_path / "out", LABELS, read="cvat")
    assert "got one with a document type" in summary.failures[0][1]


def test_the_command_resumes(script: Script, tmp_path: Path) -> None:
    """An image whose shapes are what they were is skipped."""
    LABELS.save(tmp_path / "labels.yaml")
    first, second = IMAGE.format(""), IMAGE.replace("a.jpg", "b.jpg").format(MASK.format("0, 6", 0))
    made(tmp_path, first, second)
    words = {
        "source": "annotations.xml",
        "destination": "out",
        "labels": "labels.yaml",
        "read": "cvat",
        "names": "last",
    }
    assert script("seg-preprocess", **words).returncode == 0
    made(tmp_path, first, second.replace("0, 6", "1, 5"))
    done = script("seg-preprocess", **words)
    assert "1 converted, 1 unchanged, 0 failed" in done.stdout
    assert "1 images have no annotations, the first 'a.jpg'" in done.stderr
    assert int((cv2.imread(str(tmp_path / "out/b.png"), cv2.IMREAD_UNCHANGED) == 1).sum()) == 5
    assert np.all(cv2.imread(str(tmp_path / "out/a.png"), cv2.IMREAD_UNCHANGED) == 0)
