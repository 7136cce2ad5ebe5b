"""What ``seg-evaluate`` evaluates: a checkpoint, or masks that were predicted elsewhere."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from seg import inference
from seg.data.batches import Batch, EvaluationBatches, make_loader
from seg.data.checked import Checked
from seg.data.dataset import SegmentationDataset
from seg.data.pairs import Pair, list_both, pair, with_instances
from seg.data.pairs.names import one_each
from seg.data.source import check, check_classes, check_labels, load_labels
from seg.evaluation.evaluate import Validation, evaluate, find_temperature
from seg.images import Image, read_image, read_mask
from seg.inference import trained
from seg.labels import IGNORE, LabelMap
from seg.metrics import AtTemperature, Meter, PixelCounts
from seg.report.progress import track
from seg.tasks.boxes import BoxMeter, head_of, joined
from seg.tasks.building import check_boxes, instances_of

log = logging.getLogger(__name__)

FIT = "fit"


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        named: option and file or folder, for ``metrics.json``.
        pairs: of image and mask; of predicted and true mask where these are evaluated.
        count: feeds a meter, and perhaps others, with the set; what they found, and what else is to be told.
        seen: position in ``pairs`` -> image and predicted mask, for a picture; None where there are no images.
        certain: it gives masks alone, without confidence.
    """

    named: dict[str, str]
    labels: LabelMap
    pairs: list[Pair]
    count: Callable[[PixelCounts], tuple[Validation, dict[str, Any]]]
    seen: Callable[[int], tuple[Image, Image]] | None
    certain: bool


def of_checkpoint(
    cfg: dict[str, Any], infer: Callable[[inference.Model], inference.Model], trust: Sequence[str]
) -> Subject:
    """A model on images with masks.

    Raises:
        ValueError: files that do not pair up, or classes of others.
    """
    model = replace(trained.load(cfg["checkpoint"], cfg["device"], trust=trust), infer=infer)
    if model.certain and cfg["temperature"] is not None:
        raise ValueError(
            f"temperature: expected none with '{cfg['checkpoint']}', which gives masks alone (argmax=true), got "
            f"{cfg['temperature']!r}; leave it out, or export with argmax=false"
        )
    by_name = partial(pair, image_template=cfg["image_template"], template=cfg["template"])
    check_labels(model.labels, cfg["masks"], cfg["checkpoint"])
    pairs = by_name(cfg["images"], cfg["masks"], only=cfg["list"])
    if cfg["instances"] is not None:
        if head_of(model.model) is None:
            raise ValueError(
                f"instances: expected none with '{cfg['checkpoint']}', which predicts no boxes, got "
                f"{cfg['instances']!r}; leave it out"
            )
        templates = {key: cfg[key] for key in ("template", "instance_template")}
        pairs = with_instances(pairs, cfg["masks"], cfg["instances"], **templates)
    others: list[Pair] = []
    if cfg["temperature"] == FIT:
        check_labels(model.labels, cfg["temperature_masks"], cfg["checkpoint"])
        others = by_name(cfg["temperature_images"], cfg["temperature_masks"])
        _warn_of_same(pairs, others)

    def seen(index: int) -> tuple[Image, Image]:
        image = model.read(pairs[index].image)
        return image, model.predict_read(image)

    count = partial(_evaluate, model, pairs, others, cfg)
    return Subject({"checkpoint": str(cfg["checkpoint"])}, model.labels, pairs, count, seen, model.certain)


def _warn_of_same(pairs: list[Pair], others: list[Pair]) -> None:
    if same := {p.image.resolve() for p in pairs} & {p.image.resolve() for p in others}:
        log.warning(
            f"temperature_images: {len(same)} of {len(others)} are evaluated as well, such as '{min(same)}'; the "
            "calibration error at this temperature will look better than it is"
        )


