"""python -m pytest tests/compare/test_pictures.py"""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Script
from made_runs import made_counts, write_run
from markdown_it import MarkdownIt
from PIL import Image

from seg.compare import plots
from seg.compare.findings import Comparison
from seg.compare.gallery import Case, draw_case, encoded, find_cases
from seg.compare.overview import look_over, write_overview
from seg.compare.report import write_report
from seg.compare.statistics import compare
from seg.compare.study import Level, read_study
from seg.metrics.catalogue import Metric
from seg.report.document import Bullets, Heading, Table, Text, Views, to_markdown, to_page
from seg.report.figure import labels, remove_others, saved_figure, short, styles_of
from seg.report.inline_markup import code
from seg.runs import EVALUATION

LONG = "a_long_name_" * 25
NAMES = [
    "$x$",
    "a_$b",
    "_hidden",
    "_",
    "中文",
    "bell\x07 and\nline",
    "\udcff",
    "🙂",
    LONG,
    f"{LONG}!",
    f"{LONG[:-1]}?_",
]
TOLERANCES = [0.0075, 1, 2, 3, 5]


@pytest.fixture
def template(tmp_path: Path) -> Level:
    write_run(tmp_path / "runs/a")
    return read_study(tmp_path / "runs").levels[0]


def made_levels(template: Level, names: list[str]) -> list[Level]:
    """Levels of two seeds, judged in full."""
    levels = []
    for place, name in enumerate(names):
        judged = {
            "boundary_f1_curve": {"tolerances": TOLERANCES, "i": [0.7, 0.5, 0.55, 0.6, 0.62 + place / 100]},
            "reliability": {"pixels": [5, 5], "confidence": [0.3, 0.8], "accuracy": [0.2, 0.7]},
        }
        lines = tuple(line | {"seconds": 3.0 + place} for line in template.entries[0].lines)
        wrong = {f"error_{kind}": 0.1 for kind in plots.ERRORS}
        entry = replace(template.entries[0], judged=judged, lines=lines, scores={**template.entries[0].scores, **wrong})
        counts = [made_counts("x", seed + 9 * place, better=0.01 * place) for seed in range(2)]
        levels.append(Level(name, tuple(replace(entry, seed=i, counts=some) for i, some in enumerate(counts))))
    return levels


