"""The training step against the loops that people write, and training from files against training from memory.

python benchmarks/bench_train.py [ROUNDS] [--instructions avx2]

U-Net with ResNet-18, batches of 4, cross entropy, AdamW. Every way has a process of its own, because what we set for a
process (freed memory is kept) would help the others too. In every round each takes one step on the same batch, in turn,
while the others wait; ways that compute the same are held to the same losses (to 1e-4 in the first three steps, to 5 %
later, because rounding grows). Lightning's Trainer, which owns its loop, runs by itself between the rounds. On a GPU:
images a second, the share of the peak FLOP rate, and the share of time that the loader is waited for.
``--instructions avx2`` measures the steps alone, as on a machine that has no AVX-512.
"""

import argparse
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import lightning
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg import _losses
from seg.convert import convert_folder
from seg.data.batches import Batch, TrainBatches, make_loader
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import pair
from seg.losses import CrossEntropy
from seg.synthetic import LABELS, write_dataset
from seg.tasks.objective import Segmentation
from seg.training import State, optim, train_step
from seg.training.device import DeviceOptions, make_fabric, peak_memory, precision_here
from seg.transforms import ColorJitter, Compose, Flip, ScaleCrop

BATCH, CLASSES = 4, 11
SIZES = {"352x480": (352, 480), "128x192": (128, 192)}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
RESULTS = Path(__file__).parent / "results"
RESTRICTED = "ATEN_CPU_CAPABILITY"  # what PyTorch reads

WRITTEN, CHANNELS_LAST = "bare loop, float32", "bare loop, float32, channels_last"
OURS, DEFAULTS, TRAINER = "ours, float32", "ours, defaults", "Lightning Trainer, float32"
Step = Callable[[Tensor, Tensor], float]
"""Images and masks -> the loss; one optimizer step is done."""


def model() -> nn.Module:
    """The same weights for all."""
    torch.manual_seed(0)
    found: nn.Module = smp.Unet("resnet18", encoder_weights=None, classes=CLASSES)
    return found


