"""What a sweep takes besides the training of its runs, on the embedded dataset.

python benchmarks/bench_sweep.py [RUNS]

A sweep of RUNS losses, two epochs each, and one such run by itself; the dataset is rendered and looked at before. The
time of `seg.training.fit`, which trains, validates and saves, is taken from the wall clock of the command: what is left
is starting, building, tables and pictures at the end and the closing table. The last validation finds all that
`metrics.json` has: what it takes longer than the one before it is counted to the rest, too.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LOSSES = ("cross_entropy", "weighted_cross_entropy", "focal", "dice", "tversky", "jaccard", "ce_dice", "lovasz")
COMMON = [
    "data=synthetic",
    "experiment=embedded",
    "fit.epochs=2",
    "fit.validate_every=1",
    "logger=none",
    "loader.workers=1",
]
TARGET = 3.0
MARK = "trained"


def left_over(folder: Path, name: str, *words: str) -> tuple[int, float, float]:
    """Runs, seconds of their training, and all other seconds of the command."""
    command = [sys.executable, __file__, "--command", *COMMON, *words, f"runs={name}"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    took = time.perf_counter() - start
    seconds = [float(line.split()[1]) for line in done.stderr.splitlines() if line.startswith(MARK)]
    return len(seconds), sum(seconds), took - sum(seconds)


def command() -> None:
    """``seg-train``, which also says how long each training took, its validations and its judgement included."""
    from seg.commands.train import main as train
    from seg.training import run

    fit = run.fit

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return fit(*arguments, **options)
        finally:
            print(f"{MARK} {time.perf_counter() - start}", file=sys.stderr, flush=True)

    run.fit = timed  # type: ignore[assignment]
    sys.argv = ["seg-train", *sys.argv[2:]]
    train()


def main() -> None:
    """Run both, write what they took."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        left_over(folder, "first", "loss=dice")  # renders and checks the dataset
        _, trained_alone, alone = left_over(folder, "alone", "loss=cross_entropy")
        words = ["sweep=losses", "seeds=1", f"loss={','.join(LOSSES[:runs])}"]
        found, trained, rest = left_over(folder, "sweep", *words)
        assert found == runs
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    processor = processors[0].partition(":")[2].strip() if processors else platform.processor()
    text = [
        f"# Sweep, {date.today()}",
        "",
        f"Embedded dataset, 160 + 48 images, 2 epochs a run; {os.cpu_count()} cores of {processor}, load "
        f"{os.getloadavg()[0]:.1f}, commit {commit.strip()}. Seconds.",
        "",
        "| command | runs | training, all runs | the rest | the rest, a run |",
        "|---|--:|--:|--:|--:|",
        f"| one run | 1 | {trained_alone:.1f} | {alone:.1f} | {alone:.1f} |",
        f"| a sweep | {runs} | {trained:.1f} | {rest:.1f} | {rest / runs:.1f} |",
        "",
        f"Each further run costs {(rest - alone) / (runs - 1):.1f} s besides its training (wanted: {TARGET:.0f}).",
    ]
    (RESULTS / f"sweep-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    command() if "--command" in sys.argv else main()
