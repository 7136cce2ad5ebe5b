"""Counting a batch of logits: the native path against the plain one, the plain one against NumPy, pixel by pixel.

python -m pytest tests/metrics/test_counting.py
"""

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.functional.classification import multiclass_confusion_matrix

import seg
from seg import _losses
from seg.metrics import PixelCounts, counting
from seg.metrics.counting import confusion_matrix, count
from seg.metrics.pixels import image_counts

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
LAYOUTS = ["contiguous", "channels last", "part of a larger one", "transposed", "expanded"]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def batch(n: int, classes: int, height: int, width: int, ignored: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, height, width, generator=generator)
    mask = torch.randint(classes, (n, height, width), generator=generator)
    mask = torch.where(torch.rand(mask.shape, generator=generator) < 0.4, logits.argmax(1), mask)
    mask[torch.rand(mask.shape, generator=generator) < ignored] = 255
    return logits, mask.to(torch.uint8)


def laid_out(logits: Tensor, layout: str) -> Tensor:
    n, c, h, w = logits.shape
    if layout == "channels last":
        return logits.contiguous(memory_format=torch.channels_last)
    if layout == "part of a larger one":
        roomy = torch.full((n + 1, c + 2, h + 3, w + 4), float("nan"), dtype=logits.dtype)
        roomy[1:, 1:-1, 2:-1, 3:-1] = logits
        return roomy[1:, 1:-1, 2:-1, 3:-1]
    if layout == "transposed":
        return logits.transpose(2, 3).contiguous().transpose(2, 3)
    return logits[:1].expand(n, c, h, w) if layout == "expanded" else logits


def check_bins(table: Tensor, logits: Tensor, mask: Tensor) -> None:
    """Against float64: pixels whose confidence is within rounding of a bound may be on either side of it."""
    bins = table.shape[1]
    sure = logits.double().softmax(1).amax(1)
    right = logits.argmax(1) == mask
    bounds = torch.arange(1, bins + 1, dtype=torch.float64) / bins
    for rows, p, hit, target in zip(table, sure, right, mask, strict=True):
        p, hit = p[target != 255], hit[target != 255]
        for column, values in enumerate((torch.ones_like(p), p, hit.double())):
            least = torch.stack([values[p <= bound - 1e-6].sum() for bound in bounds])
            most = torch.stack([values[p <= bound + 1e-6].sum() for bound in bounds])
            most[-1] = least[-1] = values.sum()
            slack = 1e-6 * (1 + values.sum()) if column == 1 else 0
            below = rows[:, column].cumsum(0)
            assert (below >= least - slack).all()
            assert (below <= most + slack).all()


