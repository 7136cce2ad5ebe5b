"""The embedded dataset: same bytes for the same seed, the shares and knobs as promised, and not trivially easy."""

import hashlib
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from seg.images import Image
from seg.labels import IGNORE, LabelMap
from seg.synthetic import LABELS, THINGS, render_scene, scene_things, write_dataset
from seg.synthetic.street import CLASSES

RARE = [list(CLASSES).index(name) for name in ("pole", "person", "sign", "fence")]
SHRINKING = [list(CLASSES).index(name) for name in ("vehicle", "pole", "person", "sign", "fence")]

# SHA-256 of image and mask bytes; `python tests/synthetic/test_synthetic.py` prints it. A changed hash changes every
# dataset and every number measured on one: say so in the changelog.
GOLDEN = {
    (0, 192, 288): (
        "ccdbad16a2f69963cfae432170dc10e6bfc79660d462714727ff67e21799a777",
        "496255c06cf125351f6dd89f9931ae253ac861c86349b38af7d70376b43106b2",
    ),
    (0, 65, 97): (
        "45bc5402f92a931d7db4b98901353d25e6d86346414200f4c91777d7bf25a7f9",
        "4b6ba13a1f9e8d52853e0eb37a1a670c9a61c64ac1c8bd0e1c27f2f5e1d94177",
    ),
    (7, 192, 288): (
        "e6915ff43c08f963836af80c08dabbd0a110b6fbf818c3ccb34228a39fee769a",
        "69b1f88ffd2bf38e37edebb7a4c1ac8b1cdf2f7a47a43232d2134148bb919949",
    ),
    (7, 65, 97): (
        "ccfadd733b560a5f2306b756329a344b886ae56c3afca9c03ec494aa2204bdbb",
        "927214a8db83a0c0a056bdd8ec2a2da1e7e8909719173d9e8fba68b45ebe201c",
    ),
}


def _sha(array: Image) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _counts(scenes: range, **options: float) -> np.ndarray:
    masks = [render_scene(seed, **options)[1] for seed in scenes]
    return np.stack([np.bincount(mask.ravel(), minlength=256) for mask in masks])


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """Pixels of each mask value in 50 scenes, (50, 256)."""
    return _counts(range(50))


@pytest.mark.parametrize(("seed", "height", "width"), GOLDEN)
def test_golden(seed: int, height: int, width: int) -> None:
    image, mask = render_scene(seed, height=height, width=width, blur=1.5, label_noise=0.05)
    assert (_sha(image), _sha(mask)) == GOLDEN[seed, height, width]


def test_same_seed_same_scene_other_seed_other_scene() -> None:
    first, again, other = render_scene(5), render_scene(5), render_scene(6)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all((a != b).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (101, 33), (33, 101), (360, 480)])
def test_sizes(height: int, width: int) -> None:
    image, mask = render_scene(1, height=height, width=width, blur=32)
    assert image.shape == (height, width, 3)
    assert mask.shape == (height, width)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {*range(len(CLASSES)), IGNORE}


def test_every_scene_has_road_sky_and_a_side(counts: np.ndarray) -> None:
    road, _, building, sky, vegetation = counts.T[:5]
    assert (road > 0).all()
    assert (sky > 0).all()
    assert (building + vegetation > 0).all()


def test_shares(counts: np.ndarray) -> None:
    total = counts.sum(0)
    share = total / total.sum()
    assert (total[: len(CLASSES)] > 0).all()
    assert (share[RARE] < 0.01).all()
    assert share[[0, 2]].sum() > 0.5
    assert 0.005 < share[IGNORE] < 0.06


def test_imbalance_makes_the_rare_rarer() -> None:
    shares = [_counts(range(30), imbalance=v).sum(0)[SHRINKING] for v in (0.4, 1, 2.5, 8)]
    for more, fewer in pairwise(shares):
        assert (more > fewer).all()


def test_blur_is_of_the_image_alone() -> None:
    sharp, blurred = render_scene(3), render_scene(3, blur=2.5)
    assert (sharp[1] == blurred[1]).all()
    edges = [np.abs(np.diff(image.astype(int), axis=1)).mean() for image, _ in (sharp, blurred)]
    assert edges[1] < 0.8 * edges[0]


@pytest.mark.parametrize("share", [0.0, 0.013, 0.3, 1.0])
def test_label_noise_share_is_exact(share: float) -> None:
    (image, mask), (noisy_image, noisy) = render_scene(1), render_scene(1, label_noise=share)
    known = mask != IGNORE
    assert (image == noisy_image).all()
    assert ((noisy == IGNORE) == ~known).all()
    assert (noisy != mask).sum() == int(share * known.sum() + 0.5)