def compared(levels: list[Level]) -> Comparison:
    return compare({level.name: level.sample() for level in levels}, draws=100)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Figures in the order in which they were saved."""
    from matplotlib.figure import Figure as Canvas

    figures: list[Any] = []
    save: Callable[..., None] = Canvas.savefig

    def saved(self: Any, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        figures.append(self)

    monkeypatch.setattr(Canvas, "savefig", saved)
    return figures


def draw_all(folder: Path, levels: list[Level], classes: list[str]) -> dict[str, Path]:
    """All plots of a report, in its orders of levels."""
    found = compared(levels)
    ranked = sorted(levels, key=lambda level: -levels.index(level))
    plots.draw_forest(folder, found, levels[0].name)
    plots.draw_seeds(folder, found)
    plots.draw_classes(folder, found, classes)
    plots.draw_curves(folder, levels)
    plots.draw_worst(folder, levels)
    plots.draw_cost(folder, found, levels)
    for draw in (plots.draw_errors, plots.draw_tolerances, plots.draw_reliability):
        assert draw(folder, ranked) is not None
    return {path.stem: path for path in folder.glob("*.png")}


def legend_of(figure: Any) -> dict[str, Any]:
    """Label -> what stands for it."""
    (legend,) = figure.legends
    return dict(zip((text.get_text() for text in legend.get_texts()), legend.legend_handles, strict=True))


@pytest.mark.slow
def test_any_name_is_drawn_letter_by_letter(tmp_path: Path, template: Level, drawn: list[Any]) -> None:
    """No formula, no hidden label, no warning (these are errors here), and nothing is cut off."""
    found = draw_all(tmp_path, made_levels(template, NAMES), ["$c$", "_c", LONG])
    assert len(found) == 9
    for path in found.values():
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])), path.name
        path.with_suffix(".svg").read_text(encoding="utf-8")
    with_legend = [figure for figure in drawn if figure.legends]
    assert len(with_legend) == 2 * 5  # PNG and SVG of curves, worst, cost, tolerances, reliability
    shown = set(labels(NAMES).values())
    assert all(set(legend_of(figure)) == shown for figure in with_legend)
    assert {"$x$", "_hidden", "_", "中文", "bell\ufffd and line", "\ufffd"} <= shown
    for figure in drawn:
        assert all(axes.get_position().width > 0.1 and axes.get_position().height > 0.1 for axes in figure.axes)


def test_names_are_short_and_told_apart() -> None:
    assert short("dice") == "dice"
    assert short("a\tb\r\nc\x00d") == "a b c\ufffdd"
    name = short("models/segmentation/first/checkpoints/epoch_1.pt")
    assert (len(name), name) == (32, "models/segmenta…points/epoch_1.pt"[:15] + "…" + "points/epoch_1.pt"[-16:])
    names = [f"{'x' * 20}{i:02}{'x' * 20}" for i in range(12)]
    shown = labels(reversed(names))
    assert list(shown) == names[::-1]
    assert len(set(shown.values())) == 12
    assert all(len(label) <= 33 for label in shown.values())
    assert shown == labels(names)


@pytest.mark.parametrize("count", [3, 20, 45])
def test_legends_hide_nothing(tmp_path: Path, template: Level, drawn: list[Any], count: int) -> None:
    levels = made_levels(template, [f"level_{i}" for i in range(count)])
    for draw in (plots.draw_curves, plots.draw_worst, plots.draw_tolerances, plots.draw_reliability):
        draw(tmp_path, levels)
        figure = drawn[-1]
        assert len(legend_of(figure)) == count
        legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_window_extent()
        assert not legend.overlaps(axes)
        assert min(axes.width, axes.height) > 3 * figure.dpi  # inches
        width, height = figure.get_size_inches() * figure.dpi
        assert legend.x0 >= 0
        assert legend.y0 >= 0
        assert legend.x1 <= width
        assert legend.y1 <= height


@pytest.mark.slow
def test_a_level_looks_alike_in_all_plots(tmp_path: Path, template: Level, drawn: list[Any]) -> None:
    names = [f"level_{i}" for i in range(15)]
    draw_all(tmp_path, made_levels(template, names), ["a", "b", "c"])
    found: dict[str, set[str]] = {}
    for figure in drawn:
        for label, line in legend_of(figure).items() if figure.legends else ():
            found.setdefault(label, set()).add(line.get_color())
    assert set(found) == set(names)
    assert all(len(colors) == 1 for colors in found.values())
    look = styles_of(names)
    assert styles_of(reversed(names)) == look
    assert {name: {each.color} for name, each in look.items()} == found


def test_sixty_levels_look_different() -> None:
    look = styles_of(map(str, range(60))).values()
    assert len({(each.color, each.line) for each in look}) == 60
    assert len({(each.color, each.marker) for each in look}) == 60


@pytest.mark.parametrize("tolerances", [[0.0075, 1, 2], [1, 2, 0.0075, 0.02], [1, 2, 3], [0.0075]])
def test_a_share_of_the_diagonal_is_no_point_of_the_curve(
    tmp_path: Path, template: Level, drawn: list[Any], tolerances: list[float]
) -> None:
    levels = made_levels(template, ["a", "b"])
    curve = {"boundary_f1_curve": {"tolerances": tolerances, "i": [0.1 * (i + 1) for i in range(len(tolerances))]}}
    levels = [replace(each, entries=tuple(replace(e, judged=curve) for e in each.entries)) for each in levels]
    plots.draw_tolerances(tmp_path, levels)
    (axes,) = drawn[-1].axes
    wanted = [10.0 * (i + 1) for i, t in enumerate(tolerances) if t >= 1]
    connected = [line for line in axes.lines if line.get_linestyle() != "None"]
    assert [list(line.get_ydata()) for line in connected] == [pytest.approx(wanted)] * 2
    beside = [value for line in axes.lines if line.get_linestyle() == "None" for value in line.get_ydata()]
    assert sorted(beside) == pytest.approx(sorted(2 * [10.0 * (i + 1) for i, t in enumerate(tolerances) if t < 1]))
    ticks = {
        text.get_text().replace("\n", " "): x for x, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    }
    assert set(ticks) == {f"{t} px" if t >= 1 else f"{100 * t:g} % of diagonal" for t in tolerances}
    pixels = [x for label, x in ticks.items() if "px" in label]
    assert all(x > max(pixels, default=-1) for label, x in ticks.items() if "px" not in label)


def test_figures_of_an_earlier_report_go(tmp_path: Path, template: Level) -> None:
    draw_all(tmp_path, made_levels(template, ["a", "b"]), ["a", "b", "c"])
    for i in (1, 2, 10):
        (tmp_path / f"image-{i}.png").touch()
    others = [tmp_path / name for name in ("overview.png", "mine.png", "image-x.png", "results.csv")]
    for path in others:
        path.touch()
    remove_others(tmp_path, ["image-1.png", "worst.png"])
    kept = ["image-1.png", "worst.png", "worst.svg", *(path.name for path in others)]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(kept)


def test_settings_of_the_user_do_not_matter(tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "text.parse_math": True}):
        with saved_figure(tmp_path, "figure", (3, 2)) as axes:
            axes.set_title("$a")
        assert matplotlib.rcParams["text.usetex"]


def test_the_same_figure_is_the_same_file(tmp_path: Path, template: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, seconds in (("a", "1"), ("b", "1000000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)  # what matplotlib takes for the time
        (tmp_path / folder).mkdir()
        plots.draw_worst(tmp_path / folder, made_levels(template, ["x", "y"]))
    first, second = ((tmp_path / folder / "worst.svg").read_bytes() for folder in "ab")
    assert first == second
    assert b"<svg" in first


TRICKY = [
    "<b>", "**bold**", "[x](y)", "[x](#y)", "`tick`", "``", "a`b", "a|b", "_em_", "__x__", "cross_entropy", "~~no~~",
    "\\*", "&amp;", "$x$", "# no", "- no", "1. no", "> no", "+ no", "---", "![i](j)", "a\\|b", "***", "&#65;", "a & b",
]  # fmt: skip


def rendered(markdown: str) -> str:
    """HTML of it, as GitHub would make it, but for its links of plain addresses."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)


