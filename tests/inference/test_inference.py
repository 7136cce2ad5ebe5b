"""python -m pytest tests/inference/test_inference.py"""

import itertools
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LABELS
from torch import Tensor, nn
from torch.nn import functional as F

from seg import inference
from seg.images import RGB
from seg.inference import augmented, composed, sliding, whole, whole_image
from seg.inference.examples import batches_of
from seg.inference.trained import Trained


@pytest.mark.parametrize("size", [(32, 64), (33, 65), (1, 1), (100, 31)])
def test_whole_image_pads_and_crops(size: tuple[int, int]) -> None:
    seen = []

    def model(images: Tensor) -> Tensor:
        seen.append(images.shape[-2:])
        return images * 2

    images = torch.randn(2, 3, *size)
    assert torch.equal(whole_image(model, images), images * 2)
    assert torch.equal(whole(model)(images), images * 2)
    assert all(side % 32 == 0 for side in seen[0])


def test_predict_normalises_and_takes_the_argmax() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    model = Trained(nn.Identity(), LABELS, (0.5, 0.2, 0.1), (0.1, 0.2, 0.3), "cpu")
    mask = model.predict(image)
    expected = ((image / np.float32(255) - np.float32([0.5, 0.2, 0.1])) / np.float32([0.1, 0.2, 0.3])).argmax(-1)
    assert mask.dtype == np.uint8
    assert (mask == expected).mean() > 0.999  # float32 ties may round either way


def places(height: int, width: int) -> Tensor:
    """An image (1, 3, H, W) whose values say where each pixel lies: row / 100, column / 100, 0."""
    y, x = torch.meshgrid(torch.arange(height) / 100, torch.arange(width) / 100, indexing="ij")
    return torch.stack([y, x, torch.zeros_like(x)])[None]


def said(logits: Tensor) -> Tensor:
    """Where the logits of `places` say that they come from; what softmax does not see is taken off."""
    return logits - logits[:, 2:]


SIZES = [(64, 96), (97, 65), (130, 33), (31, 200), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0, 1, 16, 0.5, 0.9, 31])
@pytest.mark.parametrize("weighting", ["gaussian", "constant"])
def test_windows_stay_in_place(size: tuple[int, int], overlap: float, weighting: Any) -> None:
    images = places(*size)
    found = sliding(lambda window: window, 32, overlap, weighting)(images)
    torch.testing.assert_close(found, images, atol=3e-5, rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("flips", [[], ["horizontal"], ["vertical"], ["horizontal", "vertical"]])
@pytest.mark.parametrize("rotations", [[0], [90], [0, 270], [0, 90, 180, 270]])
def test_views_stay_in_place(size: tuple[int, int], flips: list[str], rotations: list[int]) -> None:
    images = places(*size)
    found = augmented(lambda view: view, flips, (1.0,), rotations)(images)
    torch.testing.assert_close(said(found), images, atol=3e-5, rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 96), (97, 65), (131, 75)])
@pytest.mark.parametrize("scale", [0.5, 0.75, 1.1, 1.5, 2.0])
@pytest.mark.parametrize("composition", ["views", "windows"])
def test_scales_stay_in_place(size: tuple[int, int], scale: float, composition: str) -> None:
    """The border is left out, where resizing repeats the outermost pixels."""
    images = places(*size)
    predict = augmented(lambda view: view, ["horizontal", "vertical"], [scale], [0, 90])
    if composition == "windows":
        predict = sliding(predict, 48, 0.5)
    shift = (said(predict(images)) - images)[..., 4:-4, 4:-4]
    assert shift.abs().max() < 0.003  # a third of a pixel, where a size is rounded; a shift would be of 0.01


