"""Boxes: targets against a flood fill, the task against loops in float64, decoding, precision, and learning.

python -m pytest tests/tasks/test_boxes.py
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from seg.data.batches import Batch
from seg.inference import sliding, whole_image
from seg.inference.heads import heads_of
from seg.labels import IGNORE
from seg.losses import CrossEntropy, boxes
from seg.losses.weighting import Fixed
from seg.models import WithHeads, build
from seg.models.heads import at_pixels
from seg.synthetic import render_scene, scene_things
from seg.tasks.boxes import (
    Boxes,
    BoxHead,
    BoxMeter,
    BoxRules,
    BoxTask,
    as_coco,
    candidates,
    decode,
    find_objects,
    prepare,
    select,
)
from seg.tasks.boxes.meter import average_precision, image_precisions
from seg.tasks.boxes.targets import MOST
from seg.tasks.objective import MultiTask, Segmentation


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


LOSSES: list[Callable[..., Tensor]] = [boxes.smooth_l1, boxes.iou, boxes.giou, boxes.diou, boxes.ciou]
Object = tuple[int, int, tuple[int, int, int, int], bool, bool]
"""Area, class, box, and whether it reaches the border and ignored pixels."""


def flooded(mask: np.ndarray, classes: list[int], min_area: int) -> dict[Object, list[tuple[int, int]]]:
    """The objects of a mask and their pixels, pixel by pixel."""
    height, width = mask.shape
    seen, found = set(), {}
    for start in np.ndindex(height, width):
        if start in seen or mask[start] not in classes:
            continue
        seen.add(start)
        todo, pixels, border, ignored = [start], [], False, False
        while todo:
            y, x = todo.pop()
            pixels.append((y, x))
            for v, u in ((y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                if not (0 <= v < height and 0 <= u < width):
                    border = True
                elif mask[v, u] == IGNORE:
                    ignored = True
                elif mask[v, u] == mask[start] and (v, u) not in seen:
                    seen.add((v, u))
                    todo.append((v, u))
        if len(pixels) >= min_area:
            rows, columns = zip(*pixels, strict=True)
            box = min(columns), min(rows), max(columns) + 1, max(rows) + 1
            found[len(pixels), int(mask[start]), box, border, ignored] = sorted(pixels)
    return found


def as_objects(found: Any) -> list[Object]:
    columns = (found.areas.tolist(), found.classes.tolist(), map(tuple, found.boxes.tolist()))
    return list(zip(*columns, found.border.tolist(), found.ignored.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_objects_are_those_of_a_flood_fill(seed: int) -> None:
    """Of blocks, so that objects touch at sides and corners, with ignored pixels; of all sizes, down to one row."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 25, 2))
    mask = rng.choice(np.array([0, 1, 2, 3, IGNORE], np.uint8), (height, width), p=[0.3, 0.25, 0.2, 0.15, 0.1])
    mask = mask.repeat(1 + seed % 3, 0).repeat(1 + seed % 2, 1)
    classes, min_area = ([0, 1, 2, 3], 1) if seed % 2 else ([1, 3], 4)
    expected = flooded(mask, classes, min_area)
    found = find_objects(mask, classes=classes, min_area=min_area)
    assert len(expected) <= MOST, "choose a smaller mask"
    assert sorted(as_objects(found)) == sorted(expected)
    assert (np.diff(found.areas) <= 0).all()
    for number, one in enumerate(as_objects(found), start=1):
        assert list(zip(*np.nonzero(found.numbers == number), strict=True)) == expected[one]
    assert np.count_nonzero(found.numbers) == found.areas.sum()


