"""Contract of every loss; newcomers in conf/loss/ are enrolled by themselves.

python -m pytest tests/losses/test_losses.py
"""

import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy import ndimage
from torch import Tensor, nn

from seg import losses
from seg.losses import CrossEntropy, signed_distance
from seg.losses.schedules import Ramp, boundary_weights

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))

Make = Callable[[int], nn.Module]


@cache
def config(name: str) -> dict[str, Any]:
    """An option of conf/loss with what its defaults put into it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(f"loss/{name}")["loss"], resolve=True)


def with_vectors(node: Any, classes: int) -> Any:
    """The same with a class vector wherever ``weight`` names a rule; the command makes it of the class counts."""
    if not isinstance(node, dict):
        return node
    vector = {"weight": np.linspace(0.5, 2, classes).tolist()} if isinstance(node.get("weight"), str) else {}
    return {key: with_vectors(value, classes) for key, value in node.items()} | vector


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of a few hundred pixels: a second thread only waits, at three times the CPU time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[*NAMES, "Boundary"])
def make(request: pytest.FixtureRequest) -> Make:
    """Builds the loss for a number of classes, from its YAML alone."""
    if request.param == "Boundary":  # the bare term, which boundary.yaml holds beside a region loss
        return lambda classes: losses.Boundary()
    return lambda classes: instantiate(with_vectors(config(request.param), classes))


@pytest.fixture
def loss(make: Make) -> nn.Module:
    return make(5)


def batch(dtype: torch.dtype = torch.float32, classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 9, 7, generator=generator, dtype=torch.float64).to(dtype)
    target = torch.randint(classes, (2, 9, 7), generator=generator)
    target[:, 2:4] = 255
    return logits.requires_grad_(), target


SCALAR = "return one number for the batch, as seg.losses.pixels.per_pixel does"
FINITE = "value and gradient have to be finite: no log or power of 0, no 0 times infinity, not even where it is masked"
IGNORED = "ignored pixels have an influence: mask them before the softmax, as seg.losses.pixels.prepare does"
NOTHING = "without a labelled pixel the loss is 0, without gradient: divide as seg.losses.pixels.per_pixel does"
WIDENED = "reduce half precision in float32, as seg.losses.pixels.prepare does"
ARGUMENTS = "call seg.losses.pixels.prepare, or check_shapes and check_indices of seg.losses.arguments, first"


@contextmanager
def refuses(match: str) -> Iterator[None]:
    """A ValueError that says so; another error, or none, fails with what to call."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, ValueError) or not re.search(match, str(error)):
            pytest.fail(f"expected a ValueError '{match}', got {error!r}; {ARGUMENTS}")
        return
    pytest.fail(f"expected a ValueError '{match}', got none; {ARGUMENTS}")


