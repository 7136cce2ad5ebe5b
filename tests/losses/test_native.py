"""The native path of the losses against the plain one: same values, same gradients, taken when the rule says so.

python -m pytest tests/losses/test_native.py
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg import _losses, losses
from seg.losses import fused
from seg.losses import native as native_losses
from seg.losses.pixel_sums import FIELD, KINDS, Need, PlainSums


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def vector(classes: int) -> list[float]:
    return np.linspace(0.3, 1.9, classes).tolist()


def composite(classes: int) -> nn.Module:
    inner = losses.WeightedSum(
        terms={"dice": losses.Dice(batch=False), "hard": losses.OhemCrossEntropy(), "far": losses.Boundary()},
        weights={"dice": 1.0, "hard": 0.2, "far": 0.01},
    )
    terms = {"ce": losses.CrossEntropy(), "focal": losses.Focal(weight=vector(classes)), "inner": inner}
    return losses.WeightedSum(terms=terms, weights={"ce": 0.5, "focal": 2.0, "inner": 0.7})


LOSSES: dict[str, Callable[[int], nn.Module]] = {
    "ce": lambda c: losses.CrossEntropy(),
    "ce sum": lambda c: losses.CrossEntropy(reduction="sum", label_smoothing=0.1),
    "wce": lambda c: losses.WeightedCrossEntropy(weight=vector(c)),
    "wce smooth": lambda c: losses.WeightedCrossEntropy(weight=vector(c), label_smoothing=0.2),
    "wce sum": lambda c: losses.WeightedCrossEntropy(weight=vector(c), label_smoothing=0.2, reduction="sum"),
    "focal": lambda c: losses.Focal(),
    "focal 0": lambda c: losses.Focal(gamma=0, weight=vector(c)),
    "focal 0.3": lambda c: losses.Focal(gamma=0.3),
    "focal 1": lambda c: losses.Focal(gamma=1, weight=vector(c)),
    "focal 3.5": lambda c: losses.Focal(gamma=3.5),
    "dice": lambda c: losses.Dice(),
    "dice squared": lambda c: losses.Dice(squared=True, absent="count"),
    "dice image": lambda c: losses.Dice(batch=False, smooth=0, weight=vector(c)),
    "jaccard": lambda c: losses.Jaccard(absent="count", weight=vector(c)),
    "tversky": lambda c: losses.Tversky(),
    "tversky 0.75": lambda c: losses.Tversky(exponent=0.75, batch=False),
    "gdl": lambda c: losses.GeneralizedDice(batch=False, absent="count"),
    "exp log": lambda c: losses.ExpLog(),
    "exp log image": lambda c: losses.ExpLog(weight=vector(c), batch=False, absent="skip", gamma_cross=1.5),
    "poly1": lambda c: losses.Poly1(epsilon=-0.5),
    "boundary": lambda c: losses.Boundary(),
    "boundary diagonal": lambda c: losses.Boundary(normalize="diagonal", classes=[c - 1]),
    "sum": composite,
    "lovasz": lambda c: losses.LovaszSoftmax(),
    "lovasz image": lambda c: losses.LovaszSoftmax(batch=False, weight=vector(c)),
    "lovasz count": lambda c: losses.LovaszSoftmax(absent="count"),
    "ohem": lambda c: losses.OhemCrossEntropy(),
    "ohem few": lambda c: losses.OhemCrossEntropy(threshold=0.0, share=0.3),
}


def batch(classes: int, height: int = 9, width: int = 37, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    logits = scale * torch.randn(2, classes, height, width, generator=generator)
    # some classes in one image only, the last in none
    target = torch.randint(max(1, classes - 1), (2, height, width), generator=generator)
    target[0] //= 2
    target[:, 2:4, 5:] = 255
    return logits, target


def both(loss: nn.Module, logits: Tensor, target: Tensor, native: bool) -> tuple[Tensor, Tensor]:
    leaf = logits.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    with fused(native):
        value = loss(leaf, target)
        (3 * value).backward()
    assert leaf.grad.dtype == logits.dtype
    return value.detach(), leaf.grad


def check(loss: nn.Module, logits: Tensor, target: Tensor, tolerance: float = 3e-6) -> None:
    """The native path against the plain one in float64."""
    value, gradient = both(loss, logits, target, True)
    expected, wanted = both(loss, logits.double(), target, False)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=2e-6, abs=1e-6)
    assert torch.isfinite(gradient).all()
    assert not gradient.permute(0, 2, 3, 1)[target == 255].any()
    largest, error = wanted.abs().max(), (gradient.double() - wanted).abs().max()
    if error > tolerance * largest + 1e-12:  # differences of slopes cancel: no worse than the plain path in float32
        assert error <= 3 * (both(loss, logits, target, False)[1].double() - wanted).abs().max()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Need, ...]]:
    """What the native code was asked for: the sums, or nothing by the losses that sort or select."""
    found = []

    def watch(function: type[torch.autograd.Function]) -> None:
        apply = function.apply
        monkeypatch.setattr(function, "apply", lambda *args: found.append(args[3] if args[3:] else ()) or apply(*args))

    for function in (native_losses._TakeSums, native_losses._TakeLovasz, native_losses._TakeHard):
        watch(function)
    return found


@pytest.mark.parametrize("classes", [1, 2, 19, 150])
@pytest.mark.parametrize("name", LOSSES)
def test_agrees_with_the_plain_path(name: str, classes: int, calls: list) -> None:
    check(LOSSES[name](classes), *batch(classes))
    assert len(calls) == (2 if name == "sum" else 1)


@pytest.mark.parametrize("scale", [0.0, 30.0, 1e4])
@pytest.mark.parametrize("name", LOSSES)
def test_saturated_logits(name: str, scale: float) -> None:
    """Right and wrong to the last bit."""
    logits, target = batch(5, scale=scale)
    loss = LOSSES[name](5)
    check(loss, logits, target)
    right = scale * F.one_hot(target.clamp(max=4), 5).permute(0, 3, 1, 2).float()
    for sharp in (right, -right):
        for native in (True, False):
            value, gradient = both(loss, sharp, target, native)
            assert torch.isfinite(value)
            assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_ignored_pixels_have_no_influence(name: str, poison: float) -> None:
    logits, target = batch(19)
    loss = LOSSES[name](19)
    poisoned = torch.where((target == 255).unsqueeze(1), poison, logits)
    for clean, other in zip(both(loss, logits, target, True), both(loss, poisoned, target, True), strict=True):
        assert torch.equal(clean, other)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_labelled(name: str) -> None:
    for shape in ((2, 5, 4, 3), (0, 5, 4, 3), (2, 5, 0, 3)):
        target = torch.full((shape[0], *shape[2:]), 255, dtype=torch.uint8)
        value, gradient = both(LOSSES[name](5), torch.full(shape, float("nan")), target, True)
        assert value == 0
        assert not gradient.any()


def test_non_finite_logits_at_labelled_pixels_show() -> None:
    logits, target = batch(5)
    target[0, 0, 0] = 1
    for poison in (float("nan"), float("inf")):
        for index in (1, 2):  # the true class and another
            bad = logits.clone()
            bad[0, index, 0, 0] = poison
            for name in ("ce", "focal", "poly1", "lovasz", "lovasz count", "ohem", "ohem few"):
                for native in (True, False):
                    assert both(LOSSES[name](5), bad, target, native)[0].isnan()
    closed = logits.clone()
    closed[:, 4] = -float("inf")  # a class ruled out, which the target does not have
    for name in ("ce", "focal", "dice", "lovasz", "ohem"):
        value, gradient = both(LOSSES[name](5), closed, target, True)
        assert value.isfinite()
        assert gradient.isfinite().all()


def layouts(logits: Tensor) -> dict[str, Tensor]:
    n, c, h, w = logits.shape
    roomy = torch.full((n + 1, c + 2, h + 3, w + 4), float("nan"))
    roomy[1:, 1:-1, 2:-1, 3:-1] = logits
    return {
        "channels last": logits.to(memory_format=torch.channels_last),
        "part of a larger one": roomy[1:, 1:-1, 2:-1, 3:-1],
        "transposed": logits.transpose(2, 3).contiguous().transpose(2, 3),
        "expanded": logits[:1].expand(n, c, h, w),
    }


@pytest.mark.parametrize("width", [1, 37, 600])
@pytest.mark.parametrize("layout", layouts(batch(1)[0]))
def test_layouts(layout: str, width: int) -> None:
    logits, target = batch(5, 4, width)
    view = layouts(logits)[layout]
    for name in ("sum", "dice squared", "ce sum", "lovasz image", "ohem few"):
        for kind in (torch.uint8, torch.int64):
            found = both(LOSSES[name](5), view, target.to(kind), True)
            expected = both(LOSSES[name](5), view.contiguous(), target, True)
            assert found[0].item() == pytest.approx(expected[0].item(), rel=1e-6)
            torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-8)
    check(composite(5), view, target.transpose(1, 2).contiguous().transpose(1, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    """Computed in float32; the gradient is rounded once."""
    logits, target = batch(19)
    logits = logits.to(dtype)
    loss = LOSSES[name](19)
    value, gradient = both(loss, logits, target, True)
    expected, wanted = both(loss, logits.float(), target, True)
    assert value == expected
    once = name != "sum"  # which adds the plain gradients of its mined pixels
    torch.testing.assert_close(gradient, wanted.to(dtype), rtol=0 if once else 0.01, atol=0 if once else 1e-7)


def test_without_gradients(calls: list) -> None:
    logits, target = batch(5)
    value = losses.Dice()(logits, target)
    assert not value.requires_grad
    with torch.no_grad():
        assert losses.Dice()(logits.requires_grad_(), target) == value
    assert losses.Dice()(nn.Parameter(logits.detach()), target).requires_grad
    assert len(calls) == 3


def test_composites_take_their_sums_together(calls: list) -> None:
    logits, target = batch(5)
    loss = composite(5)
    loss(logits, target)
    (needs,) = filter(None, calls)
    assert FIELD in needs
    assert len(set(needs)) == len(needs)
    last = {**loss.last, **loss.terms["inner"].last}
    with fused(False):
        loss(logits, target)
    for name, value in {**loss.last, **loss.terms["inner"].last}.items():
        assert last[name].item() == pytest.approx(value.item(), rel=1e-6)
        assert not last[name].requires_grad


def test_a_subclass_with_its_own_forward_is_asked() -> None:
    class Twice(losses.Dice):
        def forward(self, logits: Tensor, target: Tensor) -> Tensor:
            return 2 * super().forward(logits, target)

    class Own(losses.WeightedSum):
        def forward(self, logits: Tensor, target: Tensor, distance: Tensor | None = None) -> Tensor:
            return 3 * super().forward(logits, target, distance)

    logits, target = batch(5)
    expected = losses.Dice()(logits, target).item()
    inner = Own(terms={"twice": Twice()}, weights={"twice": 1.0})
    loss = losses.WeightedSum(terms={"inner": inner}, weights={"inner": 1.0})
    assert loss(logits, target).item() == pytest.approx(6 * expected, rel=1e-6)


def test_the_switch(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = batch(5)
    loss = losses.CrossEntropy()
    with fused(False):
        loss(logits, target)
    monkeypatch.setenv("SEG_FUSED", "0")
    loss(logits, target)
    assert not calls
    with fused(True):
        loss(logits, target)
    assert len(calls) == 1
    monkeypatch.setenv("SEG_FUSED", "1")
    loss(logits, target)
    assert len(calls) == 2


@pytest.mark.parametrize("name", ["ce", "lovasz", "ohem"])
def test_the_rule(name: str, calls: list) -> None:
    """Everything but eager floats on the CPU goes the plain way, and works."""
    logits, target = batch(5)
    loss = LOSSES[name](5)
    expected = loss(logits, target)
    calls.clear()
    torch.compiler.reset()
    others = {
        "float64": loss(logits.double(), target),
        "compiled": torch.compile(loss, fullgraph=True, backend="eager")(logits, target),
        "subclass": loss(logits.as_subclass(type("Own", (Tensor,), {})), target),
        "func": torch.func.vmap(lambda z: z * 1)(logits) is not None
        and torch.func.grad(loss)(logits, target).sum() + 2,
    }
    assert not calls
    for way in ("float64", "compiled", "subclass"):
        assert others[way].item() == pytest.approx(expected.item(), rel=1e-6)
    assert others["func"].item() == pytest.approx(2, abs=1e-5)
    assert loss(logits.to("meta"), target.to("meta")).device.type == "meta"


SECOND = {
    "sums": losses.WeightedSum(
        terms={"ce": losses.CrossEntropy(label_smoothing=0.1), "dice": losses.Dice(squared=True), "e": losses.ExpLog()},
        weights={"ce": 1.0, "dice": 2.0, "e": 1.0},
    ),
    "lovasz": losses.LovaszSoftmax(weight=vector(3)),
    "lovasz image": losses.LovaszSoftmax(batch=False),
    "ohem": losses.OhemCrossEntropy(threshold=0.0, share=0.4),
}


@pytest.mark.parametrize("loss", SECOND.values(), ids=SECOND)
def test_second_derivatives(loss: nn.Module) -> None:
    logits, target = batch(3, 3, 4)
    found = []
    for native in (True, False):
        with fused(native):
            leaf = logits.clone().requires_grad_()
            (first,) = torch.autograd.grad(loss(leaf, target), leaf, create_graph=True)
            found += [first.detach(), torch.autograd.grad(first.square().sum(), leaf)[0]]
    torch.testing.assert_close(found[0], found[2], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[1], found[3], rtol=1e-4, atol=1e-6)


def test_class_indices_out_of_range() -> None:
    logits, target = batch(5)
    for wrong in (5, -1, 2**40):
        bad = target.clone()
        bad[1, 8, 36] = wrong
        for loss in (losses.Dice(), losses.LovaszSoftmax(), losses.OhemCrossEntropy()):
            with pytest.raises(ValueError, match=rf"target: expected class indices 0..4 or 255 .*, got .*{wrong}"):
                loss(logits, bad)


def lovasz_by_definition(errors: np.ndarray, own: np.ndarray) -> tuple[float, np.ndarray]:
    """One class: the sum of errors times growth of ``1 - intersection / union``, pixel by pixel in sorted order."""
    order = np.argsort(-errors, kind="stable")
    slopes, before = np.zeros(len(errors)), 0.0
    wrong = np.zeros(len(errors), bool)
    for pixel in order:
        wrong[pixel] = True
        now = 1 - (own & ~wrong).sum() / (own | wrong).sum()
        slopes[pixel], before = now - before, now
    return float((errors * slopes).sum()), slopes


@pytest.mark.parametrize("instructions", _losses.instruction_sets)
@pytest.mark.parametrize(("classes", "width"), [(1, 5), (2, 1), (3, 160), (150, 9)])
def test_lovasz_slopes(instructions: str, classes: int, width: int) -> None:
    """Of each image and of both, against the definition, on every machine's kind that this one can play."""
    logits, target = batch(classes, 7, width)
    logits[0, :, 1] = 0.5  # ties
    p = torch.where((target == 255).unsqueeze(1), 0, logits.double().softmax(1)).numpy()
    for together in (True, False):
        found = np.full((classes, *target.shape), np.nan, np.float32)
        options = {"threads": 2, "instructions": instructions}
        values, labelled, _ = _losses.lovasz(logits.numpy(), target.numpy(), together, found, **options)
        for c, group in np.ndindex(values.shape):
            images = slice(None) if together else slice(group, group + 1)
            labels = target[images].numpy().ravel()
            own, valid = labels == c, labels != 255
            errors = np.where(own, 1 - p[images, c].ravel(), p[images, c].ravel())
            value, slopes = lovasz_by_definition(errors[valid], own[valid])
            assert labelled[c, group] == own.sum()
            assert values[c, group] == pytest.approx(value, abs=2e-6)
            expected = np.zeros(len(labels))
            expected[valid] = np.where(own[valid], -slopes, slopes)
            np.testing.assert_allclose(found[c, images].ravel(), expected, atol=1e-6)