def _evaluate(
    model: trained.Trained, pairs: list[Pair], others: list[Pair], cfg: dict[str, Any], meter: PixelCounts
) -> tuple[Validation, dict[str, Any]]:
    """Evaluate a model, at a temperature too if one is asked for, which ``others`` may have to fit."""
    predict, temperature = model.infer(model.model), cfg["temperature"]
    boxes = _box_meter(model, pairs)
    batches = _batches(model, pairs, cfg, "evaluation", "evaluating")
    more: dict[str, Any] = {}
    meters: list[Meter] = [meter]
    with inference.memory_for("lower batch, cut the images into tiles, or give device=cpu"):
        if temperature == FIT:
            most = max(64, min(10_000, 2**26 // (model.labels.classes * len(others))))  # 256 MB of logits
            temperature = find_temperature(
                predict, _batches(model, others, cfg, "temperature", "fitting the temperature"), most=most
            )
            more = {"temperature_fitted_on": {"images": len(others), "pixels_per_image": most}}
        if temperature is not None:
            meters.append(AtTemperature(len(pairs), temperature))
            more = {"temperature": temperature, **more}
        if boxes is not None:
            meters.append(boxes)
            predict = boxes.reading(model.infer(joined(model.model)))
        return evaluate(predict, batches, meters), more


def _box_meter(model: trained.Trained, pairs: list[Pair]) -> BoxMeter | None:
    """For a model that predicts boxes; says so if they cannot be judged here."""
    if (head := head_of(model.model)) is None:
        return None
    try:
        check_boxes(model.infer)
    except ValueError as error:
        log.warning(f"boxes are left out: {error}")
        return None
    return BoxMeter(len(pairs), model.labels.names, head, instances_of(pairs))


def _batches(model: trained.Trained, pairs: list[Pair], cfg: dict[str, Any], part: str, title: str) -> Iterable[Batch]:
    """Checked pairs, as batches on the device of the model."""
    classes, device = model.labels.classes, torch.device(model.device)
    dataset = SegmentationDataset(pairs, classes=classes, mean=model.mean, std=model.std, reading=model.reading)
    checked = check(pairs, classes, model.reading, part)
    check_classes(checked, model.labels, part)
    batches = EvaluationBatches(checked.sizes, batch=cfg["batch"])
    loader = make_loader(dataset, batches, workers=cfg["workers"], device=device)
    return (Batch(b.images.to(device), b.masks.to(device), b.index, b.extra) for b in track(loader, title, len(loader)))


def of_predictions(cfg: dict[str, Any]) -> Subject:
    """Predicted masks beside true ones.

    Raises:
        ValueError: a mask without a prediction, or classes of others.
    """
    labels = load_labels(cfg["labels"], cfg["masks"])
    check_labels(labels, cfg["predictions"], "the masks")
    pairs = _paired(cfg["predictions"], cfg["prediction_template"], "predictions", cfg)
    count = partial(_judge, labels, pairs)
    subject = partial(Subject, {"predictions": str(cfg["predictions"])}, labels, pairs, count)
    if cfg["images"] is None:
        return subject(None, certain=True)
    images = {p.mask: p.image for p in _paired(cfg["images"], cfg["image_template"], "images", cfg)}

    def seen(index: int) -> tuple[Image, Image]:
        found = pairs[index]
        image, prediction = read_image(images[found.mask]), read_mask(found.image, labels.classes)
        if image.shape[:2] != prediction.shape:
            raise ValueError(
                f"images: expected {_size(prediction)} as the mask, got {_size(image)} of '{images[found.mask]}'; give "
                "the images that belong to the masks, or leave images out"
            )
        return image, prediction

    return subject(seen, certain=True)


def _paired(folders: Any, file_template: str, what: str, cfg: dict[str, Any]) -> list[Pair]:
    """Each true mask with the file of its name; files of other names are left out, which is said.

    Raises:
        ValueError: a mask without one.
    """
    templates = {"image_template": file_template, "template": cfg["template"]}
    try:
        files, masks = (one_each(found) for found in list_both(folders, cfg["masks"], **templates, only=cfg["list"]))
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    if missing := [name for name in masks if name not in files]:
        raise ValueError(
            f"{what}: expected a file like '{file_template}' for each of {len(masks)} masks, got none for "
            f"{len(missing)}, the first '{masks[missing[0]]}'; add it, set the template, or name the wanted files in a "
            "list"
        )
    others = sorted(files.keys() - masks.keys() - {f"overlays/{name}" for name in files})  # of seg-predict
    if others:
        log.warning(f"{what}: {len(others)} have no mask and are left out, such as '{files[others[0]]}'")
    return [Pair(name, files[name], masks[name]) for name in sorted(masks)]


def _judge(labels: LabelMap, pairs: list[Pair], meter: PixelCounts) -> tuple[Validation, dict[str, Any]]:
    """Count predicted masks.

    Raises:
        ValueError: files that are no such masks; the message names the first and says how many there are.
    """
    problems: list[str] = []
    sizes = []
    for index, found in enumerate(track(pairs, "evaluating", len(pairs), unit="masks")):
        try:
            prediction, mask = _read(found, labels.classes)
        except ValueError as error:
            problems.append(str(error))
            continue
        sizes.append((mask.shape[0], mask.shape[1]))
        meter.judge(torch.from_numpy(prediction)[None], torch.from_numpy(mask)[None], torch.tensor([index]))
    if problems:
        more = f" (and {len(problems) - 1} more of {len(pairs)})" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    totals = meter.totals()
    targets = totals["counts"][..., 2].numpy()
    if not targets.sum():
        raise ValueError(
            f"masks: expected labelled pixels, got 255 (ignore) everywhere in all {len(pairs)}; give others"
        )
    check_classes(Checked(targets, sizes, [], None), labels, "evaluation")
    return Validation(totals, meter.scores(totals)), {}


def _read(found: Pair, classes: int) -> tuple[Image, Image]:
    """A predicted mask and the true one.

    Raises:
        ValueError: not masks of one size, or the prediction lacks an answer: it would have to be called wrong, or left
            out, and neither is what the one who predicted it knew of.
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
