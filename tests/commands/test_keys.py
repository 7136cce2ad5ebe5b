"""Keys that no option has, and null, of every command: python -m pytest tests/commands/test_keys.py"""

from pathlib import Path

import pytest
from conftest import Script, fails

TRAIN = ("data.train.images=x", "data.train.masks=y")
UNKNOWN = [
    ("seg-train", (*TRAIN, "+seeed=3"), "seeed: .* did you mean 'seed'?"),
    ("seg-train", (*TRAIN, "+tune.trial=2"), "tune.trial: .* did you mean 'tune.trials'?"),
    ("seg-train", (*TRAIN, "+sweep.tst=x"), "sweep.tst: .* did you mean 'sweep.test'?"),
    ("seg-train", (*TRAIN, "+loader.batch_size=2"), "LoaderOptions: expected arguments among batch, .* got batch_size"),
    ("seg-evaluate", ("predictions=x", "masks=y", "destination=z", "+tolerence=3"), "did you mean 'tolerances'?"),
    ("seg-predict", ("checkpoint=x", "images=y", "destination=z", "+confidences=true"), "did you mean 'confidence'?"),
    ("seg-compare", ("runs=x", "destination=z", "+draw=3"), "did you mean 'draws'?"),
    ("seg-audit", ("images=x", "masks=y", "destination=z", "+thread=3"), "did you mean 'threads'?"),
    ("seg-export", ("checkpoint=x", "destination=z.onnx", "+batch=3"), "batch: expected a key that the command has"),
    ("seg-diagnose", ("checkpoint=x", "images=y", "destination=z", "+treshold=3"), "did you mean 'threshold'?"),
    ("seg-preprocess", ("source=x", "destination=y", "labels=z", "+thread=2"), "did you mean 'threads'?"),
]
NULL = [
    ("seg-train", (*TRAIN, "runs=null"), "runs: expected a value, got null; leave it out for"),
    ("seg-train", (*TRAIN, "smoke=null"), "smoke: expected a value, got null; leave it out for false"),
    ("seg-train", (*TRAIN, "fit=null"), "fit: expected options such as fit.epochs=..., got null; leave it out"),
    ("seg-train", (*TRAIN, "loss=null"), "loss: expected one of boundary, .*, got null; choose one"),
    ("seg-train", (*TRAIN, "data.train=null"), "data.train: expected images and masks, got none; give data.train.im"),
    (
        "seg-evaluate",
        ("predictions=x", "masks=y", "destination=z", "metric=null"),
        "metric: expected one of .* got null",
    ),
    ("seg-predict", ("checkpoint=x", "images=null", "destination=z"), "images: expected a value, got null; give one"),
    ("seg-preprocess", ("source=x", "destination=y", "labels=z", "read=null"), 'leave it out for "auto"'),
]


@pytest.mark.parametrize(("command", "words", "text"), [*UNKNOWN, *NULL])
def test_wrong_keys_are_refused(
    command: str, words: tuple[str, ...], text: str, tmp_path: Path, script: Script
) -> None:
    fails(script(command, *words), 2, text)
    assert list(tmp_path.iterdir()) == []


def test_null_is_none_where_there_is_none(tmp_path: Path, script: Script) -> None:
    none = [f"{group}=null" for group in ("logger", "task", "regularizer", "average", "augment", "sweep", "experiment")]
    fails(script("seg-train", *TRAIN, *none, "data.val=null"), 2, "expected an existing folder, got 'y'")


def test_keys_of_the_users_own_files(tmp_path: Path, script: Script) -> None:
    """They are refused too, unless a value refers to them."""
    (tmp_path / "experiment").mkdir()
    words = (*TRAIN, "--config-dir", str(tmp_path), "experiment=mine")
    recipe = tmp_path / "experiment/mine.yaml"
    recipe.write_text("# @package _global_\nprecison: 16-mixed\n")
    fails(script("seg-train", *words), 2, "precison: .* did you mean 'device.precision'?")
    recipe.write_text("# @package _global_\nwidth: 3\nname: a${width}\n")
    fails(script("seg-train", *words), 2, "expected an existing folder, got 'y'")
