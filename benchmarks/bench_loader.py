"""How fast images and masks are read in a loader: as it is, by other JPEG decoders, and from caches.

python benchmarks/bench_loader.py IMAGES MASKS        # JPEG images; pip install simplejpeg for its row

One loading worker, batches of 4, the standard augmentation with crops of 352x480. Ways take turns, epoch by epoch, and
every one must give the same pixels.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_jpeg

from seg.data.batches import TrainBatches, make_loader
from seg.data.cache import Cache, DiskCache, MemoryCache
from seg.data.checked import check
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import pair
from seg.images import decoding
from seg.transforms import ColorJitter, Compose, Flip, ScaleCrop

ROUNDS, BATCH = 12, 4
Decode = Callable[[bytes, int], np.ndarray]


def reversed_view(data: bytes, how: int) -> np.ndarray:
    """OpenCV, and NumPy puts the channels in order when it copies."""
    return decoding.decode(np.frombuffer(data, np.uint8), how)[..., ::-1]


def torchvision(data: bytes, how: int) -> np.ndarray:
    """Its libjpeg-turbo, which gives planes of channels."""
    planes = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    return planes.permute(1, 2, 0).contiguous().numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    asked = parser.parse_args()
    pairs = pair(asked.images, asked.masks)
    classes = 1 + max(int(cv2.imread(str(p.mask), -1).max() % 255) for p in pairs)
    sizes = check(pairs, classes).sizes
    shapes = [(p.image, (*size, 3)) for p, size in zip(pairs, sizes, strict=True)]
    shapes += [(p.mask, size) for p, size in zip(pairs, sizes, strict=True)]
    ours, kept = decoding._opencv, tempfile.TemporaryDirectory()
    ways: dict[str, tuple[Decode, Cache | None]] = {
        "OpenCV (ours)": (ours, None),
        "OpenCV, reversed by NumPy": (reversed_view, None),
        "torchvision": (torchvision, None),
        "data.cache=ram": (ours, MemoryCache(shapes)),
        "data.cache=disk": (ours, DiskCache(Path(kept.name), "RGB")),
    }
    try:
        import simplejpeg
    except ImportError:
        print("simplejpeg is not installed", file=sys.stderr)
    else:
        ways["simplejpeg"] = (lambda data, _: simplejpeg.decode_jpeg(data, fastdct=False, fastupsample=False), None)
    runs = {name: loading(pairs, classes, *way) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(1, ROUNDS + 1):
        sums = set()
        for name, run in runs.items():
            seconds, total = run(epoch)
            times[name].append(seconds)
            sums.add(total)
        assert len(sums) == 1, "the pixels differ"
    print(f"OpenCV {cv2.__version__}, torch {torch.__version__}, {len(pairs)} pairs, {ROUNDS} rounds\n")
    print("| | images/s | time, of ours [middle half] |\n|---|---|---|")
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times["OpenCV (ours)"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rate = len(pairs) // BATCH * BATCH / statistics.median(seconds)
        print(f"| {name} | {rate:.0f} | {middle:.2f} [{low:.2f}, {high:.2f}] |")


def loading(pairs: Any, classes: int, decode: Decode, cache: Cache | None) -> Callable[[int], tuple[float, float]]:
    """Epoch -> seconds, and the sum of all pixels; the worker is started, and the cache filled, by the first one."""
    decoding._opencv = decode  # the worker is forked with it
    recipe = Compose(
        flip=Flip(),
        crop=ScaleCrop(size=(352, 480)),
        color=ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
    )
    data = SegmentationDataset(pairs, classes=classes, mean=(0.5,) * 3, std=(0.25,) * 3, transform=recipe, cache=cache)
    batches = TrainBatches(len(pairs), batch=BATCH, seed=0)
    loader = make_loader(data, batches, workers=1, device=torch.device("cpu"))

    def run(epoch: int) -> tuple[float, float]:
        batches.go_to(epoch, 0)
        start = time.perf_counter()
        total = sum(float(batch.images.sum()) for batch in loader)
        return time.perf_counter() - start, total

    run(0)
    return run


if __name__ == "__main__":
    main()
