"""Statistics are held to five standard errors, at fixed seeds.

python -m pytest tests/regularizers/test_regularizers.py
"""

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.regularizers import DropBlock, Dropout, SpatialDropout, StochasticDepth, UniformDropout
from seg.regularizers.drop_block import gamma
from seg.regularizers.rate import Regularizer

SIGMAS = 5
KINDS: dict[str, Callable[[float], Regularizer]] = {
    "drop_block": DropBlock,
    "drop_block_per_channel": lambda p: DropBlock(p, 3, per_channel=True),
    "stochastic_depth": StochasticDepth,
    "spatial_dropout": SpatialDropout,
    "dropout": Dropout,
    "uniform_dropout": UniformDropout,
}
MAPS = [
    (64, 64, 7), (16, 16, 7), (8, 8, 7), (7, 7, 7), (5, 5, 7), (4, 4, 7), (1, 1, 7), (6, 30, 7), (13, 9, 7),
    (33, 17, 5), (12, 12, 4), (7, 9, 2), (9, 9, 8), (5, 11, 6), (10, 10, 1), (3, 40, 8),
]  # fmt: skip
"""Height, width, block: odd and even, and blocks as large as the map or larger."""

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def assert_mean(samples: Tensor, expected: float) -> None:
    """The mean of independent samples is as expected, within so many of their own standard errors."""
    samples = samples.double().flatten()
    error = float(samples.std()) / math.sqrt(len(samples))
    assert abs(float(samples.mean()) - expected) < SIGMAS * error, (float(samples.mean()), expected, error)


def dropped(module: nn.Module, *shape: int) -> Tensor:
    return module(torch.ones(shape)) == 0


@pytest.mark.parametrize(("height", "width", "block"), MAPS)
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_drop_block_drops_its_share(height: int, width: int, block: int, p: float) -> None:
    samples = min(4000, 2_000_000 // (height * width))
    share = dropped(DropBlock(p, block), samples, 1, height, width).float().mean((1, 2, 3))
    assert_mean(share, p)


@pytest.mark.parametrize(("height", "width", "block"), MAPS)
def test_gamma_gives_the_share(height: int, width: int, block: int) -> None:
    """Against the expectation by counting, for each pixel, the places from which a block covers it."""
    high, wide = min(block, height), min(block, width)
    places = torch.ones(1, 1, height - high + 1, width - wide + 1, dtype=torch.float64)
    covers = F.conv2d(F.pad(places, (wide - 1, wide - 1, high - 1, high - 1)), torch.ones(1, 1, high, wide).double())
    assert covers.shape[-2:] == (height, width)
    for p in (0.0, 0.001, 0.05, 0.25, 0.5, 0.9, 0.99, 1.0):
        g = gamma(torch.tensor(p), height, width, block).double()
        assert float((1 - (1 - g) ** covers).mean()) == pytest.approx(p, abs=2e-6)


@pytest.mark.parametrize(("height", "width", "block"), MAPS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_drop_block_drops_whole_blocks(height: int, width: int, block: int, per_channel: bool) -> None:
    """What is dropped is the union of the complete blocks within it."""
    gone = dropped(DropBlock(0.3, block, per_channel), 16, 2, height, width).float()
    high, wide = min(block, height), min(block, width)
    corners = -F.max_pool2d(-gone, (high, wide), 1)  # 1 where a whole block is gone
    again = F.max_pool2d(F.pad(corners, (wide - 1, wide - 1, high - 1, high - 1)), (high, wide), 1)
    assert torch.equal(gone, again)
    assert 0 < gone.mean() < 1 or height * width == 1


def test_drop_block_shares_its_mask_among_channels_only() -> None:
    gone = dropped(DropBlock(0.3, 3), 4000, 2, 9, 9)[..., 4, 4]
    assert torch.equal(gone[:, 0], gone[:, 1])
    apart = dropped(DropBlock(0.3, 3, per_channel=True), 8000, 2, 9, 9)[..., 4, 4].double()
    chance = float(apart.mean())
    assert_mean((apart[:, 0] - chance) * (apart[:, 1] - chance), 0.0)
    assert_mean((apart[:-1] - chance) * (apart[1:] - chance), 0.0)  # nor among samples


def test_drop_block_keeps_the_sum() -> None:
    for per_channel in (False, True):
        out = DropBlock(0.3, 3, per_channel)(torch.ones(4, 8, 15, 13))
        assert float(out.mean()) == pytest.approx(1, rel=1e-5)


def test_drop_block_counts_in_float32() -> None:
    """In float16 a count ends at 65504: torchvision's output is all zero here."""
    out = DropBlock(0.1, 7, per_channel=True)(torch.ones(4, 64, 32, 32, dtype=torch.float16))
    assert out.dtype == torch.float16
    assert float(out.float().mean()) == pytest.approx(1, rel=1e-3)
    assert 0.05 < float((out == 0).float().mean()) < 0.15


def test_drop_block_follows_its_rate() -> None:
    """The solved gamma is kept only as long as the rate, in copies too."""
    module = DropBlock(0.1, 3)
    module(torch.ones(1, 1, 9, 9))
    for changed in (module, copy.deepcopy(module)):
        for rate in (0.6, 0.2):
            changed.set_rate(rate)
            assert_mean(dropped(changed, 4000, 1, 9, 9).float().mean((1, 2, 3)), rate)
        changed.rate.fill_(0.4)
        assert_mean(dropped(changed, 4000, 1, 9, 9).float().mean((1, 2, 3)), 0.4)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.8])