def bare(layout: torch.memory_format) -> Step:
    """What a tutorial writes; in channels_last with the fused optimizer and the clipping that ours has too."""
    net = model().to(DEVICE).to(memory_format=layout)
    tuned = layout == torch.channels_last
    groups = optim.parameter_groups(net) if tuned else net.parameters()
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=tuned)

    def step(images: Tensor, masks: Tensor) -> float:
        net.train()
        loss = F.cross_entropy(net(images), masks.long(), ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        if tuned:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def ours(precision: str, *, compiled: bool = False) -> Step:
    """`seg.training.train_step`, with all that a run has it do."""
    fabric = make_fabric(DeviceOptions(precision=precision))
    net, objective = model(), Segmentation(CrossEntropy(), CLASSES)
    optimizer = torch.optim.AdamW(optim.parameter_groups(net), lr=1e-3, fused=True)
    state = State(net, objective, optimizer, optim.constant(optimizer, steps=10**6), fabric, compile=compiled)
    index = torch.arange(BATCH)

    def step(images: Tensor, masks: Tensor) -> float:
        state.position.next_epoch()
        state.train(frozen=False, norm=False)
        train_step(state, [Batch(images, masks, index, {})], done=0, total=10**6, clip=1.0)
        state.scheduler.step()
        return float(state.position.loss_sum)

    return step


class Module(lightning.LightningModule):
    """smp under Lightning's Trainer, as its documentation has it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = model()

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, masks = batch
        return F.cross_entropy(self.net(images), masks.long(), ignore_index=255)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Clock(lightning.Callback):
    """Seconds of each step, from its start to the end of the optimizer's work."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, *_: object) -> None:
        synchronize()
        self.started = time.perf_counter()

    def on_train_batch_end(self, *_: object) -> None:
        synchronize()
        self.seconds.append(time.perf_counter() - self.started)


def trainer(images: Tensor, masks: Tensor, steps: int) -> list[float]:
    """Seconds of each step of Lightning's Trainer."""
    clock = Clock()
    runner = lightning.Trainer(
        max_steps=steps, accelerator="auto", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[clock],
    )  # fmt: skip
    batches = torch.utils.data.DataLoader([(images.cpu(), masks.cpu())] * steps, batch_size=None)
    runner.fit(Module(), batches)
    return clock.seconds


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def batch(size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Images and masks of blocks, a twentieth of which is ignored."""
    rng = np.random.default_rng(seed)
    height, width = size
    blocks = rng.integers(0, CLASSES, (BATCH, height // 32, width // 32)).repeat(32, 1).repeat(32, 2)
    masks = np.where(rng.random(blocks.shape) < 0.05, 255, blocks).astype(np.uint8)
    images = rng.standard_normal((BATCH, 3, height, width)) + blocks[:, None] / CLASSES
    # as the loader gives them: in the memory that files are decoded to
    tensor = torch.from_numpy(images.astype(np.float32)).contiguous(memory_format=torch.channels_last)
    return tensor.to(DEVICE), torch.from_numpy(masks).to(DEVICE)


def make(way: str) -> Step:
    """A way by its name."""
    if way in (WRITTEN, CHANNELS_LAST):
        return bare(torch.contiguous_format if way == WRITTEN else torch.channels_last)
    return ours("32-true" if way == OURS else precision_here("auto"))


def serve(way: str, size: tuple[int, int], asked: Connection) -> None:
    """Take a step for each number that comes: its loss and seconds go back, and at the end the most MiB."""
    if instructions := os.environ.get(RESTRICTED):
        for name in ("sums", "gradient", "minus_logs"):
            setattr(_losses, name, partial(getattr(_losses, name), instructions=instructions))
    step = make(way)
    while (number := asked.recv()) is not None:
        images, masks = batch(size, number)
        given = images.contiguous() if way == WRITTEN else images
        synchronize()
        started = time.perf_counter()
        loss = step(given, masks)
        synchronize()
        asked.send((loss, time.perf_counter() - started))
    asked.send((peak_memory(DEVICE) or 0) / 2**20)


def steps_of(size: tuple[int, int], rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each way in every round, and its most MiB."""
    best = precision_here("auto")
    names = [WRITTEN, CHANNELS_LAST, OURS] + ([] if RESTRICTED in os.environ else [DEFAULTS])
    spawn, ways = multiprocessing.get_context("spawn"), {}
    for name in names:
        ways[name], theirs = spawn.Pipe()
        spawn.Process(target=serve, args=(name, size, theirs), daemon=True).start()
    times: dict[str, list[float]] = {name: [] for name in (*names, TRAINER)}
    for number in range(rounds + 3):
        losses = {}
        for name in sorted(names, key=lambda name, number=number: hash((name, number))):
            ways[name].send(number)
            losses[name], seconds = ways[name].recv()
            if number >= 3:
                times[name].append(seconds)
        # rounding grows from step to step: the first ones show that it is the same computation
        tolerance = 1e-4 if number < 3 else 0.05
        if abs(losses[OURS] - losses[CHANNELS_LAST]) > tolerance * losses[OURS]:
            sys.exit(f"step {number}: ours {losses[OURS]}, the bare loop {losses[CHANNELS_LAST]}")
        if abs(losses.get(DEFAULTS, losses[OURS]) - losses[OURS]) > 0.1 * losses[OURS]:
            sys.exit(f"step {number}: the loss is {losses[DEFAULTS]} in {best}, {losses[OURS]} in float32")
        if number >= 3 and number % 5 == 3:
            images, masks = batch(size, number)
            times[TRAINER] += trainer(images.contiguous(), masks, 8)[3:]
    memory = {}
    for name in names:
        ways[name].send(None)
        memory[name] = ways[name].recv()
    return times, memory


def from_files(size: tuple[int, int], workers: int, folder: Path) -> tuple[float, float, float]:
    """Images a second from files and from memory, and the share of time waited for files, with the defaults."""
    if not (folder / "train" / "masks").exists():
        write_dataset(folder, train=64, val=1, height=360, width=480)
        convert_folder(folder / "train" / "labels", folder / "train" / "masks", LABELS)
    pairs = pair(folder / "train" / "images", folder / "train" / "masks")
    recipe = Compose(flip=Flip(), crop=ScaleCrop(size=size), color=ColorJitter(brightness=0.3, contrast=0.3))
    data = SegmentationDataset(pairs, classes=LABELS.classes, mean=(0.5,) * 3, std=(0.25,) * 3, transform=recipe)
    batches = TrainBatches(len(pairs), batch=BATCH, seed=0)
    loader = make_loader(data, batches, workers=workers, device=DEVICE)
    step = ours(precision_here("auto"))
    kept = [(b.images.to(DEVICE), b.masks.to(DEVICE)) for b in loader]
    rates: dict[str, list[float]] = {"files": [], "memory": []}
    waited = 0.0
    for epoch in range(4):
        batches.go_to(epoch, 0)
        for name, source in (("files", moved(iter(loader))), ("memory", iter(kept))):
            synchronize()
            started, waiting = time.perf_counter(), 0.0
            while True:
                asked = time.perf_counter()
                if (found := next(source, None)) is None:
                    break
                waiting += time.perf_counter() - asked
                step(*found)
            synchronize()
            seconds = time.perf_counter() - started
            if epoch:  # the first one starts workers
                rates[name].append(len(pairs) / seconds)
                waited += waiting / seconds / 3 if name == "files" else 0.0
    return statistics.median(rates["files"]), statistics.median(rates["memory"]), waited


def moved(loader: Iterator[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
    for one in loader:
        yield one.images.to(DEVICE), one.masks.to(DEVICE)


def utilisation(size: tuple[int, int], seconds: float) -> str:
    """Share of the peak bfloat16 rate of an H100 (989 TFLOP/s dense) that a step comes to."""
    from torch.utils.flop_counter import FlopCounterMode

    net = model().to(DEVICE)
    images, masks = batch(size, 0)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(net(images), masks.long(), ignore_index=255).backward()
    rate = counter.get_total_flops() / seconds / 1e12
    return f"{rate:.1f} TFLOP/s, {100 * rate / 989:.1f} % of an H100's dense bfloat16 peak"


def interval(values: list[float]) -> str:
    """Median and 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (2000, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{statistics.median(values):.2f} [{low:.2f}, {high:.2f}]"


def table(times: dict[str, list[float]], memory: dict[str, float]) -> list[str]:
    lines = ["| | ms a step | bare loop as written, times as long | bare loop in channels_last | peak MiB |"]
    lines.append("|---|---|---|---|---|")
    for name, seconds in times.items():
        if name == TRAINER:
            ratios = [statistics.median(times[ref]) / statistics.median(seconds) for ref in (WRITTEN, CHANNELS_LAST)]
            cells = [f"{ratio:.2f}" for ratio in ratios]
        else:
            cells = [
                interval([a / b for a, b in zip(times[ref], seconds, strict=True)]) for ref in (WRITTEN, CHANNELS_LAST)
            ]
        most = f"{memory[name]:.0f}" if name in memory else "-"
        lines.append(f"| {name} | {1000 * statistics.median(seconds):.0f} | {' | '.join(cells)} | {most} |")
    return lines


def steps(label: str, size: tuple[int, int], rounds: int) -> list[str]:
    """The table of a size of images."""
    times, memory = steps_of(size, rounds)
    lines = ["", f"## {label}", "", *table(times, memory)]
    if DEVICE.type == "cuda":
        lines += ["", f"Defaults: {utilisation(size, statistics.median(times[DEFAULTS]))}."]
    return lines


def main() -> None:
    """Measure, print, and write a dated file."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int, nargs="?", default=20)
    parser.add_argument("--instructions", choices=("avx2",))
    asked = parser.parse_args()
    rounds, restricted = asked.rounds, asked.instructions
    if restricted and os.environ.get(RESTRICTED) != restricted:
        limits = {RESTRICTED: restricted, "ONEDNN_MAX_CPU_ISA": restricted}
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | limits)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else processor()
    precision = "32-true" if restricted else precision_here("auto")
    lines = [
        f"# Training steps, {date.today()}",
        "",
        f"{name}, {os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, smp {smp.__version__}, lightning {lightning.__version__}, {torch.get_num_threads()} "
        f"threads, {rounds} rounds, {f'only {restricted}, ' if restricted else ''}commit {commit.stdout.strip()}",
        "",
        f"U-Net/ResNet-18, batch {BATCH}, {CLASSES} classes. The defaults here: {precision}. Ratios are "
        "medians of ratios round by round, with a 95 % bootstrap interval of the median: 2.0 means that the bare loop "
        "takes twice as long. Lightning's Trainer runs between the rounds, so that its ratio is one of medians.",
    ]
    parts = [lambda: lines, *(partial(steps, label, size, rounds) for label, size in SIZES.items())]
    text = ""
    for part in parts if restricted else [*parts, loading]:
        shown = "\n".join(part()) + "\n"
        print(shown, flush=True)  # at once: on a slow machine the rest may take an hour
        text += shown
    suffix = f"-{restricted}" if restricted else "-gpu" if DEVICE.type == "cuda" else ""
    (RESULTS / f"train-{date.today()}{suffix}.md").write_text(text, encoding="utf-8")


def loading() -> list[str]:
    """The table of training from files."""
    lines = ["", "## From files, 352x480 crops of 480x360 images, the defaults", ""]
    lines += ["| workers | images/s | from memory | share | waited |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for workers in (0, 1, 2) if DEVICE.type == "cpu" else (4, 8, 12):
            files, memory, waited = from_files(SIZES["352x480"], workers, Path(folder))
            lines.append(f"| {workers} | {files:.1f} | {memory:.1f} | {files / memory:.2f} | {100 * waited:.0f} % |")
    return lines


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
