"""Losses against references in float64 that were written from the papers, pixel by pixel, in plain Python.

python -m pytest tests/losses/test_reference.py
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from losses.test_losses import config
from torch import nn

from seg import losses

Reference = Callable[[np.ndarray, np.ndarray], float]
IGNORE = 255
WEIGHT = [0.3, 1.7, 1.1, 0.9]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of a few hundred pixels: a second thread only waits, at three times the CPU time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def softmax(z: Iterable[float]) -> list[float]:
    values = [float(value) for value in z]
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    total = sum(powers)
    return [power / total for power in powers]


def pixels(logits: np.ndarray, target: np.ndarray) -> Iterator[tuple[int, int, list[float]]]:
    """Image, class and probabilities of every labelled pixel."""
    for n, y, x in np.argwhere(target != IGNORE):
        yield int(n), int(target[n, y, x]), softmax(logits[n, :, y, x])


def weighted_mean(values: list[float], weights: list[float]) -> float:
    total = sum(weights)
    return sum(w * v for w, v in zip(weights, values, strict=True)) / total if total else 0.0


def ref_cross_entropy(smoothing: float = 0.0, weight: list[float] | None = None, reduction: str = "mean") -> Reference:
    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        total = divisor = 0.0
        for _, t, p in pixels(logits, target):
            w = weight or [1.0] * len(p)
            total -= (1 - smoothing) * w[t] * math.log(p[t])
            total -= smoothing / len(p) * sum(w[c] * math.log(p[c]) for c in range(len(p)))
            divisor += w[t]
        return total if reduction == "sum" else total / divisor

    return reference


def ref_focal(gamma: float, weight: list[float] | None = None) -> Reference:
    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        terms = [
            -(weight[t] if weight else 1.0) * (1 - p[t]) ** gamma * math.log(p[t]) for _, t, p in pixels(logits, target)
        ]
        return sum(terms) / len(terms)

    return reference


def ref_poly1(epsilon: float) -> Reference:
    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        terms = [-math.log(p[t]) + epsilon * (1 - p[t]) for _, t, p in pixels(logits, target)]
        return sum(terms) / len(terms)

    return reference


def ref_ohem(threshold: float, share: float) -> Reference:
    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        terms = sorted((p[t] for _, t, p in pixels(logits, target)))
        hard = [p for p in terms if p < threshold]
        least = max(1, math.floor(share * len(terms)))
        if len(hard) < least:
            hard = terms[:least]
        return -sum(map(math.log, hard)) / len(hard)

    return reference


def groups(logits: np.ndarray, target: np.ndarray, batch: bool) -> Iterator[list[tuple[int, list[float]]]]:
    """Labelled pixels of the batch, or of each image that has any."""
    everything = list(pixels(logits, target))
    if batch:
        yield [(t, p) for _, t, p in everything]
        return
    for n in range(len(target)):
        own = [(t, p) for image, t, p in everything if image == n]
        if own:
            yield own


def ref_region(
    score: Callable[[list[float], list[float]], float],
    batch: bool = True,
    absent: str = "skip",
    weight: list[float] | None = None,
) -> Reference:
    """Mean over images of the mean over classes of ``score(probabilities, labels)`` of one class in one group."""

    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        classes = logits.shape[1]
        found = []
        for group in groups(logits, target, batch):
            values, weights = [], []
            for c in range(classes):
                p, y = [p[c] for _, p in group], [float(t == c) for t, _ in group]
                if absent == "count" or any(y):
                    values.append(score(p, y))
                    weights.append(weight[c] if weight else 1.0)
            found.append(weighted_mean(values, weights))
        return sum(found) / len(found)

    return reference


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def dice(smooth: float = 1.0, squared: bool = False) -> Callable[[list[float], list[float]], float]:
    def score(p: list[float], y: list[float]) -> float:
        below = dot(p, p) + dot(y, y) if squared else sum(p) + sum(y)
        return 1 - (2 * dot(p, y) + smooth) / (below + smooth)

    return score


def jaccard(smooth: float = 1.0) -> Callable[[list[float], list[float]], float]:
    def score(p: list[float], y: list[float]) -> float:
        return 1 - (dot(p, y) + smooth) / (sum(p) + sum(y) - dot(p, y) + smooth)

    return score


def tversky(
    alpha: float = 0.3, beta: float = 0.7, exponent: float = 1.0, smooth: float = 1.0
) -> Callable[[list[float], list[float]], float]:
    def score(p: list[float], y: list[float]) -> float:
        false_positive = sum(a * (1 - b) for a, b in zip(p, y, strict=True))
        false_negative = sum((1 - a) * b for a, b in zip(p, y, strict=True))
        hit = dot(p, y)
        return (1 - (hit + smooth) / (hit + alpha * false_positive + beta * false_negative + smooth)) ** exponent

    return score


def lovasz(p: list[float], y: list[float]) -> float:
    """Area under the Jaccard loss of the sets of pixels with errors above a threshold."""
    errors = [abs(b - a) for a, b in zip(p, y, strict=True)]
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    value = before = 0.0
    for k in range(1, len(order) + 1):
        wrong = set(order[:k])
        truth = {i for i, b in enumerate(y) if b}
        # the labels of a prediction that is wrong exactly there
        predicted = truth ^ wrong
        loss = 1 - len(truth & predicted) / len(truth | predicted) if truth | predicted else 0.0
        value += errors[order[k - 1]] * (loss - before)
        before = loss
    return value


def ref_exp_log(
    weight: list[float] | None = None,
    shares: tuple[float, float] = (0.8, 0.2),
    gammas: tuple[float, float] = (0.3, 0.3),
    smooth: float = 1.0,
    batch: bool = True,
    absent: str = "count",
) -> Reference:
    def score(p: list[float], y: list[float]) -> float:
        return (-math.log((2 * dot(p, y) + smooth) / (sum(p) + sum(y) + smooth))) ** gammas[0]

    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        everything = list(pixels(logits, target))
        counts = [max(1, sum(t == c for _, t, _ in everything)) for c in range(logits.shape[1])]
        w = weight or [math.sqrt(len(everything) / count) for count in counts]
        cross = sum(w[t] * (-math.log(p[t])) ** gammas[1] for _, t, p in everything) / len(everything)
        return shares[0] * ref_region(score, batch, absent)(logits, target) + shares[1] * cross

    return reference


def ref_generalized_dice(batch: bool = True, absent: str = "skip") -> Reference:
    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        found = []
        for group in groups(logits, target, batch):
            counts = [sum(t == c for t, _ in group) for c in range(logits.shape[1])]
            fallback = max(1 / n**2 for n in counts if n) if absent == "count" else 0.0
            above = below = 0.0
            for c, n in enumerate(counts):
                w = 1 / n**2 if n else fallback
                above += w * sum(p[c] for t, p in group if t == c)
                below += w * (n + sum(p[c] for _, p in group))
            found.append(1 - 2 * above / below)
        return sum(found) / len(found)

    return reference


@cache
def distances(data: bytes, shape: tuple[int, int], classes: int) -> np.ndarray:
    """Signed distances (C, H, W) of one mask, each the smallest over all pairs of pixels, rounded to float32."""
    mask = np.frombuffer(data, dtype=np.int64).reshape(shape)
    maps = np.zeros((classes, *shape), dtype=np.float32)
    labelled = [(int(y), int(x)) for y, x in np.argwhere(mask != IGNORE)]
    for c in range(classes):
        own = [at for at in labelled if mask[at] == c]
        others = [at for at in labelled if mask[at] != c]
        if own and others:
            for at in own:
                maps[c][at] = 1 - min(math.dist(at, other) for other in others)
            for at in others:
                maps[c][at] = min(math.dist(at, other) for other in own)
    return maps


def ref_boundary(normalize: str = "none", classes: list[int] | None = None) -> Reference:
    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        count, height, width = logits.shape[1:]
        wanted = classes or list(range(count))
        maps = [distances(mask.tobytes(), mask.shape, count).astype(np.float64) for mask in target]
        if normalize == "diagonal":
            maps = [image / math.sqrt(height**2 + width**2) for image in maps]
        if normalize == "maximum":
            maps = [image / np.maximum(np.abs(image).max((1, 2), keepdims=True), 1e-300) for image in maps]
        total, labelled = 0.0, np.argwhere(target != IGNORE)
        for n, y, x in labelled:
            p = softmax(logits[n, :, y, x])
            total += sum(p[c] * maps[n][c, y, x] for c in wanted)
        return total / (len(labelled) * len(wanted))

    return reference


def soft_skeleton(x: dict[tuple[int, int], float], iterations: int) -> dict[tuple[int, int], float]:
    """By the paper's algorithm, on the pixels that exist: a dict from place to value."""

    def over(
        values: dict[tuple[int, int], float], shape: list[tuple[int, int]], pick: Callable[[list[float]], float]
    ) -> dict[tuple[int, int], float]:
        return {(i, j): pick([values[i + a, j + b] for a, b in shape if (i + a, j + b) in values]) for i, j in values}

    cross, square = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)], [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    skeleton = dict.fromkeys(x, 0.0)
    for _ in range(iterations + 1):
        opened = over(over(x, cross, min), square, max)
        for at in x:
            ridge = max(x[at] - opened[at], 0.0)
            skeleton[at] += ridge * (1 - skeleton[at])
        x = over(x, cross, min)
    return skeleton


def ref_cl_dice(
    iterations: int, smooth: float, classes: list[int] | None = None, batch: bool = True, absent: str = "skip"
) -> Reference:
    def reference(logits: np.ndarray, target: np.ndarray) -> float:
        wanted = classes or list(range(logits.shape[1]))
        sums = np.zeros((len(target), len(wanted), 5))
        for n, mask in enumerate(target):
            places = [(int(i), int(j)) for i, j in np.argwhere(mask != IGNORE)]
            p = {at: softmax(logits[(n, slice(None), *at)]) for at in places}
            for k, c in enumerate(wanted):
                one, y = {at: p[at][c] for at in places}, {at: float(mask[at] == c) for at in places}
                line, true = soft_skeleton(one, iterations), soft_skeleton(y, iterations)
                columns = [(line[a] * y[a], line[a], true[a] * one[a], true[a], y[a]) for a in places]
                sums[n, k] = np.sum(columns, axis=0) if columns else 0
        found = []
        for row in [sums.sum(0)] if batch else sums:
            if not row[:, 4].any():
                continue
            a, b = (row[:, 0] + smooth) / (row[:, 1] + smooth), (row[:, 2] + smooth) / (row[:, 3] + smooth)
            values = 1 - 2 * a * b / (a + b)
            found.append(values[row[:, 4] > 0].mean() if absent == "skip" else values.mean())
        return float(np.mean(found)) if found else 0.0

    return reference


def ref_sum(*parts: tuple[float, Reference]) -> Reference:
    return lambda logits, target: sum(weight * part(logits, target) for weight, part in parts)


def per_image(**options: object) -> dict[str, object]:
    return {"batch": False, "absent": "count", "weight": WEIGHT, **options}


R = ref_region
PAIRS: dict[str, tuple[nn.Module, Reference]] = {
    "ce": (losses.CrossEntropy(), ref_cross_entropy()),
    "ce smooth sum": (losses.CrossEntropy(label_smoothing=0.1, reduction="sum"), ref_cross_entropy(0.1, None, "sum")),
    "wce": (losses.WeightedCrossEntropy(weight=WEIGHT), ref_cross_entropy(0.0, WEIGHT)),
    "wce smooth": (losses.WeightedCrossEntropy(weight=WEIGHT, label_smoothing=0.2), ref_cross_entropy(0.2, WEIGHT)),
    "wce sum": (
        losses.WeightedCrossEntropy(weight=WEIGHT, label_smoothing=0.2, reduction="sum"),
        ref_cross_entropy(0.2, WEIGHT, "sum"),
    ),
    "focal": (losses.Focal(), ref_focal(2.0)),
    "focal 0": (losses.Focal(gamma=0, weight=WEIGHT), ref_focal(0.0, WEIGHT)),
    "focal 0.3": (losses.Focal(gamma=0.3), ref_focal(0.3)),
    "focal 1 weight": (losses.Focal(gamma=1, weight=WEIGHT), ref_focal(1.0, WEIGHT)),
    "dice": (losses.Dice(), R(dice())),
    "dice smooth 0": (losses.Dice(smooth=0), R(dice(0))),
    "dice squared": (losses.Dice(squared=True, absent="count"), R(dice(1, True), absent="count")),
    "dice image": (losses.Dice(batch=False), R(dice(), False)),
    "dice image squared": (losses.Dice(**per_image(squared=True)), R(dice(1, True), False, "count", WEIGHT)),
    "dice weight": (losses.Dice(weight=WEIGHT), R(dice(), weight=WEIGHT)),
    "jaccard": (losses.Jaccard(), R(jaccard())),
    "jaccard image": (losses.Jaccard(**per_image(smooth=0.1)), R(jaccard(0.1), False, "count", WEIGHT)),
    "tversky": (losses.Tversky(), R(tversky())),
    "tversky 0.75": (
        losses.Tversky(alpha=0.2, beta=0.9, exponent=0.75, smooth=0.5),
        R(tversky(0.2, 0.9, 0.75, 0.5)),
    ),
    "tversky image": (losses.Tversky(**per_image(exponent=1.5)), R(tversky(exponent=1.5), False, "count", WEIGHT)),
    "lovasz": (losses.LovaszSoftmax(), R(lovasz)),
    "lovasz count": (losses.LovaszSoftmax(absent="count", weight=WEIGHT), R(lovasz, absent="count", weight=WEIGHT)),
    "lovasz image": (losses.LovaszSoftmax(batch=False), R(lovasz, False)),
    "exp log": (losses.ExpLog(), ref_exp_log()),
    "exp log weight": (
        losses.ExpLog(weight=WEIGHT, dice_share=0.5, cross_share=1.5, gamma_dice=0.6, gamma_cross=1.0, smooth=0.2),
        ref_exp_log(WEIGHT, (0.5, 1.5), (0.6, 1.0), 0.2),
    ),
    "exp log image": (losses.ExpLog(batch=False, absent="skip"), ref_exp_log(batch=False, absent="skip")),
    "gdl": (losses.GeneralizedDice(), ref_generalized_dice()),
    "gdl count": (losses.GeneralizedDice(absent="count"), ref_generalized_dice(absent="count")),
    "gdl image": (losses.GeneralizedDice(batch=False, absent="count"), ref_generalized_dice(False, "count")),
    "ohem": (losses.OhemCrossEntropy(threshold=0.3), ref_ohem(0.3, 0.0625)),
    "ohem share": (losses.OhemCrossEntropy(threshold=0.1, share=0.5), ref_ohem(0.1, 0.5)),
    "poly1": (losses.Poly1(), ref_poly1(1.0)),
    "poly1 -0.5": (losses.Poly1(epsilon=-0.5), ref_poly1(-0.5)),
    "boundary": (losses.Boundary(), ref_boundary()),
    "boundary classes": (losses.Boundary(classes=[3, 1]), ref_boundary(classes=[3, 1])),
    "boundary diagonal": (losses.Boundary(normalize="diagonal"), ref_boundary("diagonal")),
    "boundary maximum": (losses.Boundary(normalize="maximum", classes=[0, 2]), ref_boundary("maximum", [0, 2])),
    "cl dice": (losses.ClDice(iterations=2), ref_cl_dice(2, 1.0)),
    "cl dice image": (
        losses.ClDice(iterations=1, smooth=0.1, classes=[2, 0], batch=False, absent="count"),
        ref_cl_dice(1, 0.1, [2, 0], False, "count"),
    ),
    "sum": (
        losses.WeightedSum(
            terms={"ce": losses.CrossEntropy(), "dice": losses.Dice(), "boundary": losses.Boundary()},
            weights={"ce": 0.3, "dice": 1.7, "boundary": 0.01},
        ),
        ref_sum((0.3, ref_cross_entropy()), (1.7, R(dice())), (0.01, ref_boundary())),
    ),
}


def batch(case: str = "usual") -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(2, 4, 3, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(4, (2, 3, 4), generator=generator)
    target[0][target[0] == 2] = 0  # absent from one image
    target[0, 1, 1:3] = target[1, 0, 0] = IGNORE
    if case == "absent":
        target[target == 3] = 1
    if case == "void":
        target[0] = IGNORE
    if case == "covered":
        target[0] = 1
    if case == "ties":
        logits = logits.round()
        logits[1] = 0
    if case == "sharp":
        logits = 4 * logits
    return logits, target


def numeric_gradient(reference: Reference, logits: np.ndarray, target: np.ndarray, step: float = 3e-4) -> np.ndarray:
    """Five-point central differences: error of the order of step^4."""
    gradient = np.zeros_like(logits)
    for n, c, y, x in np.ndindex(logits.shape):
        if target[n, y, x] == IGNORE:
            continue  # exactly 0, which the comparison asks for
        values = []
        for shift in (-2, -1, 1, 2):
            moved = logits.copy()
            moved[n, c, y, x] += shift * step
            values.append(reference(moved, target))
        gradient[n, c, y, x] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return gradient


@pytest.mark.parametrize("case", ["usual", "absent", "void", "covered", "ties", "sharp"])
@pytest.mark.parametrize("name", PAIRS)
def test_value(name: str, case: str) -> None:
    loss, reference = PAIRS[name]
    logits, target = batch(case)
    assert loss(logits, target).item() == pytest.approx(reference(logits.numpy(), target.numpy()), abs=1e-9)
    expected = reference(logits.float().double().numpy(), target.numpy())
    for native in (True, False):
        with losses.fused(native):
            assert loss(logits.float(), target).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


FOR_FOUR_CLASSES = ("weight", "wce", "image", "count", "classes", "focal 0", "maximum")


@pytest.mark.parametrize("classes", [2, 19, 150])
@pytest.mark.parametrize("name", [n for n in PAIRS if n == "focal 0.3" or not any(w in n for w in FOR_FOUR_CLASSES)])
def test_numbers_of_classes(name: str, classes: int) -> None:
    loss, reference = PAIRS[name]
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(2, classes, 3, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(classes, (2, 3, 4), generator=generator)
    target[0, 1, 1:3] = IGNORE
    assert loss(logits, target).item() == pytest.approx(reference(logits.numpy(), target.numpy()), abs=1e-9)


ABOVE_THE_MARGIN = {"ce": 0, "focal": 0, "focal 0.3": 0, "poly1": 1, "ohem": 0, "wce": 0}
REGIONS = [name for name in PAIRS if name.split()[0] in ("dice", "jaccard", "tversky", "lovasz", "gdl", "cl")]
NEVER_MET = {"ce smooth sum", "wce smooth", "wce sum"}  # smoothed targets


@pytest.mark.parametrize("name", [n for n in PAIRS if "boundary" not in n and n != "sum"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_saturated(name: str, dtype: torch.dtype) -> None:
    """Right everywhere: 0. Wrong everywhere: the cross entropy is the margin, and no class is hit."""
    loss, reference = PAIRS[name]
    _, target = batch()
    own = torch.nn.functional.one_hot(torch.where(target == IGNORE, 0, target), 4).movedim(-1, 1)
    right, wrong = (1e4 * own).to(dtype), (1e4 * own.roll(1, dims=1)).to(dtype)
    if name not in NEVER_MET:
        assert loss(right, target).item() == pytest.approx(0, abs=1e-6)
    value = loss(wrong, target).item()
    if name in ABOVE_THE_MARGIN:
        assert value == pytest.approx(float(wrong.max()) + ABOVE_THE_MARGIN[name], rel=1e-6)
    if name in REGIONS:
        assert value == pytest.approx(reference(wrong.double().numpy(), target.numpy()), rel=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_gradient(name: str) -> None:
    loss, reference = PAIRS[name]
    logits, target = batch("usual" if "count" in name else "absent")
    loss(logits.requires_grad_(), target).backward()
    expected = numeric_gradient(reference, logits.detach().numpy(), target.numpy())
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=0, atol=1e-8 * np.abs(expected).max())
    for native in (True, False):
        single = logits.detach().float().requires_grad_()
        with losses.fused(native):
            loss(single, target).backward()
        np.testing.assert_allclose(single.grad.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_classes_without_weight() -> None:
    """An image in which only classes of weight 0 are averaged does not count, as one without labelled pixels."""
    logits, target = batch()
    target[0][target[0] != IGNORE] = 1
    for loss in (losses.Dice, losses.Jaccard, losses.Tversky, losses.LovaszSoftmax):
        weight = [1, 0, 1, 1]
        alone = loss(batch=False, weight=weight)(logits[1:], target[1:])
        assert loss(batch=False, weight=weight)(logits, target).item() == pytest.approx(alone.item(), abs=1e-12)
    assert losses.WeightedCrossEntropy(weight=[1, 0, 1, 1])(logits[:1], target[:1]) == 0


def test_unified_focal_is_the_papers() -> None:
    """lambda delta (1 - p)^(1 - gamma) CE + (1 - lambda) mean_c (1 - modified TI)^gamma."""
    share, delta, gamma = 0.5, 0.6, 0.5
    loss = instantiate(config("unified_focal"))
    logits, target = batch()
    expected = ref_sum((share * delta, ref_focal(1 - gamma)), (1 - share, R(tversky(1 - delta, delta, gamma))))(
        logits.numpy(), target.numpy()
    )
    assert loss(logits, target).item() == pytest.approx(expected, abs=1e-9)


def test_focal_without_gamma_is_cross_entropy_to_the_bit() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        found, expected = (batch()[0].to(dtype).requires_grad_() for _ in range(2))
        target = batch()[1]
        values = losses.Focal(gamma=0)(found, target), losses.CrossEntropy()(expected, target)
        assert values[0] == values[1]
        for value in values:
            value.backward()
        assert torch.equal(found.grad, expected.grad)


def test_relatives_agree() -> None:
    logits, target = batch("sharp")
    tversky_dice = losses.Tversky(alpha=0.5, beta=0.5, smooth=0.5)(logits, target)
    assert tversky_dice.item() == pytest.approx(losses.Dice()(logits, target).item(), abs=1e-12)
    tversky_jaccard = losses.Tversky(alpha=1, beta=1)(logits, target)
    assert tversky_jaccard.item() == pytest.approx(losses.Jaccard()(logits, target).item(), abs=1e-12)
    assert losses.Poly1(epsilon=0)(logits, target) == losses.CrossEntropy()(logits, target)
    assert losses.OhemCrossEntropy(threshold=1, share=1)(logits, target).item() == pytest.approx(
        losses.CrossEntropy()(logits, target).item(), abs=1e-12
    )
