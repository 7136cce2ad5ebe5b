"""Masks to annotation forms: CPU time a mask, and memory for many; what is written is read back and compared.

python benchmarks/bench_writing.py [--masks 200] [--many 10000]

Masks of the embedded data set, 1024 x 512. One thread; CPU time of the process, from the files to the files, because
that is what a busy machine can measure. Memory is the greatest of a process of its own that writes COCO's run lengths
of ``--many`` masks (links to the same files) and of a tenth of them.
"""

import argparse
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from seg.convert import convert_folder
from seg.convert.regions import find_regions
from seg.convert.writing import write_folder
from seg.labels import LabelMap
from seg.synthetic import write_dataset

RESULTS = Path(__file__).parent / "results"
SCENES = 20
FORMS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "coco": ({"write": "coco"}, "annotations", {"read": "coco"}),
    "coco, polygons": ({"write": "coco", "shapes": "polygons"}, "annotations", {"read": "coco"}),
    "cvat": ({"write": "cvat"}, "annotations.xml", {"read": "cvat"}),
    "labelstudio": ({"write": "labelstudio"}, "tasks.json", {"read": "labelstudio"}),
    "labelme": ({"write": "labelme"}, "annotations", {"read": "labelme", "unknown": "ignore"}),
    "yolo": ({"write": "yolo"}, "labels", {"read": "yolo"}),
    "geojson": ({"write": "geojson"}, "", {}),
    "voc": ({"write": "voc"}, "", {}),
}
"""Options of writing, and what of it is read back how."""


def made_masks(folder: Path, many: int) -> LabelMap:
    """Write ``many`` masks, of which `SCENES` differ."""
    write_dataset(folder / "scenes", train=SCENES, val=0, height=512, width=1024)
    labels = LabelMap.load(folder / "scenes/labels.yaml")
    convert_folder(folder / "scenes/train/labels", folder / "made", labels)
    (folder / "masks").mkdir()
    made = sorted((folder / "made").glob("*.png"))
    for number in range(many):
        (folder / f"masks/{number:06}.png").hardlink_to(made[number % SCENES])
    labels.save(folder / "masks/labels.yaml")
    return labels


def row(name: str, folder: Path, labels: LabelMap, masks: int) -> str:
    options, back, reading = FORMS[name]
    out = folder / name.replace(", ", "-")
    began = time.process_time()
    summary = write_folder(folder / "masks", out, labels, threads=1, **options)
    seconds = time.process_time() - began
    assert (summary.converted, summary.failed, summary.warnings) == (masks, 0, ()), summary
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file() and ".parts" not in path.parts)
    differing = "-"
    if back:
        if reading["read"] == "yolo":
            reading = {**reading, "sizes_of": folder / "masks"}
        convert_folder(out / back, folder / f"back-{out.name}", labels, **reading)
        pairs = ((folder / f"masks/{n:06}.png", folder / f"back-{out.name}/{n:06}.png") for n in range(masks))
        differing = str(sum(int((cv2.imread(str(a), -1) != cv2.imread(str(b), -1)).sum()) for a, b in pairs))
    each = 1000 * seconds / masks
    return f"| {name} | {each:.1f} | {masks / seconds:.0f} | {size / masks / 1024:.1f} | {differing} |"


def memory(folder: Path, many: int) -> float:
    """Return the greatest MiB of a process that writes so many masks; getrusage would begin with those of this one."""
    code = (
        "import sys; from seg.convert.writing import write_folder; from seg.labels import LabelMap\n"
        "s = write_folder(sys.argv[1] + '/masks', sys.argv[1] + '/many', LabelMap.load(sys.argv[1] + "
        "'/masks/labels.yaml'), write='coco', threads=1)\n"
        "assert not s.failed\n"
        "print(s.converted, next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    made_masks(folder, many)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    converted, kib = map(int, done.stdout.split())
    assert converted == many
    return kib / 1024


def hardware() -> str:
    lines = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return f"{found['CPU(s)'].strip()} x {found['Model name'].strip()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=200)
    parser.add_argument("--many", type=int, default=10_000)
    given = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    with TemporaryDirectory() as name:
        folder = Path(name)
        labels = made_masks(folder, given.masks)
        masks = [cv2.imread(str(path), -1) for path in sorted((folder / "made").glob("*.png"))]
        regions = [find_regions(mask) for mask in masks]
        about = [round(float(np.mean([len(getattr(each, key)) for each in regions]))) for key in ("classes", "starts")]
        write_folder(folder / "made", folder / "warm", labels, write="coco", threads=1)  # imports
        rows = [row(name, folder, labels, given.masks) for name in FORMS]
    used = {}
    for many in (given.many // 10, given.many):
        with TemporaryDirectory() as name:
            used[many] = memory(Path(name), many)
    lines = [
        f"# Masks to annotation forms, {date.today()}\n",
        f"Commit {commit}; {hardware()}; Python {platform.python_version()}, numpy {np.__version__}, OpenCV "
        f"{cv2.__version__}. {given.masks} masks of 1024 x 512 of the embedded data set, {about[0]} regions and "
        f"{about[1]} runs each on average; one thread, CPU time from files to files. Others used the machine at the "
        "same time.\n",
        "| form | ms a mask | masks/s of a core | KiB a mask | pixels that differ when read back |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "\nGreatest memory of a process that writes COCO's run lengths: "
        + ", ".join(f"{mib:.0f} MiB for {many:,} masks" for many, mib in used.items())
        + ".\n",
    ]
    print("\n".join(lines))
    (RESULTS / f"writing-{date.today()}.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
