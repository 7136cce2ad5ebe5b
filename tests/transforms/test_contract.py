"""What every transform and every recipe keeps: those exported by `seg.transforms` and in conf/augment, newcomers too.

python -m pytest tests/transforms/test_contract.py
"""

import inspect
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import shown_files
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from seg import transforms
from seg.commands.cli import plain

CONF = Path(__file__).resolve().parents[2] / "conf"
RECIPES = sorted(path.stem for path in (CONF / "augment").glob("*.yaml"))

MORE: dict[str, list[dict[str, Any]]] = {
    "Affine": [{"degrees": 30, "translate": 0.2, "scale": (0.7, 1.5), "shear": 10}],
    "Cutout": [{"size": 12, "label": "ignore"}],
    "Flip": [{"vertical": True}],
    "GridMask": [{"d_min": 8, "d_max": 12, "ratio": 0.5, "label": "ignore"}],
    "Mosaic": [{"size": (30, 34)}],
    "RandomErasing": [{"label": "ignore"}],
    "Rotate": [{"degrees": 40}],
    "ScaleCrop": [{"size": (32, 64), "scale": (0.4, 2.0), "wanted": 0.5}],
}
"""Further arguments than those in recipes; transforms that no recipe has, such as Rotate, are named here."""

PARTS = {"Compose", "Transform", "classmix", "cutmix", "mosaic"}
"""Exports that are no steps of a recipe: what holds the steps, their type, and mixes of a batch."""

WITHOUT_P = {"ColorJitter", "Pad", "ScaleCrop"}
"""Transforms that always do something."""


