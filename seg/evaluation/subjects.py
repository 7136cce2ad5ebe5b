"""What is evaluated: a checkpoint, or masks that were predicted elsewhere.

subject = of_checkpoint("runs/camvid/last.pt", Pairing("val/images", "val/masks"))
found = subject.evaluate([Wanted("pixels", PixelCounts, ("images", "names"))])
found.scores["miou"]
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seg import inference
from seg.data.batches import Batch, EvaluationBatches, make_loader
from seg.data.checked import Checked
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import Pair, as_list, list_both, pair, with_instances
from seg.data.pairs.folders import PRODUCTS
from seg.data.pairs.names import one_each
from seg.data.pairs.templates import proposal
from seg.data.source import PairFiles, check, check_classes, check_labels, files_of, load_labels, warn_of_values
from seg.evaluation.evaluate import Evaluation, evaluate, evaluation_of, find_temperature
from seg.files import checks
from seg.images import Image, read_image, read_mask
from seg.inference import members, trained
from seg.inference.heads import heads_of, judged_heads, meters_of
from seg.inference.members import Checkpoints
from seg.inference.memory import memory_for
from seg.inference.sizes import sizes_of
from seg.labels import IGNORE, LabelMap
from seg.metrics.calibration import AtTemperature
from seg.metrics.meters import Meter, Pass
from seg.metrics.wanted import Wanted, build
from seg.report.progress import track
from seg.runs import CONFIG, read_config

log = logging.getLogger(__name__)

FIT = "fit"

Folders = str | Path | Sequence[str | Path]
Example = tuple[Image, Image, Callable[[Image], Image] | None]
"""Image, predicted mask, and what draws the rest of the prediction on a picture."""


@dataclass(frozen=True)
class Pairing:
    """Which images have which masks.

    Attributes:
        images, masks: folders, or several of each; no images for predicted masks without pictures.
        instances: of the number of the object at each pixel.
        image_template, template, instance_template: file names; {} is what the files of a pair share.
        names: file of names, one a line: only these.
    """

    images: Folders
    masks: Folders
    instances: Folders | None = None
    image_template: str = "{}"
    template: str = "{}"
    instance_template: str = "{}"
    names: str | Path | None = None

    def pair(self, images: Folders, masks: Folders, only: str | Path | None = None) -> list[Pair]:
        """Pair images and masks, these or others, by its templates."""
        return pair(images, masks, image_template=self.image_template, template=self.template, only=only)

    def described(self) -> dict[str, Any]:
        """Return plain data for ``metrics.json``."""
        keys = ("images", "masks", "instances", "image_template", "template")
        return {key: getattr(self, key) or None for key in keys}


@dataclass(frozen=True)
class Temperature:
    """A number that divides the logits before the calibration error, or ``fit``, and what to fit it on.

    Raises:
        ValueError: something else, or folders without ``fit``.
    """

    value: float | str
    images: Folders = ()
    masks: Folders = ()

    def __post_init__(self) -> None:
        number = checks.is_number(self.value) and self.value > 0
        if not (self.value in (FIT, None) or number):
            raise ValueError(f"temperature: expected a positive number, or fit, got {self.value!r}; give one of them")
        given = [f"temperature_{key}" for key in ("images", "masks") if getattr(self, key)]
        if self.value is None or len(given) != (2 if self.value == FIT else 0):
            raise ValueError(
                "temperature: expected temperature=fit with temperature_images and temperature_masks, or none of the "
                f"three, got temperature={self.value} with {' and '.join(given) or 'neither'}; give all, or leave them "
                "out"
            )


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        named: option and file or folder, for ``metrics.json``.
        pairs: of image and mask; of predicted and true mask where these are evaluated.
        count: feeds the meters with the set; returns what they found.
        example: position in ``pairs`` -> image and prediction, for a picture; None where there are no images.
        certain: it gives masks alone, without confidence.
        files: what ``pairs.csv`` holds of the pairs; nothing of predicted masks, which are of no known run.
        facts: what else is to be told, once it was evaluated.
    """

    named: dict[str, str]
    labels: LabelMap
    pairs: list[Pair]
    count: Callable[[Sequence[Meter], dict[str, Any]], Evaluation]
    example: Callable[[int], Example] | None
    certain: bool
    files: Sequence[PairFiles] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> list[str]:
        """The names of the images."""
        return [one.name for one in self.pairs]

    def evaluate(self, wanted: Sequence[Wanted], sinks: Sequence[Meter] = ()) -> Evaluation:
        """Compute metrics; those of confidence are left out of masks alone, which have none.

        Args:
            sinks: further meters, such as one that keeps predicted masks.
        """
        names = self.labels.names
        meters = build(wanted, images=len(self.pairs), names=names, classes=len(names), final=True)
        fed = [one for one in meters.values() if not (self.certain and getattr(one, "confident", False))]
        return self.count([*fed, *sinks], self.facts)


