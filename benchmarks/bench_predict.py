"""Images a second of ``seg-predict`` against the bare model in a loop: same model, same images, same masks.

python benchmarks/bench_predict.py [--rounds 7] [--images 60] [--threads 2] [--nothing-written]

What is timed is `seg.inference.folder.predict_folder`, in this process, with models that are loaded. The loop is
what a user writes: read by OpenCV, normalise, pad to a multiple of 32, model, argmax, write by OpenCV; one image at a
time, as ``seg-predict`` does. Each round takes every way once, in turn; the masks of all must be equal.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from bench_convert import RESULTS, header
from torch import nn

from seg.inference.folder import predict_folder
from seg.inference.outputs import Products
from seg.inference.trained import Trained
from seg.models import IMAGENET_MEAN, IMAGENET_STD
from seg.synthetic import LABELS, render_scene

HEIGHT, WIDTH = 360, 480
MODELS: dict[str, Callable[[], nn.Module]] = {
    "U-Net, resnet18": lambda: smp.Unet("resnet18", encoder_weights=None, classes=LABELS.classes),
    "U-Net, mobilenetv3_small_100": lambda: smp.Unet(
        "tu-mobilenetv3_small_100", encoder_weights=None, classes=LABELS.classes, decoder_channels=(64, 48, 32, 16, 8)
    ),
    "one convolution": lambda: nn.Conv2d(3, LABELS.classes, 3, padding=1),
}

Way = Callable[[Path], None]


def write_images(folder: Path, count: int) -> None:
    """Scenes of the embedded dataset, as PNG."""
    folder.mkdir()
    for i in range(count):
        image = render_scene(i, height=HEIGHT, width=WIDTH)[0]
        cv2.imwrite(str(folder / f"{i:03}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@torch.inference_mode()
def bare(model: nn.Module, source: Path, destination: Path) -> None:
    """Write the masks as a loop of a user's own does."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    destination.mkdir()
    for path in sorted(source.iterdir()):
        rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        image = (torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255 - mean) / std
        height, width = image.shape[2:]
        logits = model(F.pad(image, (0, -width % 32, 0, -height % 32), mode="replicate"))[:, :, :height, :width]
        cv2.imwrite(str(destination / path.name), logits.argmax(1)[0].byte().numpy())


def ways(model: nn.Module, source: Path) -> dict[str, Way]:
    """Every way, the loop first."""
    trained = Trained(model, LABELS, IMAGENET_MEAN, IMAGENET_STD, "cpu")

    def ours(products: Products) -> Way:
        def run(destination: Path) -> None:
            summary = predict_folder(trained, source, destination, products)
            assert not summary.failures, summary

        return run

    return {
        "bare loop": lambda destination: bare(model, source, destination),
        "masks": ours(Products(overlays=False)),
        "masks and overlays": ours(Products()),
    }


def check(found: list[Path]) -> None:
    """All ways wrote the same masks."""
    first, *others = found
    names = sorted(path.name for path in first.glob("*.png"))
    for other in others:
        assert names == sorted(path.name for path in other.glob("*.png")), other
        for name in names:
            masks = [cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for folder in (first, other)]
            differ = np.count_nonzero(masks[0] != masks[1])  # ties of two classes, which rounding decides
            assert differ <= masks[0].size // 10_000, f"{other / name}: {differ} pixels differ"


def measure(title: str, count: int, rounds: int) -> list[str]:
    """Rows of the table: a model, each way."""
    torch.manual_seed(0)
    model = MODELS[title]().eval()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", count)
        chosen = ways(model, folder / "images")
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in chosen}
        for number in range(rounds + 1):  # the first does not count
            found = []
            for way, run in chosen.items():
                found.append(folder / f"{way}-{number}")
                start = time.perf_counter(), time.process_time()
                run(found[-1])
                times[way].append((time.perf_counter() - start[0], time.process_time() - start[1]))
            check(found)
    rows = []
    for way, seconds in times.items():
        rate = count / statistics.median(wall for wall, _ in seconds[1:])
        wall, cpu = (
            statistics.median(a[i] / b[i] for a, b in zip(times["bare loop"][1:], seconds[1:], strict=True))
            for i in (0, 1)
        )
        rows.append(f"| {title} | {way} | {rate:.1f} | {wall:.2f} | {cpu:.2f} |")
    return rows


def main() -> None:
    """Print the table and write it to ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--nothing-written", action="store_true", help="print alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = [header().replace("Label conversion", "Prediction of a folder") + f", torch {torch.__version__}", ""]
    lines += [f"{options.images} images of {WIDTH}x{HEIGHT}, {options.threads} threads, {options.rounds} rounds.", ""]
    lines += ["| model | way | images/s | x bare loop | the same in CPU time |", "|---|---|---:|---:|---:|"]
    print("\n".join(lines), flush=True)
    for title in options.models:
        rows = measure(title, options.images, options.rounds)
        print("\n".join(rows), flush=True)
        lines += rows
    if not options.nothing_written:
        (RESULTS / f"predict-{date.today()}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
