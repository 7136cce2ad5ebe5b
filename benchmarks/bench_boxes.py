"""Objects and boxes on one core: of masks against OpenCV class by class, and decoded; box losses against torchvision's;
checked while it is timed.

python benchmarks/bench_boxes.py [ROUNDS]

Each round has every way work on the same mask, or the same pairs of boxes, in turn. Times are those of the process
(`time.process_time`), so that what else the machine does matters less.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torchvision import ops

from seg.losses import boxes as losses
from seg.synthetic import render_scene
from seg.tasks.boxes import decode, find_objects, prepare

HEIGHT, WIDTH, CLASSES, SMALLEST = 512, 1024, 19, 16
PAIRS = 1_000_000
PEERS = {
    "giou": ops.generalized_box_iou_loss,
    "diou": ops.distance_box_iou_loss,
    "ciou": ops.complete_box_iou_loss,
}
RESULTS = Path(__file__).parent / "results"


def ellipses(number: int) -> np.ndarray:
    """Ellipses of 19 classes on top of each other; some blocks are ignored."""
    rng = np.random.default_rng(0)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(number):
        center = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        axes = int(rng.integers(3, 120)), int(rng.integers(3, 60))
        cv2.ellipse(mask, center, axes, float(rng.integers(180)), 0, 360, int(rng.integers(CLASSES)), -1)
    mask[rng.random((HEIGHT // 16, WIDTH // 16)).repeat(16, 0).repeat(16, 1) < 0.03] = 255
    return mask


def by_class(mask: np.ndarray) -> list[tuple[int, ...]]:
    """Class, area and box of each object, by OpenCV; without the map of which pixel is whose."""
    found = []
    for index in range(CLASSES):
        own = (mask == index).view(np.uint8)
        if not own.any():
            continue
        number, _, stats, _ = cv2.connectedComponentsWithStats(own, connectivity=8)
        for left, top, width, height, area in stats[1:number].tolist():
            if area >= SMALLEST:
                found.append((index, area, left, top, left + width, top + height))
    return sorted(found)


def ours(mask: np.ndarray) -> list[tuple[int, ...]]:
    found = find_objects(mask, min_area=SMALLEST)
    return sorted(map(tuple, np.c_[found.classes, found.areas, found.boxes].tolist()))


def outputs(mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and maps of a model that knows the mask, with noise that makes many candidates."""
    found, generator = find_objects(mask, min_area=SMALLEST), torch.Generator().manual_seed(0)
    classes = np.where(mask == 255, 0, mask).astype(np.int64)
    logits = 8.0 * torch.nn.functional.one_hot(torch.from_numpy(classes), CLASSES).permute(2, 0, 1)[None]
    boxes = torch.from_numpy(np.concatenate([np.zeros((1, 4), np.int64), found.boxes]))[found.numbers.astype(np.int64)]
    y, x = (torch.arange(side) + 0.5 for side in mask.shape)
    sides = [x - boxes[..., 0], y[:, None] - boxes[..., 1], boxes[..., 2] - x, boxes[..., 3] - y[:, None]]
    maps = torch.stack([*sides, torch.zeros(mask.shape)])
    return logits, (maps + torch.randn(maps.shape, generator=generator))[None]


def main() -> None:
    """Time, check, and write the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    masks = {
        "embedded scene, 10 classes": render_scene(3, height=HEIGHT, width=WIDTH)[1],
        "150 ellipses, 19 classes": ellipses(150),
        "1500 ellipses, 19 classes": ellipses(1500),
    }
    rows = []
    for name, mask in masks.items():
        logits, maps = outputs(mask)
        tensor = torch.from_numpy(mask)
        own = by_class(mask)
        assert own == ours(mask) or len(own) > 255
        ways: dict[str, Callable[[], Any]] = {
            "opencv": lambda mask=mask: by_class(mask),
            "ours": lambda mask=mask: find_objects(mask, min_area=SMALLEST),
            "prepare": lambda tensor=tensor: prepare(tensor, min_area=SMALLEST, cut="skip"),
            "decode": lambda logits=logits, maps=maps: decode(logits, maps, min_area=SMALLEST),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                start = time.process_time()
                run()
                times[way].append(1000 * (time.process_time() - start))
        shown = " | ".join(f"{statistics.median(each):.1f}" for each in times.values())
        rows.append(f"| {name} | {len(own)} | {shown} |")
    write(rows, [loss_row(name, peer, rounds) for name, peer in PEERS.items()], rounds)


def loss_row(name: str, peer: Callable[..., torch.Tensor], rounds: int) -> str:
    """Value and gradient of a loss of a million pairs, ours and torchvision's, and the median of the ratios."""
    generator = torch.Generator().manual_seed(0)
    corner, size = (100 * torch.rand(2, PAIRS, 2, generator=generator) for _ in range(2))
    pred, target = torch.cat([corner, corner + 1 + size], 2).unbind()
    pred.requires_grad_()
    found, times = [], []
    for _ in range(rounds + 1):
        took = []
        for loss in (getattr(losses, name), peer):
            start = time.process_time()
            value = loss(pred, target, reduction="mean")
            (gradient,) = torch.autograd.grad(value, pred)
            took.append(1000 * (time.process_time() - start))
            found.append((value.detach(), gradient))
        times.append(took)
    for one, other in zip(*found[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-9)
    ours_, theirs = (statistics.median(each) for each in zip(*times[1:], strict=True))
    ratio = statistics.median(one / other for one, other in times[1:])
    return f"| {name} | {ours_:.0f} | {theirs:.0f} | {ratio:.2f} |"


def write(rows: list[str], loss_rows: list[str], rounds: int) -> None:
    """The tables, with hardware and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())
    text = [
        f"# Objects and boxes, {date.today()}",
        "",
        f"{WIDTH}x{HEIGHT}, objects of at least {SMALLEST} pixels, one thread of {processor}, load "
        f"{os.getloadavg()[0]:.1f}, commit {commit.strip()}, OpenCV {cv2.__version__}, torch {torch.__version__};",
        f"medians of {rounds} rounds, each way in turn, in ms of the process an image. Boxes, areas and classes were",
        "equal (of more than 255 objects ours keeps the largest).",
        "",
        "| mask | objects | OpenCV, class by class | `find_objects` | `prepare` | `decode` |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"Losses of {PAIRS:,} pairs of boxes, value and gradient together, in ms; values and gradients were equal:",
        "",
        "| loss | ours | torchvision | ratio |",
        "|---|---|---|---|",
        *loss_rows,
    ]
    (RESULTS / f"boxes-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