def backward(loss: nn.Module, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Value and gradient; both finite, and the gradient 0 at ignored pixels."""
    leaf = logits.detach().clone().requires_grad_()
    value = loss(leaf, target)
    assert value.shape == (), SCALAR
    value.backward()
    assert torch.isfinite(value), FINITE
    assert torch.isfinite(leaf.grad).all(), FINITE
    assert not leaf.grad.permute(0, 2, 3, 1)[target == 255].any(), IGNORED
    return value.detach(), leaf.grad


def one_hot(target: Tensor, classes: int = 5) -> Tensor:
    return F.one_hot(target.clamp(max=classes - 1), classes).permute(0, 3, 1, 2).float()


def test_exports_and_choices_are_one() -> None:
    """Each loss can be chosen on the command line, and what is chosen is exported."""
    text = "\n".join(path.read_text() for path in (CONF / "loss").glob("*.yaml"))
    used = set(re.findall(r"_target_: seg\.losses\.(\w+)", text))
    for name in losses.__all__:
        if isinstance(kind := getattr(losses, name), type) and issubclass(kind, nn.Module):
            assert name in used, f"write conf/loss/NAME.yaml with _target_: seg.losses.{name}"
    new = ", ".join(sorted(used - set(losses.__all__)))
    assert not new, f"export {new} in seg/losses/__init__.py, in __all__ too"


def test_scalar_with_finite_gradient(loss: nn.Module) -> None:
    logits, target = batch()
    _, gradient = backward(loss, logits, target)
    assert gradient.abs().sum() > 0


def test_uint8_and_int64_targets_agree(loss: nn.Module) -> None:
    logits, target = batch()
    assert loss(logits, target) == loss(logits, target.to(torch.uint8))


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_ignored_pixels_have_no_influence(loss: nn.Module, poison: float) -> None:
    logits, target = batch()
    value = loss(logits, target)
    poisoned = torch.where((target == 255).unsqueeze(1), poison, logits.detach()).requires_grad_()
    again = loss(poisoned, target)
    assert again.shape == (), SCALAR
    again.backward()
    assert again == value, IGNORED
    assert poisoned.grad.permute(0, 2, 3, 1)[target == 255].abs().max() == 0, IGNORED
    assert torch.isfinite(poisoned.grad).all(), IGNORED


def test_without_labelled_pixels_zero(loss: nn.Module) -> None:
    for shape in ((2, 5, 4, 4), (0, 5, 4, 4)):
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            logits = torch.full(shape, float("nan"), dtype=dtype).requires_grad_()
            value = loss(logits, torch.full((shape[0], 4, 4), 255, dtype=torch.uint8))
            assert value.shape == (), SCALAR
            value.backward()
            assert value == 0, NOTHING
            assert not logits.grad.any(), NOTHING


def test_perfect_beats_random(loss: nn.Module) -> None:
    logits, target = batch()
    perfect = 50.0 * one_hot(target)
    assert loss(perfect, target) < loss(logits, target)


def test_losses_below_zero_say_so(loss: nn.Module) -> None:
    """Weightings that divide by a loss refuse those."""
    target = (torch.arange(12) // 6).expand(2, 12, 12).contiguous()  # regions that have an inside
    move = getattr(loss, "set_progress", None)
    if move is not None:
        move(1, 1)
    values = [float(loss(scale * one_hot(target), target)) for scale in (-20, 0, 3, 20)]
    said = any(getattr(part, "can_be_negative", False) for part in loss.modules())
    assert said == (min(values) < -1e-6), (
        f"{min(values):g} is its least here: can_be_negative says whether it is below 0"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_saturated_logits_stay_finite(loss: nn.Module, dtype: torch.dtype, scale: float) -> None:
    _, target = batch()
    backward(loss, (scale * one_hot(target)).to(dtype), target)


def test_large_half_precision_batches(loss: nn.Module) -> None:
    """More than 65504 pixels: sums overflow float16 unless they are taken in float32."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 5, 300, 300, generator=generator)
    target = torch.randint(5, (1, 300, 300), generator=generator)
    for dtype in (torch.float16, torch.bfloat16):
        half = logits.to(dtype)
        value = loss(half, target)
        assert value.shape == (), SCALAR
        assert value.item() == pytest.approx(loss(half.double(), target).item(), rel=1e-4), WIDENED


def test_arguments_are_not_written(loss: nn.Module) -> None:
    logits, target = batch()
    before = logits.detach().clone(), target.clone()
    loss(logits, target).backward()
    assert torch.equal(before[0], logits.detach())
    assert torch.equal(before[1], target)


def test_bad_arguments(loss: nn.Module) -> None:
    logits, target = batch()
    with refuses(r"logits: expected floating \(N, C, H, W\), got"):
        loss(logits[0], target)
    with refuses(r"logits: expected floating"):
        loss(logits.long(), target)
    with refuses(r"target: expected shape \(2, 9, 7\) to match logits, got \(2, 9\)"):
        loss(logits, target[..., 0])
    with refuses("target: expected uint8 or int64 class indices, got torch.float32"):
        loss(logits, target.float())
    target[0, 0, 0] = 5
    with refuses(r"target: expected class indices 0..4 or 255 \(ignore\), got 0..5; check the label map"):
        loss(logits, target)


def test_gradient_by_central_differences(make: Make) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    target = torch.randint(3, (2, 3, 4), generator=generator)
    target[0, 1, :3] = 255
    loss = make(3)
    options = {"eps": 1e-5, "atol": 1e-9, "rtol": 1e-6, "check_undefined_grad": False}
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits, **options)


