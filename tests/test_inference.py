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
