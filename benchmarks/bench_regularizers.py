"""Regularizers against their peers: forward and backward on one thread, checked before they are timed.

python benchmarks/bench_regularizers.py [ROUNDS]

Each round times every way once on the same tensors, in the same process, in an order of its own: what ran before
decides whether memory is at hand or has to come from the system. The table gives the median over
the rounds, the interval that holds the middle half, and the median of the ratios, round by round, to the floor: one
read and one write of the tensor, forward and backward (``x * 1.1``).
"""

import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import timm
import torch
import torchvision
from timm.layers import DropBlock2d, DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth as VisionDepth
from torchvision.ops import drop_block2d

from seg.regularizers import DropBlock, Dropout, SpatialDropout, StochasticDepth, UniformDropout

P, BLOCK = 0.1, 7
SHAPES = ((8, 256, 64, 64), (8, 64, 128, 128), (8, 512, 16, 16))
RESULTS = Path(__file__).parent / "results"
FLOOR = "floor: one read, one write"

Way = Callable[[Tensor], Tensor]

WAYS: dict[str, Way] = {
    FLOOR: lambda x: x * 1.1,
    "DropBlock": DropBlock(P, BLOCK),
    "timm DropBlock2d": DropBlock2d(P, BLOCK),
    "DropBlock, per channel": DropBlock(P, BLOCK, per_channel=True),
    "timm DropBlock2d, per channel": DropBlock2d(P, BLOCK, couple_channels=False),
    "torchvision drop_block2d, per channel": lambda x: drop_block2d(x, P, BLOCK),
    "StochasticDepth": StochasticDepth(P),
    "timm DropPath": DropPath(P),
    "torchvision StochasticDepth": VisionDepth(P, "row"),
    "SpatialDropout": SpatialDropout(P),
    "torch Dropout2d": nn.Dropout2d(P),
    "Dropout": Dropout(P),
    "torch Dropout": nn.Dropout(P),
    "UniformDropout": UniformDropout(P),
}
TARGETS = (
    ("DropBlock within 1.5x of the floor", "DropBlock", FLOOR, 1.5),
    ("StochasticDepth within 1.5x of the floor", "StochasticDepth", FLOOR, 1.5),
    ("DropBlock no slower than timm's", "DropBlock", "timm DropBlock2d", 1.0),
    ("StochasticDepth no slower than timm's", "StochasticDepth", "timm DropPath", 1.0),
    ("DropBlock per channel faster than timm's", "DropBlock, per channel", "timm DropBlock2d, per channel", 1.0),
)

Times = dict[str, list[float]]


def verify() -> dict[str, float]:
    """Share that each way drops on small and large maps, which only ours has to get right; the mean stays 1."""
    torch.manual_seed(0)
    shares = {}
    for name, way in WAYS.items():
        for side, channels in ((64, 1), (8, 16)):
            out = way(torch.ones(4096, channels, side, side))  # 4096: the share of samples that go is near p, too
            shares[f"{name}, {side}x{side}"] = share = float((out == 0).float().mean())
            ours = name != FLOOR and not name.startswith(("timm", "torch"))
            if ours and name != "UniformDropout":
                assert abs(share - P) < 0.02, (name, side, share)
            if ours:
                assert abs(float(out.mean()) - 1) < 0.02, (name, side)
    return {key: share for key, share in shares.items() if "DropBlock" in key or "drop_block" in key}


def milliseconds(way: Way, x: Tensor, gradient: Tensor) -> float:
    """Wall time of a forward and backward pass; the result has the input's type and shape."""
    repeats = max(1, 2**23 // x.numel())  # some ten milliseconds, for small tensors too
    start = time.perf_counter()
    for _ in range(repeats):
        x.grad = None
        out = way(x)
        out.backward(gradient)
    elapsed = time.perf_counter() - start
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert x.grad is not None
    return 1e3 * elapsed / repeats


def measure(shape: tuple[int, ...], layout: torch.memory_format, rounds: int) -> Times:
    """Times of each way, one a round; the first round warms up and is left out."""
    x = torch.randn(shape).to(memory_format=layout).requires_grad_()
    gradient = torch.randn(shape).to(memory_format=layout)
    times: Times = {name: [] for name in WAYS}
    for _ in range(rounds + 1):
        for name in random.sample(list(WAYS), len(WAYS)):
            times[name].append(milliseconds(WAYS[name], x, gradient))
    return {name: values[1:] for name, values in times.items()}


def ratios(times: Times, name: str, reference: str) -> list[float]:
    """Round by round, so that what slows the machine down slows both."""
    return [a / b for a, b in zip(times[name], times[reference], strict=True)]


def middle(values: list[float]) -> tuple[float, float]:
    """The interval that holds the middle half."""
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def cell(times: Times, name: str) -> str:
    """Median, middle half, ratio to the floor."""
    low, high = middle(times[name])
    factor = statistics.median(ratios(times, name, FLOOR))
    return f"{statistics.median(times[name]):.2f} [{low:.2f}, {high:.2f}] ({factor:.2f}x)"


def verdict(times: Times, name: str, reference: str, most: float) -> str:
    """The ratio, its middle half, and whether the target is met."""
    found = ratios(times, name, reference)
    low, high = middle(found)
    met = "met" if statistics.median(found) <= most else "within the interval" if low <= most else "**missed**"
    return f"{statistics.median(found):.2f} [{low:.2f}, {high:.2f}], {met}"


def main() -> None:
    """Print the tables and write them to ``benchmarks/results/``."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    torch.set_num_threads(1)
    shares = verify()
    layouts = {"": torch.contiguous_format, ", channels last": torch.channels_last}
    columns = {
        "x".join(map(str, shape)) + suffix: measure(shape, layout, rounds)
        for shape in SHAPES
        for suffix, layout in layouts.items()
    }
    head = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines = [header(rounds), "", "ms, forward + backward: median [middle half] (ratio to the floor)", "", *head]
    lines += [row(name, [cell(times, name) for times in columns.values()]) for name in WAYS]
    lines += ["", "Targets: median ratio [middle half]", "", *head]
    lines += [row(text, [verdict(t, *target) for t in columns.values()]) for text, *target in TARGETS]
    lines += ["", f"Share that is dropped where {P} was asked for, block {BLOCK}", "", "| | share |", "|---|---|"]
    lines += [row(key, [f"{share:.3f}"]) for key, share in shares.items()]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"regularizers-{datetime.now():%Y-%m-%dT%H%M}.md"  # notes are added by hand: never over them
    path.write_text("\n".join(lines) + "\n")
    print(f"written to {path}")


def row(name: str, cells: list[str]) -> str:
    """One line of a table."""
    return f"| {name} | " + " | ".join(cells) + " |"


def header(rounds: int) -> str:
    """Hardware, versions and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    cpu_lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in cpu_lines if line.startswith("model name")), "?")
    return (
        f"# Regularizers, {date.today()}\n\n{cpu}, {platform.platform()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}, one thread, "
        f"float32, p {P}, {rounds} rounds, commit {commit.stdout.strip() or 'none'}"
    )


if __name__ == "__main__":
    main()
