"""Masks as annotations, and back through our readers.

python -m pytest tests/convert/test_writing.py
"""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from conftest import Script, fails
from PIL import Image
from pycocotools.coco import COCO

from seg.convert import convert_folder
from seg.convert.runs import brushed
from seg.convert.writing import FORMS, write_folder
from seg.labels import Label, LabelMap

NAMES = ("road", 'a "b" & <c>', "straße", "pole")
LABELS = LabelMap(
    [*(Label(name, ((10 * n + 10, n, 7),)) for n, name in enumerate(NAMES)), Label("void", ((0, 0, 0),), ignore=True)]
)
ALL = [form.write for form in FORMS]


def made_masks(folder: Path, count: int = 3, height: int = 40, width: int = 52) -> dict[str, np.ndarray]:
    """Blobs, holes and specks of four classes, and 255 among them, one of them in a folder of its own."""
    made = {}
    for seed in range(count):
        noise = np.random.default_rng(seed).normal(size=(5, height, width))
        smooth = np.stack([cv2.GaussianBlur(layer, (0, 0), 1 + n) * (1 + n) for n, layer in enumerate(noise)])
        made["sub/b" if seed == 1 else f"a{seed}"] = np.array([0, 1, 2, 3, 255], np.uint8)[smooth.argmax(0)]
    for name, mask in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), mask)
    return made


@pytest.fixture
def masks(tmp_path: Path) -> dict[str, np.ndarray]:
    return made_masks(tmp_path / "masks")


def written(tmp_path: Path, write: str, **options: Any) -> Any:
    return write_folder(tmp_path / "masks", tmp_path / "out", LABELS, write=write, **options)


def differing(folder: Path, masks: dict[str, np.ndarray]) -> int:
    """Count the pixels of masks that were read back that are others."""
    return sum(int((cv2.imread(str(folder / f"{n}.png"), cv2.IMREAD_UNCHANGED) != m).sum()) for n, m in masks.items())


BACK: dict[str, tuple[str, dict[str, Any]]] = {
    "coco": ("annotations/instances_default.json", {"read": "coco"}),
    "labelme": ("annotations", {"read": "labelme", "unknown": "ignore"}),
    "cvat": ("annotations.xml", {"read": "cvat"}),
    "labelstudio": ("tasks.json", {"read": "labelstudio"}),
    "yolo": ("labels", {"read": "yolo", "sizes_of": "masks"}),
}


