"""``seg-predict rank=true``: which images to label next.

In this process where it can be: starting a command takes seconds.

python -m pytest tests/commands/test_rank.py
"""

import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Script, fails
from hydra import compose, initialize_config_dir
from made_members import write_members

from seg.commands.cli import conf_dir
from seg.commands.cli.overrides import quoted
from seg.commands.predict import predict
from seg.files.errors import Failed
from seg.inference.image import features_of, predict_image
from seg.inference.members import load
from seg.inference.ranking import ranked

NAMES = ["a", "b", "c", "in/d", "in/e"]


def call(**options: object) -> None:
    given = {"checkpoint": "m?.pt", "images": "images", "destination": "out", "device": "cpu", "rank": "true"}
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        words = [f"{key}={value}" for key, value in {**given, "overlays": "false", **options}.items()]
        predict(compose("predict", quoted(words)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """The working directory, with ``m0.pt`` and ``m1.pt``, and ``images/``, of which ``c`` is a copy of ``a``."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "seg")
    write_members(tmp_path, 2)
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        Path("images", name).parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (4 << number % 3, 6 << number % 3, 3), np.uint8)
        cv2.imwrite(f"images/{name}.png", cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_CUBIC))
    shutil.copy("images/a.png", "images/c.png")
    return tmp_path


def rows(path: str = "out/rank.csv") -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_what_is_written(folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """By another road: disagreement as disagreement=true writes it, features from the encoder."""
    call(number=3)
    call(destination="apart", rank="false", disagreement="true")
    told = {row["image"]: float(row["disagreement"]) for row in rows("apart/disagreement.csv")}
    model = load("m?.pt", "cpu")
    features = np.stack([features_of(model, Path("images", f"{name}.png")) for name in NAMES])
    expected = ranked(np.array([told[name] for name in NAMES]), features, number=3)
    found = rows()
    assert [row["rank"] for row in found] == ["1", "2", "3", "4", "5"]
    assert [row["image"] for row in found] == [NAMES[each.image] for each in expected]
    assert {row["measure"] for row in found} == {"disagreement of the members"}
    places = {row["image"]: row["rank"] for row in found}
    for row, each in zip(found, expected, strict=True):
        assert float(row["uncertainty"]) == pytest.approx(told[row["image"]], rel=1e-4)
        assert float(row["score"]) == pytest.approx(each.score, rel=1e-4)
        assert row["nearest"] == (NAMES[each.nearest] if each.nearest >= 0 else "")
        assert row["nearest_rank"] == places.get(row["nearest"], "")
    assert found[0]["novelty"] == ""
    assert not {"a", "c"} <= {row["image"] for row in found[:3]}
    for name in NAMES:
        assert Path(f"out/{name}.png").is_file()
        np.testing.assert_array_equal(np.load(f"out/features/{name}.npy"), features[NAMES.index(name)])
    assert not Path("out/disagreement").exists()
    assert found[0]["image"] in capsys.readouterr().out
    assert "uncertainty: disagreement of the members" in caplog.text


def test_one_model_is_asked_how_sure_it_is(folder: Path) -> None:
    call(checkpoint="m0.pt", confidence="true")
    for row in rows():
        sure = cv2.imread(f"out/confidence/{row['image']}.png", cv2.IMREAD_UNCHANGED).mean() / 255
        assert float(row["uncertainty"]) == pytest.approx(1 - sure, abs=3e-3)
        assert row["measure"] == "1 - confidence"


def test_labelled_images_push_their_like_back(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    call()
    first = rows()[0]["image"]
    Path("done/deep").mkdir(parents=True)
    shutil.copy(f"images/{first}.png", "done/deep/x.png")
    call(labelled="done")
    assert rows()[0]["image"] != first
    last = next(row for row in rows() if row["image"] == first)
    assert (last["novelty"], last["nearest"], last["nearest_rank"]) == ("0", "deep/x", "")
    assert "0 masks written to out, 5 unchanged" in caplog.text
    assert "look exactly like another one" in caplog.text
    assert all(row["novelty"] for row in rows())
    Path("list.txt").write_text("done/deep/x.png\n")
    before = rows()
    call(labelled="list.txt")
    assert [row["image"] for row in rows()] == [row["image"] for row in before]


def test_interrupted_it_goes_on_to_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(destination="whole")
    seen = []

    def third(trained: Any, path: Path, *rest: Any, **options: Any) -> Any:
        seen.append(path.stem)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return predict_image(trained, path, *rest, **options)

    monkeypatch.setattr("seg.inference.folder.predict_image", third)
    with pytest.raises(KeyboardInterrupt, match=r"^2 of 5 images done; the same command goes on$"):
        call()
    assert not Path("out/rank.csv").exists()
    call()
    assert len(seen) == 3 + 3  # what was done stays
    assert Path("out/rank.csv").read_bytes() == Path("whole/rank.csv").read_bytes()


def test_a_broken_image_is_named_and_the_others_are_ranked(folder: Path) -> None:
    Path("images/b.png").write_bytes(Path("images/b.png").read_bytes()[:200])
    with pytest.raises(Failed, match=r"^1 of 5 images failed: .*b\.png"):
        call()
    assert {row["image"] for row in rows()} == {*NAMES} - {"b"}


def test_a_ranking_of_before_does_not_stay(folder: Path) -> None:
    call()
    call(rank="false")
    assert not Path("out/rank.csv").exists()
    assert not list(Path("out/features").rglob("*.npy"))
    Path("mine").mkdir()
    Path("mine/rank.csv").write_text("mine")
    call(rank="false", destination="mine")
    assert Path("mine/rank.csv").read_text() == "mine"
    Path("other").mkdir()
    Path("other/rank.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"^destination: .* got 'other/rank\.csv', which no prediction wrote"):
        call(destination="other")


def test_lines_of_the_manifest_follow_their_schema(folder: Path) -> None:
    import jsonschema

    import seg

    call(checkpoint="m0.pt")
    schema = json.loads((Path(seg.__file__).parent / "inference/manifest-line.schema.json").read_text())
    found = [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]
    for line in found:
        jsonschema.validate(line, schema)
    assert {tuple(line["scores"]) for line in found if line["status"] == "converted"} == {("confidence",)}


def test_what_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^rank: expected several images, .* got 'images/a\.png' alone"):
        call(images="images/a.png")
    with pytest.raises(ValueError, match=r"^number: expected a whole number of at least 1, got 0"):
        call(number=0)
    with pytest.raises(ValueError, match=r"^rank: expected true or false, got 'yes please'"):
        call(rank="'yes please'")
    with pytest.raises(ValueError, match=r"^labelled: expected an existing folder, got 'nowhere'; check the path"):
        call(labelled="nowhere")
    Path("done").mkdir()
    Path("done/x.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"done/x\.png"):
        call(labelled="done")
    assert not Path("out/manifest.jsonl").exists()


def test_options_of_a_ranking_alone(folder: Path, script: Script) -> None:
    given = ["checkpoint=m0.pt", "images=images", "destination=out", "number=3"]
    fails(script("seg-predict", *given), 2, r"number: expected it with rank=true alone, got '3' without")
