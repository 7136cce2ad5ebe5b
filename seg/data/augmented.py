"""Augmented copies of a data set on disk, for tools that cannot augment while they train: what ``seg-augment`` does.

from seg.data.augmented import augment_folder
count = augment_folder("images", "masks", "augmented", Compose(flip=Flip()), recipe="flip", copies=4)
"""

import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from seg import __version__
from seg.data.batches import make_loader
from seg.data.checked import check
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import Pair, pair
from seg.data.pairs.folders import check_apart
from seg.data.source import check_converted
from seg.files import checks, make_folder, whole, write_csv, write_json, write_png
from seg.files.memo import usable_cores
from seg.images import RGB
from seg.images.oddities import oddities
from seg.labels import LabelMap
from seg.transforms import Transform

log = logging.getLogger(__name__)

HEADER = ("image", "mask", "source_image", "source_mask", "recipe", "seed", "copy", "index")
"""Columns of ``augmented.csv``; the last four are empty for originals."""

_RECIPE = "recipe.json"


def augment_folder(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    transform: Transform,
    *,
    recipe: str,
    options: Mapping[str, Any] | None = None,
    copies: int = 1,
    seed: int = 0,
    workers: int | None = 0,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the data set with augmented copies, and return how many of these were made now.

    ``destination/images`` and ``masks`` hold the originals under their own names and, for each, the copies
    ``a__recipe-1.png``, ``a__recipe-2.png``, ...; ``augmented.csv`` says what each file was made of, ``recipe.json``
    with what options. The same call makes what is missing; with more copies it adds those. A copy depends on the
    transform, the seed, its number and the images alone, whatever the number of workers.

    Args:
        images: folder of images; copies are RGB of 8 bits.
        masks: folder of masks as ``seg-preprocess`` writes them, with ``labels.yaml``.
        transform: see `seg.transforms`; what ramps over a run is at its end.
        recipe: name of the transform, which copies bear.
        options: of the transform, as plain data: copies made with others are not added to.
        copies: of each image, besides the original.
        workers: processes; 0 = this one, None = one for each core.
        progress: called with (done, total) after each copy, those that were there already included.

    Raises:
        ValueError: wrong options, files that do not pair up, or a destination that holds something else.
    """
    checks.text("recipe", recipe)
    checks.whole("copies", copies, 1)
    checks.whole("seed", seed, 0)
    workers = usable_cores() if workers is None else checks.whole("workers", workers, 0)
    images, masks, destination = Path(images), Path(masks), Path(destination)
    pairs = pair(images, masks, prefix=None)
    check_converted(masks)
    labels = LabelMap.load(masks / "labels.yaml")
    for odd in oddities(check(pairs, labels.classes).facts, RGB):
        log.warning(f"{odd.text}: copies are RGB of 8 bits")
    made = _copies_of(pairs, recipe, copies)
    data = SegmentationDataset(
        pairs, classes=labels.classes, mean=(0, 0, 0), std=(1, 1, 1), transform=transform, seed=seed
    )
    files = {p.name: [zlib.crc32(p.image.read_bytes()), zlib.crc32(p.mask.read_bytes())] for p in pairs}
    about = {"recipe": recipe, "seed": seed, "transform": dict(options or {}), "copies": copies, "crc32": files}
    check_apart(destination, [images, masks], "destination")
    _open(make_folder(destination, "destination"), about, labels)
    for p in pairs:
        _copy(p.image, destination / "images" / f"{p.name}{p.image.suffix}")
        _copy(p.mask, destination / "masks" / f"{p.name}.png")
    write_csv(destination / "augmented.csv", HEADER, _rows(pairs, made, recipe, seed))
    return _write(_Copies(pairs, made, destination, data), workers, progress)


def _copies_of(pairs: Sequence[Pair], recipe: str, copies: int) -> list[Pair]:
    """Name the copies: the first of every pair, then the second, ...; their files are those that they are made of."""
    made = [Pair(f"{p.name}__{recipe}-{copy}", p.image, p.mask) for copy in range(1, copies + 1) for p in pairs]
    if clashing := {p.name for p in pairs} & {p.name for p in made}:
        raise ValueError(
            f"images: expected originals alone, got '{min(clashing)}', which a copy would be called; leave copies out"
        )
    return made


def _open(destination: Path, about: dict[str, Any], labels: LabelMap) -> None:
    """Begin or go on: what lies there must have been made alike."""
    path = destination / _RECIPE
    if path.exists():
        _check_alike(destination, json.loads(path.read_text(encoding="utf-8")), about)
    elif any(destination.iterdir()):
        raise ValueError(
            f"destination: expected an empty folder, got '{destination}' without {_RECIPE}; give a new one"
        )
    write_json(path, about | {"version": __version__})
    (destination / "masks").mkdir(exist_ok=True)
    labels.save(destination / "masks" / "labels.yaml")


def _check_alike(destination: Path, found: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse to add copies to those of another recipe, of other files, or to more of them."""
    for key in ("recipe", "seed", "transform"):
        if found.get(key) != about[key]:
            shown = f": {found.get(key)!r}, not {about[key]!r}" if key != "transform" else ""
            raise ValueError(f"'{destination}' was made with another {key}{shown}; give another destination")
    before, now = found.get("crc32", {}), about["crc32"]
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        raise ValueError(
            f"'{destination}' was made of other images or masks: {len(changed)} differ, the first is "
            f"'{changed[0]}'; give another destination"
        )
    if found["copies"] > about["copies"]:
        raise ValueError(
            f"'{destination}' holds {found['copies']} copies of each image; ask for at least as many, or give "
            "another destination"
        )


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as temporary:
            shutil.copyfile(source, temporary)


def _rows(pairs: list[Pair], made: list[Pair], recipe: str, seed: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for p in pairs:
        rows.append((f"{p.name}{p.image.suffix}", f"{p.name}.png", p.image.resolve(), p.mask.resolve(), "", "", "", ""))
    for number, p in enumerate(made):
        copy, index = divmod(number, len(pairs))
        files = (f"{p.name}.png", f"{p.name}.png", p.image.resolve(), p.mask.resolve())
        rows.append((*files, recipe, seed, copy + 1, index))
    return rows


@dataclass
class _Copies(Dataset[int]):
    """Item i writes the i-th copy, unless it is there, and is 1 if it did, else 0."""

    pairs: list[Pair]
    made: list[Pair]
    destination: Path
    data: SegmentationDataset

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, number: int) -> int:
        copy, index = divmod(number, len(self.pairs))
        name = f"{self.made[number].name}.png"
        image_file, mask_file = self.destination / "images" / name, self.destination / "masks" / name
        if mask_file.exists() and image_file.exists():
            return 0
        # the copy in place of the epoch; counted from 1 of 1, whatever ramps is at its end
        image, mask = self.data.transformed((copy + 1, index))
        write_png(image_file, image.permute(1, 2, 0).numpy())
        write_png(mask_file, mask.numpy())
        return 1


def _write(copies: _Copies, workers: int, progress: Callable[[int, int], None] | None) -> int:
    """Write all copies, in so many processes, and count those that were not there."""
    written, batches = 0, [[number] for number in range(len(copies))]
    loader = make_loader(copies, batches, workers=workers, device=torch.device("cpu"), collate_fn=sum)
    for done, count in enumerate(loader, start=1):
        written += count
        if progress is not None:
            progress(done, len(copies))
    return written
