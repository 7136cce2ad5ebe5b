"""python -m pytest tests/test_dataset.py"""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import scene, write_pairs
from PIL import Image

from seg import dataset
from seg.dataset import (
    EvaluationBatches,
    SegmentationDataset,
    TrainBatches,
    check,
    list_images,
    pair,
    read_image,
    read_mask,
    split,
)
from seg.training import make_loader
from seg.transforms import Compose, Flip, ScaleCrop

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_templates_and_nested_folders(tmp_path: Path) -> None:
    touch(tmp_path / "left/aachen/a_01_leftImg8bit.png", tmp_path / "left/bonn/b_02_leftImg8bit.png")
    touch(tmp_path / "fine/aachen/a_01_gtFine_color.png", tmp_path / "fine/bonn/b_02_gtFine_color.png")
    touch(tmp_path / "fine/bonn/b_02_gtFine_instanceIds.png", tmp_path / "fine/bonn/b_02.json")
    pairs = pair(
        tmp_path / "left",
        tmp_path / "fine",
        image_template="{}_leftImg8bit.png",
        template="{}_gtFine_color.png",
    )
    assert [p.name for p in pairs] == ["aachen/a_01", "bonn/b_02"]
    assert pairs[1].mask.name == "b_02_gtFine_color.png"


def test_images_and_masks_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "a_L.png", tmp_path / "b.PNG", tmp_path / "b_L.png", tmp_path / ".hidden.png")
    pairs = pair(tmp_path, tmp_path, template="{}_L.png")
    assert [(p.name, p.image.name, p.mask.name) for p in pairs] == [
        ("a", "a.jpg", "a_L.png"),
        ("b", "b.PNG", "b_L.png"),
    ]


def test_list_files(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{kind}/{n}.png" for kind in ("i", "m") for n in "abc"), tmp_path / "i/alone.png")
    (tmp_path / "list.txt").write_text("# chosen\nc\na.png\n\n")
    assert [p.name for p in pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")] == ["a", "c"]
    (tmp_path / "list.txt").write_text("a\nzebra\n")
    with pytest.raises(ValueError, match=r"list.txt, line 2: no image named 'zebra'; names look like 'a'"):
        pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("#\n")
    with pytest.raises(ValueError, match="names no image"):
        pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "list.txt")
    with pytest.raises(ValueError, match="list: no file"):
        pair(tmp_path / "i", tmp_path / "m", only=tmp_path / "nothing.txt")


def test_unpaired_files_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "i/a.png", tmp_path / "i/b.png", tmp_path / "m/a.png")
    with pytest.raises(ValueError, match=r"1 of 2 image files have no mask: '.*b.png' has none like '\{\}' in '.*m'"):
        pair(tmp_path / "i", tmp_path / "m")
    touch(tmp_path / "m/b.png", tmp_path / "m/c.png")
    with pytest.raises(ValueError, match=r"1 of 3 mask files have no image: '.*c.png'"):
        pair(tmp_path / "i", tmp_path / "m")


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder '.*nowhere'"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no file like '\{\}_L.png'"):
        list_images(tmp_path, "{}_L.png")
    with pytest.raises(ValueError, match=r"template: expected one \{\}"):
        list_images(tmp_path, "L.png")
    touch(tmp_path / "a.png", tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="two files of one name 'a'"):
        list_images(tmp_path)


def test_split_is_seeded_and_complete(tmp_path: Path) -> None:
    pairs = [dataset.Pair(str(i), tmp_path, tmp_path) for i in range(10)]
    train, val = split(pairs, 0.25, 7)
    assert (len(train), len(val)) == (8, 2)
    assert sorted(train + val, key=lambda p: p.name) == pairs
    assert split(pairs, 0.25, 7) == (train, val)
    assert split(pairs, 0.25, 8) != (train, val)
    assert len(split(pairs, 0.001, 0)[1]) == 1
    with pytest.raises(ValueError, match="expected a share between 0 and 1, got 1.5"):
        split(pairs, 1.5, 0)
    with pytest.raises(ValueError, match="at least two pairs, got 1"):
        split(pairs[:1], 0.5, 0)


def test_image_rules(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    gray = rgb[..., 0]
    wide = rgb[..., ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "rgb.png"), rgb[..., ::-1])
    Image.fromarray(np.dstack([rgb, np.zeros((5, 7), np.uint8)])).save(tmp_path / "transparent.png")
    Image.fromarray(gray).save(tmp_path / "gray.png")
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    cv2.imwrite(str(tmp_path / "wide_gray.tif"), wide[..., 2])
    Image.fromarray(rgb).quantize(256).save(tmp_path / "palette.png")
    for name in ("rgb.png", "transparent.png", "wide.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name), rgb, err_msg=name)
    for name in ("gray.png", "wide_gray.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.dstack([gray] * 3), err_msg=name)
    expected = np.array(Image.open(tmp_path / "palette.png").convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), expected)
    rounded = np.array([[0, 128, 129, 65535, 65406, 65407]], np.uint16)
    cv2.imwrite(str(tmp_path / "rounded.png"), rounded)
    assert read_image(tmp_path / "rounded.png")[0, :, 0].tolist() == [0, 0, 1, 255, 254, 255]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by a quarter turn
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (40, 20, 3)


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "empty.png").touch()
    for name in ("a.png", "empty.png"):
        with pytest.raises(ValueError, match=f"image '.*{name}' cannot be decoded"):
            read_image(tmp_path / name)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_image(tmp_path / "none.png")
    cv2.imwrite(str(tmp_path / "float.tif"), np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="expected 8 or 16 bits a channel, got float32"):
        read_image(tmp_path / "float.tif")


