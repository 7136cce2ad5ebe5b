"""Sweeps in rounds, until=settled, with made runs in the place of trainings.

python -m pytest tests/commands/test_rounds.py
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Script, fails, train_options
from hydra.core.hydra_config import HydraConfig
from made_runs import made_counts, write_run
from omegaconf import OmegaConf

from seg import runs
from seg.commands import build, compare, train
from seg.compare.study import read_study
from seg.compare.write import compare_study, reference_of
from seg.files.errors import Failed
from seg.report.console import console

BETTER = {"dice": 0.0, "focal": 0.002, "exp_log": 0.02, "cross_entropy": 0.15}
OPTIONS = ["sweep=losses", f"loss={','.join(BETTER)}", "until=settled", "data.train.images=a", "data.train.masks=b"]

SETTLED = ["sweep=losses", "loss=dice,focal", "until=settled"]
ASKED: dict[str, Any] = {"group": None, "rope": None, "draws": 100, "seed": 0}

Sweep = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture(autouse=True)
def _speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep makes the console quiet for good, which other tests of this process listen to."""
    monkeypatch.setattr(console, "quiet", False)


class Stopped(KeyboardInterrupt):
    """As by Ctrl-C."""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """A sweep in this process: exit code, what it said, and the runs that were made, in order."""
    monkeypatch.chdir(tmp_path)

    def swept(*options: str, stop: int | None = None, broken: str = "") -> tuple[int, list[str], list[str]]:
        made: list[str] = []

        def train_one(config: Any, watch: object = None) -> Path:
            loss = str(HydraConfig.get().runtime.choices["loss"])
            folder = Path(config.runs, f"{loss}-{config.seed}")
            if (folder / runs.DONE).exists():
                return folder
            if len(made) == stop:
                raise Stopped
            if folder.name == broken:
                raise Failed("the disk is full")
            counts = made_counts(loss, config.seed, better=BETTER[loss], images=40)
            keys = {key: OmegaConf.to_container(config)[key] for key in ("until", "seeds")}  # type: ignore[index, call-overload]
            write_run(folder, loss, config.seed, counts=counts, config=keys)
            done = json.loads((folder / runs.DONE).read_text())
            (folder / runs.DONE).write_text(json.dumps(done | {"best": {"score": done["last"]["miou"]}}))
            made.append(folder.name)
            return folder

        monkeypatch.setattr(build, "train_one", train_one)
        monkeypatch.setattr(sys, "argv", ["seg-train", *OPTIONS, *options])
        code: Any = 0
        try:
            train.main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        print(err)
        return code, out.splitlines(), made

    return swept


def looks(said: list[str]) -> list[str]:
    """What was said after each look, and at the end."""
    return [line for line in said if re.match(r"\d+ of \d+ pairs|ended|Open", line)]


def test_settled_levels_get_no_more_seeds(sweep: Sweep, tmp_path: Path) -> None:
    """One level is far better, one somewhat, and two are alike; seg-compare comes to the same verdicts."""
    code, said, made = sweep("seeds=3..6")
    assert code == 0
    assert looks(said)[0] == "3 of 6 pairs are settled after 3 seeds; another seed for dice, focal, exp_log"
    assert made[:4] == [f"{loss}-0" for loss in BETTER]
    seeds = {loss: sum(run.startswith(f"{loss}-") for run in made) for loss in BETTER}
    assert seeds["cross_entropy"] == 3 < seeds["dice"] == seeds["focal"]
    assert any(line.startswith("Open: 'dice' and 'focal' (") for line in said)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["seg-compare", "runs=runs", "destination=report", "draws=100"])
        compare.main()
    told = json.loads((tmp_path / "report/statistics.json").read_text())
    assert told["looks"] == {"first": 3, "most": 6}
    settled = [pair for pair in told["pairs"] if pair["verdict"] != "inconclusive"]
    assert f"{len(settled)} of 6 pairs are settled after {seeds['dice']} seeds" in looks(said)[-3]
    assert {len(pair["seeds"]) for pair in settled if "cross_entropy" in (pair["a"], pair["b"])} == {3}
    assert "verdicts hold over all of these looks together" in (tmp_path / "report/report.md").read_text()


def test_stopped_and_started_again_it_is_the_same_sweep(sweep: Sweep) -> None:
    """Within the first seeds, within a round, and when all is done."""
    _, said, made = sweep("runs=whole", "seeds=3..4")
    for stop in (2, 13):
        code, _, before = sweep(f"runs=stopped{stop}", "seeds=3..4", stop=stop)
        assert (code, len(before)) == (130, stop)
        code, again, after = sweep(f"runs=stopped{stop}", "seeds=3..4")
        assert code == 0
        assert looks(again) == looks(said)
        assert before + after == made
    code, again, after = sweep("runs=whole", "seeds=3..4")
    assert (code, looks(again), after) == (0, looks(said), [])


def test_only_pairs_with_the_reference_count(sweep: Sweep) -> None:
    """Two equal levels are no reason to go on when both are far from the reference."""
    code, said, made = sweep("until.reference=cross_entropy")
    assert looks(said) == ["3 of 3 pairs are settled after 3 seeds", "ended: all pairs are settled"]
    assert (code, len(made)) == (0, 12)
    study = read_study("runs")
    assert [{pair.a, pair.b} - {"cross_entropy"} for pair in compare_study(study, "miou", **ASKED).pairs] == [
        {"dice"}, {"exp_log"}, {"focal"}
    ]  # fmt: skip
    compared = compare_study(study, "miou", **ASKED)
    assert reference_of(None, compared) == "cross_entropy"
    with pytest.raises(ValueError, match="reference: expected cross_entropy, which the sweep's rounds were about"):
        reference_of("dice", compared)