def test_colour_alone_does_not_tell_the_classes_apart() -> None:
    """The nearest class mean colour, fitted and judged on the same scenes."""
    scenes = [render_scene(seed) for seed in range(24)]
    pixels = np.concatenate([image.reshape(-1, 3)[::3] for image, _ in scenes]).astype(np.float64)
    target = np.concatenate([mask.ravel()[::3] for _, mask in scenes])
    pixels, target = pixels[target != IGNORE], target[target != IGNORE]
    means = np.stack([pixels[target == k].mean(0) for k in range(len(CLASSES))])
    guess = ((pixels[:, None] - means) ** 2).sum(-1).argmin(1)
    hit = np.array([((guess == k) & (target == k)).sum() for k in range(len(CLASSES))])
    union = np.array([((guess == k) | (target == k)).sum() for k in range(len(CLASSES))])
    assert (hit / union).mean() < 0.45


def _read(path: Path) -> Image:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_dataset_files(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_dataset(tmp_path, train=3, val=2, height=64, width=96, label_noise=0.2, progress=lambda *c: calls.append(c))
    assert calls == [(i, 5) for i in range(1, 6)]
    assert LabelMap.load(tmp_path / "labels.yaml") == LABELS
    scenes = [*(f"train/{{}}/scene_{i:05d}.png" for i in range(3)), "val/{}/scene_00000.png", "val/{}/scene_00001.png"]
    wanted = {name.format(kind) for name in scenes for kind in ("images", "labels")} | {"labels.yaml"}
    wanted |= {"train/boxes.json", "val/boxes.json"}
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == wanted
    for i, name in enumerate(scenes):
        seed, noise = (i, 0.2) if i < 3 else (1_000_000 + i - 3, 0.0)
        image, mask = render_scene(seed, height=64, width=96, label_noise=noise)
        assert (_read(tmp_path / name.format("images")) == image).all()
        label = _read(tmp_path / name.format("labels"))
        back = np.full(mask.shape, 77, np.uint8)
        for color, index in LABELS.colors:
            back[(label == color).all(-1)] = index
        assert (back == mask).all()


def test_boxes_are_those_of_the_things(tmp_path: Path) -> None:
    """Vehicles and persons, exact whatever label noise does to the masks; read as COCO's are."""
    from pycocotools.coco import COCO

    write_dataset(tmp_path, train=4, val=0, label_noise=0.3)
    assert not (tmp_path / "val").exists()
    read = COCO(tmp_path / "train" / "boxes.json")
    assert [one["name"] for one in read.loadCats(read.getCatIds())] == list(THINGS)
    total = 0
    for number, image in enumerate(read.loadImgs(read.getImgIds())):
        assert image["file_name"] == f"scene_{number:05d}.png"
        (_, mask), (things, known) = render_scene(number), scene_things(number)
        assert ((things > 0) == np.isin(mask, [list(CLASSES).index(name) for name in THINGS])).all()
        found = read.loadAnns(read.getAnnIds(imgIds=image["id"]))
        assert [(tuple(one["bbox"]), one["area"], one["category_id"] - 1) for one in found] == [
            (thing.box, thing.area, thing.index) for thing in known
        ]
        visible = [things == value for value in np.unique(things[things > 0])]
        assert len(visible) == len(found)
        for own, one in zip(visible, found, strict=True):
            rows, columns = np.nonzero(own)
            x, y, width, height = one["bbox"]
            assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert own.sum() == one["area"]
            assert (mask[own] == one["category_id"] - 1).all()
        total += len(found)
    assert total > 20


def test_a_scene_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    for count in (1, 3):
        write_dataset(tmp_path / str(count), train=count, val=count, height=32, width=32, seed=4)
    for name in ("train/images", "train/labels", "val/images", "val/labels"):
        few, many = (tmp_path / str(count) / name / "scene_00000.png" for count in (1, 3))
        assert few.read_bytes() == many.read_bytes()


def test_a_failed_write_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_dataset(tmp_path, train=1, val=1, height=32, width=32)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"height": 31}, "height: expected a whole number of at least 32, got 31"),
        ({"width": 0}, "width: expected a whole number of at least 32, got 0"),
        ({"imbalance": 0.0}, "imbalance: expected a number from 0.2 to 1000000.0, got 0.0"),
        ({"imbalance": float("nan")}, "imbalance: expected .* got nan"),
        ({"blur": -0.5}, "blur: expected a radius in pixels from 0 to 32, got -0.5"),
        ({"label_noise": -0.1}, "label_noise: expected a share from 0 to 1, got -0.1"),
        ({"label_noise": 1.5}, "label_noise: expected a share from 0 to 1, got 1.5"),
    ],
)
def test_errors(options: dict[str, float], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        render_scene(**{"seed": 0, **options})
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_errors_of_the_counts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train and val: expected 0 to 999999 scenes, got -1 and 48"):
        write_dataset(tmp_path, train=-1)


if __name__ == "__main__":
    for seed, height, width in ((0, 192, 288), (0, 65, 97), (7, 192, 288), (7, 65, 97)):
        scene = render_scene(seed, height=height, width=width, blur=1.5, label_noise=0.05)
        print(f'    ({seed}, {height}, {width}): (\n        "{_sha(scene[0])}",\n        "{_sha(scene[1])}",\n    ),')
