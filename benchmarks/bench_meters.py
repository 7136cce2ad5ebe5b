"""Meters of predicted masks against the usual way, class by class: per image on one core, checked while it is timed.

python benchmarks/bench_meters.py [ROUNDS]

Boundary IoU as its authors publish it (erosion of each class), boundary F1 by a distance transform of each class's
boundary (exact, OpenCV), both only for classes that occur. Each round has every way judge the same image in turn.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import cv2
import numpy as np

from seg.metrics import Boundaries, Components
from seg.metrics.boundaries import at_tolerance, band_counts

HEIGHT, WIDTH, CLASSES = 1024, 2048, 19
NAMES = [f"class {index}" for index in range(CLASSES)]
TOLERANCES = (1, 2, 3, 5, 10, 18)
RESULTS = Path(__file__).parent / "results"


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and target: 120 ellipses of 19 classes, smoothly moved, with specks; some of it ignored."""
    rng = np.random.default_rng(seed)
    target = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(120):
        center = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        axes = int(rng.integers(5, 250)), int(rng.integers(5, 125))
        cv2.ellipse(target, center, axes, float(rng.integers(180)), 0, 360, int(rng.integers(CLASSES)), -1)
    moved = [60 * cv2.GaussianBlur(rng.normal(size=target.shape).astype(np.float32), (0, 0), 8) for _ in range(2)]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    prediction = cv2.remap(target, columns + moved[0], rows + moved[1], cv2.INTER_NEAREST, borderMode=1)
    specks = rng.random(target.shape) < 0.0005
    prediction[specks] = rng.integers(0, CLASSES, specks.sum())
    target[rng.random((HEIGHT // 16, WIDTH // 16)).repeat(16, 0).repeat(16, 1) < 0.05] = 255
    return np.where(target == 255, np.uint8(255), prediction), target


def published_bands(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Band pixels (C, 3), by `mask_to_boundary` of boundary-iou-api; it knows no ignored pixels."""
    width = max(1, round(0.02 * np.hypot(*target.shape)))
    found = np.zeros((CLASSES, 3), np.int64)
    for index in np.union1d(prediction, target):
        bands = []
        for mask in (prediction == index, target == index):
            padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
            bands.append(mask & (eroded == 0))
        found[index] = (bands[0] & bands[1]).sum(), bands[0].sum(), bands[1].sum()
    return found


def by_distance_transform(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Boundary pixels (C, 2 + 2 T) as `Boundaries` counts them."""
    found = np.zeros((CLASSES, 2 + 2 * len(TOLERANCES)), np.int64)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    ignored = (target == 255).view(np.uint8)
    for index in range(CLASSES):
        edges = []
        for mask in (prediction, target):
            others = ((mask != index) & (ignored == 0)).view(np.uint8)
            edges.append((mask == index) & (cv2.dilate(others, cross) > 0))
        if not (edges[0].any() or edges[1].any()):
            continue
        found[index, :2] = edges[0].sum(), edges[1].sum()
        far = [cv2.distanceTransform((~edge).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for edge in edges]
        for number, reach in enumerate(TOLERANCES):
            near = (
                (far[1][edges[0]] <= reach).sum() * edges[1].any(),
                (far[0][edges[1]] <= reach).sum() * edges[0].any(),
            )
            found[index, 2 + 2 * number : 4 + 2 * number] = near
    return found


def main() -> None:
    """Time, check, and write the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    cv2.setNumThreads(1)
    prediction, target = scene()
    plain = np.where(target == 255, np.uint8(0), prediction), np.where(target == 255, np.uint8(0), target)
    boundaries, surface = (Boundaries(1, NAMES, tolerances=TOLERANCES, surface=more) for more in (False, True))
    ways = {
        "boundary IoU, published, class by class": lambda: published_bands(*plain),
        "boundary IoU, ours": lambda: band_counts(*plain, CLASSES),
        "boundary F1 at 6 tolerances, distance transform of each class": lambda: by_distance_transform(
            prediction, target
        ),
        "boundary IoU and boundary F1 at 6 tolerances, ours": lambda: boundaries.update(prediction, target, 0),
        "the same with HD95": lambda: surface.update(prediction, target, 0),
        "components by size": lambda: Components(NAMES).update(prediction, target, 0),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(1000 * (time.perf_counter() - start))
    assert np.array_equal(published_bands(*plain), band_counts(*plain, CLASSES))
    assert np.array_equal(by_distance_transform(prediction, target), boundaries.edges[0].numpy())
    assert at_tolerance(boundaries.edges.numpy(), 0).shape == (1, CLASSES, 4)
    rows = [f"| {name} | {statistics.median(each):.0f} | {min(each):.0f} |" for name, each in times.items()]
    write(rows, rounds)


def write(rows: list[str], rounds: int) -> None:
    """The table, with hardware and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    text = [
        f"# Meters of predicted masks, {date.today()}",
        "",
        f"{WIDTH}x{HEIGHT}, {CLASSES} classes, one thread of {processor}, load {os.getloadavg()[0]:.1f}, commit "
        f"{commit.strip()}, OpenCV {cv2.__version__}; {rounds} rounds, each way in turn; counts were equal.",
        "",
        "| way | ms an image, median | least |",
        "|---|---|---|",
        *rows,
    ]
    (RESULTS / f"meters-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
