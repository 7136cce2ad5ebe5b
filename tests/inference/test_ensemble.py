"""Several models as one, held against each of them alone and NumPy.

python -m pytest tests/inference/test_ensemble.py
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_members import BOXES, PLAIN, write_members
from numpy.typing import NDArray
from torch import nn

import seg
from seg import inference
from seg.inference import trained
from seg.inference.disagreement import Disagreement
from seg.inference.ensemble import Ensemble
from seg.inference.heads import heads_of, judged_heads
from seg.inference.members import load
from seg.models.heads import Heads
from seg.tasks.boxes import BoxRules

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
WAYS = {
    "whole": inference.whole,
    "sliding": partial(inference.sliding, window=32, overlap=0.25),
    "tta": partial(inference.augmented, flips=["horizontal"]),
    "sliding_tta": partial(inference.composed, tta=inference.augmented, sliding=partial(inference.sliding, window=64)),
}


def predicted(model: trained.Trained) -> NDArray[Any]:
    """Logits, and the maps of heads after them (C + K, H, W), in the strips in which they come."""
    strips = model.strips(lambda first, last: IMAGE[first:last], *IMAGE.shape[:2])
    return torch.cat(list(strips), 2)[0].double().numpy()


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(0))
    return np.asarray(powers / powers.sum(0))


def entropy(shares: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-300))).sum(0))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_members(tmp_path_factory.mktemp("plain"), 3)


@pytest.fixture(scope="module")
def members(files: list[Path]) -> list[trained.Trained]:
    """All together, and each alone."""
    return [load(one, "cpu") for one in (files, *files)]


@pytest.fixture(scope="module")
def box_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_members(tmp_path_factory.mktemp("boxes"), 3, BOXES)


@pytest.mark.parametrize("way", WAYS)
def test_its_probabilities_are_the_mean_of_those_of_its_members(way: str, members: list[trained.Trained]) -> None:
    together, *alone = (replace(one, infer=WAYS[way]) for one in members)
    with_more = replace(together, heads=Heads({"disagreement": Disagreement()}))
    shares = [softmax(predicted(one)) for one in alone]
    mean = np.mean(shares, 0)
    *logits, disagreement = predicted(with_more)
    np.testing.assert_allclose(np.exp(logits), mean, atol=2e-6)
    information = entropy(mean) - np.mean([entropy(one) for one in shares], 0)
    np.testing.assert_allclose(disagreement, information / np.log(3), atol=2e-5)
    assert 0.01 < disagreement.max() <= 1
    assert any((one.argmax(0) != mean.argmax(0)).any() for one in shares)
    with torch.inference_mode():  # not in strips
        whole = together.predictor()(together.inputs(IMAGE))[0].double().numpy()
    np.testing.assert_allclose(whole, np.array(logits), atol=1e-5)


def test_maps_of_boxes_are_averaged(box_files: list[Path]) -> None:
    together, *alone = (load(one, "cpu") for one in (box_files, *box_files))
    both = [replace(one, heads=heads_of(one.model, BoxRules)) for one in (together, *alone)]
    classes = together.labels.classes
    found, *others = (predicted(one) for one in both)
    np.testing.assert_allclose(found[classes : classes + 4], np.mean([o[-5:-1] for o in others], 0), rtol=1e-5)
    centerness = [1 / (1 + np.exp(-one[-1])) for one in (found, *others)]
    np.testing.assert_allclose(centerness[0], np.mean(centerness[1:], 0), atol=1e-5)
    np.testing.assert_allclose(np.exp(found[:-5]), np.mean([softmax(o[:-5]) for o in others], 0), atol=2e-6)
    assert list(judged_heads(together.model, inference.whole).named) == ["boxes", "disagreement"]
    assert list(judged_heads(together.model, WAYS["tta"]).named) == ["disagreement"]


def test_one_is_what_it_is_alone(files: list[Path], members: list[trained.Trained]) -> None:
    alone = members[1]
    for given in (files[:1], [str(files[0])], str(files[0]), f"{files[0].parent}/m[0].pt"):
        one = seg.load(given, "cpu")
        assert type(one.model) is type(alone.model)
        np.testing.assert_array_equal(predicted(one), predicted(alone))
        assert repr(one) == repr(alone)


def test_what_it_is(files: list[Path], members: list[trained.Trained]) -> None:
    together = members[0]
    assert repr(together).startswith("Trained(3 x u-tu-test_mambaout, 83.0 k parameters, 10 classes")
    assert together.path == f"{files[0]} and 2 more"
    assert together.score is None
    mask = together.predict(IMAGE)
    assert (mask.dtype, mask.shape) == (np.uint8, IMAGE.shape[:2])
    np.testing.assert_array_equal(mask, predicted(together).argmax(0))


def test_a_member_with_another_normalisation_sees_its_own(tmp_path: Path) -> None:
    other = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.4, 0.3]}
    files = write_members(tmp_path, 2, normalization=other)
    together, *alone = (load(one, "cpu") for one in (files, *files))
    assert alone[1].mean == (0.1, 0.2, 0.3)
    np.testing.assert_allclose(
        np.exp(predicted(together)), np.mean([softmax(predicted(o)) for o in alone], 0), atol=1e-5
    )


def test_rows_are_read_once_and_memory_is_flat(members: list[trained.Trained]) -> None:
    together = replace(members[0], infer=WAYS["sliding"])
    assert together.slides
    assert not replace(together, infer=WAYS["tta"]).slides
    asked: list[tuple[int, int]] = []

    def rows(first: int, last: int) -> NDArray[np.uint8]:
        asked.append((first, last))
        return IMAGE[first:last]

    tallest = max(strip.shape[2] for strip in together.strips(rows, *IMAGE.shape[:2]))
    assert asked == [(0, 32), (32, 51), (51, 70)]
    assert tallest <= 32


def test_a_mean_of_nearly_no_probability_stays_finite() -> None:
    """Probabilities of 1e-300 are 0 in float32, and their logarithm would be -inf."""

    class Sure(nn.Module):
        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = torch.full((len(images), 3, *images.shape[2:]), -700.0)
            logits[:, self.index] = 0
            return logits

    same, apart = Ensemble([Sure(0), Sure(0)]), Ensemble([Sure(0), Sure(1)])
    images = torch.zeros(1, 3, 32, 32)
    assert same(images)[0, :, 0, 0].tolist() == pytest.approx([0, -700, -700])
    assert apart(images)[0, :, 0, 0].tolist() == pytest.approx([np.log(0.5), np.log(0.5), -700])
    heads = Heads({"disagreement": Disagreement()})
    for model, expected in ((same, 0.0), (apart, 1.0)):
        found = model.predictor(inference.whole, heads)(images)
        assert heads.split(found)[1]["disagreement"].unique().tolist() == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            lambda state: {"labels": [{**label, "name": label["name"] + "!"} for label in state["labels"]]},
            r"expected the classes road, .* of each member, as '.*m0.pt' has, got road!, .* of '.*m1.pt'; leave one",
        ),
        (
            lambda state: {"reading": {**state["reading"], "bands": [2, 1, 0]}},
            r"expected images that are read with bands=null .* of each .* got with bands=\[2,1,0\] .* of '.*m1.pt'",
        ),
        (
            lambda state: {"reading": {**state["reading"], "range": [0, 100]}},
            r"expected images that are read with .*range=null .* got with .*range=\[\[0,100\]\] .* of '.*m1.pt'",
        ),
    ],
)
def test_members_of_other_kinds_are_refused(
    changes: Callable[[dict[str, Any]], dict[str, Any]], message: str, tmp_path: Path
) -> None:
    files = write_members(tmp_path, 2, **changes(trained.read(PLAIN)))
    with pytest.raises(ValueError, match=message):
        load(files, "cpu")


def test_members_with_other_heads_sizes_or_outputs_are_refused(
    files: list[Path], members: list[trained.Trained], box_files: list[Path]
) -> None:
    with pytest.raises(
        ValueError, match=r"expected the heads none of each .*, got boxes \(countable=None, min_area=16"
    ):
        load([files[0], box_files[0]], "cpu")
    _, first, second, _ = members
    with pytest.raises(ValueError, match=r"expected images of the size any of each member, .* got 64x96 of '.*m1.pt'"):
        seg.inference.members.together([first, replace(second, size=(64, 96))])
    with pytest.raises(
        ValueError, match=r"expected members that give probabilities, got '.*m1.pt', which was exported"
    ):
        seg.inference.members.together([first, replace(second, certain=True)])


@pytest.mark.parametrize("number", [0, 1])
def test_a_member_with_damaged_weights_is_named(number: int, tmp_path: Path) -> None:
    files = write_members(tmp_path, 2)
    state = torch.load(files[number], weights_only=True)
    name = next(name for name, value in state["model"].items() if value.is_floating_point() and value.dim() == 4)
    state["model"][name][0, 0, 0, 0] = np.nan
    torch.save(state, files[number])
    message = rf"expected finite weights of each member, got NaN or infinity in {name} of '.*m{number}.pt'; leave it"
    with pytest.raises(ValueError, match=message):
        load(files, "cpu")