def cases(classes: int = 5) -> dict[str, Tensor]:
    _, target = batch(classes=classes)
    absent = target.clone()
    absent[absent == 1] = 0
    nothing = target.clone()
    nothing[0] = 255
    one_pixel = torch.full_like(target, 255)
    one_pixel[1, 4, 4] = 1
    return {
        "class absent": absent,
        "image ignored": nothing,
        "one class covers an image": torch.stack([torch.full_like(target[0], 1), target[1]]),
        "one class covers all": torch.full_like(target, 1),
        "one pixel": one_pixel,
    }


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_lopsided_targets(loss: nn.Module, case: str, scale: float) -> None:
    target = cases()[case]
    logits, _ = batch()
    _, gradient = backward(loss, scale * logits, target)
    no_map = isinstance(loss, losses.Boundary) and case in ("one class covers all", "one pixel")
    assert no_map or scale > 1 or gradient.abs().max() > 0


@pytest.mark.parametrize("classes", [2, 19, 150])
def test_numbers_of_classes(make: Make, classes: int) -> None:
    logits, target = batch(classes=classes)
    loss = make(classes)
    value, gradient = backward(loss, logits, target)
    assert gradient.abs().max() > 0
    assert loss(50 * one_hot(target, classes), target) < value


def test_padding_changes_nothing(loss: nn.Module) -> None:
    """Ignored rows, columns and whole images leave value and gradient as they are."""
    logits, target = batch()
    value, gradient = backward(loss, logits, target)
    wide = F.pad(logits.detach(), (2, 3, 1, 4, 0, 0, 0, 2), value=float("nan"))
    again, padded = backward(loss, wide, F.pad(target, (2, 3, 1, 4, 0, 2), value=255))
    assert again.item() == pytest.approx(value.item(), rel=1e-6)
    torch.testing.assert_close(padded[:2, :, 1:10, 2:9], gradient, rtol=1e-4, atol=1e-8)


def test_nearly_perfect_predictions_keep_finite_gradients(loss: nn.Module) -> None:
    """Probabilities down to and below the smallest number: powers below 1 have an infinite slope there."""
    _, target = batch()
    for margin in (10, 17, 60, 87, 95, 103, 200):
        for sign in (1, -1):
            backward(loss, sign * margin * one_hot(target), target)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(loss: nn.Module, dtype: torch.dtype) -> None:
    logits, target = batch(dtype)
    value, _ = backward(loss, logits, target)
    assert value.dtype == torch.float32
    with torch.autocast("cpu", dtype=dtype):
        assert loss(logits, target) == value
        assert loss(logits.float(), target) == value


def test_compiles_whole(loss: nn.Module) -> None:
    logits, target = batch()
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    value, gradient = backward(compiled, logits, target)
    expected, wanted = backward(loss, logits, target)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, wanted)


def test_no_weights_in_the_checkpoint(loss: nn.Module) -> None:
    assert set(loss.state_dict()) <= {"progress"}


def numpy_cross_entropy(logits: np.ndarray, target: np.ndarray, smoothing: float) -> tuple[float, np.ndarray]:
    """Value and gradient, pixel by pixel, in float64."""
    classes, total, count = logits.shape[1], 0.0, 0
    gradient = np.zeros_like(logits)
    for n, y, x in np.argwhere(target != 255):
        z = logits[n, :, y, x]
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        wanted = np.full(classes, smoothing / classes)
        wanted[target[n, y, x]] += 1 - smoothing
        total -= (wanted * np.log(p)).sum()
        gradient[n, :, y, x] = p - wanted
        count += 1
    return total / count, gradient / count


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_against_numpy(smoothing: float) -> None:
    logits, target = batch(torch.float64)
    value = CrossEntropy(label_smoothing=smoothing)(logits, target)
    value.backward()
    expected, gradient = numpy_cross_entropy(logits.detach().numpy(), target.numpy(), smoothing)
    assert value.item() == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(logits.grad.numpy(), gradient, atol=1e-8 * np.abs(gradient).max())
    total = CrossEntropy(label_smoothing=smoothing, reduction="sum")(logits, target)
    assert total.item() == pytest.approx(expected * int((target != 255).sum()), abs=1e-9)


