"""One GPU, everything in one command of under eight minutes: steps, compiling, files, losses, and processes.

python benchmarks/bench_gpu.py [--small]        # --small: a few steps of little images, on a CPU too; does it work?

Windows of 512x512, batches of 16, U-Net with ResNet-34, 19 classes. Each part is a process of its own with a limit of
time, so that one that fails or takes too long costs no other its figures; what is there is written after each.

steps    plain loops in float32, in bfloat16, in bfloat16 with channels_last and the fused optimizer; ours, compiled too
         (the losses of all must agree), and as one process of DDP
files    images a second of the loader alone, and the share of the time that our step waits for it
losses   bench_losses.py, in float32 and in bfloat16
"""

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg.convert import convert_folder
from seg.data.batches import Batch, TrainBatches, make_loader
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import pair
from seg.losses import CrossEntropy
from seg.synthetic import LABELS, write_dataset
from seg.tasks.objective import Segmentation
from seg.training import State, optim, train_step
from seg.training.device import DeviceOptions, make_fabric
from seg.training.fabric import Fabric
from seg.transforms import ColorJitter, Compose, Flip, ScaleCrop

LIMITS = {"steps": 180, "files": 120, "losses": 120}  # seconds, together seven minutes
CLASSES = 19
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
RESULTS = Path(__file__).parent / "results"

Step = Callable[[Tensor, Tensor], Tensor]
"""Images and masks -> the loss; one optimizer step is done."""


def model(small: bool) -> nn.Module:
    """The same weights for all."""
    torch.manual_seed(0)
    found: nn.Module = smp.Unet("resnet18" if small else "resnet34", encoder_weights=None, classes=CLASSES)
    return found.to(DEVICE)


