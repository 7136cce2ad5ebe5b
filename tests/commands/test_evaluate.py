"""seg-evaluate: masks predicted elsewhere, temperatures, and requests that contradict themselves.

In this process where it can be: starting a command takes seconds.

python -m pytest tests/commands/test_evaluate.py
"""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import LABELS, Script, fails, scene
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from seg import runs
from seg.commands import evaluate
from seg.commands.cli import conf_dir
from seg.inference import export, trained
from seg.synthetic import LABELS as STREET

CHECKPOINT = Path(__file__).parents[1] / "golden" / "format2" / "best.pt"


def judge(**options: Any) -> dict[str, Any]:
    """Run the command with these options, and return ``metrics.json``."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        defaults = compose("evaluate")
    OmegaConf.set_struct(defaults, False)
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    evaluate.evaluate(OmegaConf.merge(defaults, {"workers": 0, "device": "cpu", **plain}))
    found: dict[str, Any] = json.loads((Path(options["destination"]) / "metrics.json").read_text())
    return found


@pytest.fixture(autouse=True)
def _all_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "seg")


@pytest.fixture
def val(data: Path) -> Path:
    """A folder with ``images/``, ``masks/`` and ``predicted/``, where car is missed and ignored pixels are anything."""
    folder = data / "val"
    (folder / "predicted").mkdir()
    for seed in (100, 101):
        mask = scene(seed)[1]
        mask[mask == 2] = 0
        mask[mask == 255] = 1
        cv2.imwrite(str(folder / f"predicted/s{seed}.png"), mask)
    return folder


def paint(path: Path, change: Any) -> None:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    change(mask)
    cv2.imwrite(str(path), mask)


def test_predicted_masks_are_counted_as_by_hand(val: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = judge(predictions=val / "predicted", masks=val / "masks", destination=tmp_path / "out")
    assert "loading torch" not in caplog.text  # it pairs masks with masks
    targets = np.stack([scene(seed)[1] for seed in (100, 101)])
    predicted = np.where(targets == 2, 0, targets)
    valid = targets != 255
    for index, name in enumerate(LABELS.names):
        ours, theirs = (predicted == index) & valid, targets == index
        assert found["iou"][name] == pytest.approx((ours & theirs).sum() / (ours | theirs).sum())
    assert found["accuracy"] == pytest.approx((predicted == targets)[valid].mean())
    assert found["predictions"] == str(val / "predicted")
    assert "checkpoint" not in found
    assert not {"ece", "ece_i", "reliability"} & found.keys()
    assert found["components"]["car"]["small"] == {"number": 2, "missed": 2, "recall": 0.0, "iou": 0.0}
    assert not (tmp_path / "out/pictures").exists()
    assert "have no confidence" in caplog.text
    per_image = runs.read_per_image(tmp_path / "out/per_image.csv")
    assert per_image.images == ("s100", "s101")
    assert per_image.counts[..., 2].sum() == valid.sum()


def test_pictures_where_images_are_given(val: Path, tmp_path: Path) -> None:
    folders = {"predictions": val / "predicted", "masks": val / "masks", "destination": tmp_path / "out"}
    judge(**folders, images=val / "images", pictures=1)
    (picture,) = (tmp_path / "out/pictures").iterdir()
    assert cv2.imread(str(picture)).shape[1] == 3 * 96 + 2 * 4
    for path in (val / "images").iterdir():
        cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(ValueError, match=r"images: expected 96x64 as the mask, got 10x10 of .*; give the images that"):
        judge(**folders, images=val / "images")
    assert (tmp_path / "out/metrics.json").exists()  # the scores are not lost for a picture


def test_files_of_other_names(val: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Overlays of seg-predict are none of the masks; what has no mask is left out aloud."""
    predicted = val / "predicted"
    (predicted / "overlays").mkdir()
    for path in list(predicted.glob("*.png")):
        path.rename(predicted / f"{path.stem}_pred.png")
        (predicted / f"overlays/{path.stem}_pred.png").touch()
    options = {"predictions": predicted, "masks": val / "masks", "destination": tmp_path / "out"}
    whole = judge(**options, prediction_template="{}_pred.png")
    assert whole["images"] == 2
    assert "WARNING" not in caplog.text
    (val / "masks/s101.png").unlink()
    assert judge(**options, prediction_template="{}_pred.png")["images"] == 1
    assert "predictions: 1 have no mask and are left out, such as" in caplog.text
    with pytest.raises(
        ValueError,
        match=r"predictions: expected a file like '{}' for each of 1 masks, got none for 1, the first '.*s100",
    ):
        judge(**options)