def texts(page: str, tag: str) -> list[str]:
    found = re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", page, re.DOTALL)
    return [unescape(each) for each in found]


@pytest.mark.parametrize("name", TRICKY)
def test_names_are_no_markup(tmp_path: Path, name: str) -> None:
    """Markdown and page show the same letters, in a heading, a paragraph, a list, a table, and as code."""
    blocks = [
        Text(f"answer {code(name)}", strong=True), Heading(name), Text(name), Bullets([name, f"{name} {code(name)} e"]),
        Table((name, "n"), [(name, "-1.0"), (f"{name} x", "2")], numbers={1}),
    ]  # fmt: skip
    if "`" in name:  # in a text they are a mark
        blocks[2:4] = [Text(code(name)), Bullets(["item", f"e {code(name)} e"])]
    (tmp_path / "x.png").write_bytes(encoded(np.zeros((2, 2, 3), np.uint8), "PNG"))
    page, markdown = str(to_page(name, blocks, tmp_path)), rendered(to_markdown(name, blocks))
    for written in (page[: page.index("<dialog")], markdown):
        assert texts(written, "h1") == texts(written, "h2") == [name]
        assert [cell for tag in ("th", "td") for cell in texts(written, tag)] == [
            name,
            "n",
            name,
            "-1.0",
            f"{name} x",
            "2",
        ]
        assert set(texts(written, "code")) == {name}
        plain = [re.sub("</?(code|strong)>", "", text) for text in (*texts(written, "p"), *texts(written, "li"))]
        assert plain[:2] == [f"answer {name}", name]
        if "`" not in name:
            assert plain[2:] == [name, f"{name} {name} e"]


def test_line_breaks_and_controls_stay_in_their_cell() -> None:
    text = to_markdown("a\nb", [Table(("h\r\n1",), [("x\n\n# y\x00z",)]), Text("p\n- q"), Text(code("a\n\nb"))])
    assert text.splitlines() == ["# a b", "", "| h 1 |", "| --- |", "| x \\# y z |", "", "p - q", "", "`a b`"]


