"""The files that say what an evaluation found."""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from seg import runs
from seg.data.attributes import Slices, read_slices
from seg.data.pairs import Pair
from seg.evaluation import plots, slices
from seg.evaluation.evaluate import Evaluation
from seg.evaluation.subjects import Pairing, Subject
from seg.files import write_csv, write_json, write_png
from seg.files.claims import claim
from seg.images import Image, as_rgb, read_mask
from seg.inference.outputs import stored, write_probabilities
from seg.inference.trained import Trained
from seg.labels import LabelMap
from seg.metrics.catalogue import KEY, described
from seg.metrics.meters import Column, Meter
from seg.metrics.scores import worst
from seg.metrics.wanted import Wanted
from seg.report import pictures
from seg.report.tables import percent

log = logging.getLogger(__name__)

_RANKED = re.compile(r"\d{2,}_(\d+\.\d|-)_.*\.png")  # how `draw_worst` calls its pictures

WORST, RELIABILITY, CONFUSION, COUNTS = "worst.png", "reliability.png", "confusion.png", "confusion.csv"
_FILES = (
    *(runs.EVALUATION, runs.PER_IMAGE, runs.PER_IMAGE_METRICS, runs.BOXES, *runs.RECORD),
    *(COUNTS, CONFUSION, WORST, RELIABILITY, slices.FILE),
)
_COMMAND = "seg-evaluate"
_SIGNS = {runs.EVALUATION: ("images", "miou", "iou")}


class Predictions:
    """A meter that counts nothing and keeps the predicted masks, ``NAME.png`` each."""

    metrics = ()

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names

    def update(self, prediction: Image, target: Image, position: int) -> None:
        write_png(self.path(self.names[position]), prediction)

    def path(self, name: str) -> Path:
        """Return the file of an image."""
        return self.folder / f"{name}.png"

    def totals(self) -> dict[str, Any]:
        return {}

    def scores(self, totals: dict[str, Any]) -> dict[str, Any]:
        return {}

    def per_image(self, totals: dict[str, Any]) -> tuple[Column, ...]:
        return ()


class Probabilities:
    """A meter that counts nothing and keeps the probabilities of all classes, ``NAME.npz`` each, as seg-predict does.

    Args:
        halves: as float16, else as uint8, 255 for 1.
        classes: their names.
    """

    metrics = ()

    def __init__(self, folder: Path, names: Sequence[str], classes: Sequence[str], *, halves: bool) -> None:
        self.folder, self.names, self.classes, self.halves = folder, names, classes, halves

    def update(self, logits: Tensor, mask: Tensor, index: Tensor) -> None:
        for position, one in zip(index.tolist(), logits, strict=True):
            shares = stored(one.float().softmax(0), halves=self.halves)
            write_probabilities(self.folder / f"{self.names[position]}.npz", shares, self.classes)

    def totals(self) -> dict[str, Any]:
        return {}

    def scores(self, totals: dict[str, Any]) -> dict[str, Any]:
        return {}

    def per_image(self, totals: dict[str, Any]) -> tuple[Column, ...]:
        return ()


