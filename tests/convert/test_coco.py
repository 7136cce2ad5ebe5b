"""COCO's JSON that the tests write; masks against pycocotools' own annToMask, painted one after the other.

python -m pytest tests/convert/test_coco.py
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script, fails
from PIL import Image

from seg.convert import convert_folder
from seg.convert.tiles import Cut, ImageTiles
from seg.images import read_mask
from seg.labels import Label, LabelMap

mask_api = pytest.importorskip("pycocotools.mask")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of its decode

LABELS = LabelMap(
    [
        Label("cat", values=(1,)),
        Label("dog", values=(2,)),
        Label("rest", values=(3,)),
        Label("blurred", values=(4,), ignore=True),
    ]
)
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}, {"id": 90, "name": "toaster"},
              {"id": 5, "name": "blurred"}]  # fmt: skip
HEIGHT, WIDTH = 40, 60
CAT, DOG, TOASTER, BLURRED = 17, 18, 90, 5


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def packed(pixels: np.ndarray) -> dict[str, Any]:
    """Compressed run lengths."""
    found = mask_api.encode(np.asfortranarray(pixels, np.uint8))
    return {"size": list(pixels.shape), "counts": found["counts"].decode()}


def plain(pixels: np.ndarray) -> dict[str, Any]:
    """Uncompressed run lengths."""
    flat = np.concatenate([[0], pixels.astype(int).ravel(order="F")])
    ends = np.flatnonzero(np.diff(np.append(flat, -1))).tolist()
    return {"size": list(pixels.shape), "counts": np.diff([0, *ends]).tolist()}


def annotation(number: Any, category: Any, segmentation: Any, image: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0} | more


def content(*annotations: Any, **changes: Any) -> dict[str, Any]:
    images = [{"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}]
    return {"images": images, "annotations": list(annotations), "categories": CATEGORIES} | changes


def write(folder: Path, data: Any, name: str = "instances.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(data if isinstance(data, str) else json.dumps(data))
    return folder


def only(tmp_path: Path, *annotations: Any, **options: Any) -> np.ndarray:
    """The mask of one image."""
    summary = convert_folder(
        write(tmp_path / "coco", content(*annotations)), tmp_path / "m", LABELS, read="coco", overwrite=True, **options
    )
    assert not summary.failed, summary.failures
    return read_mask(tmp_path / "m" / "a.png", 3)


def failure(tmp_path: Path, data: Any, **options: Any) -> str:
    """Name and reason of the one failure."""
    summary = convert_folder(write(tmp_path / "coco", data), tmp_path / "m", LABELS, read="coco", **options)
    assert summary.failed >= 1
    assert not list((tmp_path / "m").rglob("*.png")) or summary.converted
    return ": ".join(summary.failures[0])


def reference(annotations: list[dict[str, Any]], background: int) -> np.ndarray:
    """Each annotation by annToMask, in the documented order, pixel by pixel."""
    masks = []
    for item in annotations:
        form = item["segmentation"]
        if isinstance(form, list):
            rle = mask_api.merge(mask_api.frPyObjects(form, HEIGHT, WIDTH))
        elif isinstance(form["counts"], list):
            rle = mask_api.frPyObjects(form, HEIGHT, WIDTH)
        else:
            rle = form
        masks.append(mask_api.decode(rle).astype(bool))
    order = sorted(range(len(masks)), key=lambda i: -masks[i].sum())
    result = np.full((HEIGHT, WIDTH), background, np.uint8)
    for i in order:
        result[masks[i]] = {CAT: 0, DOG: 1, BLURRED: 255}[annotations[i]["category_id"]]
    return result


def random_annotations(seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(int(rng.integers(1, 9))):
        shape = rng.uniform(-5, [WIDTH + 5, HEIGHT + 5], (int(rng.integers(3, 9)), 2))
        shape[0] = rng.uniform(0, [WIDTH, HEIGHT])
        spots = rng.random((HEIGHT, WIDTH)) < rng.uniform(0, 1)
        forms: list[Any] = [[shape.ravel().tolist(), box(3, 3, 9.5, 12)], packed(spots), plain(spots)]
        form = forms[int(rng.integers(3))]
        crowd = int(not isinstance(form, list) and rng.random() < 0.5)
        made.append(annotation(number, int(rng.choice([CAT, DOG, BLURRED])), form, iscrowd=crowd))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_instances_equal_the_slow_reference(seed: int, tmp_path: Path) -> None:
    annotations = random_annotations(seed)
    np.testing.assert_array_equal(only(tmp_path, *annotations), reference(annotations, 255))
    np.testing.assert_array_equal(only(tmp_path, *annotations, background="rest"), reference(annotations, 2))


def test_smaller_instances_lie_above_larger_ones_and_crowds_too(tmp_path: Path) -> None:
    large, small = annotation(1, CAT, [box(0, 0, 40, 30)]), annotation(2, DOG, [box(5, 5, 15, 15)])
    for order in ((large, small), (small, large)):
        assert int((only(tmp_path, *order) == 1).sum()) == 100
    same = only(tmp_path, small, small | {"id": 3, "category_id": CAT})
    assert (same[5:15, 5:15] == 0).all(), "equal ones in the order of the file"
    spots = np.zeros((HEIGHT, WIDTH), bool)
    spots[6:9, 6:9] = True
    crowd = annotation(4, CAT, plain(spots), iscrowd=1)
    assert int((only(tmp_path, crowd, small)[5:15, 5:15] == 0).sum()) == 9, "CVAT marks its masks so"


def test_background_by_option_or_by_its_usual_name(tmp_path: Path) -> None:
    cat = annotation(1, CAT, [box(0, 0, 10, 10)])
    assert int((only(tmp_path, cat) == 255).sum()) == HEIGHT * WIDTH - 100
    assert int((only(tmp_path, cat, background="rest") == 2).sum()) == HEIGHT * WIDTH - 100
    assert int((only(tmp_path, cat, background="blurred") == 255).sum()) == HEIGHT * WIDTH - 100
    named = LabelMap([Label("background", values=(0,)), Label("cat", values=(1,))])
    convert_folder(tmp_path / "coco", tmp_path / "n", named, read="coco")
    assert int((read_mask(tmp_path / "n" / "a.png", 2) == 0).sum()) == HEIGHT * WIDTH - 100
    for options, reason in (
        (
            {"read": "coco", "background": "sky"},
            r"background: expected a class of the map \(cat, .*\), got 'sky'; choose",
        ),
        ({"background": "rest"}, "background: expected only with annotations, got 'rest' with read=auto; leave it out"),
        ({"read": "coco", "unknown": "nearest"}, "unknown: expected error or ignore with read=coco, got 'nearest'"),
        ({"read": "coco", "max_distance": 3}, "max_distance: expected only with colours, got 3 with read=coco; leave"),
    ):
        with pytest.raises(ValueError, match=reason):
            convert_folder(tmp_path / "coco", tmp_path / "o", LABELS, **options)


GOOD = annotation(7, CAT, [box(0, 0, 10, 10)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"category_id": TOASTER}, "label: expected a name in the label map, got 'toaster', nearest is '.*'; add it"),
        ({"category_id": 99}, "category_id: expected the id of a category, got 99; add it to categories"),
        ({"category_id": "17"}, "category_id: expected the id of a category, got '17'"),
        ({"category_id": None}, "category_id: expected the id of a category, got None"),
        ({"segmentation": None}, "segmentation: expected polygons or run lengths, got None; export masks, not boxes"),
        ({"segmentation": []}, r"segmentation: expected polygons or run lengths, got \[\]"),
        ({"segmentation": "x"}, "segmentation: expected polygons or run lengths, got x"),
        ({"segmentation": box(0, 0, 9, 9)}, r"segmentation: expected polygons \[\[x, y, x, y, ...\], ...\], got \[0"),
        ({"segmentation": [[0, 0, 9, 9]]}, "polygon: expected at least 3 points, got 2; mend or remove"),
        ({"segmentation": [[0, 0, 9, 9, 4, 4, 1]]}, r"segmentation: expected polygons"),
        ({"segmentation": [[0, 0, 9, float("nan"), 9, 9]]}, "segmentation: expected numbers less than a million"),
        ({"segmentation": [[0, 0, 9, float("inf"), 9, 9]]}, "segmentation: expected numbers less than a million"),
        ({"segmentation": [[0, 0, 9, "9", 9, 9]]}, r"segmentation: expected \[\[x, y\], ...\], got"),
        ({"segmentation": [box(70, 50, 80, 60)]}, "polygon: expected one within the 60 x 40 pixels of the image, got x "
                                                  "from 70 to 80 and y from 50 to 60"),
        ({"segmentation": [box(-20, 5, -10, 9)]}, "polygon: expected one within the 60 x 40"),
        ({"segmentation": [box(-9e5, -9e5, 9e5, 9e5)]}, "expected at most .* pixels of outline, got 7200000"),
        ({"segmentation": {"size": [WIDTH, HEIGHT], "counts": [2400]}},
         r"segmentation: expected run lengths of size \[40, 60\], as the image has, got \[60, 40\]; export"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [2300, 99]}}, "2400 pixels together, got a sum of 2399"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [2500, -100]}}, "pixels together, got a sum of 2400"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [1.5, "a"]}}, r"pixels together, got \[1.5, 'a'\]"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": None}}, "pixels together, got None"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "PPPP"}}, "run lengths"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "o" * 99}}, "run lengths as pycocotools writes them"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "\x00é"}}, "run lengths as pycocotools writes them"),
        ({"segmentation": {"counts": [2400]}}, "expected polygons or run lengths, got {'counts': .2400.}"),
    ],
)  # fmt: skip
def test_odd_annotations_fail_their_image_by_name(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    other = {"id": 2, "file_name": "b.jpg", "height": HEIGHT, "width": WIDTH}
    data = content(GOOD | change, GOOD | {"id": 8, "image_id": 2})
    data["images"].append(other)
    found = failure(tmp_path, data)
    assert re.search(f"^a.jpg: instances.json, annotation 7: .*{reason}", found), found
    assert [path.name for path in (tmp_path / "m").glob("*.png")] == ["b.png"]


def image(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH} | changes


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "instances.json: expected JSON as COCO has it, got another or a damaged file"),
        ("[1]", "instances.json: expected an object with a list of images, as COCO has it"),
        ("1" * 5000, "instances.json: expected JSON"),
        (content(images=[]), "instances.json: images: expected at least one, got none"),
        (content(images=[3]), "instances.json: images: expected a list of objects"),
        (content(annotations=None), "a.jpg: instances.json, annotations: expected a list of objects, got None"),
        (content(categories=None), "a.jpg: instances.json, categories: expected a list of objects, got None"),
        (content(categories=[*CATEGORIES, CATEGORIES[0]]), "category 5: expected each id once, got 18 twice"),
        (content(images=[image(), image(file_name="b.jpg")]), "a.jpg: .*image 2: expected each id once, got 1 twice"),
        (content(images=[image(id=None)]), "image 1: expected a number as id, got None"),
        (content(GOOD, images=[image(id="1")]), "expected as image_id the id of an image, got 1; mend it"),
        (content(GOOD | {"image_id": "1"}), "expected as image_id the id of an image, got '1'; mend"),
        (content(GOOD | {"image_id": [1]}), r"expected as image_id the id of an image, got \[1\]"),
        (content(images=[image(height=None)]), "a.jpg: instances.json, height and .*, got None and 60; add"),
        (content(images=[image(width=0)]), "height and width: expected whole numbers of at least 1, got 40 and 0"),
        (content(images=[image(width="60")]), "height and width: expected .*, got 40 and '60'"),
        (content(images=[image(width=1 << 40)]), "a.jpg: instances.json, too large: expected at most .*max_pixels"),
        (content(images=[image(file_name="../a.jpg")]), "image 1: file_name: expected a path .*, got '../a.jpg'"),
        (content(images=[image(file_name="x\\..\\..\\a.jpg")]), "file_name: expected a path below"),
        (content(images=[image(file_name="/etc/a.jpg")]), "file_name: expected a path below"),
        (content(images=[image(file_name="C:\\a.jpg")]), "file_name: expected a path below"),
        (content(images=[image(file_name="https://x.y/a.jpg")]), "file_name: expected a path below"),
        (content(images=[image(file_name="\ud800.jpg")]), "file_name: expected a path below the folder"),
        (content(images=[image(file_name=None)]), "file_name: expected a path below the folder .*, got None"),
        (content(images=[image(), image(id=2, file_name="a.png")]), "a.jpg and a.png would write one mask, a.png"),
    ],
)  # fmt: skip
def test_odd_files_are_refused_by_name(data: Any, reason: str, tmp_path: Path) -> None:
    found = failure(tmp_path, data)
    assert re.search(reason, found), found
    assert "\n" not in found
    assert not list(tmp_path.rglob("*.png"))


def test_names_that_the_map_lacks_matter_only_where_they_are_used(tmp_path: Path) -> None:
    assert int((only(tmp_path, GOOD) == 0).sum()) == 100  # a toaster is a category, but nowhere to be seen
    odd = GOOD | {"category_id": TOASTER}
    assert int((only(tmp_path, odd, unknown="ignore", background="rest") == 255).sum()) == 100


@pytest.fixture
def roboflow(tmp_path: Path) -> Path:
    """Two folders with pictures and a JSON file each."""
    for part in ("train", "valid"):
        images, annotations = [], []
        for number in range(4):
            images.append(image(id=number, file_name=f"{part}{number}.jpg"))
            left = 5 * number
            annotations.append(annotation(number, CAT, [box(left, 5, left + 10, 15)], image=number))
            picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            picture[5:15, left : left + 10] = 200
            (tmp_path / "set" / part).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "set" / part / f"{part}{number}.jpg"), picture)
        write(tmp_path / "set" / part, content(*annotations, images=images), "_annotations.coco.json")
    return tmp_path / "set"


def test_folders_are_converted_as_label_images_are(roboflow: Path, tmp_path: Path) -> None:
    masks, file = tmp_path / "masks", roboflow / "train" / "_annotations.coco.json"
    convert: Callable[[], Any] = lambda: convert_folder(roboflow, masks, LABELS, read="coco", background="rest")  # noqa: E731
    summary = convert()
    assert (summary.files, summary.converted, summary.failed) == (8, 8, 0)
    assert summary.pixels == {"cat": 800, "dog": 0, "rest": 8 * (HEIGHT * WIDTH - 100)}
    assert {path.relative_to(masks).as_posix() for path in masks.rglob("*.png")} == {
        f"{part}/{part}{number}.png" for part in ("train", "valid") for number in range(4)
    }
    assert (masks / "counts.csv").read_text().splitlines()[1].startswith("train/train0.jpg,")
    os.utime(file, ns=(1, 1))
    assert convert().skipped == 8, "touched, but the same"
    data = json.loads(file.read_text())
    data["annotations"][2]["category_id"] = DOG
    data["annotations"][3]["category_id"] = 99
    data["categories"][2]["name"] = "kettle"  # used nowhere
    file.write_text(json.dumps(data))
    summary = convert()
    assert (summary.skipped, summary.converted, summary.failed) == (6, 1, 1)
    assert summary.failures[0][0] == "train/train3.jpg"
    assert not (masks / "train" / "train3.png").exists()
    assert (read_mask(masks / "train" / "train2.png", 3)[5:15, 10:20] == 1).all()
    file.write_text("{")
    summary = convert()
    assert (summary.skipped, summary.failed, summary.failures[0][0]) == (4, 1, "train/_annotations.coco.json")


def test_shards_and_threads_and_a_file_as_source(roboflow: Path, tmp_path: Path) -> None:
    file = roboflow / "train" / "_annotations.coco.json"
    one, many = tmp_path / "one", tmp_path / "many"
    assert convert_folder(file, one, LABELS, read="coco", threads=1).converted == 4
    parts = [convert_folder(file, many, LABELS, read="coco", shard=(i, 3), threads=2).converted for i in (1, 2, 3)]
    assert sum(parts) == 4
    assert convert_folder(file, many, LABELS, read="coco").skipped == 4
    for path in one.glob("*.png"):
        assert path.read_bytes() == (many / path.name).read_bytes()
    assert (one / "counts.csv").read_bytes() == (many / "counts.csv").read_bytes()
    assert convert_folder(roboflow, one, LABELS, read="coco", pattern="valid/*.json").converted == 4
    assert convert_folder(file, roboflow / "train" / "masks", LABELS, read="coco").converted == 4
    with pytest.raises(ValueError, match="destination: expected another folder than that of source"):
        convert_folder(file, roboflow / "train", LABELS, read="coco")
    with pytest.raises(ValueError, match="destination: expected a folder outside source"):
        convert_folder(roboflow, roboflow / "masks", LABELS, read="coco")
    assert not (roboflow / "masks").exists()
    with pytest.raises(ValueError, match=r"source: expected label images \(.json\), got none"):
        convert_folder(roboflow, one, LABELS, read="coco", pattern="*.txt")


def test_tiles_of_annotations_and_pictures(roboflow: Path, tmp_path: Path) -> None:
    cut = Cut(tile=20)
    images = ImageTiles(cut, roboflow, tmp_path / "tiles")
    summary = convert_folder(roboflow, tmp_path / "masks", LABELS, read="coco", cut=cut, images=images)
    assert summary.converted == 8
    tiles = sorted((tmp_path / "masks").rglob("*.png"))
    assert len(tiles) == 48
    for tile in tiles:
        picture = cv2.imread(str(tmp_path / "tiles" / tile.relative_to(tmp_path / "masks")))
        assert ((picture[..., 0] > 100) == (read_mask(tile, 3) == 0)).mean() > 0.95  # JPEG


@pytest.fixture
def panoptic(tmp_path: Path) -> Path:
    """A JSON file beside the folder of its PNG."""
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    ids[5:15, 10:30], ids[20:30, 20:40], ids[30:, :5] = 70_000, 300, 2
    png = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    segments = [{"id": 70_000, "category_id": CAT, "iscrowd": 0}, {"id": 300, "category_id": DOG, "iscrowd": 1},
                {"id": 2, "category_id": BLURRED, "iscrowd": 0}]  # fmt: skip
    data = content({"image_id": 1, "file_name": "a.png", "segments_info": segments})
    write(tmp_path / "pan", data, "panoptic_val.json")
    (tmp_path / "pan" / "panoptic_val").mkdir()
    cv2.imwrite(str(tmp_path / "pan" / "panoptic_val" / "a.png"), png[..., ::-1])
    return tmp_path / "pan"


def test_panoptic_segments(panoptic: Path, tmp_path: Path) -> None:
    convert: Callable[[], Any] = lambda: convert_folder(  # noqa: E731
        panoptic / "panoptic_val.json", tmp_path / "m", LABELS, read="coco", background="rest"
    )
    assert convert().converted == 1
    expected = np.full((HEIGHT, WIDTH), 2, np.uint8)
    expected[5:15, 10:30], expected[20:30, 20:40], expected[30:, :5] = 0, 1, 255
    np.testing.assert_array_equal(read_mask(tmp_path / "m" / "a.png", 3), expected)
    assert convert().skipped == 1
    png = panoptic / "panoptic_val" / "a.png"
    image = cv2.imread(str(png))
    image[0, 0] = (0, 0, 9)  # BGR
    cv2.imwrite(str(png), image)
    reason = "panoptic_val.json, annotation of image 1: segment 9: expected it in segments_info, got none; add it"
    assert convert().failures == (("a.jpg", reason),)
    cv2.imwrite(str(png), image[1:])
    assert (
        "'a.png': expected RGB of 60 x 40 pixels, got Pillow's mode RGB of 60 x 39; export" in convert().failures[0][1]
    )
    cv2.imwrite(str(png), image[..., 0])
    assert "got Pillow's mode L of" in convert().failures[0][1]
    frames = [Image.fromarray(np.roll(image, number, 0)) for number in range(2)]
    frames[0].save(png, save_all=True, append_images=frames[1:])
    assert "'a.png': expected one picture, got an animation of 2 frames; save the frame" in convert().failures[0][1]
    png.write_bytes(b"no PNG")
    assert "'a.png': expected a PNG, got one that cannot be decoded" in convert().failures[0][1]
    png.unlink()
    assert "file_name: expected its PNG at '" in convert().failures[0][1]
    assert not list((tmp_path / "m").glob("*.png"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segments_info": None}, "segments_info: expected a list of objects, got None"),
        ({"segments_info": [{"id": [2], "category_id": CAT}]}, "segments_info: expected a whole number as id, got [2]"),
        ({"segments_info": [{"id": 2}]}, "category_id: expected the id of a category, got None"),
        ({"segments_info": [{"id": 2, "category_id": TOASTER}]}, "got 'toaster'"),
        ({"file_name": "../a.png"}, "file_name: expected its PNG"),
    ],
)
def test_odd_panoptic_annotations(change: dict[str, Any], reason: str, panoptic: Path, tmp_path: Path) -> None:
    file = panoptic / "panoptic_val.json"
    data = json.loads(file.read_text())
    data["annotations"][0] |= change
    file.write_text(json.dumps(data))
    found = ": ".join(convert_folder(file, tmp_path / "m", LABELS, read="coco").failures[0])
    assert "a.jpg: panoptic_val.json, annotation of image 1: " in found
    assert reason in found


def test_command_line(roboflow: Path, script: Script, tmp_path: Path) -> None:
    LABELS.save(tmp_path / "map.yaml")
    options = {"source": roboflow, "destination": "masks", "labels": "map.yaml", "read": "coco"}
    done = script("seg-preprocess", **options, background="rest")
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 converted" in done.stdout
    assert int((read_mask(tmp_path / "masks" / "train" / "train0.png", 3) == 2).sum()) == HEIGHT * WIDTH - 100
    done = script("seg-preprocess", **options, background="rest", json="true")
    assert json.loads(done.stdout)["skipped"] == 8
    write(roboflow / "valid", content(GOOD | {"segmentation": []}), "_annotations.coco.json")
    done = script("seg-preprocess", **options)
    assert "valid/a.jpg: _annotations.coco.json, annotation 7: segmentation: expected polygons" in done.stderr
    fails(done, 1, "1 of 5 files failed")
    fails(script("seg-preprocess", **options, background="Rest"), 2, r"background: expected a class of the map")
    inverse = options | {"read": "auto", "source": "masks", "destination": "c", "inverse": "true", "background": "rest"}
    fails(script("seg-preprocess", **inverse), 2, "expected inverse=true without background")
    fails(
        script("seg-preprocess", **options | {"read": "yola"}),
        2,
        "read: expected .*coco, .*, labelstudio or yolo, got",
    )


def test_a_missing_library_names_the_extra(
    roboflow: Path, fresh_script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LABELS.save(tmp_path / "map.yaml")
    write(tmp_path / "hidden" / "pycocotools", "raise ImportError", "__init__.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    done = fresh_script("seg-preprocess", source=roboflow, destination="masks", labels="map.yaml", read="coco")
    fails(done, 2, r"read=coco: expected pycocotools, .* got none; pip install 'seg-toolkit\[coco\]'")
    assert not (tmp_path / "masks").exists()


FRACTIONS = [0.1, 0.1, 0.4, 0.1, 0.4, 0.5]


def test_annotations_that_draw_nothing_are_named(tmp_path: Path, script: Script) -> None:
    LABELS.save(tmp_path / "map.yaml")
    images = [{"id": n, "file_name": f"{n}.jpg", "height": HEIGHT, "width": WIDTH} for n in (1, 2, 3)]
    thin = box(10.2, 10.2, 10.3, 10.3)
    drawn = annotation(7, CAT, [box(5, 5, 20, 20)])
    some = [drawn, annotation(8, CAT, [thin], 2), annotation(9, DOG, plain(np.zeros((HEIGHT, WIDTH))), 2),
            annotation(10, DOG, [FRACTIONS, box(0, 0, 1, 1)], 2), annotation(3, CAT, [box(2, 2, 9, 9)], 2)]  # fmt: skip
    for again in (False, True):  # of unchanged files, too
        write(tmp_path / "in", content(*some, images=images))
        result = script("seg-preprocess", source="in", destination="m", labels="map.yaml", read="coco")
        assert result.returncode == 0, (again, result.stderr)
        said = sorted(result.stderr.splitlines())
        assert (
            "1 annotations of 1 images lie between 0 and 1, as fractions of the size do, the first '2.jpg' " in said[0]
        )
        assert "(annotation 10); give their corners in pixels" in said[0]
        assert "1 images have no annotations, the first '3.jpg'; their masks are background alone" in said[1]
        assert "2 annotations of 1 images cover no pixel, the first '2.jpg' (annotation 8); mend or remove" in said[2]
    write(tmp_path / "none", content())
    result = script("seg-preprocess", source="none", destination="n", labels="map.yaml", read="coco")
    assert "1 images have no annotations, the first 'a.jpg'" in result.stderr


def test_names_of_images_elsewhere(tmp_path: Path, script: Script) -> None:
    LABELS.save(tmp_path / "map.yaml")
    odd = ("C:\\images\\1.jpg", "/mnt/data/2.jpg", "../3.jpg", "images\\4.jpg", "https://x.org/data/5.jpg", "6.jpg")
    images = [image(id=number, file_name=name) for number, name in enumerate(odd, start=1)]
    marks = [annotation(number, CAT, [box(number, 5, 20, 20)], number) for number in range(1, 7)]
    write(tmp_path / "in", content(*marks, images=images))
    words = {"source": "in", "labels": "map.yaml", "read": "coco"}
    result = script("seg-preprocess", destination="m", **words)
    fails(result, 1, "3 of 6 files failed|4 of 6 files failed")
    assert "shorten it, or use names=last, its last part alone" in result.stderr
    result = script("seg-preprocess", destination="m", **words, names="last")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "m").rglob("*.png")) == [f"{number}.png" for number in range(1, 7)]
    for number in range(1, 7):
        assert (read_mask(tmp_path / "m" / f"{number}.png", 3)[5:20, number:20] == 0).all()
    images[0]["file_name"] = "D:\\6.jpg"
    write(tmp_path / "in", content(*marks, images=images))
    result = script("seg-preprocess", destination="n", **words, names="last")
    fails(result, 1, "2 of 6 files failed")
    assert (
        "2 images of that name would write one mask, 6.png; leave names=last out, or rename all but one"
        in result.stderr
    )
    assert not (tmp_path / "n" / "6.png").exists()
    fails(script("seg-preprocess", destination="n", **words, names="all"), 2, "names: expected path or last, got 'all'")
    words["read"] = "labelme"
    result = script("seg-preprocess", destination="n", **words, names="last")
    fails(
        result,
        2,
        "names: expected only with read=coco, cvat or labelstudio, got 'last' with read=labelme; leave it out",
    )
