"""The model card: what it says of a run, and what it must not hide.

python -m pytest tests/runs/test_card.py
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seg import runs
from seg.images import RGB
from seg.labels import Label, LabelMap
from seg.metrics.catalogue import KNOWN
from seg.runs.card import Card, check_license, shown

CONFIG: dict[str, Any] = {
    "name": "made",
    "license": None,
    "seed": 3,
    "data": {
        "train": {"images": ["a", "b"], "masks": ["c", "d"]},
        "val": {"images": None, "masks": None, "list": None},
        "val_share": 0.2,
        "split_seed": 0,
        "group": None,
    },
    "model": {"_target_": "my.Net", "width": 8},
    "loss": {"_target_": "seg.losses.Dice", "smooth": 1.0},
    "fit": {},
    "loader": {"batch": 4},
    "device": {"precision": "32-true"},
}
ENVIRONMENT = {"seg": "0.1.0", "torch": "2.11", "cpu_count": 2, "gpus": [], "git": None, "command": ["x", "a b=1"]}
VAL = {"sky|blue": 0.5, "road": 0.25, "car": 0.0, "boat": None}


def made(**changes: Any) -> Card:
    lines = tuple({"epoch": epoch, "seconds": 1.0, "val_miou": 0.5 - 0.2 * epoch, "val_iou": VAL} for epoch in range(2))
    last = {"miou": 0.3, "accuracy": 0.9, "iou": dict(VAL, road=0.125)}
    done = {"epochs": 2, "stopped_early": False, "best": {"monitor": "miou", "epoch": 0}, "last": last}
    labels = LabelMap([Label(name, ((i, 0, 255),)) for i, name in enumerate(VAL)])
    record = runs.RunRecord(Path("nowhere"), {**copy.deepcopy(CONFIG), **changes}, ENVIRONMENT, lines, None)
    train, val = np.array([60, 40, 0, 0]), np.array([10, 30, 20, 0])
    return Card(record, done, labels, (8, 2), (125, 80), train, val, 1, ((0.5,) * 3, (0.25,) * 3), RGB, KNOWN)


def test_numbers_and_what_they_do_not_say() -> None:
    text = made().text()
    assert "| mIoU | 50.0 % | 30.0 % | 16.7 % |" in text  # best, last, and 30/60 of one class of three that occur
    assert "| % | best.pt, epoch 1 | last.pt, epoch 2 | always 'road' |" in text
    assert "| calibration error over all pixels, lower is better | - | - | - |" in text
    assert "| road | 25.0 | 12.5 | 50.0 |" in text
    assert "| boat | - | - | - |" in text
    assert "| 0 | sky\\|blue | #0000ff | 60.0 | 16.7 |" in text
    assert "| train | 8 | a, b | c, d | 20.0 |" in text
    assert "the best of 2 validations by miou, chosen on the same images that it is scored on here" in text
    assert "No training pixel: car, boat." in text
    assert "No validation pixel, and so not evaluated: boat." in text
    assert "never found (IoU 0): car." in text
    assert "Validated on a share of 0.2 of the pairs, chosen by seed 0; tiles of one image kept together." in text
    assert "| model | Net(width=8) |" in text
    assert "seg-train 'a b=1'" in text
    assert "## Licence\n\nNot stated." in text
    assert "smoke" not in text
    assert "overfit" not in text


def test_names_break_no_table() -> None:
    card = made()
    labels = LabelMap([Label(name, ((i, 0, 255),)) for i, name in enumerate(("sky|blue", "a\nb", "car", "boat"))])
    for majority, shown_as in ((0, "'sky\\|blue'"), (1, "'a b'")):
        text = replace(card, majority=majority, labels=labels).text()
        assert f"| last.pt, epoch 2 | always {shown_as} |" in text


def test_a_run_that_says_nothing_of_new_images_says_so() -> None:
    assert "Validated on training images (`fit.overfit`)" in made(fit={"overfit": 2}).text()
    assert "**A smoke test: two steps on few images. The scores mean nothing.**" in made(smoke=True).text()
    assert "started from other weights, whose licence was not checked" in made(init="other.pt").text()


def test_front_matter_is_yaml() -> None:
    _, matter, _ = made(license="cc-by-4.0: \u00fc").text().split("---\n", 2)
    assert yaml.safe_load(matter)["license"] == "cc-by-4.0: \u00fc"
    assert "license" not in yaml.safe_load(made().text().split("---\n", 2)[1])


def test_options_in_one_line() -> None:
    assert shown({"_target_": "a.B", "x": [1, {"_target_": "c.D"}], "y": None}) == "B(x=[1, D()], y=null)"


@pytest.mark.parametrize("value", [5, "", "a\nb", ["mit"]])
def test_a_licence_is_a_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"license: expected the name of a licence, or null, got .*; give such as mit"):
        check_license(value)
