"""Rendered street scenes with RGB label maps: a dataset that needs no download.

Everything is drawn from far to near through one pinhole camera, so place and shape tell classes apart where
colour does not. A scene depends on its seed and options alone and has the same bytes everywhere: it uses
PCG64 `random()` and `integers()` draws, + - * /, and integer rasterisation only.

Shares of scenes 0..199 at the default size, in percent: road 34.8, pavement 6.3, building 31.4, sky 13.4,
vegetation 6.7, vehicle 2.7, pole 0.62, person 0.62, sign 0.21, fence 0.65, void 2.6.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.files import checks, write_json, write_png
from seg.images import Image
from seg.labels import IGNORE, Label, LabelMap
from seg.synthetic.street import CLASSES, Rng, Street, paint

LABELS = LabelMap([*(Label(n, (c,)) for n, c in CLASSES.items()), Label("void", ((0, 0, 0),), ignore=True)])


# Texture of each class: fine grain, spots of 4 pixels, patches of 20 pixels.
_TEXTURE = np.zeros((3, 256), np.int16)
_TEXTURE[0, : len(CLASSES)] = 10, 12, 8, 2, 30, 4, 6, 8, 4, 12
_TEXTURE[1, : len(CLASSES)] = 7, 12, 9, 2, 30, 4, 0, 16, 4, 10
_TEXTURE[2, : len(CLASSES)] = 12, 12, 16, 8, 18, 12, 8, 8, 6, 8


_SPLIT = 1_000_000  # scene seeds set aside for each split

THINGS = ("vehicle", "person")
"""Classes whose objects are known one by one."""


class Thing(NamedTuple):
    """A vehicle or person, as far as it can be seen.

    Attributes:
        index: of its class.
        box: left, top, width and height in pixels.
        area: pixels.
    """

    index: int  # type: ignore[assignment]  # of the tuple method that nobody needs here
    box: tuple[int, int, int, int]
    area: int


def _noise(rng: Rng, height: int, width: int, cell: int) -> NDArray[np.int16]:
    """Make value noise in -128..127 with features of `cell` pixels."""
    small = rng.integers(0, 256, (height // cell + 2, width // cell + 2), np.uint8)
    full = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return full.astype(np.int16) - 128


def _box_blur(image: Image, radius: float) -> Image:
    """Blur by a box; a fractional radius mixes the two whole ones around it."""
    low, share = int(radius), int((radius - int(radius)) * 256)
    inner, outer = (cv2.blur(image, (2 * r + 1, 2 * r + 1)).astype(np.int32) for r in (low, low + 1))
    return ((inner * (256 - share) + outer * share + 128) >> 8).astype(np.uint8)


def _develop(street: Street, light: Rng, grain: Rng, blur: float) -> Image:
    """Apply textures, exposure, colour temperature, light from one side, blur and sensor noise."""
    height, width = street.mask.shape
    delta = np.zeros((height, width), np.int16)
    for strength, cell in zip(_TEXTURE, (1, 4, 20), strict=True):
        delta += _noise(light, height, width, cell) * strength[street.mask] // 64
    exposure, warmth, slant = light.between(190, 300), light.between(-22, 22), light.between(-40, 40)
    gains = np.array([exposure + warmth, exposure, exposure - warmth]).astype(np.int32)
    slope = 256 + (np.arange(-width, width, 2) * slant / width).astype(np.int32)
    image = ((street.image + delta[..., None]) * gains >> 8) * slope[:, None] >> 8
    image = _box_blur(image.clip(0, 255).astype(np.uint8), blur).astype(np.int16)
    level = int(grain.between(2, 14))
    speckle = grain.integers(-level, level + 1, (2, *image.shape), np.int8)
    noisy: Image = (image + speckle[0] + speckle[1]).clip(0, 255).astype(np.uint8)
    return noisy


def _swap_labels(mask: Image, rng: Rng, share: float) -> None:
    """Give `share` of the labelled pixels another class, block by block in random order."""
    height, width = mask.shape
    small = height // 4 + 1, width // 4 + 1
    order, wrong = rng.random(small), rng.integers(0, len(CLASSES), small, np.uint8)
    rows, columns = np.nonzero(mask != IGNORE)
    first = order[rows // 4, columns // 4].argsort(kind="stable")[: int(share * len(rows) + 0.5)]
    rows, columns = rows[first], columns[first]
    new = wrong[rows // 4, columns // 4]
    mask[rows, columns] = np.where(new == mask[rows, columns], (new + 1) % len(CLASSES), new)


def _check(seed: int, height: int, width: int, imbalance: float, blur: float, label_noise: float) -> None:
    checks.whole("seed", seed, 0)
    checks.whole("height", height, 32, remedy="enlarge it")
    checks.whole("width", width, 32, remedy="enlarge it")
    checks.number("imbalance", imbalance, least=0.2, most=1e6, remedy="give 1 for the shares as designed")
    checks.number("blur", blur, least=0, most=32, what="a radius in pixels")
    checks.share("label_noise", label_noise)


def render_scene(
    seed: int,
    *,
    height: int = 192,
    width: int = 288,
    imbalance: float = 1.0,
    blur: float = 0.0,
    label_noise: float = 0.0,
) -> tuple[Image, Image]:
    """Draw one scene.

    Args:
        seed: 0 or more.
        height, width: pixels, 32 or more.
        imbalance: 2 halves the number of vehicles, people, poles, signs and fences; 0.2 to 1e6.
        blur: radius in pixels, 0..32, over which image colours mix across boundaries; the mask stays sharp.
        label_noise: share 0..1 of the labelled pixels that get another class, in blocks of 4 x 4 pixels.

    Returns:
        image (H, W, 3) uint8 RGB; mask (H, W) uint8, 255 = void.

    Raises:
        ValueError: an argument out of range.
    """
    image, mask, _ = _render(seed, height, width, imbalance, blur, label_noise)
    return image, mask


def _render(
    seed: int, height: int, width: int, imbalance: float, blur: float, label_noise: float
) -> tuple[Image, Image, list[Thing]]:
    _check(seed, height, width, imbalance, blur, label_noise)
    layout, back, traffic, walkers, light, grain, wrong = Rng.streams(seed, 7, 7)
    street = paint(layout, back, traffic, walkers, height=height, width=width, imbalance=imbalance)
    image, things = _develop(street, light, grain, blur), _things(street)
    if label_noise:
        _swap_labels(street.mask, wrong, label_noise)
    return image, street.mask, things


def _things(street: Street) -> list[Thing]:
    things = []
    for number in range(1, int(street.things.max()) + 1):
        own = (street.things == number).view(np.uint8)
        x, y, width, height = cv2.boundingRect(own)
        if width:  # not hidden by what is nearer
            index = int(street.mask[own.view(bool)][0])
            things.append(Thing(index, (x, y, width, height), int(own.sum())))
    return things


def scene_things(
    seed: int, *, height: int = 192, width: int = 288, imbalance: float = 1.0
) -> tuple[Image, list[Thing]]:
    """Return the vehicles and persons of one scene from far to near, each by itself; the mask has one class for all.

    Args:
        seed, height, width, imbalance: see `render_scene`.

    Returns:
        number of the vehicle or person at each pixel (H, W) uint8, 0 = none; those that can be seen.

    Raises:
        ValueError: an argument out of range.
    """
    _check(seed, height, width, imbalance, 0, 0)
    layout, back, traffic, walkers = Rng.streams(seed, 4, 7)
    street = paint(layout, back, traffic, walkers, height=height, width=width, imbalance=imbalance)
    return street.things, _things(street)


def write_dataset(
    destination: str | os.PathLike[str],
    *,
    train: int = 160,
    val: int = 48,
    seed: int = 0,
    height: int = 192,
    width: int = 288,
    imbalance: float = 1.0,
    blur: float = 0.0,
    label_noise: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``{train,val}/{images,labels}/scene_00000.png`` and ``labels.yaml``, each whole or not at all.

    And ``{train,val}/boxes.json`` in COCO's form: the box of every vehicle and person as far as it can be seen, exact,
    also where the mask cannot tell it from its neighbours, or has label noise.

    Args:
        destination: folder, made if missing; scenes of the same number are overwritten, others stay.
        train, val: number of scenes; the splits share no scene, nor do datasets of different seeds.
        seed, height, width, imbalance, blur: see `render_scene`.
        label_noise: see `render_scene`; train only.
        progress: called with (scenes written, scenes in all) after each scene.

    Raises:
        ValueError: an argument out of range.
    """
    _check(seed, height, width, imbalance, blur, label_noise)
    if not (0 <= train < _SPLIT and 0 <= val < _SPLIT):
        raise ValueError(f"train and val: expected 0 to {_SPLIT - 1} scenes, got {train} and {val}; choose others")
    root, palette = Path(destination), np.zeros((256, 3), np.uint8)
    for color, index in LABELS.colors:
        palette[index] = color
    boxes: dict[str, list[tuple[str, list[Thing]]]] = {"train": [], "val": []}
    jobs = [("train", i, 2 * seed * _SPLIT + i, label_noise) for i in range(train)]
    jobs += [("val", i, (2 * seed + 1) * _SPLIT + i, 0.0) for i in range(val)]
    root.mkdir(parents=True, exist_ok=True)
    for done, (split, i, scene_seed, noise) in enumerate(jobs, start=1):
        image, mask, things = _render(scene_seed, height, width, imbalance, blur, noise)
        name = f"scene_{i:05d}.png"
        write_png(root / split / "images" / name, image)
        write_png(root / split / "labels" / name, palette[mask])
        boxes[split].append((name, things))
        if progress is not None:
            progress(done, len(jobs))
    for split, scenes in boxes.items():
        if scenes:
            write_json(root / split / "boxes.json", _as_coco(scenes, height, width))
    LABELS.save(root / "labels.yaml")


def _as_coco(scenes: Sequence[tuple[str, list[Thing]]], height: int, width: int) -> dict[str, Any]:
    """Return COCO's form: all ids begin at 1; a category is one more than its class index."""
    things = [(number, thing) for number, (_, shown) in enumerate(scenes, start=1) for thing in shown]
    return {
        "images": [
            {"id": number, "file_name": name, "height": height, "width": width}
            for number, (name, _) in enumerate(scenes, start=1)
        ],
        "categories": [{"id": LABELS.names.index(name) + 1, "name": name} for name in THINGS],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": thing.index + 1,
                "bbox": list(thing.box),
                "area": thing.area,
                "iscrowd": 0,
            }
            for number, (image, thing) in enumerate(things, start=1)
        ],
    }