def test_objects_by_hand() -> None:
    """Objects of one class that touch, also at a corner, are one; one that is divided is two."""
    mask = np.array(
        [
            [1, 1, 0, 0, 2, 255],
            [1, 1, 0, 0, 2, 0],
            [0, 0, 1, 0, 2, 0],
            [0, 0, 0, 0, 3, 3],
            [0, 0, 0, 0, 2, 0],
        ],
        np.uint8,
    )
    found = find_objects(mask, classes=[1, 2])
    assert found.boxes.tolist() == [[0, 0, 3, 3], [4, 0, 5, 3], [4, 4, 5, 5]]
    assert found.areas.tolist() == [5, 3, 1]
    assert found.classes.tolist() == [1, 2, 2]
    assert found.border.tolist() == [True, True, True]
    assert found.ignored.tolist() == [False, True, False]
    assert find_objects(mask, classes=[1, 2], min_area=4).areas.tolist() == [5]
    assert find_objects(np.full((3, 4), IGNORE, np.uint8)).boxes.shape == (0, 4)


def test_the_largest_objects_are_kept() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[::2, ::2] = 1
    mask[2:4, 2:5] = 1
    found = find_objects(mask, classes=[1])
    assert len(found.boxes) == MOST
    assert found.areas[0] > 1
    assert found.numbers.max() == MOST
    assert (np.bincount(found.numbers[found.numbers > 0])[1:] == found.areas).all()


def test_what_is_cut_can_be_left_out() -> None:
    mask = np.zeros((8, 12), np.uint8)
    mask[2:5, 2:4], mask[0:3, 6:8], mask[5:7, 6:8], mask[6, 8] = 1, 1, 1, IGNORE
    mask_ = torch.from_numpy(mask)
    kept, whole = prepare(mask_, countable=[1]), prepare(mask_, countable=[1], cut="skip")
    assert kept["boxes"].shape == (MOST, 5)
    assert ((kept["objects"] > 0) == (mask_ == 1)).all()
    assert (whole["objects"] > 0).nonzero().tolist() == [[y, x] for y in (2, 3, 4) for x in (2, 3)]
    row = whole["boxes"][int(whole["objects"][2, 2]) - 1]
    assert row.tolist() == [2, 2, 4, 5, 6]
    with pytest.raises(ValueError, match="cut: expected keep or skip, got 'half'; choose one"):
        BoxTask(boxes.giou, cut="half")  # type: ignore[arg-type]


def test_objects_of_the_embedded_set() -> None:
    """The rule: a vehicle or person that hangs together and touches none of its class is an object with its box;
    touching ones are one object, with the box around all of them, and a divided one is several."""
    counted = np.array([exact_things(seed) for seed in range(12)]).sum(0)
    assert counted[0] > 0.4 * counted[1]  # streets are crowded: every second one is hidden in part or touches another


def exact_things(seed: int) -> tuple[int, int]:
    """How many vehicles and persons are objects with their boxes, and how many there are; the rule explains others."""
    _, mask = render_scene(seed)
    things, known = scene_things(seed)
    assert ((things > 0) == np.isin(mask, (5, 7))).all()
    found = find_objects(mask, classes=[5, 7])
    exact = 0
    for number, own in enumerate(as_objects(found), start=1):
        members = np.unique(things[found.numbers == number])
        rows, columns = np.nonzero(np.isin(things, members) & (found.numbers == number))
        assert own[2] == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        pieces = len(np.unique(found.numbers[things == members[0]]))
        if len(members) == 1 and pieces == 1:
            y, x = np.nonzero(things == members[0])
            left, top, width, height = next(one.box for one in known if one.area == len(y) and one.box[0] == x.min())
            assert own[2] == (left, top, left + width, top + height)
            exact += 1
    return exact, len(known)


# --- the task


def batch_of(masks: list[np.ndarray], **options: Any) -> Batch:
    samples = [prepare(torch.from_numpy(mask), **options) for mask in masks]
    extra = {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}
    images = torch.zeros(len(masks), 3, *masks[0].shape)
    return Batch(images, torch.from_numpy(np.stack(masks)), torch.arange(len(masks)), extra)


