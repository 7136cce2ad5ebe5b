"""Annotation files that the tests write; masks against Pillow, or counted by hand.

python -m pytest tests/convert/test_labelme.py
"""

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script
from PIL import Image, ImageDraw

from seg.convert import convert_folder
from seg.convert.labelme import ShapeReader
from seg.convert.tiles import Cut, ImageTiles
from seg.data.pairs import pair
from seg.images import read_mask
from seg.labels import Label, LabelMap

LABELS = LabelMap(
    [
        Label("_background_", ((0, 0, 0),)),
        Label("person", ((128, 0, 0),)),
        Label("Bicycle", ((0, 128, 0),)),
        Label("blurred", ((9, 9, 9),), ignore=True),
    ]
)
BARE = LabelMap([Label("person", ((128, 0, 0),)), Label("Bicycle", ((0, 128, 0),))])
HEIGHT, WIDTH = 40, 60


def shape(label: Any, points: Any, kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def annotation(*shapes: Any, **changes: Any) -> bytes:
    content = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None,
               "imageHeight": HEIGHT, "imageWidth": WIDTH}  # fmt: skip
    return json.dumps(content | changes).encode()


def mask_of(*shapes: Any, labels: LabelMap = LABELS, unknown: str = "error") -> np.ndarray:
    return ShapeReader(labels, unknown=unknown).drawn(annotation(*shapes)).mask


def test_polygons_are_drawn_as_pillow_draws_them() -> None:
    points = [(5.4, 3.6), (50.2, 8.0), (30.7, 35.5), (-4.0, 20.0)]
    expected = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(expected).polygon(points, fill=1, outline=1)
    np.testing.assert_array_equal(mask_of(shape("person", points)), np.array(expected))
    np.testing.assert_array_equal(mask_of(shape("person", points, None)), np.array(expected))  # old files


def test_later_shapes_lie_over_earlier_ones() -> None:
    large, small = [[5, 5], [30, 25]], [[10, 10], [19, 14]]
    mask = mask_of(
        shape("person", large, "rectangle"), shape("Bicycle", small, "rectangle", group_id=3, flags={"x": 1})
    )
    assert [int((mask == value).sum()) for value in (0, 1, 2)] == [2400 - 26 * 21, 26 * 21 - 50, 50]
    mask = mask_of(shape("Bicycle", small[::-1], "rectangle"), shape("person", large, "rectangle"))
    assert [int((mask == value).sum()) for value in (1, 2)] == [26 * 21, 0]
    mask = mask_of(shape("person", large, "rectangle"), shape("_background_", small, "rectangle"))
    assert int((mask == 0).sum()) == 2400 - 26 * 21 + 50  # a hole


def test_other_kinds() -> None:
    circle = mask_of(shape("person", [[30, 20], [30, 30]], "circle"))
    assert abs(int((circle == 1).sum()) - np.pi * 10.5**2) < 25
    assert circle[20, 20] == circle[20, 40] == circle[10, 30] == 1
    point = mask_of(shape("person", [[30, 20]], "point"))
    assert abs(int(point.sum()) - np.pi * 5.5**2) < 12
    line = mask_of(shape("person", [[10, 20], [49, 20]], "line"))
    assert int(line.sum()) == 400
    strip = mask_of(shape("person", [[10, 10], [30, 10], [30, 30]], "linestrip"))
    assert strip[10, 12] == strip[28, 30] == 1
    turned = mask_of(shape("person", [[20, 5], [30, 15], [20, 25], [10, 15]], "oriented_rectangle"))
    assert int(turned.sum()) == 221


