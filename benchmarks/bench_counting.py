"""Counting a prediction, from logits to prediction and confusion matrix, against its peers; checked at every call.

python benchmarks/bench_counting.py [--rounds 9] [--small]

Logits (1, 19, 1024, 2048), the mask wrong at every fifth pixel and ignored at every tenth. Each round times every way
once, in turn, in the same process; the table gives medians of the rounds, and medians of the ratios to argmax and
torchmetrics in the same round.
"""

import argparse
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from seg.metrics import counting
from seg.metrics.counting import confusion_matrix, count

CLASSES, BINS = 19, 15
RESULTS = Path(__file__).parent / "results"

Pair = tuple[Tensor, Tensor]
Way = Callable[[Tensor, Tensor], Pair]


def inputs(height: int, width: int) -> Pair:
    generator = torch.Generator().manual_seed(0)
    # patches of one class, as predictions have them, and not noise
    rough = 4 * torch.randn(1, CLASSES, height // 32, width // 32, generator=generator)
    logits = torch.nn.functional.interpolate(rough, (height, width), mode="bilinear")
    logits += 0.1 * torch.randn(logits.shape, generator=generator)
    mask = logits.argmax(1)
    chance = torch.rand(mask.shape, generator=generator)
    mask = torch.where(chance < 0.2, (mask + 1) % CLASSES, mask)
    mask[chance > 0.9] = 255
    return logits, mask.to(torch.uint8)


def by_torchmetrics(logits: Tensor, mask: Tensor) -> Pair:
    prediction = logits.argmax(1)
    return prediction, multiclass_confusion_matrix(prediction, mask.long(), CLASSES, ignore_index=255)


def by_numpy(logits: Tensor, mask: Tensor) -> Pair:
    """As evaluation scripts have had it since FCN's ``fast_hist``."""
    prediction = logits.argmax(1)
    truth, found = mask.numpy(), prediction.numpy()
    valid = truth < CLASSES
    pairs = np.bincount(CLASSES * truth[valid].astype(int) + found[valid], minlength=CLASSES**2)
    return prediction, torch.from_numpy(pairs.reshape(CLASSES, CLASSES))


def by_two_calls(logits: Tensor, mask: Tensor) -> Pair:
    prediction = logits.argmax(1)
    return prediction, confusion_matrix(prediction, mask, CLASSES)


def plain(logits: Tensor, mask: Tensor, bins: int = 0) -> Pair:
    found = counting._plain(logits, mask, bins)
    return found.prediction, found.confusion[0]


def ours(logits: Tensor, mask: Tensor, bins: int = 0) -> Pair:
    found = count(logits, mask, bins=bins)
    return found.prediction, found.confusion[0]


def torchmetrics_and_calibration(logits: Tensor, mask: Tensor) -> Pair:
    multiclass_calibration_error(logits.float(), mask.long(), CLASSES, n_bins=BINS, ignore_index=255)
    return by_torchmetrics(logits, mask)


WAYS: dict[str, Way] = {
    "argmax + torchmetrics": by_torchmetrics,
    "argmax + np.bincount": by_numpy,
    "argmax + seg.metrics.confusion_matrix": by_two_calls,
    "count, plain": plain,
    "**count**": ours,
    f"argmax + torchmetrics, and its calibration error in {BINS} bins": torchmetrics_and_calibration,
    f"count, plain, {BINS} bins": lambda logits, mask: plain(logits, mask, BINS),
    f"**count, {BINS} bins**": lambda logits, mask: ours(logits, mask, BINS),
}


def table(title: str, logits: Tensor, mask: Tensor, rounds: int) -> list[str]:
    prediction, pairs = by_torchmetrics(logits, mask)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds + 1):
        for name, way in WAYS.items():
            start = time.perf_counter()
            found, matrix = way(logits, mask)
            times[name].append(1e3 * (time.perf_counter() - start))
            if not torch.equal(found.long(), prediction) or not torch.equal(matrix, pairs):
                raise SystemExit(f"{name}: expected what argmax and torchmetrics give")
    first = times["argmax + torchmetrics"]
    lines = [f"\n## {title}\n", "| way | ms | x argmax + torchmetrics |", "|---|---:|---:|"]
    for name, values in times.items():
        ratio = statistics.median(own / base for own, base in zip(values[1:], first[1:], strict=True))
        lines.append(f"| {name} | {statistics.median(values[1:]):.1f} | {ratio:.2f} |")
    return lines


def header(rounds: int) -> str:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    path = Path("/proc/cpuinfo")
    chips = [line.split(":", 1)[1].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    versions = f"torch {torch.__version__}, torchmetrics {torchmetrics.__version__}, numpy {np.__version__}"
    return (
        f"# Counting, {date.today()}\n\nCommit {commit}; {len(chips)} x {chips[0]}; Python "
        f"{platform.python_version()}, {versions}; {rounds} rounds, medians.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--small", action="store_true", help="a small image, nothing is written: does it work?")
    options = parser.parse_args()
    logits, mask = inputs(*((128, 256) if options.small else (1024, 2048)))
    text = header(options.rounds)
    print(text, flush=True)
    last = logits.contiguous(memory_format=torch.channels_last)
    runs = (
        ("float32, one thread", logits, 1),
        ("float32, channels_last, one thread", last, 1),
        ("bfloat16, one thread", logits.bfloat16(), 1),
        ("float32, two threads", logits, 2),
    )
    for title, scores, threads in runs:
        torch.set_num_threads(threads)
        lines = "\n".join(table(f"{list(scores.shape)}, {title}", scores, mask, options.rounds)) + "\n"
        print(lines, flush=True)
        text += lines
    if not options.small:
        (RESULTS / f"counting-{date.today()}.md").write_text(text)


if __name__ == "__main__":
    main()