@pytest.mark.parametrize("write", BACK)
def test_there_and_back(write: str, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    summary = written(tmp_path, write)
    assert (summary.converted, summary.failed, summary.warnings) == (3, 0, ())
    source, options = BACK[write]
    if "sizes_of" in options:
        options = {**options, "sizes_of": tmp_path / "masks"}
    back = convert_folder(tmp_path / "out" / source, tmp_path / "back", LABELS, **options)
    assert (back.converted, back.failed) == (3, 0)
    assert differing(tmp_path / "back", masks) == 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools itself
def test_pycocotools_reads_what_is_written(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    written(tmp_path, "coco")
    read = COCO(str(tmp_path / "out/annotations/instances_default.json"))
    assert [category["name"] for category in read.loadCats(read.getCatIds())] == list(NAMES)
    assert {image["file_name"] for image in read.loadImgs(read.getImgIds())} == {f"{name}.png" for name in masks}
    for image in read.loadImgs(read.getImgIds()):
        mask = masks[image["file_name"].removesuffix(".png")]
        assert (image["height"], image["width"]) == mask.shape
        drawn = np.full(mask.shape, 255, np.uint8)
        for annotation in read.loadAnns(read.getAnnIds(image["id"])):
            pixels = read.annToMask(annotation).astype(bool)
            x, y, width, height = annotation["bbox"]
            assert (annotation["area"], annotation["iscrowd"]) == (pixels.sum(), 0)
            assert pixels[y : y + height, x : x + width].sum() == pixels.sum()
            drawn[pixels] = annotation["category_id"] - 1
        assert (drawn == mask).all()
    assert len({annotation["id"] for annotation in read.loadAnns(read.getAnnIds())}) == len(read.getAnnIds())


@pytest.mark.parametrize("tolerance", [0, 1.5])
def test_polygons_of_coco_lose_what_is_said(tolerance: float, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    summary = written(tmp_path, "coco", shapes="polygons", tolerance=tolerance)
    lost = sum(json.loads(line).get("lost", 0) for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines())
    convert_folder(tmp_path / "out/annotations", tmp_path / "back", LABELS, read="coco")
    assert differing(tmp_path / "back", masks) == lost
    assert (lost > 0) == (tolerance > 0) == bool(summary.warnings)
    if tolerance:
        assert f"polygons: {lost} pixels of 3 files are of another class when they are drawn" in summary.warnings[0]


def test_polygons_of_yolo(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    """Drawn as ultralytics does: whole parts of the corners, `cv2.fillPoly`."""
    assert written(tmp_path, "yolo").warnings == ()
    for name, mask in masks.items():
        drawn = np.full(mask.shape, 255, np.uint8)
        for line in (tmp_path / f"out/labels/{name}.txt").read_text().splitlines():
            value, *numbers = line.split()
            assert len(numbers) >= 6
            corners = np.array(numbers, float).reshape(-1, 2)
            assert (corners >= 0).all()
            assert (corners <= 1).all()
            points = (corners * mask.shape[::-1]).astype(np.int32)
            cv2.fillPoly(drawn, [points], (int(value),))
        assert (drawn == mask).all()
    text = (tmp_path / "out/data.yaml").read_text(encoding="utf-8")
    assert text.splitlines()[3:] == ["names:", '  0: "road"', '  1: "a \\"b\\" & <c>"', '  2: "straße"', '  3: "pole"']


def test_masks_of_cvat(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    written(tmp_path, "cvat")
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()
    assert [name.text for name in root.iterfind("meta/task/labels/label/name")] == list(NAMES)
    assert root.findtext("meta/task/labels/label/color") == "#0a0007"
    images = root.findall("image")
    assert [image.get("id") for image in images] == ["0", "1", "2"]
    for image in images:
        mask = masks[str(image.get("name")).removesuffix(".png")]
        drawn = np.full(mask.shape, 255, np.uint8)
        for item in image.iterfind("mask"):
            left, top, width, height = (int(str(item.get(key))) for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in str(item.get("rle")).split(", ")]
            pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
            drawn[top : top + height, left : left + width][pixels] = NAMES.index(str(item.get("label")))
        assert (drawn == mask).all()


def test_tiny_masks_byte_by_byte(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/a.png"), np.array([[255, 0, 0], [255, 255, 0]], np.uint8))
    written(tmp_path, "cvat")
    lines = (tmp_path / "out/annotations.xml").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if "<image" in line)
    assert lines[at:] == [
        '  <image id="0" name="a.png" width="3" height="2">',
        '    <mask label="road" source="file" occluded="0" rle="0, 2, 1, 1" left="1" top="0" width="2" height="2" '
        'z_order="0"></mask>',
        "  </image>",
        "</annotations>",
    ]
    write_folder(tmp_path / "masks", tmp_path / "yolo", LABELS, write="yolo")
    assert (tmp_path / "yolo/labels/a.txt").read_text() == "0 0.5 0.25 0.8333333 0.75 0.8333333 0.25\n"
    write_folder(tmp_path / "masks", tmp_path / "geo", LABELS, write="geojson")
    (feature,) = json.loads((tmp_path / "geo/geojson/a.geojson").read_text())["features"]
    assert feature["properties"] == {"class": "road", "index": 0}
    assert feature["geometry"]["type"] == "Polygon"
    assert feature["geometry"]["coordinates"] == [[[1, 0], [3, 0], [3, 2], [2, 2], [2, 1], [1, 1], [1, 0]]]
    write_folder(tmp_path / "masks", tmp_path / "studio", LABELS, write="labelstudio")
    (task,) = json.loads((tmp_path / "studio/tasks.json").read_text())
    assert task["data"] == {"image": "a.png", "width": 3, "height": 2}
    (result,) = task["annotations"][0]["result"]
    assert (result["original_width"], result["original_height"], result["type"]) == (3, 2, "brushlabels")
    assert (result["value"]["format"], result["value"]["brushlabels"]) == ("rle", ["road"])
    view = ElementTree.parse(tmp_path / "studio/config.xml").getroot()
    assert [label.get("value") for label in view.iter("Label")] == list(NAMES)
    brushes, image = view.find("BrushLabels"), view.find("Image")
    assert brushes is not None
    assert image is not None
    assert (brushes.get("name"), image.get("name")) == (result["from_name"], result["to_name"])


def test_palettes_of_voc(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    summary = written(tmp_path, "voc", background="road")
    assert summary.failed == 0
    for name, mask in masks.items():
        with Image.open(tmp_path / f"out/SegmentationClass/{name}.png") as image:
            assert image.mode == "P"
            assert (np.array(image) == np.where(mask == 0, 255, mask)).all()
            assert image.getpalette()[3:6] == [20, 1, 7]  # type: ignore[index]
            assert image.getpalette()[-3:] == [0, 0, 0]  # type: ignore[index]  # of the class that is ignored
    assert (tmp_path / "out/ImageSets/Segmentation/default.txt").read_text() == "a0\na2\nsub/b\n"
    plain = LabelMap(label for label in LABELS.labels if not label.ignore)
    write_folder(tmp_path / "masks", tmp_path / "plain", plain, write="voc")
    assert (tmp_path / "plain/labelmap.txt").read_text(encoding="utf-8").splitlines()[-1] == "void:224,224,192::"
    labels = LabelMap.load(tmp_path / "plain/labelmap.txt", ignore=["void"])
    convert_folder(tmp_path / "plain/SegmentationClass", tmp_path / "back", labels)
    assert differing(tmp_path / "back", masks) == 0


def test_geojson_in_the_coordinates_of_a_geotiff(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    """With holes, outer rings to the left; areas add up."""
    tifffile = pytest.importorskip("tifffile")
    (tmp_path / "images/sub").mkdir(parents=True)
    keys = (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [(33550, 12, 3, (0.5, 0.25, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0), True)]
    for name, mask in masks.items():
        extra = [] if name == "a2" else [*tags, (34735, 3, len(keys), keys, True)]
        tifffile.imwrite(tmp_path / f"images/{name}.tif", mask, extratags=extra)
    assert written(tmp_path, "geojson", images=tmp_path / "images").failed == 0
    for name, mask in masks.items():
        content = json.loads((tmp_path / f"out/geojson/{name}.geojson").read_text())
        assert ("crs" in content) == (name != "a2")
        areas = np.zeros(4)
        for feature in content["features"]:
            assert feature["geometry"]["type"] == "Polygon"
            for number, ring in enumerate(feature["geometry"]["coordinates"]):
                assert ring[0] == ring[-1]
                x, y = np.array(ring).T
                area = float(x[:-1] @ y[1:] - y[:-1] @ x[1:]) / 2
                assert (area > 0) == (number == 0)
                areas[feature["properties"]["index"]] += area
        unit = 1 if name == "a2" else 0.5 * 0.25
        np.testing.assert_allclose(areas, np.bincount(mask[mask != 255], minlength=4) * unit)
        xs = [
            point[0] for feature in content["features"] for ring in feature["geometry"]["coordinates"] for point in ring
        ]
        assert (min(xs) >= 1000) == (name != "a2")
    assert content["name"] == "a2"


def test_labelme_finds_the_image(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    (tmp_path / "images/sub").mkdir(parents=True)
    for name, mask in masks.items():
        cv2.imwrite(str(tmp_path / f"images/{name}.jpg"), mask)
    written(tmp_path, "labelme", images=tmp_path / "images")
    for name in masks:
        file = tmp_path / f"out/annotations/{name}.json"
        content = json.loads(file.read_text())
        assert (file.parent / content["imagePath"]).resolve() == tmp_path / f"images/{name}.jpg"
        assert {shape["shape_type"] for shape in content["shapes"]} == {"mask"}
    (tmp_path / "images/a0.jpg").rename(tmp_path / "images/a0.bmp")
    again = written(tmp_path, "labelme", images=tmp_path / "images")
    assert (again.converted, again.skipped) == (1, 2)
    assert json.loads((tmp_path / "out/annotations/a0.json").read_text())["imagePath"].endswith("images/a0.bmp")
    written(tmp_path, "labelme")
    assert json.loads((tmp_path / "out/annotations/sub/b.json").read_text())["imagePath"] == "b.png"


def test_objects_are_regions(tmp_path: Path) -> None:
    """A numbered object of two parts is one annotation; touching objects of one class are two."""
    mask, numbers = np.zeros((4, 9), np.uint8), np.zeros((4, 9), np.uint16)
    numbers[:, :2], numbers[:, 2:4], numbers[:, 8] = 1, 2, 1
    for folder, image in (("masks", mask), ("numbers", numbers)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), image)
    written(tmp_path, "coco", instances=tmp_path / "numbers")
    found = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())["annotations"]
    assert [annotation["area"] for annotation in found] == [12, 8, 16]
    again = convert_folder(tmp_path / "out/annotations", tmp_path / "m", LABELS, read="coco", instances=tmp_path / "n")
    assert again.failed == 0
    back = cv2.imread(str(tmp_path / "n/a.png"), cv2.IMREAD_UNCHANGED)
    assert len({*zip(numbers.ravel().tolist(), back.ravel().tolist(), strict=True)}) == 3
    write_folder(tmp_path / "masks", tmp_path / "g", LABELS, write="geojson", instances=tmp_path / "numbers")
    features = json.loads((tmp_path / "g/geojson/a.geojson").read_text())["features"]
    assert [feature["geometry"]["type"] for feature in features] == ["MultiPolygon", "Polygon", "Polygon"]
    assert [feature["properties"].get("object") for feature in features] == [1, 2, None]
    cv2.imwrite(str(tmp_path / "numbers/a.png"), numbers[:, :5])
    summary = written(tmp_path, "coco", instances=tmp_path / "numbers")  # other numbers: the mask is done again
    assert "expected the numbers of the objects at 9 x 4 pixels, as the mask has, got 5 x 4" in summary.failures[0][1]
    assert not (tmp_path / "out/annotations/instances_default.json").exists()


@pytest.mark.parametrize("write", ALL)
def test_unchanged_masks_are_skipped(write: str, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    """What is written after changes is what a first call would have written, whatever the number of threads."""
    written(tmp_path, write, threads=3)
    again = written(tmp_path, write)
    assert (again.converted, again.skipped, again.failed) == (0, 3, 0)
    cv2.imwrite(str(tmp_path / "masks/a0.png"), 3 - masks["a2"] // 85)
    (tmp_path / "masks/sub/b.png").unlink()
    changed = written(tmp_path, write)
    assert (changed.converted, changed.skipped, changed.failed) == (1, 1, 0)
    assert "1 masks were removed with their labels" in " ".join(changed.warnings)
    write_folder(tmp_path / "masks", tmp_path / "fresh", LABELS, write=write)
    others = {"manifest.jsonl", "manifest.json", ".lock"}
    files, fresh = (
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "out", tmp_path / "fresh")
    )
    assert {name: data for name, data in files.items() if name not in others} == {
        name: data for name, data in fresh.items() if name not in others
    }


def test_a_bad_mask_stops_no_other(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    cv2.imwrite(str(tmp_path / "masks/high.png"), np.full((3, 4), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "masks/colour.png"), np.zeros((3, 4, 3), np.uint8))
    (tmp_path / "masks/torn.png").write_bytes((tmp_path / "masks/a0.png").read_bytes()[:60])
    summary = written(tmp_path, "coco")
    assert (summary.converted, summary.failed) == (3, 3)
    reasons = dict(summary.failures)
    assert "mask: expected 0..3 or 255, got 9 at x=0, y=0; give the label map" in reasons["high.png"]
    assert "expected an 8-bit grayscale PNG" in reasons["colour.png"]
    assert reasons["torn.png"]
    content = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())
    assert len(content["images"]) == 3
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a0.jpg"), masks["a0"])
    (tmp_path / "images/sub").mkdir()
    cv2.imwrite(str(tmp_path / "images/sub/b.jpg"), masks["sub/b"][:, :-2])
    missing = dict(written(tmp_path, "coco", images=tmp_path / "images").failures)
    assert "images/sub/b.jpg': expected 52 x 40 pixels, as the mask has, got 50 x 40" in missing["sub/b.png"]
    assert "expected an image 'a2' for this mask, got none; add it, set image_template=" in missing["a2.png"]
    content = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a0.jpg"]


def test_a_class_may_be_left_out(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    summary = written(tmp_path, "coco", background="pole")
    content = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())
    assert {annotation["category_id"] for annotation in content["annotations"]} == {1, 2, 3}
    assert summary.warnings[0].startswith("3 files have ignored pixels (255), the first 'a0.png'")
    assert "for 'pole', as read= does unless background= names an ignored class" in summary.warnings[0]


@pytest.mark.parametrize("write", ["coco", "labelstudio", "geojson", "cvat"])
def test_confidence_of_a_prediction(write: str, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    """The mean over the region's pixels, by hand."""
    sure = made_masks(tmp_path / "masks/confidence")["a0"]
    (tmp_path / "masks/manifest.jsonl").write_text('{"kinds": []}\n')
    assert written(tmp_path, write).converted == 3
    if write == "coco":
        read = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())
        rest = [annotation for annotation in read["annotations"] if annotation["image_id"] == 1]
        means = [(annotation["area"], annotation["score"]) for annotation in rest]
    elif write == "labelstudio":
        results = json.loads((tmp_path / "out/tasks.json").read_text())[0]["annotations"][0]["result"]
        drawn = [brushed(bytes(result["value"]["rle"]), sure.shape) for result in results]
        means = [(pixels.sum(), result["score"]) for pixels, result in zip(drawn, results, strict=True)]
        for pixels, (_, score) in zip(drawn, means, strict=True):
            assert score == pytest.approx(sure[pixels].mean() / 255, abs=1e-4)
    elif write == "geojson":
        means = []
        for feature in json.loads((tmp_path / "out/geojson/a0.geojson").read_text())["features"]:
            rings = [np.array(ring).T for ring in feature["geometry"]["coordinates"]]
            area = sum(x[:-1] @ y[1:] - y[:-1] @ x[1:] for x, y in rings) / 2
            means.append((area, feature["properties"]["confidence"]))
    else:
        assert "score" not in (tmp_path / "out/annotations.xml").read_text()
        return
    total = sum(area * score for area, score in means)
    assert total == pytest.approx(sure[masks["a0"] != 255].sum() / 255, abs=0.1)


def test_names_of_images_without_their_folder(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    written(tmp_path, "labelstudio", image_template="/data/local-files/?d=images/{}.jpg")
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert tasks[2]["data"]["image"] == "/data/local-files/?d=images/sub/b.jpg"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"write": "csv"}, "write: expected one of coco, cvat, labelstudio, .*, got 'csv'"),
        ({"write": "cvat", "shapes": "polygons"}, "shapes: expected masks with write=cvat, got 'polygons'"),
        ({"write": "yolo", "shapes": "masks"}, "shapes: expected polygons with write=yolo, got 'masks'"),
        ({"write": "coco", "tolerance": 1}, "tolerance: expected only with polygons, got 1 with masks"),
        ({"write": "yolo", "tolerance": -1}, "tolerance: expected a number from 0 to 100.0, got -1; give pixels"),
        ({"write": "voc", "instances": "x"}, "instances: expected only with a form that has objects, got write=voc"),
        ({"write": "coco", "instances": "x"}, "instances: expected a folder of PNG files, got 'x'"),
        ({"write": "coco", "background": "sky"}, "background: expected a class of the map .*, got 'sky'"),
        ({"write": "coco", "image_template": "a.png"}, "image_template: expected a file name with {} once"),
    ],
)
def test_wrong_requests(options: dict[str, Any], message: str, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=message):
        write_folder(tmp_path / "masks", tmp_path / "out", LABELS, **options)
    assert not (tmp_path / "out").exists()


def test_names_that_a_form_cannot_hold(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    for write, name, message in (
        ("cvat", "a\x01", "expected a name that is text, which XML can hold, got 'a.x01'; rename it"),
        ("voc", "a:b", "write=voc: expected class names without : # and line breaks, got 'a:b'; rename"),
    ):
        labels = LabelMap([Label(name, ((1, 1, 1),)), *LABELS.labels])
        with pytest.raises(ValueError, match=message):
            write_folder(tmp_path / "masks", tmp_path / "out", labels, write=write)
    black = LabelMap([*LABELS.labels[:4], Label("x", ((224, 224, 192),))])
    with pytest.raises(ValueError, match=r"expected a colour \(224, 224, 192\) of void that no class has, got 'x'"):
        write_folder(tmp_path / "masks", tmp_path / "out", black, write="voc")


def test_folders_of_others(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    written(tmp_path, "coco")
    with pytest.raises(ValueError, match="expected a folder without files, or with those of write=yolo, got .*=coco"):
        written(tmp_path, "yolo")
    (tmp_path / "mine/labels").mkdir(parents=True)
    (tmp_path / "mine/labels/a0.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected a folder without files of others, got '.*labels/a0.txt'"):
        write_folder(tmp_path / "masks", tmp_path / "mine", LABELS, write="yolo")
    assert (tmp_path / "mine/labels/a0.txt").read_text() == "mine"


def test_shards_and_their_merge(tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    for part in (1, 2):
        written(tmp_path, "coco", shard=(part, 2))
    assert not (tmp_path / "out/annotations").exists()
    merged = written(tmp_path, "coco")
    assert (merged.converted, merged.skipped) == (0, 3)
    assert len(json.loads((tmp_path / "out/annotations/instances_default.json").read_text())["images"]) == 3


def test_the_command(script: Script, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    LABELS.save(tmp_path / "masks/labels.yaml")
    words = {"source": "masks", "destination": "out", "labels": "masks/labels.yaml"}
    done = script("seg-preprocess", **words, write="coco")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 converted, 0 unchanged, 0 failed" in done.stdout
    assert len(COCO(str(tmp_path / "out/annotations/instances_default.json")).imgs) == 3
    wrong = script("seg-preprocess", **words, write="coco", tile=16, inverse="true", unknown="ignore")
    fails(wrong, 2, "expected write=coco without inverse, tile, unknown, got both; leave them out")
    fails(script("seg-preprocess", **words, tolerance=2), 2, "tolerance: expected it with write alone, got 2 without")
    fails(script("seg-preprocess", **words, write="dxf"), 2, "write: expected one of coco, cvat.* got 'dxf'")
    other = LabelMap(LABELS.labels[1:])
    other.save(tmp_path / "other.yaml")
    wrong = script("seg-preprocess", **words | {"labels": "other.yaml", "destination": "o"}, write="voc")
    fails(wrong, 2, "labels: expected the classes that the masks were made with, .* got 'a .*' as class 0")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("write", "form"), [("coco", "coco"), ("cvat", "cvat"), ("voc", "voc_segmentation")])
def test_datumaro_reads_what_is_written(write: str, form: str, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    """It wants the images beside; it is no dependency, because it needs an older OpenCV."""
    datumaro = pytest.importorskip("datumaro")
    plain = LabelMap(Label(name, ((n + 1, 0, 0),)) for n, name in enumerate(("road", "a & b", "sky", "pole")))
    written_to = tmp_path / "out"
    write_folder(tmp_path / "masks", written_to, plain, write=write, pattern="*")
    folder = written_to / ("JPEGImages" if write == "voc" else "images")
    folder.mkdir()
    for name in ("a0", "a2"):
        cv2.imwrite(str(folder / f"{name}.png"), np.zeros(masks[name].shape, np.uint8))
    read = datumaro.Dataset.import_from(str(written_to), form)
    names = [label.name for label in read.categories()[datumaro.AnnotationType.label]]
    items = {item.id.split("/")[-1]: item for item in read}
    assert {*items} == {"a0", "a2"}
    for name, item in items.items():
        drawn = np.full(masks[name].shape, 255, np.uint8)
        for annotation in item.annotations:
            if annotation.type == datumaro.AnnotationType.mask and names[annotation.label] in plain.names:
                drawn[np.asarray(annotation.image).astype(bool)] = plain.names.index(names[annotation.label])
        assert (drawn == masks[name]).all()


@pytest.mark.parametrize("write", ["coco", "labelme"])
def test_what_lies_beside_annotations_is_none(write: str, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    """The manifest and the like, where the whole folder is read that was written."""
    written(tmp_path, write)
    unknown = BACK[write][1].get("unknown", "error")
    back = convert_folder(tmp_path / "out", tmp_path / "back", LABELS, read=write, unknown=unknown)
    assert (back.converted, back.failed) == (3, 0)