def of_checkpoint(
    checkpoint: Checkpoints,
    where: Pairing,
    *,
    infer: Callable[[inference.Model], inference.Model] | None = None,
    device: str = "auto",
    trust: Sequence[str] = (),
    temperature: Temperature | None = None,
    batch: int = 1,
    workers: int = 0,
) -> Subject:
    """Take a model, or several as one, on images with masks.

    Args:
        checkpoint: see `seg.inference.members.files_of`.
        infer: see `seg.inference.members.load`.

    Raises:
        ValueError: files that do not pair up, or classes of others.
    """
    inference.keep_freed_memory()
    files = members.files_of(checkpoint)
    model, checkpoint = members.load(files, device, trust=trust, infer=infer), members.shown(files)
    if model.certain and temperature is not None:
        raise ValueError(
            f"temperature: expected none with '{checkpoint}', which gives masks alone (argmax=true), got "
            f"{temperature.value!r}; leave it out, or export with argmax=false"
        )
    pairs = _find_pairs(model, where, checkpoint)
    others = [] if temperature is None else _fitted_on(model, temperature, where, checkpoint, pairs)
    model = replace(model, heads=judged_heads(model.model, model.infer))
    batches = partial(_batches, model, batch=batch, workers=workers)
    checked = _checked(model, pairs, "evaluation")

    def example(index: int) -> Example:
        image = model.read(pairs[index].image)
        return image, *model.predict_marked(image)

    def count(meters: Sequence[Meter], facts: dict[str, Any]) -> Evaluation:
        predict, more = model.predictor(), list(meters)
        with memory_for("lower batch, cut the images into tiles, or give device=cpu"):
            if temperature is not None:
                facts |= _fitted(model, others, batches) if others else {"temperature": temperature.value}
                more.append(AtTemperature(len(pairs), float(facts["temperature"])))
            return evaluate(
                predict,
                batches(pairs, checked, "evaluating"),
                more,
                split=model.heads.split,
                outputs=meters_of(model.heads, model.labels.names, pairs),
                images=[one.name for one in pairs],
                names=model.labels.names,
                final=True,
            )

    told: dict[str, Any] = {"members": list(map(str, files))} if len(files) > 1 else {}
    of_model = {"checkpoint": checkpoint}, model.labels, pairs, count, example, model.certain
    return Subject(*of_model, files_of(pairs, checked), told)


def _find_pairs(model: trained.Trained, where: Pairing, checkpoint: str) -> list[Pair]:
    """Return what a model is evaluated on.

    Raises:
        ValueError: classes or sizes of others, or instances for a model without boxes.
    """
    check_labels(model.labels, where.masks, checkpoint)
    warn_of_values(model.labels, where.masks)
    pairs = where.pair(where.images, where.masks, only=where.names)
    for size in dict.fromkeys(sizes_of(one.image for one in pairs)) if model.size is not None else ():
        model.check_size(*size)
    if where.instances is None:
        return pairs
    if not heads_of(model.model):
        raise ValueError(
            f"instances: expected none with '{checkpoint}', which predicts no boxes, got {where.instances!r}; leave it "
            "out"
        )
    templates = {"template": where.template, "instance_template": where.instance_template}
    return with_instances(pairs, where.masks, where.instances, **templates)


