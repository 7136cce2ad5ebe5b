"""python -m pytest tests/data/test_dataset.py"""

import os
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import scene, write_pairs

from seg.data import checked
from seg.data.batches import TrainBatches, make_loader
from seg.data.checked import check
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import pair
from seg.images import Reading, read_values
from seg.transforms import ClassMix, Compose, CutMix, Cutout, Elastic, Flip, GridMask, Mosaic, Noise, ScaleCrop

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def test_check_counts_and_names_the_first_problem(tmp_path: Path) -> None:
    write_pairs(tmp_path, 3)
    pairs = pair(tmp_path / "images", tmp_path / "masks")
    checked = check(pairs, 3)
    expected = [[int((scene(seed)[1] == c).sum()) for c in range(3)] for seed in range(3)]
    assert checked.counts.tolist() == expected
    assert checked.sizes == [(64, 96)] * 3
    cv2.imwrite(str(pairs[1].mask), np.zeros((64, 90), np.uint8))
    with pytest.raises(ValueError, match="mask '.*s1.png': expected 96x64 as its image '.*s1.png', got 90x64"):
        check(pairs, 3)
    with pytest.raises(ValueError, match=r"expected 0..1 for 2 classes, or 255, got 2; .*\(and 2 more of 3 pairs\)"):
        check(pairs, 2)
    for p in pairs:
        cv2.imwrite(str(p.mask), np.full((64, 96), 255, np.uint8))
    with pytest.raises(ValueError, match=r"expected labelled pixels, got 255 \(ignore\) everywhere in all 3"):
        check(pairs, 3)


def make(tmp_path: Path, transform: object = None) -> SegmentationDataset:
    write_pairs(tmp_path, 6)
    pairs = pair(tmp_path / "images", tmp_path / "masks")
    return SegmentationDataset(pairs, classes=3, mean=MEAN, std=STD, transform=transform, seed=5)


def test_items_are_normalised(tmp_path: Path) -> None:
    data = make(tmp_path)
    image, mask, index, extra = data[4]
    raw, expected = scene(4)
    np.testing.assert_allclose(image.permute(1, 2, 0).numpy() * STD + MEAN, raw / 255, atol=1e-6)
    np.testing.assert_array_equal(mask.numpy(), expected)
    assert (image.dtype, mask.dtype, index, extra) == (torch.float32, torch.uint8, 4, {})


class Noisy:
    """A user's transform that draws from all three generators."""

    def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = np.random.randint(256) + random.randint(0, 255) + torch.randint(256, ())  # noqa: NPY002
        return torch.full_like(image, int(noise) % 256), mask


MIXED = Compose(
    mosaic=Mosaic(),
    flip=Flip(),
    elastic=Elastic(),
    crop=ScaleCrop(),
    noise=Noise(),
    grid=GridMask(8, 16, 0.5, ramp=1.0),
    cutmix=CutMix(),
    classmix=ClassMix(),
    cutout=Cutout(0.3, label="ignore"),
)


@pytest.mark.parametrize(
    "transform", [Compose(flip=Flip(), crop=ScaleCrop()), MIXED, Noisy()], ids=["standard", "mixed", "users"]
)
def test_randomness_depends_on_seed_epoch_and_index_alone(tmp_path: Path, transform: object) -> None:
    data = make(tmp_path, transform)
    data.epochs = 6
    batches = TrainBatches(len(data), batch=2, seed=1)
    seen = []
    for workers in (0, 2):
        loader = make_loader(data, batches, workers=workers, device=torch.device("cpu"))
        for start in (0, 2):
            batches.go_to(3, start)
            torch.manual_seed(start + workers)
            before = torch.get_rng_state()
            seen.append({int(i): image for b in loader for i, image in zip(b.index, b.images, strict=True)})
            assert torch.equal(torch.get_rng_state(), before)  # loading leaves the model's generator alone
    for other in seen[1:]:
        for index, image in other.items():
            assert torch.equal(image, seen[0][index])
    assert len(seen[0]) == 6
    assert len(seen[1]) == 2
    assert not torch.equal(data[3, 0].image, data[4, 0].image)
    assert not torch.equal(data[3, 0].image, data[3, 0, 1].image)  # drawn again in its epoch


def test_ramps_know_the_epoch_of_each_sample(tmp_path: Path) -> None:
    """Whatever was loaded before, here or in another process."""
    data = make(tmp_path, Compose(grid=GridMask(8, 8, 0.5, label="ignore", ramp=0.5)))
    data.epochs = 8
    hidden = {epoch: sum(bool((data[epoch, i].mask[3:] == 255).any()) for i in range(6)) for epoch in (7, 0, 4, 1, 0)}
    assert hidden[0] == 0
    assert hidden[4] == hidden[7] == 6
    assert hidden[1] < 6


def test_mixed_samples_come_from_the_data_set(tmp_path: Path) -> None:
    data = make(tmp_path, Compose(mix=CutMix(p=1.0)))
    image, mask, *_ = data[1, 0]
    sources = [torch.from_numpy(scene(i)[0]).permute(2, 0, 1) for i in range(6)]
    raw, labels = data.transformed((1, 0))
    others = [s for s in sources if (raw == s).all(0).any() and not torch.equal(s, sources[0])]
    assert others
    assert torch.equal(mask, labels)
    assert image.shape == (3, 64, 96)


def settle(folder: Path, seconds: float = 100) -> None:
    """Let all files be old enough to be remembered."""
    for path in folder.rglob("*.png"):
        now = path.stat().st_mtime
        os.utime(path, (now - seconds, now - seconds))


def test_a_second_check_looks_at_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path, 4)
    settle(tmp_path)
    pairs = pair(tmp_path / "images", tmp_path / "masks")
    looked: list[str] = []
    monkeypatch.setattr(checked, "read_values", lambda path, how: (looked.append(path.stem), read_values(path, how))[1])
    first = check(pairs, 3)
    assert sorted(looked) == ["s0", "s1", "s2", "s3"]
    looked.clear()
    told: list[tuple[int, int]] = []
    again = check(pairs, 3, progress=lambda *numbers: told.append(numbers))
    assert (again.counts.tolist(), again.sizes) == (first.counts.tolist(), first.sizes)
    assert (looked, told) == ([], [(4, 4)])
    cv2.imwrite(str(pairs[2].mask), np.zeros((64, 96), np.uint8))  # now: too young to be remembered
    for _ in range(2):
        assert check(pairs, 3).counts[2].tolist() == [64 * 96, 0, 0]
    assert looked == ["s2", "s2"]
    looked.clear()
    assert check(pairs, 3, reading=Reading(range=((0, 200),))).facts[0].cut > 0  # and so is another reading
    assert len(looked) == 4
    looked.clear()
    with pytest.raises(ValueError, match="expected 0..1 for 2 classes"):  # another label map is another question
        check(pairs, 2)
    assert looked
    check(pairs, 3)
    looked.clear()
    pairs[0].image.write_bytes(b"")
    settle(tmp_path)
    for _ in range(2):  # what is wrong is never remembered
        with pytest.raises(ValueError, match="image '.*s0.png': expected one of .* got a file that cannot be decoded"):
            check(pairs, 3)
    assert looked.count("s0") == 2