def test_stored_masks() -> None:
    part = np.zeros((5, 7), np.uint8)
    part[1:4, 2:6] = 255
    buffer = io.BytesIO()
    Image.fromarray(part).save(buffer, "PNG")
    stored = shape("person", [[3, 2], [9, 6]], "mask", mask=base64.b64encode(buffer.getvalue()).decode())
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[3:6, 5:9] = 1
    np.testing.assert_array_equal(mask_of(stored), expected)
    with pytest.raises(ValueError, match=r"shape 1, mask: expected a size that fits its corners .*, got \(7, 5\)"):
        mask_of(stored | {"points": [[3, 2], [10, 6]]})
    header = io.BytesIO()
    Image.new("1", (20000, 20000)).save(header, "PNG")
    for undecodable, reason in (
        ("AAAA", "got one that cannot be decoded"),
        (
            base64.b64encode(header.getvalue()[:60]).decode(),
            r"expected a size .*, got \(20000, 20000\)",
        ),
        (base64.b64encode(buffer.getvalue()[: len(buffer.getvalue()) // 2]).decode(), "got one that cannot be decoded"),
    ):
        with pytest.raises(ValueError, match=f"shape 1, mask: .*{reason}"):
            mask_of(stored | {"mask": undecodable})
    with pytest.raises(ValueError, match="shape 1, mask: expected a PNG in base64, got one that cannot be decoded"):
        mask_of(shape("person", [[3, 2], [9, 6]], "mask"))


def test_ignored_classes_and_pixels_without_a_shape() -> None:
    box = [[5, 5], [14, 14]]
    for name in ("blurred", "__ignore__"):
        assert int((mask_of(shape(name, box, "rectangle")) == 255).sum()) == 100
    with pytest.raises(ValueError, match="got 2300 pixels outside, the first at x=0, y=0; add a class '_b"):
        mask_of(shape("person", box, "rectangle"), labels=BARE)
    mask = mask_of(shape("person", box, "rectangle"), labels=BARE, unknown="ignore")
    assert [int((mask == value).sum()) for value in (0, 255)] == [100, 2300]  # what nobody named is not class 0
    whole = mask_of(shape("Bicycle", [[0, 0], [59, 39]], "rectangle"), labels=BARE)
    assert (whole == 1).all()
    named = LabelMap([Label("person", ((1, 1, 1),)), Label("background", ((0, 0, 0),))])
    assert int((mask_of(shape("person", box, "rectangle"), labels=named) == 1).sum()) == 2300


def test_unknown_labels_name_the_nearest() -> None:
    odd = shape("bicicle", [[5, 5], [14, 14]], "rectangle")
    with pytest.raises(ValueError, match="shape 2, label: .* got 'bicicle', nearest is 'Bicycle'; add"):
        mask_of(shape("person", [[0, 0], [9, 9]], "rectangle"), odd)
    assert int((mask_of(odd, unknown="ignore") == 255).sum()) == 100


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "expected JSON as labelme saves it, got another or a damaged file; save it again"),
        (b"\xff\xfe", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"[1]", "expected an object with a list of shapes, as labelme saves it"),
        (annotation(imageHeight=None), r"imageHeight and imageWidth: expected whole .* got None and 60; save"),
        (annotation(imageWidth=1 << 40), "too large: expected at most .* got 1099511627776 x 40; raise max_pixels"),
        (annotation(7), "shape 1, label: expected a name, got None"),
        (annotation(shape(3, [[0, 0]])), "shape 1, label: expected a name, got 3; name it"),
        (annotation(shape("person", [[0, 0], [1, 1]])), "shape 1, polygon: expected at least 3 points, got 2; mend"),
        (
            annotation(shape("person", [[90, 90], [99, 90], [99, 99]])),
            "polygon: expected one within the 60 x 40 pixels of the image, got points such as .90.0, 90.0.; mend",
        ),
        (annotation(shape("person", [[0, 0]], "circle")), "shape 1, circle: expected at least 2 points, got 1; mend"),
        (annotation(shape("person", [], "cuboid")), "shape_type: expected one of polygon, .*, got 'cuboid'"),
        (annotation(shape("person", None)), r"points: expected \[\[x, y\], ...\], got None; mend"),
        (annotation(shape("person", [[0, float("nan")], [1, 1], [2, 0]])), "points: expected numbers less than"),
    ],
)  # fmt: skip
def test_bad_files(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ShapeReader(LABELS).drawn(content)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An export folder: pictures beside their annotation files."""
    folder = tmp_path / "export" / "day"
    folder.mkdir(parents=True)
    for name, left in (("a", 5), ("b", 20)):
        box = [[left, 5], [left + 9, 14]]
        (folder / f"{name}.json").write_bytes(annotation(shape("person", box, "rectangle"), imagePath=f"{name}.png"))
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[5:15, left : left + 10] = 200
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    return tmp_path / "export"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape_type": ["polygon"]}, r"shape_type: expected one of .*, got '\['polygon'\]'"),
        ({"points": [[10**400, 1], [2, 3], [4, 5]]}, r"points: expected \[\[x, y\], ...\], got"),
        ({"points": ["12", "34", "56"]}, r"points: expected \[\[x, y\], ...\], got"),
        ({"points": [[True, 1], [2, 3], [4, 5]]}, r"points: expected \[\[x, y\], ...\], got"),
    ],
)
def test_odd_shapes_fail_their_file_alone(change: dict[str, Any], reason: str, source: Path, tmp_path: Path) -> None:
    odd = shape("person", [[1, 1], [5, 1], [5, 5]]) | change
    with pytest.raises(ValueError, match=f"shape 1, {reason}"):
        mask_of(odd)
    (source / "day" / "odd.json").write_bytes(annotation(odd))
    summary = convert_folder(source, tmp_path / "masks", LABELS, read="labelme")
    assert (summary.converted, summary.failed) == (2, 1)


def test_folders_are_converted_as_label_images_are(source: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    convert: Callable[[], Any] = lambda: convert_folder(source, masks, LABELS, read="labelme", threads=2)  # noqa: E731
    summary = convert()
    assert (summary.files, summary.converted, summary.failed) == (2, 2, 0)
    assert summary.pixels == {"_background_": 4600, "person": 200, "Bicycle": 0}
    mask = read_mask(masks / "day" / "a.png", 3)
    assert (mask[5:15, 5:15] == 1).all()
    assert (masks / "counts.csv").read_text().splitlines()[1].startswith("day/a.json,")
    (source / "day" / "b.json").write_bytes(annotation(shape("persom", [[0, 0], [9, 9]], "rectangle")))
    summary = convert()
    assert (summary.skipped, summary.failed) == (1, 1)
    assert summary.failures[0][0] == "day/b.json"
    assert "got 'persom', nearest is 'person'" in summary.failures[0][1]
    assert "nearest is 'person'" in summary.failures[0][1]
    assert not (masks / "day" / "b.png").exists()


def test_tiles_of_annotations_and_pictures(source: Path, tmp_path: Path) -> None:
    cut = Cut(tile=20)
    images = ImageTiles(cut, source, tmp_path / "tiles")
    summary = convert_folder(source, tmp_path / "masks", LABELS, read="labelme", cut=cut, images=images)
    assert summary.converted == 2
    tiles = sorted((tmp_path / "masks").rglob("*.png"))
    assert len(tiles) == 12
    for tile in tiles:
        picture = cv2.imread(str(tmp_path / "tiles" / tile.relative_to(tmp_path / "masks")))
        np.testing.assert_array_equal(picture[..., 0] == 200, read_mask(tile, 3) == 1)


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """What labelme_export_json leaves: in each folder the values mean something else."""
    for name, names in (("a_json", "_background_ Bicycle person"), ("b_json", "_background_ person")):
        folder = tmp_path / "exports" / name
        folder.mkdir(parents=True)
        lines = names.split()
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[5:15, 20:30] = lines.index("person")
        label[0, 0] = 255  # __ignore__
        image = Image.fromarray(label, "P") if name == "a_json" else Image.fromarray(label)
        if name == "a_json":
            image.putpalette(list(range(255, -1, -1)) * 3)
        image.save(folder / "label.png")
        (folder / "label_names.txt").write_text("".join(f"{line}\n" for line in lines))
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[5:15, 20:30] = 200
        for file in ("img.png", "label_viz.png"):
            cv2.imwrite(str(folder / file), picture)
    return tmp_path / "exports"


def test_exported_folders(exports: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    summary = convert_folder(exports, masks, LABELS, read="labelme")
    assert (summary.converted, summary.failed) == (2, 0)
    pairs = pair(exports, masks, image_template="{}/img.png", template="{}/label.png")
    assert [p.name for p in pairs] == ["a_json", "b_json"]
    for p in pairs:
        mask = read_mask(p.mask, 3)
        np.testing.assert_array_equal(mask == 1, cv2.imread(str(p.image))[..., 0] == 200)
        assert mask[0, 0] == 255
        assert np.count_nonzero(mask) == 101
    (exports / "a_json/label_names.txt").write_text("_background_\nBicycle\nblurred\n")
    assert convert_folder(exports, masks, LABELS, read="labelme").failed == 0
    assert (read_mask(masks / "a_json/label.png", 3)[5:15, 20:30] == 255).all(), "names may change alone"


def test_exported_tiles(exports: Path, tmp_path: Path) -> None:
    cut = Cut(tile=20)
    images = ImageTiles(cut, exports, tmp_path / "tiles", image_template="{}/img.png", template="{}/label.png")
    summary = convert_folder(exports, tmp_path / "masks", LABELS, read="labelme", cut=cut, images=images)
    assert (summary.converted, summary.failed) == (2, 0)
    tiles = pair(tmp_path / "tiles", tmp_path / "masks")
    assert len(tiles) == 12
    assert tiles[0].name == "a_json/a_json_00000_00000"


def test_exported_labels_that_cannot_be_read(exports: Path, tmp_path: Path) -> None:
    names, label = exports / "a_json/label_names.txt", exports / "a_json/label.png"
    reader = ShapeReader(LABELS)

    names.write_text("_background_\nBicycle\npersom\n")
    with pytest.raises(
        ValueError, match="value 2, label: expected a name in the label map, got 'persom', nearest is 'person'"
    ):
        reader.file(label)
    assert ShapeReader(LABELS, unknown="ignore").file(label)[0].counts == {0: HEIGHT * WIDTH - 101, 255: 101}
    names.write_text("_background_\nBicycle\n")
    with pytest.raises(ValueError, match="value 2: expected its name in label_names.txt, got 2 lines, from 0 on"):
        reader.file(label)
    with pytest.raises(ValueError, match="got 2299 pixels outside, the first at x=1, y=0; add a class '_background_'"):
        ShapeReader(BARE).file(exports / "b_json/label.png")
    with pytest.raises(ValueError, match=r"too large: expected at most 10 pixels \(max_pixels\), got 60 x 40; raise"):
        ShapeReader(LABELS, max_pixels=10).file(label)
    names.unlink()
    with pytest.raises(ValueError, match="expected label_names.txt beside it, to name its values, got none; export"):
        reader.file(label)
    names.write_text("_background_\n")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(label)
    with pytest.raises(ValueError, match="expected a palette PNG, as labelme writes it, got Pillow's mode RGB"):
        reader.file(label)
    for broken in (b"no PNG", (exports / "b_json/label.png").read_bytes()[:-30]):
        label.write_bytes(broken)
        with pytest.raises(ValueError, match="expected a PNG, got one that cannot be decoded"):
            reader.file(label)
    frames = [Image.new("L", (8, 8), number) for number in range(2)]
    frames[0].save(label, save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="expected one picture, got an animation of 2 frames; save the frame"):
        reader.file(label)


def test_command_line(source: Path, script: Script, tmp_path: Path) -> None:
    LABELS.save(tmp_path / "map.yaml")
    done = script("seg-preprocess", source=source, destination="masks", labels="map.yaml", read="labelme")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 converted" in done.stdout
    done = script("seg-preprocess", source=source, destination="other", labels="map.yaml", read="labelme",
                  background="Bicycle")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert int((read_mask(tmp_path / "other" / "day" / "a.png", 3) == 2).sum()) == HEIGHT * WIDTH - 100
    (source / "day" / "b.json").write_bytes(b"{}")
    done = script("seg-preprocess", source=source, destination="masks", labels="map.yaml", read="labelme")
    assert done.returncode == 1
    assert "day/b.json: expected an object with a list of shapes" in done.stderr


def test_wrong_requests(source: Path, tmp_path: Path) -> None:
    for options, reason in (
        ({"unknown": "nearest"}, "unknown: expected error or ignore with read=labelme, got 'nearest'"),
        ({"max_distance": 3}, "max_distance: expected only with colours, got 3 with read=labelme; leave it out"),
        ({"pattern": "*.png"}, r"source: expected label images \(.json label.png\), got none under"),
    ):
        with pytest.raises(ValueError, match=reason):
            convert_folder(source, tmp_path / "masks", LABELS, read="labelme", **options)


def test_shapes_that_draw_nothing_are_named(tmp_path: Path) -> None:
    empty = io.BytesIO()
    Image.new("1", (3, 3)).save(empty, "PNG")
    stored = shape("person", [[2, 2], [4, 4]], "mask", mask=base64.b64encode(empty.getvalue()).decode())
    polygon = shape("person", [[0.2, 0.2], [0.8, 0.2], [0.8, 1]])
    (tmp_path / "in").mkdir()
    for name, shapes in {"a": [], "b": [shape("person", [[3, 3], [9, 9]], "rectangle"), polygon, stored]}.items():
        (tmp_path / "in" / f"{name}.json").write_bytes(annotation(*shapes))
    assert sorted(convert_folder(tmp_path / "in", tmp_path / "m", LABELS, read="labelme").warnings) == [
        "1 annotations of 1 images cover no pixel, the first 'b.json' (shape 3); mend or remove them",
        "1 annotations of 1 images lie between 0 and 1, as fractions of the size do, the first 'b.json' (shape 2); "
        "give their corners in pixels",
        "1 images have no annotations, the first 'a.json'; their masks are background alone",
    ]


@pytest.mark.parametrize("name", ["/dev/zero", "pipe"])
def test_an_image_that_is_no_file(tmp_path: Path, name: str) -> None:
    """A device has no end, a pipe no beginning: the size is missing, and the next file is read."""
    (tmp_path / "labels").mkdir()
    os.mkfifo(tmp_path / "labels" / "pipe")
    about = {"shapes": [], "imagePath": name, "imageHeight": None, "imageWidth": None}
    (tmp_path / "labels" / "a.json").write_text(json.dumps(about))
    (tmp_path / "labels" / "b.json").write_text(json.dumps(about | {"imageHeight": 4, "imageWidth": 4}))
    labels = LabelMap([Label("rest", ((0, 0, 0),)), Label("car", ((9, 9, 9),))])
    summary = convert_folder(tmp_path / "labels", tmp_path / "masks", labels, read="labelme", background="rest")
    assert (summary.converted, summary.failed) == (1, 1)
    assert "imageHeight and imageWidth: expected whole numbers" in summary.failures[0][1]
