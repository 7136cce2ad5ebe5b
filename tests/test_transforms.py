"""Images that encode their own label, so that any desynchronisation of image and mask shows.

python -m pytest tests/test_transforms.py
"""

import pytest
import torch

from seg.transforms import ColorJitter, Compose, Flip, Pad, ScaleCrop


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
    with pytest.raises(ValueError, match=r"p: expected a probability in 0..1, got 2"):
        Flip(p=2)
    with pytest.raises(ValueError, match=r"size: expected \(height, width\) in multiples of 32, got \(100, 64\)"):
        ScaleCrop(size=(100, 64))
    with pytest.raises(ValueError, match=r"scale: expected 0 < least <= greatest, got \(2, 1\)"):
        ScaleCrop(scale=(2, 1))
    with pytest.raises(ValueError, match="brightness, contrast, saturation: expected >= 0"):
        ColorJitter(contrast=-1)
    with pytest.raises(ValueError, match="multiple: expected at least 1 pixel, got 0"):
        Pad(multiple=0)
