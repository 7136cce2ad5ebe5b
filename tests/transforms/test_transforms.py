"""Images that encode their own label, so that any desynchronisation of image and mask shows.

python -m pytest tests/transforms/test_transforms.py
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from seg.transforms import (
    Affine,
    Blur,
    ClassMix,
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    Elastic,
    Flip,
    GridMask,
    Illumination,
    Mosaic,
    Noise,
    Pad,
    RandomErasing,
    Rotate,
    ScaleCrop,
    classmix,
    cutmix,
    mosaic,
)
from seg.transforms.geometry import _resized
from seg.transforms.warp import _remapped


def coded(height: int = 60, width: int = 84) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks of constant classes 1..9; the first channel is 20 times the class, nothing is 0."""
    mask = (
        1 + torch.arange(3).repeat_interleave(height // 3)[:, None] * 3 + torch.arange(3).repeat_interleave(width // 3)
    )
    return (20 * mask).to(torch.uint8).expand(3, -1, -1).contiguous(), mask.to(torch.uint8)


def in_step(image: torch.Tensor, mask: torch.Tensor) -> float:
    """Share of the pixels where image and mask say the same (not all: bilinear blends at borders of blocks)."""
    labelled = mask != 255
    assert not image[:, ~labelled].any()  # what is not covered is 0 in the image and ignored in the mask
    return float((image[0][labelled].int() == 20 * mask[labelled].int()).float().mean())


@pytest.mark.parametrize("size", [None, (64, 96), (32, 160)])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 2.0), (0.2, 0.3)])
def test_scale_crop_keeps_step(size: tuple[int, int] | None, scale: tuple[float, float]) -> None:
    torch.manual_seed(0)
    image, mask = coded()
    before = image.clone(), mask.clone()
    for _ in range(20):
        out, labels = ScaleCrop(size=size, scale=scale)(image, mask)
        assert out.shape == (3, *(size or (32, 64)))
        assert labels.shape == out.shape[1:]
        assert (out.dtype, labels.dtype) == (torch.uint8, torch.uint8)
        assert in_step(out, labels) > 0.5  # a flip or shift of one alone leaves far less
        assert set(labels.unique().tolist()) <= {*range(1, 10), 255}  # never an invented class
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


def test_small_images_lie_anywhere_in_the_window() -> None:
    torch.manual_seed(0)
    image, mask = coded()
    corners = [
        ScaleCrop(size=(64, 96), scale=(0.5, 0.5))(image, mask)[1][[0, 0, -1, -1], [0, -1, 0, -1]] for _ in range(50)
    ]
    uncovered = (torch.stack(corners) == 255).float().mean(0)
    assert (uncovered > 0.5).all()


def test_scale_crop_without_scaling_is_exact() -> None:
    image, mask = coded(96, 96)
    out, labels = ScaleCrop(scale=(1.0, 1.0))(image, mask)
    assert torch.equal(out, image)
    assert torch.equal(labels, mask)
    out, labels = ScaleCrop(size=(128, 32), scale=(1.0, 1.0))(image, mask)
    assert in_step(out, labels) == 1.0
    assert int((labels == 255).sum()) == 32 * 32


def test_wanted_windows_hold_a_class_that_is_drawn_from_all() -> None:
    mask = torch.zeros((800, 800), dtype=torch.uint8)
    mask[400:] = 255
    mask[0, 799] = mask[20, 30] = 1  # two pixels, and yet in half of the windows
    image = mask.expand(3, -1, -1).contiguous()
    torch.manual_seed(0)
    crop = ScaleCrop(size=(32, 32), scale=(1.0, 1.0), wanted=1.0)
    shown = [crop(image, mask)[1] for _ in range(2000)]
    assert all((labels != 255).any() for labels in shown)
    places = np.array([place[0].tolist() for labels in shown if len(place := torch.argwhere(labels == 1))])
    assert abs(len(places) / 2000 - 0.5) < 4 * 0.5 / 2000**0.5 + 0.005  # four sigma, and windows that show it by chance
    inner = places[places[:, 1] != 31]  # of the pixel that is not in a corner of the image
    assert abs(len(inner) / len(places) - 0.5) < 4 * 0.5 / len(places) ** 0.5
    assert set(inner[:, 0]) == set(range(21))  # anywhere in the window, which cannot begin above the image
    assert set(inner[:, 1]) == set(range(31))
    for wanted, scale in ((0.33, (0.5, 2.0)), (1.0, (0.5, 2.0))):
        out, labels = ScaleCrop(size=(32, 64), scale=scale, wanted=wanted)(image, torch.full_like(mask, 255))
        assert out.shape == (3, *labels.shape) == (3, 32, 64)  # nothing to choose from