def test_dropouts_drop_their_share_and_keep_the_mean(p: float) -> None:
    for module, shape, grain in (
        (StochasticDepth(p), (20000, 3), (20000, 1)),
        (SpatialDropout(p), (200, 100, 3, 5), (200, 100, 1, 1)),
        (Dropout(p), (100, 7, 31), (100, 7, 31)),
    ):
        out = module(torch.ones(shape))
        lead = out[tuple(slice(0, size) for size in grain)]
        assert torch.equal(out, lead.expand(shape)), "what belongs together shares its fate"
        assert_mean((lead == 0).float(), p)
        assert_mean(lead, 1.0)
        assert torch.allclose(lead[lead > 0], torch.tensor(1 / (1 - p)))


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0])
def test_uniform_dropout_is_uniform(beta: float) -> None:
    noise = (UniformDropout(beta)(torch.ones(50000)) - 1).double()
    assert float(noise.abs().max()) <= beta * (1 + 1e-6)
    assert_mean(noise, 0.0)
    assert_mean(noise**2, beta**2 / 3)
    assert_mean((noise < beta / 2).float(), 0.75)


@every_kind
def test_evaluation_is_identity_and_draws_nothing(kind: str) -> None:
    module, x = KINDS[kind](0.5).eval(), torch.randn(2, 3, 9, 7)
    before = torch.get_rng_state()
    assert module(x) is x
    assert torch.equal(before, torch.get_rng_state())


@every_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_type_and_layout_are_kept(kind: str, dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = torch.randn(2, 16, 9, 7).to(dtype).to(memory_format=layout).requires_grad_()
    kept = x.detach().clone()
    out = KINDS[kind](0.3)(x)
    assert out.dtype == dtype
    assert out.shape == x.shape
    assert out.is_contiguous(memory_format=layout)
    out.sum().backward()
    assert torch.equal(x, kept), "the input is never written"
    assert torch.isfinite(x.grad).all()


@every_kind
def test_the_ends_of_the_range(kind: str) -> None:
    x = torch.randn(2, 3, 9, 7)
    assert torch.equal(KINDS[kind](0.0)(x), x)
    out = KINDS[kind](1.0)(x)
    assert torch.isfinite(out).all()
    assert kind == "uniform_dropout" or not out.any()
    assert torch.isfinite(KINDS[kind](1.0)(x.half())).all()


@every_kind
def test_noise_follows_the_seed(kind: str) -> None:
    module, x = KINDS[kind](0.5), torch.randn(4, 8, 16, 16)
    first, second = module(x), module(x)
    torch.manual_seed(0)
    x = torch.randn(4, 8, 16, 16)
    assert torch.equal(module(x), first)
    assert not torch.equal(first, second)


@every_kind
def test_nothing_waits_for_a_device(kind: str) -> None:
    """Tensors without data: whatever asks for a value fails."""
    module = KINDS[kind](0.5).to("meta")
    assert module(torch.empty(2, 3, 9, 7, device="meta")).shape == (2, 3, 9, 7)


@every_kind
def test_a_ramp_compiles_at_most_twice(kind: str) -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    module = KINDS[kind](0.5)
    compiled = torch.compile(module, backend=count, fullgraph=True)
    x = torch.ones(64, 8, 9, 7)
    shares = []
    for step in range(8):
        module.set_rate(step / 8)
        shares.append(float((compiled(x) != 1).float().mean()))
    assert len(graphs) <= 2
    assert shares[0] == 0
    assert shares[-1] > 0.5


def test_a_ramp_is_linear_and_outside_the_state_dict() -> None:
    module = DropBlock(0.2, ramp=0.5)
    assert float(module.rate) == 0
    for step, rate in ((0, 0.0), (10, 0.04), (25, 0.1), (50, 0.2), (100, 0.2)):
        module.set_progress(step, 100)
        assert float(module.rate) == pytest.approx(rate)
    assert not module.state_dict()
    constant = DropBlock(0.2)
    constant.set_rate(0.1)
    constant.set_progress(5, 10)
    assert float(constant.rate) == pytest.approx(0.1)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.1", None, True])
@every_kind
def test_rates_outside_their_range(kind: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"expected a share from 0 to 1, got"):
        KINDS[kind](value)
    with pytest.raises(ValueError, match=r"expected a share from 0 to 1, got"):
        KINDS[kind](0.5).set_rate(value)


def test_other_bad_requests() -> None:
    for size in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="block_size: expected a whole number of at least 1"):
            DropBlock(0.1, size)
    with pytest.raises(ValueError, match=r"ramp: expected a share of the run from 0 to 1, got 2"):
        Dropout(0.1, ramp=2)
    with pytest.raises(ValueError, match=r"DropBlock: expected \(N, C, H, W\), got \(2, 3\)"):
        DropBlock(0.1)(torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"SpatialDropout: expected \(N, C, ...\) with at least one more dimension"):
        SpatialDropout(0.1)(torch.ones(2, 3))
