"""python -m pytest tests/test_inference.py"""

import numpy as np
import pytest
import torch

from seg import inference


@pytest.mark.parametrize("size", [(32, 64), (33, 65), (1, 1), (100, 31)])
def test_whole_image_pads_and_crops(size: tuple[int, int]) -> None:
    seen = []

    def model(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.shape[-2:])
        return images * 2

    images = torch.randn(2, 3, *size)
    assert torch.equal(inference.whole_image(model, images), images * 2)
    assert all(side % 32 == 0 for side in seen[0])


def test_predict_normalises_and_takes_the_argmax() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    mask = inference.predict(lambda x: x, image, mean=(0.5, 0.2, 0.1), std=(0.1, 0.2, 0.3))
    expected = ((image / np.float32(255) - np.float32([0.5, 0.2, 0.1])) / np.float32([0.1, 0.2, 0.3])).argmax(-1)
    assert mask.dtype == np.uint8
    assert (mask == expected).mean() > 0.999  # float32 ties may round either way


def test_overlay_tints_classes_and_spares_ignored() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    mask = np.array([[0, 1, 255], [0, 1, 255]], np.uint8)
    picture = inference.overlay(image, mask, [(200, 0, 0), (0, 200, 0)], opacity=0.5)
    assert picture[0].tolist() == [[150, 50, 50], [50, 150, 50], [100, 100, 100]]
    assert inference.colorize(mask, [(200, 0, 0), (0, 200, 0)])[0].tolist() == [[200, 0, 0], [0, 200, 0], [0, 0, 0]]


def test_panel_shows_what_is_there() -> None:
    image = np.full((60, 80, 3), 128, np.uint8)
    mask = np.zeros((60, 80), np.uint8)
    palette, names = [(255, 0, 0), (0, 255, 0), (0, 0, 255)], ["red", "green", "blue"]
    picture = inference.panel(image, mask + np.uint8(1), palette, names, target=mask)
    assert picture.shape[1] == 3 * 80 + 2 * 4
    assert picture.shape[0] > 60
    legend = picture[60:].reshape(-1, 3).tolist()
    assert [255, 0, 0] in legend
    assert [0, 255, 0] in legend
    assert [0, 0, 255] not in legend
