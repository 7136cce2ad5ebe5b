"""Objects whose numbers are known: through transforms and files, from annotations, and on the command line.

python -m pytest tests/data/test_instances.py
"""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import SHARED, Script, fails, train_options
from PIL import Image
from torch.utils.data import default_collate

from seg import transforms
from seg.convert import convert_folder
from seg.convert.tiles import Cut
from seg.data.batches import Batch
from seg.data.cache import MemoryCache
from seg.data.checked import check
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import Pair, pair, with_instances
from seg.images import read_instances, read_mask
from seg.inference.heads import heads_of
from seg.labels import IGNORE, Label, LabelMap
from seg.losses import CrossEntropy, boxes
from seg.losses.weighting import Fixed
from seg.models import WithHeads, build
from seg.tasks.boxes import BoxHead, BoxTask, find_objects, prepare
from seg.tasks.objective import MultiTask, Segmentation

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

LABELS = LabelMap([Label("road", values=(0,)), Label("car", values=(1,)), Label("person", values=(2,))])
CITYSCAPES = LabelMap.load("cityscapes")


def by_hand(mask: np.ndarray, numbers: np.ndarray, classes: list[int], min_area: int) -> list[tuple[Any, ...]]:
    """Area, class, box, border and ignored of every class and number."""
    height, width = mask.shape
    near = cv2.dilate((mask == IGNORE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    found = []
    for value in classes:
        for number in set(numbers.ravel().tolist()) - {0}:
            pixels = (mask == value) & (numbers == number)
            if pixels.sum() < max(min_area, 1):
                continue
            rows, columns = np.nonzero(pixels)
            box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            border = rows.min() == 0 or columns.min() == 0 or rows.max() + 1 == height or columns.max() + 1 == width
            found.append((int(pixels.sum()), value, tuple(map(int, box)), bool(border), bool(near[pixels].any())))
    return sorted(found)


def as_rows(found: Any) -> list[tuple[Any, ...]]:
    columns = found.areas.tolist(), found.classes.tolist(), map(tuple, found.boxes.tolist())
    return sorted(zip(*columns, found.border.tolist(), found.ignored.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_objects_are_the_pixels_of_one_class_and_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 1, 2, IGNORE], np.uint8), (20, 30)).repeat(2, 0)
    numbers = (
        rng.choice(np.array([0, 1, 7, 65535, -3, -(1 << 23)], np.int32), (20, 30)).repeat(2, 1)[:, :30].repeat(2, 0)
    )
    classes, min_area = ([0, 1, 2], 1) if seed % 2 else ([1], 9)
    found = find_objects(mask, instances=numbers, classes=classes, min_area=min_area)
    assert as_rows(found) == by_hand(mask, numbers, classes, min_area)
    assert found.classes.dtype == np.uint8
    for place, (area, value) in enumerate(zip(found.areas, found.classes, strict=True), start=1):
        own = found.numbers == place
        assert own.sum() == area
        assert set(mask[own].tolist()) == {value}
        assert len(set(numbers[own].tolist())) == 1
    assert not found.numbers[numbers == 0].any()


def test_touching_objects_are_two_and_a_divided_one_is_one() -> None:
    mask = np.array([[1, 1, 1, 1, 0, 1]], np.uint8)
    assert find_objects(mask, classes=[1]).boxes.tolist() == [[0, 0, 4, 1], [5, 0, 6, 1]]
    numbers = np.array([[4, 4, 9, 9, 0, 9]], np.int32)
    expected = [[2, 0, 6, 1], [0, 0, 2, 1]]
    assert find_objects(mask, instances=numbers, classes=[1]).boxes.tolist() == expected
    alike = (256 + numbers).astype(np.uint16)  # of a file; in 16 bits a class and a number have no room
    assert find_objects(mask, instances=alike * (numbers > 0), classes=[1]).boxes.tolist() == expected


@pytest.fixture
def numbered(tmp_path: Path) -> list[Pair]:
    """Two pairs of one scene: a car that something divides, and two persons that touch."""
    mask, numbers = np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint16)
    mask[4:20, 4:40], numbers[4:20, 4:40] = 1, 65535
    mask[0:24, 15:20], numbers[0:24, 15:20] = 0, 0
    mask[28:44, 10:50] = 2
    numbers[28:44, 10:30], numbers[28:44, 30:50] = 5, 6
    for name in "ab":
        for folder, pixels in (("images", np.dstack([mask * 90] * 3)), ("masks", mask), ("instances", numbers)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), pixels)
    pairs = pair(tmp_path / "images", tmp_path / "masks")
    return with_instances(pairs, tmp_path / "masks", tmp_path / "instances")


