"""Losses against their peers: forward and backward, values checked first, ratios to F.cross_entropy.

python benchmarks/bench_losses.py [--rounds 5] [--losses lovasz ohem] [--device cuda] [--dtype bfloat16] [--no-memory]
    [--memory kept | fresh] [--instructions avx2]

Each round times every way once, in turn, in the same process; the table gives medians of the rounds and medians of the
ratios to F.cross_entropy in the same round. Memory is the highest above the inputs, the gradient included: on a GPU by
PyTorch's allocator, on a CPU by the kernel's high-water mark in a process of its own for each way. Peers beyond
segmentation-models-pytorch take part if they are installed: benchmarks/constraints-peers.txt.

``--memory kept`` keeps freed memory, as training does; with ``fresh`` the system hands out every large tensor anew,
page by page, as in a loop of one's own; else it is one or the other, as the ways before have it. ``--instructions
avx2`` measures PyTorch and us as on a machine that has no AVX-512.
"""

import argparse
import ctypes
import functools
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

import cv2
import loss_peers
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from loss_peers import Way, ways
from scipy import ndimage
from torch import Tensor

from seg import _losses
from seg.inference.memory import keep_freed_memory
from seg.losses import fused, signed_distance

SHAPES = ((4, 19, 512, 512), (2, 150, 256, 256))
SMALL = ((2, 19, 64, 96),)
SORTING = ("ohem", "lovasz")  # whose time depends on how right the model is
MMAP_THRESHOLD = -3  # of mallopt
RESULTS = Path(__file__).parent / "results"


def inputs(
    shape: tuple[int, ...], device: str, dtype: torch.dtype, trained: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, random or those of a model right at nine pixels of ten; target with 5 % ignored; distance maps."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator).to(device, dtype)
    target = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.05] = 255
    distance = torch.randn(shape, generator=generator).to(device)
    if trained:
        right = F.one_hot(target.clamp(max=shape[1] - 1), shape[1]).permute(0, 3, 1, 2).to(device, dtype)
        logits += 8 * right * (torch.rand(target.shape, generator=generator) < 0.9).unsqueeze(1).to(device)
    return logits.requires_grad_(), target.to(device), distance


class Seconds(NamedTuple):
    wall: float
    cpu: float  # of all threads: what other work on the machine changes little


def step(way: Way, logits: Tensor, target: Tensor) -> Seconds:
    """One forward and backward pass."""
    logits.grad = None
    synchronize(logits)
    start = Seconds(time.perf_counter(), time.process_time())
    way.call(logits, target).backward()
    synchronize(logits)
    return Seconds(time.perf_counter() - start.wall, time.process_time() - start.cpu)


