"""The label map that help(seg.labels) shows, as a newcomer would write it.

python -m pytest tests/labels/test_kit.py
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Script, write_shown_files

import seg.labels
from seg.convert import convert_folder
from seg.labels import LabelMap

MASK = np.array([[0, 0, 1], [1, 255, 255]], np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The map, and label images in colours and in numbers."""
    assert write_shown_files(seg.labels, tmp_path) == ["my_palette.yaml"]
    colors = np.array([[[128, 64, 128], [130, 66, 130], [70, 70, 70]], [[70, 70, 70], [0, 0, 0], [0, 0, 0]]], np.uint8)
    for kind, pixels in (("colors", colors[..., ::-1]), ("numbers", np.array([[1, 1, 2], [2, 0, 0]], np.uint8))):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), pixels)
    return tmp_path


@pytest.mark.parametrize("kind", ["colors", "numbers"])
def test_the_shown_map_converts_by_its_path(folder: Path, kind: str, script: Script) -> None:
    done = script("seg-preprocess", labels="my_palette.yaml", source=kind, destination="masks")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(cv2.imread(str(folder / "masks/a.png"), cv2.IMREAD_UNCHANGED), MASK)


def test_the_shown_map_is_known_by_its_name_among_the_palettes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(ValueError, match="expected a file or a built-in name, got 'my_palette'"):
        LabelMap.load("my_palette")
    monkeypatch.setattr("seg.labels.map.PALETTES", folder)
    convert_folder(folder / "colors", folder / "masks", LabelMap.load("my_palette"), threads=1)
    np.testing.assert_array_equal(cv2.imread(str(folder / "masks/a.png"), cv2.IMREAD_UNCHANGED), MASK)
