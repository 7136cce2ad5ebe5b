"""More accuracy for each minute of one core: variants of our recipes on real data, each trained for as long.

OMP_NUM_THREADS=1 python benchmarks/bench_recipes.py build/recipes --data ../shared/data --weights FILE [--variants ...]

``--data`` has the folders ``camvid12`` and ``uuad``, ``--weights`` is the file of EfficientNet-Lite0. A variant is some
words of a command line, ``VARIANTS`` below, among them the number of epochs that about 20 minutes of one core have time
for; all of them are trained, or ``--variants``, with ``--seeds``, three by default. What is complete is not trained
again, what was cut off is resumed, and several commands may train at once, each variants of its own. The table has the
minutes that a run took of the processor, its start and its validation included.
"""

import argparse
import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench_plan import Set, command, prepare, words

PRETRAINED, SCRATCH, TILES = "camvid_pretrained", "camvid_scratch", "uuad"
EXP_LOG, FROZEN = "loss=exp_log", "rates.frozen=0.5"
SCALES = ("inference=tta", "inference.flips=[]", "inference.scales=[1.0,1.5]")
FLIPS = ("inference=tta", "inference.flips=[horizontal,vertical]")
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "camvid": (PRETRAINED, ("fit.epochs=25",)),
    "camvid_exp_log": (PRETRAINED, (EXP_LOG, "fit.epochs=25")),
    "camvid_frozen": (PRETRAINED, (EXP_LOG, FROZEN, "fit.epochs=36", *SCALES)),
    "camvid_float32": (PRETRAINED, (EXP_LOG, FROZEN, "device.precision=32-true", "fit.epochs=18", *SCALES)),
    "camvid_large": (PRETRAINED, (EXP_LOG, FROZEN, "augment.crop.size=[352,480]", "fit.epochs=18", *SCALES)),
    "scratch_exp_log": (SCRATCH, (EXP_LOG, "fit.epochs=25", *SCALES)),
    "uuad_exp_log": (TILES, (EXP_LOG, "fit.epochs=50", *FLIPS)),
    "uuad_frozen": (TILES, (EXP_LOG, FROZEN, "fit.epochs=72", *FLIPS)),
}
"""Name -> recipe of ``conf/experiment``, and what is different."""


def of_recipe(sets: list[Set], recipe: str, weights: str) -> list[str]:
    """Words for a recipe on its data."""
    (each,) = (each for each in sets if each.experiment == (PRETRAINED if recipe == SCRATCH else recipe))
    chosen = words(Path(), each, "recipe", 20, weights) if recipe != SCRATCH else [f"experiment={SCRATCH}"]
    return [*each.data, *chosen, "loader.workers=0", "logger=none", "pictures=0", "fit.validate_every=1000"]


def train(asked: list[str], minutes: Path) -> None:
    """Train a run to its end; add up what it took."""
    process = subprocess.Popen([command("seg-train"), *asked])
    _, status, used = os.wait4(process.pid, 0)
    before = json.loads(minutes.read_text()) if minutes.is_file() else 0.0
    minutes.write_text(json.dumps(before + (used.ru_utime + used.ru_stime) / 60))
    if status:
        raise RuntimeError(f"{asked}: {os.waitstatus_to_exitcode(status)}")


def rows(work: Path) -> Iterator[str]:
    """The table, of the runs that are complete."""
    yield "| variant | recipe, and what is different | CPU minutes | mIoU % of each seed | mean |"
    yield "|---|---|---|---|---|"
    for name, (recipe, different) in VARIANTS.items():
        done = sorted((work / "runs").glob(f"{name}-?/done.json"))
        if done:
            scores = [100 * json.loads(path.read_text())["last"]["miou"] for path in done]
            minutes = [json.loads((work / "minutes" / f"{path.parent.name}.json").read_text()) for path in done]
            shown = [" ".join(f"{value:.1f}" for value in values) for values in (minutes, scores)]
            shown = [name, f"`{' '.join((recipe, *different))}`", *shown, f"{statistics.mean(scores):.1f}"]
            yield f"| {' | '.join(shown)} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    asked = parser.parse_args()
    sets = prepare(asked.work, asked.data)
    (asked.work / "minutes").mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:
        for name in asked.variants:
            recipe, different = VARIANTS[name]
            run = f"{name}-{seed}"
            if not (asked.work / "runs" / run / "done.json").is_file():
                own = [f"seed={seed}", f"runs={asked.work}/runs", f"name={run}"]
                train(
                    [*of_recipe(sets, recipe, asked.weights), *different, *own], asked.work / "minutes" / f"{run}.json"
                )
    print("\n".join(rows(asked.work)))


if __name__ == "__main__":
    main()
