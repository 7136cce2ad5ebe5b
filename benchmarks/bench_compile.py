"""Does `device.compile=true` pay? The training step with and without torch.compile, in turn.

python benchmarks/bench_compile.py [ROUNDS]

U-Net with ResNet-18, batches of 4, in the precision that `device.precision=auto` chooses and in float32. The first step
of the compiled one, which compiles, is timed by itself; the losses of both stay within 5 %, because rounding grows.
"""

import os
import statistics
import subprocess
import sys
import time
from datetime import date

import torch
from bench_train import DEVICE, RESULTS, SIZES, Step, batch, ours, processor, synchronize
from torch import Tensor

from seg.training.device import precision_here


def timed(step: Step, images: Tensor, masks: Tensor) -> tuple[float, float]:
    """Seconds of a step, and its loss."""
    synchronize()
    start = time.perf_counter()
    loss = step(images, masks)
    synchronize()
    return time.perf_counter() - start, loss


def row(precision: str, name: str, rounds: int) -> str:
    """Seconds of a step of both, and after how many steps compiling has paid."""
    images, masks = (part.to(DEVICE) for part in batch(SIZES[name], 0))
    plain, compiled = ours(precision), ours(precision, compiled=True)
    timed(plain, images, masks)
    first, _ = timed(compiled, images, masks)
    times = []
    for number in range(rounds):
        (one, loss), (other, same) = timed(plain, images, masks), timed(compiled, images, masks)
        assert abs(loss - same) <= 0.05 * abs(loss), (number, loss, same)
        times.append((one, other))
    usual, faster = (statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(one / other for one, other in times)
    after = f"{first / (usual - faster):,.0f}" if usual > faster else "never"
    return f"| {name} | {precision} | {usual:.3f} | {faster:.3f} | {ratio:.2f} | {first:.0f} | {after} |"


def main() -> None:
    """Time both, write the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    rows = []
    for precision in (precision_here("auto"), "32-true"):
        for name in SIZES:
            torch.compiler.reset()
            rows.append(row(precision, name, rounds))
            print(rows[-1], flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else processor()
    text = [
        f"# torch.compile, {date.today()}",
        "",
        f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}, commit "
        f"{commit.strip()}; medians of {rounds} steps of each, in turn, in seconds.",
        "",
        "| size | precision | step | compiled | ratio | first step | pays after steps |",
        "|---|---|--:|--:|--:|--:|--:|",
        *rows,
    ]
    (RESULTS / f"compile-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
