"""Memory and time of predicting one huge image: python benchmarks/bench_huge.py [SIDE]

A tiled GeoTIFF of SIDE x SIDE pixels (30,000; 2.7 GB on the disk) and a model that is next to nothing, so that what is
measured is reading, blending and writing. The prediction is checked: it is the argmax of the same convolutions.
"""

import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from seg.inference import export, trained

RESULTS = Path(__file__).parent / "results"
GOLDEN = Path(__file__).parents[1] / "tests/golden/format1/last.pt"
CLASSES, TILE, OVERLAP = 10, 512, 32


def write_image(path: Path, side: int) -> None:
    """Noise of a kind that compresses as photographs do, tile by tile."""
    rng = np.random.default_rng(0)

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for _ in range(math.ceil(side / TILE) ** 2):
            small = rng.integers(0, 256, (TILE // 4, TILE // 4, 3), np.uint8)
            yield small.repeat(4, 0).repeat(4, 1) // 2 + rng.integers(0, 64, (TILE, TILE, 3), np.uint8)

    options = {"tile": (TILE, TILE), "compression": "zlib", "photometric": "rgb", "bigtiff": True}
    tifffile.imwrite(path, tiles(), shape=(side, side, 3), dtype=np.uint8, **options)


def main() -> None:
    """Predict, check, and write the table."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 1)).eval()
    described = trained.load(GOLDEN, "cpu").describe()  # any 10 classes will do
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        (folder / "images").mkdir()
        write_image(folder / "images/huge.tif", side)
        export.write(folder / "tiny.onnx", model, 3, described)
        size = (folder / "images/huge.tif").stat().st_size
        words = [f"checkpoint={folder}/tiny.onnx", f"images={folder}/images", f"destination={folder}/out", "device=cpu"]
        words += [
            "inference=sliding",
            f"inference.window={TILE}",
            f"inference.overlap={OVERLAP}",
            f"max_pixels={min(side * side - 1, 1 << 28)}",  # so that it is read some rows at a time
        ]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "seg.commands.predict", *words], check=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        check(folder, model, described)
    write(side, size, seconds, peak)


def check(folder: Path, model: nn.Module, described: dict[str, Any]) -> None:
    """The first pixels are what the model says of them."""
    mean, std = (torch.tensor(described["normalization"][key])[:, None, None] for key in ("mean", "std"))
    with tifffile.TiffFile(folder / "images/huge.tif") as file:
        (tile, *_), *_ = next(file.pages[0].segments())
    image = torch.from_numpy(np.array(tile).reshape(TILE, TILE, 3)).permute(2, 0, 1) / 255
    with torch.inference_mode():
        expected = model(((image - mean) / std)[None])[0].argmax(0).numpy()
    whole = corner(folder / "out/huge.png")
    inner = (slice(0, TILE - OVERLAP - 8),) * 2  # the rest is blended with the neighbours
    assert (whole[inner] == expected[inner]).mean() > 0.999
    assert len(np.unique(whole[inner])) > 1


def corner(path: Path) -> NDArray[np.uint8]:
    """The first pixels of a mask that is larger than Pillow thinks wise."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        return np.asarray(image.crop((0, 0, TILE, TILE)))


def write(side: int, size: int, seconds: float, peak: float) -> None:
    """The table, with hardware and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    text = [
        f"# Prediction of a huge image, {date.today()}",
        "",
        f"{side} x {side} pixels, RGB, 8 bit, TIFF in tiles of {TILE}, deflate, {size / 1e9:.1f} GB; two convolutions "
        f"for {CLASSES} classes in an ONNX file; {platform.platform()}, {os.cpu_count()} CPUs, load "
        f"{os.getloadavg()[0]:.1f}, commit {commit.strip()}.",
        "",
        "| | |",
        "|---|--:|",
        f"| peak resident memory of `seg-predict` | {peak:.0f} MB |",
        f"| seconds | {seconds:.0f} |",
        f"| million pixels a second | {side * side / seconds / 1e6:.2f} |",
        "",
        f"The sums of one row of windows are kept in float32: {TILE} x {side} x {CLASSES} x 4 bytes = "
        f"{4 * TILE * side * CLASSES / 1e6:.0f} MB. Memory grows with width, window and classes, not with the height; "
        "a smaller window makes it less. `tests/commands/test_predict.py` holds an image of 20,480 x 512 pixels to "
        "60 MB more than one of 512 x 512.",
    ]
    (RESULTS / f"huge-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
