"""Which images to label next: the order, and the features that tell images apart.

python -m pytest tests/inference/test_ranking.py
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_members import write_members
from scipy.spatial.distance import cdist, pdist
from torch import nn

from seg.inference import Sliding, whole_image
from seg.inference.features import Pooled, encoder_of, last_map
from seg.inference.image import features_of
from seg.inference.members import load
from seg.inference.ranking import Ranked, ranked


def made(seed: int, number: int = 40, labelled: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(number + labelled, 7)).astype(np.float32)
    return rng.random(number), features[:number], features[number:]


def by_definition(uncertainty: np.ndarray, features: np.ndarray, labelled: np.ndarray, number: int) -> list[Ranked]:
    """With the distances of all pairs, and as loops."""
    apart = cdist(features.astype(float), np.concatenate([features, labelled]).astype(float))
    apart /= np.sqrt(np.mean(pdist(features.astype(float)) ** 2) * (len(features) - 1) / len(features))
    before, order = list(range(len(features), apart.shape[1])), []

    def row(image: int) -> Ranked:
        if not before:
            return Ranked(image, uncertainty[image], float("nan"), -1)
        nearest = min(before, key=lambda other: apart[image, other])
        return Ranked(image, uncertainty[image] * apart[image, nearest], apart[image, nearest], nearest)

    left = set(range(len(features)))
    while len(order) < number and left:
        order.append(max(map(row, left), key=lambda each: each.score))
        left.remove(order[-1].image)
        before.append(order[-1].image)
    return order + sorted(map(row, left), key=lambda each: -each.score)


@pytest.mark.parametrize("number", [1, 12, 100])
@pytest.mark.parametrize("known", [0, 5])
def test_against_the_definition(number: int, known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seg.inference.ranking._ROWS", 16)  # several parts
    uncertainty, features, labelled = made(number + known)
    expected = by_definition(uncertainty, features, labelled[:known], number)
    found = ranked(uncertainty, features, labelled[:known] if known else None, number=number)
    assert [each.image for each in found] == [each.image for each in expected]
    assert [each.nearest for each in found] == [each.nearest for each in expected]
    for name in ("score", "novelty"):
        values = [[getattr(each, name) for each in some] for some in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-5)


def test_no_two_neighbours_come_first() -> None:
    """Ten frames of each of five scenes: the first five are of different ones, where uncertainty alone takes one."""
    rng = np.random.default_rng(0)
    scenes = rng.normal(size=(5, 16)).repeat(10, axis=0)
    features = (scenes + rng.normal(scale=0.05, size=scenes.shape)).astype(np.float32)
    uncertainty = 0.2 + 0.1 * rng.random(50)
    uncertainty[:10] += 0.3
    first = [each.image // 10 for each in ranked(uncertainty, features, number=5)[:5]]
    assert sorted(first) == [0, 1, 2, 3, 4]
    assert first[0] == 0
    assert {*np.argsort(-uncertainty)[:5] // 10} == {0}


def test_a_copy_comes_last_and_ties_by_place() -> None:
    uncertainty, features, labelled = made(3)
    features[7], uncertainty[7] = features[31], uncertainty[31]
    features[8] = labelled[2]
    order = [each.image for each in ranked(uncertainty, features, labelled, number=40)]
    assert {8, 31} == {*order[-2:]}
    same = ranked(np.ones(4), np.zeros((4, 3), np.float32), number=4)
    assert [each.image for each in same] == [0, 1, 2, 3]
    assert [each.score for each in same] == [1, 0, 0, 0]


def test_units_do_not_matter() -> None:
    uncertainty, features, labelled = made(5)
    order = [each.image for each in ranked(uncertainty, features, labelled)]
    assert order == [each.image for each in ranked(1e-6 * uncertainty, 1000 * features, 1000 * labelled)]


def test_features_are_the_mean_of_the_last_map(tmp_path: Path) -> None:
    import cv2

    model = load(write_members(tmp_path, 2), "cpu")  # of several, those of the first
    first = load(tmp_path / "m0.pt", "cpu")
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    with torch.no_grad():
        maps = first.model.encoder(first.inputs(first.read(tmp_path / "a.png")))[-1]
    expected = maps[0].mean((1, 2)).numpy()
    for each in (model, first):
        found = features_of(each, tmp_path / "a.png")
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        assert found.dtype == np.float32
    with pytest.raises(ValueError, match=r"^image '.*b\.png'"):
        features_of(model, tmp_path / "b.png")


def test_windows_count_alike() -> None:
    """Of two windows, one bright and one dark, the mean; and nothing is taken in outside of the block."""

    class Same(nn.Module):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [images, images[:, :, ::4, ::4]]

    encoder = Same()
    images = torch.cat([torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)], 3)
    with Pooled(encoder) as pooled:
        Sliding(lambda part: encoder(part)[0], 32, 0, "constant")(images)
    encoder(torch.full((1, 3, 32, 32), 9.0))
    assert pooled.features.tolist() == [0.5] * 3
    with Pooled(encoder) as again:
        whole_image(lambda part: encoder(part)[0], images[..., 32:])
    assert again.features.tolist() == [1.0] * 3


def test_the_last_map_of_whatever_an_encoder_gives() -> None:
    a, b, token = torch.zeros(1, 2, 8, 8), torch.zeros(1, 4, 4, 4), torch.zeros(1, 4)
    assert last_map(b) is b
    assert last_map([a, b]) is b
    assert last_map(([a, b], [token, token])) is b
    with pytest.raises(ValueError, match=r"^rank: expected an encoder that gives maps \(N, F, h, w\), got none"):
        last_map([token])


def test_a_model_without_an_encoder_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    model = replace(load(write_members(tmp_path, 1), "cpu"), model=nn.Identity(), path="model.onnx")
    with pytest.raises(ValueError, match=r"^rank: expected a model with an encoder, .* got 'model\.onnx'"):
        encoder_of(model)
