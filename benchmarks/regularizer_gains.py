"""Does regularizing help? A table of finished runs that differ in regularizer, recipe and seed.

python benchmarks/regularizer_gains.py RUNS ...      (folders of runs, as seg-train makes them; the runs themselves:
                                                      the commands in benchmarks/results/regularizer-gains-*.md)

mIoU after the last epoch, so that nothing is selected on the images it is measured on. Differences are to the run of
the same seed, and so of the same weights, order and crops at the start, with neither regularizer nor special recipe.
The interval is Student's for the mean over the seeds: with few seeds it is wide, as it should be.
"""

import contextlib
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import scipy.stats
import torch
import yaml

from seg.commands.cli.targets import source_of
from seg.images import read_image, read_mask
from seg.inference.trained import load
from seg.metrics.counting import confusion_matrix
from seg.metrics.pixels import image_counts
from seg.metrics.scores import scores_of

PLAIN = "none"


def on_training_images(run: Path) -> float:
    """mIoU of the last weights on the images that they were fitted to, without noise and augmentation."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    trained = load(str(run / "last.pt"), "cpu")
    total = torch.zeros(trained.labels.classes, 3, dtype=torch.int64)
    with contextlib.redirect_stdout(sys.stderr):
        pairs, _ = source_of(config["data"]).take()
    for p in pairs:
        prediction = torch.from_numpy(trained.predict(read_image(p.image)))
        mask = torch.from_numpy(read_mask(p.mask, trained.labels.classes))
        total += image_counts(confusion_matrix(prediction, mask, trained.labels.classes))
    return scores_of(total).miou


def setting(run: Path) -> tuple[str, int]:
    """What was added to the plain recipe, and the seed."""
    environment = json.loads((run / "environment.json").read_text())
    choices = environment["choices"]
    added = [choices["regularizer"]] if choices["regularizer"] != "none" else []
    added += [choices["augment"]] if choices["augment"] != "standard" else []
    return " + ".join(added) or PLAIN, environment["seed"]


def interval(differences: list[float]) -> str:
    """Mean and Student's 95 % interval."""
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return f"{mean:+.1f}"
    reach = scipy.stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
    return f"{mean:+.1f} [{mean - reach:+.1f}, {mean + reach:+.1f}]"


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.fmean(values):.1f}" + (f" ({statistics.stdev(values):.1f})" if len(values) > 1 else "")


def table(runs: Path) -> list[str]:
    """A row for each setting, the best first."""
    validated: dict[str, dict[int, float]] = defaultdict(dict)
    fitted: dict[str, dict[int, float]] = defaultdict(dict)
    for done in sorted(runs.glob("*/done.json")):
        name, seed = setting(done.parent)
        assert seed not in validated[name], f"{runs}: two runs of {name} with seed {seed}"
        validated[name][seed] = 100 * json.loads(done.read_text())["last"]["miou"]
        fitted[name][seed] = 100 * on_training_images(done.parent)
    lines = [
        f"## {runs.name}",
        "",
        "| | seeds | validation mIoU % (sd) | against none [95 %] | training mIoU % | gap |",
        "|---" * 6 + "|",
    ]
    for name in sorted(validated, key=lambda key: -statistics.fmean(validated[key].values())):
        found, plain = validated[name], validated[PLAIN]
        train = statistics.fmean(fitted[name].values())
        against = "" if name == PLAIN else interval([found[seed] - plain[seed] for seed in found if seed in plain])
        lines.append(
            f"| {name} | {len(found)} | {spread(list(found.values()))} | {against} | {train:.1f} "
            f"| {train - statistics.fmean(found.values()):.1f} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(line for folder in sys.argv[1:] for line in table(Path(folder))))
