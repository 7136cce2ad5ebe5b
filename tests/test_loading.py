"""python -m pytest tests/test_loading.py"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import write_pairs

from seg.dataset import SegmentationDataset
from seg.loading import Batch, EvaluationBatches, TrainBatches, make_loader
from seg.pairs import pair


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


def test_evaluation_batches_hold_one_size() -> None:
    sizes = [(2, 2), (3, 3), (2, 2), (2, 2), (3, 3)]
    assert list(EvaluationBatches(sizes, batch=2)) == [[0, 2], [3], [1, 4]]
    shards = [list(EvaluationBatches(sizes, batch=2, rank=r, world=2)) for r in range(2)]
    assert sorted(i for shard in shards for batch in shard for i in batch) == list(range(5))


def test_a_program_that_keeps_its_loader_ends(tmp_path: Path) -> None:
    """Workers ignore the SIGTERM that multiprocessing sends them at exit, before it waits for them."""
    program = (
        "import torch; from seg.loading import make_loader\n"
        "options = {'workers': 1, 'device': torch.device('cpu'), 'collate_fn': list}\n"
        "loader = make_loader(list(range(8)), [[0, 1], [2, 3]], **options)\n"
        "kept = iter(loader)\n"
        "print(next(kept))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[0, 1]\n"
