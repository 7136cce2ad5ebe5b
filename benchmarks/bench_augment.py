"""The standard training recipe against its peers: per image on one core, checked while it is timed.

python benchmarks/bench_augment.py [ROUNDS]

Flip, scale by 0.5..2 and crop, brightness, contrast and saturation, Cutout, normalise, float tensor; the same
distributions for all. From a decoded image to what a model takes; ours with all that the data set does about it, such
as seeding every sample. Each round has every way do the same number of images in turn. Peers that are not installed
are left out (constraints-peers.txt tells how to install them).
"""

import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from seg.data.dataset import SegmentationDataset
from seg.transforms import ColorJitter, Compose, Cutout, Flip, ScaleCrop

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
try:
    import albumentations as A
    from albumentations.pytorch import ToTensorV2
except ImportError:
    A = None

SIZES = {"480x360": ((360, 480), (352, 480)), "1024x512": ((512, 1024), (512, 1024))}
"""(height, width) of the image and of the crop: 360 is no multiple of 32."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE, JITTER, HOLE = (0.5, 2.0), 0.3, 0.25
CLASSES = 9
IMAGES = 8
RESULTS = Path(__file__).parent / "results"
OURS, ALBUMENTATIONS, TORCHVISION = "ours", "albumentations", "torchvision v2, tensors"
CROP_FIRST = "albumentations, crop before scaling"

Way = Callable[[np.ndarray, np.ndarray, int], tuple[Tensor, Tensor]]


def factor(share: float) -> float:
    """Of the scale, for a share uniform in 0..1: halving and doubling are equally likely."""
    return SCALE[0] * (SCALE[1] / SCALE[0]) ** share


def ours(size: tuple[int, int]) -> Way:
    """A data set whose files are in memory."""
    recipe = Compose(
        flip=Flip(p=0.5),
        crop=ScaleCrop(size=size, scale=SCALE),
        color=ColorJitter(brightness=JITTER, contrast=JITTER, saturation=JITTER),
        cutout=Cutout(HOLE, p=0.5),
    )
    data = SegmentationDataset([], classes=CLASSES, mean=MEAN, std=STD, transform=recipe)

    def way(image: np.ndarray, mask: np.ndarray, number: int) -> tuple[Tensor, Tensor]:
        data.read = lambda _: (torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask))  # type: ignore
        out, labels, *_ = data[number, 0]
        return out, labels

    return way


class LogScaleJitter(v2.ScaleJitter):
    """With our distribution of the factor."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Drawn as torchvision draws."""
        height, width = flat_inputs[0].shape[-2:]
        scale = factor(float(torch.rand(())))
        return {"size": (int(height * scale), int(width * scale))}


def torchvision_way(size: tuple[int, int]) -> Way:
    """The classes of torchvision v2 on uint8 tensors."""
    recipe = v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            LogScaleJitter(size, SCALE),
            v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255}),
            v2.ColorJitter(JITTER, JITTER, JITTER),
            v2.RandomErasing(0.5, scale=(HOLE**2, HOLE**2), ratio=(size[0] / size[1], size[0] / size[1])),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def way(image: np.ndarray, mask: np.ndarray, _: int) -> tuple[Tensor, Tensor]:
        both = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)), tv_tensors.Mask(torch.from_numpy(mask)[None])
        out, labels = recipe(*both)
        return out, labels[0]

    return way


def albumentations_ways(size: tuple[int, int]) -> dict[str, Way]:
    """The usual recipe, which scales the whole image before it crops, and one that goes our way about it."""

    class LogScale(A.RandomScale):
        def get_params(self) -> dict[str, float]:
            return {"scale": factor(self.py_random.random())}

    class CropFirst(A.DualTransform):
        """Our geometry with albumentations' frame: window, OpenCV's resize without smoothing, border."""

        def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
            scale = factor(self.py_random.random())
            taken = [min(have, round(want / scale)) for have, want in zip(params["shape"], size, strict=False)]
            starts = [self.py_random.randint(0, have - t) for have, t in zip(params["shape"], taken, strict=False)]
            scaled = [min(round(t * scale), want) for t, want in zip(taken, size, strict=True)]
            free = [want - s for want, s in zip(size, scaled, strict=True)]
            return {
                "taken": taken,
                "starts": starts,
                "scaled": scaled,
                "at": [self.py_random.randint(0, f) for f in free],
            }

        def apply(self, img: np.ndarray, interpolation: int = cv2.INTER_LINEAR, fill: int = 0, **drawn: Any) -> Any:
            (top, left), (rows, columns), (y, x) = drawn["starts"], drawn["taken"], drawn["at"]
            height, width = drawn["scaled"]
            img = cv2.resize(img[top : top + rows, left : left + columns], (width, height), interpolation=interpolation)
            border = (y, size[0] - height - y, x, size[1] - width - x)
            return cv2.copyMakeBorder(img, *border, cv2.BORDER_CONSTANT, value=(fill,) * 3) if any(border) else img

        def apply_to_mask(self, mask: np.ndarray, **drawn: Any) -> Any:
            return self.apply(mask, cv2.INTER_NEAREST, 255, **drawn)

    jitter = (1 - JITTER, 1 + JITTER)
    usual = [
        LogScale(p=1),
        A.PadIfNeeded(*size, position="random", fill=0, fill_mask=255, border_mode=cv2.BORDER_CONSTANT),
        A.RandomCrop(*size),
    ]
    rest = [
        A.ColorJitter(jitter, jitter, jitter, (0, 0), p=1),
        A.CoarseDropout((1, 1), (HOLE, HOLE), (HOLE, HOLE), fill=0, p=0.5),
        A.Normalize(MEAN, STD),
        ToTensorV2(),
    ]

    def way(recipe: Any) -> Way:
        def apply(image: np.ndarray, mask: np.ndarray, _: int) -> tuple[Tensor, Tensor]:
            made = recipe(image=image, mask=mask)
            return made["image"], made["mask"]

        return apply

    return {
        name: way(A.Compose([A.HorizontalFlip(p=0.5), *geometry, *rest], seed=0))
        for name, geometry in ((ALBUMENTATIONS, usual), (CROP_FIRST, [CropFirst(p=1)]))
    }


