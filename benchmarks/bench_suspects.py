"""Are planted label errors found? Precision and recall by rank, beside cleanlab.

python benchmarks/bench_suspects.py build/suspects [--epochs 12] [--draw 1] [--seeds 2] [--only]    # or cleanlab

160 embedded scenes, in whose training masks errors of four kinds are planted, whole regions each:

- ``class``: an object, or a piece of an area, has another class of its image;
- ``missing``: an object has the class around it;
- ``shifted``: the outline of an object lies 6 to 12 pixels off;
- ``swapped``: two regions have each other's class.

Models of three folds are trained on the noisy masks, ``WORK/folds``; what is there already is not trained again.
``--draw`` are other scenes with other errors. With several seeds, regions of which one of them alone is sure count
among the suspects of ``one``, and not among those of all: they are hard.
cleanlab takes neither ignored pixels nor images of several sizes: it is given scenes of one size, and at ignored pixels
the class that the models say, which it cannot suspect.
"""

import argparse
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg.audit.suspects import Probabilities, Suspects, find_suspects
from seg.convert import convert_folder
from seg.data.pairs import Pair, pair
from seg.files import write_png
from seg.labels import IGNORE, LabelMap
from seg.synthetic import write_dataset

RESULTS = Path(__file__).parent / "results"
SCENES, SHARE, LEAST = 160, 0.5, 80  # images, those of them with errors, and pixels of a region
THINGS = ("vehicle", "pole", "person", "sign", "fence")
RANKS, RECALLS = (10, 25, 50, 100, 200), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TOLERANCES = (0, 1, 2, 4, 8)

Mask = NDArray[np.uint8]
Where = NDArray[np.bool_]


@dataclass(frozen=True)
class Planted:
    """An error: its kind, and the pixels that are wrong because of it."""

    kind: str
    name: str
    where: Where


def regions(mask: Mask, classes: Sequence[int]) -> list[Where]:
    """What touches of these classes, large enough to be seen."""
    found = []
    for index in classes:
        number, parts, boxes, _ = cv2.connectedComponentsWithStats(np.uint8(mask == index))
        found += [parts == part for part in range(1, number) if boxes[part, cv2.CC_STAT_AREA] >= LEAST]
    return found


def around(mask: Mask, region: Where) -> int | None:
    """The class that most of the pixels around a region have."""
    ring = (cv2.dilate(np.uint8(region), np.ones((7, 7), np.uint8)) > 0) & ~region & (mask != IGNORE)
    return Counter(mask[ring].tolist()).most_common(1)[0][0] if ring.any() else None


def cut(region: Where, rng: np.random.Generator) -> Where:
    """A piece of a region that is more than an object: a window of at most 48 pixels."""
    if region.sum() <= 48 * 48:
        return region
    y, x = (int(each) for each in rng.choice(np.argwhere(region)))
    piece = np.zeros_like(region)
    piece[max(y - 24, 0) : y + 24, max(x - 24, 0) : x + 24] = True
    return region & piece


def plant(kind: str, mask: Mask, things: Sequence[int], rng: np.random.Generator) -> Mask | None:
    """A mask with one error more; None where the image offers none of that kind."""
    wrong, everything = mask.copy(), [*np.unique(mask[mask != IGNORE]).tolist()]
    choice = regions(mask, everything if kind in ("class", "swapped") else things)
    if len(choice) < 2:
        return None
    first, second = (cut(choice[k], rng) for k in rng.choice(len(choice), 2, replace=False))
    was, other = int(mask[first][0]), int(mask[second][0])
    if kind == "class":
        wrong[first] = rng.choice([each for each in everything if each != was])
    elif kind == "swapped":
        if was == other:
            return None
        wrong[first], wrong[second] = other, was
    else:
        filled = around(mask, first)
        if filled is None or filled == was:
            return None
        wrong[first] = filled
        if kind == "shifted":
            dy, dx = (int(each) for each in rng.integers(6, 13, 2) * rng.choice([-1, 1], 2))
            moved = cv2.warpAffine(np.uint8(first), np.float32([[1, 0, dx], [0, 1, dy]]), mask.shape[::-1]) > 0
            wrong[moved & (mask != IGNORE)] = was
    return wrong


