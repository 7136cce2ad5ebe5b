"""A model predicts as its run was validated, unless something else is asked for.

python -m pytest tests/inference/test_validated.py
"""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from seg.commands.cli import conf_dir
from seg.commands.cli.targets import inference_of
from seg.commands.evaluate import evaluate
from seg.commands.export import export
from seg.commands.predict import predict
from seg.inference import as_validated, members, trained
from seg.inference.validated import WHOLE, is_ours, restored, words
from seg.labels import LabelMap
from seg.models import checkpoint

OLD = Path(__file__).parents[1] / "golden" / "format1" / "last.pt"
HALF = ("inference=tta", "inference.flips=[]", "inference.scales=[0.5]")
WAYS = {
    "whole": ("inference=whole",),
    "windows": ("inference=sliding", "inference.window=64", "inference.overlap=0.25"),
    "views": ("inference=tta", "inference.flips=[horizontal,vertical]", "inference.rotations=[0,90]"),
    "half": HALF,
    "both": ("inference=sliding_tta", "inference.tta.scales=[0.5,1.0]", "inference.sliding.window=64"),
}


def chosen(*given: str, command: str = "predict") -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(command, list(given))


def group(*given: str) -> Any:
    """The group ``inference`` of a command line, plain."""
    return OmegaConf.to_container(chosen(*given))["inference"]  # type: ignore[index,call-overload]