def test_code_is_read_as_markdown_reads_it(tmp_path: Path) -> None:
    for name in (*TRICKY, "`", "a``b`c", " x ", " `", "x "):
        page = str(to_page("t", [Text(f"a {code(name)} b `other`")], tmp_path))
        assert texts(page, "code") == texts(rendered(f"a {code(name)} b `other`"), "code") == [name, "other"]


def test_every_link_has_its_place(tmp_path: Path) -> None:
    pixels = encoded(np.zeros((2, 2, 3), np.uint8), "PNG")
    (tmp_path / "image-1.png").write_bytes(pixels)
    views = Views("image-1", "image-1.png", "`a[0]`", [("image", pixels), ("<truth>", pixels), ("dice", pixels)])
    rows = [("[a[0]_b_](#image-1)", "[image 1](#image-1-3)"), ("[no](#image-1-4)", "[x](#elsewhere)")]
    blocks = [Text("see [the truth](#image-1-2), not [this](#that)"), Table(("image", "see"), rows), views]
    page, markdown = str(to_page("t", blocks, tmp_path)), rendered(to_markdown("t", blocks))
    wanted = [("image-1-2", "the truth"), ("image-1", "a[0]_b_"), ("image-1-3", "image 1")]
    for written in (page[: page.index("<figure")], markdown):
        assert re.findall(r'<a href="#([^"]*)">(.*?)</a>', written) == wanted
        assert all(text in written for text in ("[this](#that)", "[no](#image-1-4)", "[x](#elsewhere)"))
    for written in (page, markdown):
        assert {"image-1", "image-1-1", "image-1-2", "image-1-3"} <= set(re.findall(r'id="([^"]*)"', written))


def with_files(root: Path, levels: int, images: int = 8) -> list[Level]:
    """Levels with pictures, the best one first; "l0" differs from the others most in the last image."""
    part = {"images": str(root / "images"), "masks": str(root / "masks")}
    mask = np.repeat(np.array([[0, 1, 2, 255]], np.uint8), 2, axis=0)
    names = [f"val/{i:03}.png" for i in range(images)]
    for level in range(levels):
        counts = made_counts("same", 0, images=images)
        counts[images - 1 - level % images, :, 0] //= 4  # each is bad on an image of its own
        folder = write_run(
            root / f"runs/l{level}", f"l{level}", counts=counts, config={"data": {"train": part, "val": part}}
        )
        for name in names:
            (folder / "predictions" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask % 3).save(folder / "predictions" / name)
    for kind, pixels in (("images", np.zeros((2, 4, 3), np.uint8)), ("masks", mask)):
        for name in names:
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / kind / name)
    return sorted(read_study(root / "runs").levels, key=lambda level: int(level.name[1:]))


def test_images_are_chosen_by_the_levels_that_are_shown(tmp_path: Path) -> None:
    levels = with_files(tmp_path, 8)
    cases = list(find_cases(levels, "l7"))
    shown = ["l7", "l0", "l1", "l2", "l3", "l4"]
    assert [list(case.scores) for case in cases] == [shown] * 6
    assert {tuple(case.left_out) for case in cases} == {("l5", "l6")}
    assert {case.name for case in cases} == {f"val/{7 - int(name[1:]):03}" for name in shown}
    assert not next(find_cases(levels[:3], "l0")).left_out


def test_images_are_chosen_by_the_score_that_is_compared(tmp_path: Path) -> None:
    """Of a user's metric too, which is shown in its own unit."""
    own = Metric("regions", "regions off", "low", "regions")
    far = {"l0": np.arange(8.0), "l1": np.full(8, 3.0)}
    levels = [
        Level(level.name, tuple(replace(entry, values={"regions": far[level.name]}) for entry in level.entries))
        for level in with_files(tmp_path, 2)
    ]
    cases = list(find_cases(levels, "l0", own))
    apart = np.abs(far["l0"] - 3)
    assert [int(case.name[-3:]) for case in cases] == np.argsort(-apart, kind="stable")[:6].tolist()
    assert cases[0].scores == {"l0": 7.0, "l1": 3.0}
    assert [title for title, _ in cases[0].views][2] == "l0: 7.00 regions"