@pytest.mark.parametrize(
    ("budget", "number", "reason"),
    [
        ("14runs", 12, "the budget of 14runs is spent: 12 were made, and the next round has 3"),
        ("1.5m", 15, "the budget of 1.5m is spent: 1 min 30 s by 15 runs, and the next round would take about 18 s"),
    ],
)
def test_a_budget_is_kept(sweep: Sweep, budget: str, number: int, reason: str) -> None:
    """Runs of before count, of which each says that it took six seconds."""
    assert sweep(f"budget={budget}", stop=5)[0] == 130
    code, said, made = sweep(f"budget={budget}")
    assert (code, len(made)) == (0, number - 5)
    assert f"ended: {reason}" in said
    assert any(line.startswith("Open: 'dice' and 'focal'") for line in said)


def test_a_budget_that_comes_to_no_look(sweep: Sweep) -> None:
    code, said, made = sweep("budget=0.5m")
    assert (code, len(made)) == (0, 4)
    assert "ended before the first look, so that no pair was judged: the budget of 0.5m is spent" in "".join(said)


def test_a_run_that_fails_leaves_the_others_their_rounds(sweep: Sweep) -> None:
    code, said, made = sweep("seeds=3..4", broken="focal-1")
    assert code == 1
    assert "focal-0" in made
    assert not {"focal-1", "focal-2", "focal-3"} & {*made}
    assert looks(said)[0] == "2 of 6 pairs are settled after 3 seeds; another seed for dice, exp_log"
    assert looks(sweep("seeds=3..4")[1]) == looks(sweep("seeds=3..4", "runs=other")[1])
    assert sum(run.startswith("cross_entropy") for run in made) == 3


def test_two_designs_are_told(sweep: Sweep) -> None:
    sweep("seeds=3..4", stop=3)
    sweep("seeds=3..6", stop=9)
    study = read_study("runs")
    assert study.design is not None
    assert str(study.design.looks) == "3..6"
    assert [text for text in study.warnings if "seeds=3..4 and seeds=3..6, one after the other" in text]


WRONG = [
    (["until=settled"], r"until: expected a sweep, got one run; give such as sweep=losses"),
    (["budget=6h"], "unknown key 'budget': expected until=settled with it"),
    (["sweep=losses", "until=soon"], "Available options in 'until': settled"),
    (["sweep=losses", "seeds=3..10"], "seeds: expected a whole number, got 3..10; give until=settled"),
    ([*SETTLED, "seeds=5..3"], "seeds: expected FIRST..MOST, such as 3..10, got 5..3"),
    ([*SETTLED, "seeds=5"], "seeds: expected FIRST..MOST with until=settled, such as 3..10, got 5"),
    ([*SETTLED, "seeds=1..3"], "seeds: expected a whole number of at least 2, got 1; one seed settles nothing"),
    ([*SETTLED, "seed=0,1"], "seed: expected none with until=settled"),
    ([*SETTLED, "budget=0"], "budget: expected a time such as 90m, 6h or 2d, or a number of runs .* got 0"),
    ([*SETTLED, "budget=30"], "budget: expected a time such as .* got 30"),
    ([*SETTLED, "budget=5runs"], "budget: expected at least 6runs, for 3 seeds of 2 levels, got 5runs"),
    (
        [*SETTLED, "optimizer.lr=0.1,0.2"],
        r"until: expected one thing with several values, .* got 2 \(loss, optimizer.lr\)",
    ),
    ([*SETTLED, "loss=dice"], "until: expected one thing with several values, such as loss=dice,focal, got none"),
    ([*SETTLED, "until.reference=ce"], "until.reference: expected one of dice, focal, got 'ce'"),
    ([*SETTLED, "until.rope=-1"], "rope: expected a difference in units of the metric"),
    ([*SETTLED, "until.group=("], "until.group: expected a regular expression"),
    ([*SETTLED, "until.metric=nothing"], "until.metric: expected a score of each image, .* got 'nothing'"),
    (["until=settled", "sweep=folds", "data.folds=3"], "until: .* validated on the same images, got data.fold, which"),
    ([*SETTLED, "device.devices=2"], "until: expected device.devices=1, got 2"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[" ".join(words[-1:]) for words, _ in WRONG])
def test_wrong_requests(data: Path, tmp_path: Path, script: Script, options: list[str], message: str) -> None:
    fails(script("seg-train", *train_options(data), *options), 2, message)
    assert not list((tmp_path / "runs").glob("*/last.pt"))


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_rounds_of_any_launcher(tmp_path: Path, data: Path, script: Script, launcher: str) -> None:
    """Real trainings; the same command goes through the rounds once more and trains nothing."""
    options = [*train_options(data), *SETTLED, "seeds=2..3", "until.rope=0.9", "fit.epochs=1", "logger=none"]
    options += [f"hydra/launcher={launcher}", f"loader.workers={int(launcher == 'joblib')}", "pictures=0"]
    result = script("seg-train", *options)
    assert result.returncode == 0, result.stderr
    assert looks(result.stdout.splitlines())
    number = len(list((tmp_path / "runs").glob("*/done.json")))
    assert number in (4, 6)
    again = script("seg-train", *options)
    assert again.stdout.count("is complete") == number
    assert looks(again.stdout.splitlines()) == looks(result.stdout.splitlines())
