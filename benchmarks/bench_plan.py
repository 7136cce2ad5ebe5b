"""Is a plan as good as the defaults, and as our own recipes, in equal minutes?

python benchmarks/bench_plan.py measure build/plan --data ../shared/data --weights efficientnet-lite0.pth
nice -n 10 python benchmarks/bench_plan.py train build/plan --data ../shared/data --weights efficientnet-lite0.pth
python benchmarks/bench_plan.py report build/plan

``measure`` needs an idle machine: it finds how many steps end in 5 and in 20 minutes for each way, by ``fit.minutes``
or by ``seg-plan``, and keeps the numbers in ``WORK/steps.json``. ``train`` trains so many steps, whatever else the
machine does, three seeds each; what is complete is not trained again, so that it may be cut off, and several commands
may train at once, each ``--sets``, ``--ways`` or ``--seeds`` of its own. ``report`` compares.

Three sets: the embedded one, CamVid and UUAD (``--data``, folders ``camvid12`` and ``uuad``). Three ways: *defaults*,
with nothing chosen but the data and, where the recipe has them, the first weights of the encoder; *recipe*, that of
``conf/experiment``; and *plan*, of ``seg-plan`` with the same weights.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MINUTES, SEEDS, WAYS = (5, 20), (0, 1, 2), ("defaults", "recipe", "plan")
ALIKE = ("loader.workers=0", "logger=none", "pictures=0")
SETS = ("embedded", "camvid12", "uuad")
ENCODER = "timm-tf_efficientnet_lite0"


@dataclass(frozen=True)
class Set:
    """Images, masks and the recipe of a data set.

    Attributes:
        data: words of a command line.
        weights: whether encoders begin with the file.
    """

    name: str
    experiment: str
    data: tuple[str, ...]
    weights: bool


def command(name: str) -> str:
    """A command of the toolkit, of this Python."""
    return str(Path(sys.executable).with_name(name))


def prepare(work: Path, source: Path) -> list[Set]:
    """Masks of the sets."""
    sets = [Set("embedded", "embedded", ("data=synthetic", f"data.render.destination={work}/embedded"), weights=False)]
    for name, recipe, ignored in (("camvid12", "camvid_pretrained", "Void"), ("uuad", "uuad", "Unlabelled")):
        folder, words = source / name, []
        for part in ("train", "val"):
            masks = work / name / part
            convert = [command("seg-preprocess"), f"source={folder}/{part}_labels", f"destination={masks}"]
            subprocess.run(
                [*convert, f"labels={folder}/class_dict.csv", f"ignore=[{ignored}]"], check=True, capture_output=True
            )
            words += [f"data.{part}.images={folder}/{part}", f"data.{part}.masks={masks}"]
        sets.append(Set(name, recipe, tuple(words), weights=True))
    return sets


def words(work: Path, each: Set, way: str, minutes: int, weights: str) -> list[str]:
    """What a command line says of a way to train."""
    if way == "plan":
        return ["--config-dir", str(work / f"{each.name}-{minutes}"), "experiment=plan"]
    given = [f"model.encoder_name={ENCODER}", f"model.encoder_weights={weights}"] if each.weights else []
    return [f"experiment={each.experiment}", *given[1:]] if way == "recipe" else given


def measured(work: Path, each: Set, way: str, minutes: int, weights: str) -> int:
    """How many steps end in so many minutes."""
    if way == "plan":
        given = [f"encoder_name={ENCODER}", f"encoder_weights={weights}"] if each.weights else []
        target = work / f"{each.name}-{minutes}"
        subprocess.run(
            [command("seg-plan"), *each.data, *given, f"minutes={minutes}", f"destination={target}", "overwrite=true"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        (steps,) = re.findall(r"^  steps: (\d+)", (target / "experiment/plan.yaml").read_text(), re.MULTILINE)
        return int(steps)
    asked = [*each.data, *words(work, each, way, minutes, weights), f"fit.minutes={minutes}", *ALIKE]
    process = subprocess.Popen(
        [command("seg-train"), *asked, f"runs={work}/measured", f"name={each.name}-{way}-{minutes}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.match(rf"fit.minutes={minutes}: ([\d,]+) steps", line):
            process.send_signal(signal.SIGTERM)
            process.communicate()
            return int(found[1].replace(",", ""))
    raise RuntimeError(f"{asked}: no number of steps")


def asked_for(asked: argparse.Namespace, sets: list[Set]) -> Iterator[tuple[Set, int, str]]:
    """Every set, time and way, the short ones first."""
    yield from ((each, few, way) for few in asked.minutes for each in sets for way in asked.ways)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=("measure", "train", "report"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--minutes", type=int, nargs="+", default=MINUTES)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    asked = parser.parse_args()
    kept = asked.work / "steps.json"
    steps = json.loads(kept.read_text()) if kept.is_file() else {}
    if asked.phase == "report":
        for folder in sorted((asked.work / "runs").iterdir()):
            target = asked.work / "reports" / folder.name
            subprocess.run(
                [command("seg-compare"), f"runs={folder}", f"destination={target}", "axis=experiment"], check=True
            )
        return
    sets = [each for each in prepare(asked.work, asked.data) if each.name in asked.sets]
    todo = list(asked_for(asked, sets))
    if asked.phase == "measure":
        for each, minutes, way in todo:
            if (key := f"{each.name} {minutes} {way}") not in steps:
                steps[key] = measured(asked.work, each, way, minutes, asked.weights)
                kept.write_text(json.dumps(steps, indent=1) + "\n")
                print(key, steps[key], flush=True)
        return
    for seed in asked.seeds:
        for each, minutes, way in todo:
            folder = asked.work / "runs" / f"{each.name}-{minutes}"
            many = [f"fit.steps={steps[f'{each.name} {minutes} {way}']}", *ALIKE]
            given = [*each.data, *words(asked.work, each, way, minutes, asked.weights), *many, f"seed={seed}"]
            own = [f"runs={folder}", f"name={way}-{seed}"]
            subprocess.run([command("seg-train"), *given, *own], check=True)


if __name__ == "__main__":
    main()
