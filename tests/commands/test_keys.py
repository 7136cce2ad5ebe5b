"""Keys that no option has, and null, of every command: python -m pytest tests/commands/test_keys.py"""

from pathlib import Path

import pytest
from conftest import Script, fails

TRAIN = ("data.train.images=x", "data.train.masks=y")
UNKNOWN = [
    ("seg-train", (*TRAIN, "+optimizer.lr=1"), r"\+optimizer.lr: expected \+ with a key that .*; leave the \+ out"),
    ("seg-train", (*TRAIN, "fit.epochs=1,2"), r"fit.epochs: expected one value, got 1,2; give fit.epochs=\[1,2\] for"),
    (
        "seg-train",
        (*TRAIN, "loss.weight=[1"),
        r"loss.weight: expected a value that Hydra can read, got '\[1'; close its",
    ),
    ("seg-preprocess", ("source=x", "background=a:b{c}"), "background: expected a value .* \"background='a:b{c}'\""),
    (
        "seg-audit",
        ("images=x", "masks=y", "destination=z", "data.render=3"),
        "data.render: expected null, or the options",
    ),
    ("seg-train", (*TRAIN, "loss=dyce"), r"Could not find 'loss/dyce' .* unified_focal \S+; did you mean loss=dice\?$"),
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
    ("seg-preprocess", ("source=x", "destination=y", "labels=z", "model=unet"), "unknown key 'model'"),
    ("seg-augment", ("images=x", "masks=y", "destination=z", "model=unet", "thread=3"), "unknown key 'model'"),
    ("seg-train", (*TRAIN, "average.decay=0.9"), "unknown key 'average.decay': expected average=ema with it"),
    ("seg-train", (*TRAIN, "data.render.label_noise=0.1"), "expected data=synthetic with it"),
    ("seg-train", (*TRAIN, "data.crop=3"), "unknown key 'data.crop'; did you mean 'data.group'?"),
    ("seg-evaluate", ("predictions=x", "masks=y", "destination=z", "average.decay=0.9"), "key 'average.decay';"),
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
PREDICTED = ("checkpoint=x", "images=y", "destination=z")
EVALUATED = ("predictions=x", "masks=y", "destination=z")
AUDITED = ("images=y", "masks=y", "destination=z")
PREPROCESSED = ("source=x", "destination=y", "labels=cityscapes")
KINDS = [
    ("seg-evaluate", (*EVALUATED, "batch=-1"), "batch: expected a whole number of at least 0, got -1"),
    ("seg-evaluate", (*EVALUATED, "batch=0"), "batch: expected a whole number from 1 to 65536, got 0"),
    ("seg-evaluate", (*EVALUATED, "workers=1000000"), "workers: expected a whole number from 0 to 1024, got 1000000"),
    ("seg-evaluate", (*EVALUATED, "pictures=x"), "pictures: expected a whole number of at least 0, got 'x'"),
    ("seg-evaluate", (*EVALUATED, "save_masks=2"), "save_masks: expected true or false, got 2; give one"),
    ("seg-evaluate", (*EVALUATED, "json=1"), "json: expected true or false, got 1"),
    ("seg-evaluate", (*EVALUATED, "sizes=3"), r"sizes: expected a list, got 3; give \[3\]"),
    ("seg-diagnose", ("checkpoint=x", "images=y", "destination=z", "threshold=nan"), "threshold: expected a number"),
    ("seg-preprocess", (*PREPROCESSED, "ignore=car"), r"ignore: expected a list, got 'car'; give \[car\]"),
    ("seg-preprocess", (*PREPROCESSED, "unknown=3"), "unknown: expected a text such as error, got 3"),
    ("seg-preprocess", (*PREPROCESSED, "unknown=nearest", "max_distance=1.5"), "max_distance: expected a whole number"),
    ("seg-train", (*TRAIN, "pictures=1e9"), "pictures: expected a whole number of at least 0, got 1000000000.0"),
    ("seg-train", (*TRAIN, "loader.workers=1000000"), "loader.workers: expected a whole number from 0 to 1024"),
    ("seg-train", (*TRAIN, "smoke=[1,2]"), r"smoke: expected true or false, got \[1, 2\]"),
]
IDLE = [
    (
        "seg-preprocess",
        (*PREPROCESSED, "template={}_label.png"),
        "template: expected it with images alone, got '{}_lab",
    ),
    ("seg-preprocess", (*PREPROCESSED, "image_template={}.jpg"), "image_template: expected it with images alone"),
    ("seg-evaluate", (*EVALUATED, "image_template={}.jpg"), "image_template: expected it with images alone"),
    ("seg-evaluate", (*EVALUATED, "instance_template={}.jpg"), "instance_template: expected it with instances alone"),
    ("seg-evaluate", (*EVALUATED, "trust=[mine]"), "trust: expected it with checkpoint alone"),
    ("seg-predict", (*PREDICTED, "+inference.flips=[vertical]"), r"as_validated: .* got flips; .* ~inference\.flips"),
    ("seg-audit", ("images=x", "masks=y", "destination=z", "write=coco"), "write: expected it with suspects alone"),
    (
        "seg-audit",
        ("images=x", "masks=y", "destination=z", "suspects=runs", "json=true"),
        "json: expected it with suspects=null alone, got 'true'",
    ),
    ("seg-train", (*TRAIN, "+budget=6h"), "budget: expected it with until=settled alone, got '6h'"),
    ("seg-train", (*TRAIN, "++seeds=5"), "seeds: expected it with a sweep alone, got '5'"),
    ("seg-train", (*TRAIN, "data.instance_template={}_i.png"), "expected it with data.train.instances alone"),
    (
        "seg-train",
        (*TRAIN, "fit.steps=9", "fit.epochs=3"),
        "fit.epochs: expected it with fit.steps=null alone, got '3'",
    ),
    (
        "seg-train",
        (*TRAIN, "fit.minutes=2", "fit.epochs=3"),
        "fit.minutes: expected it without fit.epochs, got 2 beside 3",
    ),
    (
        "seg-train",
        (*TRAIN, "fit.minutes=2", "fit.steps=9"),
        "fit.minutes: expected it without fit.steps, got 2 beside 9",
    ),
    ("seg-train", (*TRAIN, "sweep.equal=minutes"), "sweep.equal: expected it with fit.minutes alone"),
    ("seg-train", (*TRAIN, "sweep.equal=minutes", "fit.minutes=2"), "sweep.equal: expected it with a sweep alone"),
    (
        "seg-train",
        (*TRAIN, "data.train.instances=i", "task=auxiliary"),
        "data.train.instances: expected it with task=boxes alone",
    ),
    (
        "seg-train",
        (*TRAIN, "loss=ce_dice", "loss.weights.dice=0", "loss.terms.dice.smooth=2"),
        "loss.terms.dice.smooth: expected it with loss.weights.dice above 0 alone",
    ),
    ("seg-train", (*TRAIN, "fit.freeze_norm=false"), "fit.freeze_norm: expected it with fit.freeze alone, got 'false'"),
    ("seg-train", (*TRAIN, "loader.repeat_below=0.1"), "loader.repeat_below: .* with loader.sampler=repeat alone"),
    ("seg-train", (*TRAIN, "tune.epochs=2"), "tune.epochs: expected it with tune.trials alone, got '2' without"),
    ("seg-train", (*TRAIN, "data.val.list=l", "data.val_share=0.1"), "data.val_share: .* no data.val.list.* got '0.1'"),
    ("seg-train", (*TRAIN, "data.train.instances=i"), "data.train.instances: expected it with task=boxes alone"),
    (
        "seg-train",
        (*TRAIN, "data.test.images=i"),
        "data.test.images: expected it with seg-audit alone, got 'i' without",
    ),
    (
        "seg-train",
        (*TRAIN, "augment.flip.p=0", "augment.flip.vertical=true"),
        "augment.flip.vertical: expected it with augment.flip.p above 0 alone, got 'true' without; give that, or",
    ),
    (
        "seg-train",
        (
            *TRAIN,
            "regularizer=uniform_dropout",
            "regularizer.uniform_dropout.beta=0",
            "regularizer.uniform_dropout.ramp=1",
        ),
        "regularizer.uniform_dropout.ramp: expected it with regularizer.uniform_dropout.beta above 0 alone, got '1'",
    ),
    ("seg-evaluate", (*EVALUATED, "inference=sliding"), "inference: expected it with checkpoint alone, got 'sliding'"),
    ("seg-evaluate", (*EVALUATED, "workers=4"), "workers: expected it with checkpoint alone, got 4"),
    ("seg-evaluate", (*EVALUATED, "device=cpu"), "device: expected it with checkpoint alone, got 'cpu'"),
    ("seg-evaluate", (*EVALUATED, "temperature_masks=x"), "temperature_masks: expected it with checkpoint alone"),
    ("seg-evaluate", (*EVALUATED, "pictures=3"), "pictures: expected it with images alone, got '3'"),
    (
        "seg-evaluate",
        (*EVALUATED, "metric=pixels", "surface=true"),
        "surface: expected it with metric=boundaries alone",
    ),
    ("seg-evaluate", (*EVALUATED, "metric=pixels", "sizes=[1,2]"), r"sizes: .* metric=components alone, got '\[1,2\]'"),
    ("seg-predict", ("checkpoint=x.onnx", "images=y", "destination=z", "trust=[m]"), "trust: expected it with best.pt"),
    (
        "seg-predict",
        ("checkpoint=x.pt", "images=y.png", "destination=z", "image_template={}.png"),
        "image_template: expected it with a folder of images alone",
    ),
    (
        "seg-diagnose",
        ("model=unet", "images=y", "destination=z", "trust=[m]"),
        "trust: expected it with checkpoint alone",
    ),
    (
        "seg-diagnose",
        ("checkpoint=x", "images=y", "destination=z", "classes=3"),
        "classes: expected it with model alone",
    ),
    (
        "seg-audit",
        ("images=y", "masks=y", "destination=z", "data.val.list=l", "data.val_share=0.1"),
        "data.val_share: ",
    ),
    (
        "seg-audit",
        (*AUDITED, "data.val_share=0.1"),
        "data.val_share: expected it with a validation set that is a share",
    ),
    ("seg-audit", (*AUDITED, "data.train.instances=x"), "data.train.instances: expected it with seg-train alone"),
    (
        "seg-evaluate",
        ("checkpoint=x.onnx", "images=y", "masks=z", "destination=w", "trust=[a]"),
        "trust: .* with best.pt",
    ),
    ("seg-evaluate", (*EVALUATED, "inference=whole,tta"), r"inference: .* one value, .*=\[whole,tta\] for a list$"),
    ("seg-audit", (*AUDITED, "data.folds=5", "data.fold=1"), r"data.folds?: expected it with a validation set"),
    (
        "seg-audit",
        (*(f"data.{part}.{kind}=y" for part in ("train", "test") for kind in ("images", "masks")), "data.split_seed=3"),
        "data.split_seed: expected it with a validation set that is a share",
    ),
    (
        "seg-augment",
        ("images=y", "masks=y", "destination=z", "augment.flip.p=0", "augment.flip.vertical=true"),
        "augment.flip.vertical: expected it with augment.flip.p above 0 alone",
    ),
]


@pytest.mark.parametrize(("command", "words", "text"), [*UNKNOWN, *NULL, *KINDS, *IDLE])
def test_wrong_keys_are_refused(
    command: str, words: tuple[str, ...], text: str, tmp_path: Path, script: Script
) -> None:
    fails(script(command, *words), 2, text)
    assert list(tmp_path.iterdir()) == []


def test_what_is_so_by_default_may_be_said(script: Script) -> None:
    words = (
        "fit.freeze_norm=true",
        "loader.repeat_below=0.5",
        "tune.share=0.25",
        "data.val_share=0.2",
        "data.val.list=l",
    )
    fails(script("seg-train", *TRAIN, *words), 2, "expected an existing folder, got 'y'")


def test_tolerances_are_for_errors_too(script: Script) -> None:
    words = (*EVALUATED, "metric=[pixels,errors]", "tolerances=[3]")
    fails(script("seg-evaluate", *words), 2, "expected a labels.yaml in 'y'")


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
