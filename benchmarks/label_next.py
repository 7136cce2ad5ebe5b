"""Does `seg-predict rank=true` choose better images to label than chance does?

OMP_NUM_THREADS=1 nice -n 5 python benchmarks/label_next.py embedded       # or uuad; --arms random rank doubt novelty
python benchmarks/label_next.py embedded --table                           # what has been trained so far

A round: of the training images 5 % are drawn, two models (two seeds) are trained on them, and these choose what is
labelled next, up to 10, 20 and 40 %, with two models trained anew at each. Arms begin with the same models:

random    images drawn by chance
rank      rank.csv: disagreement of the two times distance to the nearest image that is labelled or chosen
doubt     by disagreement alone
novelty   by distance alone: k-center greedy

Each round has a start, draws and seeds of its own. Judged are the two models of each step together, their pixels added
up, by the statistics of seg-compare, with rounds as its seeds: the interval is about new rounds. It goes on where it
was stopped, from ``build/label_next``.
"""

import argparse
import csv
import itertools
import multiprocessing
import os
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg import runs
from seg.compare import compare
from seg.compare.scores import LevelScores
from seg.convert import convert_folder
from seg.labels import LabelMap
from seg.synthetic import Rendering

BUILD = Path(__file__).resolve().parents[1] / "build" / "label_next"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARES, MEMBERS = (0.05, 0.1, 0.2, 0.4), 2
OPTIONS = ("experiment=embedded", "fit.steps=500", "augment.crop.size=[96,96]")


@dataclass(frozen=True)
class Data:
    """A set: where its images and masks are, and how long a model is trained on it."""

    folder: Path
    images: Mapping[str, Path]
    options: Sequence[str]

    def masks(self, part: str) -> Path:
        return self.folder / part / "masks"

    @property
    def names(self) -> list[str]:
        return sorted(path.stem for path in self.images["train"].glob("*.png"))


def embedded() -> Data:
    """The embedded set, rendered at half the size: a model takes seconds."""
    folder = BUILD / "embedded" / "data"
    Rendering(str(folder), height=96, width=144)()
    images = {part: folder / part / "images" for part in ("train", "val")}
    return Data(folder, images, OPTIONS)


def uuad() -> Data:
    """Satellite tiles; the model as for the embedded set, without pretrained weights."""
    folder, source = BUILD / "uuad" / "data", SHARED / "uuad"
    for part in ("train", "val"):
        convert_folder(source / f"{part}_labels", folder / part / "masks", LabelMap.load(source / "palette.yaml"))
    images = {part: source / part for part in ("train", "val")}
    return Data(folder, images, [*OPTIONS, "augment.flip.vertical=true"])


def run(name: str, *arguments: str) -> None:
    """Run a console script in a process that has imported everything."""
    process = multiprocessing.get_context("fork").Process(target=_become, args=(name, arguments))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{name} {' '.join(arguments)}: exit code {process.exitcode}")


def _become(name: str, arguments: Sequence[str]) -> None:
    sys.argv = [name, *arguments]
    runpy.run_module(f"seg.commands.{name.removeprefix('seg-')}", run_name="__main__")


def trained(data: Data, folder: Path, step: str, names: Sequence[str], seeds: Sequence[int]) -> list[Path]:
    """Train the models of one step on the named images, unless that was done; return their runs."""
    listed = folder / f"{step}.txt"
    listed.write_text("".join(f"{name}\n" for name in names))
    parts = ("train", "val")
    where = [f"data.{part}.{kind}={path}" for part in parts for kind, path in
             (("images", data.images[part]), ("masks", data.masks(part)))]  # fmt: skip
    more = ["fit.validate_every=1000", "loader.workers=0", "logger=none", "pictures=0", f"data.train.list={listed}"]
    found = []
    for seed in seeds:
        found.append(folder / "runs" / f"{step}-{seed}")
        if not (found[-1] / runs.DONE).exists():
            own = [f"seed={seed}", f"runs={folder / 'runs'}", f"name={found[-1].name}"]
            run("seg-train", *data.options, *where, *more, *own)
    return found


def chosen(
    data: Data, folder: Path, arm: str, step: str, members: Sequence[Path], have: Sequence[str], number: int
) -> list[str]:
    """Return so many names of images to label next."""
    out, left = folder / "ranks" / step, [name for name in data.names if name not in have]
    out.mkdir(parents=True, exist_ok=True)
    for file, names in (("left.txt", left), ("have.txt", have)):
        (out / file).write_text("".join(f"{data.images['train'] / name}.png\n" for name in names))
    checkpoints = ",".join(str(member / runs.LAST) for member in members)
    run("seg-predict", f"checkpoint=[{checkpoints}]", f"images={out / 'left.txt'}", f"labelled={out / 'have.txt'}",
        f"destination={out / 'predicted'}", "rank=true", f"number={number}", "overlays=false")  # fmt: skip
    with (out / "predicted" / "rank.csv").open() as file:
        rows = list(csv.DictReader(file))
    if arm == "doubt":
        rows.sort(key=lambda row: -float(row["uncertainty"]))
    if arm == "novelty":
        return _farthest(out, [row["image"] for row in rows], [data.images["train"] / f"{name}.png" for name in have],
                         members, number)  # fmt: skip
    return [row["image"] for row in rows[:number]]