def check(logits: Tensor, mask: Tensor, bins: int = 15) -> None:
    found = counting._native(logits, mask, bins)
    assert found is not None
    plain = counting._plain(logits, mask, bins)
    for ours, theirs in zip(found, plain, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert torch.equal(found.prediction, plain.prediction)
    assert torch.equal(found.confusion, plain.confusion)
    if bins:
        check_bins(found.bins, logits, mask)
        check_bins(plain.bins, logits, mask)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_paths_agree(layout: str, dtype: torch.dtype, threads: int) -> None:
    rng = np.random.default_rng(LAYOUTS.index(layout))
    for seed in range(4):
        n, height = rng.integers(1, 4), rng.integers(1, 30)
        classes, width = rng.choice([1, 2, 3, 19, 150]), rng.choice([1, 5, 37, 600])
        logits, mask = batch(n, classes, height, width, rng.choice([0, 0.3, 1]), seed)
        logits = laid_out(logits.to(dtype), layout)
        check(logits, mask)
        check(logits, mask.long().transpose(1, 2).contiguous().transpose(1, 2), bins=0)


def test_against_plain_loops() -> None:
    logits, mask = batch(2, 4, 5, 7)
    confusion, bins = np.zeros((2, 4, 4), int), np.zeros((2, 10, 3))
    for n, y, x in np.ndindex(2, 5, 7):
        scores, target = logits[n, :, y, x].double().numpy(), int(mask[n, y, x])
        if target == 255:
            continue
        p = np.exp(scores) / np.exp(scores).sum()
        best = int(np.argmax(scores))
        confusion[n, target, best] += 1
        bins[n, int(np.ceil(p[best] * 10)) - 1] += 1, p[best], best == target
    for found in (counting._native(logits, mask, 10), counting._plain(logits, mask, 10)):
        assert np.array_equal(found.confusion.numpy(), confusion)
        np.testing.assert_allclose(found.bins.numpy(), bins, atol=1e-6)


def test_against_torchmetrics() -> None:
    logits, mask = batch(3, 19, 40, 50)
    found = count(logits, mask)
    expected = multiclass_confusion_matrix(logits, mask.long(), num_classes=19, ignore_index=255)
    assert torch.equal(found.confusion.sum(0), expected)
    assert found.bins.shape == (3, 0, 3)


@pytest.mark.parametrize("instructions", _losses.instruction_sets)
def test_every_instruction_set(instructions: str) -> None:
    for classes, width in ((1, 1), (2, 5), (19, 700), (150, 37), (256, 33)):
        logits, mask = batch(2, classes, 3, width)
        expected = counting._plain(logits, mask, 15)
        *found, in_range = _losses.count(logits.numpy(), mask.numpy(), 15, threads=2, instructions=instructions)
        assert in_range
        assert np.array_equal(found[0], expected.prediction.numpy())
        assert np.array_equal(found[1], expected.confusion.numpy())
        check_bins(torch.from_numpy(found[2]), logits, mask)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_and_odd_numbers(dtype: torch.dtype) -> None:
    """The first of equal ones; NaN is the largest; infinities are numbers."""
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([-1.0, 0.0, -0.0, 1.0, float("nan"), float("inf"), -float("inf")])
    logits = values[torch.randint(7, (2, 5, 31, 33), generator=generator)].to(dtype)
    mask = torch.randint(5, (2, 31, 33), generator=generator).to(torch.uint8)
    mask[logits.isnan().any(1) & (torch.rand(mask.shape, generator=generator) < 0.5)] = 255
    found = count(logits, mask, bins=4)
    assert torch.equal(found.prediction, logits.argmax(1).to(torch.uint8))
    expected = [confusion_matrix(p, m, 5) for p, m in zip(logits.argmax(1), mask, strict=True)]
    assert torch.equal(found.confusion, torch.stack(expected))
    plain = counting._plain(logits, mask, 4)
    torch.testing.assert_close(found.bins, plain.bins, equal_nan=True)
    assert found.bins[:, 0, 1].isnan().all()  # a confidence that is no number shows, in the first bin


def test_bins_have_their_upper_bound() -> None:
    """Confidences of exactly 1/4, 1/2 and 1."""
    logits = torch.zeros(1, 4, 1, 3)
    logits[0, 2:, 0, 1] = -200
    logits[0, 1:, 0, 2] = -200
    mask = torch.tensor([[[0, 1, 0]]], dtype=torch.uint8)
    expected = torch.tensor([[1, 0.25, 1], [1, 0.5, 0], [0, 0, 0], [1, 1, 1]], dtype=torch.float64)
    for kind in (torch.float32, torch.float64):
        assert torch.equal(count(logits.to(kind), mask, bins=4).bins[0], expected)


def test_ignored_pixels_have_no_influence() -> None:
    logits, mask = batch(2, 5, 9, 37)
    poisoned = torch.where((mask == 255).unsqueeze(1), float("nan"), logits)
    assert torch.equal(count(logits, mask, bins=15).bins, count(poisoned, mask, bins=15).bins)
    assert torch.equal(count(logits, mask).confusion, count(poisoned, mask).confusion)
    everything = count(logits, torch.full_like(mask, 255), bins=3)
    assert not everything.confusion.any()
    assert not everything.bins.any()
    assert torch.equal(everything.prediction, logits.argmax(1).to(torch.uint8))


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
def test_without_pixels(shape: tuple[int, ...]) -> None:
    n, classes, *size = shape
    for dtype in (torch.float32, torch.float64):
        found = count(torch.zeros(shape, dtype=dtype), torch.zeros(n, *size, dtype=torch.uint8), bins=7)
        assert [tuple(part.shape) for part in found] == [(n, *size), (n, classes, classes), (n, 7, 3)]
        assert not found.confusion.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bad_input(dtype: torch.dtype) -> None:
    logits = torch.zeros(2, 3, 2, 2, dtype=dtype)
    mask = torch.zeros(2, 2, 2, dtype=torch.uint8)
    mask[1, 0, 0] = 7
    with pytest.raises(ValueError, match=r"target: class indices are 0..2, got 0..7"):
        count(logits, mask)
    with pytest.raises(ValueError, match=r"target: class indices are 0..2, got -1..0"):
        count(logits, torch.tensor([[[0, 0], [0, -1]]] * 2))
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 2, 2\) to match logits, got \(1, 2, 2\)"):
        count(logits, mask[:1])
    with pytest.raises(ValueError, match=r"logits: expected 1..256 classes, .* got 257"):
        count(torch.zeros(1, 257, 2, 2, dtype=dtype), mask[:1])


def test_what_takes_which_path(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, mask = batch(2, 3, 4, 5)

    def native(scores: Tensor, target: Tensor = mask) -> bool:
        return counting._native(scores, target, 0) is not None

    assert native(logits)
    assert native(logits.requires_grad_())
    assert not count(logits, mask).prediction.requires_grad
    with torch.inference_mode():
        assert native(logits * 1)
    assert not native(logits.double())
    assert not native(logits, mask.int())
    assert not native(logits.detach().as_subclass(type("Own", (Tensor,), {})))
    assert torch.equal(count(logits.detach(), mask.int()).confusion, count(logits, mask).confusion)
    monkeypatch.setenv("SEG_FUSED", "0")
    assert not native(logits)


def test_without_the_compiled_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seg._losses", None)
    monkeypatch.delattr(seg, "_losses")
    assert counting._native(*batch(1, 2, 3, 3), 0) is None
    assert count(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.uint8)).confusion.tolist() == [
        [[9, 0], [0, 0]]
    ]


class Watched(TorchDispatchMode):
    """The names of the operations that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: torch._ops.OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_gpu_is_waited_for_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the operations that wait for a GPU, because they return a number or a shape that depends on values."""
    monkeypatch.setenv("SEG_FUSED", "0")
    logits, mask = batch(3, 5, 6, 7)
    with Watched() as watched:
        count(logits, mask, bins=15)
    assert "argmax" in watched.names
    waiting = {"_local_scalar_dense", "nonzero", "masked_select", "bincount", "index", "unique", "equal"}
    assert [name for name in watched.names if name in waiting] == ["_local_scalar_dense"]


def test_pixel_counts_in_any_order() -> None:
    logits, mask = batch(5, 4, 9, 8)
    meter = PixelCounts(5, "abcd")
    for part in ([3, 1], [0, 4, 2]):
        meter.update(count(logits[part], mask[part]), torch.tensor(part))
    totals = meter.totals()
    matrices = [confusion_matrix(p, m, 4) for p, m in zip(logits.argmax(1), mask, strict=True)]
    assert torch.equal(totals["counts"], torch.stack([image_counts(matrix) for matrix in matrices]))
    assert torch.equal(totals["confusion"], torch.stack(matrices).sum(0))
