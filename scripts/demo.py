"""The whole way on the embedded dataset: render, convert, train, evaluate, predict.

make demo        (or: python scripts/demo.py [FOLDER])

Everything lies in FOLDER (default: demo). Repeating it redoes only what is missing.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from seg.synthetic import LABELS, write_dataset


def main() -> int:
    """Run each step as the command line that a user would type."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    started = time.perf_counter()
    dataset, run, evaluation = folder / "dataset", folder / "runs" / "demo", folder / "evaluation"
    if not (dataset / "labels.yaml").exists():
        print(f"== rendering street scenes with {LABELS.classes} classes into {dataset}", flush=True)
        write_dataset(dataset)
    for part in ("train", "val"):
        command("seg-preprocess", source=dataset / part / "labels", destination=dataset / part / "masks",
                labels=dataset / "labels.yaml")  # fmt: skip
    folders = {
        f"data.{part}.{kind}": dataset / part / kind for part in ("train", "val") for kind in ("images", "masks")
    }
    command("seg-train", **folders, **{"experiment": "embedded", "fit.minutes": 2}, runs=run.parent, name=run.name)
    command("seg-evaluate", checkpoint=run / "best.pt", images=dataset / "val" / "images",
            masks=dataset / "val" / "masks", destination=evaluation)  # fmt: skip
    result = json.loads((evaluation / "metrics.json").read_text())
    print(f"""
mIoU {100 * result["miou"]:.1f} % (majority-class baseline, '{result["majority"]["class"]}': \
{100 * result["majority"]["miou"]:.1f} %), in {time.perf_counter() - started:.0f} s. Where to look:
  {evaluation}/pictures/   image | label | prediction, the worst first
  {evaluation}/metrics.json, per_image.csv, confusion.csv
  {run}/             curves.png, metrics.jsonl, best.pt; tensorboard --logdir {run.parent}
  {dataset}/train/       images, RGB labels, masks""")
    return 0


def command(name: str, /, *flags: str, **options: object) -> None:
    """Print and run a console script of this environment; its failure is ours."""
    arguments = [name, *flags, *(f"{key}={value}" for key, value in options.items())]
    print("\n$ " + shlex.join(arguments), flush=True)
    process = subprocess.Popen([Path(sys.executable).parent / name, *arguments[1:]])
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the child got it too and saves first
        code = process.wait()
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
