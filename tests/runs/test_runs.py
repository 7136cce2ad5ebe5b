"""python -m pytest tests/runs/test_runs.py"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seg import runs

CONFIG = {"seed": 0, "fit": {"epochs": 3}, "scheduler": {"_target_": "seg.training.optim.cosine"}, "runs": "runs"}
ENVIRONMENT = {"choices": {"loss": "dice"}, "seed": 0}


def line(epoch: int, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "loss": 1.0 / (epoch + 1), "seconds": 2.0, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of three epochs that is not complete."""
    with runs.opened(tmp_path / "a", CONFIG, ENVIRONMENT):
        pass
    for epoch in range(3):
        runs.append_line(tmp_path / "a", line(epoch, val_miou=0.1 * epoch, val_iou={"Bäume": float("nan")}))
    (tmp_path / "a" / runs.LAST).touch()
    return tmp_path / "a"


def test_what_was_written_is_read(folder: Path) -> None:
    record = runs.read(folder)
    assert (record.config, record.environment, record.done) == (CONFIG, ENVIRONMENT, None)
    assert [found["epoch"] for found in record.lines] == [0, 1, 2]
    assert record.lines[0]["val_iou"] == {"Bäume": None}  # JSON has no NaN
    assert (record.choices, record.seconds) == ({"loss": "dice"}, 6.0)
    assert not runs.is_complete(folder, CONFIG)
    runs.mark_complete(folder, {"last": {"miou": 0.5}})
    assert runs.read(folder).done == {"last": {"miou": 0.5}}
    assert runs.is_complete(folder, CONFIG)


def test_a_complete_run_cannot_keep_probabilities_any_more(folder: Path) -> None:
    """It was left out as complete, and nobody said that there were none."""
    asked = {**CONFIG, "fit": {**CONFIG["fit"], "probabilities": "uint8"}}
    assert not runs.is_complete(folder, asked)
    runs.mark_complete(folder, {"last": {"miou": 0.5}})
    with pytest.raises(
        ValueError, match=r"fit\.probabilities: expected a run that keeps them, got .*; remove the folder"
    ):
        runs.is_complete(folder, asked)
    (folder / runs.PROBABILITIES).mkdir()
    assert runs.is_complete(folder, asked)


def test_a_torn_last_line_is_left_out_and_others_are_named(folder: Path) -> None:
    path = folder / runs.EPOCHS
    path.write_text(path.read_text() + '{"epoch": 3, "lo')
    assert len(runs.read(folder).lines) == 3
    assert runs.cut_lines(folder, 2) == []
    assert [found["epoch"] for found in runs.read(folder).lines] == [0, 1]
    path.write_text(json.dumps(line(1)) + "\n")
    assert runs.cut_lines(folder, 4) == [0, 2, 3]
    path.unlink()
    assert runs.cut_lines(folder, 2) == [0, 1]
    assert not path.exists()
    for damaged in ('{"epoch": 0, "lo\n', "[1]\n", '{"epoch": 0}\n', "\n"):
        path.write_text(json.dumps(line(0)) + "\n" + damaged + json.dumps(line(2)) + "\n")
        with pytest.raises(ValueError, match=r"expected an epoch's numbers in '.*metrics.jsonl', line 2, got"):
            runs.read(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (runs.CONFIG, None, r"run: expected a folder with config.yaml, got '.*a'"),
        (runs.CONFIG, "", r"expected a configuration in '.*config.yaml', got something else"),
        (runs.CONFIG, "a: [1", r"expected a configuration in '.*config.yaml', got something else"),
        (runs.CONFIG, b"\xff\xfe\x00", r"expected a configuration in '.*config.yaml', got something else"),
        (runs.ENVIRONMENT, None, r"run: expected '.*environment.json', got 'No such file or directory'"),
        (runs.ENVIRONMENT, "[]", r"expected names and values as JSON in '.*environment.json'"),
        (runs.ENVIRONMENT, "{}", r"expected 'choices' in '.*environment.json', got none"),
        (runs.DONE, "{", r"expected names and values as JSON in '.*done.json'"),
    ],
)
def test_what_cannot_be_read_is_named(folder: Path, file: str, content: str | bytes | None, message: str) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        runs.read(folder)


def test_probabilities_of_another_kind_are_no_others(folder: Path) -> None:
    (folder / runs.PROBABILITIES).mkdir()
    for kind in ("uint8", "float16"):
        asked = {**CONFIG, "fit": {**CONFIG["fit"], "probabilities": kind}}
        if kind == "uint8":
            runs.mark_complete(folder, {})
            (folder / runs.CONFIG).write_text(yaml.safe_dump(asked))
            assert runs.is_complete(folder, asked)
        else:
            with pytest.raises(ValueError, match=r"fit\.probabilities: .* which is complete with uint8; remove"):
                runs.is_complete(folder, asked)


