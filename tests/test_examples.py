"""The examples of docstrings, executed; and what objects print, in a terminal and in a notebook.

python -m pytest tests/test_examples.py
"""

import doctest
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import seg
from seg import compare, convert, losses
from seg.compare.scores import LevelScores
from seg.convert.summary import Summary as Converted
from seg.files.notebook import WIDTH, listed, said, table
from seg.images import Reading
from seg.inference.folder import Summary as Predicted
from seg.inference.trained import Trained, load
from seg.labels import LabelMap, builtin_names

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/golden/format4/best.pt"
HOSTILE = LabelMap.from_list([{"name": "<script>alert(1)</script>", "values": [0]}, {"name": "a & b", "values": [1]}])


class Tags(HTMLParser):
    """The tags of a page, each closed, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert tag in {"table", "caption", "tr", "th", "td", "span"}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def checked(thing: Any) -> tuple[str, str]:
    """The line and the text of the table that an object shows."""
    line = repr(thing)
    assert "\n" not in line
    assert len(line) <= WIDTH
    html = thing._repr_html_()
    styles = re.findall(r"<(?!span)\w+ style=\"([^\"]*)\"", html)
    assert not [style for style in styles if "background" in style or re.search("(^|;)color", style)]
    return line, Tags(html).text


@pytest.mark.parametrize("thing", [seg.load, losses, convert.convert_array, compare.compare], ids=lambda t: t.__name__)
def test_examples_of_docstrings_run(thing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/first").mkdir(parents=True)
    (tmp_path / "runs/first/best.pt").symlink_to(GOLDEN)
    image = np.zeros((40, 56, 3), np.uint8)
    (test,) = doctest.DocTestFinder(recurse=False).find(thing, globs={"image": image})
    assert test.examples
    told: list[str] = []
    results = doctest.DocTestRunner().run(test, out=told.append)
    assert not results.failed, "".join(told)


def test_label_maps() -> None:
    line, text = checked(LabelMap.load("camvid"))
    assert re.fullmatch(r"LabelMap\(\d+ classes: \w+, .*\)", line)
    assert "255, ignored" in text
    assert "(128, 128, 128)" in text
    assert "background:rgb(128,128,128)" in LabelMap.load("camvid")._repr_html_()
    line, text = checked(HOSTILE)
    assert "<script>alert(1)</script>\n" in text, "as text"
    for name in builtin_names():
        checked(LabelMap.load(name))


def test_trained() -> None:
    model = load(GOLDEN)
    line, text = checked(model)
    assert re.match(
        r"Trained\(u-\S+ with boxes, \d+\.\d k parameters, miou 0\.033, 10 classes: road, \.\.\., RGB, .* cpu\)", line
    )
    assert model.labels.names[0] in text
    assert "tensor" not in line
    bare = Trained(nn.Identity(), HOSTILE, (0.5,), (0.2,), "cpu", reading=Reading((3,)), size=(32, 64), path="a" * 200)
    line, text = checked(bare)
    assert line == "Trained(Identity, 2 classes: ..., 1 bands, 32x64, cpu)"
    assert "a" * 200 in text


@pytest.mark.parametrize(
    ("position", "mode", "expected"),
    [
        ({"epoch": 8, "top": [[0.5, 7]]}, "max", ("miou", 0.5)),
        ({"epoch": 8, "top": [[0.5, 7]]}, "min", ("miou", -0.5)),
        ({"epoch": 9, "top": [[0.5, 7], [0.4, 8]]}, "max", ("miou", 0.4)),
        ({"epoch": 9, "top": [[0.5, 7]]}, "max", None),  # last.pt, after the best
        ({"epoch": 9, "top": []}, "max", None),
        ({"epoch": 9, "top": "many"}, "max", None),
        ({}, "max", None),
    ],
)
def test_the_score_is_that_of_these_weights(position: Any, mode: str, expected: Any, tmp_path: Path) -> None:
    state = torch.load(GOLDEN, weights_only=True)
    state["position"] |= position
    state["position"] = position and state["position"]
    state["config"]["fit"] |= {"monitor": "miou", "mode": mode}
    torch.save(state, tmp_path / "best.pt")
    model = load(tmp_path / "best.pt")
    assert model.score == expected
    assert (", miou " in repr(model)) == (expected is not None)


def test_summaries() -> None:
    converted = Converted(
        converted=2, skipped=3, failed=1, pixels={"road": 300, "car": 100}, images={"road": 5, "car": 2}, ignored=7,
        image_pixels={}, transparent=0, warnings=("w",), failures=(("<b>.png", "bad & broken"),), seconds=1.5,
    )  # fmt: skip
    line, text = checked(converted)
    assert line == (
        "Summary(6 files: 2 converted, 3 unchanged, 1 failed, 400 pixels of 2 classes, 7 ignored, 1 warnings, 1.5 s)"
    )
    assert "road\n300\n75.00%\n5\n" in text
    assert "<b>.png\nbad & broken\n" in text
    line, text = checked(Predicted(4, 1, ("mask", "overlay"), ("<i>: broken",)))
    assert line == "Summary(6 images: 4 predicted, 1 unchanged, 1 failed, wrote mask, overlay)"
    assert "<i>: broken\n" in text
    checked(Predicted(0, 0, (), ()))
    checked(Converted(0, 0, 0, {}, {}, {}, 0, 0, (), (), 0.0))


def test_comparisons() -> None:
    def level(hit: float) -> LevelScores:
        target = np.full((2, 30, 2), 1000) + np.arange(30)[None, :, None]
        right = (target * (hit + np.arange(30)[None, :, None] % 5 / 100)).astype(np.int64)
        return LevelScores((0, 1), np.stack([right, target, target], axis=-1))

    compared = compare.compare({"<dice>": level(0.9), "focal": level(0.6), "c" * 90: level(0.5)})
    line, text = checked(compared)
    assert line.startswith("Comparison(miou of 3 levels, best <dice> 8")
    assert text.startswith("rank\nlevel\nseeds\nmIoU\n95 % interval\n1\n<dice>\n2\n")
    assert "<dice> - focal\n" in text
    line, text = checked(compare.compare({"alone": level(0.9)}))
    assert "pairs" not in line
    assert "verdict" not in text


def test_lines_and_tables() -> None:
    assert said("A", "b", "", "c") == "A(b, c)"
    assert len(said("A", "b" * 200)) == WIDTH
    assert said("A", "b" * 200).endswith("b...)")
    assert listed(["road", "car"], 20) == "road, car"
    assert listed(["road", "car", "person"], 13) == "road, ..."
    assert listed(["road" * 10, "car"], 14) == "..."
    assert table("", (), [("<",)]).count("&lt;") == 1
    assert table("", (), [("x",)] * 60).count(">x<") == 50
    assert "... 10 more" in table("", (), [("x",)] * 60)
    assert Tags(table("a<b", ("x",), [((1, 2, 3),)])).text == "a<b\nx\n"


@pytest.mark.parametrize("call", [".predict(image)", "WeightedSum(", "convert_array(", "compare("])
def test_pages_show_the_examples(call: str) -> None:
    """What docstrings show, a page shows at work."""
    assert call in (ROOT / "docs/howto/notebook.md").read_text(encoding="utf-8")