def test_no_window_is_wanted_by_default() -> None:
    image, mask = coded()
    found = []
    for crop in (ScaleCrop(), ScaleCrop(wanted=0.0)):
        torch.manual_seed(0)
        found.append((crop(image, mask)[1], torch.rand(1)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_flip() -> None:
    image, mask = coded()
    out, labels = Flip(p=1.0)(image, mask)
    assert torch.equal(out.flip(-1), image)
    assert torch.equal(labels.flip(-1), mask)
    assert Flip(p=0.0)(image, mask)[0] is image
    torch.manual_seed(0)
    flipped = sum(not torch.equal(Flip(p=0.3)(image, mask)[1], mask) for _ in range(2000))
    assert abs(flipped / 2000 - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5  # four sigma


def test_pad() -> None:
    image, mask = coded()
    out, labels = Pad(multiple=32)(image, mask)
    assert labels.shape == (64, 96)
    assert in_step(out, labels) == 1.0
    assert int((labels == 255).sum()) == 64 * 96 - 60 * 84


def test_color_jitter_stays_in_range_and_leaves_the_mask() -> None:
    torch.manual_seed(0)
    image, mask = coded()
    out, labels = ColorJitter(hue=0.2)(image, mask)
    assert labels is mask
    assert out.dtype == torch.uint8
    assert not torch.equal(out, image)
    assert ColorJitter(brightness=0, contrast=0, saturation=0)(image, mask)[0] is image


def test_colors_change_in_every_order() -> None:
    """Clipping tells which change came first."""
    image = torch.tensor([200, 0], dtype=torch.uint8).view(1, 1, 2)
    jitter = ColorJitter(brightness=1, contrast=1, saturation=0)
    balance = 0
    for seed in range(400):
        torch.manual_seed(seed)
        out, _ = jitter(image, image[0])
        torch.manual_seed(seed)
        brightness, contrast = (float(torch.empty(()).uniform_(0, 2)) for _ in range(2))
        factors = [(F.adjust_brightness, brightness), (F.adjust_contrast, contrast)]
        results = []
        for order in (factors, factors[::-1]):
            expected = image.double() / 255
            for adjust, factor in order:
                expected = adjust(expected, factor)
            results.append(float((out - expected * 255).abs().max()) <= 2.01)
        assert any(results)
        balance += results[0] - results[1]
    assert abs(balance) < 4 * 400**0.5


def test_compose_order_and_gaps() -> None:
    image, mask = coded()
    out, _ = Compose(color=None, flip=Flip(p=1.0), pad=Pad())(image, mask)
    assert torch.equal(out[:, :60, :84], image.flip(-1))


def test_randomness_is_torchs() -> None:
    image, mask = coded()
    recipe = Compose(flip=Flip(), crop=ScaleCrop(), color=ColorJitter())
    torch.manual_seed(3)
    first = recipe(image, mask)
    torch.manual_seed(3)
    second = recipe(image, mask)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_bad_options() -> None:
    with pytest.raises(ValueError, match=r"p: expected a share from 0 to 1, got 2"):
        Flip(p=2)
    with pytest.raises(ValueError, match=r"size: expected \[HEIGHT,WIDTH\] in multiples of 32 pixels, got \[100, 64\]"):
        ScaleCrop(size=(100, 64))
    with pytest.raises(ValueError, match=r"scale: expected two numbers, 0 < least <= greatest, got \[2, 1\]"):
        ScaleCrop(scale=(2, 1))
    with pytest.raises(ValueError, match="contrast: expected a number of at least 0, got -1"):
        ColorJitter(contrast=-1)
    with pytest.raises(ValueError, match="multiple: expected a whole number of at least 1, got 0"):
        Pad(multiple=0)


GEOMETRIC: dict[str, Callable[[], Any]] = {
    "flip": lambda: Flip(p=0.5),
    "vertical": lambda: Flip(p=0.5, vertical=True),
    "crop": lambda: ScaleCrop(),
    "pad": lambda: Pad(),
    "rotate": lambda: Rotate(degrees=45, p=1),
    "affine": lambda: Affine(degrees=20, translate=0.2, scale=(0.7, 1.4), shear=15, p=1),
    "elastic": lambda: Elastic(alpha=60, sigma=4, p=1),
}
ERASING: dict[str, Callable[[], Any]] = {
    "cutout": lambda: Cutout(15, holes=2, label="ignore"),
    "share": lambda: Cutout((0.3, 0.5), label="ignore"),
    "gridmask": lambda: GridMask(10, 20, 0.6, label="ignore"),
    "erasing": lambda: RandomErasing(p=1, label="ignore"),
}
PHOTOMETRIC: dict[str, Callable[[], Any]] = {
    "color": lambda: ColorJitter(hue=0.1),
    "illumination": lambda: Illumination(p=1),
    "blur": lambda: Blur(p=1),
    "noise": lambda: Noise(p=1),
    "keep": lambda: Cutout(9),
    "noisy": lambda: RandomErasing(p=1, fill=None),
}
ALL = GEOMETRIC | ERASING | PHOTOMETRIC
SIZES = [(60, 84), (61, 37), (33, 1), (1, 1)]


def smooth(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A class a pixel that grows downwards and to the right, the image twice that: off by a pixel is off by a class."""
    mask = (1 + torch.arange(height)[:, None] + torch.arange(width)).clamp(max=120).to(torch.uint8)
    return (2 * mask).expand(3, -1, -1).contiguous(), mask


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ALL)
def test_nothing_is_written_nor_invented(name: str, size: tuple[int, int]) -> None:
    """Any size, any memory layout, bytes and floats: types stay, inputs too, and so does the set of classes."""
    image, mask = smooth(*size)
    image = image * 2 % 251 + torch.tensor([0, 1, 2], dtype=torch.uint8).view(3, 1, 1)
    strided = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    for seed in range(5):
        results = []
        for given in (image, strided, image.float() / 255):
            before = given.clone(), mask.clone()
            torch.manual_seed(seed)
            out, labels = ALL[name]()(given, mask)
            assert torch.equal(given, before[0])
            assert torch.equal(mask, before[1])
            assert (out.dtype, labels.dtype) == (given.dtype, torch.uint8)
            assert out.shape[1:] == labels.shape
            assert set(labels.unique().tolist()) <= {*mask.unique().tolist(), 255}
            results.append((out, labels))
        assert torch.equal(results[0][0], results[1][0]), "the layout in memory must not matter"
        for _, labels in results[1:]:
            assert torch.equal(labels, results[0][1])
        if name != "noisy":  # its noise is not drawn alike
            assert (results[2][0] * 255 - results[0][0]).abs().mean() < 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", GEOMETRIC | ERASING)
def test_image_and_mask_move_together(name: str, size: tuple[int, int]) -> None:
    """Where a pixel has a class, the image is twice that, give or take the half pixel that interpolation smooths."""
    torch.manual_seed(1)
    image, mask = smooth(*size)
    for _ in range(10):
        out, labels = ALL[name]()(image, mask)
        known = labels != 255
        assert not out[:, ~known].any()
        off = (out[0][known].float() - 2 * labels[known].float()).abs()
        assert off.numel() == 0 or off.max() <= (3.1 if name in ("crop", "rotate", "affine", "elastic") else 0)


@pytest.mark.parametrize("kind", [Flip, Rotate, Affine, Elastic, Illumination, Blur, Noise, RandomErasing])
def test_p_is_a_share_of_the_images(kind: Any) -> None:
    torch.manual_seed(0)
    image, mask = smooth(12, 14)
    with_effect = {Affine: {"degrees": 30.0}}.get(kind, {})
    changed = sum(kind(p=0.3, **with_effect)(image, mask)[0] is not image for _ in range(1000))
    assert abs(changed / 1000 - 0.3) < 4 * (0.3 * 0.7 / 1000) ** 0.5
    assert kind(p=0.0)(image, mask) == (image, mask)


def test_resizing_upwards_is_torchvisions() -> None:
    image = torch.randint(256, (3, 40, 60), dtype=torch.uint8)
    mask = torch.randint(9, (40, 60), dtype=torch.uint8)
    for size in ((64, 96), (80, 120), (41, 60), (23, 31)):
        out, labels = _resized(image, mask, size)
        expected = F.resize(image, list(size), antialias=True)
        assert int((out.int() - expected.int()).abs().max()) <= 1
        assert torch.equal(labels, F.resize(mask[None], list(size), F.InterpolationMode.NEAREST_EXACT)[0])


@pytest.mark.parametrize("only", ["brightness", "contrast", "saturation"])
def test_colors_of_bytes_are_torchvisions(only: str) -> None:
    """Torchvision cuts fractions off and these round: up to a level, in contrast that of the mean as well."""
    image = torch.randint(256, (3, 31, 45), dtype=torch.uint8)
    jitter = ColorJitter(**{**dict.fromkeys(("brightness", "contrast", "saturation"), 0.0), only: 0.8})
    for seed in range(10):
        torch.manual_seed(seed)
        out, _ = jitter(image, image[0])
        torch.manual_seed(seed)
        factor = float(torch.empty(()).uniform_(0.2, 1.8))
        expected = getattr(F, f"adjust_{only}")(image.double() / 255, factor) * 255
        assert (out - expected).abs().max() <= 1.01


def test_warps_by_whole_pixels_are_exact() -> None:
    image, mask = smooth(9, 12)
    y, x = np.mgrid[:9, :12].astype(np.float32)
    out, labels = _remapped(image, mask, 11 - x, 8 - y)
    assert torch.equal(labels, mask.flip(0, 1))
    assert torch.equal(out, image.flip(1, 2))
    out, labels = _remapped(image, mask, x + 3, y - 2)
    assert torch.equal(labels[2:, :-3], mask[:-2, 3:])
    assert (labels == 255).sum() == labels.numel() - 7 * 9


@pytest.mark.parametrize("degrees", [30.0, 90.0])
def test_angles_are_uniform(degrees: float) -> None:
    """Told from where the mark at the right of the centre goes."""
    image, mask = torch.zeros(1, 101, 101), torch.ones(101, 101, dtype=torch.uint8)
    mask[47:54, 87:94] = 2
    torch.manual_seed(0)
    angles = []
    for _ in range(300):
        _, labels = Rotate(degrees=degrees, p=1)(image, mask)
        y, x = (labels == 2).nonzero().double().mean(0) - 50
        angles.append(torch.rad2deg(torch.atan2(y, x)))
    found = torch.stack(angles)
    assert found.abs().max() <= degrees + 1
    assert abs(found.mean()) < 4 * degrees / 3**0.5 / 300**0.5
    assert abs(found.square().mean() / (degrees**2 / 3) - 1) < 4 * (4 / 5) ** 0.5 / 300**0.5


def dropped(transform: Any, height: int, width: int, rounds: int) -> torch.Tensor:
    """Which pixels are ignored in each round (rounds, H, W)."""
    image, mask = torch.ones(1, height, width), torch.ones(height, width, dtype=torch.uint8)
    return torch.stack([transform(image, mask)[1] == 255 for _ in range(rounds)])


@pytest.mark.parametrize(("size", "area"), [(15, 225), (14, 196), (1, 1), ((15, 4), 60), ((0.25, 0.5), 12 * 32)])
def test_cutout_area(size: Any, area: int) -> None:
    """Holes that fit have their size exactly; the others are clipped as a uniform centre has it."""
    torch.manual_seed(0)
    height, width = 48, 64
    holes = dropped(Cutout(size, label="ignore"), height, width, 2000)
    areas = holes.sum((1, 2)).double()
    assert int(areas.max()) == area
    in_pixels = (12, 32) if size == (0.25, 0.5) else size if isinstance(size, tuple) else (size, size)
    rows, columns = (
        torch.tensor([min(c - n // 2 + n, side) - max(c - n // 2, 0) for c in range(side)], dtype=torch.float64)
        for side, n in ((height, in_pixels[0]), (width, in_pixels[1]))
    )
    expected = torch.outer(rows, columns)
    assert abs(areas.mean() - expected.mean()) <= 4 * expected.std() / 2000**0.5
    assert abs((areas == area).double().mean() - (expected == area).double().mean()) < 4 * 0.5 / 2000**0.5


def test_cutout_fill_and_holes() -> None:
    image, mask = coded()
    torch.manual_seed(0)
    out, labels = Cutout(15, fill=(1.0, 0.0, 0.5))(image, mask)
    assert labels is mask
    changed = (out != image).any(0)
    assert out[:, changed][:, 0].tolist() == [255, 0, 128]
    many = dropped(Cutout(5, holes=4, label="ignore"), 60, 84, 50)
    assert many.sum((1, 2)).max() == 100
    with pytest.raises(ValueError, match="fill: expected 1 number or 3, one for each channel, got 2"):
        Cutout(5, fill=(0.1, 0.2))(image, mask)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize(("low", "high"), [(7, 7), (8, 19)])
def test_gridmask_keeps_its_area(ratio: float, low: int, high: int) -> None:
    torch.manual_seed(0)
    kept = 1 - dropped(GridMask(low, high, ratio, label="ignore"), 45, 61, 600).double().mean((1, 2))
    sigma = kept.std() / 600**0.5
    assert abs(kept.mean() - (1 - (1 - ratio) ** 2)) <= 4 * sigma + 1e-9


def test_gridmask_erases_every_pixel_alike_and_in_squares() -> None:
    torch.manual_seed(0)
    holes = dropped(GridMask(10, 10, 0.5, label="ignore"), 33, 47, 3000).double()
    assert (holes.mean(0) - 0.25).abs().max() < 5.5 * (0.25 * 0.75 / 3000) ** 0.5  # the greatest of 1551 pixels
    assert set(holes[:, 10:20, 10:20].sum((1, 2)).tolist()) == {25.0}


def test_gridmask_ramp() -> None:
    torch.manual_seed(0)
    grid = Compose(inner=Compose(grid=GridMask(8, 8, 0.5, label="ignore", p=0.8, ramp=0.5)))
    for step, p in ((0, 0.0), (10, 0.16), (50, 0.8), (90, 0.8)):
        grid.set_progress(step, 100)
        share = float(dropped(grid, 16, 16, 1500).any(2).any(1).double().mean())
        assert abs(share - p) <= 4 * (p * (1 - p) / 1500) ** 0.5


def test_random_erasing_area_and_shape() -> None:
    torch.manual_seed(0)
    holes = dropped(RandomErasing(area=(0.1, 0.2), aspect=(0.5, 2.0), p=0.4, label="ignore"), 90, 110, 2000)
    areas = holes.double().mean((1, 2))
    hit = areas > 0
    assert abs(hit.double().mean() - 0.4) < 4 * (0.24 / 2000) ** 0.5
    assert areas[hit].min() > 0.095
    assert areas[hit].max() < 0.205
    assert abs(areas[hit].mean() - 0.15) < 4 * (0.1 / 12**0.5) / float(hit.sum()) ** 0.5 + 1e-3  # rounding of sides
    tall = holes[hit].any(2).sum(1) > holes[hit].any(1).sum(1)
    assert abs(tall.double().mean() - 0.5) < 4 * 0.5 / float(hit.sum()) ** 0.5 + 0.01  # squares count as wide


def batch(count: int = 4, height: int = 21, width: int = 34) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample i: classes 10 i + 1 .. 10 i + 3 in bands, the image twice the class, the lowest rows unknown."""
    bands = torch.arange(3).repeat_interleave(width // 3 + 1)[:width]
    masks = (10 * torch.arange(count)[:, None, None] + 1 + bands).expand(count, height, width).to(torch.uint8)
    images = (2 * masks)[:, None].expand(-1, 3, -1, -1).contiguous()
    masks = masks.clone()
    masks[:, -4:] = 255
    images[:, :, -4:] = 0
    return images, masks


BATCH: dict[str, Callable[..., Any]] = {
    "cutmix": cutmix,
    "classmix": classmix,
    "mosaic": lambda images, masks: mosaic(images, masks, (25, 31)),
}


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", BATCH)
def test_batch_forms_stay_in_step(name: str, count: int) -> None:
    torch.manual_seed(0)
    images, masks = batch(count)
    before = images.clone(), masks.clone()
    mixed = 0
    for _ in range(20):
        out, labels = BATCH[name](images, masks)
        assert (out.dtype, labels.dtype) == (torch.uint8, torch.uint8)
        known = labels != 255
        assert torch.equal(out[:, 0][known], 2 * labels[known])
        assert not out[:, 0][~known].any()
        mixed += sum(len({v // 10 for v in sample.unique().tolist() if v != 255}) > 1 for sample in labels)
    assert mixed > 5 if count > 1 else mixed == 0
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])
    floats, _ = BATCH[name](images.float(), masks)
    assert floats.dtype == torch.float32


def test_cutmix_area() -> None:
    """With alpha = 1 the box's share is uniform; clipped by half where the centre lies in a corner."""
    torch.manual_seed(0)
    masks = torch.arange(2, dtype=torch.uint8)[:, None, None].expand(2, 64, 64)
    images = masks[:, None].expand(2, 3, 64, 64)
    shares = torch.stack([(cutmix(images, masks)[1][0] == 1).double().mean() for _ in range(1500)])
    side = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000  # of the share; E over a uniform centre
    expected = float((side.sqrt() * (1 - side.sqrt() / 4)).square().mean())
    assert abs(shares.mean() - expected) < 4 * float(shares.std()) / 1500**0.5 + 0.005  # whole pixels


def test_classmix_pastes_half_of_the_classes() -> None:
    torch.manual_seed(0)
    images, masks = batch(2)
    for _ in range(10):
        _, labels = classmix(images, masks)
        assert len({v for v in labels[0].unique().tolist() if 10 < v < 255}) == 2  # of 3, rounded up
        assert torch.equal(labels[0][-4:], masks[0][-4:])  # unknown in the other: not pasted


def test_mosaic_shows_four_samples() -> None:
    torch.manual_seed(0)
    images, masks = batch(16, 40, 40)
    out, labels = mosaic(images, masks, (30, 50))
    assert (out.shape, labels.shape) == ((16, 3, 30, 50), (16, 30, 50))
    corners = labels[:, [0, 0], [0, -1]] // 10
    assert (corners[:, 0] != corners[:, 1]).all()


@pytest.mark.parametrize("mix", [CutMix(p=1), ClassMix(p=1), Mosaic(p=1), Mosaic(size=(96, 64), p=1)])
def test_mixes_in_a_pipeline(mix: Any) -> None:
    """The other samples, of other sizes, have gone through what stands before, and not through what follows."""
    images, masks = batch(4)
    sizes = [(21, 34), (13, 34), (21, 5), (1, 1)]
    recipe = Compose(flip=Flip(p=1.0, vertical=True), mix=mix, pad=Pad(multiple=4))
    with pytest.raises(
        ValueError, match=r"Compose: expected a source of other images to mix in, got none; call set_source"
    ):
        recipe(images[0], masks[0])
    recipe.set_source(lambda i: (images[i, :, : sizes[i][0], : sizes[i][1]], masks[i, : sizes[i][0], : sizes[i][1]]), 4)
    torch.manual_seed(0)
    seen: set[int] = set()
    for _ in range(20):
        out, labels = recipe(images[0], masks[0])
        known = labels != 255
        assert torch.equal(out[0][known], 2 * labels[known])
        assert not out[0][~known].any()
        seen |= {v // 10 for v in labels[known].tolist()}
    assert seen >= {0, 1, 2}
    with pytest.raises(
        ValueError, match=r"expected \d images, got 1; put it in a Compose, or use [a-z]+\(\) on a batch"
    ):
        mix(images[0], masks[0])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Cutout(0), r"size: expected pixels \(a whole number of at least 1\) or a share of the side .*, got 0"),
        (lambda: Cutout(1.5), "size: expected pixels .* got 1.5"),
        (lambda: Cutout((1, 2, 3)), r"size: expected one length or \(height, width\), got \(1, 2, 3\)"),
        (lambda: Cutout(5, holes=0), "holes: expected a whole number of at least 1, got 0"),
        (lambda: Cutout(5, fill=2.0), "fill: expected a number from 0 to 1, one for each channel, .* got 2.0"),
        (lambda: Cutout(5, label="drop"), "label: expected keep or ignore, got 'drop'"),
        (lambda: GridMask(9, 5, 0.5), "d_min, d_max: expected d_min <= d_max in the same unit, got 9 and 5"),
        (lambda: GridMask(5, 0.5, 0.5), "d_min, d_max: expected d_min <= d_max in the same unit, got 5 and 0.5"),
        (lambda: GridMask(5, 9, 1.5), "ratio: expected a share from 0 to 1, got 1.5"),
        (lambda: RandomErasing(area=(0.1, 1.5)), "area: expected two numbers, 0 < least <= greatest <= 1, got"),
        (lambda: RandomErasing(aspect=(0, 1)), "aspect: expected two numbers, 0 < least <= greatest"),
        (lambda: Affine(shear=90), r"shear: expected degrees of at least 0 and below 90, got 90"),
        (lambda: Affine(scale=(2, 1)), "scale: expected two numbers, 0 < least <= greatest"),
        (lambda: Rotate(degrees=-1), "degrees: expected a number of at least 0, got -1"),
        (lambda: Elastic(sigma=0), r"sigma: expected a number above 0, got 0"),
        (lambda: Illumination(gamma=(0, 1)), "gamma: expected two numbers, 0 < least <= greatest"),
        (lambda: Blur(sigma=(1,)), r"sigma: expected two numbers, 0 < least <= greatest, got \[1\]"),
        (lambda: Noise(sigma=-1), "sigma: expected a number of at least 0, got -1"),
        (lambda: CutMix(alpha=0), "alpha: expected a number above 0, got 0"),
        (lambda: ScaleCrop(size=64), r"size: expected \[HEIGHT,WIDTH\] in multiples of 32 pixels, got 64"),
        (lambda: ScaleCrop(wanted=-1), "wanted: expected a share from 0 to 1, got -1"),
        (lambda: ScaleCrop(wanted=0.3, scale=(0.5, 1)), "wanted: expected 0 where windows are as large as the images"),
        (lambda: ScaleCrop(multiple=1.5), "multiple: expected a whole number of at least 1, got 1.5"),
        (lambda: Illumination(gamma=("a", "b")), "gamma: expected two numbers, 0 < least <= greatest, got"),
        (lambda: Mosaic(size=5), r"size: expected \[HEIGHT,WIDTH\] in pixels from 1 to 65536, got 5"),
        (lambda: Mosaic(size=(0, 5)), r"size: expected \[HEIGHT,WIDTH\] in pixels from 1 to 65536, got \[0, 5\]"),
        (lambda: Mosaic(p=-1), "p: expected a share from 0 to 1, got -1"),
        (lambda: cutmix(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5)), r"images, masks: expected \(N, C, H, W\) and"),
    ],
)
def test_bad_options_of_the_rest(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


def test_cutmix_of_samples_of_any_sizes() -> None:
    torch.manual_seed(0)
    small, large = ((torch.full((3, *size), level, dtype=torch.uint8), torch.full(size, level, dtype=torch.uint8))
                    for size, level in (((9, 14), 1), ((31, 20), 2)))  # fmt: skip
    for own, other in ((small, large), (large, small)):
        shares = []
        for _ in range(300):
            image, mask = CutMix(p=1.0).mix([own, other])
            assert mask.shape == own[1].shape
            assert torch.equal(image[0], mask)
            shares.append(float((mask != own[1]).float().mean()))
        assert max(shares) > 0.2