def ways(size: tuple[int, int]) -> dict[str, Way]:
    """Those that are installed."""
    return {OURS: ours(size), TORCHVISION: torchvision_way(size)} | (albumentations_ways(size) if A else {})


def scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes in blocks of different brightness, with colours and texture."""
    random = np.random.default_rng(0)
    row, column = np.arange(height)[:, None] * 3 // height, np.arange(width) * 3 // width
    mask = (3 * row + column).astype(np.uint8)
    texture = cv2.GaussianBlur(random.normal(0, 60, (height, width, 3)), (0, 0), 2)
    return (30 + 22.0 * mask[..., None] + texture).clip(0, 255).astype(np.uint8), mask


class Check:
    """Looks at every output: kind, and that image and mask go together; sums up what must be alike for all ways."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.seen: list[tuple[float, float, float]] = []

    def __call__(self, image: Tensor, mask: Tensor) -> None:
        """Raises AssertionError."""
        assert image.dtype == torch.float32, image.dtype
        assert mask.dtype == torch.uint8, mask.dtype
        assert image.shape == (3, *self.size), image.shape
        assert mask.shape == self.size, mask.shape
        light = image.mean(0)
        known = (mask != 255) & (light > -1.7)  # but the hole
        assert int(mask[known].max()) < CLASSES
        if len(mask[known].unique()) > 3:
            assert torch.corrcoef(torch.stack([light[known], mask[known].float()]))[0, 1] > 0.6, "out of step"
        self.seen.append((float(image.mean()), float(image.std()), float((mask == 255).float().mean())))

    def means(self) -> list[float]:
        """Of mean, standard deviation and ignored share."""
        return np.mean(self.seen, 0).tolist()

    def differs(self, other: "Check") -> bool:
        """By more than chance explains: five standard errors, and what placing holes otherwise makes of the mean."""
        error = np.hypot(*(np.std(check.seen, 0) / len(check.seen) ** 0.5 for check in (self, other)))
        return bool((np.abs(np.subtract(self.means(), other.means())) > 5 * error + 0.03).any())


def measure(name: str, rounds: int) -> tuple[dict[str, list[float]], dict[str, Check]]:
    """Milliseconds an image of each way, one a round; the first round warms up and is left out."""
    have, size = SIZES[name]
    image, mask = scene(*have)
    runs = ways(size)
    checks = {way: Check(size) for way in runs}
    times: dict[str, list[float]] = {way: [] for way in runs}
    for turn in range(rounds + 1):
        for way, run in runs.items():
            start = time.perf_counter()
            made = [run(image, mask, turn * IMAGES + i) for i in range(IMAGES)]
            times[way].append(1e3 * (time.perf_counter() - start) / IMAGES)
            for out in made:
                checks[way](*out)
    return {way: values[1:] for way, values in times.items()}, checks


def middle(values: list[float]) -> str:
    """Median and the interval that holds the middle half."""
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def table(name: str, rounds: int) -> list[str]:
    """Of one size."""
    times, checks = measure(name, rounds)
    lines = [f"## {name}", "", "| | ms an image | of albumentations' | mean | deviation | ignored |", "|---" * 6 + "|"]
    for way, values in times.items():
        found = checks[way].means()
        assert not checks[way].differs(checks[OURS]), (way, found, checks[OURS].means())
        peer = times.get(ALBUMENTATIONS)
        ratio = middle([a / b for a, b in zip(values, peer, strict=True)]) if peer else "not installed"
        lines.append(f"| {way} | {middle(values)} | {ratio} | " + " | ".join(f"{v:.3f}" for v in found) + " |")
    return [*lines, ""]


def header(rounds: int) -> str:
    """Hardware, versions and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    cpu_lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in cpu_lines if line.startswith("model name")), "?")
    peer = f"albumentations {A.__version__}" if A else "albumentations not installed"
    return (
        f"# Augmentation, {date.today()}\n\n{cpu}, {platform.platform()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, torchvision {torchvision.__version__}, OpenCV {cv2.__version__}, {peer}, one thread, "
        f"{rounds} rounds of {IMAGES} images, commit {commit.stdout.strip() or 'none'}\n\n"
        "Median [middle half]; ratios round by round. Mean, deviation (of the normalised values) and ignored share are "
        "those of the outputs: the distributions are alike. Albumentations and torchvision place the hole wholly "
        "within the image, ours is clipped at the border; ours smooths where it shrinks, as torchvision does."
    )


def main() -> None:
    """Print the tables and write them to ``benchmarks/results/``."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", message="RandomErasing")  # it says that it leaves masks alone: as we want it
    lines = [header(rounds), ""]
    for name in SIZES:
        lines += table(name, rounds)
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"augment-{datetime.now():%Y-%m-%dT%H%M}.md"  # notes are added by hand: never over them
    path.write_text("\n".join(lines))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