def damaged(data: bytes) -> list[bytes]:
    """Cut short, without an end, with other bytes in its middle, empty, no image, and one of another kind."""
    colored = io.BytesIO()
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(colored, "PNG")
    deep = io.BytesIO()
    Image.fromarray(np.full((2, 4), 300, np.uint16)).save(deep, "PNG")
    middle = data[:45] + b"\xff\xff\xff\xff" + data[49:]
    return [data[: len(data) // 2], data[:40], middle, b"", b"no image", colored.getvalue(), deep.getvalue()]


@pytest.mark.parametrize("file", ["runs/l1/predictions/val/007.png", "masks/val/007.png", "images/val/007.png"])
def test_an_image_with_a_damaged_file_is_left_out(tmp_path: Path, file: str) -> None:
    levels = with_files(tmp_path, 3)
    before = [case.name for case in find_cases(levels, "l0")]
    assert "val/007" in before
    data = (tmp_path / file).read_bytes()
    for bad in damaged(data)[: 5 if file.startswith("images") else None]:
        (tmp_path / file).write_bytes(bad)
        assert [case.name for case in find_cases(levels, "l0")] == [name for name in before if name != "val/007"]
    (tmp_path / file).unlink()
    assert [case.name for case in find_cases(levels, "l0")] == [name for name in before if name != "val/007"]


def test_titles_of_a_case_stay_over_their_pictures(tmp_path: Path, drawn: list[Any]) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    a, b = f"{LONG}1", f"{LONG}2"
    titles = ["image", "truth", f"{a}: 64 %", f"errors of {a}", f"{b}: 9 %", f"{b} against {a}"]
    draw_case(tmp_path, "image-1", Case("x", {a: 0.64, b: 0.09}, [(title, pixels) for title in titles]))
    (figure,) = drawn
    renderer = figure.canvas.get_renderer()
    for row in (figure.axes[:3], figure.axes[3:]):
        places = [axes.title.get_window_extent(renderer) for axes in row]
        assert all(left.x1 < right.x0 for left, right in pairwise(places))
    assert figure.axes[1].get_title().endswith("1: 64 %")
    assert figure.axes[5].get_title().count("\n") == 1


@pytest.mark.slow
def test_the_command_takes_any_name(tmp_path: Path, script: Script) -> None:
    """The whole report, by values with odd names too; nothing but what the command says itself is on stderr."""
    for value in ("$v", "_w"):
        for place, name in enumerate(("$a", "_b", "中\x01", LONG[:200], "`q` [x](#image-1) | <b>")):
            for seed in range(2):
                data = {"train": None, "render": {"kind": value}}
                folder = tmp_path / f"runs/{value}-{place}-{seed}"
                write_run(folder, name, seed, classes=("$", "_r", "\x02"), config={"data": data})
                assert not (folder / EVALUATION).exists()
    result = script("seg-compare", runs="runs", destination="out", by="data.render.kind", axis="loss", draws=100)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert "matplotlib" not in result.stderr
    for page in (tmp_path / "out").rglob("report.md"):
        assert "<b>" not in rendered(page.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_report_says_what_it_shows_and_keeps_no_old_pictures(tmp_path: Path) -> None:
    with_files(tmp_path, 8)
    study, out = read_study(tmp_path / "runs"), tmp_path / "out"
    out.mkdir()
    write_report(out, study, compared(list(study.levels)), "l7")
    text = (out / "report.md").read_text()
    assert "the mIoU of `l7` and the 5 best of the others, averaged over seeds" in text
    assert set(re.findall(r"\(#([\w-]*)\)", text)) <= set(re.findall(r'id="([^"]*)"', text))
    assert len(list(out.glob("image-*.png"))) == 6
    for path in (tmp_path / "images").rglob("*.png"):
        path.unlink()
    write_report(out, study, compared(list(study.levels)), "l7")
    assert not list(out.glob("image-*.png"))
    assert (out / "worst.svg").exists()


def test_an_overview_of_hidden_names_has_its_legend(tmp_path: Path, template: Level, drawn: list[Any]) -> None:
    names = [f"_l{i}" for i in range(12)]
    found = compared(made_levels(template, names))
    write_overview(tmp_path, look_over("$by", {"$v": found, "_w": found}, None), [])
    shown = legend_of(drawn[-1])
    assert set(shown) == set(names)