def plain(net: nn.Module, *, half: bool, tuned: bool) -> Step:
    """What people write; `tuned`: channels_last and the fused optimizer."""
    layout = torch.channels_last if tuned else torch.contiguous_format
    net = net.to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=tuned)

    def step(images: Tensor, masks: Tensor) -> Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=half):
            loss = F.cross_entropy(net(images.to(memory_format=layout)), masks.long(), ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def ours(net: nn.Module, *, compiled: bool = False, distributed: bool = False) -> Step:
    """`seg.training.train_step` in bfloat16, with all that a run has it do."""
    fabric = make_fabric(DeviceOptions(precision="bf16-mixed"))
    if distributed:
        fabric = Fabric(accelerator=DEVICE.type, strategy="ddp", devices=1, precision="bf16-mixed")
        fabric.launch()
    optimizer = torch.optim.AdamW(optim.parameter_groups(net), lr=1e-3, fused=True)
    objective = Segmentation(CrossEntropy(), CLASSES)
    state = State(net, objective, optimizer, optim.constant(optimizer, steps=10**6), fabric, compile=compiled)

    def step(images: Tensor, masks: Tensor) -> Tensor:
        state.position.next_epoch()
        state.train(frozen=False, norm=False)
        batch = Batch(images, masks, torch.arange(len(images)), {})
        train_step(state, [batch], done=0, total=10**6, clip=1.0)
        state.scheduler.step()
        return torch.as_tensor(state.position.loss_sum)

    return step


def timed(call: Callable[[], object]) -> float:
    """Seconds until the device has done it."""
    synchronize()
    start = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def steps(small: bool) -> Iterator[str]:
    """Rows: ways in turn, on the same batches."""
    side, number, rounds = (64, 2, 2) if small else (512, 16, 30)
    make = {
        "plain, float32": lambda: plain(model(small), half=False, tuned=False),
        "plain, bfloat16": lambda: plain(model(small), half=True, tuned=False),
        "plain, bfloat16, channels_last, fused": lambda: plain(model(small), half=True, tuned=True),
        "ours, bfloat16": lambda: ours(model(small)),
        "ours, bfloat16, one process of DDP": lambda: ours(model(small), distributed=True),
        "ours, bfloat16, compiled": lambda: ours(model(small), compiled=True),
    }
    yield "| way | images/s | ms a step | times the first | first step, s | memory, MiB | loss |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    generator, usual = torch.Generator().manual_seed(0), None
    images = torch.randn(number, 3, side, side, generator=generator).to(DEVICE)
    masks = torch.randint(CLASSES, (number, side // 8, side // 8), generator=generator, dtype=torch.uint8)
    masks = masks.repeat_interleave(8, 1).repeat_interleave(8, 2).to(DEVICE)
    for name, made in make.items():
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        step = partial(made(), images, masks)
        first = timed(step)
        for _ in range(3):
            loss = float(step())
        median = statistics.median(timed(step) for _ in range(rounds))
        usual = usual or median
        memory = f"{torch.cuda.max_memory_allocated() / 2**20:,.0f}" if DEVICE.type == "cuda" else ""
        cells = (f"{number / median:.1f}", f"{1e3 * median:.1f}", f"{usual / median:.2f}", f"{first:.1f}", memory)
        yield f"| {name} | {' | '.join(cells)} | {loss:.3f} |"


def files(small: bool) -> Iterator[str]:
    """Rows: PNG scenes of 576x576, the standard changes, windows of 512x512."""
    side, number, size = (64, 2, 72) if small else (512, 16, 576)
    yield "| workers | loader alone, images/s | with our step | waited for the loader |"
    yield "|--:|--:|--:|--:|"
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder) / "train"
        write_dataset(folder, train=8 if small else 256, val=1, height=size, width=size)
        convert_folder(train / "labels", train / "masks", LABELS)
        recipe = Compose(
            flip=Flip(), crop=ScaleCrop(size=(side, side)), color=ColorJitter(brightness=0.3, contrast=0.3)
        )
        data = SegmentationDataset(
            pair(train / "images", train / "masks"), classes=LABELS.classes, mean=(0.5,) * 3, std=(0.25,) * 3,
            transform=recipe,
        )  # fmt: skip
        step = ours(model(small))
        cores = os.cpu_count() or 1
        for workers in (1,) if small else sorted({4, 8, cores}):
            batches = TrainBatches(len(data), batch=number, seed=0)
            loader = make_loader(data, batches, workers=workers, device=DEVICE)
            list(loader)  # workers start
            batches.go_to(1, 0)
            alone = len(data) / timed(partial(list, loader))
            batches.go_to(2, 0)
            started, waited, source = time.perf_counter(), 0.0, iter(loader)
            while True:
                asked = time.perf_counter()
                if (batch := next(source, None)) is None:
                    break
                waited += time.perf_counter() - asked
                step(batch.images.to(DEVICE, non_blocking=True), batch.masks.to(DEVICE, non_blocking=True))
            synchronize()
            seconds = time.perf_counter() - started
            yield f"| {workers} | {alone:.0f} | {len(data) / seconds:.0f} | {100 * waited / seconds:.0f} % |"


def losses(small: bool) -> Iterator[str]:
    """Tables of bench_losses.py, without what it writes."""
    script = [sys.executable, str(Path(__file__).with_name("bench_losses.py")), "--no-memory", "--rounds", "5"]
    names = ["--losses", "cross_entropy", "focal", "dice", "tversky", "exp_log", "boundary", "lovasz"]
    for dtype in ("float32",) if small else ("float32", "bfloat16"):
        more = ["--device", DEVICE.type, "--dtype", dtype, *(["--small"] if small else [])]
        found = subprocess.run([*script, *names, *more], capture_output=True, text=True, check=True).stdout
        yield from (line for line in found.splitlines() if not line.startswith("# "))


PARTS = {"steps": steps, "files": files, "losses": losses}


def run(part: str, small: bool) -> list[str]:
    """Run a part in a process of its own; return what it printed, and why it ended early if it did."""
    words = [sys.executable, __file__, "--part", part, *(["--small"] if small else [])]
    with socket.socket() as free:  # of the one process of DDP
        free.bind(("127.0.0.1", 0))
        own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            code = subprocess.run(
                words, stdout=out, stderr=err, env=os.environ | own, timeout=LIMITS[part], check=False
            ).returncode
            end = f"ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            end = f"was ended after {LIMITS[part]} s"
        out.seek(0)
        err.seek(0)
        lines, reason = out.read().splitlines(), "; ".join(err.read().strip().splitlines()[-3:])
    lines += ["", f"This part {end}: {reason}"] if end else []
    return [f"## {part.capitalize()} ({time.monotonic() - started:.0f} s)", "", *lines, ""]


def main() -> None:
    """Run all parts, and write the file after each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        warnings.filterwarnings("ignore")
        for line in PARTS[asked.part](asked.small):
            print(line, flush=True)
        return
    if DEVICE.type == "cpu" and not asked.small:
        parser.error("expected a GPU, got none; --small tries whether it works, on a CPU")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else platform.processor()
    text = f"# One GPU, {date.today()}\n\n{name}, {os.cpu_count()} cores, Python {platform.python_version()}, torch "
    text += f"{torch.__version__}, commit {commit.strip()}; `python benchmarks/bench_gpu.py`, see there.\n\n"
    for part in PARTS:
        text += "\n".join(run(part, asked.small)) + "\n"
        if not asked.small:
            (RESULTS / f"gpu-{date.today()}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
