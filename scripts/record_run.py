"""Record a training run that exercises what a restructuring could break, and compare it with the one on record.

python scripts/record_run.py FOLDER              # run, and compare with tests/golden/run.json
python scripts/record_run.py FOLDER --write      # run, and put it on record instead

The run renders scenes, trains with distance maps, ramps, terms, regularizers and loading workers, and predicts the
validation images. On one machine it is the same to the bit; other processors round differently, so that
`tests/training/test_golden.py` compares the curve within bounds.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "run.json"
TIMES = {"seconds", "images_per_second"}
MACHINE = {"peak_memory"}
OPTIONS = (
    "data=synthetic",
    "data.render.destination=data",
    "data.render.train=16",
    "data.render.val=4",
    "data.render.height=96",
    "data.render.width=128",
    "model=unet_small",
    "loss=boundary",
    "regularizer=all",
    "augment=cutmix",
    "augment.crop.size=[64,96]",
    "loader.batch=4",
    "loader.val_batch=4",
    "fit.epochs=4",
    "device.precision=32-true",
    "seed=3",
    "name=golden",
    "logger=none",
)


def record(folder: Path, command: Callable[..., object] | None = None) -> dict[str, Any]:
    """Train and predict in ``folder``; the lines of ``metrics.jsonl`` without times, and hashes of what was written.

    Args:
        command: runs a console script in a folder; by default in a process of two threads.
    """
    command = command or _command
    folder.mkdir(parents=True, exist_ok=True)
    command(folder, "seg-train", *OPTIONS)
    run, masks = folder / "runs" / "golden", folder / "predicted"
    images = "images=data/val/images"
    command(folder, "seg-predict", "checkpoint=runs/golden/last.pt", images, "destination=predicted", "overlays=false")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "lines": [{key: value for key, value in line.items() if key not in TIMES} for line in lines],
        "sha256": {
            "per_image.csv": _digest(run / "per_image.csv"),
            "done.json": _digest_of(run / "done.json"),
            "masks": _digest(*sorted(masks.glob("*.png"))),
            "pictures": _digest(*sorted((run / "pictures").glob("*.png"))),
        },
    }


def _command(folder: Path, name: str, *arguments: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}  # rounding differs with their number
    words = [Path(sys.executable).parent / name, *arguments]
    subprocess.run(words, cwd=folder, check=True, stdout=sys.stderr, env=environment)


def _digest_of(path: Path) -> str:
    """Hash what a JSON file says, without what differs from call to call."""
    said = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in MACHINE}
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Record, then write or compare; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="put the run on record")
    options = parser.parse_args()
    found = record(options.folder)
    if options.write:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    wanted = json.loads(GOLDEN.read_text(encoding="utf-8"))
    differing = [f"epoch {a['epoch']}" for a, b in zip(found["lines"], wanted["lines"], strict=True) if a != b]
    differing += [name for name in wanted["sha256"] if found["sha256"][name] != wanted["sha256"][name]]
    print("equal to the bit" if not differing else f"differs in {', '.join(differing)}")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
