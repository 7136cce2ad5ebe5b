"""What a training step gains where freed memory is kept: processor seconds and pages, in processes taken in turn.

OMP_NUM_THREADS=1 python benchmarks/bench_freed.py [--rounds 3]
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
from datetime import date

MODELS = {
    "unet_small": {"decoder_channels": [128, 64, 32, 16, 16]},
    "unet_light": {
        "encoder_name": "tu-mobilenetv3_small_100", "decoder_channels": [64, 32, 32, 16], "upsampling": 2
    },
}  # fmt: skip
STEPS = 6


def steps(model: str, *, kept: bool) -> None:
    """Print user and system seconds, and pages that were fetched, a step; then the most memory in MB."""
    import torch

    from seg import models
    from seg.inference import keep_freed_memory

    if kept:
        keep_freed_memory()
    net = models.build("unet", classes=11, **MODELS[model]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    images = torch.rand(4, 3, 256, 320).to(memory_format=torch.channels_last)
    target = torch.randint(0, 11, (4, 256, 320))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), target).backward()
        optimizer.step()

    step()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(STEPS):
        step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    names = ("ru_utime", "ru_stime", "ru_minflt")
    print(*((getattr(after, name) - getattr(before, name)) / STEPS for name in names), after.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2)
    asked = parser.parse_args()
    if asked.one:
        steps(asked.one[0], kept=asked.one[1] == "kept")
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"# Freed memory that is kept, {date.today()}\n\nPython {platform.python_version()}, commit {commit}.\n")
    print("| model | freed memory | s a step | of these in the system | pages a step | most memory, MB |")
    print("|---|---|--:|--:|--:|--:|")
    found: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(asked.rounds):
        for key in ((model, how) for model in MODELS for how in ("given back", "kept")):
            done = subprocess.run([sys.executable, __file__, "--one", *key], capture_output=True, text=True, check=True)
            found.setdefault(key, []).append([float(word) for word in done.stdout.split()])
    for (model, how), rows in found.items():
        user, system, pages, most = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {model} | {how} | {user + system:.3f} | {system:.3f} | {pages:,.0f} | {most:,.0f} |")


if __name__ == "__main__":
    main()
