"""Pair images with masks, check them, and yield tensors.

Images may be grayscale (repeated to three channels), RGBA (alpha dropped) or 16-bit (65535 becomes 255, rounded);
EXIF orientation is applied, as label tools do. Masks are 8-bit grayscale PNG, as ``seg-preprocess`` writes them.
"""

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from seg.labels import IGNORE
from seg.transforms import Transform

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Key = tuple[int, int]
"""(epoch, index): all that the randomness of a sample depends on, besides the seed."""


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the name both share (relative path without suffix)."""

    name: str
    image: Path
    mask: Path


def list_images(folder: Path, template: str = "{}") -> dict[str, Path]:
    """Name -> file of every image below ``folder``; ``{}`` in the template stands for the name.

    Args:
        folder: searched with its subfolders, which are part of the name.
        template: such as ``{}_L.png``; without a suffix, every image suffix fits.

    Raises:
        ValueError: no folder, no such file, a template without ``{}``, or two files of one name.
    """
    if template.count("{}") != 1:
        raise ValueError(f"template: expected one {{}} for the name, such as '{{}}_L.png', got '{template}'")
    if not folder.is_dir():
        raise ValueError(f"no folder '{folder}'; give an existing one")
    before, _, after = template.partition("{}")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        file = path.name if Path(after).suffix.lower() in IMAGE_SUFFIXES else path.stem
        if not (file.startswith(before) and file.endswith(after) and len(file) > len(before) + len(after)):
            continue
        stem = file[len(before) : len(file) - len(after)]
        name = (path.parent.relative_to(folder) / stem).as_posix()
        if name in found:
            raise ValueError(f"two files of one name '{name}': '{found[name]}' and '{path}'; rename or remove one")
        found[name] = path
    if not found:
        raise ValueError(f"no file like '{template}' ({' '.join(IMAGE_SUFFIXES)}) in '{folder}'")
    return found


def pair(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    *,
    image_template: str = "{}",
    template: str = "{}",
    only: str | os.PathLike[str] | None = None,
) -> list[Pair]:
    """Pair every image with its mask by name, sorted by name.

    Args:
        images, masks: folders, mirrored where nested; they may be one folder.
        image_template, template: file name of image and mask, ``{}`` for the shared name.
        only: a list file, one name (or image file name) a line, ``#`` comments; without it, all files must pair up.

    Raises:
        ValueError: a file without partner, an empty folder, or a listed name that does not exist.
    """
    mask_files = list_images(Path(masks), template)
    image_files = list_images(Path(images), image_template)
    if template != image_template:  # one folder for both: a mask is no image
        taken = set(mask_files.values())
        image_files = {name: path for name, path in image_files.items() if path not in taken}
    if only is not None:
        names = _listed(Path(only), image_files)
        image_files = {name: image_files[name] for name in names}
        mask_files = {name: mask_files[name] for name in names if name in mask_files}
    _check_partners("image", image_files, "mask", mask_files, Path(masks), template)
    _check_partners("mask", mask_files, "image", image_files, Path(images), image_template)
    return [Pair(name, image_files[name], mask_files[name]) for name in sorted(image_files)]


def _check_partners(
    kind: str, files: dict[str, Path], other: str, others: dict[str, Path], folder: Path, template: str
) -> None:
    alone = [path for name, path in files.items() if name not in others]
    if alone:
        raise ValueError(
            f"{len(alone)} of {len(files)} {kind} files have no {other}: '{alone[0]}' has none like '{template}' in "
            f"'{folder}'; add it, set the template, or name the wanted files in a list"
        )


def _listed(file: Path, images: dict[str, Path]) -> list[str]:
    if not file.is_file():
        raise ValueError(f"list: no file '{file}'")
    by_file_name = {path.name: name for name, path in images.items()}
    names = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        name = entry if entry in images else by_file_name.get(entry)
        if name is None:
            raise ValueError(f"{file}, line {number}: no image named '{entry}'; names look like '{next(iter(images))}'")
        names.append(name)
    if not names:
        raise ValueError(f"{file}: names no image")
    return names


def split(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """A seeded split into training and validation pairs; depends on the names and the seed alone.

    Args:
        share: of the validation part, in 0..1; at least one pair goes to each part.

    Raises:
        ValueError: a share outside 0..1, or fewer than two pairs.
    """
    if not 0 < share < 1:
        raise ValueError(f"data.val_share: expected a share between 0 and 1, got {share}")
    if len(pairs) < 2:
        raise ValueError(f"a split needs at least two pairs, got {len(pairs)}")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(pairs))
    count = min(max(round(share * len(pairs)), 1), len(pairs) - 1)
    chosen = set(order[:count].tolist())
    return (
        [p for i, p in enumerate(pairs) if i not in chosen],
        [p for i, p in enumerate(pairs) if i in chosen],
    )


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """RGB image (H, W, 3) uint8 of any file that OpenCV reads, by the rules of the module's docstring.

    Raises:
        ValueError: not readable as an image, or not 8- or 16-bit.
    """
    try:
        data = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise ValueError(f"image '{path}' cannot be read: {error.strerror}") from None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data.size else None
    if image is None:
        raise ValueError(f"image '{path}' cannot be decoded; expected one of {' '.join(IMAGE_SUFFIXES)}, undamaged")
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"image '{path}': expected 8 or 16 bits a channel, got {image.dtype}; convert it to 8 bits")
    return np.ascontiguousarray(image[..., ::-1])


def read_mask(path: str | os.PathLike[str], classes: int) -> NDArray[np.uint8]:
    """Mask (H, W) uint8 of an 8-bit grayscale PNG.

    Raises:
        ValueError: another kind of file, damaged, or a value that is neither a class index nor 255.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"mask '{path}' cannot be read: {error.strerror}") from None
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[24:26] != b"\x08\x00":  # IHDR: bit depth 8, colour type 0
        raise ValueError(f"mask '{path}' is not an 8-bit grayscale PNG; convert label images with seg-preprocess first")
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise ValueError(f"mask '{path}' cannot be decoded: the file is damaged")
    highest = int(np.where(mask == IGNORE, 0, mask).max())
    if highest >= classes:
        raise ValueError(
            f"mask '{path}' has value {highest}; expected 0..{classes - 1} for {classes} classes, or {IGNORE}. "
            "Convert the labels with seg-preprocess, or give the label map that the masks were made with"
        )
    return mask  # type: ignore[return-value]  # cv2's stub says any dtype


