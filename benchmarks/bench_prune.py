"""What ends early where trials that are behind are given up, and whether the best one is: from searches without it.

seg-train data=synthetic experiment=embedded data.render.train=64 data.render.val=16 data.render.height=128 \\
    data.render.width=192 augment.crop.size=[96,128] fit.epochs=12 fit.validate_every=1 tune.trials=16 \\
    tune.prune=false tune.space=["optimizer.lr=tag(log,interval(1e-4,5e-2))"] scheduler=one_cycle runs=RUNS
python benchmarks/bench_prune.py RUNS [RUNS ...]

The rule of `seg.training.search`, by Optuna's pruner, on the curves of trials that were all trained to their end, in
the order in which they were, and in random ones. What a search would propose differs once some are given
up; that is left out here.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import numpy as np
import optuna
from bench_statistics import RESULTS, hardware

from seg import runs
from seg.training.search import EARLIEST, FIRST, STEPS, goodness

ORDERS = 300
EARLIER = (STEPS // 4, EARLIEST, 3 * STEPS // 4)


def curves(folder: Path) -> list[list[float]]:
    """The scores of each trial, the higher the better, after each epoch."""
    found = []
    for path in sorted(folder.glob(".tune/*/trial-*")):
        record = runs.read(path)
        if record.done is not None:
            lines = [{key.removeprefix("val_"): value for key, value in line.items()} for line in record.lines]
            scores = [goodness(record, line) for line in lines]
            found.append([-np.inf if score is None else score for score in scores])
    return found


def replayed(scores: list[list[float]], earliest: int) -> tuple[int, float]:
    """Epochs that are trained, and by how much the best of those that are trained to their end is behind the best."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(FIRST, earliest))
    trained, complete = 0, list[float]()
    for curve in scores:
        trial, epochs = study.ask(), len(curve)
        for epoch, score in enumerate(curve):
            trial.report(score, STEPS * (epoch + 1) // epochs)
            trained += 1
            if epoch + 1 < epochs and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
            complete.append(curve[-1])
    return trained, max(curve[-1] for curve in scores) - max(complete)


def main() -> None:
    """Replay, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    lines, rng = [], np.random.default_rng(0)
    for folder in parser.parse_args().folders:
        if len(scores := curves(folder)) <= FIRST:
            sys.exit(f"{folder}: expected more than {FIRST} trials, got {len(scores)}")
        config = json.loads(json.dumps(runs.read(next(folder.glob(".tune/*/trial-*"))).environment["choices"]))
        whole = sum(map(len, scores))
        for earliest in EARLIER:
            own = replayed(scores, earliest)
            orders = [replayed([scores[i] for i in rng.permutation(len(scores))], earliest) for _ in range(ORDERS)]
            saved, lost = (
                1 - np.mean([trained for trained, _ in orders]) / whole,
                np.array([loss for _, loss in orders]),
            )
            lines.append(
                f"| {config['scheduler']} | {len(scores)} | {len(scores[0])} | {earliest / STEPS:g} | "
                f"{100 * (1 - own[0] / whole):.0f} | {100 * own[1]:.1f} | {100 * saved:.0f} | "
                f"{100 * np.mean(lost == 0):.0f} | {100 * lost.mean():.1f} | {100 * lost.max():.1f} |"
            )
            print(lines[-1], flush=True)
    text = [
        f"# Trials that are given up, {date.today()}",
        "",
        "Searches for the learning rate (1e-4 to 5e-2) on small rendered scenes, all trials trained to their end, and "
        f"then judged by the rule of `tune.prune`: after {FIRST} trials, from a share of the epochs on (**from**), one "
        "is given up whose best score so far is below the median of the others at that epoch. **Saved**: share of the "
        "epochs that are not trained, in %; **lost**: points of mIoU by which the winner is behind the trial with the "
        f"best last score. Then the same over {ORDERS} random orders of the trials: saved, in how many, in %, that "
        f"trial wins, and lost, on average and at most. {hardware()} Made by `benchmarks/bench_prune.py`, which names "
        "the command of the searches.",
        "",
        "| schedule | trials | epochs | from | saved | lost | any order: saved | the best wins | lost | at most |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *lines,
    ]
    RESULTS.joinpath(f"prune-{date.today()}.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