def test_another_configuration_is_refused(folder: Path) -> None:
    elsewhere = {**CONFIG, "runs": "/other/place", "loader": {"workers": 8}}
    assert not runs.is_complete(folder, elsewhere)  # says where, not what
    with pytest.raises(ValueError, match=r"another configuration \(fit.epochs: 3 -> 2\); give another name"):
        runs.is_complete(folder, {**CONFIG, "fit": {"epochs": 2}})
    longer = {**CONFIG, "fit": {"epochs": 4}}
    with pytest.raises(ValueError, match="fit.epochs: expected 3, which the run in '.*' has, got 4; extend=true"):
        runs.is_complete(folder, longer)
    assert not runs.is_complete(folder, {**longer, "extend": True})
    (folder / runs.LAST).unlink()
    assert not runs.is_complete(folder, {**CONFIG, "fit": {"epochs": 4}})


def test_targets_of_older_runs_are_known_by_their_new_names(folder: Path) -> None:
    text = (folder / runs.CONFIG).read_text()
    (folder / runs.CONFIG).write_text(text.replace("seg.training.optim.cosine", "seg.training.cosine"))
    assert not runs.is_complete(folder, CONFIG)


def test_counts_of_each_image(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).integers(0, 10**10, (3, 2, 3))
    runs.write_per_image(tmp_path / "a.csv", ["x", "a,b", "ü"], ["road", "sky"], counts)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("image,class,intersection,prediction,target\n")
    found = runs.read_per_image(tmp_path / "a.csv")
    assert (found.images, found.classes) == (("x", "a,b", "ü"), ("road", "sky"))
    np.testing.assert_array_equal(found.counts, counts)
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    for damaged, message in (
        (lines[:-1], "expected each of 2 classes once for each of 3 images in '.*a.csv', got 5 rows"),
        ([*lines, lines[-1]], "got 7 rows"),
        ([lines[0].replace("class", "label"), *lines[1:]], "expected the columns image,class,.* got image,label"),
        ([*lines[:-1], "ü,sky,1,2,many\n"], "expected whole numbers of pixels in '.*a.csv'"),
        ([*lines[:-1], "ü,sky,1,2\n"], "expected whole numbers of pixels in '.*a.csv'"),
        ([], "expected the columns .* got nothing"),
        (lines[:1], "expected each of 0 classes once for each of 0 images .* got 0 rows"),
    ):
        (tmp_path / "a.csv").write_text("".join(damaged), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            runs.read_per_image(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"run: expected a file, got '.*b.csv'"):
        runs.read_per_image(tmp_path / "b.csv")


def test_scores_of_each_image(tmp_path: Path) -> None:
    path = tmp_path / runs.PER_IMAGE_METRICS
    columns = [
        ("miou", "", np.array([0.5, np.nan])),
        ("boundary_f1", "a, b", np.array([1.0, 0.25])),
        ("boundary_f1", "", np.array([np.nan, 1 / 3])),
    ]
    runs.write_per_image_metrics(path, ["x", "y,z"], columns)
    assert path.read_text().splitlines()[:2] == ["image,metric,class,value", "x,miou,,0.5"]
    assert runs.read_per_image_metrics(path) == {
        "miou": {("x", ""): 0.5},
        "boundary_f1": {("x", "a, b"): 1.0, ("y,z", "a, b"): 0.25, ("y,z", ""): pytest.approx(1 / 3, abs=1e-6)},
    }
    for content, message in (
        ("image,value\n", "expected the columns image,metric,class,value in .*, got image,value"),
        ("", "got nothing"),
        ("image,metric,class,value\nx,miou,,a lot\n", "expected one number for each .* got 'x,miou,,a lot' in line 2"),
        ("image,metric,class,value\nx,miou,,nan\n", "in line 2; the file was edited or cut short"),
        ("image,metric,class,value\nx,miou,,1\nx,miou,,2\n", "got 'x,miou,,2' in line 3"),
        ("image,metric,class,value\nx,mi", "got 'x,mi' in line 2"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"run: .*{message}"):
            runs.read_per_image_metrics(path)
    path.unlink()
    with pytest.raises(ValueError, match="expected a file, got .*; a run writes it when it is complete"):
        runs.read_per_image_metrics(path)


def test_reading_needs_no_torch() -> None:
    golden = Path(__file__).parents[1] / "golden" / "format1"
    code = f"import sys; from seg import runs; print(runs.read({str(golden)!r}).config['name']); "
    code += "print({'torch', 'cv2', 'hydra', 'omegaconf'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["format1", "set()"]


def test_names_are_slugs() -> None:
    choices = {"data": "folders", "model": "unet", "loss": "dice", "augment": "standard", "hydra/launcher": "basic"}
    assert runs.run_name(["loss=dice", "seed=2"], choices, 2) == "unet-dice-seed2"
    assert runs.run_name(["augment=standard", "runs=/x"], choices, 0) == "unet-dice-standard-seed0"
    other = runs.run_name(["fit.epochs=3"], choices, 0)
    assert other.startswith("unet-dice-seed0-")
    assert other != runs.run_name(["fit.epochs=4"], choices, 0)
    rendered = runs.run_name(["data.render.imbalance=4", "data.render.destination=x"], choices, 0)
    assert rendered == runs.run_name(["data.render.imbalance=4"], choices, 0) != runs.run_name([], choices, 0)


def test_an_older_run_is_read(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "golden" / "format1", tmp_path / "old")
    record = runs.read(tmp_path / "old")
    assert (record.choices["loss"], len(record.lines), record.done) == ("boundary", 1, None)


PAIRS = {"train": [("a", 10, 3), ("b", 11, 3)], "val": [("c", 9, 2)]}


def test_a_run_goes_on_with_its_pairs_alone(tmp_path: Path) -> None:
    with runs.opened(tmp_path, CONFIG, ENVIRONMENT, PAIRS):
        pass
    runs.check_pairs(tmp_path, {"train": [("x", 1, 1)], "val": []})  # nothing was trained yet
    (tmp_path / runs.LAST).touch()
    runs.check_pairs(tmp_path, PAIRS)
    for pairs, message in (
        (
            {"train": [*PAIRS["train"], ("d", 1, 1)], "val": PAIRS["val"]},
            "3 pairs that .* 1 new, such as 'd' of train;",
        ),
        ({"train": PAIRS["train"], "val": []}, "got 1 missing, such as 'c' of val; bring them back"),
        ({"train": [("a", 10, 4), ("b", 11, 3)], "val": PAIRS["val"]}, "got 1 changed, such as 'a' of train"),
        ({"train": PAIRS["train"][:1], "val": [*PAIRS["val"], ("b", 11, 3)]}, "1 new, such as 'b' of val; 1 missing"),
    ):
        with pytest.raises(ValueError, match=message):
            runs.check_pairs(tmp_path, pairs)


def test_a_run_folder_is_held_by_one_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from seg import runs\n"
        "with runs.opened(Path(sys.argv[1]), {}, {}):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(
                ValueError, match=rf"no other process trains in, got .* process {other.pid} on .* holds; wait"
            ),
            runs.opened(tmp_path, {"other": 1}, {}),
        ):
            pass
        assert (tmp_path / runs.CONFIG).read_text() == "{}\n"
        other.kill()
    with runs.opened(tmp_path, CONFIG, ENVIRONMENT):  # however it ended
        assert runs.read(tmp_path).config == CONFIG


