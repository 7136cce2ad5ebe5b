"""How long commands take to start: help, their first line, and all that they import.

python benchmarks/bench_start.py [--starts 7] [--nothing-written]

Each round starts every command once, in turn, so that other work on the machine falls on all alike; the table gives
medians. CPU time is that of the process, in user mode. The first line is the first that a user reads, on standard
output or standard error, of real work: the embedded dataset's files and a checkpoint of one step. The process is killed
then.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

from bench_convert import RESULTS, header

BIN = Path(sys.executable).parent
CONF = Path(__file__).resolve().parents[1] / "conf"
IMPORTS = {
    "torch": "import torch",
    "seg-train": "import seg.commands.build",
    "seg-evaluate": "import seg.evaluation.files, seg.evaluation.subjects, seg.evaluation.tables",
    "seg-predict": "import seg.inference.folder",
    "seg-compare": "import seg.compare.write",
}


class Seconds(NamedTuple):
    """Of one start, by the clock and of the processor."""

    wall: float
    cpu: float


def until_end(command: list[str | Path]) -> Seconds:
    """Run a command to its end, which must be a good one."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, text
    return Seconds(time.perf_counter() - start, usage.ru_utime)


def until_line(command: list[str | Path]) -> tuple[str, Seconds]:
    """Start a command, and kill it after its first line, which is returned."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    wall = time.perf_counter() - start
    process.send_signal(signal.SIGKILL)
    process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = -signal.SIGKILL
    assert line
    assert not line.startswith(("error", "Traceback")), line
    return line, Seconds(wall, usage.ru_utime)


def prepared(folder: Path) -> dict[str, list[str | Path]]:
    """Make the dataset, and runs of one step; return each command."""
    data = ["data=synthetic", f"data.render.destination={folder}/data", "data.render.train=8", "data.render.val=8"]
    train = [BIN / "seg-train", *data, f"runs={folder}/runs"]
    for seed in (0, 1):
        short = ["fit.steps=1", "loader.workers=0", f"seed={seed}", f"name=run{seed}"]
        until_end([*train, *short])
    where = {part: [f"data.{part}.{kind}={folder}/data/{part}/{kind}" for kind in ("images", "masks")]
             for part in ("train", "val")}  # fmt: skip
    val = [f"{kind}={folder}/data/val/{kind}" for kind in ("images", "masks")]
    model = f"checkpoint={folder}/runs/run0/best.pt"
    return {
        "seg-train": [BIN / "seg-train", *where["train"], *where["val"], f"runs={folder}/new"],
        "seg-evaluate": [BIN / "seg-evaluate", model, *val, f"destination={folder}/judged"],
        "seg-predict": [BIN / "seg-predict", model, val[0], f"destination={folder}/masks", "overwrite=true"],
        "seg-compare": [BIN / "seg-compare", f"runs={folder}/runs", f"destination={folder}/compared", "overwrite=true"],
    }


def measure(starts: int) -> dict[str, list[Seconds]]:
    """Times of each kind of start, by its name."""
    helps = {f"seg-{path.stem} --help": [BIN / f"seg-{path.stem}", "--help"] for path in sorted(CONF.glob("*.yaml"))}
    found: dict[str, list[Seconds]] = {}
    with tempfile.TemporaryDirectory() as name:
        lines = prepared(Path(name))
        for _ in range(starts):
            for what, command in helps.items():
                found.setdefault(what, []).append(until_end(command))
            for what, command in lines.items():
                line, seconds = until_line(command)
                found.setdefault(f"{what}: {line.replace(f'{name}/', '')}", []).append(seconds)
            for what, code in IMPORTS.items():
                found.setdefault(f"{what}, imports", []).append(until_end([sys.executable, "-c", code]))
    return found


def main() -> None:
    """Print the table and write it to ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--nothing-written", action="store_true", help="print alone")
    options = parser.parse_args()
    found = measure(options.starts)
    lines = [header().replace("Label conversion", "Starts of commands"), ""]
    lines += [f"Medians of {options.starts} starts, files in the system's cache.", ""]
    lines += ["| | wall s | least | CPU s, user |", "|---|---:|---:|---:|"]
    for what, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        lines.append(f"| {what} | {wall:.2f} | {min(times).wall:.2f} | {cpu:.2f} |")
    print("\n".join(lines))
    if not options.nothing_written:
        (RESULTS / f"start-{date.today()}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