def test_cross_entropy_options() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing: expected a share from 0 to 1, got 2"):
        CrossEntropy(label_smoothing=2)
    with pytest.raises(ValueError, match="reduction: expected mean or sum, got 'none'"):
        CrossEntropy(reduction="none")


BAD = {
    "weight: expected one number per class, got 'median_frequency'; give numbers: only seg-train": lambda: losses.Dice(
        weight="median_frequency"
    ),
    "weight: expected one number per class, got 0.25": lambda: losses.Focal(weight=0.25),
    "weight: expected one number per class, got None": lambda: losses.WeightedCrossEntropy(weight=None),
    r"weight: .* none negative and not all 0, got \(1.0, -1.0\)": lambda: losses.Dice(weight=[1, -1]),
    r"weight: .* none negative and not all 0, got \(0.0, 0.0\)": lambda: losses.Jaccard(weight=[0, 0]),
    "label_smoothing: expected a share from 0 to 1, got -1": lambda: losses.WeightedCrossEntropy(
        weight=[1], label_smoothing=-1
    ),
    "gamma: expected a number of at least 0, got -1": lambda: losses.Focal(gamma=-1),
    "gamma: expected a number of at least 0, got 'two'": lambda: losses.Focal(gamma="two"),
    r"weight: expected one number per class, got \['a', 'b'\]": lambda: losses.Focal(weight=["a", "b"]),
    "threshold: expected a share from 0 to 1, got None": lambda: losses.OhemCrossEntropy(threshold=None),
    "smooth: expected a number of at least 0, got nan": lambda: losses.Dice(smooth=float("nan")),
    "absent: expected skip or count, got 'no'": lambda: losses.Tversky(absent="no"),
    "alpha: expected a number of at least 0, got -0.1": lambda: losses.Tversky(alpha=-0.1),
    "beta: expected a number of at least 0, got inf": lambda: losses.Tversky(beta=float("inf")),
    "exponent: expected a number above 0, got 0": lambda: losses.Tversky(exponent=0),
    "gamma_cross: expected a number above 0, got 0": lambda: losses.ExpLog(gamma_cross=0),
    "gamma_dice: expected a number above 0, got -1": lambda: losses.ExpLog(gamma_dice=-1),
    "smooth: expected a number above 0, got 0": lambda: losses.ExpLog(smooth=0),
    "dice_share: expected a number of at least 0, got -1": lambda: losses.ExpLog(dice_share=-1),
    "cross_share: expected a number of at least 0, got -1": lambda: losses.ExpLog(cross_share=-1),
    "absent: expected skip or count, got None": lambda: losses.ExpLog(absent=None),
    "absent: expected skip or count, got 1": lambda: losses.GeneralizedDice(absent=1),
    "absent: expected skip or count, got 2": lambda: losses.LovaszSoftmax(absent=2),
    "threshold: expected a share from 0 to 1, got 2": lambda: losses.OhemCrossEntropy(threshold=2),
    "share: expected a share from 0 to 1, got -1": lambda: losses.OhemCrossEntropy(share=-1),
    "epsilon: expected a number of at least -1, got -2": lambda: losses.Poly1(epsilon=-2),
    "iterations: expected a whole number of at least 1, got 0": lambda: losses.ClDice(iterations=0),
    "smooth: expected a number above 0, got -1": lambda: losses.ClDice(smooth=-1),
    "absent: expected skip or count, got 'all'": lambda: losses.ClDice(absent="all"),
    r"classes: expected distinct class indices >= 0, got \[-1\]": lambda: losses.ClDice(classes=[-1]),
    "normalize: expected none, diagonal or maximum, got 'max'": lambda: losses.Boundary(normalize="max"),
    r"classes: expected distinct class indices >= 0, got \[\]": lambda: losses.Boundary(classes=[]),
    r"classes: expected distinct class indices >= 0, got \[1, 1\]": lambda: losses.Boundary(classes=[1, 1]),
    "until: expected a share of the run above 0 and at most 1, got 0": lambda: Ramp(0, 1, until=0),
    "start: expected a number of at least 0, got -1": lambda: Ramp(-1, 1),
    "schedule: expected constant, .*, got 'up'": lambda: boundary_weights("up"),
    "start, end: expected 0..1 with the schedule 'rebalance', got 0.01 and 2; or choose another": lambda: (
        boundary_weights(end=2)
    ),
    r"weights: expected one for each term \['a'\], got \['b'\]": lambda: losses.WeightedSum(
        terms={"a": CrossEntropy()}, weights={"b": 1.0}
    ),
    "weights.a: expected a number of at least 0, got -1": lambda: losses.WeightedSum(
        terms={"a": CrossEntropy()}, weights={"a": -1}
    ),
    r"weights.a: expected a number, or start, end and optionally until, got {'from': 0}": lambda: losses.WeightedSum(
        terms={"a": CrossEntropy()}, weights={"a": {"from": 0}}
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_options(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BAD[message]()


def test_options_that_do_not_fit_the_logits() -> None:
    logits, target = batch()
    with pytest.raises(ValueError, match="weight: expected 5 numbers, one per class, got 3"):
        losses.Dice(weight=[1, 1, 1])(logits, target)
    with pytest.raises(ValueError, match=r"classes: expected class indices 0..4, got \[0, 5\]"):
        losses.Boundary(classes=[0, 5])(logits, target)
    with pytest.raises(ValueError, match=r"classes: expected class indices 0..4, got \[5\]"):
        losses.ClDice(classes=[5])(logits, target)
    with pytest.raises(
        ValueError, match=r"distance: expected floating \(2, 5, 9, 7\) to match logits, got .*; make it with"
    ):
        losses.Boundary()(logits, target, torch.zeros(2, 4, 9, 7))
    with pytest.raises(ValueError, match=r"target: expected shape \(N, H, W\) or \(H, W\), got \(7,\)"):
        signed_distance(target[0, 0], 5)


def test_signed_distance_is_exact() -> None:
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.integers(0, 3, (2, 8, 6)).repeat(9, 1).repeat(9, 2).astype(np.uint8))
    target[0, 10:30, 20:45] = 255
    target[1][target[1] == 1] = 0  # a class absent
    maps = signed_distance(target, 4)
    assert maps.shape == (2, 4, 72, 54)
    assert maps.dtype == torch.float32
    for mask, image in zip(target.numpy(), maps.numpy(), strict=True):
        for index, found in enumerate(image):
            own, others = mask == index, (mask != index) & (mask != 255)
            if not own.any():
                assert not found.any()
                continue
            expected = np.where(
                own, 1 - ndimage.distance_transform_edt(~others), ndimage.distance_transform_edt(~own)
            ) * (mask != 255)
            np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert torch.equal(signed_distance(target[0], 4), maps[0])
    only = signed_distance(target.long(), 4, only=[2])
    assert torch.equal(only[:, 2], maps[:, 2])
    assert not only[:, :2].any()
    assert not signed_distance(torch.zeros(4, 4, dtype=torch.uint8), 2).any()  # one class covers the image
    assert signed_distance(torch.zeros(0, 4, 4, dtype=torch.uint8), 2).shape == (0, 2, 4, 4)


def test_boundary_takes_distances_from_the_loader() -> None:
    logits, target = batch()
    distance = signed_distance(target, 5)
    careless = torch.where((target == 255).unsqueeze(1), float("nan"), distance)
    before = careless.clone()
    for options in ({}, {"normalize": "diagonal"}, {"normalize": "maximum"}, {"classes": [0, 3]}):
        loss = losses.Boundary(**options)
        assert loss(logits, target, careless) == loss(logits, target)
    torch.testing.assert_close(careless, before, rtol=0, atol=0, equal_nan=True)
    composite = losses.WeightedSum(
        terms={"dice": losses.Dice(), "boundary": losses.Boundary()}, weights={"dice": 1.0, "boundary": 0.5}
    )
    outer = losses.WeightedSum(terms={"inner": composite, "ce": CrossEntropy()}, weights={"inner": 2.0, "ce": 1.0})
    zero = torch.zeros_like(distance)
    expected = 2 * losses.Dice()(logits, target) + CrossEntropy()(logits, target)
    assert outer(logits, target, zero).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("chosen", [None, [3, 0], [4, 2, 1, 0, 3]])
def test_loaders_make_what_the_loss_takes(chosen: list[int] | None) -> None:
    logits, target = batch()
    region = losses.Dice()
    inner = losses.WeightedSum(
        terms={"region": region, "boundary": losses.Boundary(classes=chosen)},
        weights={"region": 1.0, "boundary": 2.0},
    )
    for loss in (
        losses.Boundary(classes=chosen, normalize="maximum"),
        losses.WeightedSum(terms={"inner": inner, "ce": CrossEntropy()}, weights={"inner": 1.0, "ce": 1.0}),
    ):
        make_map = losses.distances_for(loss, 5)
        made = torch.stack([pickle.loads(pickle.dumps(make_map))(mask) for mask in target.to(torch.uint8)])
        assert made.shape == (2, 2 if chosen == [3, 0] else 5, 9, 7)
        assert loss(logits, target, made) == loss(logits, target)  # to the bit
    both = losses.WeightedSum(
        terms={"a": losses.Boundary(classes=[1]), "b": losses.Boundary(classes=[2, 3])}, weights={"a": 1.0, "b": 1.0}
    )
    made = torch.stack([losses.distances_for(both, 5)(mask) for mask in target])
    assert made.shape == (2, 5, 9, 7)
    assert not made[:, [0, 4]].any()
    assert both(logits, target, made) == both(logits, target)
    assert losses.distances_for(instantiate(config("boundary")), 5) is not None
    with pytest.raises(ValueError, match=r"classes: expected class indices 0..4, got \[1, 5\]"):
        losses.distances_for(losses.Boundary(classes=[5, 1]), 5)
    assert losses.distances_for(region, 5) is None
    assert losses.distances_for(losses.WeightedSum(terms={"a": region}, weights={"a": 1.0}), 5) is None


def test_weighted_sum_reports_and_ramps() -> None:
    logits, target = batch()
    ramp = {"start": 0.0, "end": 2.0, "until": 0.5}
    inner = losses.WeightedSum(terms={"dice": losses.Dice()}, weights={"dice": Ramp(1.0, 0.0)})
    loss = losses.WeightedSum(terms={"ce": CrossEntropy(), "inner": inner}, weights={"ce": 3.0, "inner": ramp})
    ce, dice = CrossEntropy()(logits, target).item(), losses.Dice()(logits, target).item()
    for step, outer_weight, inner_weight in ((0, 0.0, 1.0), (25, 1.0, 0.75), (50, 2.0, 0.5), (100, 2.0, 0.0)):
        loss.set_progress(step, 100)
        value = loss(logits, target)
        assert value.item() == pytest.approx(3 * ce + outer_weight * inner_weight * dice, rel=1e-6)
        assert loss.current_weights() == pytest.approx({"ce": 3.0, "inner": outer_weight})
        assert loss.last["ce"].item() == pytest.approx(ce)
        assert loss.last["inner"].item() == pytest.approx(inner_weight * dice)
        assert inner.last["dice"].item() == pytest.approx(dice)
        assert not any(value.requires_grad for value in loss.last.values())


def test_ramps_do_not_recompile() -> None:
    logits, target = batch()
    loss = losses.WeightedSum(terms={"ce": CrossEntropy()}, weights={"ce": Ramp(0.0, 1.0)})
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    assert compiled(logits, target) == 0
    with torch.compiler.set_stance("fail_on_recompile"):
        loss.set_progress(1, 2)
        assert compiled(logits, target).item() == pytest.approx(CrossEntropy()(logits, target).item() / 2)
    assert set(loss.last) == {"ce"}


def test_weighted_sum_resumes_where_it_was() -> None:
    loss, again = instantiate(config("boundary")), instantiate(config("boundary"))
    loss.set_progress(3, 4)
    again.load_state_dict(loss.state_dict())
    assert again.current_weights() == loss.current_weights() == pytest.approx({"region": 0.255, "boundary": 0.745})


@pytest.mark.parametrize(
    ("schedule", "begin", "middle", "finish"),
    [
        ("constant", (1, 0.01), (1, 0.01), (1, 0.01)),
        ("increase", (1, 0.01), (1, 0.5), (1, 0.99)),
        ("rebalance", (0.99, 0.01), (0.5, 0.5), (0.01, 0.99)),
        ("steal", (1, 0.01), (0.5, 0.51), (0.1, 1.01)),
    ],
)
def test_boundary_schedules(schedule: str, begin: tuple, middle: tuple, finish: tuple) -> None:
    loss = losses.WeightedSum(
        terms={"region": losses.Dice(), "boundary": losses.Boundary()}, weights=boundary_weights(schedule)
    )
    for step, expected in ((0, begin), (5, middle), (10, finish)):
        loss.set_progress(step, 10)
        weights = loss.current_weights()
        assert (weights["region"], weights["boundary"]) == pytest.approx(expected)


def test_the_region_loss_is_a_choice() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = compose("train", ["loss=boundary", "loss@loss.terms.region=dice", "loss.weights.schedule=steal"])[
            "loss"
        ]
    loss = instantiate(OmegaConf.to_container(found, resolve=True))
    assert isinstance(loss.terms["region"], losses.Dice)
    assert loss.current_weights() == pytest.approx({"region": 1.0, "boundary": 0.01})


def test_a_broken_line_costs_more_than_a_thin_one() -> None:
    target = torch.zeros(1, 30, 60, dtype=torch.int64)
    target[0, 10:15] = 1
    thin, broken = target.clone(), target.clone()
    thin[0, 10] = thin[0, 14] = 0
    broken[0, :, 20:40] = 0
    line = losses.ClDice(classes=[1])
    values = [line(20 * one_hot(mask, 2), target).item() for mask in (target, thin, broken)]
    assert values[0] == pytest.approx(0, abs=1e-5)
    assert values[1] < 0.02 < 0.1 < values[2]
    region = [losses.Dice()(20 * one_hot(mask, 2), target).item() for mask in (thin, broken)]
    assert region[0] > region[1]  # the other way round


def test_generalized_dice_survives_an_absent_class() -> None:
    """Released code: gradients of 1e-25, the loss never falls."""
    logits, target = batch()
    target[target == 4] = 0
    for absent in ("skip", "count"):
        assert backward(losses.GeneralizedDice(absent=absent), logits, target)[1].abs().max() > 1e-4


@pytest.mark.parametrize("gamma", [0.05, 0.3, 0.5])
def test_powers_below_one_stay_finite(gamma: float) -> None:
    """Naive autograd gives NaN where a pixel is right to the last bit."""
    _, target = batch()
    logits = (torch.linspace(0, 120, 63).view(9, 7) * one_hot(target)).float()
    for loss in (
        losses.Focal(gamma=gamma),
        losses.Tversky(exponent=gamma),
        losses.ExpLog(gamma_dice=gamma, gamma_cross=gamma),
    ):
        for dtype in (torch.float32, torch.float64):
            for sharp in (logits, 100 * logits, 1e4 * one_hot(target)):
                value, _ = backward(loss, sharp.to(dtype), target)
                assert value >= 0
        assert backward(loss, 1e4 * one_hot(target), target)[0] == 0