def test_pruning_is_a_setting_of_tuned_runs_alone(folder: Path) -> None:
    """Runs of versions that did not know it go on; those that were tuned then were tuned without."""
    tuned = {**CONFIG, "tune": {"trials": 4}}
    for path, config in ((folder, CONFIG), (folder.with_name("tuned"), tuned)):
        with runs.opened(path, config, {"choices": {}}, {"train": [], "val": []}):
            (path / runs.LAST).touch()
    assert not runs.is_complete(folder, {**CONFIG, "tune": {"trials": 0, "prune": True}})
    assert not runs.is_complete(folder.with_name("tuned"), {**CONFIG, "tune": {"trials": 4, "prune": False}})
    with pytest.raises(ValueError, match=r"another configuration \(tune.prune: None -> True\)"):
        runs.is_complete(folder.with_name("tuned"), {**CONFIG, "tune": {"trials": 4, "prune": True}})
    told = [runs.settings({**CONFIG, "tune": {"trials": 0, "prune": prune}}) for prune in (True, False)]
    assert told[0] == told[1] == runs.settings({**CONFIG, "tune": {"trials": 0}})


@pytest.mark.parametrize(
    "names", [["a", "b"], ["a,b", 'say "a"'], ["a\u2028b", "a\x0cb"], ["a\rb", "c"], ["a\nb", "ü"]]
)
def test_names_of_any_kind_come_back(tmp_path: Path, names: list[str]) -> None:
    """Tables without quotes are read by a way of their own."""
    counts = np.arange(12).reshape(2, 2, 3)
    runs.write_per_image(tmp_path / "a.csv", names, ["sky", "sea"], counts)
    table = runs.read_per_image(tmp_path / "a.csv")
    assert (table.images, table.classes) == (tuple(names), ("sky", "sea"))
    np.testing.assert_array_equal(table.counts, counts)
