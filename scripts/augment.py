"""Augmented copies of a data set on disk, for tools that cannot augment while they train.

python scripts/augment.py IMAGES MASKS DESTINATION --recipe standard --copies 4 --seed 0

Writes DESTINATION/images and DESTINATION/masks: the originals under their own names and, for each, the copies
a__standard-1.png, a__standard-2.png, ... made by conf/augment/standard.yaml. augmented.csv says what each file was made
of, recipe.json with what options. Repeating the command makes what is missing; with more copies it adds those. A copy
depends on the recipe, the seed, its number and the images alone, whatever the number of workers.
"""

import argparse
import json
import shutil
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from torch.utils.data import Dataset

import seg
from seg.commands.cli import conf_dir, instantiate, plain
from seg.data.batches import make_loader
from seg.data.checked import check
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import Pair, pair
from seg.data.pairs.folders import check_apart
from seg.files import make_folder, whole, write_csv, write_json, write_png
from seg.files.memo import usable_cores
from seg.images import RGB
from seg.images.oddities import oddities
from seg.labels import LabelMap

HEADER = ("image", "mask", "source_image", "source_mask", "recipe", "seed", "copy", "index")


def main() -> int:
    """Read the command line; 0 when all is written, 2 for a wrong request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("masks", type=Path, help="folder of masks, as seg-preprocess writes them, with labels.yaml")
    parser.add_argument("destination", type=Path, help="folder to write to")
    recipes = sorted(path.stem for path in (conf_dir() / "augment").glob("*.yaml"))
    parser.add_argument("--recipe", default="standard", choices=recipes, help="a file of conf/augment")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes it: crop.size=[256,256]")
    parser.add_argument("--copies", type=int, default=1, help="of each image, besides the original (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other copies (default 0)")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="processes (default: cores)")
    options = vars(parser.parse_args())
    try:
        count = augment(options.pop("images"), options.pop("masks"), options.pop("destination"), **options)
    except ValueError as error:
        print(f"augment.py: {error}", file=sys.stderr)
        return 2
    print(f"{count} copies written")
    return 0


def augment(images: Path, masks: Path, destination: Path, *, recipe: str, copies: int, seed: int, **more: Any) -> int:
    """Write the enlarged data set; returns how many copies were made now.

    Raises:
        ValueError: wrong options, files that do not pair up, or a destination that holds something else.
    """
    if copies < 1 or seed < 0 or more["workers"] < 0:
        raise ValueError(
            f"expected copies of at least 1, seed and workers of at least 0, got {copies}, {seed} and {more['workers']}"
        )
    config = recipe_config(recipe, more["set"])
    pairs = pair(images, masks)
    labels = LabelMap.load(masks / "labels.yaml")
    for odd in oddities(check(pairs, labels.classes).seen, RGB):
        print(f"warning: {odd.text}: copies are RGB of 8 bits", file=sys.stderr)
    made = [Pair(f"{p.name}__{recipe}-{copy}", p.image, p.mask) for copy in range(1, copies + 1) for p in pairs]
    clashing = {p.name for p in pairs} & {p.name for p in made}
    if clashing:
        raise ValueError(f"'{min(clashing)}' is among the images already; they seem to hold copies")
    data = SegmentationDataset(
        pairs, classes=labels.classes, mean=(0, 0, 0), std=(1, 1, 1), transform=instantiate(config), seed=seed
    )
    files = {p.name: [zlib.crc32(p.image.read_bytes()), zlib.crc32(p.mask.read_bytes())] for p in pairs}
    about = {"recipe": recipe, "seed": seed, "transform": config, "copies": copies, "crc32": files}
    check_apart(destination, [images, masks], "destination")
    _open(make_folder(destination, "destination"), about, labels)
    for p in pairs:
        _copy(p.image, destination / "images" / f"{p.name}{p.image.suffix}")
        _copy(p.mask, destination / "masks" / f"{p.name}.png")
    write_csv(destination / "augmented.csv", HEADER, _rows(pairs, made, recipe, seed))
    jobs = Jobs(pairs, made, destination, data)
    batches, cpu = [[i] for i in range(len(jobs))], torch.device("cpu")
    return sum(make_loader(jobs, batches, workers=more["workers"], device=cpu, collate_fn=sum))


def recipe_config(recipe: str, changes: list[str]) -> dict[str, Any]:
    """Plain data of conf/augment/<recipe>.yaml, with ``key=value`` changes.

    Raises:
        ValueError: a key that the recipe does not have.
    """
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose(f"augment/{recipe}", [f"augment.{change}" for change in changes])
    except HydraException as error:
        raise ValueError(" ".join(str(error).split())) from None
    return dict(plain(config.augment))


def _open(destination: Path, about: dict[str, Any], labels: LabelMap) -> None:
    """Begin or go on: what lies there must have been made alike."""
    path = destination / "recipe.json"
    if path.exists():
        found = json.loads(path.read_text())
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
    elif any(destination.iterdir()):
        raise ValueError(f"'{destination}' is not empty and has no recipe.json; give a new folder")
    write_json(path, about | {"version": seg.__version__})
    (destination / "masks").mkdir(exist_ok=True)
    labels.save(destination / "masks" / "labels.yaml")


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
        rows.append(
            (f"{p.name}.png", f"{p.name}.png", p.image.resolve(), p.mask.resolve(), recipe, seed, copy + 1, index)
        )
    return rows


@dataclass
class Jobs(Dataset[int]):
    """Item i writes the i-th copy, unless it is there, and says whether it did."""

    pairs: list[Pair]
    made: list[Pair]
    destination: Path
    data: SegmentationDataset

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, number: int) -> int:
        copy, index = divmod(number, len(self.pairs))
        image_file, mask_file = (
            self.destination / kind / f"{self.made[number].name}.png" for kind in ("images", "masks")
        )
        if mask_file.exists() and image_file.exists():
            return 0
        # the copy in place of the epoch; counted from 1 of 1, whatever ramps is at its end
        image, mask = self.data.transformed((copy + 1, index))
        write_png(image_file, image.permute(1, 2, 0).numpy())
        write_png(mask_file, mask.numpy())
        return 1


if __name__ == "__main__":
    sys.exit(main())