COMMON: dict[str, Any] = {"classes": 3, "mean": [0.5] * 3, "std": [0.2] * 3}


def boxes_of(sample: Any) -> list[list[float]]:
    table = sample.extra["boxes"]
    return sorted(table[table[:, 4] > 0, :4].tolist())


def test_samples_have_the_boxes_of_the_numbers(numbered: list[Pair]) -> None:
    data = SegmentationDataset(numbered, prepare=prepare, **COMMON)
    expected = [[4.0, 4.0, 40.0, 20.0], [10.0, 28.0, 30.0, 44.0], [30.0, 28.0, 50.0, 44.0]]
    assert boxes_of(data[0]) == expected
    assert data[0].mask.dtype == torch.uint8
    assert torch.equal(data[0].mask, torch.from_numpy(read_mask(numbered[0].mask, 3)))
    plain = SegmentationDataset([Pair(p.name, p.image, p.mask) for p in numbered], prepare=prepare, **COMMON)
    assert [10.0, 28.0, 50.0, 44.0] in boxes_of(plain[0])  # both persons
    shapes = [(p.image, (48, 64, 3)) for p in numbered] + [(p.mask, (48, 64)) for p in numbered]
    cache = MemoryCache([*shapes, *((p.instances, (48, 128)) for p in numbered if p.instances)])
    cached = SegmentationDataset(numbered, prepare=prepare, cache=cache, **COMMON)
    assert boxes_of(cached[0]) == boxes_of(cached[0]) == expected
    unasked = SegmentationDataset(numbered, prepare=lambda mask: {"mask": mask}, **COMMON)
    assert not unasked.numbered
    assert unasked[0].extra["mask"].dtype == torch.uint8


def test_a_transform_that_loses_the_numbers_is_refused(numbered: list[Pair]) -> None:
    data = SegmentationDataset(numbered, transform=lambda i, m: (i, m.byte()), prepare=prepare, **COMMON)
    with pytest.raises(ValueError, match=r"transform: expected masks of int32, .* got torch.uint8; keep the type"):
        data[0]


def test_an_image_mixed_with_itself_has_its_objects_twice(numbered: list[Pair]) -> None:
    """Objects of different quarters of a mosaic are different ones, whichever images they come from."""
    mosaic = transforms.Compose(mosaic=transforms.Mosaic(p=1.0))
    data = SegmentationDataset(numbered[:1], transform=mosaic, prepare=prepare, **COMMON)
    for epoch in range(10):
        sample = data[epoch, 0]
        assert torch.equal(sample.extra["boxes"], data[epoch, 0].extra["boxes"])  # whatever was read before
        table = sample.extra["boxes"][sample.extra["boxes"][:, 4] > 0]
        areas = ((table[:, 2:4] - table[:, :2]).prod(1) / table[:, 4]).tolist()
        assert max(areas) <= 36 / 20 + 0.5, "a box around two copies is mostly empty"
        assert len(table) >= 5