def _farthest(out: Path, names: list[str], have: list[Path], members: Sequence[Path], number: int) -> list[str]:
    """Choose by distance alone."""
    from seg.inference.image import features_of
    from seg.inference.ranking import ranked
    from seg.inference.trained import load

    names = sorted(names)
    features = np.stack([np.load(out / "predicted" / "features" / f"{name}.npy") for name in names])
    model = load(members[0] / runs.LAST, "cpu")
    known = np.stack([features_of(model, path) for path in have])
    return [names[each.image] for each in ranked(np.ones(len(names)), features, known, number=number)[:number]]


def step(data: Data, folder: Path, number: int, arm: str, at: int) -> None:
    """Choose and train, unless that was done, what an arm has at a share of a round; its steps before are done."""
    names, seeds = data.names, range(MEMBERS * number, MEMBERS * (number + 1))
    counts = [round(share * len(names)) for share in SHARES]
    order = np.random.default_rng([number, len(names)]).permutation(names).tolist()
    before = f"{arm if at > 1 else 'start'}-{counts[at - 1]}"
    if at == 1:
        folder.mkdir(parents=True, exist_ok=True)
        trained(data, folder, before, order[: counts[0]], seeds)
    name = f"{arm}-{counts[at]}"
    if (listed := folder / f"{name}.txt").exists():  # as it was chosen before
        have = _listed(listed)
    elif arm == "random":
        have = order[: counts[at]]
    else:
        have = _listed(folder / f"{before}.txt")
        members = trained(data, folder, before, have, seeds)
        have += chosen(data, folder, arm, name, members, have, counts[at] - len(have))
    trained(data, folder, name, have, seeds)


def _listed(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1]


def counts_of(folder: Path, step: str) -> NDArray[np.int64] | None:
    """Return the pixels (images, classes, 3) of the models of a step, added up; None where one is missing."""
    members = sorted(folder.glob(f"runs/{step}-*/{runs.DONE}"))
    if len(members) < MEMBERS:
        return None
    total = 0
    for done in members:
        table = runs.read_per_image(done.parent / runs.PER_IMAGE)
        total = total + table.counts[np.argsort(table.images)]
    return np.asarray(total)


def table(data: Data, folder: Path) -> Iterator[str]:
    """Yield a row for each share and arm: mIoU, and the gain over chance, of the rounds that both have."""
    yield "| images | arm | rounds | mIoU % | more than by chance [95 %] | verdict |"
    yield "|--:|---|--:|--:|---|---|"
    counts = [round(share * len(data.names)) for share in SHARES]
    found = {(path.parent.parent.name, path.name.rpartition("-")[0]) for path in folder.glob("round*/runs/*-*")}
    arms = sorted({step.rpartition("-")[0] for _, step in found})
    for count in counts:
        for arm in arms:
            yield from _row(folder, count, arm)


def _row(folder: Path, count: int, arm: str) -> Iterator[str]:
    rounds = sorted(folder.glob("round*"))
    pairs = [(counts_of(each, f"{arm}-{count}"), counts_of(each, f"random-{count}")) for each in rounds]
    both = [(number, mine, other) for number, (mine, other) in enumerate(pairs) if mine is not None
            and (other is not None or arm == "start")]  # fmt: skip
    if not both:
        return
    seeds = tuple(number for number, _, _ in both)
    levels = {arm: LevelScores(seeds, np.stack([mine for _, mine, _ in both]))}
    if arm not in ("random", "start"):
        levels["random"] = LevelScores(seeds, np.stack([other for *_, other in both if other is not None]))
    result = compare(levels)
    (own,) = (level for level in result.levels if level.level == arm)
    gain, verdict = "", ""
    for pair in result.pairs:
        sign = 1 if pair.a == arm else -1
        low, high = sorted(sign * end for end in pair.widest)
        gain = f"{100 * sign * pair.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        verdict = pair.verdict
    yield f"| {count} | {arm} | {len(both)} | {100 * own.mean:.1f} | {gain} | {verdict} |"


def main() -> None:
    """Train share by share, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("embedded", "uuad"))
    parser.add_argument("--arms", nargs="+", default=["random", "rank"])
    parser.add_argument("--rounds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    data, folder = {"embedded": embedded, "uuad": uuad}[asked.data](), BUILD / asked.data
    if not asked.table:
        import segmentation_models_pytorch  # noqa: F401, RUF100  # once, for all that are forked

        import seg.commands.build
        import seg.inference.folder  # noqa: F401

        for at, number, arm in itertools.product(range(1, len(SHARES)), asked.rounds, asked.arms):
            step(data, folder / f"round{number}", number, arm, at)
            print(f"round {number}: {arm}, {SHARES[at]:.0%}, {os.times().children_user:.0f} s", flush=True)
    print("\n".join(table(data, folder)))


if __name__ == "__main__":
    main()
