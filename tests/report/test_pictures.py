"""python -m pytest tests/report/test_pictures.py"""

import numpy as np

from seg.report import pictures


def test_overlay_tints_classes_and_spares_ignored() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    mask = np.array([[0, 1, 255], [0, 1, 255]], np.uint8)
    picture = pictures.overlay(image, mask, [(200, 0, 0), (0, 200, 0)], opacity=0.5)
    assert picture[0].tolist() == [[150, 50, 50], [50, 150, 50], [100, 100, 100]]
    assert pictures.colorize(mask, [(200, 0, 0), (0, 200, 0)])[0].tolist() == [[200, 0, 0], [0, 200, 0], [0, 0, 0]]


def test_panel_shows_what_is_there() -> None:
    image = np.full((60, 80, 3), 128, np.uint8)
    mask = np.zeros((60, 80), np.uint8)
    palette, names = [(255, 0, 0), (0, 255, 0), (0, 0, 255)], ["red", "green", "blue"]
    picture = pictures.panel(image, mask + np.uint8(1), palette, names, target=mask)
    assert picture.shape[1] == 3 * 80 + 2 * 4
    assert picture.shape[0] > 60
    legend = picture[60:].reshape(-1, 3).tolist()
    assert [255, 0, 0] in legend
    assert [0, 255, 0] in legend
    assert [0, 0, 255] not in legend


def test_boxes_are_outlined() -> None:
    """In the colour of the class, within the box, on a white rim; the picture given stays as it is."""
    picture = np.zeros((20, 30, 3), np.uint8)
    drawn = pictures.outlined(picture, [[5.2, 4.0, 15.0, 12.4]], [1], [(1, 1, 1), (250, 10, 20)])
    assert not picture.any()
    colored = np.argwhere((drawn == (250, 10, 20)).all(-1))
    assert (colored.min(0).tolist(), colored.max(0).tolist()) == ([4, 5], [11, 14])
    assert (drawn[3, 5:15] == 255).all()
    assert not drawn[6:10, 7:13].any()
    assert (pictures.outlined(picture, [], [], []) == picture).all()
