"""More accuracy for each minute of one core: variants of our recipes on real data, each trained for as long.

OMP_NUM_THREADS=1 python benchmarks/bench_recipes.py build/recipes --data ../shared/data --weights FILE [--variants ...]

``--data`` has the folders ``camvid12`` and ``uuad``, ``--weights`` is the file of EfficientNet-Lite0. A variant is some
words of a command line, ``VARIANTS`` below, among them the number of epochs that about 20 minutes of one core have time
for; all of them are trained, or ``--variants``, with ``--seeds``, three by default. What is complete is not trained
again, what was cut off is resumed, and several commands may train at once, each variants of its own. The table has the
minutes that a run took of the processor, its start and its validation included, the score of its validation, and that
of whole images as they are, which is the same where the variant has no views of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench_plan import Set, command, prepare, words

KINDS = ("images", "masks")
PRETRAINED, SCRATCH, TILES = "camvid_pretrained", "camvid_scratch", "uuad"
LOVASZ, EXP_LOG, WHOLE, FROZEN = "loss=ce_lovasz", "loss=exp_log", "rates.frozen=0.0", "rates.frozen=0.5"
SCALES = ("inference=tta", "inference.flips=[]", "inference.scales=[1.0,1.5]")
SMALL = ("augment.crop.size=[128,160]", "augment.crop.scale=[0.375,0.75]")
HALF = (*SMALL, "inference=tta", "inference.flips=[]", "inference.scales=[0.5]")
FLIPS = ("inference=tta", "inference.flips=[horizontal,vertical]")
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "camvid_lovasz": (PRETRAINED, (LOVASZ, WHOLE, "fit.epochs=25")),
    "camvid_exp_log": (PRETRAINED, (EXP_LOG, WHOLE, "fit.epochs=25")),
    "camvid_frozen": (PRETRAINED, (EXP_LOG, FROZEN, "fit.epochs=36", *SCALES)),
    "camvid_float32": (PRETRAINED, (EXP_LOG, FROZEN, "device.precision=32-true", "fit.epochs=18", *SCALES)),
    "camvid_large": (PRETRAINED, (EXP_LOG, FROZEN, "augment.crop.size=[352,480]", "fit.epochs=18", *SCALES)),
    "scratch_half": (SCRATCH, (EXP_LOG, "loader.batch=4", "fit.epochs=76", *HALF)),
    "uuad_lovasz": (TILES, (LOVASZ, FROZEN, "fit.epochs=72", *FLIPS)),
    "uuad_frozen": (TILES, (EXP_LOG, FROZEN, "fit.epochs=72", *FLIPS)),
}
"""Name -> recipe of ``conf/experiment``, and what is different."""


def set_of(sets: list[Set], recipe: str) -> Set:
    """The data of a recipe."""
    (each,) = (each for each in sets if each.experiment == (PRETRAINED if recipe == SCRATCH else recipe))
    return each


def of_recipe(each: Set, recipe: str, weights: str) -> list[str]:
    """Words for a recipe on its data."""
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


def judge(run: Path, each: Set, target: Path) -> None:
    """Judge the last weights of a run on whole images, whatever its own validation saw."""
    (images,), (masks,) = ([word.partition("=")[2] for word in each.data if f"val.{kind}" in word] for kind in KINDS)
    asked = [f"checkpoint={run}/last.pt", f"images={images}", f"masks={masks}", f"destination={target}", "pictures=0"]
    subprocess.run([command("seg-evaluate"), *asked, "inference=whole"], check=True, stdout=subprocess.DEVNULL)


def rows(work: Path) -> Iterator[str]:
    """The table, of the runs that are complete."""
    yield "| variant | recipe, what is different | CPU minutes | mIoU % of each seed | mean | of whole images | mean |"
    yield "|---|---|---|---|---|---|---|"
    for name, (recipe, different) in VARIANTS.items():
        judged = sorted((work / "whole").glob(f"{name}-?/metrics.json"))
        if runs := [path.parent.name for path in judged]:
            whole = [100 * json.loads(path.read_text())["miou"] for path in judged]
            done = [json.loads((work / "runs" / run / "done.json").read_text()) for run in runs]
            scores = [100 * each["last"]["miou"] for each in done]
            minutes = [json.loads((work / "minutes" / f"{run}.json").read_text()) for run in runs]
            cells = [name, f"`{' '.join((recipe, *different))}`", " ".join(f"{value:.1f}" for value in minutes)]
            for values in (scores, whole):
                cells += [" ".join(f"{value:.1f}" for value in values), f"{statistics.mean(values):.1f}"]
            yield f"| {' | '.join(cells)} |"


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
            run, minutes = f"{name}-{seed}", asked.work / "minutes" / f"{name}-{seed}.json"
            if not (asked.work / "runs" / run / "done.json").is_file():
                own = [f"seed={seed}", f"runs={asked.work}/runs", f"name={run}"]
                train([*of_recipe(set_of(sets, recipe), recipe, asked.weights), *different, *own], minutes)
            if not (target := asked.work / "whole" / run).is_dir():
                judge(asked.work / "runs" / run, set_of(sets, recipe), target)
    print("\n".join(rows(asked.work)))


if __name__ == "__main__":
    main()