def test_every_task_gets_what_it_takes(numbered: list[Pair]) -> None:
    class Plain(torch.nn.Module):
        def prepare(self, mask: torch.Tensor) -> dict[str, Any]:
            return {"pixels": mask.numel()}

    tasks = {"boxes": BoxTask(boxes.giou), "plain": Plain()}
    weighting = Fixed(["segmentation", *tasks])
    objective = MultiTask(Segmentation(CrossEntropy(), 3), tasks, weighting)
    data = SegmentationDataset(numbered, prepare=objective.prepare, **COMMON)
    assert data.numbered
    extra = data[0].extra
    assert extra["plain"] == {"pixels": 48 * 64}
    assert torch.equal(extra["boxes"]["boxes"], SegmentationDataset(
        numbered, prepare=tasks["boxes"].prepare, **COMMON)[0].extra["boxes"])  # fmt: skip
    assert not SegmentationDataset(numbered, prepare=Segmentation(CrossEntropy(), 3).prepare, **COMMON).numbered


def touching(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, mask and numbers of three blocks of one class in a row, of different colours."""
    rng = np.random.default_rng(seed)
    mask, numbers = np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.int32)
    image = rng.integers(0, 30, (48, 64, 3), np.uint8)
    top = int(rng.integers(4, 16))
    ends = np.cumsum([rng.integers(2, 8), *rng.integers(10, 20, 3)])
    for number, (left, right) in enumerate(pairwise(ends.tolist()), start=1):
        block = slice(top, top + int(rng.integers(12, 24))), slice(left, right)
        mask[block], numbers[block] = 1, number
        image[block] = np.roll([250, 60, 60], number + seed)
    return image, mask, numbers


@pytest.mark.slow
def test_a_head_learns_to_divide_objects_that_touch() -> None:
    """To an average precision above 0.9 where objects are counted by number; by components there is one in each."""
    scenes = [touching(seed) for seed in range(4)]
    images = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image, _, _ in scenes]).float() / 64 - 2
    masks = torch.from_numpy(np.stack([mask for _, mask, _ in scenes]))
    torch.manual_seed(0)
    base = build("unet", classes=2, encoder_name="tu-test_resnet", encoder_depth=3, decoder_channels=[64, 32, 16])
    model = WithHeads(base, {"boxes": BoxHead(16, width=32, countable=[1])})
    task = BoxTask(boxes.giou, countable=[1])
    objective = MultiTask(Segmentation(CrossEntropy(), 2), {"boxes": task}, Fixed(("segmentation", "boxes")))
    found = [task.prepare(torch.from_numpy(m), instances=torch.from_numpy(numbers)) for _, m, numbers in scenes]
    batch = Batch(images, masks, torch.arange(4), {"boxes": default_collate(found)})
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, 120)
    for _ in range(120):
        optimizer.zero_grad()
        objective(model, batch).total.backward()
        optimizer.step()
        schedule.step()
    heads, scores = heads_of(model), []
    for instances in (lambda index: scenes[index][2], None):
        meter = heads.named["boxes"].meter(4, ["ground", "block"], instances)
        with torch.inference_mode():
            logits, outputs = heads.split(heads.joined(model.eval())(images))
        meter.update(outputs["boxes"], logits, masks, batch.index)
        scores.append(meter.scores(meter.totals())["ap"])
    assert scores[0] > 0.9
    assert scores[1] < 0.1


def test_files_of_numbers(tmp_path: Path) -> None:
    numbers = np.array([[0, 7], [255, 3]], np.uint16)
    path = tmp_path / "a.png"
    for written in (numbers, numbers.astype(np.uint8), numbers * 257):
        cv2.imwrite(str(path), written)
        assert read_instances(path).dtype == np.uint16
        np.testing.assert_array_equal(read_instances(path), written)
    palette = Image.fromarray(numbers.astype(np.uint8)).convert("P")
    palette.putpalette([i % 256 for i in range(768)])
    palette.putdata(numbers.ravel().tolist())
    palette.save(path)
    np.testing.assert_array_equal(read_instances(path), numbers)
    data = path.read_bytes()
    for wrong, message in (
        (data[:-30], "expected a PNG, got a damaged one"),
        (b"no PNG", "expected a grayscale PNG of 8 or 16 bits, or a palette PNG, got another kind of file"),
        (cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes(), "got another kind of file"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=message):
            read_instances(path)
    with pytest.raises(ValueError, match="expected a file that can be read, got 'No such file"):
        read_instances(tmp_path / "b.png")


def test_wrong_files_are_found_before_the_training(numbered: list[Pair], tmp_path: Path) -> None:
    check(numbered, 3)
    assert numbered[1].instances is not None
    cv2.imwrite(str(numbered[1].instances), np.zeros((48, 60), np.uint8))
    with pytest.raises(ValueError, match=r"instances '.*b.png': expected 64x48 as the mask '.*b.png', got 60x48; give"):
        check(numbered, 3)
    numbered[1].instances.write_bytes(b"")
    with pytest.raises(ValueError, match=r"instances '.*b.png': expected a grayscale PNG"):
        check(numbered, 3)
    numbered[1].instances.unlink()
    masks, numbers = tmp_path / "masks", tmp_path / "instances"
    with pytest.raises(ValueError, match=r"instances: expected a file like '{}' in '.*' for each mask, got none for"):
        with_instances(numbered, masks, numbers)
    with pytest.raises(ValueError, match="instances: expected other files than the masks, got"):
        with_instances(numbered, masks, masks)
    with pytest.raises(ValueError, match="instances: expected a folder for each of 1 folders of masks, got 2"):
        with_instances(numbered, masks, [numbers, masks])


def test_names_by_templates(tmp_path: Path) -> None:
    for name in ("x/a", "b"):
        for suffix in ("ids", "numbers"):
            path = tmp_path / "gt" / f"{name}_{suffix}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((4, 4, 3), np.uint8))
    folder = tmp_path / "gt"
    pairs = pair(tmp_path / "images", folder, template="{}_ids.png")
    found = with_instances(pairs, folder, folder, template="{}_ids.png", instance_template="{}_numbers.png")
    assert [p.instances for p in found] == [folder / "b_numbers.png", folder / "x/a_numbers.png"]
    assert [len(p.files) for p in (*pairs, *found)] == [2, 2, 3, 3]


# --- from annotations ---

HEIGHT, WIDTH = 40, 60


def ring(left: int, top: int, right: int, bottom: int) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def coco(tmp_path: Path, *annotations: dict[str, Any]) -> Path:
    folder = tmp_path / "coco"
    folder.mkdir(exist_ok=True)
    items = [{"id": i, "image_id": 1, "iscrowd": 0, **each} for i, each in enumerate(annotations, start=10)]
    data = {
        "images": [{"id": 1, "file_name": "x/a.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": items,
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
    }
    (folder / "instances.json").write_text(json.dumps(data))
    return folder


def converted(source: Path, tmp_path: Path, labels: LabelMap = LABELS, **options: Any) -> Any:
    return convert_folder(source, tmp_path / "m", labels, instances=tmp_path / "n", **options)


CARS = [
    {"category_id": 3, "segmentation": [ring(2, 2, 20, 20)]},
    {"category_id": 3, "segmentation": [ring(20, 2, 40, 20)]},
    {"category_id": 1, "segmentation": [ring(5, 5, 9, 9), ring(30, 5, 34, 9)]},  # lies over both
]


def test_instances_of_coco(tmp_path: Path) -> None:
    mask_api = pytest.importorskip("pycocotools.mask")
    summary = converted(coco(tmp_path, *CARS), tmp_path, read="coco", background="road")
    assert (summary.converted, summary.failed, summary.warnings) == (1, 0, ())
    numbers = read_instances(tmp_path / "n/x/a.png")
    expected = np.zeros((HEIGHT, WIDTH), np.uint16)
    for number, item in enumerate(CARS, start=1):
        runs = mask_api.merge(mask_api.frPyObjects(item["segmentation"], HEIGHT, WIDTH))
        expected[mask_api.decode(runs).astype(bool)] = number
    np.testing.assert_array_equal(numbers, expected)
    mask = read_mask(tmp_path / "m/x/a.png", 3)
    found = find_objects(mask, instances=numbers.astype(np.int32), classes=[1, 2])
    assert sorted(found.boxes.tolist()) == [[2, 2, 20, 20], [5, 5, 34, 9], [20, 2, 40, 20]]
    assert summary.pixels == {name: int((mask == i).sum()) for i, name in enumerate(LABELS.names)}


def test_groups_have_no_number(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    source = coco(tmp_path, {**CARS[0], "iscrowd": 1}, CARS[1])
    for _ in range(2):  # also when nothing has to be converted
        summary = converted(source, tmp_path, read="coco", background="road")
        assert re.search(
            r"1 files have groups of objects \(iscrowd, cargroup\), the first 'x/a.jpg'; a group has no number",
            summary.warnings[0],
        )
    numbers = read_instances(tmp_path / "n/x/a.png")
    assert set(np.unique(numbers)) == {0, 2}
    assert not numbers[2:20, 2:20].any()
    assert not convert_folder(source, tmp_path / "other", LABELS, read="coco", background="road").warnings


def test_instances_of_panoptic_segments(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    ids[5:15, 10:30], ids[20:30, 20:40], ids[30:, :5] = 70_000, 300, 2
    folder = coco(tmp_path)
    segments = [{"id": 300, "category_id": 3, "iscrowd": 1}, {"id": 2, "category_id": 1, "iscrowd": 0},
                {"id": 70_000, "category_id": 3, "iscrowd": 0}]  # fmt: skip
    data = json.loads((folder / "instances.json").read_text())
    data["annotations"] = [{"image_id": 1, "file_name": "a.png", "segments_info": segments}]
    (folder / "instances.json").write_text(json.dumps(data))
    png = np.stack([ids // 65536, ids // 256 % 256, ids % 256], -1).astype(np.uint8)
    (folder / "instances").mkdir()
    cv2.imwrite(str(folder / "instances/a.png"), png)
    summary = converted(folder, tmp_path, read="coco", background="road")
    assert not summary.failures
    assert len(summary.warnings) == 1
    numbers = read_instances(tmp_path / "n/x/a.png")
    np.testing.assert_array_equal(numbers, np.select([ids == 2, ids == 70_000], [2, 3], 0))


def test_instances_of_cityscapes(tmp_path: Path) -> None:
    def item(label: str, *ring: int) -> dict[str, Any]:
        left, top, right, bottom = ring
        return {"label": label, "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]}

    objects = [item("road", 0, 0, 59, 39), item("car", 2, 2, 20, 20), item("car", 21, 2, 40, 20),
               item("cargroup", 45, 2, 55, 20), {**item("car", 0, 0, 9, 9), "deleted": 1}]  # fmt: skip
    folder = tmp_path / "gt"
    folder.mkdir()
    (folder / "a_gtFine_polygons.json").write_text(json.dumps({"imgHeight": 40, "imgWidth": 60, "objects": objects}))
    summary = converted(folder, tmp_path, CITYSCAPES, read="cityscapes_polygons")
    assert not summary.failures
    assert "cargroup" in summary.warnings[0]
    numbers = read_instances(tmp_path / "n/a_gtFine_polygons.png")
    mask = read_mask(tmp_path / "m/a_gtFine_polygons.png", 19)
    assert {int(numbers[y, x]) for y, x in ((30, 5), (10, 10), (10, 30), (10, 50))} == {1, 2, 3, 0}
    car = CITYSCAPES.names.index("car")
    found = find_objects(mask, instances=numbers.astype(np.int32), classes=[car])
    assert sorted(found.boxes.tolist()) == [[2, 2, 21, 21], [21, 2, 41, 21]]
    assert (mask[2:21, 45:56] == car).all()


def test_instances_of_labelme(tmp_path: Path) -> None:
    def shape(label: str, group: Any, *corners: int) -> dict[str, Any]:
        left, top, right, bottom = corners
        return {"label": label, "points": [[left, top], [right, bottom]], "shape_type": "rectangle", "group_id": group}

    shapes = [shape("car", None, 2, 2, 9, 9), shape("car", None, 10, 2, 19, 9), shape("car", 1, 2, 20, 9, 29),
              shape("car", 1, 20, 20, 29, 29), shape("person", 1, 40, 20, 49, 29)]  # fmt: skip
    folder = tmp_path / "shapes"
    folder.mkdir()
    about = {"imageHeight": HEIGHT, "imageWidth": WIDTH, "imagePath": "a.jpg", "imageData": None}
    (folder / "a.json").write_text(json.dumps({**about, "shapes": shapes}))
    assert not converted(folder, tmp_path, read="labelme", background="road", unknown="ignore").failures
    numbers = read_instances(tmp_path / "n/a.png")
    assert [int(numbers[y, x]) for y, x in ((5, 5), (5, 15), (25, 5), (25, 25), (25, 45), (0, 0))] == [1, 2, 3, 3, 5, 0]
    (folder / "x").mkdir()
    Image.new("P", (4, 4)).save(folder / "x/label.png")
    (folder / "x/label_names.txt").write_text("_background_")
    (reason,) = (why for _, why in converted(folder, tmp_path, read="labelme", background="road").failures[-1:])
    assert reason.startswith("expected shapes, of which each is an object, got classes alone")


def test_tiles_and_sizes_and_what_is_skipped(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    source = coco(tmp_path, *CARS)
    options: dict[str, Any] = {"read": "coco", "background": "road"}
    assert convert_folder(source, tmp_path / "m", LABELS, **options).converted == 1
    assert converted(source, tmp_path, **options).converted == 1  # it had no numbers
    assert converted(source, tmp_path, **options).skipped == 1
    (tmp_path / "n/x/a.png").unlink()
    assert converted(source, tmp_path, **options).converted == 1
    whole = read_instances(tmp_path / "n/x/a.png")
    for folder in ("m", "n"):
        (tmp_path / folder).rename(tmp_path / f"whole_{folder}")
    cut = Cut(tile=32, overlap=8)
    assert converted(source, tmp_path, cut=cut, **options).converted == 1
    tiles = sorted((tmp_path / "n").rglob("*.png"))
    assert [t.relative_to(tmp_path / "n") for t in tiles] == [
        t.relative_to(tmp_path / "m") for t in sorted((tmp_path / "m").rglob("*.png"))
    ]
    assert len(tiles) == 6
    for tile in tiles:
        y, x = (int(part) for part in tile.stem.split("_")[1:])
        np.testing.assert_array_equal(read_instances(tile), whole[y : y + 32, x : x + 32])
    assert converted(source, tmp_path, cut=cut, **options).skipped == 1
    bad = {**CARS[0], "category_id": 99}
    assert converted(coco(tmp_path, bad), tmp_path, cut=cut, **options).failed == 1
    assert not list((tmp_path / "n").rglob("*.png")) + list((tmp_path / "m").rglob("*.png"))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ("m", "instances_destination: expected a folder apart from destination, got"),
        ("m/n", "instances_destination: expected a folder apart from destination, got"),
        (".", "instances_destination: expected a folder apart from destination, got"),
        ("coco/n", "instances_destination: expected a folder apart from source, got"),
    ],
)
def test_wrong_folders(numbers: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    source = coco(tmp_path, *CARS)
    with pytest.raises(ValueError, match=message):
        convert_folder(source, tmp_path / "m", LABELS, read="coco", instances=tmp_path / numbers)


def test_label_images_have_no_instances(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="instances_destination: expected only with read=labelme, coco"):
        convert_folder(tmp_path, tmp_path / "m", LABELS, instances=tmp_path / "n")


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/data is absent")
def test_numbers_of_cityscapes_itself() -> None:
    """Its 16 bits, without conversion: an object is a class and a number."""
    folder = SHARED / "zoo/cityscapes_ids"
    labels = read_mask(next((folder / "labelIds").glob("*000000_*.png")), 256)
    numbers = read_instances(next((folder / "instanceIds_16bit").glob("*000000_*.png")))
    car = int(labels[numbers // 1000 == 26][0])
    found = find_objects(labels, instances=numbers.astype(np.int32), classes=[car])
    assert as_rows(found) == by_hand(labels, numbers, [car], 1)
    assert len(found.boxes) >= 5


# --- on the command line ---


def test_preprocess_writes_them(tmp_path: Path, script: Script) -> None:
    pytest.importorskip("pycocotools")
    coco(tmp_path, *CARS)
    LABELS.save(tmp_path / "map.yaml")
    options = {"source": "coco", "destination": "m", "labels": "map.yaml", "instances_destination": "n"}
    done = script("seg-preprocess", **options, read="coco", background="road")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(np.unique(read_instances(tmp_path / "n/x/a.png"))) == {0, 1, 2, 3}
    inverse = {**options, "source": "m", "destination": "c", "inverse": "true"}
    fails(script("seg-preprocess", **inverse), 2, "expected inverse=true without .*instances_destination")
    fails(script("seg-preprocess", **options), 2, "instances_destination: expected only with read=")


@pytest.mark.slow
def test_from_annotations_to_precision(tmp_path: Path, data: Path, script: Script) -> None:
    """Two cars that touch are two in training and evaluation, if they have numbers, and one if not."""
    classes = LabelMap.load(data / "train/masks/labels.yaml").classes
    for part in ("train", "val"):
        (data / part / "instances").mkdir()
        for path in (data / part / "masks").glob("*.png"):
            mask = read_mask(path, classes)
            mask[10:30, 10:50] = 1
            numbers = np.zeros(mask.shape, np.uint16)
            numbers[10:30, 10:30], numbers[10:30, 30:50] = 1, 2
            cv2.imwrite(str(path), mask)
            cv2.imwrite(str(data / part / "instances" / path.name), numbers)
    model = ["model=unet_small", "model.encoder_name=tu-test_resnet"]  # finds boxes after two epochs
    options = [*train_options(data, model), "task=boxes", "task.boxes.head.countable=[1]", "logger=none",
               "device.precision=32-true", f"data.train.instances={data}/train/instances"]  # fmt: skip
    val = f"data.val.instances={data}/val/instances"
    fails(script("seg-train", *options), 2, "data.val.instances: expected it together with data.train.instances and")
    done = script("seg-train", *options, val, "name=a", "data.cache=ram")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/a/boxes.json").exists()
    folders = {"images": "data/val/images", "masks": "data/val/masks", "checkpoint": "runs/a/last.pt"}
    scores = {}
    for name, more in (("with", {"instances": "data/val/instances"}), ("without", {})):
        done = script("seg-evaluate", **folders, **more, destination=name)
        assert done.returncode == 0, done.stderr
        scores[name] = json.loads((tmp_path / name / "metrics.json").read_text())["ap"]
    last = json.loads((tmp_path / "runs/a/metrics.json").read_text())["ap"]
    assert scores["with"] == pytest.approx(last, abs=1e-6) != scores["without"]
    wrong = {"predictions": "data/val/masks", "masks": "data/val/masks", "destination": "p", "instances": "x"}
    fails(script("seg-evaluate", **wrong), 2, "instances: expected none with predictions")
    for path in (data / "val/instances").glob("*.png"):
        cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))
    done = script("seg-evaluate", **folders, instances="data/val/instances", destination="e")
    fails(done, 2, "instances '.*': expected 96x64 as the mask")
