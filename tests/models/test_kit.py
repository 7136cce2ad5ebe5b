"""The model that help(seg.models) shows, as a newcomer would write it; and what a model of ours has.

python -m pytest tests/models/test_kit.py
"""

import re
from pathlib import Path

import cv2
import pytest
import torch
from conftest import Script, fails, train_options, write_shown_files
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import seg.models
from seg.commands.cli import plain

CONF = Path(__file__).resolve().parents[2] / "conf"


def test_the_shown_model_trains_and_is_loaded_where_it_is_trusted(tmp_path: Path, data: Path, script: Script) -> None:
    assert write_shown_files(seg.models, tmp_path) == ["my_models.py", "my_conf/model/tiny.yaml"]
    options = [*train_options(data, model=()), "logger=none", "fit.epochs=1", "name=a"]
    done = script("seg-train", "--config-dir", "my_conf", "model=tiny", "model.width=8", *options)
    assert done.returncode == 0, done.stderr
    images, masks = data / "val/images", data / "val/masks"
    given = {"checkpoint": "runs/a/best.pt", "images": images}
    fails(script("seg-predict", **given, destination="out"), 2, r"got 'my_models.Tiny'; .*trust=\[MODULE\]")
    done = script("seg-predict", **given, destination="out", trust="[my_models]")
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "out/s100.png"), cv2.IMREAD_UNCHANGED).shape == (64, 96)
    done = script("seg-evaluate", **given, masks=masks, destination="judged", trust="[my_models]")
    assert done.returncode == 0, done.stderr
    assert re.search(r"mIoU +│ +\d", done.stdout), done.stdout


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "model").glob("*.yaml")))
def test_a_model_of_ours_gives_logits_and_is_restored(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = {**plain(compose("train", [f"model={name}"]).model), "classes": 3}
    model = instantiate(config, _convert_="all").eval()
    images = torch.zeros(1, 3, 64, 96)
    assert model(images).shape == (1, 3, 64, 96), "(N, C, H, W) logits of the size of the images"
    try:
        restored = seg.models.restore(config, model.state_dict())
    except ValueError as error:
        pytest.fail(
            f"checkpoints cannot name {config['_target_']}: add it to _known in seg/models/restoring.py ({error})"
        )
    assert torch.equal(restored(images), model(images))