def test_predictions_that_are_refused(val: Path, tmp_path: Path) -> None:
    options = {"predictions": val / "predicted", "masks": val / "masks", "destination": tmp_path / "out"}
    bad, good = val / "predicted/s101.png", (val / "predicted/s101.png").read_bytes()

    def open_pixels(mask: np.ndarray) -> None:
        mask[40, 5:8] = 255

    paint(bad, open_pixels)
    with pytest.raises(ValueError, match=r"got 255 \(no answer\) at 3 of '.*s101.png', the first in row 40, column 5;"):
        judge(**options)
    paint(bad, lambda mask: mask.fill(7))
    with pytest.raises(ValueError, match=r"predictions: mask '.*s101.png': expected 0..2 for 3 classes, or 255, got 7"):
        judge(**options)
    bad.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="predictions: .*: expected an 8-bit grayscale PNG, got another kind of file"):
        judge(**options)
    for path in (val / "predicted").iterdir():
        cv2.imwrite(str(path), np.zeros((32, 48), np.uint8))
    with pytest.raises(
        ValueError, match=r"predictions: expected 96x64 as the mask .*, got 48x32 of .*; resize .* \(and 1 more of 2\)"
    ):
        judge(**options)
    assert not list((tmp_path / "out").glob("*.json"))
    for path in (val / "predicted").iterdir():
        path.write_bytes(good)
    for path in (val / "masks").glob("*.png"):
        paint(path, lambda mask: mask.fill(255))
    with pytest.raises(ValueError, match=r"masks: expected labelled pixels, got 255 \(ignore\) everywhere in all 2"):
        judge(**options)


def test_labels_name_the_classes(val: Path, tmp_path: Path) -> None:
    options = {"predictions": val / "predicted", "masks": val / "masks", "destination": tmp_path / "out"}
    STREET.save(val / "predicted/labels.yaml")
    with pytest.raises(
        ValueError, match="expected the classes of the masks, sky, road, car, got masks in .* made with"
    ):
        judge(**options)
    (val / "predicted/labels.yaml").unlink()
    (val / "masks/labels.yaml").rename(tmp_path / "map.yaml")
    with pytest.raises(ValueError, match=r"expected a labels.yaml in .*, got none; give labels=FILE"):
        judge(**options)
    assert list(judge(**options, labels=tmp_path / "map.yaml")["iou"]) == list(LABELS.names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"missing on the command line: checkpoint=\.\.\. images=\.\.\."),
        (
            {"predictions": "p", "checkpoint": "c"},
            "checkpoint: expected none with predictions, which are masks, got 'c'",
        ),
        (
            {"predictions": "p", "temperature": 2},
            "temperature: expected none with predictions, .* got 2; leave out one",
        ),
        (
            {"checkpoint": "c", "images": "i", "labels": "l"},
            "labels: expected none with a checkpoint, .*, got 'l'; leave",
        ),
        ({"predictions": "p", "tolerances": [0]}, "tolerances: expected a list of different positive numbers"),
        ({"predictions": "p", "tolerances": 3}, "tolerances: expected a list of .*, got 3; give a list such as"),
        ({"predictions": "p", "surface": "yes"}, "surface: expected true or false, got 'yes'; give one"),
        ({"predictions": "p", "save_masks": True}, "save_masks: expected false with predictions, .* got true"),
        ({"predictions": "p", "sizes": [9, 3]}, "sizes: expected two rising whole numbers"),
        *(
            (
                {"checkpoint": "c", "images": "i", "temperature": wrong},
                "temperature: expected a positive number, or fit,",
            )
            for wrong in (0, -1, "fitted", True, float("inf"))
        ),
        *(
            (
                {"checkpoint": "c", "images": "i", **wrong},
                "temperature: expected temperature=fit with temperature_images",
            )
            for wrong in (
                {"temperature": "fit"},
                {"temperature": "fit", "temperature_images": "a"},
                {"temperature_images": "a", "temperature_masks": "b"},
                {"temperature": 1.5, "temperature_masks": "b"},
            )
        ),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge(masks="m", destination="d", **options)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Images of noise with masks of the embedded set's classes: what the checkpoint on record knows."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(2):
        mask = cv2.resize(rng.integers(0, 10, (4, 6), np.uint8), (96, 64), interpolation=cv2.INTER_NEAREST)
        mask[:5] = 255
        cv2.imwrite(str(tmp_path / f"masks/{number}.png"), mask)
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), rng.integers(0, 256, (64, 96, 3), np.uint8))
    STREET.save(tmp_path / "masks/labels.yaml")
    return tmp_path


