"""The augmentation that help(seg.transforms) shows, as a newcomer would write it.

python -m pytest tests/transforms/test_kit.py
"""

from pathlib import Path

import cv2
import numpy as np
import yaml
from conftest import Script, train_options, write_shown_files

import seg.transforms

OWN = ("--config-dir", "my_conf", "augment=turned", "augment.turn.p=1.0")


def test_the_shown_augmentation_is_trained_with_and_written(tmp_path: Path, data: Path, script: Script) -> None:
    names = write_shown_files(seg.transforms, tmp_path)
    assert names == ["my_transforms.py", "my_conf/augment/turned.yaml"]
    done = script("seg-train", *OWN, *train_options(data), "logger=none", "fit.epochs=1", "name=a")
    assert done.returncode == 0, done.stderr
    recipe = yaml.safe_load((tmp_path / "runs/a/config.yaml").read_text())["augment"]
    assert recipe["turn"] == {"_target_": "my_transforms.HalfTurn", "p": 1.0}
    assert list(recipe)[-1] == "turn", "after what it goes on from"

    still = ("augment.flip=null", "augment.color=null", "augment.crop=null")
    folders = {"images": data / "val/images", "masks": data / "val/masks"}
    done = script("seg-augment", *OWN, *still, destination="copies", workers=0, **folders)
    assert done.returncode == 0, done.stderr
    for kind, flag in (("images", cv2.IMREAD_COLOR), ("masks", cv2.IMREAD_UNCHANGED)):
        before, after = (
            cv2.imread(str(path), flag)
            for path in (data / f"val/{kind}/s100.png", tmp_path / f"copies/{kind}/s100__turned-1.png")
        )
        np.testing.assert_array_equal(after, before[::-1, ::-1])
