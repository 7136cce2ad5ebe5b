"""Train a model; the same command resumes an unfinished run.

seg-train data.train.images=DIR data.train.masks=DIR data.val.images=DIR data.val.masks=DIR
seg-train data=synthetic sweep=losses seeds=3
"""

from pathlib import Path
from typing import TYPE_CHECKING

from seg.commands import run

if TYPE_CHECKING:
    from omegaconf import DictConfig

_complete: list[Path] = []  # run folders of this process; a sweep by the basic launcher runs all its jobs in it


def main() -> None:
    """Entry point of ``seg-train``."""
    run(train, "train")
    if len(_complete) > 1:
        from seg.commands._sweep import print_table

        print_table(_complete)


def train(config: "DictConfig") -> None:
    """Train as the configuration says; the heavy imports wait until here, so that ``--help`` is quick."""
    from seg.commands._wiring import train as wired

    if (folder := wired(config)) is not None:
        _complete.append(folder)


if __name__ == "__main__":
    main()