def two_masks() -> list[np.ndarray]:
    first, second = np.zeros((2, 10, 12), np.uint8)
    first[1:4, 1:7], first[6:9, 5:7], second[2:9, 3:5], second[0, 0] = 1, 2, 1, IGNORE
    return [first, second]


def by_loops(maps: np.ndarray, masks: list[np.ndarray], loss: Callable[..., Tensor]) -> tuple[float, float]:
    """Both terms, object by object and pixel by pixel."""
    box, weight, doubts, objects = 0.0, 0.0, 0.0, 0
    for image, mask in enumerate(masks):
        for (area, _, (x0, y0, x1, y1), _, _), pixels in flooded(mask, [1, 2], 1).items():
            objects += 1
            unit = math.sqrt((x1 - x0) * (y1 - y0)) / 10
            for y, x in pixels:
                left, top, right, bottom, logit = maps[image, :, y, x].tolist()
                sides = x + 0.5 - x0, y + 0.5 - y0, x1 - x - 0.5, y1 - y - 0.5
                ratios = (min(sides[i], sides[i + 2]) / max(sides[i], sides[i + 2]) for i in (0, 1))
                central = math.sqrt(math.prod(ratios))
                here = np.array([x + 0.5, y + 0.5] * 2)
                pred = here + np.array([-left, -top, right, bottom])
                pair = (torch.tensor(one / unit)[None] for one in (pred, np.array([x0, y0, x1, y1], np.float64)))
                box += float(loss(*pair)) * central / area
                weight += central / area
                doubts -= (central * math.log(1 / (1 + math.exp(-logit))) if central else 0) / area
                doubts -= (1 - central) * math.log(1 - 1 / (1 + math.exp(-logit))) / area
    return box / weight, doubts / objects


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_the_task_is_the_formula(loss: Callable[..., Tensor]) -> None:
    """Boxes far from the origin and near it cost the same, so that the reference may stay in place."""
    masks = two_masks()
    rng = np.random.default_rng(0)
    maps = np.concatenate([rng.uniform(0.2, 9, (2, 4, 10, 12)), rng.normal(size=(2, 1, 10, 12))], 1)
    found = BoxTask(loss)(torch.tensor(maps), torch.zeros(2, 3, 10, 12), batch_of(masks, countable=[1, 2]))
    expected = by_loops(maps, masks, loss)
    assert found.terms["box"].item() == pytest.approx(expected[0], rel=1e-6)
    assert found.terms["centerness"].item() == pytest.approx(expected[1], rel=1e-6)
    assert found.total.item() == pytest.approx(sum(expected), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_scale_and_place_do_not_matter(loss: Callable[..., Tensor]) -> None:
    """Three times the size, elsewhere in the image: the same cost of the same relative mistake."""

    def cost(scale: int, shift: int) -> Tensor:
        mask = np.zeros((60, 60), np.uint8)
        mask[shift : shift + 4 * scale, shift : shift + 6 * scale] = 1
        y, x = (torch.arange(60) + 0.5 - shift for _ in range(2))
        sides = torch.stack([x.expand(60, 60), y[:, None].expand(60, 60), *[torch.zeros(60, 60)] * 3])
        sides[2], sides[3] = 6 * scale - sides[0], 4 * scale - sides[1]
        maps = 1.1 * sides.abs()[None]
        maps[:, 4] = 0
        found: Tensor = BoxTask(loss)(maps, torch.zeros(1, 2, 60, 60), batch_of([mask], countable=[1])).terms["box"]
        return found

    small, moved, large = cost(4, 2), cost(4, 20), cost(8, 10)
    torch.testing.assert_close(small, moved)
    torch.testing.assert_close(small, large, rtol=0.03, atol=0)  # pixels are finer there
    assert small > 0


def test_pixels_without_object_do_not_matter() -> None:
    masks = two_masks()
    batch = batch_of(masks, countable=[1])
    maps = torch.rand(2, 5, 10, 12) + 0.5
    maps[1, :, 0] = math.nan
    maps.requires_grad_()
    BoxTask(boxes.ciou)(maps, torch.zeros(2, 3, 10, 12), batch).total.backward()
    assert maps.grad is not None
    touched = maps.grad.abs().sum(1) > 0
    assert (touched == (batch.extra["objects"] > 0)).all()


def test_without_objects_the_cost_is_0() -> None:
    maps = torch.rand(1, 5, 8, 8, requires_grad=True)
    batch = batch_of([np.zeros((8, 8), np.uint8)], countable=[1])
    total = BoxTask(boxes.giou)(maps, torch.zeros(1, 2, 8, 8), batch).total
    total.backward()
    assert total == 0
    assert maps.grad is not None
    assert not maps.grad.any()


# --- head and decoding


def perfect(masks: list[np.ndarray], classes: int = 3) -> tuple[Tensor, Tensor]:
    """Logits and maps of a model that knows the answer."""
    batch = batch_of(masks)
    known = torch.where(batch.masks == IGNORE, 0, batch.masks.long())
    logits = 20.0 * nn.functional.one_hot(known, classes).permute(0, 3, 1, 2)
    maps = torch.zeros(len(masks), 5, *masks[0].shape)
    for image, mask in enumerate(masks):
        for (_, _, (x0, y0, x1, y1), _, _), pixels in flooded(mask, [*range(classes)], 1).items():
            for y, x in pixels:
                sides = torch.tensor([x + 0.5 - x0, y + 0.5 - y0, x1 - x - 0.5, y1 - y - 0.5])
                near, far = sides[:2].minimum(sides[2:]), sides[:2].maximum(sides[2:])
                maps[image, :4, y, x], maps[image, 4, y, x] = sides, torch.logit((near / far).prod().sqrt(), 1e-4)
    return logits, maps


def test_perfect_maps_give_the_boxes() -> None:
    masks = two_masks()
    found = decode(*perfect(masks), countable=[1, 2])
    for mask, one in zip(masks, found, strict=True):
        wanted = sorted((index, box) for _, index, box, _, _ in flooded(mask, [1, 2], 1))
        assert sorted(zip(one.classes.tolist(), map(tuple, one.boxes.tolist()), strict=True)) == wanted
        assert (one.scores.diff() <= 0).all()
    assert [len(one.boxes) for one in decode(*perfect(masks), countable=[2])] == [1, 0]
    assert [len(one.boxes) for one in decode(*perfect(masks), countable=[1, 2], min_area=10)] == [1, 1]
    assert [len(one.boxes) for one in decode(*perfect(masks), countable=[1, 2], most=1)] == [1, 1]
    assert [len(one.boxes) for one in decode(*perfect(masks), countable=[1, 2], threshold=1)] == [0, 0]


def test_scores_and_suppression() -> None:
    """Against plain loops over all pixels, with torchvision's NMS for each class."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(1, 3, 24, 32, generator=generator)
    maps = torch.rand(1, 5, 24, 32, generator=generator) * torch.tensor([9.0, 9, 9, 9, 3]).view(5, 1, 1)
    (found,) = select(candidates(logits, maps, [1, 2]), threshold=0.2, overlap=0.4, most=1000)
    shares = logits.softmax(1)[0]
    scores = shares.amax(0) * maps[0, 4].sigmoid() * (shares.argmax(0) > 0)
    expected = set()
    rows = []
    for y, x in np.ndindex(24, 32):
        around = scores[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        if scores[y, x] > 0.2 and scores[y, x] == around.max():
            left, top, right, bottom = maps[0, :4, y, x].tolist()
            box = max(x + 0.5 - left, 0), max(y + 0.5 - top, 0), min(x + 0.5 + right, 32), min(y + 0.5 + bottom, 24)
            rows.append((int(shares[:, y, x].argmax()), float(scores[y, x]), box))
    for index in (1, 2):
        own = [row for row in rows if row[0] == index]
        kept = nms(torch.tensor([row[2] for row in own]), torch.tensor([row[1] for row in own]), 0.4)
        expected |= {(index, round(own[i][1], 4)) for i in kept.tolist()}
    assert {(i, round(s, 4)) for i, s in zip(found.classes.tolist(), found.scores.tolist(), strict=True)} == expected
    assert len(expected) > 10


@pytest.mark.parametrize("architecture", ["unet", "fpn"])
def test_a_model_with_a_head(architecture: str) -> None:
    """Logits as without it, to the bit; maps at every pixel, in whole images of odd sizes and in windows."""
    torch.manual_seed(0)
    model = build(architecture, classes=3, encoder_name="resnet18").eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = model(images)
        both = WithHeads(model, {"boxes": BoxHead(16 if architecture == "unet" else 128, countable=[1])}).eval()
        one = heads_of(both, BoxRules).joined(both)
        assert (one(images)[:, :3] == before).all()
        assert one(images).shape == (1, 8, 64, 96)
        assert (one(images)[:, 3:7] > 0).all()
        assert whole_image(one, images[..., :50, :71]).shape == (1, 8, 50, 71)
        assert sliding(one, window=32, overlap=0.5)(images).shape == (1, 8, 64, 96)
    assert heads_of(both, BoxRules).named["boxes"].countable == (1,)
    assert not heads_of(model, BoxRules)
    assert heads_of(model).joined(model) is model


def test_distances_are_upsampled_exactly() -> None:
    """They are linear in place; all but the outermost pixels, which have no neighbour on one side."""
    x = torch.arange(8) * 4 + 2.0
    maps = x.expand(1, 5, 6, 8).clone()
    found = at_pixels(maps, (24, 32))
    expected = (torch.arange(32) + 0.5).expand(1, 5, 24, 32)
    torch.testing.assert_close(found[..., 2:-2], expected[..., 2:-2])


def test_the_head_computes_in_float32_under_autocast() -> None:
    head = BoxHead(16).eval()
    features = torch.randn(1, 16, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = head(features)
    assert found.dtype == torch.float32
    assert (found[:, :4].log2() * 256 % 1).abs().max() > 0.01  # not one of the few numbers that bfloat16 has


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 30}, "width: expected a positive multiple of 8, got 30; give one"),
        ({"depth": 0}, "depth: expected a positive multiple of 1, got 0"),
        ({"min_area": 2.5}, "min_area: expected a positive multiple of 1, got 2.5"),
    ],
)
def test_wrong_options_of_the_head(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BoxHead(16, **options)


# --- precision


def filled_meter(found: list[Boxes], masks: list[np.ndarray]) -> BoxMeter:
    meter = BoxMeter(len(masks), ["ground", "car", "tree"], countable=[1, 2], min_area=1)
    logits, maps = perfect(masks)
    meter.update(maps, logits, torch.from_numpy(np.stack(masks)), torch.arange(len(masks)))
    for image, one in enumerate(found):
        rows = torch.cat([one.boxes, one.scores[:, None], one.classes[:, None]], 1)
        meter.found[image] = 0
        meter.found[image, : len(rows)] = rows
    return meter


def test_precision_by_hand() -> None:
    """A class with every box found, and one whose better scored box of two is wrong: precision 1/2 at recall 1."""
    masks = two_masks()
    meter = filled_meter([], masks)
    scores = meter.scores(meter.totals())
    assert scores == {"ap": 1, "ap50": 1, "ap_by_class": {"car": 1, "tree": 1}}
    assert image_precisions(meter.found, meter.wanted).tolist() == [1, 1]
    wrong = Boxes(
        torch.tensor([[1.0, 1, 7, 4], [0, 0, 2, 2], [5, 6, 7, 9]]),
        torch.tensor([0.9, 0.8, 0.7]),
        torch.tensor([1, 2, 2]),
    )
    none = Boxes(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    meter = filled_meter([wrong, none], masks)
    scores = meter.scores(meter.totals())
    half = 51 / 101  # of recalls 0, 0.01, ..., 1 those up to one half have a precision
    assert scores["ap_by_class"] == {"car": pytest.approx(half), "tree": pytest.approx(0.5)}
    assert scores["ap"] == scores["ap50"] == pytest.approx((half + 0.5) / 2)
    assert image_precisions(meter.found, meter.wanted).tolist() == [pytest.approx(0.75), 0]


def test_the_tables_of_processes_add_up() -> None:
    masks = two_masks()
    whole = filled_meter([], masks)
    parts = []
    for index in (0, 1):
        logits, maps = perfect(masks)
        meter, one = BoxMeter(2, whole.names, countable=[1, 2], min_area=1), slice(index, index + 1)
        meter.update(maps[one], logits[one], torch.from_numpy(masks[index])[None], torch.tensor([index]))
        parts.append(meter.totals())
    for name, total in whole.totals().items():
        assert (parts[0][name] + parts[1][name] == total).all()


def test_a_set_without_objects_has_no_precision() -> None:
    meter = BoxMeter(2, ["ground", "car"])
    scores = meter.scores(meter.totals())
    assert math.isnan(scores["ap"])
    assert scores["ap_by_class"] == {}
    assert np.isnan(image_precisions(meter.found, meter.wanted)).all()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seg.tasks.boxes.meter.find_spec", lambda name: None)
    message = r"boxes: expected torchmetrics and pycocotools, .* got none; pip install 'seg-toolkit\[boxes\]'"
    with pytest.raises(ValueError, match=message):
        average_precision(torch.zeros(1, 100, 6), torch.zeros(1, MOST, 6))


def test_coco_reads_what_is_written(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    boxes_ = Boxes(torch.tensor([[1.0, 2, 5, 9]]), torch.tensor([0.5]), torch.tensor([1]))
    none = Boxes(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(as_coco([("a.png", 10, 12), ("b.png", 10, 12)], [none, boxes_], ["ground", "car"])))
    read = COCO(path)
    (found,) = read.loadAnns(read.getAnnIds())
    assert read.loadImgs(found["image_id"])[0]["file_name"] == "b.png"
    assert read.loadCats(found["category_id"])[0]["name"] == "car"
    assert (found["bbox"], found["area"], found["score"]) == ([1, 2, 4, 7], 28, 0.5)


# --- learning

STEPS = 200


def small_model() -> WithHeads:
    torch.manual_seed(0)
    model = build("unet", classes=10, encoder_name="tu-test_resnet", encoder_depth=3, decoder_channels=[64, 32, 16])
    return WithHeads(model, {"boxes": BoxHead(16, width=32, countable=[5, 7])})


@pytest.mark.slow
def test_a_head_overfits_four_images() -> None:
    """To an average precision above 0.9, over IoU 0.5 to 0.95."""
    scenes = [render_scene(seed, height=64, width=96) for seed in (1, 2, 3, 4)]
    images = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image, _ in scenes]).float() / 64 - 2
    masks = torch.from_numpy(np.stack([mask for _, mask in scenes]))
    model, names = small_model(), ("segmentation", "boxes")
    task = BoxTask(boxes.giou, countable=[5, 7])
    objective = MultiTask(Segmentation(CrossEntropy(), 10), {"boxes": task}, Fixed(names))
    extra = {"boxes": batch_of([mask for _, mask in scenes], countable=[5, 7], min_area=16)._asdict()["extra"]}
    batch = Batch(images, masks, torch.arange(4), extra)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        objective(model, batch).total.backward()
        optimizer.step()
        schedule.step()
    heads = heads_of(model)
    meter = heads.named["boxes"].meter(4, [str(index) for index in range(10)])
    with torch.inference_mode():
        logits, outputs = heads.split(heads.joined(model.eval())(images))
    meter.update(outputs["boxes"], logits, masks, batch.index)
    scores = meter.scores(meter.totals())
    assert scores["ap"] > 0.9