def _fitted_on(
    model: trained.Trained, temperature: Temperature, where: Pairing, checkpoint: str, evaluated: list[Pair]
) -> list[Pair]:
    """Return what a temperature is fitted on, if it is; warn of images that are evaluated as well."""
    if temperature.value != FIT:
        return []
    check_labels(model.labels, temperature.masks, checkpoint)
    warn_of_values(model.labels, temperature.masks)
    found = where.pair(temperature.images, temperature.masks)
    if same := {one.image.resolve() for one in evaluated} & {one.image.resolve() for one in found}:
        log.warning(
            f"temperature_images: {len(same)} of {len(found)} are evaluated as well, such as '{min(same)}'; the "
            "calibration error at this temperature will look better than it is"
        )
    return found


def _fitted(model: trained.Trained, pairs: list[Pair], batches: Callable[..., Iterable[Batch]]) -> dict[str, Any]:
    """Fit the temperature; return it, and what it was fitted on."""
    most = max(64, min(10_000, 2**26 // (model.labels.classes * len(pairs))))  # 256 MB of logits
    loader = batches(pairs, _checked(model, pairs, "temperature"), "fitting the temperature")
    value = find_temperature(model.predictor(heads=False), loader, most=most)
    return {"temperature": value, "temperature_fitted_on": {"images": len(pairs), "pixels_per_image": most}}


def _checked(model: trained.Trained, pairs: list[Pair], part: str) -> Checked:
    checked = check(pairs, model.labels.classes, model.reading, part)
    check_classes(checked, model.labels, part)
    return checked


def _batches(
    model: trained.Trained, pairs: list[Pair], checked: Checked, title: str, *, batch: int, workers: int
) -> Iterable[Batch]:
    """Return checked pairs as batches on the device of the model."""
    classes, device = model.labels.classes, torch.device(model.device)
    dataset = SegmentationDataset(pairs, classes=classes, mean=model.mean, std=model.std, reading=model.reading)
    batches = EvaluationBatches(checked.sizes, batch=batch)
    loader = make_loader(dataset, batches, workers=workers, device=device)
    return (Batch(b.images.to(device), b.masks.to(device), b.index, b.extra) for b in track(loader, title, len(loader)))


def of_predictions(
    predictions: Folders, where: Pairing, *, labels: str | None = None, prediction_template: str = "{}"
) -> Subject:
    """Take predicted masks beside true ones.

    Raises:
        ValueError: a mask without a prediction, or classes of others.
    """
    known = load_labels(labels, where.masks)
    check_labels(known, predictions, "the masks")
    warn_of_values(known, where.masks, predictions)
    pairs = _paired(predictions, prediction_template, "predictions", where)
    subject = partial(Subject, {"predictions": str(predictions)}, known, pairs, partial(_judge, known, pairs))
    if not where.images:
        return subject(None, certain=True)
    images = {p.mask: p.image for p in _paired(where.images, where.image_template, "images", where)}

    def example(index: int) -> Example:
        found = pairs[index]
        image, prediction = read_image(images[found.mask]), read_mask(found.image, known.classes)
        if image.shape[:2] != prediction.shape:
            raise ValueError(
                f"images: expected {_size(prediction)} as the mask, got {_size(image)} of '{images[found.mask]}'; give "
                "the images that belong to the masks, or leave images out"
            )
        return image, prediction, None

    return subject(example, certain=True)


def _paired(folders: Folders, file_template: str, what: str, where: Pairing) -> list[Pair]:
    """Pair every true mask with the file of its name; say which files of other names are left out."""
    templates = {"image_template": file_template, "template": where.template}
    try:
        files, masks = (one_each(found) for found in list_both(folders, where.masks, **templates, only=where.names))
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    if missing := [name for name in masks if name not in files]:
        option = "prediction_template" if what == "predictions" else "image_template"
        found = proposal(as_list(folders)[0], as_list(where.masks)[0], (option, "template"))
        start = f"give {found}; or " if found else ""
        raise ValueError(
            f"{what}: expected a file like '{file_template}' for each of {len(masks)} masks, got none for "
            f"{len(missing)}, the first '{masks[missing[0]]}'; {start}add it, set the template ({option}=, or "
            "template= of the masks), or name the wanted files in a list (list=FILE)"
        )
    beside = {f"{product}{name}" for product in PRODUCTS for name in files}
    others = sorted(files.keys() - masks.keys() - beside)
    if others:
        log.warning(f"{what}: {len(others)} have no mask and are left out, such as '{files[others[0]]}'")
    return [Pair(name, files[name], masks[name]) for name in sorted(masks)]


def _judge(labels: LabelMap, pairs: list[Pair], meters: Sequence[Meter], _: dict[str, Any]) -> Evaluation:
    """Count predicted masks; name the first file that is no such mask, and say how many there are."""
    feed = Pass(meters)
    problems: list[str] = []
    sizes = []
    for index, found in enumerate(track(pairs, "evaluating", len(pairs), unit="masks")):
        try:
            prediction, mask = _read(found, labels.classes)
        except ValueError as error:
            problems.append(str(error))
            continue
        sizes.append((mask.shape[0], mask.shape[1]))
        pixels = torch.from_numpy(prediction)[None], torch.from_numpy(mask)[None]
        feed.masks(*pixels, torch.tensor([index]), labels.classes)
    if problems:
        more = f" (and {len(problems) - 1} more of {len(pairs)})" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    evaluation = evaluation_of(meters, images=[one.name for one in pairs], names=labels.names)
    targets = evaluation.totals["counts"][..., 2].numpy()
    if not targets.sum():
        raise ValueError(
            f"masks: expected labelled pixels, got 255 (ignore) everywhere in all {len(pairs)}; give others"
        )
    check_classes(Checked(targets, sizes, [], None), labels, "evaluation")
    return evaluation


def _read(found: Pair, classes: int) -> tuple[Image, Image]:
    """Read a predicted mask and the true one.

    Refuse labelled pixels without a prediction (255): counting them as wrong and skipping them would both be guesses.
    """
    mask = read_mask(found.mask, classes)
    try:
        prediction = read_mask(found.image, classes)
    except ValueError as error:
        raise ValueError(f"predictions: {error}") from None
    if prediction.shape != mask.shape:
        raise ValueError(
            f"predictions: expected {_size(mask)} as the mask '{found.mask}', got {_size(prediction)} of "
            f"'{found.image}'; resize it without interpolation, or predict in the size of the masks"
        )
    open_pixels = (prediction == IGNORE) & (mask != IGNORE)
    if number := int(np.count_nonzero(open_pixels)):
        row, column = (int(place[0]) for place in np.nonzero(open_pixels))
        raise ValueError(
            f"predictions: expected a class at every labelled pixel, got {IGNORE} (no answer) at {number} of "
            f"'{found.image}', the first in row {row}, column {column}; let the model answer everywhere, or make these "
            f"pixels {IGNORE} in the mask, where they count nowhere"
        )
    return prediction, mask


def _size(pixels: Any) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def name_left_out(wanted: Sequence[Wanted], checkpoints: Sequence[Path]) -> None:
    """Name the metrics of the runs of checkpoints that are not wanted here, such as those of the user's own."""
    records = [record for file in checkpoints if (record := file.parent / CONFIG).is_file()]
    names = {each.name for each in wanted} | {"loss"}
    found = dict.fromkeys(name for record in records for name in read_config(record).get("metric") or ())
    if left := [name for name in found if name not in names]:
        log.info(f"not computed, though the run has it: {', '.join(left)}; metric=[default,NAME] computes one")
