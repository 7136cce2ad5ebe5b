"""Train a model; the same command resumes an unfinished run.

seg-train data.train.images=DIR data.train.masks=DIR data.val.images=DIR data.val.masks=DIR
seg-train data=synthetic sweep=losses seeds=3
"""

import sys
from typing import TYPE_CHECKING

from seg.commands.cli import run
from seg.files.clock import Stopwatch

if TYPE_CHECKING:
    from omegaconf import DictConfig


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
    from seg.commands.build import train_one
    from seg.commands.sweep import job
    from seg.commands.tune import tuned

    # in a sweep no run pays for the start of the process, because its first one may decide for all
    began = _began.pop() if _began and config.tune.trials == 0 else None
    return job(config, lambda each, watch: train_one(tuned(each, train_one), watch), began)


if __name__ == "__main__":
    main()
