"""Very many label files in shards: time and memory of each, one killed in the middle and resumed, the merge, a rerun.

python benchmarks/bench_shards.py [FILES] [SHARDS] [--killed-after SECONDS]

Labels of 32x32 pixels, hard links to 300 different ones in folders of a thousand. Each part is a process of its own,
one after the other, with one thread; its memory is the greatest resident size. Every total is checked.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from seg.convert import convert_folder
from seg.labels import LabelMap

CLASSES, SIDE, DIFFERENT = 11, 32, 300


def make_files(folder: Path, count: int) -> None:
    """Write the label map and the labels."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (CLASSES, 3), np.uint8)
    (folder / "base").mkdir()
    for i in range(DIFFERENT):
        mask = rng.integers(0, CLASSES, (4, 4)).repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
        cv2.imwrite(str(folder / f"base/{i}.png"), colors[mask][..., ::-1])
    for i in range(count):
        inner = folder / f"source/{i // 1000:06}"
        if i % 1000 == 0:
            inner.mkdir(parents=True)
        os.link(folder / f"base/{i % DIFFERENT}.png", inner / f"{i:09}.png")
    rows = (f"c{i},{r},{g},{b}\n" for i, (r, g, b) in enumerate(colors.tolist()))
    (folder / "labels.csv").write_text("name,r,g,b\n" + "".join(rows))


def convert(folder: Path, part: str) -> None:
    """Convert a part, ``I/N`` or ``all``, in this process, and print the row of the table."""
    first, _, of = part.partition("/")
    shard = None if part == "all" else (int(first), int(of))
    wall, cpu = time.perf_counter(), time.process_time()
    labels = LabelMap.load(folder / "labels.csv")
    found = convert_folder(folder / "source", folder / "masks", labels, shard=shard, threads=1)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert not found.failed, found
    assert sum(found.pixels.values()) == found.files * SIDE**2
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cells = (part, f"{found.converted:,}", f"{found.skipped:,}", f"{wall:.1f}", f"{cpu:.1f}", f"{memory:.0f}")
    print(f"| {' | '.join(cells)} |", flush=True)


def run(folder: Path, part: str, killed_after: float | None = None) -> str:
    """Convert a part in a process of its own; return its row, or what it left when it was killed."""
    command = [sys.executable, __file__, "--within", folder, "--part", part]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=killed_after)
        row = done.stdout.strip()
    except subprocess.TimeoutExpired:  # run() has killed it
        own = folder / f"masks/manifest.{part.replace('/', '-of-')}.jsonl"
        lines = len(own.read_bytes().splitlines()) if own.exists() else 0
        row = f"| {part}, killed | {lines:,} | | {killed_after:.1f} | | |"
    print(row, flush=True)
    return row


def main() -> None:
    """Print the table and write it to ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=int, nargs="?", default=100_000)
    parser.add_argument("shards", type=int, nargs="?", default=8)
    parser.add_argument("--killed-after", type=float, default=10.0, help="of the third shard, in seconds")
    parser.add_argument("--nothing-written", action="store_true", help="print alone")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "files":
        make_files(options.within, options.files)
    elif options.part:
        convert(options.within, options.part)
    else:
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Print the table and write it to ``benchmarks/results/``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # a process's peak counts that of the one it was forked from: this one loads no OpenCV until the end
        files = [sys.executable, __file__, str(options.files), "--within", folder, "--part", "files"]
        subprocess.run(files, check=True)
        rows = []
        for i in range(1, options.shards + 1):
            part = f"{i}/{options.shards}"
            if i == 3:
                rows.append(run(folder, part, options.killed_after))
            rows.append(run(folder, part))
        rows += [run(folder, "all"), run(folder, "all")]  # the merge, and once more
    from bench_convert import RESULTS, header

    lines = [header().replace("Label conversion", f"{options.files:,} label files in {options.shards} shards"), ""]
    lines += ["| part | converted | unchanged | wall s | CPU s | peak MiB |", "|---|---:|---:|---:|---:|---:|", *rows]
    print("\n".join(lines))
    if not options.nothing_written:
        (RESULTS / f"shards-{date.today()}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
