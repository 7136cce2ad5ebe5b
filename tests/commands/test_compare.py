"""python -m pytest tests/commands/test_compare.py"""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Script, fails
from made_runs import made_counts, write_run
from PIL import Image

from seg.compare.about import about
from seg.compare.answer import answer, cautions, points
from seg.compare.findings import Comparison
from seg.compare.gallery import CHANGE_COLORS, changes, encoded, find_cases
from seg.compare.other_scores import other_metrics, other_scores
from seg.compare.report import write_report
from seg.compare.statistics import compare
from seg.compare.study import Study, read_study
from seg.metrics.scores import by_class, by_image, image_ious, scores_of
from seg.report.document import Bullets, Figure, Heading, Table, Text, Views, to_markdown, to_page

LEVEL_KEYS = {"level", "seeds", "images", "mean", "interval", "interval_kind", "rank_interval"}
PAIR_KEYS = {"a", "b", "difference", "interval", "p_holm", "effect", "p_better", "p_equivalent", "p_worse", "verdict"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three losses of three seeds: far better, and two that are hardly told apart."""
    for level, better in (("dice", 0.15), ("focal", 0.0), ("tversky", 0.02)):
        for seed in range(3):
            write_run(tmp_path / "runs" / f"{level}-{seed}", level, seed, better=better)
    return tmp_path / "runs"


def found(root: Path, **options: object) -> tuple[Study, Comparison]:
    study = read_study(root)
    return study, compare({level.name: level.sample() for level in study.levels}, draws=200, **options)  # type: ignore[arg-type]


def with_seeds(result: Comparison, count: int) -> Comparison:
    """The same with so many seeds of each level."""
    return replace(result, levels=tuple(replace(level, seeds=tuple(range(count))) for level in result.levels))


@pytest.mark.slow
def test_the_files_hold_what_scripts_read(root: Path, tmp_path: Path, script: Script) -> None:
    result = script("seg-compare", runs=root, destination="out", draws=500)
    assert result.returncode == 0, result.stderr
    with (tmp_path / "out/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = "run,level,seed,images,miou,miou_i,miou_c,mdice,accuracy,boundary_f1,ece,seconds"
    assert ",".join(rows[0]) == names
    assert [(row["level"], row["seed"]) for row in rows] == [
        (level, str(seed)) for level in ("dice", "focal", "tversky") for seed in range(3)
    ]
    for row in rows[:3]:
        counts = made_counts("dice", int(row["seed"]), better=0.15)
        assert float(row["miou"]) == pytest.approx(scores_of(counts.sum(0)).miou, abs=1e-6)
        assert float(row["miou_i"]) == pytest.approx(by_image(image_ious(counts)), abs=1e-6)
        assert float(row["miou_c"]) == pytest.approx(by_class(image_ious(counts)), abs=1e-6)
        assert (row["images"], float(row["seconds"])) == ("12", 6.0)
    data = json.loads((tmp_path / "out/statistics.json").read_text())
    assert (data["metric"], data["axis"], data["rope"], data["draws"]) == ("miou", "loss", 0.005, 500)
    assert (data["excluded"], data["warnings"]) == ([], [])
    assert all(set(level) >= LEVEL_KEYS for level in data["levels"])
    assert [(pair["a"], pair["b"]) for pair in data["pairs"]] == [
        ("dice", "focal"), ("dice", "tversky"), ("focal", "tversky"),
    ]  # fmt: skip
    means = {level["level"]: level["mean"] for level in data["levels"]}
    for pair in data["pairs"]:
        assert set(pair) >= PAIR_KEYS
        assert pair["difference"] == pytest.approx(means[pair["a"]] - means[pair["b"]])
        assert pair["interval"][0] <= pair["difference"] <= pair["interval"][1]
        assert pair["p_better"] + pair["p_equivalent"] + pair["p_worse"] == pytest.approx(1)
    assert [pair["verdict"] for pair in data["pairs"]] == ["better", "better", "inconclusive"]
    page = (tmp_path / "out/report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    for name in ("forest", "seeds", "classes", "curves", "worst"):
        assert "![" in (text := (tmp_path / "out/report.md").read_text())
        assert f"({name}.png)" in text
        assert (tmp_path / f"out/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"out/{name}.svg").read_text()
    assert "'dice' beats 'focal'" in result.stdout
    assert result.stderr.startswith("comparing 9 runs: 3 levels of loss, on ")  # before it loads what computes
    before = (tmp_path / "out/statistics.json").read_bytes()
    assert script("seg-compare", runs=root, destination="out", draws=500).returncode == 0
    assert (tmp_path / "out/statistics.json").read_bytes() == before


def test_what_is_left_out_ends_with_one(root: Path, tmp_path: Path, script: Script) -> None:
    write_run(root / "half", "dice", 7, complete=False)
    fails(script("seg-compare", runs=root, destination="out", draws=200), 1, "1 run was left out")
    data = json.loads((tmp_path / "out/statistics.json").read_text())
    assert data["excluded"] == [{"run": "half", "reason": "not complete: 2 of 2 epochs"}]
    assert "| half | not complete: 2 of 2 epochs |" in (tmp_path / "out/report.md").read_text()


def test_nothing_is_complete_yet(tmp_path: Path, script: Script) -> None:
    write_run(tmp_path / "runs/half", complete=False)
    fails(
        script("seg-compare", runs="runs", destination="out"),
        1,
        r"expected a complete run in 'runs', got 1 others \(half",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": "nowhere"}, "runs: expected a folder with runs of seg-train in it, got 'nowhere'"),
        ({"draws": 10}, "draws: expected a whole number from 100 to 1000000, got 10"),
        ({"rope": -1}, "rope: expected a difference in units of the metric, from 0 to below 1, got -1"),
        ({"metric": "fps"}, "metric: expected one that the runs have .*got 'fps'"),
        ({"axis": "model.depth"}, "axis: expected a configuration group or key, got 'model.depth'"),
        ({"reference": "x"}, "reference: expected one of dice, focal, tversky, got 'x'"),
        ({"cd": "true"}, "unknown key 'cd'"),
        ({"group": "'('"}, "group: expected a regular expression"),
        (
            {"group": "val"},
            "group: expected an expression that tells images apart, got 'val', which finds 'val' in all",
        ),
        ({"group": "''"}, "group: expected a text, got ''"),
        ({"axis": "[loss]"}, r"axis: expected a text, got \['loss'\]"),
        ({"metric": 3}, "metric: expected a text, got 3"),
        ({"draws": 10**11}, "draws: expected a whole number from 100 to 1000000"),
        ({"reference": "true"}, "reference: expected one of dice, focal, tversky, got 'true'"),
        ({"destination": "runs/dice-0"}, "destination: expected a folder of its own, got one of the run '.*dice-0'"),
        ({"destination": "runs/dice-0/report"}, "destination: expected a folder of its own, got one of the run"),
        ({"group": "^no"}, "group: expected an expression that matches every image, got '\\^no', not in 'val/000'"),
        ({"destination": "???"}, "missing on the command line: destination=..."),
    ],
)
def test_wrong_requests(root: Path, script: Script, options: dict[str, object], message: str) -> None:
    fails(script("seg-compare", **{"runs": root, "destination": "out", "draws": 200, **options}), 2, message)


def test_the_report_says_what_made_the_runs(tmp_path: Path) -> None:
    for seed, state in enumerate(({"commit": "a" * 40, "changed": False}, {"commit": "b" * 40, "changed": True}, None)):
        folder = write_run(tmp_path / f"a-{seed}", "a", seed)
        environment = json.loads((folder / "environment.json").read_text())
        (folder / "environment.json").write_text(json.dumps(environment | {"git": state, "gpus": ["H9", "H9"]}))
    study, compared = found(tmp_path)
    (items, *_) = [block for block in about(study, compared) if isinstance(block, Bullets)]
    made_by = items.items[3]
    assert made_by.endswith(f"2 x H9, started at commit {'a' * 10}, started at commit {'b' * 10} with changes")


def test_neither_torch_nor_opencv_is_loaded(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from seg.commands.compare import main\n"
        f"sys.argv = ['seg-compare', 'runs={root}', 'destination={tmp_path / 'out'}', 'draws=100']\n"
        "main()\n"
        "assert not {'torch', 'cv2'} & set(sys.modules), 'loaded'"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def numbers(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"(?<![\w`])-?\d+\.\d+", text)]


def test_the_words_say_what_the_numbers_do(root: Path) -> None:
    _, compared = found(root)
    sentences = list(answer(compared, "dice"))
    for sentence in sentences[:2]:
        (other,) = re.findall(r"`dice` beats `(\w+)`", sentence)
        pair = next(p for p in compared.pairs_with("dice") if p.b == other)
        assert pair.verdict == "better"
        assert pair.wide is not None
        wanted = [100 * pair.difference, 95 / 95, 100 * pair.wide[0], 100 * pair.wide[1]]
        assert numbers(sentence) == pytest.approx([wanted[0], *wanted[2:]], abs=0.051)
    assert "best of the 3" in sentences[2]
    seen = list(answer(compared, "focal"))
    assert seen[0].startswith("`dice` beats `focal` by")
    assert numbers(seen[0]) == numbers(next(s for s in sentences if "`focal`" in s))
    pair = next(p for p in compared.pairs if {p.a, p.b} == {"focal", "tversky"})
    assert f"{pair.more_seeds:,} more seed" in seen[1]
    assert "these 3 seeds and 12 images cannot decide" in seen[1] or "is ahead of" in seen[1]


def test_among_many_pairs_and_with_one_seed_the_words_are_careful(root: Path, tmp_path: Path) -> None:
    _, compared = found(root)
    pair = compared.pairs_with("dice")[0]
    among = replace(compared, pairs=(replace(pair, verdict="inconclusive", more_seeds=2, more_images=None),) * 3)
    assert pair.wide is not None
    assert pair.wide[0] > compared.rope
    sentence = next(iter(answer(among, "dice")))
    assert sentence.startswith(f"`dice` is ahead of `{pair.b}` (by {points(pair.difference)} points of mIoU")
    assert "of 3 pairs one may be this far apart by chance alone" in sentence
    assert "these 3 seeds and 12 images cannot decide; 2 more seeds would, if the difference" in sentence
    for number, words in ((1000, "1,000 more seeds would"), (1001, "thousands of seeds would")):
        many = replace(among, pairs=(replace(among.pairs[0], more_seeds=number),) * 3)
        assert f"cannot decide; {words}, if the difference stays the same." in next(iter(answer(many, "dice")))
    for level in ("a", "b"):
        write_run(tmp_path / level, level, 0, better=0.1 * (level == "a"))
    _, compared = found(tmp_path)
    assert compared.pairs[0].interval[0] > compared.rope
    assert "one seed cannot decide: more seeds would show how much they matter." in next(iter(answer(compared, "a")))


def test_of_an_error_less_is_better(root: Path) -> None:
    _, compared = found(root, metric="ece")
    (first, *_) = answer(compared, "dice")
    assert first.startswith("`dice` beats")
    assert min(numbers(first)) > 0


def test_levels_that_are_equal_are_called_so(tmp_path: Path) -> None:
    for level in ("a", "b"):
        for seed in range(3):
            write_run(tmp_path / f"{level}-{seed}", level, seed, counts=made_counts("same", seed))
    _, compared = found(tmp_path)
    assert next(answer(compared, "a")).startswith("`a` and `b` are equivalent: the difference, 0.0 points of mIoU")


def test_few_runs_are_said_to_be_few(tmp_path: Path) -> None:
    write_run(tmp_path / "a-0", "a", 0)
    _, compared = found(tmp_path)
    (only,) = answer(compared, "run")
    assert "nothing to compare it with" in only
    assert [caution for caution in cautions(with_seeds(compared, 1)) if "One run per level" in caution]
    assert [caution for caution in cautions(with_seeds(compared, 3)) if "With 3 seeds" in caution]
    assert not [caution for caution in cautions(with_seeds(compared, 12)) if "seeds" in caution]


@pytest.mark.parametrize("levels", [2, 7])
def test_two_seeds_of_any_number_of_levels_hardly_show_how_much_they_matter(tmp_path: Path, levels: int) -> None:
    for level in "abcdefg"[:levels]:
        for seed in range(2):
            write_run(tmp_path / f"{level}-{seed}", level, seed)
    _, compared = found(tmp_path)
    assert next(cautions(with_seeds(compared, 2))).startswith("Two seeds hardly show")


@pytest.mark.parametrize("metric", ["miou", "ece"])
@pytest.mark.parametrize("reference", ["dice", "focal", "tversky"])
@pytest.mark.parametrize(("verdict", "rope"), [("as found", 0.0), ("inconclusive", 0.0), ("inconclusive", 0.2)])
def test_whoever_is_ahead_is_so_by_more_than_nothing(
    root: Path, metric: str, reference: str, verdict: str, rope: float
) -> None:
    """Whether more or less is better, and from whichever side it is told."""
    _, compared = found(root, metric=metric, rope=rope)
    if verdict != "as found":
        compared = replace(compared, pairs=tuple(replace(p, verdict=verdict, more_seeds=9) for p in compared.pairs))
    means = {level.level: level.mean * (-1 if metric == "ece" else 1) for level in compared.levels}
    told = [s for s in answer(compared, reference) if " beats " in s or " ahead of " in s]
    assert told
    for sentence in told:
        ahead, behind = re.findall(r"`(\w+)`", sentence)
        assert means[ahead] > means[behind]
        gap, low, high = numbers(sentence)[:3]
        assert gap == pytest.approx(100 * (means[ahead] - means[behind]), abs=0.051)
        assert 0 <= low < gap < high


def test_one_seed_and_equal_levels_have_no_best(tmp_path: Path) -> None:
    for level in ("a", "b", "c"):
        write_run(tmp_path / "one" / level, level, 0, better=0.1 * (level == "a"))
        for seed in range(3):
            write_run(tmp_path / "same" / f"{level}-{seed}", level, seed, counts=made_counts("same", seed))
    _, one = found(tmp_path / "one")
    *_, last = answer(one, "a")
    assert last == "`a` has the best mIoU of these runs; whether its level is the best, one seed cannot tell."
    assert not any("probability" in sentence for sentence in answer(one, "a"))
    _, same = found(tmp_path / "same")
    *_, last = answer(same, "a")
    assert last == "`a` and `b` and `c` share the best mIoU."
    assert [level.rank_interval for level in same.levels] == [(1, 1)] * 3
    assert same.ranks.false_claim == 0


def test_levels_that_scatter_more_are_named_with_what_is_judged_without_them(tmp_path: Path) -> None:
    for level in "abcde":
        for seed in range(3):
            better = 0.1 * seed * (level == "b") + 0.002 * (ord(level) * seed % 5)
            write_run(tmp_path / f"{level}-{seed}", level, seed, counts=made_counts("x", seed, better=better))
    _, compared = found(tmp_path)
    (told,) = [caution for caution in cautions(compared) if "Seeds move" in caution]
    scatter = {level.level: level.scatter for level in compared.levels}
    others = [scatter[name] or 0 for name in "acde"]
    ends = " to ".join(dict.fromkeys(f"{100 * end:.1f}" for end in (min(others), max(others))))
    assert told.startswith(f"Seeds move `b` by about {100 * (scatter['b'] or 0):.1f} points (standard deviation), ")
    assert f"the other levels by about {ends}. Pairs with it are judged by its own scatter" in told
    assert told.endswith("pairs of the others are judged without it.")

    def noisy(names: str) -> list[str]:
        levels = tuple(replace(x, scatters_more=0.9 * (x.level in names)) for x in compared.levels)
        return [text for text in cautions(replace(compared, levels=levels)) if "Seeds move" in text]

    assert noisy("") == []
    assert "Seeds move `a` and `b` by about" in noisy("ab")[0]
    assert "pairs of the others are judged without them." in noisy("ab")[0]


def test_what_speaks_of_these_runs_stands_apart_from_what_speaks_of_new_seeds(tmp_path: Path) -> None:
    for level in "abc":
        for seed in range(2):
            write_run(tmp_path / "runs" / f"{level}-{seed}", level, seed, better=0.05 * (level == "a"))
    study, compared = found(tmp_path / "runs")
    write_report(tmp_path, study, compared, "a")
    text = (tmp_path / "report.md").read_text()
    new, these = (
        text.index("verdict on `a`: of new seeds and new images."),
        text.index("This is of these very runs, not"),
    )
    assert new < these
    assert "| p of these runs | effect in these runs |" in text[these:]
    assert "verdict |" in text[new:these]
    assert "p of" not in text[new:these]


def test_groups_are_drawn_as_a_whole(tmp_path: Path, script: Script, root: Path) -> None:
    assert script("seg-compare", runs=root, destination="out", draws=200, group="'val/(..)'").returncode == 0
    assert "images are drawn in 2 groups" in (tmp_path / "out/report.md").read_text()


def test_a_single_run_has_a_report(tmp_path: Path, script: Script) -> None:
    write_run(tmp_path / "runs/only")
    result = script("seg-compare", runs="runs", destination="out")
    assert result.returncode == 0, result.stderr
    data = json.loads((tmp_path / "out/statistics.json").read_text())
    assert (data["axis"], data["pairs"], len(data["levels"])) == (None, [], 1)


def test_documents_escape_what_is_not_theirs(tmp_path: Path) -> None:
    blocks = [
        Text("the answer: `a<b>`", strong=True), Heading("a & b"), Text("plain `x|y`"), Bullets(["<i>", "`k`"]),
        Table(("level", "n"), [("a|b", "1"), ("<script>", "2")], numbers={1}),
    ]  # fmt: skip
    text = to_markdown("T", blocks)
    assert "| a\\|b | 1 |" in text
    assert "**the answer: `a<b>`**" in text
    page = to_page("T", blocks, tmp_path)
    assert '<td class="number">2</td>' in page
    assert "&lt;script&gt;" in page
    assert page.count("<script>") == 1  # the report's own
    assert "<code>a&lt;b&gt;</code>" in page
    assert page.count("the answer") == 1
    with pytest.raises(OSError, match=r"no\.png"):
        to_page("T", [Figure("no.png", "c")], tmp_path)


def test_what_another_level_fixes_and_breaks() -> None:
    target = np.array([[0, 1, 2, 255, 1]], np.uint8)
    reference, other = np.array([[0, 1, 0, 0, 0]], np.uint8), np.array([[0, 0, 2, 1, 2]], np.uint8)
    assert changes(target, reference, other).tolist() == [[0, 2, 1, 4, 3]]


def test_other_metrics_rank_the_levels(root: Path) -> None:
    study = read_study(root)
    metrics = other_metrics(study.catalogue)
    found = other_scores(study.levels, metrics)
    assert list(found) == [metric for metric in metrics if metric != "ap"]  # these runs have no boxes
    for level, miou, by_target in zip(study.levels, found["miou"], found["target"], strict=True):
        totals = [entry.counts.sum(0) for entry in level.entries]
        assert miou == pytest.approx(np.mean([scores_of(total).miou for total in totals]))
        assert by_target == pytest.approx(miou)  # every class is in the target
    entry = replace(study.levels[0].entries[0], counts=np.array([[[0, 5, 0], [4, 4, 8]]]))
    one = [replace(study.levels[0], entries=(entry,))]
    assert other_scores(one, metrics)["target"] == [0.5]  # the first class is predicted where there is none


def test_scores_that_a_run_lacks_are_left_empty(tmp_path: Path, script: Script) -> None:
    folder = write_run(tmp_path / "runs/a", "a", 0)
    done = json.loads((folder / "done.json").read_text())
    del done["last"]["ece"]
    done["last"]["boundary_f1"] = None
    (folder / "done.json").write_text(json.dumps(done))
    assert script("seg-compare", runs="runs", destination="out").returncode == 0
    with (tmp_path / "out/results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["boundary_f1"], row["ece"]) == ("", "")
    assert not math.isnan(float(row["miou"]))
    assert np.isfinite(float(row["seconds"]))


def with_pictures(root: Path) -> Path:
    """Files of images, masks and predictions for the runs of `root`; a level is right where its loss is "dice"."""
    target = np.repeat(np.array([[0, 1, 2, 255]], np.uint8), 2, axis=0)
    for kind in ("images", "masks"):
        (root / kind / "val").mkdir(parents=True)
    for index in range(12):
        Image.fromarray(np.full((2, 4, 3), 10 * index, np.uint8)).save(root / f"images/val/{index:03}.png")
        Image.fromarray(target).save(root / f"masks/val/{index:03}.png")
    for level, mask in (("dice", [[0, 1, 2, 2]]), ("focal", [[0, 1, 0, 0]]), ("tversky", [[1, 1, 2, 0]])):
        for seed in range(3):
            folder = root / f"runs/{level}-{seed}/predictions/val"
            folder.mkdir(parents=True)
            for index in range(12):
                Image.fromarray(np.repeat(np.array(mask, np.uint8), 2, axis=0)).save(folder / f"{index:03}.png")
    return root


def pictured(tmp_path: Path) -> Path:
    part = {"images": str(tmp_path / "images"), "masks": str(tmp_path / "masks")}
    for level, better in (("dice", 0.15), ("focal", 0.0), ("tversky", 0.02)):
        for seed in range(3):
            folder = tmp_path / f"runs/{level}-{seed}"
            write_run(folder, level, seed, better=better, config={"data": {"train": part, "val": part}})
    return with_pictures(tmp_path)


def test_the_gallery_shows_what_the_files_hold(tmp_path: Path) -> None:
    levels = read_study(pictured(tmp_path) / "runs").levels
    cases = list(find_cases(levels, "focal"))
    assert len(cases) == 6
    apart = np.ptp([np.mean([image_ious(e.counts).mean(1) for e in level.entries], axis=0) for level in levels], axis=0)
    assert [int(case.name[-3:]) for case in cases] == np.argsort(-apart)[:6].tolist()
    for case in cases:
        titles = [title for title, _ in case.views]
        assert titles[:2] == ["image", "truth"]
        assert titles[3] == "errors of focal"
        views = dict(case.views)
        assert views["image"].tolist() == np.full((2, 4, 3), 10 * int(case.name[-3:])).tolist()
        right, fixed, broken, wrong, ignored = (color.tolist() for color in CHANGE_COLORS)
        assert views["errors of focal"][0].tolist() == [right, right, wrong, ignored]
        assert views["dice against focal"][0].tolist() == [right, right, fixed, ignored]
        assert views["tversky against focal"][0].tolist() == [broken, right, fixed, ignored]
        assert views["truth"][0, 3].tolist() == [255, 255, 255]
    (tmp_path / "images" / f"{cases[0].name}.png").write_bytes(b"no picture")
    assert [case.name for case in find_cases(levels, "focal")] == [case.name for case in cases[1:]]


def test_the_report_links_its_pictures(tmp_path: Path, script: Script) -> None:
    pictured(tmp_path)
    assert script("seg-compare", runs="runs", destination="out", draws=200).returncode == 0
    page, text = (tmp_path / "out/report.html").read_text(), (tmp_path / "out/report.md").read_text()
    anchors = set(re.findall(r'id="([^"]*)"', page))
    links = re.findall(r'href="#([^"]*)"', page)
    assert {"image-1-6", "image-1", "plot-forest"} <= set(links) <= anchors
    assert re.search(r'title="focal against dice"', page)
    assert "![`" not in text
    assert "| dice | 6 | 4.0 | 1.50 |" in text
    assert {link for link in re.findall(r"\(#([\w-]*)\)", text) if link.count("-") == 1} <= set(
        re.findall(r'<a id="([^"]*)"', text)
    )


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium to open the page with")
    return found


def opened(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What Chromium makes of a page; nothing may be logged to its console."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={page.parent}"]
    words = [browser(), *quiet, *options, page.as_uri()]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert "CONSOLE" not in result.stderr
    return result


@pytest.mark.slow
def test_the_page_opens_in_a_browser(root: Path, tmp_path: Path, script: Script) -> None:
    browser()
    assert script("seg-compare", runs=root, destination="out", draws=200).returncode == 0
    for width in (1000, 390):
        shot = tmp_path / f"{width}.png"
        opened(tmp_path / "out/report.html", f"--window-size={width},3000", f"--screenshot={shot}")
        with Image.open(shot) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert pixels.std() > 10  # something is on it


DRIVER = """
const told = [], wait = () => new Promise(done => setTimeout(done, 50));
const key = name => dialog.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
const steps = [
  () => document.querySelector("p a").click(), () => key("ArrowRight"), () => key("ArrowRight"), () => key("ArrowLeft"),
  () => key("1"), () => key("9"), () => key("ArrowDown"), () => key("ArrowUp"),
  () => dialog.querySelector("button[value='1']").click(), () => key("Escape"),
  () => document.querySelector("p a").click(), () => key("Escape"),
  () => document.querySelector("#plot-flat").click(), () => dialog.querySelector("button[value='']").click()
];
(async () => {
  for (const step of steps) { step(); await wait(); told.push(dialog.open ? title.textContent : "closed"); }
  document.title = told.join("|") + location.hash;
})();
"""


def test_pictures_of_the_page_are_enlarged_and_flipped(tmp_path: Path) -> None:
    flat = np.zeros((2, 3, 3), np.uint8)
    (tmp_path / "flat.png").write_bytes(encoded(flat, "PNG"))
    views = [(name, encoded(flat + i, "PNG")) for i, name in enumerate(("image", "truth", "<dice>", "change"))]
    blocks = [
        Text("see [the truth](#image-1-2)"), Figure("flat.png", "a `plot`"), Views("image-1", "flat.png", "c", views),
    ]  # fmt: skip
    page = str(to_page("T", blocks, tmp_path)).replace("follow();\n</script>", f"follow();\n{DRIVER}</script>")
    assert DRIVER in page
    (tmp_path / "page.html").write_text(page)
    shown = opened(tmp_path / "page.html", "--dump-dom", "--virtual-time-budget=5000").stdout
    found = re.search("<title>(.*)</title>", shown)
    assert found is not None
    assert found[1] == (
        "truth|&lt;dice&gt;|change|&lt;dice&gt;|image|image|a plot|image|truth|closed|truth|closed|a plot|closed"
    )