def test_a_checkpoint_at_a_temperature(street: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"checkpoint": CHECKPOINT, "images": street / "images", "masks": street / "masks", "pictures": 1}
    fitted = judge(
        **options,
        destination=street / "fit",
        temperature="fit",
        temperature_images=street / "images",
        temperature_masks=street / "masks",
    )
    assert caplog.messages[0] == "2 images with masks; loading torch"
    assert "temperature_images: 2 of 2 are evaluated as well, such as" in caplog.text
    assert fitted["temperature_fitted_on"] == {"images": 2, "pixels_per_image": 10_000}
    assert (street / "fit/reliability.png").exists()
    same = judge(**options, destination=street / "same", temperature=1)
    assert same["ece_tempered"] == pytest.approx(same["ece"])
    assert same["miou"] == fitted["miou"]
    assert fitted["ece_tempered"] < same["ece"]
    plain = judge(**options, destination=street / "plain")
    assert "temperature" not in plain
    assert plain["ece"] == same["ece"]


@pytest.mark.slow
def test_a_file_that_gives_masks_alone_has_no_calibration(street: Path) -> None:
    model = trained.load(CHECKPOINT, "cpu")
    export.write(street / "mask.pt2", model.model, 3, model.describe(), argmax=True)
    folders = {"images": street / "images", "masks": street / "masks", "destination": street / "out", "pictures": 0}
    found = judge(checkpoint=street / "mask.pt2", **folders)
    assert not {"ece", "ece_i", "reliability"} & found.keys()
    assert not (street / "out/reliability.png").exists()
    with pytest.raises(ValueError, match=r"temperature: expected none with '.*mask.pt2', which gives masks alone"):
        judge(checkpoint=street / "mask.pt2", **folders, temperature=2.0)


def test_a_checkpoint_and_its_predicted_masks_agree(street: Path, script: Script) -> None:
    """Through the command line: predict, then judge the masks, in JSON."""
    whole = judge(
        checkpoint=CHECKPOINT,
        images=street / "images",
        masks=street / "masks",
        destination=street / "out",
        surface=True,
    )
    assert script("seg-predict", checkpoint=CHECKPOINT, images="images", destination="predicted").returncode == 0
    folders = {"predictions": "predicted", "masks": "masks", "destination": "again"}
    result = script("seg-evaluate", **folders, surface="true", json="true")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert whole.pop("data")["masks"].endswith(found.pop("data")["masks"])
    assert found.keys() == whole.keys() - {"checkpoint", "ece", "ece_i", "reliability"} | {"predictions"}
    assert found.pop("metrics").keys() == whole.pop("metrics").keys() - {"ece", "ece_i"}
    for key in found.keys() - {"predictions"}:
        assert found[key] == whole[key], key
    shutil.rmtree(street / "predicted")
    fails(
        script("seg-evaluate", **folders),
        2,
        "predictions: expected an existing folder, got 'predicted'; check the path",
    )
