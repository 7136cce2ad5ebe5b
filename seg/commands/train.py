"""Train a model; the same command resumes an unfinished run.

seg-train data.train.images=DIR data.train.masks=DIR data.val.images=DIR data.val.masks=DIR
seg-train data=synthetic sweep=losses seeds=3
"""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from seg.commands.cli import run
from seg.files.clock import Stopwatch

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)
_SIMPLE = {"labels", "logger", "loss", "model", "name", "runs", "seed", "smoke"}
_began: list[Stopwatch] = []  # when the command did, until its first run takes it


def main() -> None:
    """Entry point of ``seg-train``."""
    code, _began[:] = 0, [Stopwatch()]
    try:
        run(train, "train")
    finally:
        if (sweep := sys.modules.get("seg.commands.sweep")) is not None:
            code = sweep.close()
    if code:
        sys.exit(code)


def train(config: "DictConfig") -> float | None:
    """Train as the configuration says, and return the best monitored score.

    The heavy imports wait until here, so that ``--help`` is quick.
    """
    _pair(config)
    from seg.commands.build import train_one
    from seg.commands.sweep import job
    from seg.commands.tune import tuned

    # in a sweep no run pays for the start of the process, because its first one may decide for all
    began = _began.pop() if _began and config.tune.trials == 0 else None
    return job(config, lambda each, watch: train_one(tuned(each, train_one), watch), began)


def _pair(config: "DictConfig") -> None:
    """Pair the files of a new run before torch is loaded, which takes seconds: what is wrong is said at once."""
    from hydra.core.hydra_config import HydraConfig

    from seg import runs
    from seg.commands.cli import plain
    from seg.commands.cli.targets import source_of
    from seg.report.console import muted

    hydra, pairs = HydraConfig.get(), None
    ranks = (os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    if (hydra.mode and hydra.mode.name == "MULTIRUN") or any(rank != "0" for rank in ranks):
        return
    name = config.name or runs.run_name(hydra.overrides.task, hydra.runtime.choices, config.seed)
    source = source_of(plain(config)["data"])
    if source.render is not None:
        log.info("the embedded dataset; loading torch")
    if source.render is not None or Path(str(config.runs), str(name)).exists():  # a complete one needs no data
        return
    others = {word.partition("=")[0] for word in hydra.overrides.task if not word.startswith("data.")} - _SIMPLE
    with muted(), suppress(*[ValueError] * bool(others)):  # what is wrong with another option is said first
        pairs = source.pairs()
    if pairs:
        log.info(f"{len(pairs[0])} training and {len(pairs[1])} validation pairs; loading torch")


if __name__ == "__main__":
    main()
