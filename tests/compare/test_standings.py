"""The figure that is the answer, the tables below it, and which runs a number is of.

python -m pytest tests/compare/test_standings.py
"""

import itertools
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import write_run

from seg.compare import plots, tables
from seg.compare.answer import answer, contradicts, numbered, of_which, standings
from seg.compare.brackets import brackets
from seg.compare.cost import brief, costs
from seg.compare.findings import Comparison
from seg.compare.report import write_report
from seg.compare.statistics import compare
from seg.compare.study import Study, read_study
from seg.metrics.catalogue import KNOWN
from seg.report.document import Table, Text


def made(root: Path, runs: dict[str, dict[int, float]], **options: Any) -> tuple[Study, Comparison]:
    """A study of levels with these seeds, each better by so much."""
    for level, seeds in runs.items():
        for seed, better in seeds.items():
            write_run(root / f"{level}-{seed}", level, seed, better=better)
    study = read_study(root, "loss")
    return study, compare({level.name: level.sample() for level in study.levels}, draws=100, **options)


def with_verdicts(result: Comparison, apart: set[frozenset[str]]) -> Comparison:
    said = ("better", "inconclusive")
    pairs = (replace(pair, verdict=said[frozenset((pair.a, pair.b)) not in apart]) for pair in result.pairs)
    return replace(result, pairs=tuple(pairs))