def write(path: str, config: dict[str, Any]) -> str:
    """A checkpoint whose run had this configuration."""
    checkpoint.save(path, trained.read(OLD) | {"config": config})
    return path


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """A folder with an image and its mask; returned are pixels as a model takes them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder, shape, most in (("images", (80, 112, 3), 256), ("masks", (80, 112), 3)):
        Path(folder).mkdir()
        cv2.imwrite(f"{folder}/a.png", rng.integers(0, most, shape, np.uint8))
    return torch.from_numpy(rng.random((1, 3, 80, 112), np.float32))


@pytest.mark.parametrize("given", WAYS.values(), ids=WAYS)
def test_the_way_of_a_run_is_restored(images: torch.Tensor, given: tuple[str, ...]) -> None:
    config = group(*given)
    write("a.pt", {"inference": config})
    loaded, wanted = members.load("a.pt", "cpu"), inference_of(config)
    assert wanted is not None
    with torch.inference_mode():
        assert torch.equal(loaded.predictor()(images), wanted(loaded.model)(images))
    assert loaded.validated == config
    assert is_ours(loaded.way)
    assert group(*words(loaded.way).split()) == config  # what is said can be given back


def test_older_checkpoints_predict_whole_images(images: torch.Tensor) -> None:
    loaded = members.load(OLD, "cpu")
    assert loaded.way == WHOLE
    with torch.inference_mode():
        assert torch.equal(loaded.predictor()(images), loaded.infer(loaded.model)(images))
    write("null.pt", {"inference": None})
    assert members.load("null.pt", "cpu").way == WHOLE


def masks_of(folder: str) -> Any:
    return cv2.imread(f"{folder}/a.png", cv2.IMREAD_UNCHANGED)


def test_commands_predict_as_it_wrestored(images: torch.Tensor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write("half.pt", {"inference": group(*HALF)})
    given = ("images=images", "device=cpu", "overlays=false")
    said = "inference=tta inference.flips=[] inference.scales=[0.5]"
    for name, more in (("own", ()), ("half", HALF), ("whole", ("inference=whole",))):
        caplog.clear()
        predict(chosen("checkpoint=half.pt", *given, f"destination={name}", *more))
        assert (said in caplog.text) == (name == "own")
    np.testing.assert_array_equal(masks_of("own"), masks_of("half"))
    assert (masks_of("own") != masks_of("whole")).any()
    first, *_ = (json.loads(line) for line in Path("own/manifest.jsonl").read_text().splitlines())
    assert json.loads(first["key"])["inference"] == group(*HALF)
    caplog.clear()
    predict(chosen("checkpoint=half.pt", *given, "destination=own", *HALF))  # the same, so that all is there already
    assert "0 masks written to own, 1 unchanged" in caplog.text


def test_an_exported_file_goes_on_so(images: torch.Tensor, caplog: pytest.LogCaptureFixture) -> None:
    write("half.pt", {"inference": group(*HALF)})
    export(chosen("checkpoint=half.pt", "destination=half.onnx", command="export"))
    assert "inference.scales=[0.5] inference.rotations=[0], as it was validated, is no part of the file" in caplog.text
    for name in ("half.pt", "half.onnx"):
        predict(chosen(f"checkpoint={name}", "images=images", f"destination=by-{name}", "device=cpu"))
    assert (masks_of("by-half.pt") == masks_of("by-half.onnx")).mean() > 0.999


def test_an_evaluation_is_of_the_same(images: torch.Tensor) -> None:
    write("half.pt", {"inference": group(*HALF)})
    scores = []
    labels = LabelMap.from_list(trained.read(OLD)["labels"])
    labels.save("masks/labels.yaml")
    for name, more in (("own", ()), ("half", HALF), ("whole", ("inference=whole",))):
        words_of = ("checkpoint=half.pt", "images=images", "masks=masks", f"destination={name}", "workers=0", *more)
        evaluate(chosen(*words_of, "device=cpu", command="evaluate"))
        scores.append(Path(name, "confusion.csv").read_text())
    assert scores[0] == scores[1] != scores[2]


def test_members_agree(images: torch.Tensor) -> None:
    state = trained.read(OLD)
    write("whole.pt", {})
    state["model"] = {name: value + 0 for name, value in state["model"].items()}
    checkpoint.save("half.pt", state | {"config": {"inference": group(*HALF)}})
    message = (
        r"expected members validated in one way, got inference=whole of 'whole.pt' and inference=tta "
        r"inference.flips=\[\] inference.scales=\[0.5\] .* of 'half.pt'; give one of the two"
    )
    with pytest.raises(ValueError, match=message):
        members.load(["whole.pt", "half.pt"], "cpu")
    infer = inference_of(group(*HALF))
    assert members.load(["whole.pt", "half.pt"], "cpu", infer=infer).infer is infer


def test_what_a_file_names_is_not_imported(images: torch.Tensor, caplog: pytest.LogCaptureFixture) -> None:
    for name, config in (
        ("own", {"_target_": "my_views.five_crops", "size": 64}),
        ("within", {"_target_": "seg.inference.composed", "tta": {"_target_": "os.system", "command": "true"}}),
        ("odd", {"_target_": ["seg.inference.whole"]}),
        ("word", "sliding"),
    ):
        caplog.clear()
        loaded = members.load(write(f"{name}.pt", {"inference": config}), "cpu")
        assert "by which it was validated, is taken from no file: whole images follow" in caplog.text
        with torch.inference_mode():
            whole = replace(loaded, infer=restored(WHOLE, "")).predictor()(images)
            assert torch.equal(loaded.predictor()(images), whole)


@pytest.mark.parametrize(
    "config",
    [
        {"_target_": "seg.inference.sliding", "window": -1},
        {"_target_": "seg.inference.sliding", "windows": 64},
        {"_target_": "seg.inference.augmented", "scales": ["x"]},
        {"_target_": "seg.inference.composed", "tta": 3},
    ],
)
def test_damaged_files(images: torch.Tensor, config: Any) -> None:
    write("a.pt", {"inference": config})
    with pytest.raises(ValueError, match=r"checkpoint: expected how it was validated in 'a.pt', got .*; the file is"):
        trained.load("a.pt", "cpu")


def test_a_training_has_nothing_to_go_by() -> None:
    with pytest.raises(
        ValueError, match="inference: expected how images are predicted, got validated, .*; give infere"
    ):
        as_validated(lambda images: images)