def plant_all(source: Path, target: Path, labels: LabelMap, draw: int) -> list[Planted]:
    """Write noisy masks, the same ones at every call, and return their errors."""
    things, planted = [labels.names.index(name) for name in THINGS], []
    target.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted(source.glob("*.png"))):
        rng = np.random.default_rng([29 + draw, number])
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for kind in rng.permutation(["class", "missing", "shifted", "swapped"])[: rng.integers(1, 3)].tolist():
            if rng.random() < SHARE and (wrong := plant(kind, mask, things, rng)) is not None:
                parts = regions(np.uint8(wrong != mask), [1]) if kind == "swapped" else [wrong != mask]
                planted += [Planted(kind, path.stem, where) for where in parts if where.sum() >= LEAST // 2]
                mask = wrong
        write_png(target / path.name, mask)
    labels.save(target / "labels.yaml")
    return planted


def prepare(work: Path, draw: int) -> tuple[LabelMap, list[Planted]]:
    """Scenes, their masks, and the noisy ones."""
    if not (work / "data" / "labels.yaml").is_file():
        write_dataset(work / "data", train=SCENES, val=8, seed=draw)
    labels = LabelMap.load(work / "data" / "labels.yaml")
    convert_folder(work / "data/train/labels", work / "clean", labels)
    return labels, plant_all(work / "clean", work / "noisy", labels, draw)


def train(work: Path, epochs: int, seeds: int) -> None:
    """Models of three folds, on the noisy masks."""
    command = [
        *(f"{Path(sys.executable).with_name('seg-train')}", "sweep=folds", "data.folds=3", f"seeds={seeds}"),
        "experiment=embedded",
        *(f"data.train.images={work / 'data/train/images'}", f"data.train.masks={work / 'noisy'}"),
        *("fit.probabilities=uint8", f"fit.epochs={epochs}", "logger=none", "pictures=0", f"runs={work / 'folds'}"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def wrong_pixels(work: Path, names: Sequence[str]) -> dict[str, Where]:
    """Where the noisy masks are wrong."""

    def read(folder: str, name: str) -> Mask:
        return cv2.imread(str(work / folder / f"{name}.png"), cv2.IMREAD_UNCHANGED)

    return {name: read("clean", name) != read("noisy", name) for name in names}


def judge(suspects: Suspects, planted: Sequence[Planted], wrong: dict[str, Where]) -> tuple[list[str], dict[str, Any]]:
    """Rows by rank: of the first k regions, the share that is wrong; and of the errors, the share that is found.

    Returns:
        rows, and by image the rank of its pixels (0 = the most suspect; as many as there are regions: no suspect).
    """
    count = len(suspects.found)
    ranks = {name: np.full(where.shape, count, np.int32) for name, where in wrong.items()}
    right = np.zeros(count, bool)
    looked = {name: suspects.look(name) for name in wrong}
    for rank, suspect in enumerate(suspects.found):
        region = suspects.region(suspect, *looked[suspect.name])
        right[rank] = wrong[suspect.name][region].mean() >= 0.5
        ranks[suspect.name][region & (ranks[suspect.name] == count)] = rank
    best = np.array([np.median(ranks[each.name][each.where]) for each in planted])  # half of it is found by then
    rows = []
    for k in (*(each for each in RANKS if each < count), count):
        kinds = {kind: best[[each.kind == kind for each in planted]] < k for kind in sorted({p.kind for p in planted})}
        found = " | ".join(f"{100 * each.mean():.0f}" for each in kinds.values())
        rows.append(f"| {k} | {100 * right[:k].mean():.0f} | {100 * (best < k).mean():.0f} | {found} |")
    return rows, ranks


def apart(
    pairs: Sequence[Pair], probabilities: Probabilities, labels: LabelMap, planted: Sequence[Planted],
    wrong: dict[str, Where],
) -> list[str]:  # fmt: skip
    """Rows: what it does that regions at a border, and regions of which one model alone is sure, are left out."""
    of_one = Probabilities({name: files[:1] for name, files in probabilities.files.items()})
    members = max(len(files) for files in probabilities.files.values())
    rows = []
    for models, given in {"one": of_one, f"all {members}": probabilities}.items():
        if given is probabilities and members == 1:
            continue
        for tolerance in TOLERANCES:
            suspects = find_suspects(pairs, given, labels, tolerance=tolerance)
            table, _ = judge(suspects, planted, wrong)
            rows += [f"| {models} | {tolerance} {row}" for row in table if row.split()[1] in ("50", "200")]
            rows.append(f"| {models} | {tolerance} {table[-1]}")
    return rows


def precision_at(order: NDArray[np.int64], wrong: Where, recall: float) -> float | None:
    """Of the pixels in an order, the share that is wrong once so many of all wrong ones are among them."""
    hits = np.cumsum(wrong[order])
    enough = np.flatnonzero(hits >= recall * wrong.sum())
    return float(hits[enough[0]] / (enough[0] + 1)) if enough.size else None


def beside_cleanlab(
    suspects: Suspects, ranks: dict[str, Any], wrong: dict[str, Where], names: Sequence[str]
) -> list[str]:
    """Rows: precision of the pixels at equal recall, and of the images."""
    from cleanlab.segmentation.filter import find_label_issues
    from cleanlab.segmentation.rank import get_label_quality_scores

    masks, shares = [], []
    for name in names:
        mask, _ = suspects.look(name)
        share = suspects.probabilities.read(name, suspects.labels.names, mask.shape).mean(0)
        masks.append(np.where(mask == IGNORE, share.argmax(0), mask))
        shares.append(share)
    labels, predicted = np.stack(masks).astype(np.int64), np.stack(shares)
    flagged = find_label_issues(labels, predicted, downsample=1, n_jobs=1, verbose=False).ravel()
    images, pixels = get_label_quality_scores(labels, predicted, n_jobs=1, verbose=False)
    truth = np.stack([wrong[name] for name in names]).ravel()
    ours = np.stack([ranks[name] for name in names]).ravel()
    sure = int((ours < len(suspects.found)).sum())
    order = np.argsort(ours, kind="stable")[:sure]
    theirs = np.argsort(np.asarray(pixels).ravel(), kind="stable")
    both = np.lexsort((np.asarray(pixels).ravel(), ~flagged))[: int(flagged.sum())]
    rows = []
    for recall in RECALLS:
        row = [precision_at(each, truth, recall) for each in (order, theirs, both)]
        rows.append(f"| {100 * recall:.0f} | " + " | ".join("-" if p is None else f"{100 * p:.0f}" for p in row) + " |")
    bad = np.array([wrong[name].any() for name in names])
    first = np.argsort([ranks[name].min() for name in names], kind="stable")
    worst = np.argsort(images, kind="stable")
    rows.append("")
    rows += [
        f"Of all pixels that cleanlab flags ({flagged.sum():,}), {100 * truth[flagged].mean():.0f} % are wrong, and "
        f"{100 * truth[flagged].sum() / truth.sum():.0f} % of the wrong ones are among them; of suspects ({sure:,}), "
        f"{100 * truth[order].mean():.0f} % and {100 * truth[order].sum() / truth.sum():.0f} %.",
        *(
            f"Images: of the first {k}, {bad[first[:k]].sum()} have an error by suspects, {bad[worst[:k]].sum()} by "
            f"cleanlab ({bad.sum()} of {len(names)} have one)."
            for k in (20, 40)
        ),
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--draw", type=int, default=0, help="which scenes and errors")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", action="store_true", help="without cleanlab")
    asked = parser.parse_args()
    labels, planted = prepare(asked.work, asked.draw)
    train(asked.work, asked.epochs, asked.seeds)
    pairs = pair(asked.work / "data/train/images", asked.work / "noisy")
    names = [each.name for each in pairs]
    wrong = wrong_pixels(asked.work, names)
    probabilities = Probabilities.of(str(asked.work / "folds"))
    suspects = find_suspects(pairs, probabilities, labels)
    rows, ranks = judge(suspects, planted, wrong)
    kinds = Counter(each.kind for each in planted)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    lines = [
        f"# Suspects, {date.today()}",
        "",
        f"{platform.machine()}, Python {platform.python_version()}, commit {commit}; {asked.epochs} epochs a fold, "
        f"draw {asked.draw}, {asked.seeds} seeds.",
        f"{len(planted)} errors in {len({each.name for each in planted})} of {len(names)} scenes.",
        "",
        "| first regions | wrong % | errors found % | "
        + " | ".join(f"{k} ({kinds[k]}) %" for k in sorted(kinds))
        + " |",
        "|--:|--:|--:|" + "--:|" * len(kinds),
        *rows,
    ]
    lines += ["", "| models | border | " + lines[5].removeprefix("| "), "|---|--:" + lines[6],
              *apart(pairs, probabilities, labels, planted, wrong)]  # fmt: skip
    if not asked.only:
        lines += ["", "| pixels: recall % | suspects, precision % | cleanlab by score | cleanlab flagged, by score |",
                  "|--:|--:|--:|--:|", *beside_cleanlab(suspects, ranks, wrong, names)]  # fmt: skip
    print("\n".join(lines))


if __name__ == "__main__":
    main()
