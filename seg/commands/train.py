"""Train a model; the same command resumes an unfinished run.

seg-train data.train.images=DIR data.train.masks=DIR data.val.images=DIR data.val.masks=DIR
"""

from omegaconf import DictConfig

from seg.commands import run


def main() -> None:
    """Entry point of ``seg-train``."""
    run(train, "train")


def train(config: DictConfig) -> None:
    """Train as the configuration says; the heavy imports wait until here, so that ``--help`` is quick."""
    from seg.commands._wiring import train as wired

    wired(config)


if __name__ == "__main__":
    main()