def conv() -> nn.Module:
    """A model whose windows and views differ."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.Tanh(), nn.Conv2d(4, 5, 3, padding=1)).double().eval()


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["gaussian", "constant"])
@pytest.mark.parametrize(("size", "window", "overlap"), [((70, 90), 32, 16), ((45, 100), 64, 0.25), ((64, 64), 33, 32)])
def test_windows_against_brute_force(size: tuple[int, int], window: int, overlap: float, weighting: Any) -> None:
    model, images = conv(), torch.randn(2, 3, *size, dtype=torch.float64)
    pixels = overlap if isinstance(overlap, int) else int(overlap * window)
    sums = torch.zeros(2, 5, *size, dtype=torch.float64)
    mass = torch.zeros(size, dtype=torch.float64)
    sides, starts = [], []
    for side in size:
        sides.append(min(window, side))
        count = math.ceil((side - sides[-1]) / (window - pixels)) + 1
        starts.append([round(s) for s in np.linspace(0, side - sides[-1], count)])
    weight = torch.ones(sides, dtype=torch.float64)
    if weighting == "gaussian":
        for y, x in itertools.product(*map(range, sides)):
            far = sum(((p - (s - 1) / 2) / (s / 8)) ** 2 for p, s in ((y, sides[0]), (x, sides[1])))
            weight[y, x] = math.exp(-far / 2)
    with torch.no_grad():
        for y, x in itertools.product(*starts):
            part = (..., slice(y, y + sides[0]), slice(x, x + sides[1]))
            sums[part] += weight * whole_image(model, images[part])
            mass[part] += weight
        found = sliding(model, window, overlap, weighting)(images)
    torch.testing.assert_close(found, sums / mass, atol=1e-12, rtol=1e-9)


def test_views_against_brute_force() -> None:
    """Mean of the probabilities over all combinations, those that are the same view twice as well."""
    model, images = conv(), torch.randn(2, 3, 41, 70, dtype=torch.float64)
    found = []
    for scale, up, left, turns in itertools.product((1.0, 0.6), (0, 1), (0, 1), range(4)):
        size = [round(side * scale) for side in images.shape[-2:]]
        view = images if scale == 1 else F.interpolate(images, size=size, mode="bilinear")
        axes = [-2] * up + [-1] * left
        view = torch.rot90(view.flip(axes), turns, (-2, -1))
        with torch.no_grad():
            logits = torch.rot90(whole_image(model, view), -turns, (-2, -1)).flip(axes)
        logits = logits if scale == 1 else F.interpolate(logits, size=images.shape[-2:], mode="bilinear")
        found.append(logits.softmax(1))
    with torch.no_grad():
        logs = augmented(model, ["horizontal", "vertical"], [1.0, 0.6], [0, 90, 180, 270])(images)
    torch.testing.assert_close(logs.exp(), torch.stack(found).mean(0), atol=1e-12, rtol=1e-9)


def test_same_views_are_predicted_once() -> None:
    seen = []
    model = augmented(lambda x: (seen.append(1), x)[1], ["horizontal", "vertical"], [1, 1.0], [0, 180])
    model(torch.randn(1, 3, 32, 32))
    assert len(seen) == 4


@pytest.mark.parametrize("size", [(64, 96), (70, 33)])
def test_one_window_is_the_whole_image(size: tuple[int, int]) -> None:
    model, images = conv(), torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(sliding(model, 96)(images), whole_image(model, images))


@pytest.mark.parametrize("size", [(64, 96), (70, 33)])
def test_a_model_of_one_size_sees_smaller_images_padded_to_the_window(size: tuple[int, int]) -> None:
    """What it says of the padding is cropped."""
    model, images = conv(), torch.randn(1, 3, *size, dtype=torch.float64)

    def fixed(window: torch.Tensor) -> torch.Tensor:
        assert window.shape[2:] == (96, 96), "expected 96x96"
        return model(window)

    padded = F.pad(images, (0, 96 - size[1], 0, 96 - size[0]), mode="replicate")
    with torch.no_grad():
        assert torch.equal(sliding(fixed, 96)(images), model(padded)[..., : size[0], : size[1]])
    with pytest.raises(AssertionError, match="expected 96x96"):
        sliding(fixed, 64)(torch.zeros(1, 3, 128, 128))


def test_views_of_a_model_that_turns_along() -> None:
    """Flips change nothing where the model commutes with them."""
    images = torch.randn(1, 3, 64, 96)

    def model(view: Tensor) -> Tensor:
        return F.avg_pool2d(view, 5, 1, 2, count_include_pad=False)

    found = augmented(model, ["horizontal", "vertical"], rotations=[0, 90])(images)
    torch.testing.assert_close(found.softmax(1), model(images).softmax(1))


def test_half_precision_is_averaged_in_single() -> None:
    images = torch.randn(1, 3, 80, 80)
    for wrapped in (sliding(lambda x: x.bfloat16(), 32), augmented(lambda x: x.half())):
        assert wrapped(images).dtype == torch.float32


def test_steps_compose_from_the_inside_out() -> None:
    model, images = conv(), torch.randn(1, 3, 70, 90, dtype=torch.float64)
    with torch.no_grad():
        found = composed(model, tta=partial(augmented, rotations=[0, 90]), sliding=partial(sliding, window=32))(images)
        expected = sliding(augmented(model, rotations=[0, 90]), 32)(images)
    assert torch.equal(found, expected)


def test_strips_hold_a_row_of_windows_alone() -> None:
    """Rows are asked for from the top down, and what comes out is what the whole image gives."""
    model, images = sliding(conv(), 32, 8), torch.randn(1, 3, 200, 50, dtype=torch.float64)
    asked = []

    def rows(first: int, last: int) -> Tensor:
        asked.append((first, last))
        return images[..., first:last, :]

    with torch.inference_mode():
        found = list(model.strips(rows, 200, 50))
    assert [first for first, _ in asked] == [0, *(last for _, last in asked[:-1])]
    assert asked[-1][1] == 200
    assert max(last - first for first, last in asked) == 32
    assert max(strip.shape[2] for strip in found) <= 32
    with torch.inference_mode():
        assert torch.equal(torch.cat(found, 2), model(images))


def test_predict_in_windows_is_the_argmax_of_their_logits() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 50, 3), dtype=np.uint8)
    model, options = conv().float(), {"mean": (0.5,), "std": (0.2,)}
    mask = Trained(model, LABELS, **options, device="cpu", infer=partial(sliding, window=32)).predict(image)
    with torch.no_grad():
        logits = sliding(model, 32)(inference.normalized(inference.as_tensor(image), **options, device="cpu"))
    assert np.array_equal(mask, logits.argmax(1)[0].numpy())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"window": 31}, "window: expected a whole number of at least 32, got 31; give such as 512"),
        ({"window": 0}, "at least 32, got 0"),
        ({"window": 64.0}, "got 64.0"),
        ({"window": True}, "got True"),
        ({"window": None}, "got None"),
        ({"overlap": 64}, "overlap: expected pixels below the window of 64, or a share of it below 1, .* got 64; give"),
        ({"overlap": 65}, "got 65"),
        ({"overlap": -1}, "got -1"),
        ({"overlap": 1.0}, "got 1.0"),
        ({"overlap": 0.999}, "got 0.999"),  # rounds to the window: a stride of 0
        ({"overlap": math.nan}, "got nan"),
        ({"overlap": None}, "got None"),
        ({"weighting": "gauss"}, "weighting: expected gaussian or constant, got 'gauss'"),
    ],
)
def test_windows_refuse_nonsense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sliding(lambda x: x, **{"window": 64, **wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flips": "horizontal"}, "flips: expected some of horizontal, vertical, or none, got 'horizontal'; give"),
        ({"flips": ["both"]}, r"got \['both'\]"),
        ({"flips": None}, "flips: .* got None"),
        ({"scales": [0]}, r"scales: expected numbers above 0 and at most 8, got \[0\]; give"),
        ({"scales": [1.0, -0.5]}, "scales: expected"),
        ({"scales": [math.nan]}, "scales: expected"),
        ({"scales": [math.inf]}, "scales: expected"),
        ({"scales": []}, "scales: expected"),
        ({"scales": 1.0}, "scales: expected"),
        ({"rotations": [45]}, r"rotations: expected some of 0, 90, 180, 270 degrees, got \[45\]; give"),
        ({"rotations": []}, "rotations: expected"),
        ({"rotations": 90}, "rotations: expected"),
    ],
)
def test_views_refuse_nonsense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augmented(lambda x: x, **wrong)


def test_pages_that_examples_lack_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile = pytest.importorskip("tifffile")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="rgb")
    (batch,) = batches_of(tmp_path, ((0.5,) * 3, (0.5,) * 3), RGB)
    assert batch.shape == (2, 3, 32, 32)
    (record,) = caplog.records
    assert record.message.startswith("2 images have several pages, of which the first alone is read, such as '")


@pytest.mark.parametrize("classes", [1, 2, 11, 256])
def test_a_mask_names_the_first_of_the_highest_logits(classes: int) -> None:
    logits = torch.randn(2, classes, 9, 13, generator=torch.Generator().manual_seed(0)).mul(2).round()  # many are equal
    expected = logits.numpy().argmax(1)[0]
    for each in (logits, logits.to(memory_format=torch.channels_last), logits.half()):
        mask = inference.mask_of(each)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, expected)


def test_pixels_are_normalised_and_stay_as_they_are() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for pixels in (inference.as_tensor(image), inference.as_tensor(image).float()):
        before = pixels.clone()
        found = inference.normalized(pixels, mean, std, "cpu")[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found, (image / 255 - mean) / std, atol=1e-6)
        assert torch.equal(pixels, before)
