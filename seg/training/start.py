"""The model that a training begins with: its first weights, and the normalisation of its images."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from seg import models
from seg.commands.cli import instantiate
from seg.data.source import Data
from seg.images import Reading
from seg.inference import trained
from seg.labels import LabelMap
from seg.models import checkpoint
from seg.regularizers import describe
from seg.tasks.building import head_configs

log = logging.getLogger(__name__)

_LEAST_DEVIATION = 1 / 255  # one gray level: a channel that varies less would be blown up to noise


def first_model(
    cfg: dict[str, Any], model_config: dict[str, Any], data: Data
) -> tuple[nn.Module, models.Normalization, dict[str, Any]]:
    """The model with its heads, regularizers and first weights; the normalisation of its images; what builds it."""
    normalization: models.Normalization
    if (given := cfg["normalization"])["mean"] is not None or given["std"] is not None:
        normalization = _given_normalization(given, data.reading.channels)
    elif data.moments is None:
        normalization = models.normalization(cfg["model"].get("encoder_name", ""), cfg["model"].get("encoder_weights"))
    else:
        normalization = _own_normalization(data)
    model = _with_file(model_config, normalization)
    if cfg["task"]:
        heads = head_configs(cfg["task"], model, data.labels)
        built = {name: instantiate(head, group=f"task.{name}.head") for name, head in heads.items()}
        model, model_config = models.WithHeads(model, built), {**model_config, "heads": heads}
    if cfg["device"]["sync_batchnorm"]:  # before regularizers find their places among the normalisations
        model = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if cfg["regularizer"]:  # not in the checkpoint's model: in evaluation there is none
        model = instantiate(cfg["regularizer"], model, group="regularizer")
    if (found := describe(model).splitlines()) != ["no regularizers"]:
        log.info("\n  ".join(["regularizers:", *found]))
    if cfg["init"] is not None:
        theirs = _start_from(cfg["init"], model, data.labels, data.reading)
        normalization = theirs or normalization
    return model, normalization, model_config


def _with_file(model_config: dict[str, Any], normalization: models.Normalization) -> nn.Module:
    """The model, with what a file has for its encoder, where ``encoder_weights`` names one; says what was found."""
    path = model_config.get("encoder_weights")
    if model_config.get("_target_") != "seg.models.build" or not models.is_file(path):
        model: nn.Module = instantiate(model_config, group="model")
        return model
    weights = models.read_weights(str(path))
    model = instantiate({**model_config, "encoder_weights": None}, group="model")
    found = models.fill(model.encoder, weights, str(path))  # type: ignore[arg-type]  # every model of smp has one
    log.info(f"encoder: {path}, {_found(found)}")
    mean, std = ("[" + ", ".join(f"{value:.3g}" for value in values) + "]" for values in normalization)
    log.info(f"images are normalised by mean {mean}, deviation {std}; other weights may want others: normalization=")
    return model


def _found(found: models.Found) -> str:
    how = " by position (no name fits, but the number, order and shapes of the tensors do)" if found.by_position else ""
    missing = f"; {len(found.missing)} were not found, such as {found.missing[0]}" if found.missing else ""
    return f"{found.taken} tensors taken{how}{missing}"


def _is_foreign(path: str) -> bool:
    """Whether a file of weights is not a checkpoint of this toolkit."""
    return path.endswith(".safetensors") or "format" not in checkpoint.load(path)


def _given_normalization(given: Mapping[str, Any], channels: int) -> models.Normalization:
    """What the configuration says.

    Raises:
        ValueError: not a number for each channel.
    """
    for key in ("mean", "std"):
        values = given[key]
        if not (
            isinstance(values, list)
            and len(values) == channels
            and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
            and (key == "mean" or min(values) > 0)
        ):
            positive = " positive" if key == "std" else ""
            raise ValueError(
                f"normalization.{key}: expected {channels}{positive} numbers, one for each channel of images scaled to "
                f"0..1, got {values!r}; give both mean and std, or neither"
            )
    return tuple(map(float, given["mean"])), tuple(map(float, given["std"]))


def _own_normalization(data: Data) -> models.Normalization:
    """Mean and deviation of the channels of the training images, because they are not the RGB that others know."""
    assert data.moments is not None
    mean, square = data.moments
    deviation = (square - mean**2).clip(0) ** 0.5
    flat = [channel for channel, value in enumerate(deviation) if value < _LEAST_DEVIATION]
    if flat:
        log.warning(
            f"channel {flat[0]} of the training images hardly varies: nothing is learnt from it; see data.range"
        )
    bands = ",".join(map(str, data.reading.bands or ()))
    shown = (" ".join(f"{value:.3f}" for value in values) for values in (mean, deviation))
    log.info("bands [{}]: mean {}, deviation {}, of the training images".format(bands, *shown))
    return tuple(mean.tolist()), tuple(deviation.clip(_LEAST_DEVIATION).tolist())


def _start_from(path: str, model: nn.Module, labels: LabelMap, reading: Reading) -> models.Normalization | None:
    """Take the weights of a checkpoint, of the head by class name, and say what was left.

    Returns:
        its normalisation; None if its images had other bands.
    """
    if _is_foreign(path):
        found = models.fill(model, models.read_weights(path), path)
        log.warning(
            f"init: {path} does not say which classes it knows or how images are normalised; {_found(found)}; the head "
            "is taken as it is where its shape fits, and normalization= says the rest"
        )
        return None
    start = trained.read(path)
    before = trained.reading_of(path, start)
    if before != reading:
        log.warning(
            f"init: the images of {path} were read with {before.text()}, those of this run with {reading.text()}: the "
            "weights see other values than in their training; give data.bands, data.range and data.exif if that is not "
            "meant"
        )
    theirs, ours = trained.labels_of(path, start).names, labels.names
    shared = [(ours.index(name), theirs.index(name)) for name in ours if name in theirs]
    left = models.transfer(model, trained.weights_of(start), rows=None if ours == theirs else shared)
    log.info(f"init: weights of {path}" + (f", except {len(left)} such as {left[0]}" if left else ""))
    if ours != theirs:
        new = [name for name in ours if name not in theirs]
        log.info(
            f"init: the classes differ; the head starts with the rows of {len(shared)} of {len(ours)} classes, by name"
            + (f"; from scratch: {', '.join(new)}" if new else "")
        )
    if before.bands != reading.bands and not (before.is_rgb and reading.is_rgb):
        return None
    return tuple(start["normalization"]["mean"]), tuple(start["normalization"]["std"])