def evaluate_into(
    destination: Path,
    subject: Subject,
    wanted: Sequence[Wanted],
    where: Pairing,
    *,
    record: Path | None = None,
    save_masks: bool = False,
    number: int = 0,
    attributes: str | None = None,
    overwrite: bool = False,
) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate a subject, and write all that ``seg-evaluate`` writes; return what was found, and ``metrics.json``.

    Args:
        where: its files, for ``metrics.json``.
        record: folder of the run that it is of, whose settings are copied.
        save_masks: write the predicted masks.
        number: of pictures, the worst images first.
        attributes: a table of the images, see `seg.data.attributes.read_slices`: also the scores of each of its values.
        overwrite: replace files that no evaluation wrote.

    Raises:
        ValueError: such files are there, or the table does not fit the images.
    """
    parts = None if attributes is None else read_slices(attributes, subject.images)
    kept = Predictions(destination / runs.PREDICTIONS, subject.images)
    sinks: list[Meter] = [kept] if save_masks else []
    masks = map(kept.path, subject.images) if save_masks else ()
    files = [*(destination / name for name in _FILES), *masks, *_ranked(destination)]
    stale = claim(_COMMAND, {destination: files}, _SIGNS, overwrite=overwrite)
    found = subject.evaluate(wanted, sinks)
    for path in stale:  # such as masks that another model predicted
        path.unlink(missing_ok=True)
    sliced = {} if parts is None else _sliced(found, parts, wanted, destination)
    data = {**subject.named, **subject.facts, **as_data(found), **sliced, "data": where.described()}
    if parts is None:
        (destination / slices.FILE).unlink(missing_ok=True)  # of an earlier call
    write(found, destination)
    runs.copy_record(record, destination, subject.files)
    write_json(destination / runs.EVALUATION, data)
    draw_worst(subject, found, destination, number)
    return found, data


def _sliced(found: Evaluation, parts: Slices, wanted: Sequence[Wanted], destination: Path) -> dict[str, Any]:
    """Write the scores of slices; return what ``metrics.json`` holds of them, and say what they lack."""
    scores, untold = slices.scores_by_slice(found, parts, wanted)
    for note in parts.notes:
        log.warning(f"attributes: {note}")
    more = f"not told of slices, because they are not counted image by image: {', '.join(untold)}"
    if untold:
        log.info(more)
    slices.write_slices(destination, scores)
    return {"slices": scores, "slices_notes": [*parts.notes, *([more] if untold else [])]}


def write(found: Evaluation, destination: Path) -> None:
    """Write the tables of each image, confusion, plots and what meters keep; some may be left over from before."""
    runs.write_per_image(destination / runs.PER_IMAGE, found.images, found.names, found.total("counts"))
    runs.write_per_image_metrics(destination / runs.PER_IMAGE_METRICS, found.images, found.columns())
    confusion = found.total("confusion")
    rows = ((name, *row) for name, row in zip(found.names, confusion.tolist(), strict=True))
    write_csv(destination / COUNTS, ("target \\ prediction", *found.names), rows)
    plots.draw_confusion(destination / CONFUSION, confusion, found.names)
    plots.draw_worst(destination / WORST, worst(found.mious).tolist())
    for file in (runs.BOXES, RELIABILITY):
        (destination / file).unlink(missing_ok=True)
    for meter in found.meters:
        getattr(meter, "save", lambda *_: None)(found.totals, found.images, destination)
    curves: dict[str, Any] = {key: found.total(key).sum(0) for key in ("confidence", "tempered") if key in found.totals}
    if curves:
        plots.draw_reliability(destination / RELIABILITY, curves)


def as_data(found: Evaluation) -> dict[str, Any]:
    """Return what ``metrics.json`` holds: the scores first, then tables, and what each score means."""
    metrics = described(found.metrics.values())
    return {"images": len(found.images), **found.scores, **found.tables(), KEY: metrics}


def draw(
    path: Path,
    pair: Pair,
    image: Image,
    prediction: Image,
    labels: LabelMap,
    mark: Callable[[Image], Image] | None = None,
) -> Image:
    """Write image | target | prediction of one pair as PNG and return it; of more than three bands the first ones."""
    target = read_mask(pair.mask, labels.classes)
    picture = pictures.panel(as_rgb(image), prediction, labels.palette, labels.names, target=target, mark=mark)
    write_png(path, picture)
    return picture


def draw_predictions(trained: Trained, pairs: Sequence[Pair], folder: Path) -> list[tuple[str, Image]]:
    """Draw what a model predicts, with what its heads draw; return the pictures with the names of their pairs."""
    pictures = []
    for pair in pairs:
        image = trained.read(pair.image)
        mask, mark = trained.predict_marked(image)
        pictures.append((pair.name, draw(folder / f"{pair.name}.png", pair, image, mask, trained.labels, mark)))
    return pictures


def draw_worst(subject: Subject, found: Evaluation, destination: Path, number: int) -> None:
    """Draw image, target and prediction of the images with the lowest mIoU (I)."""
    for older in _ranked(destination):  # of an earlier call, whose ranks would stand beside these
        older.unlink()
    if (example := subject.example) is None:
        return
    # an image without a labelled pixel has no score, and is the last to look at
    order = np.argsort(found.mious, kind="stable")[:number].tolist()
    names = (f"{percent(found.mious[index])}_{subject.images[index].replace('/', '_')}.png" for index in order)
    paths = [destination / runs.PICTURES / f"{rank:02}_{name}" for rank, name in enumerate(names, start=1)]
    claim(_COMMAND, {destination: paths}, _SIGNS)
    for path, index in zip(paths, order, strict=True):
        image, prediction, mark = example(index)
        draw(path, subject.pairs[index], image, prediction, subject.labels, mark)


def _ranked(destination: Path) -> list[Path]:
    """List the pictures that are called as `draw_worst` calls them."""
    return [path for path in (destination / runs.PICTURES).glob("*.png") if _RANKED.fullmatch(path.name)]
