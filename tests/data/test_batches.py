"""python -m pytest tests/data/test_batches.py"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_pairs

from seg.data.batches import Batch, EvaluationBatches, TrainBatches, make_loader
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import pair
from seg.data.sampling import balanced, repeat_factors


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_have_names(tmp_path: Path, workers: int) -> None:
    write_pairs(tmp_path, 4)
    data = SegmentationDataset(
        pair(tmp_path / "images", tmp_path / "masks"),
        classes=3,
        mean=(0,) * 3,
        std=(1,) * 3,
        prepare=lambda mask: {"road": (mask == 1).float(), "sizes": {"height": len(mask)}},
    )
    batches = EvaluationBatches([0, 0, 1, 0], batch=2)
    first, *others = make_loader(data, batches, workers=workers, device=torch.device("cpu"))
    assert isinstance(first, Batch)
    assert first.images.shape == (2, 3, 64, 96)
    assert torch.equal(first.masks[1], data[1].mask)
    assert first.index.tolist() == [0, 1]
    assert torch.equal(first.extra["road"], (first.masks == 1).float())
    assert first.extra["sizes"]["height"].tolist() == [64, 64]
    assert [batch.index.tolist() for batch in others] == [[3], [2]]


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
    with pytest.raises(ValueError, match="loader.batch: expected a positive multiple of 2 processes, got 3"):
        TrainBatches(11, batch=3, seed=0, world=2)


COUNTS = np.array([[9, 0, 0], [5, 3, 0], [7, 0, 0], [0, 2, 1], [0, 0, 0]])


def test_sampling_weights_follow_their_definitions() -> None:
    shares = [3 / 5, 2 / 5, 1 / 5]
    chances, factors = [0.0] * 5, [1.0] * 5
    for image, row in enumerate(COUNTS.tolist()):
        for name, pixels in enumerate(row):
            if pixels:
                holding = sum(other[name] > 0 for other in COUNTS.tolist())
                chances[image] += 1 / 3 / holding  # one of three classes, then one of the images that hold it
                factors[image] = max(factors[image], 1.0, (0.5 / shares[name]) ** 0.5)
    assert balanced(COUNTS) == pytest.approx(chances)
    assert balanced(np.hstack([COUNTS, np.zeros((5, 1), int)])) == pytest.approx(chances)  # a class that never occurs
    assert repeat_factors(COUNTS, 0.5) == pytest.approx(factors)
    assert repeat_factors(COUNTS, 0.5)[3] == pytest.approx((0.5 / 0.2) ** 0.5)
    assert repeat_factors(COUNTS, 0.1) == pytest.approx([1] * 5)


@pytest.mark.parametrize("weights", [balanced(COUNTS), repeat_factors(COUNTS, 0.5), [1, 1, 1, 1, 1], [0, 0, 2, 0, 0]])
def test_weighted_samples_come_as_often_as_they_should(weights: list[float]) -> None:
    expected = 5 * np.asarray(weights) / np.sum(weights)
    batches = TrainBatches(5, batch=1, seed=3, weights=weights)
    drawn = np.zeros((2000, 5))
    for epoch in range(2000):
        batches.go_to(epoch, 0)
        drawn[epoch] = np.bincount(batches.order(), minlength=5)
    assert (drawn.sum(1) == 5).all()
    assert (drawn >= np.floor(expected - 1e-9)).all()
    assert (drawn <= np.ceil(expected + 1e-9)).all()
    assert np.abs(drawn.mean(0) - expected).max() < 4 * 0.5 / 2000**0.5  # four sigma of a number that is rounded


def test_weighted_samples_are_the_same_wherever_a_run_goes_on() -> None:
    weights = [1.0] * 10 + [8.0]
    whole = TrainBatches(11, batch=4, seed=0, weights=weights)
    whole.go_to(1, 0)
    keys = [key for batch in whole for key in batch]
    assert len(keys) == 8
    assert len(set(keys)) == 8  # a sample that comes again has a key of its own, for other augmentations
    assert [key[2:] for key in keys if key[1] == 10][:3] == [(), (1,), (2,)]
    part = TrainBatches(11, batch=4, seed=0, weights=weights)
    part.go_to(1, 1)
    assert [key for batch in part for key in batch] == keys[4:]
    shards = [TrainBatches(11, batch=4, seed=0, weights=weights, rank=rank, world=2) for rank in range(2)]
    for shard in shards:
        shard.go_to(1, 0)
    assert sorted(key for shard in shards for batch in shard for key in batch) == sorted(keys)


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [0, 0, 0], [1, np.nan, 1]])
def test_wrong_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"weights: expected 3 numbers of at least 0, not all of them 0, got \(\d,\)"):
        TrainBatches(3, batch=1, seed=0, weights=weights)


def test_evaluation_batches_hold_one_size() -> None:
    sizes = [(2, 2), (3, 3), (2, 2), (2, 2), (3, 3)]
    assert list(EvaluationBatches(sizes, batch=2)) == [[0, 2], [3], [1, 4]]
    shards = [list(EvaluationBatches(sizes, batch=2, rank=r, world=2)) for r in range(2)]
    assert sorted(i for shard in shards for batch in shard for i in batch) == list(range(5))


@pytest.mark.slow
def test_a_program_that_keeps_its_loader_ends(tmp_path: Path) -> None:
    """Workers ignore the SIGTERM that multiprocessing sends them at exit, before it waits for them."""
    program = (
        "import torch; from seg.data.batches import make_loader\n"
        "options = {'workers': 1, 'device': torch.device('cpu'), 'collate_fn': list}\n"
        "loader = make_loader(list(range(8)), [[0, 1], [2, 3]], **options)\n"
        "kept = iter(loader)\n"
        "print(next(kept))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[0, 1]\n"