def synchronize(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def check(way: Way, logits: Tensor, target: Tensor) -> None:
    """On two images of a quarter of the height: float64 takes twice the room."""
    height = max(1, logits.shape[2] // 4)
    part, labels = logits.detach()[:2, :, :height], target[:2, :height]
    if way.loss == "boundary":  # its maps are of the whole
        part, labels = logits.detach(), target
    with fused(False):
        expected = float(way.truth(part.double(), labels))
    found = float(way.call(part, labels))
    tolerance = 1e-4 if logits.dtype == torch.float32 else 2e-2
    if abs(found - expected) > tolerance * max(1.0, abs(expected)):
        raise SystemExit(f"{way.loss}, {way.name}: expected {expected}, got {found}")


def memory_here(loss: str, name: str, shape: tuple[int, ...], device: str, dtype: torch.dtype) -> float:
    """MiB above the inputs at the peak of one step, in this process."""
    logits, target, distance = inputs(shape, device, dtype)
    (way,) = [way for way in ways(shape[1], distance, device == "cuda") if (way.loss, way.name) == (loss, name)]
    if device == "cuda":
        step(way, logits, target)
        logits.grad = None
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(way, logits, target)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    few = logits.detach()[:, :, :8, :8].clone().requires_grad_()
    if loss != "boundary":  # threads and libraries are there now
        step(way, few, target[:, :8, :8].clone())
    Path("/proc/self/clear_refs").write_text("5")  # sets the high-water mark back
    before = resident("VmRSS")
    step(way, logits, target)
    return resident("VmHWM") - before


def resident(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def memory(way: Way, shape: tuple[int, ...], options: argparse.Namespace) -> str:
    if options.no_memory or (options.device == "cpu" and platform.system() != "Linux"):
        return ""
    if options.device == "cuda":
        return f"{memory_here(way.loss, way.name, shape, options.device, getattr(torch, options.dtype)):.0f}"
    command = [sys.executable, __file__, "--dtype", options.dtype, "--peak", way.loss, way.name, *map(str, shape)]
    return f"{float(subprocess.run(command, capture_output=True, text=True, check=True).stdout):.0f}"


def time_losses(shape: tuple[int, ...], options: argparse.Namespace, trained: bool = False) -> list[str]:
    logits, target, distance = inputs(shape, options.device, getattr(torch, options.dtype), trained)
    everything = ways(shape[1], distance, options.device == "cuda")
    wanted = SORTING if trained else tuple(options.losses)
    everything = [way for way in everything if way.loss.startswith(("cross_entropy", *wanted) if wanted else "")]
    for way in everything:
        check(way, logits, target)
        step(way, logits, target)
    rounds = [[step(way, logits, target) for way in everything] for _ in range(options.rounds)]
    size = logits.numel() * logits.element_size() / 2**20
    lines = [
        f"\n## {list(shape)}, {options.dtype}, gradient {size:.0f} MiB{', right at 9 of 10 pixels' * trained}\n",
        "| loss | implementation | ms | x F.cross_entropy | the same in CPU time | peak MiB | x gradient |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    order = list(our_order(everything))
    for index in sorted(range(len(everything)), key=lambda i: (order.index(everything[i].loss), i)):
        way = everything[index]
        milliseconds = 1e3 * statistics.median(times[index].wall for times in rounds)
        wall, cpu = (statistics.median(t[index][i] / t[0][i] for t in rounds) for i in (0, 1))
        peak = "" if trained else memory(way, shape, options)
        share = f"{float(peak) / size:.2f}" if peak else ""
        lines.append(f"| {way.loss} | {way.name} | {milliseconds:.1f} | {wall:.2f} | {cpu:.2f} | {peak} | {share} |")
    return lines


def our_order(everything: list[Way]) -> dict[str, None]:
    return dict.fromkeys(way.loss for way in everything)


def training_share(options: argparse.Namespace) -> list[str]:
    """How much of a training step the loss is: U-Net with a ResNet-18, 19 classes."""
    cuda = options.device == "cuda"
    n, side = (8, 512) if cuda else (1, 64) if options.small else (2, 256)
    model = smp.Unet("resnet18", encoder_weights=None, classes=19).to(options.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    logits, target, distance = inputs((n, 19, side, side), options.device, torch.float32)
    images = torch.randn(n, 3, side, side, device=options.device)
    lines = [
        "\n## Share of a training step\n",
        f"U-Net, ResNet-18, [{n}, 3, {side}, {side}]{', autocast bfloat16' if cuda else ''}\n",
        "| loss | implementation | step ms | loss ms | share |",
        "|---|---|---:|---:|---:|",
    ]
    wanted = ("cross_entropy", "dice", "ce + focal + dice")
    for way in (way for way in ways(19, distance, cuda) if way.loss in wanted):

        def whole(way: Way = way) -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(options.device, dtype=torch.bfloat16, enabled=cuda):
                value = way.call(model(images), target)
            value.backward()
            optimizer.step()
            synchronize(images)

        total = median_of(whole, options.rounds)
        leaf = logits.detach().to(torch.bfloat16 if cuda else torch.float32).requires_grad_()
        alone = median_of(lambda way=way, leaf=leaf: step(way, leaf, target), options.rounds)
        lines.append(f"| {way.loss} | {way.name} | {total:.1f} | {alone:.1f} | {100 * alone / total:.1f} % |")
    return lines


def median_of(call: Callable[[], object], rounds: int) -> float:
    """Milliseconds, after one call that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def regions(classes: int, side: int) -> np.ndarray:
    """A mask of the regions nearest to 60 points, with a bar of ignored pixels."""
    rng = np.random.default_rng(0)
    points, owners = rng.uniform(0, side, (60, 2)), np.resize(np.arange(classes), 60)
    rows, columns = np.mgrid[:side, :side]
    nearest = ((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2).argmin(-1)
    mask = owners[nearest].astype(np.uint8)
    mask[side // 3 : side // 3 + 20] = 255
    return mask


def distances_by(transform: Callable[[np.ndarray], np.ndarray], mask: np.ndarray, classes: int) -> np.ndarray:
    maps = np.zeros((classes, *mask.shape), np.float32)
    labelled = mask != 255
    for index in range(classes):
        own = mask == index
        maps[index] = np.where(own, 1 - transform(labelled & ~own), transform(own)) * labelled
    return maps


def by_scipy(points: np.ndarray) -> np.ndarray:
    return ndimage.distance_transform_edt(~points)


def by_opencv(points: np.ndarray) -> np.ndarray:
    rough = cv2.distanceTransform((~points).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.sqrt(np.rint(np.square(rough, dtype=np.float64)))


def distance_table(options: argparse.Namespace) -> list[str]:
    lines = ["\n## Distance maps of one mask, one thread\n", "| size | way | ms | x ours |", "|---|---|---:|---:|"]
    cv2.setNumThreads(1)
    for classes, side in ((2, 512), (19, 512), (19, 1024), (150, 256))[: 1 if options.small else None]:
        present = min(classes, 60)
        mask = regions(present, side)
        target = torch.from_numpy(mask)
        found = {
            "ours": (lambda t=target, c=classes: signed_distance(t, c).numpy()),
            "OpenCV, precise": (lambda m=mask, c=present: distances_by(by_opencv, m, c)),
            "scipy": (lambda m=mask, c=present: distances_by(by_scipy, m, c)),
        }
        wanted = found["scipy"]()
        np.testing.assert_array_equal(found["ours"]()[: len(wanted)], wanted)
        # on one thread OpenCV 5.0 is off by a squared pixel at a few far ones
        np.testing.assert_allclose(found["OpenCV, precise"](), wanted, atol=1e-3)
        times = {name: median_of(call, options.rounds if name != "scipy" else 2) for name, call in found.items()}
        for name, value in times.items():
            lines.append(f"| {classes} x {side} x {side} | {name} | {value:.1f} | {value / times['ours']:.1f} |")
    return lines


def header(options: argparse.Namespace) -> list[str]:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    chip = torch.cuda.get_device_name() if options.device == "cuda" else cpu()
    modules = {name: loss_peers.imported(name) for name in ("numpy", "scipy", "cv2", "monai", "kornia")}
    versions = ", ".join(f"{name} {module.__version__}" for name, module in modules.items() if module)
    absent = [name for name, module in modules.items() if module is None]
    return [
        f"# Losses, {date.today()}\n",
        f"Commit {commit}; {chip}; {torch.get_num_threads()} threads; Python {platform.python_version()}, torch "
        f"{torch.__version__}, smp {smp.__version__}, {versions}; {options.rounds} rounds, medians; "
        f"{torch.backends.cpu.get_cpu_capability()}{f', {options.memory} memory' * bool(options.memory)}."
        + (f" Not installed: {', '.join(absent)}." if absent else ""),
    ]


def cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def restrict_to(instructions: str) -> None:
    """Have PyTorch and the kernels leave newer instructions alone."""
    if (wanted := {"baseline": "default"}.get(instructions, instructions)) != os.environ.get("ATEN_CPU_CAPABILITY"):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"ATEN_CPU_CAPABILITY": wanted})
    for name in ("sums", "gradient", "minus_logs", "lovasz"):
        setattr(_losses, name, functools.partial(getattr(_losses, name), instructions=instructions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--no-memory", action="store_true", help="leave the memory columns empty")
    parser.add_argument("--losses", nargs="+", default=[], help="only those whose names begin so, and no other table")
    parser.add_argument("--small", action="store_true", help="small shapes, nothing is written: does it work?")
    parser.add_argument("--memory", choices=("kept", "fresh"), help="what large tensors are made of")
    parser.add_argument("--instructions", choices=_losses.instruction_sets, help="and no newer ones")
    parser.add_argument("--peak", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    if options.memory == "kept":
        keep_freed_memory()
    if options.memory == "fresh":
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 1 << 20)
    if options.instructions:
        restrict_to(options.instructions)
    if options.peak:
        loss, name, *shape = options.peak
        print(memory_here(loss, name, tuple(map(int, shape)), options.device, dtype))
        return
    parts = [lambda: header(options)]
    if not options.losses:
        parts.append(lambda: training_share(options))
    parts += [lambda shape=shape: time_losses(shape, options) for shape in (SMALL if options.small else SHAPES)]
    parts.append(lambda: time_losses((SMALL if options.small else SHAPES)[0], options, trained=True))
    if not options.losses:
        parts.append(lambda: distance_table(options))
    text = ""
    for part in parts:
        lines = "\n".join(part()) + "\n"
        print(lines, flush=True)
        text += lines
    if not options.small:
        suffix = "" if (options.device, options.dtype) == ("cpu", "float32") else f"-{options.device}-{options.dtype}"
        suffix += "".join(f"-{word}" for word in (options.memory, options.instructions) if word)
        (RESULTS / f"losses-{date.today()}{suffix}.md").write_text(text)


if __name__ == "__main__":
    main()
