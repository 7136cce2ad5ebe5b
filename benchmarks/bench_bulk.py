"""What a bulk run costs beside the conversion: memory as the number of files grows, a rerun, and the start.

python benchmarks/bench_bulk.py [FILES]

The files are tiny (16x16 pixels, hard links to a hundred different ones), so that what is kept for each would show.
Memory is the greatest resident size of the whole process; every run's totals are checked.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from bench_convert import RESULTS, header, row

COMMAND = [Path(sys.executable).with_name("seg-preprocess")]
ROUNDS = 11


def make_files(folder: Path, count: int) -> None:
    """Label images of 16x16 pixels, a thousand to a folder."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"{i // 1000:04}" / f"{i:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < 100:
            cv2.imwrite(str(path), rng.integers(0, 2, (16, 16, 1), np.uint8).repeat(3, 2) * 255)
        else:
            os.link(folder / "0000" / f"{i % 100:07}.png", path)


# A process's peak counts that of the one it was forked from: this small one, not ours with NumPy and OpenCV.
LAUNCH = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run(command: list[str | Path]) -> tuple[str, float, float, float]:
    """Output, wall seconds, CPU seconds and peak memory in MiB of a process."""
    launched = [sys.executable, "-S", "-c", LAUNCH, *command]
    result = subprocess.run(launched, capture_output=True, text=True, check=True)
    wall, cpu, memory = map(float, result.stderr.split()[-3:])
    return result.stdout, wall, cpu, memory


def bulk(count: int) -> list[list[str]]:
    """Rows of the table: the first run and a rerun."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder / "source", count)
        (folder / "labels.csv").write_text("name,r,g,b\nblack,0,0,0\nwhite,255,255,255\n")
        options = [f"source={folder}/source", f"destination={folder}/masks", f"labels={folder}/labels.csv", "json=true"]
        rows = []
        for title, done in (("first run", "converted"), ("rerun", "skipped")):
            output, wall, cpu, memory = run([*COMMAND, *options])
            summary = json.loads(output)
            assert summary[done] == count, summary
            assert sum(summary["pixels"].values()) == count * 256
            rate = f"{count / wall:,.0f}"
            rows.append([f"{count:,} files, {title}", f"{wall:.1f}", rate, f"{1e6 * cpu / count:.0f}", f"{memory:.0f}"])
        return rows


def start() -> list[list[str]]:
    """Rows of the table: what it takes to start, interleaved."""
    ways = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import hydra'": [sys.executable, "-c", "import hydra"],
        "seg-preprocess --help": [*COMMAND, "--help"],
        "seg-preprocess --version": [*COMMAND, "--version"],
    }
    measured: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, command in ways.items():
            measured[way].append(run(command)[2:])
    reference = statistics.median(cpu for cpu, _ in measured["python -c 'import hydra'"])
    rows = []
    for way, figures in measured.items():
        cpu, memory = (statistics.median(column) for column in zip(*figures, strict=True))
        rows.append([f"`{way}`", f"{1e3 * cpu:.0f}", f"{cpu / reference:.2f}", f"{memory:.0f}"])
    return rows


def main() -> None:
    """Print the tables and write them to ``benchmarks/results/``."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rows = [cells for count in (1000, most // 10, most) for cells in bulk(count)]
    columns = ("", "wall s", "files/s", "CPU us a file", "peak MiB")
    lines = [header().replace("Label conversion", "Bulk conversion"), "", f"{os.cpu_count()} cores", ""]
    lines += [row(columns[0], list(columns[1:])), "|---" * 5 + "|", *(row(cells[0], cells[1:]) for cells in rows)]
    lines += [
        "",
        f"Start, medians of {ROUNDS}, interleaved",
        "",
        "| | CPU ms | of import hydra | peak MiB |",
        "|---" * 4 + "|",
    ]
    lines += [row(cells[0], cells[1:]) for cells in start()]
    print("\n".join(lines))
    path = RESULTS / f"bulk-{datetime.now():%Y-%m-%dT%H%M}.md"
    path.write_text("\n".join(lines) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
