"""A sweep in rounds, ``until=settled``: a seed at a time, of the levels that are not told apart yet.

It takes the place of Hydra's sweeper, so that every launcher makes its runs. What is decided follows from the runs that
are complete: a sweep that is started again goes through its rounds once more, and trains what is missing.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction

from seg import runs
from seg.commands import sweep
from seg.commands.cli import plain
from seg.report.console import say
from seg.runs.budget import Spending

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from seg.compare.looks import Design
    from seg.compare.rounds import Round


_VALIDATED = ("data.fold", "data.val", "data.split_seed", "data.render.")
"""Beginnings of keys that decide what a run is validated on."""


def introduce() -> None:
    """Let Hydra find the sweeper that ``conf/until/settled.yaml`` names.

    It takes sweepers of the package ``hydra_plugins`` alone, to which launchers add their files, if any are installed;
    ours lies here.
    """
    with suppress(ModuleNotFoundError):
        import_module("hydra_plugins")
    sys.modules.setdefault("hydra_plugins", ModuleType("hydra_plugins"))
    sys.modules[Rounds.__module__] = sys.modules[__name__]
    Plugins.instance().register(Rounds)


class Introduction(Callback):
    """Told by Hydra when several runs begin, before it looks for the sweeper."""

    def on_multirun_start(self, config: "DictConfig", **_: Any) -> None:
        """See `introduce`."""
        introduce()


class Rounds(Sweeper):
    """Makes the runs of a sweep, a seed at a time, until its pairs are settled."""

    __module__ = "hydra_plugins.seg_rounds"  # see `introduce`
    hydra_context: HydraContext
    config: "DictConfig"
    launcher: Launcher

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.params = dict(params or {})
        self.jobs, self.made = 0, dict[tuple[str, int], Path]()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: "DictConfig") -> None:
        """Take what Hydra knows."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Make the rounds; say after each how it stands, and at the end what is open.

        Raises:
            ValueError: a wrong request.
        """
        from seg.compare.looks import Design

        design = Design.of({"until": plain(self.config.until), "seeds": self.config.seeds})
        budget = Spending.read(self.config.budget)
        assert design is not None  # or this sweeper would not have been asked
        levels = self._levels(arguments)
        _check(design, budget, levels)
        self.validate_batch_is_legal([[*words, "seed=0"] for words in levels.values()])
        going, stands, reason = list(levels), None, None
        for seed in range(design.looks.most):
            if reason := self._lacking(budget, going):
                break
            self._launch({name: levels[name] for name in going}, seed)
            there = [name for name in going if (name, seed) in self.made]
            if len(there) < 2:
                reason = "fewer than two levels could be trained"
                break
            going = there
            if seed + 1 >= design.looks.first:
                stands = self._look(design)
                going = [name for name in stands.going_on if name in there]
                say(f"{stands}" + (f"; another seed for {', '.join(going)}" if going else ""))
            if not going:
                break
        _end(stands, reason)

    def _levels(self, arguments: Sequence[str]) -> dict[str, list[str]]:
        """Return the words of each level's runs, but for the seed, by the value of what is swept.

        Raises:
            ValueError: not one thing varies, or the seed does.
        """
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # here: Hydra makes it anew at its start

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        if any(override.get_key_element() == "seed" for override in parser.parse_overrides(list(arguments))):
            raise ValueError(
                "seed: expected none with until=settled, which chooses seeds itself, got one; leave it out"
            )
        words = [f"{key}={value}" for key, value in self.params.items() if key != "seed"] + [*arguments]
        (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides(words), None)
        varied = sorted({word.partition("=")[0] for job in jobs for word in job if word not in jobs[0]})
        if len(varied) != 1:
            shown = f"{len(varied)} ({', '.join(varied)})" if varied else "none"
            raise ValueError(f"until: expected one thing with several values, such as loss=dice,focal, got {shown}")
        if varied[0].startswith(_VALIDATED):
            raise ValueError(
                f"until: expected levels that are validated on the same images, got {varied[0]}, which changes them; "
                "leave until=settled out"
            )
        place = next(i for i, word in enumerate(jobs[0]) if word.startswith(f"{varied[0]}="))
        return {job[place].partition("=")[2]: job for job in jobs}

    def _launch(self, levels: Mapping[str, Sequence[str]], seed: int) -> None:
        """Make a run of each level, and note which are complete."""
        for result in self.launcher.launch([[*w, f"seed={seed}"] for w in levels.values()], initial_job_idx=self.jobs):
            _ = result.return_value  # raises what the job raised
        done = sweep.finished()
        self.made |= {(name, seed): done[job] for job, name in enumerate(levels, self.jobs) if job in done}
        self.jobs += len(levels)

    def _of(self, level: str) -> list[Path]:
        return [folder for (name, _), folder in self.made.items() if name == level]

    def _lacking(self, budget: Spending, going: Sequence[str]) -> str | None:
        coming = [[runs.read(folder) for folder in self._of(name)] for name in going]
        return budget.lacking([runs.read(folder) for folder in self.made.values()], coming)

    def _look(self, design: "Design") -> "Round":
        from seg.compare.rounds import after_round

        names = dict.fromkeys(name for name, _ in self.made)
        return after_round({name: self._of(name) for name in names}, design)


def _check(design: "Design", budget: Spending, levels: Mapping[str, Any]) -> None:
    """Refuse what cannot come to a first look, before anything is trained."""
    from seg.compare.study import meant

    first = len(levels) * design.looks.first
    if budget.of_runs and first > (budget.most or 0):
        raise ValueError(
            f"budget: expected at least {first}runs, for {design.looks.first} seeds of {len(levels)} levels, got "
            f"{budget.text}; give more, fewer levels, or a smaller FIRST in seeds=FIRST..MOST"
        )
    if design.reference is not None and meant(design.reference, [*levels]) not in levels:
        raise ValueError(f"until.reference: expected one of {', '.join(levels)}, got '{design.reference}'; give one")


def _end(stands: "Round | None", reason: str | None) -> None:
    """Say why a sweep ends, and what is open."""
    from seg.compare.rounds import told, why

    if stands is None:
        say(f"ended before the first look, so that no pair was judged: {reason}")
        return
    say(f"ended: {reason or why(stands)}")
    for sentence in told(stands):
        say(sentence.replace("`", "'"))