class Checked(NamedTuple):
    """What `check` found: pixels of each class (pairs, classes) int64, and each pair's (height, width)."""

    counts: NDArray[np.int64]
    sizes: list[tuple[int, int]]


def check(pairs: Sequence[Pair], classes: int) -> Checked:
    """Look at every file once, in threads, so that a bad one is found before the training and not in its middle.

    Raises:
        ValueError: a file that cannot be read, a mask of another size than its image, or a wrong mask value; the
            message names the first and says how many there are.
    """

    def look(p: Pair) -> tuple[NDArray[np.int64], tuple[int, int]] | str:
        try:
            mask, image = read_mask(p.mask, classes), read_image(p.image)
        except ValueError as error:
            return str(error)
        if mask.shape != image.shape[:2]:
            (h, w), (mh, mw) = image.shape[:2], mask.shape
            return f"mask '{p.mask}' is {mw}x{mh} but its image '{p.image}' is {w}x{h}; they must have one size"
        return np.bincount(mask.ravel(), minlength=256)[:classes], (mask.shape[0], mask.shape[1])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        results = list(threads.map(look, pairs))
    problems = [r for r in results if isinstance(r, str)]
    if problems:
        more = f" (and {len(problems) - 1} more of {len(pairs)} pairs)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    good = [r for r in results if not isinstance(r, str)]
    table = np.array([counts for counts, _ in good], np.int64).reshape(len(pairs), classes)
    if not table.sum():
        raise ValueError(f"all {len(pairs)} masks are ignored (255) everywhere, such as '{pairs[0].mask}'")
    return Checked(table, [size for _, size in good])


class SegmentationDataset(Dataset[tuple[Tensor, Tensor, int]]):
    """Yields ``(image (3, H, W) float32 normalised, mask (H, W) uint8 with 255 = ignore, index)``.

    Args:
        pairs: files, as `pair` gives them.
        classes: number of classes; a mask with a higher value is an error.
        mean, std: of each RGB channel, for images scaled to 0..1.
        transform: applied to (uint8 image, mask); None for evaluation.
        seed: with the (epoch, index) of the key it decides all randomness of the transform.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        self.pairs = list(pairs)
        self.classes = classes
        self.mean = torch.tensor(mean, dtype=torch.float32).view(3, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(3, 1, 1)
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: int | Key) -> tuple[Tensor, Tensor, int]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        files = self.pairs[index]
        image = torch.from_numpy(read_image(files.image)).permute(2, 0, 1)
        mask = torch.from_numpy(read_mask(files.mask, self.classes))
        if self.transform is not None:
            state = torch.get_rng_state()
            _seed_all(self.seed, epoch, index)
            image, mask = self.transform(image, mask)
            torch.set_rng_state(state)  # without workers this process is the one whose dropout must not notice
        return (image.float() / 255 - self.mean) / self.std, mask.contiguous(), index


def _seed_all(*numbers: int) -> None:
    """Seed every generator that a transform may draw from: a user's own may use NumPy or ``random``."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed & (2**63 - 1))
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002
    random.seed(seed)


class TrainBatches(Sampler[list[Key]]):
    """Keys of shuffled, full batches; the order depends on (seed, epoch) alone, so that a run can go on anywhere.

    Args:
        size: number of samples.
        batch: samples a step, over all processes; fewer when there are not as many.
        seed: of the order.
        rank, world: this process takes every ``world``-th sample of each batch.
    """

    def __init__(self, size: int, *, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        batch = min(batch, size)
        if batch < 1 or batch % world:
            raise ValueError(f"batch: expected a positive multiple of {world} processes, got {batch} ({size} samples)")
        self.size, self.batch, self.seed, self.rank, self.world = size, batch, seed, rank, world
        self.epoch = self.start = 0

    def __len__(self) -> int:
        """Steps of a whole epoch."""
        return self.size // self.batch

    def go_to(self, epoch: int, step: int) -> None:
        """The next iteration yields the batches of ``epoch`` from ``step`` on."""
        self.epoch, self.start = epoch, step

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.random.Generator(np.random.PCG64([self.seed, self.epoch])).permutation(self.size).tolist()
        for step in range(self.start, len(self)):
            batch = order[step * self.batch : (step + 1) * self.batch]
            yield [(self.epoch, index) for index in batch[self.rank :: self.world]]


class EvaluationBatches(Sampler[list[int]]):
    """Every index once, in batches of images of one size: padding would make scores depend on the company kept."""

    def __init__(self, sizes: Sequence[Any], *, batch: int, rank: int = 0, world: int = 1) -> None:
        groups: dict[Any, list[int]] = {}
        for index in range(rank, len(sizes), world):
            groups.setdefault(sizes[index], []).append(index)
        self.batches = [group[i : i + batch] for group in groups.values() for i in range(0, len(group), batch)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