@cache
def recipe(name: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return dict(plain(compose(f"augment/{name}").augment))


def steps(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Target and arguments of everything in a recipe, at any depth."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"], {key: value for key, value in node.items() if key != "_target_"}
        for value in node.values():
            yield from steps(value)


USED = {target: arguments for name in RECIPES for target, arguments in steps(recipe(name))}
CLASSES = sorted(name for name in transforms.__all__ if name not in PARTS)


def make(name: str, number: int = 0, **more: Any) -> Any:
    """A transform by its name: with the arguments of a recipe, or else the further ones of that number."""
    kind, options = getattr(transforms, name), arguments_of(name)[number]
    return kind(**options, **{key: value for key, value in more.items() if key in inspect.signature(kind).parameters})


def arguments_of(name: str) -> list[dict[str, Any]]:
    """Every choice of arguments to try, without ``p``."""
    used = USED.get(f"seg.transforms.{name}")
    found = [*([used] if used is not None else []), *MORE.get(name, [])]
    return [{key: value for key, value in options.items() if key != "p"} for options in found]


def shown() -> Any:
    """The transform of the documentation."""
    namespace: dict[str, Any] = {}
    exec(shown_files(transforms)["my_transforms.py"], namespace)
    return namespace["HalfTurn"](p=1.0)


ALL: dict[str, Callable[[], Any]] = {
    **{
        f"{name} {number}" if number else name: lambda name=name, number=number: make(name, number, p=1.0)
        for name in CLASSES
        for number in range(len(arguments_of(name)))
    },
    **{f"augment={name}": lambda name=name: instantiate(recipe(name), _convert_="all") for name in RECIPES},
    "help(seg.transforms)": shown,
}

COUNT, HEIGHT, WIDTH = 3, 64, 96


def scenes() -> tuple[Tensor, Tensor, Tensor]:
    """Images (3, 3, H, W), masks (3, H, W) uint8, and numbers (3, H, W) int32: each pixel has one, ignored ones 0."""
    rng = np.random.default_rng(0)
    noise = [cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH)), (0, 0), 3) for _ in range(COUNT)]
    gray = [cv2.normalize(values, None, 60, 180, cv2.NORM_MINMAX).astype(np.uint8) for values in noise]
    images = torch.from_numpy(np.stack(gray))[..., None].repeat(1, 1, 1, 3).permute(0, 3, 1, 2)
    numbers = 1 + torch.arange(COUNT * HEIGHT * WIDTH, dtype=torch.int32).view(COUNT, HEIGHT, WIDTH)
    masks = (numbers // 5 % 7).to(torch.uint8)
    masks[:, :3], numbers[:, :3] = 255, 0
    return images, masks, numbers


def apply(transform: Any, images: Tensor, masks: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The first sample after the transform, into which the others may be mixed; at the end of what ramps."""
    steps = transforms.Compose(it=transform)
    steps.set_source(lambda index: (images[index], masks[index]), COUNT)
    steps.set_progress(1, 1)
    torch.manual_seed(seed)
    return steps(images[0], masks[0])


def test_exports_and_recipes_are_one() -> None:
    """Each export can be chosen on the command line, and what recipes name is exported."""
    for name in CLASSES:
        assert arguments_of(name), f"use seg.transforms.{name} in a recipe of conf/augment, or name it in MORE or PARTS"
    assert PARTS | set(MORE) <= set(transforms.__all__), "no longer exported: take it out of PARTS or MORE"
    for target in USED:
        room, _, name = target.rpartition(".")
        assert room == "seg.transforms", f"{target}: write seg.transforms.NAME, as other recipes do"
        assert name in transforms.__all__, f"export {name} in seg/transforms/__init__.py, and add it to __all__"


@pytest.mark.parametrize("name", ALL)
def test_types_stay_and_inputs_too(name: str) -> None:
    images, masks, numbers = scenes()
    for given, labels in ((images, masks), (images.float() / 255, masks), (images, masks.int() | numbers << 8)):
        before = given.clone(), labels.clone()
        for seed in range(4):
            image, mask = apply(ALL[name](), given, labels, seed)
            assert (image.dtype, mask.dtype) == (given.dtype, labels.dtype), f"{name}: keep the types"
            assert (len(image), image.shape[1:]) == (3, mask.shape), f"{name}: image and mask are of one size"
            assert torch.equal(given, before[0]), f"{name} writes to its image: clone it first"
            assert torch.equal(labels, before[1]), f"{name} writes to its mask: clone it first"


@pytest.mark.parametrize("name", ALL)
def test_no_label_is_invented_and_numbers_move_with_their_pixels(name: str) -> None:
    """Ignored pixels stay ignored or are new; a mask with numbers says the same of classes, and of the image."""
    images, masks, numbers = scenes()
    classes = masks.flatten()
    for seed in range(4):
        image, mask = apply(ALL[name](), images, masks, seed)
        assert set(mask.unique().tolist()) <= {*range(7), 255}, f"{name}: take labels by the nearest pixel"
        other, packed = apply(ALL[name](), images, masks.int() | numbers << 8, seed)
        assert torch.equal(image, other), f"{name}: draw the same, whatever the type of the mask"
        assert torch.equal(mask, packed.byte()), f"{name}: the class is the lowest byte of an int32 mask (mask.byte())"
        left = packed >> 8
        assert not left[mask == 255].any(), (
            f"{name}: an ignored pixel has no number: set it to 255, not its lowest byte"
        )
        labelled = left[mask != 255].long() - 1
        assert (labelled >= 0).all(), f"{name} gives ignored pixels a label"
        assert torch.equal(mask[mask != 255], classes[labelled]), f"{name}: move class and number together"


@pytest.mark.parametrize("name", ALL)
def test_image_and_mask_stay_in_step(name: str) -> None:
    """The numbers in the mask tell where each pixel comes from, and there the image looks alike."""
    images, masks, numbers = scenes()
    brightness, alike = images[:, 0].flatten().double(), []
    made = ALL[name]()
    for step in getattr(made, "transforms", {"it": made}).values():
        if hasattr(step, "label"):
            step.label = "ignore"  # of what is erased: where it is kept, nothing is to be seen
    for seed in range(10):
        image, packed = apply(made, images, masks.int() | numbers << 8, seed)
        left = (packed >> 8).long()
        if int((left > 0).sum()) > 100:
            pairs = torch.stack([image[0][left > 0].double(), brightness[left[left > 0] - 1]])
            alike.append(float(torch.corrcoef(pairs)[0, 1]))
    assert alike, f"{name}: nothing is left of the image"
    assert np.median(alike) > 0.5, f"{name}: image and mask move apart"  # light leaves 0.76, a flip of one alone 0.0


@pytest.mark.parametrize("name", ALL)
def test_the_torch_seed_decides(name: str) -> None:
    images, masks, _ = scenes()
    found = []
    for other in (0, 1):
        random.seed(other)
        np.random.seed(other)  # noqa: NPY002
        found.append([apply(ALL[name](), images, masks, seed) for seed in (5, 6)])
    for (image, mask), (again, labels) in zip(*found, strict=True):
        assert torch.equal(image, again), f"{name}: draw from torch alone, as seg.transforms.draw does"
        assert torch.equal(mask, labels), f"{name}: draw from torch alone, as seg.transforms.draw does"


@pytest.mark.parametrize("name", CLASSES)
def test_p_0_does_nothing(name: str) -> None:
    takes = "p" in inspect.signature(getattr(transforms, name)).parameters
    assert takes != (name in WITHOUT_P), f"{name}: take p, the probability per image, or name it in WITHOUT_P"
    if takes:
        images, masks, _ = scenes()
        image, mask = apply(make(name, p=0.0), images, masks)
        assert torch.equal(image, images[0])
        assert torch.equal(mask, masks[0])
