"""Caches of decoded files: equal to the bit, shared, and never in the way.

python -m pytest tests/data/test_cache.py
"""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import LABELS, write_pairs
from lightning_fabric import Fabric

from seg.data import cache as cache_room
from seg.data.batches import EvaluationBatches, make_loader
from seg.data.cache import Cache, DiskCache, MemoryCache, free_memory
from seg.data.checked import check
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import Pair, pair
from seg.data.source import Data
from seg.images import RGB
from seg.training.processes import shared_cache


def never() -> Any:
    raise AssertionError("decoded again")


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    write_pairs(tmp_path / "data", 4)
    return pair(tmp_path / "data/images", tmp_path / "data/masks")


def memory(pairs: list[Pair], folder: Path) -> MemoryCache:
    return MemoryCache([(p.image, (64, 96, 3)) for p in pairs] + [(p.mask, (64, 96)) for p in pairs])


def disk(pairs: list[Pair], folder: Path) -> DiskCache:
    return DiskCache(folder / "kept", "RGB")


def dataset(pairs: list[Pair], cache: Cache | None) -> SegmentationDataset:
    return SegmentationDataset(pairs, classes=3, mean=(0.5,) * 3, std=(0.5,) * 3, cache=cache)


@pytest.mark.parametrize("make", [memory, disk])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_one_process_has_read_all_have(
    tmp_path: Path, pairs: list[Pair], make: Callable[..., Cache], workers: int
) -> None:
    plain = [dataset(pairs, None)[i] for i in range(4)]
    cache = make(pairs, tmp_path)
    cached = dataset(pairs, cache)
    loader = make_loader(cached, EvaluationBatches([0] * 4, batch=1), workers=workers, device=torch.device("cpu"))
    for _ in range(2):
        for batch in loader:
            assert torch.equal(batch.images[0], plain[int(batch.index)].image)
            assert torch.equal(batch.masks[0], plain[int(batch.index)].mask)
    for copy in (cache, pickle.loads(pickle.dumps(cache))):
        for files, sample in zip(pairs, plain, strict=True):
            image, mask = copy.get(files.image, never), copy.get(files.mask, never)
            assert np.array_equal(image[..., ::-1], cv2.imread(str(files.image)))
            assert np.array_equal(mask, sample.mask.numpy())
            image[:] = 0  # of the caller's own
        assert copy.get(pairs[0].image, never).any()
    if isinstance(cache, MemoryCache):
        other = MemoryCache(cache._shapes.items(), cache.address)
        assert np.array_equal(other.get(pairs[3].mask, never), plain[3].mask.numpy())


def test_memory_does_not_keep_what_has_another_size(pairs: list[Pair], tmp_path: Path) -> None:
    cache = memory(pairs, tmp_path)
    larger = np.ones((99, 99, 3), np.uint8)
    assert cache.get(pairs[0].image, lambda: larger) is larger
    assert cache.get(pairs[0].image, lambda: np.ones((64, 96, 3), np.uint8)).shape == (64, 96, 3)


def test_the_disk_keeps_files_as_they_are_now(pairs: list[Pair], tmp_path: Path) -> None:
    cache, source = disk(pairs, tmp_path), pairs[0].image
    first = np.full((64, 96, 3), 7, np.uint8)
    cache.get(source, lambda: first)
    assert np.array_equal(cache.get(source, never), first)
    other = DiskCache(cache.folder, "other bands")
    assert not other.path(source).exists()
    kept = cache.path(source)
    for damage in (kept.read_bytes()[:500], b"", b"junk"):
        kept.write_bytes(damage)
        assert np.array_equal(cache.get(source, lambda: first), first)
        assert np.array_equal(cache.get(source, never), first)
    shutil.copy(pairs[1].image, source)  # changed: another size and time
    assert not cache.path(source).exists()
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == [kept]


def test_a_cache_that_cannot_be_written_is_not_in_the_way(pairs: list[Pair], tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    assert torch.equal(dataset(pairs, disk(pairs, tmp_path))[1].image, dataset(pairs, None)[1].image)
    pairs[0].image.unlink()
    with pytest.raises(ValueError, match="expected a file that can be read"):
        dataset(pairs, disk(pairs, tmp_path))[0]


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_what_does_not_fit_is_refused(
    kind: str, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="seg")
    found = check(pairs, 3)
    data = Data(LABELS, pairs[:3], pairs[3:], found.counts[:3], found.sizes[:3], found.sizes[3:], {}, RGB, None)
    fabric = Fabric(accelerator="cpu", devices=1)
    assert shared_cache(None, data, fabric) is None
    cache = shared_cache(kind, data, fabric)
    assert cache is not None
    assert f"data.cache={kind}: takes 0.1 MB of " in caplog.text  # 4 * 64 * 96 * (3 + 1)
    monkeypatch.setattr(cache_room, "free_memory", lambda: 109_000)
    monkeypatch.setattr(cache_room.shutil, "disk_usage", lambda _: SimpleNamespace(free=109_000))
    with pytest.raises(ValueError, match=rf"data.cache: expected at most 0.1 MB for {kind}, .* got 0.1 MB of decoded"):
        shared_cache(kind, data, fabric)
    monkeypatch.setattr(cache_room, "free_memory", lambda: 110_000)
    monkeypatch.setattr(cache_room.shutil, "disk_usage", lambda _: SimpleNamespace(free=110_000))
    assert shared_cache(kind, data, fabric) is not None
    if kind == "disk":  # what is there takes nothing more
        for files in pairs:
            dataset(pairs, cache)
            for path in (files.image, files.mask):
                cache.get(path, lambda: np.zeros(1, np.uint8))
        monkeypatch.setattr(cache_room.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        assert shared_cache(kind, data, fabric) is not None
        assert "8 of 8 files are there" in caplog.text


def test_free_memory_is_that_of_a_machine() -> None:
    assert 10_000_000 < free_memory() < 1 << 50