def test_masks_are_8_bit_grayscale_png(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255]], np.uint8)
    cv2.imwrite(str(tmp_path / "good.png"), mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "good.png", 2), mask)
    Image.fromarray(mask).convert("P").save(tmp_path / "palette.png")
    cv2.imwrite(str(tmp_path / "rgb.png"), np.dstack([mask] * 3))
    cv2.imwrite(str(tmp_path / "wide.png"), mask.astype(np.uint16))
    cv2.imwrite(str(tmp_path / "a.bmp"), mask)
    for name in ("palette.png", "rgb.png", "wide.png", "a.bmp"):
        with pytest.raises(ValueError, match="is not an 8-bit grayscale PNG; convert label images with seg-preprocess"):
            read_mask(tmp_path / name, 2)
    with pytest.raises(ValueError, match=r"has value 1; expected 0..0 for 1 classes, or 255"):
        read_mask(tmp_path / "good.png", 1)
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    with pytest.raises(ValueError, match="damaged"):
        read_mask(tmp_path / "cut.png", 2)


def test_check_counts_and_names_the_first_problem(tmp_path: Path) -> None:
    write_pairs(tmp_path, 3)
    pairs = pair(tmp_path / "images", tmp_path / "masks")
    checked = check(pairs, 3)
    expected = [[int((scene(seed)[1] == c).sum()) for c in range(3)] for seed in range(3)]
    assert checked.counts.tolist() == expected
    assert checked.sizes == [(64, 96)] * 3
    cv2.imwrite(str(pairs[1].mask), np.zeros((64, 90), np.uint8))
    with pytest.raises(ValueError, match="mask '.*s1.png' is 90x64 but its image '.*s1.png' is 96x64"):
        check(pairs, 3)
    with pytest.raises(ValueError, match=r"has value 2; expected 0..1.*\(and 2 more of 3 pairs\)"):
        check(pairs, 2)
    for p in pairs:
        cv2.imwrite(str(p.mask), np.full((64, 96), 255, np.uint8))
    with pytest.raises(ValueError, match=r"all 3 masks are ignored \(255\) everywhere"):
        check(pairs, 3)


def make(tmp_path: Path, transform: object = None) -> SegmentationDataset:
    write_pairs(tmp_path, 6)
    pairs = pair(tmp_path / "images", tmp_path / "masks")
    return SegmentationDataset(pairs, classes=3, mean=MEAN, std=STD, transform=transform, seed=5)


def test_items_are_normalised(tmp_path: Path) -> None:
    data = make(tmp_path)
    image, mask, index = data[4]
    raw, expected = scene(4)
    np.testing.assert_allclose(image.permute(1, 2, 0).numpy() * STD + MEAN, raw / 255, atol=1e-6)
    np.testing.assert_array_equal(mask.numpy(), expected)
    assert (image.dtype, mask.dtype, index) == (torch.float32, torch.uint8, 4)


class Noisy:
    """A user's transform that draws from all three generators."""

    def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = np.random.randint(256) + random.randint(0, 255) + torch.randint(256, ())  # noqa: NPY002
        return torch.full_like(image, int(noise) % 256), mask


@pytest.mark.parametrize("transform", [Compose(flip=Flip(), crop=ScaleCrop()), Noisy()], ids=["ours", "users"])
def test_randomness_depends_on_seed_epoch_and_index_alone(tmp_path: Path, transform: object) -> None:
    data = make(tmp_path, transform)
    batches = TrainBatches(len(data), batch=2, seed=1)
    seen = []
    for workers in (0, 2):
        loader = make_loader(data, batches, workers=workers, device=torch.device("cpu"))
        for start in (0, 2):
            batches.go_to(3, start)
            torch.manual_seed(start + workers)
            before = torch.get_rng_state()
            seen.append({int(i): image for images, _, index in loader for i, image in zip(index, images, strict=True)})
            assert torch.equal(torch.get_rng_state(), before)  # loading leaves the model's generator alone
    for other in seen[1:]:
        for index, image in other.items():
            assert torch.equal(image, seen[0][index])
    assert len(seen[0]) == 6
    assert len(seen[1]) == 2
    assert not torch.equal(data[3, 0][0], data[4, 0][0])


def test_train_batches_cover_and_shard() -> None:
    batches = TrainBatches(11, batch=4, seed=0)
    batches.go_to(2, 0)
    whole = list(batches)
    assert len(whole) == len(batches) == 2
    assert len({index for batch in whole for _, index in batch}) == 8
    assert all(epoch == 2 for batch in whole for epoch, _ in batch)
    batches.go_to(2, 1)
    assert list(batches) == whole[1:]
    batches.go_to(3, 0)
    assert list(batches) != whole
    shards = [TrainBatches(11, batch=4, seed=0, rank=rank, world=2) for rank in range(2)]
    for shard in shards:
        shard.go_to(2, 0)
    assert [sorted(a + b) for a, b in zip(*shards, strict=True)] == [sorted(batch) for batch in whole]
    assert len(TrainBatches(3, batch=8, seed=0)) == 1
    with pytest.raises(ValueError, match="batch: expected a positive multiple of 2 processes, got 3"):
        TrainBatches(11, batch=3, seed=0, world=2)


def test_evaluation_batches_hold_one_size() -> None:
    sizes = [(2, 2), (3, 3), (2, 2), (2, 2), (3, 3)]
    assert list(EvaluationBatches(sizes, batch=2)) == [[0, 2], [3], [1, 4]]
    shards = [list(EvaluationBatches(sizes, batch=2, rank=r, world=2)) for r in range(2)]
    assert sorted(i for shard in shards for batch in shard for i in batch) == list(range(5))
