"""What a float32 training step can gain on a CPU: its convolutions, one by one, against products of matrices.

python benchmarks/bench_convolutions.py [ROUNDS] [--instructions avx2]

The layers are those of the default model (U-Net with ResNet-18) at four windows of 352x480. Each is timed as it is
trained, in channels_last: forward, gradient of its input, gradient of its weights. The gradient of the weights is timed
in two other ways as well: by the same library in the other memory layout, with the conversions to it, and as nine
products of matrices (one a pixel of the kernel; of a 3x3 kernel at stride 1). All three have to agree. ``--instructions
avx2`` measures as on a machine that has no AVX-512.
"""

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date

import torch
import torch.nn.functional as F
from bench_train import BATCH, RESTRICTED, RESULTS, SIZES, model, processor
from torch import Tensor, nn

Layer = tuple[tuple[int, ...], tuple[int, ...], int]
"""Sizes of input and weights, and the stride."""
WAYS = ("forward", "of the input", "of the weights", "other layout", "products")


def layers() -> Counter[Layer]:
    """The layers of the default model, and how many there are of each."""
    found: Counter[Layer] = Counter()

    def note(layer: nn.Conv2d, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        found[tuple(inputs[0].shape), tuple(layer.weight.shape), layer.stride[0]] += 1

    net = model()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(note)
    with torch.no_grad():
        net(torch.zeros(BATCH, 3, *SIZES["352x480"]))
    return found


def products(gradient: Tensor, images: Tensor) -> Tensor:
    """Gradient of the weights of a 3x3 kernel: images with a border are rows of pixels, a shift an offset in them."""
    channels, width = images.shape[1], images.shape[3] + 2
    rows = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).reshape(-1, channels)
    given = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 0, 2, 0, 2)).reshape(-1, gradient.shape[1])
    found = torch.empty(3, 3, gradient.shape[1], channels)
    for y in range(3):
        for x in range(3):
            offset = y * width + x
            torch.mm(given[: len(rows) - offset].t(), rows[offset:], out=found[y, x])
    return found.permute(2, 3, 0, 1)


def ways(layer: Layer) -> dict[str, Callable[[], Tensor]]:
    """What is timed of a layer."""
    size, kernel, stride = layer
    padding = kernel[-1] // 2
    images, weights = (torch.randn(each).contiguous(memory_format=torch.channels_last) for each in (size, kernel))
    output = F.conv2d(images, weights, stride=stride, padding=padding)
    gradient = torch.randn_like(output)

    def backward(tensors: Sequence[Tensor], weight: bool) -> Tensor:
        known = (None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)
        found: list[Tensor] = torch.ops.aten.convolution_backward(*tensors, *known, [not weight, weight, False])
        return found[1] if weight else found[0]

    given = gradient, images, weights
    found: dict[str, Callable[[], Tensor]] = {
        "forward": lambda: F.conv2d(images, weights, stride=stride, padding=padding),
        "of the input": lambda: backward(given, weight=False),
        "of the weights": lambda: backward(given, weight=True),
        "other layout": lambda: backward([each.contiguous() for each in given], weight=True),
    }
    if kernel[-1] == 3 and stride == 1:
        found["products"] = lambda: products(gradient, images)
    return found


def seconds(run: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measured(layer: Layer, rounds: int) -> dict[str, float]:
    """Median seconds of each way, in turn; they are held to each other first."""
    found = ways(layer)
    truth = found["of the weights"]()
    for name in ("other layout", "products"):
        if name in found and (found[name]() - truth).abs().max() > 1e-3 * truth.abs().max():
            sys.exit(f"{layer}: {name} disagrees")
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, run in found.items():
            times[name].append(seconds(run))
    return {name: statistics.median(values) for name, values in times.items()}


def rate_of_products(rounds: int) -> float:
    """GFLOP/s of a product of square matrices."""
    side = 2048
    matrix = torch.randn(side, side)
    times = [seconds(lambda: matrix @ matrix) for _ in range(rounds + 1)]
    return 2 * side**3 / statistics.median(times[1:]) / 1e9


def main() -> None:
    """Measure, print, and write a dated file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int, nargs="?", default=7)
    parser.add_argument("--instructions", choices=("avx2",))
    asked = parser.parse_args()
    if (limit := asked.instructions) and os.environ.get(RESTRICTED) != limit:
        limits = {RESTRICTED: limit, "ONEDNN_MAX_CPU_ISA": limit, "MKL_ENABLE_INSTRUCTIONS": limit}
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | limits)
    rows, total, best, flops = [], Counter[str](), 0.0, 0.0
    for layer, count in layers().items():
        found = measured(layer, asked.rounds)
        (_, channels, height, width), kernel, stride = layer
        flops += count * 3 * 2 * BATCH * (height // stride) * (width // stride) * torch.Size(kernel).numel()
        best += count * (
            found["forward"] + found["of the input"] + min(found[name] for name in found if name in WAYS[2:])
        )
        total.update({name: count * value for name, value in found.items()})
        cells = [f"{1000 * found[name]:.0f}" if name in found else "" for name in WAYS]
        size = f"{channels} to {kernel[0]}, {kernel[-1]}x{kernel[-1]}, stride {stride}, at {height}x{width}"
        rows.append((sum(found[name] for name in WAYS[:3]), f"| {size} | {count} | {' | '.join(cells)} |"))
    step = sum(total[name] for name in WAYS[:3])
    rate = rate_of_products(asked.rounds)
    lines = [
        f"# Convolutions of a training step, {date.today()}",
        "",
        f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {asked.rounds} rounds"
        f"{f', only {limit}' if limit else ''}. Milliseconds of one layer, slowest first.",
        "",
        f"| layer | how many | {' | '.join(WAYS)} |",
        f"|---|--:|{'--:|' * len(WAYS)}",
        *(line for _, line in sorted(rows, reverse=True)),
        "",
        f"All together: {1000 * step:.0f} ms, {flops / step / 1e9:.0f} GFLOP/s; of that the weights' gradients "
        f"{1000 * total[WAYS[2]]:.0f} ms. With the quickest of the three ways for each layer: {1000 * best:.0f} ms. "
        f"Products of matrices of 2048x2048: {rate:.0f} GFLOP/s; at that rate: {1000 * flops / rate / 1e9:.0f} ms.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (RESULTS / f"convolutions-{date.today()}{f'-{limit}' if limit else ''}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