def test_brackets_join_what_is_not_told_apart_and_nothing_else(tmp_path: Path) -> None:
    """Of any verdicts, also of such as a level that scatters leaves: by all subsets of levels."""
    names = "abcdef"
    _, found = made(tmp_path, {level: {0: 0.01 * i, 1: 0.01 * i} for i, level in enumerate(names)})
    order, chance = [level.level for level in found.by_rank], random.Random(0)
    every = [frozenset(pair) for pair in itertools.combinations(names, 2)]
    for share in (0.0, 0.3, 0.6, 0.9, 1.0):
        apart = {pair for pair in every if chance.random() < share}
        groups = brackets(with_verdicts(found, apart))
        alike = [
            set(some)
            for size in range(2, 7)
            for some in itertools.combinations(names, size)
            if not any(frozenset(pair) in apart for pair in itertools.combinations(some, 2))
        ]
        largest = [some for some in alike if not any(some < other for other in alike)]
        assert all(set(group) in largest for group in groups)
        joined = {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}
        assert joined == set(every) - apart
        assert all(list(group) == sorted(group, key=order.index) for group in groups)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from matplotlib.figure import Figure

    figures: list[Any] = []
    save = Figure.savefig

    def saved(self: Any, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        figures.append(self)

    monkeypatch.setattr(Figure, "savefig", saved)
    return figures


def test_the_figure_shows_runs_and_intervals_for_new_seeds(tmp_path: Path, drawn: list[Any]) -> None:
    _, found = made(tmp_path / "runs", {"a": {0: 0.2, 1: 0.21, 2: 0.2}, "b": {0: 0, 1: 0.01, 2: 0}, "c": {0: 0, 1: 0}})
    plots.draw_seeds(tmp_path, found)
    (axes,) = drawn[-1].axes
    low, high = axes.get_xlim()
    assert [text.get_text() for text in axes.get_yticklabels()] == [level.level for level in found.by_rank[::-1]]
    lines = [(line.get_xdata(), line.get_marker()) for line in axes.lines]
    for level in found.levels:
        assert level.wide is not None
        assert ([100 * end for end in level.wide], "None") in [(list(x), marker) for x, marker in lines]
        assert ([100 * score for score in level.scores], "o") in [(list(x), marker) for x, marker in lines]
        assert all(low < 100 * score < high for score in level.scores)
    cut = sum(marker in "<>" for _, marker in lines)
    ends = [100 * end for level in found.levels for end in level.wide or ()]
    assert cut == sum(not low <= end <= high for end in ends)
    assert "with new seeds" in standings(found)
    assert "scatters more" not in str([text.get_text() for text in axes.get_yticklabels()])
    noisy = replace(found, levels=tuple(replace(x, scatters_more=0.9 * (x.level == "b")) for x in found.levels))
    plots.draw_seeds(tmp_path, noisy)
    assert "b\n(scatters more)" in [text.get_text() for text in drawn[-1].axes[0].get_yticklabels()]


def test_new_seeds_come_first_and_these_runs_step_back(tmp_path: Path) -> None:
    study, found = made(tmp_path / "runs", {"a": {0: -0.3, 1: 0.1, 2: 0.25}, "b": {0: 0, 1: 0.01, 2: 0.02}})
    table = tables.level_table(study, found)
    new, these = (table.header.index(name) for name in ("with new seeds, 95 %", "these very runs, 95 %"))
    assert new < these
    assert list(table.quiet) == [these]
    assert len([name for name in table.header if "95 %" in name]) == len(set(table.header) & {*table.header[3:5]}) == 2
    for row, level in zip(table.rows, found.by_rank, strict=True):
        assert level.wide is not None
        for column, (low, high) in ((new, level.wide), (these, level.variance.interval(level.mean, new_seeds=False))):
            assert row[column] == f"{100 * low:.1f} to {100 * high:.1f}"
    row = next(row for row in table.rows if row[0] == "a")
    assert float(row[new].split(" to ")[0]) < 20  # seeds of 30 to 80 % promise little
    study, found = made(tmp_path / "one", {"a": {0: 0.1}, "b": {0: 0.0}})
    table = tables.level_table(study, found)
    assert "95 % interval of these very runs" in table.header
    assert not [name for name in table.header if "new seeds" in name]


def test_ten_seeds_show_what_these_runs_alone_say_too(tmp_path: Path) -> None:
    _, found = made(tmp_path, {"a": {seed: 0.01 * (seed % 3) for seed in range(10)}})
    (level,) = found.levels
    assert level.interval == level.wide
    assert level.wide is not None
    assert level.wide[0] < level.of_these_runs[0] < level.mean < level.of_these_runs[1] < level.wide[1]


def test_a_number_says_which_runs_it_is_of(tmp_path: Path) -> None:
    """dice leads by its two further seeds alone; by those that both have, focal does."""
    dice = {0: 0.0, 1: 0.0, 2: 0.25, 3: 0.25}
    study, found = made(tmp_path / "runs", {"dice": dice, "focal": {0: 0.05, 1: 0.05}, "lovasz": {7: 0.0, 8: 0.0}})
    by_pair = {(pair.a, pair.b): pair for pair in found.pairs}
    paired, apart = by_pair["dice", "focal"], by_pair["dice", "lovasz"]
    means = {level.level: level.mean for level in found.levels}
    assert means["dice"] > means["focal"]
    assert paired.difference < 0
    assert of_which(paired, found) == "seeds 0 and 1, which both have"
    assert (contradicts(paired, found), contradicts(apart, found)) == (True, False)
    assert apart.difference == pytest.approx(means["dice"] - means["lovasz"])
    assert of_which(apart, found) == "all seeds of both, unpaired"
    told = [sentence for sentence in answer(found, "dice") if "`focal`" in sentence and "`dice`" in sentence]
    assert "over seeds 0 and 1, which both have, 95 % interval" in told[0]
    assert told[0].endswith(" Over all runs of both, the means are the other way round.")
    write_report(tmp_path, study, found, "dice")
    text = (tmp_path / "report.md").read_text()
    assert "| 4 (seeds 0 to 3) |" in text
    assert "\\* of some seeds, see the table." in text
    assert f"{100 * paired.difference:.1f}\\*" in text
    assert "seeds 0 and 1, which both have; over all runs the other way round |" in text


def test_equal_seeds_need_no_word(tmp_path: Path) -> None:
    _, found = made(tmp_path, {"a": {0: 0.1, 1: 0.1}, "b": {1: 0.0, 0: 0.0}})
    assert [of_which(pair, found) for pair in found.pairs] == [""]
    assert [numbered(seeds) for seeds in ((4,), (0, 1), (3, 1), (0, 1, 2, 3), (0, 1, 2, 9))] == [
        "seed 4", "seeds 0 and 1", "seeds 1 and 3", "seeds 0 to 3", "seeds 0, 1, 2 and 9",
    ]  # fmt: skip


def test_the_matrix_shows_each_pair_once_by_sign_and_colour(tmp_path: Path) -> None:
    _, found = made(tmp_path, {"a": {0: 0.2, 1: 0.2}, "b": {0: 0.0, 1: 0.0}, "c": {0: 0.0, 1: 0.001}})
    verdicts = dict(zip(itertools.combinations("abc", 2), ("better", "worse", "equivalent"), strict=True))
    found = replace(found, pairs=tuple(replace(pair, verdict=verdicts[pair.a, pair.b]) for pair in found.pairs))
    _, table = tables.pair_matrix(found)
    assert isinstance(table, Table)
    shown = {(a, b): cell for a, row in enumerate(table.rows) for b, cell in enumerate(row[2:], start=1) if cell}
    order = [level.level for level in found.by_rank]
    assert set(shown) == {(0, 1), (0, 2), (1, 2)}
    for (a, b), cell in shown.items():
        pair = next(pair for pair in found.pairs_with(order[a]) if pair.b == order[b])
        sign = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"}[pair.verdict]
        assert cell == f"{sign} {100 * pair.difference:.1f}"
        tone = {"better": "good", "worse": "bad", "equivalent": "even", "inconclusive": "open"}[pair.verdict]
        assert table.tones[a, b + 1] == tone
    assert "inconclusive" not in str(table)


def with_machine(study: Study, **environment: Any) -> Study:
    """The same, with its first run on another machine."""
    first, *others = study.levels
    entry = replace(first.entries[0], environment={**first.entries[0].environment, **environment})
    return replace(study, levels=(replace(first, entries=(entry, *first.entries[1:])), *others))


def test_costs_that_do_not_compare_are_left_out_with_the_reason(tmp_path: Path) -> None:
    study, _ = made(tmp_path, {"a": {0: 0.1, 1: 0.1}, "b": {0: 0.0, 1: 0.0}})
    words, table = costs(study.levels)
    assert isinstance(table, Table)
    assert table.header == ("level", "seconds", "images/s", "memory GiB", "images")
    assert table.rows[0] == ("a", "6", "4.0", "1.50", "24")
    assert isinstance(words, Text)
    assert "one kind of machine" in words.text
    for other in ({"gpus": ["X"]}, {"platform": "Darwin"}, {"torch_threads": 3}):
        words, table = costs(with_machine(study, **other).levels)
        assert isinstance(table, Table)
        assert table.header == ("level", "images")
        assert isinstance(words, Text)
        assert "Seconds and memory are left out: the runs were made on several kinds of machine" in words.text
    named = with_machine(study, cpu="A")  # the others, of an older version, do not tell: it is not held against them
    assert "one kind of machine" in next(iter(costs(named.levels))).text
    all_named = replace(study, levels=tuple(
        replace(level, entries=tuple(replace(e, environment={**e.environment, "cpu": "A"}) for e in level.entries))
        for level in study.levels
    ))  # fmt: skip
    assert "one kind of machine" in next(iter(costs(all_named.levels))).text
    assert "several kinds of machine" in next(iter(costs(with_machine(all_named, cpu="B").levels))).text
    first, *others = study.levels
    quiet = replace(first, entries=tuple(replace(entry, memory=None) for entry in first.entries))
    words, table = costs([quiet, *others])
    assert isinstance(table, Table)
    assert isinstance(words, Text)
    assert "memory GiB" not in table.header
    assert words.text.endswith("Left out, because not all runs tell it: memory GiB.")
    assert list(costs([replace(quiet, entries=tuple(replace(e, lines=()) for e in quiet.entries))])) == []
    assert [brief(value) for value in (0.0421, 0.9, 6.0, 273.4, 12345)] == ["0.042", "0.9", "6", "273", "12,345"]


def test_no_time_of_several_machines_is_drawn(tmp_path: Path) -> None:
    study, found = made(tmp_path / "runs", {"a": {0: 0.1, 1: 0.1}, "b": {0: 0.0, 1: 0.0}})
    write_report(tmp_path, study, found, "a")
    assert "(cost.png)" in (tmp_path / "report.md").read_text()
    write_report(tmp_path, with_machine(study, gpus=["X"]), found, "a")
    text = (tmp_path / "report.md").read_text()
    assert "(cost.png)" not in text
    assert not (tmp_path / "cost.png").exists()
    assert "Seconds and memory are left out" in text


def test_hard_images_are_those_of_the_score_that_is_compared(tmp_path: Path, drawn: list[Any]) -> None:
    """Of an error the worst images are those with the highest one; of a user's own metric likewise."""
    study, _ = made(tmp_path / "runs", {"a": {0: 0.1, 1: 0.1}, "b": {0: 0.0, 1: 0.0}})
    rng = np.random.default_rng(0)
    values = {level.name: rng.uniform(1, 9, (2, 12)) for level in study.levels}
    own = replace(KNOWN["hd95"], name="far")
    levels = [
        replace(level, entries=tuple(
            replace(entry, values={**entry.values, "far": row})
            for entry, row in zip(level.entries, values[level.name], strict=True)
        ))
        for level in study.levels
    ]  # fmt: skip
    for level in levels:
        assert level.image_scores("far") == pytest.approx(values[level.name].mean(0))
    plots.draw_worst(tmp_path, levels, own)
    (axes,) = drawn[-1].axes
    for level, line in zip(levels, axes.lines, strict=True):
        each = np.sort(values[level.name].mean(0))[::-1]
        assert line.get_ydata()[0] == pytest.approx(each[0])
        assert line.get_ydata()[49] == pytest.approx(each[:6].mean())
        assert line.get_ydata()[-1] == pytest.approx(each.mean())


def test_the_ranking_is_held_against_the_metric_that_is_compared(tmp_path: Path) -> None:
    study, found = made(tmp_path / "runs", {"a": {0: 0.1, 1: 0.1}, "b": {0: 0.0, 1: 0.0}}, metric="ece")
    words, table = tables.rankings(study, found)
    assert isinstance(words, Text)
    assert isinstance(table, Table)
    assert "with the ranking by calibration error by image" in words.text
    assert [row[0] for row in table.rows][:2] == ["calibration error by image", "mIoU"]
    assert re.match(r"a \(\d+\.\d\), b", table.rows[0][2])


def test_a_bracket_of_a_reference_joins_what_is_not_told_apart_from_it(tmp_path: Path) -> None:
    """Of two other levels nothing is known, so that no bracket joins them without it."""
    runs = {"a": {0: 0.0, 1: 0.001}, "b": {0: 0.0, 1: -0.001}, "c": {0: 0.0, 1: 0.0}, "d": {0: 0.3, 1: 0.3}}
    study, found = made(tmp_path / "runs", runs, reference="c")
    said = {pair.a: pair.verdict for pair in found.pairs}
    assert (said["a"], said["b"], said["d"]) == ("inconclusive", "inconclusive", "better")
    (group,) = brackets(found)
    assert set(group) == {"a", "b", "c"}
    assert brackets(replace(found, pairs=tuple(replace(pair, verdict="better") for pair in found.pairs))) == []
    write_report(tmp_path, study, found, "c")
    text = (tmp_path / "report.md").read_text()
    assert "A bracket joins c and the levels that it is not told apart from." in text
    assert "a bracket joins `c` and the levels" in text
    assert "Pairs with `c` alone are judged, 3 instead of 6: of two other levels nothing is said" in text
