"""Statistics of a large comparison: 20 levels x 10 seeds x 1000 images x 19 classes, on one core, checked while timed.

nice -n 10 python benchmarks/bench_compare.py [ROUNDS]

Also at eight looks, as of a sweep ``until=settled``. Then half of the runs as folders, by the command: reading,
statistics, report.

Beside it the usual way: a bootstrap of 10,000 draws, as matrix products for all runs at once (the fastest way that we
know), of which the standard errors must agree.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from made_runs import write_run
from made_scores import World, miou

from seg.compare.looks import Looks
from seg.compare.scores import LevelScores
from seg.compare.statistics import compare
from seg.metrics.scores import scores_of

RESULTS = Path(__file__).parent / "results"
LEVELS, SEEDS, IMAGES, CLASSES, DRAWS = 20, 10, 1000, 19, 10_000
FOLDERS = 5
"""Seeds of each level whose runs are read as folders."""


def made() -> dict[str, LevelScores]:
    world, rng = World(presence=tuple(np.linspace(1, 0.2, CLASSES))), np.random.default_rng(0)
    runs = world.seeds(rng, LEVELS, SEEDS) + np.linspace(0, 0.3, LEVELS)[:, None, None]
    counts = world.counts(rng, runs, IMAGES)
    return {f"level {i:02}": LevelScores(tuple(range(SEEDS)), each) for i, each in enumerate(counts)}


def bootstrap(samples: dict[str, LevelScores]) -> NDArray[np.float64]:
    """Standard errors (levels,) of the means over seeds."""
    rng, chunk = np.random.default_rng(1), 250
    counts = np.stack([sample.counts for sample in samples.values()])
    table = np.moveaxis(counts, 2, 0).reshape(IMAGES, -1).astype(float)
    found = []
    for _ in range(DRAWS // chunk):
        drawn = rng.integers(IMAGES, size=(chunk, IMAGES)) + IMAGES * np.arange(chunk)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=chunk * IMAGES).reshape(chunk, IMAGES).astype(float)
        found.append(miou((weights @ table).reshape(chunk, LEVELS, SEEDS, CLASSES, 3)).mean(2))
    return np.concatenate(found).std(0)


def timed(way: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock, seconds of the processor, and what came out."""
    clock, processor = time.perf_counter(), time.process_time()
    found = way()
    return time.perf_counter() - clock, time.process_time() - processor, found


def whole_command(samples: dict[str, LevelScores]) -> tuple[float, float, float]:
    """Seconds, seconds of the processor and peak megabytes of ``seg-compare`` on run folders of the first seeds."""
    samples = {name: LevelScores(each.seeds[:FOLDERS], each.counts[:FOLDERS]) for name, each in samples.items()}
    classes = tuple(f"class {i:02}" for i in range(CLASSES))
    with tempfile.TemporaryDirectory() as folder:
        for name, sample in samples.items():
            for seed, counts in zip(sample.seeds, sample.counts, strict=True):
                write_run(Path(folder, "runs", f"{name}-{seed}"), name, seed, counts=counts, classes=classes)
        words = [f"runs={folder}/runs", f"destination={folder}/out", f"draws={DRAWS}"]
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "seg.commands.compare", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        memory = 0.0
        while process.poll() is None:
            memory = max(memory, peak_megabytes(process.pid))
            time.sleep(0.05)
        _, told = process.communicate()
        seconds = time.perf_counter() - start
        assert process.returncode == 0, told
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = json.loads(Path(folder, "out/statistics.json").read_text())
        for level, sample in zip(found["levels"], samples.values(), strict=True):
            assert np.isclose(
                level["mean"], np.mean([scores_of(each.sum(0)).miou for each in sample.counts]), rtol=1e-9
            )
    return seconds, used.ru_utime + used.ru_stime, memory


def peak_megabytes(process: int) -> float:
    """Return what a process has held at most, but for what it was forked from; 0 when it has ended."""
    status = Path(f"/proc/{process}/status")
    with suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Time, check, and write the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    samples = made()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    compare(samples, draws=DRAWS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for metric in ("miou", "miou_i", "miou_c"):
            *ours, found = timed(lambda metric=metric: compare(samples, metric=metric, draws=DRAWS))
            times.setdefault(f"all statistics of {metric}", []).append((ours[0], ours[1]))
            assert len(found.pairs) == LEVELS * (LEVELS - 1) // 2
            if metric == "miou":
                whole = found
        *ours, _ = timed(lambda: compare(samples, looks=Looks(3, SEEDS), draws=DRAWS))
        times.setdefault("all statistics of miou at eight looks", []).append((ours[0], ours[1]))
        *theirs, errors = timed(lambda: bootstrap(samples))
        times.setdefault(f"bootstrap of {DRAWS} draws, standard errors alone", []).append((theirs[0], theirs[1]))
    for level, error, sample in zip(whole.levels, errors, samples.values(), strict=True):
        assert np.isclose(level.mean, np.mean([scores_of(each.sum(0)).miou for each in sample.counts]), rtol=1e-12)
        assert np.isclose(level.variance.error(new_seeds=False), error, rtol=0.05)
    seconds, processor, memory = whole_command(samples)
    name = f"`seg-compare` on {LEVELS * FOLDERS} run folders, once, peak memory {memory:.0f} MB"
    times[name] = [(seconds, processor)]
    write(times, rounds, before, peak)


def write(times: dict[str, list[tuple[float, float]]], rounds: int, before: float, peak: float) -> None:
    """The table, with hardware and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    cpu = Path("/proc/cpuinfo")
    names = cpu.read_text().splitlines() if cpu.exists() else []
    processor = next((line.partition(":")[2].strip() for line in names if "model name" in line), platform.processor())
    rows = [
        f"| {name} | {' | '.join(f'{statistics.median(column):.2f}' for column in zip(*each, strict=True))} |"
        for name, each in times.items()
    ]
    text = [
        f"# Statistics of a large comparison, {date.today()}",
        "",
        f"{LEVELS} levels x {SEEDS} seeds x {IMAGES} images x {CLASSES} classes, {DRAWS} draws, one thread of "
        f"{processor}, load {os.getloadavg()[0]:.1f}, commit {commit.strip()}, NumPy {np.__version__}; medians of "
        f"{rounds} rounds, each way in turn. Means: `seg.metrics.scores`; standard errors of the bootstrap agree "
        f"within 5 %. Peak memory of the process {peak:.0f} MB, of which {before:.0f} MB before the statistics "
        "(input and its making).",
        "",
        "| way | seconds | processor seconds |",
        "|---|--:|--:|",
        *rows,
    ]
    (RESULTS / f"compare-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