def test_lovasz_where_a_class_is_right_everywhere() -> None:
    """Errors of 0 at all pixels of a class, and pixels beyond its last error, which have no slope."""
    target = torch.tensor([[[0, 0, 1, 1, 1, 255]]])
    logits = 200 * F.one_hot(target.clamp(max=1), 3).permute(0, 3, 1, 2).float()
    value, gradient = both(losses.LovaszSoftmax(), logits, target, True)
    assert value == 0
    assert not gradient.any()
    logits[0, :, 0, 2] = torch.tensor([3.0, 3.0, 0.0])
    check(losses.LovaszSoftmax(), logits, target)
    check(losses.LovaszSoftmax(absent="count"), logits, target)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.3, 1.0])
def test_ohem_takes_the_same_pixels(threshold: float, share: float) -> None:
    """Selected or sorted, with many pixels equally hard."""
    loss = losses.OhemCrossEntropy(threshold=threshold, share=share)
    logits, target = batch(5)
    check(loss, logits, target)
    check(loss, logits.round().clamp(-1, 1), target)


def computed(
    logits: Tensor, target: Tensor, needs: list[Need], slopes: np.ndarray, field: Tensor, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    rows = [(KINDS.index(need.kind), need.exponent) for need in needs]
    sums, in_range = _losses.sums(logits.numpy(), target.numpy(), rows, field.numpy(), **options)
    assert in_range
    gradient = np.full(logits.shape, np.nan, np.float32)
    _losses.gradient(logits.numpy(), target.numpy(), rows, slopes, gradient, field.numpy(), **options)
    return sums, gradient


@pytest.mark.parametrize("instructions", _losses.instruction_sets)
@pytest.mark.parametrize(("classes", "width"), [(1, 5), (2, 1), (19, 700), (150, 37)])
def test_every_instruction_set(instructions: str, classes: int, width: int) -> None:
    """Each sum and its gradient, on the vectors of every machine's kind that this one can play."""
    logits, target = batch(classes, 7, width)
    needs = [Need(kind, {"focal": 2.0, "power": 0.3}.get(kind, 1.0)) for kind in KINDS]
    needs += [Need("focal", 0.7), Need("power", 2.0)]
    rng = np.random.default_rng(0)
    field = torch.from_numpy(rng.normal(size=logits.shape).astype(np.float32))
    slopes = rng.normal(size=(len(needs), 2, classes)).astype(np.float32)
    leaf = logits.double().requires_grad_()
    plain = PlainSums(leaf, target, needs, field)
    expected = torch.stack([plain[need] for need in needs])
    expected.backward(torch.from_numpy(slopes).double())
    one = computed(logits, target, needs, slopes, field, instructions=instructions)
    np.testing.assert_allclose(one[0], expected.detach().numpy(), rtol=1e-6, atol=1e-5)
    wanted = leaf.grad.numpy()
    np.testing.assert_allclose(one[1], wanted, rtol=0, atol=2e-6 * max(1, np.abs(wanted).max()))
    three = computed(logits, target, needs, slopes, field, instructions=instructions, threads=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


def test_many_pixels_lose_nothing() -> None:
    """Four million small numbers: a float32 accumulator would stop growing."""
    logits = torch.tensor([4.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2000, 2000)
    target = torch.zeros(1, 2000, 2000, dtype=torch.uint8)
    expected = float(np.log1p(np.exp(-4.0)))
    assert losses.CrossEntropy()(logits, target).item() == pytest.approx(expected, rel=3e-7)


def test_native_arguments_are_checked() -> None:
    logits, target = np.zeros((1, 2, 3, 4), np.float32), np.zeros((1, 3, 4), np.uint8)
    for arguments in (
        (logits.astype(np.float64), target, [(0, 1.0)]),
        (logits, target.astype(np.int32), [(0, 1.0)]),
        (logits, target[:, :2], [(0, 1.0)]),
        (logits, target[..., ::-1], [(0, 1.0)]),
        (logits, target, [(9, 1.0)]),
        (logits, target, [(8, 1.0)]),
        (logits[0], target, []),
        (logits[:, :0], target, []),
        (logits, target, [(8, 1.0)], logits[:, :1]),
    ):
        with pytest.raises(ValueError, match="expected .*, got .*; "):
            _losses.sums(*arguments)
    with pytest.raises(
        ValueError, match="gradient: expected .* got float32 of shape .1, 2, 3, 2., not contiguous; make"
    ):
        _losses.gradient(logits, target, [], np.zeros((0, 1, 2), np.float32), logits[..., :2])
    with pytest.raises(ValueError, match="coefficients: expected .* got float32 of shape"):
        _losses.gradient(logits, target, [], np.zeros((1, 1, 2), np.float32), logits)
    with pytest.raises(ValueError, match="expected one that this machine has .baseline.*, got 'abacus'; leave it out"):
        _losses.sums(logits, target, [], instructions="abacus")
