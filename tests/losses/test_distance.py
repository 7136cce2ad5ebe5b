"""Distance maps against scipy.

python -m pytest tests/losses/test_distance.py
"""

import numpy as np
import pytest
import torch
from scipy import ndimage

from seg import _losses
from seg.losses import signed_distance

IGNORE = 255


def expected(mask: np.ndarray, classes: int) -> np.ndarray:
    """Maps (C, H, W) by scipy, class after class."""
    labelled = mask != IGNORE
    maps = np.zeros((classes, *mask.shape), np.float32)
    for index in range(classes):
        own, others = labelled & (mask == index), labelled & (mask != index)
        if own.any() and others.any():
            inside, outside = ndimage.distance_transform_edt(~others), ndimage.distance_transform_edt(~own)
            maps[index] = np.where(own, 1 - inside, outside) * labelled
    return maps


def blobs(rng: np.random.Generator, height: int, width: int, classes: int, points: int) -> np.ndarray:
    """Regions of the pixels nearest to random points."""
    y, x = rng.uniform(0, height, points), rng.uniform(0, width, points)
    rows, columns = np.mgrid[:height, :width]
    nearest = ((rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2).argmin(-1)
    return rng.integers(0, classes, points).astype(np.uint8)[nearest]


def masks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {f"noise {h}x{w}": rng.integers(0, 3, (h, w)) for h, w in [(1, 1), (1, 2), (1, 300), (300, 1), (2, 33)]}
    found |= {f"blobs {h}x{w}": blobs(rng, h, w, 7, 12) for h, w in [(64, 64), (65, 31), (31, 97), (7, 513)]}
    for share in (0.001, 0.02, 0.5, 0.999):
        found[f"points {share}"] = (rng.random((150, 170)) < share).astype(np.uint8)
        found[f"points {share} between unknown"] = np.where(
            rng.random((150, 170)) < share, found[f"points {share}"], 255
        )
    corner = np.zeros((200, 260), np.uint8)
    corner[-1, -1] = 1
    found["one corner"] = corner
    found["other corner"] = np.ascontiguousarray(corner[:, ::-1])
    far = np.full((130, 300), IGNORE, np.uint8)
    far[0, 0], far[-1, -1], far[3, 280] = 0, 1, 2
    found["three pixels"] = far
    stripes = np.zeros((90, 90), np.uint8)
    stripes[:, ::7], stripes[::11] = 1, 2
    found["stripes"] = stripes
    ring = np.hypot(*(np.mgrid[:140, :140] - 70)).astype(int) // 9 % 5
    found["rings"] = np.where(rng.random(ring.shape) < 0.1, IGNORE, ring)
    found["one class"] = np.full((20, 30), 2)
    found["one class and unknown"] = np.where(rng.random((20, 30)) < 0.5, IGNORE, 2)
    found["unknown"] = np.full((20, 30), IGNORE)
    found["classes beyond"] = rng.integers(0, 12, (40, 50))  # labelled, without a map
    return found


@pytest.mark.parametrize("instructions", _losses.instruction_sets)
@pytest.mark.parametrize("case", masks())
def test_exact(case: str, instructions: str) -> None:
    mask = masks()[case].astype(np.int64)
    wanted = expected(mask, 7)
    for kind in (np.uint8, np.int64):
        maps = np.zeros((1, 7, *mask.shape), np.float32)
        _losses.signed_distances(mask[None].astype(kind), list(range(7)), maps, instructions=instructions)
        np.testing.assert_array_equal(maps[0], wanted)


def test_sizes_beyond_float() -> None:
    """Squared distances above 2^24 are not whole numbers in float32: the kernel works in float64 then."""
    mask = np.zeros((3, 9000), np.uint8)
    mask[1, 5], mask[2, 8990] = 1, 2
    assert torch.equal(signed_distance(torch.from_numpy(mask), 3), torch.from_numpy(expected(mask, 3)))


def test_batches_and_threads() -> None:
    rng = np.random.default_rng(1)
    batch = np.stack([blobs(rng, 40, 50, 5, 9) for _ in range(5)])
    wanted = np.stack([expected(mask, 5) for mask in batch])
    target = torch.from_numpy(batch)
    assert torch.equal(signed_distance(target, 5), torch.from_numpy(wanted))
    strided = target.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(signed_distance(strided, 5), torch.from_numpy(wanted))
    assert torch.equal(signed_distance(target[2], 5), torch.from_numpy(wanted[2]))
    maps = np.zeros_like(wanted)
    _losses.signed_distances(batch, [0, 1, 2, 3, 4], maps, threads=3)
    np.testing.assert_array_equal(maps, wanted)
    only = signed_distance(target.long(), 5, only=[3, 0])
    assert torch.equal(only[:, [0, 3]], torch.from_numpy(wanted[:, [0, 3]]))
    assert not only[:, [1, 2, 4]].any()


def test_many_classes() -> None:
    mask = np.arange(600).reshape(20, 30)
    np.testing.assert_array_equal(signed_distance(torch.from_numpy(mask), 700).numpy(), expected(mask, 700))


@pytest.mark.parametrize("shape", [(0, 4, 4), (2, 0, 4), (2, 4, 0), (0, 3)])
def test_empty(shape: tuple[int, ...]) -> None:
    assert signed_distance(torch.zeros(shape, dtype=torch.uint8), 3).shape == (*shape[:-2], 3, *shape[-2:])


def test_bad_arguments() -> None:
    mask, maps = np.zeros((1, 4, 4), np.uint8), np.zeros((1, 3, 4, 4), np.float32)
    for arguments in (
        (mask.astype(np.float32), [0], maps),
        (mask[..., :2], [0], maps),
        (mask, [3], maps),
        (mask, [-1], maps),
        (mask, [0], maps[..., ::-1]),
        (mask[0], [0], maps),
    ):
        with pytest.raises(ValueError, match="expected .*, got .*; "):
            _losses.signed_distances(*arguments)
    with pytest.raises(ValueError, match="classes: expected class indices 0..2, got .3."):
        signed_distance(torch.from_numpy(mask), 3, only=[3])
    with pytest.raises(ValueError, match="target: expected uint8 or int64 class indices, got torch.float32"):
        signed_distance(torch.zeros(4, 4), 3)
