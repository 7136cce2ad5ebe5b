"""The model that a training begins with: its first weights, and the normalisation of its images."""

from typing import Any

from torch import nn

from seg import models, trained
from seg.commands import _show, instantiate
from seg.commands._data import Data
from seg.images import Reading
from seg.labels import LabelMap
from seg.regularizers import describe

_LEAST_DEVIATION = 1 / 255  # one gray level: a channel that varies less would be blown up to noise


def first_model(
    cfg: dict[str, Any], model_config: dict[str, Any], data: Data
) -> tuple[nn.Module, models.Normalization]:
    """The model with its regularizers and first weights; the normalisation of its images."""
    if data.moments is None:
        normalization = models.normalization(cfg["model"].get("encoder_name", ""), cfg["model"].get("encoder_weights"))
    else:
        normalization = _own_normalization(data)
    model: nn.Module = instantiate(model_config, group="model")
    if cfg["regularizer"]:  # not in the checkpoint's model: in evaluation there is none
        model = instantiate(cfg["regularizer"], model, group="regularizer")
    if (found := describe(model).splitlines()) != ["no regularizers"]:
        _show.say("\n  ".join(["regularizers:", *found]))
    if cfg["init"] is not None:
        theirs = _start_from(cfg["init"], model, data.labels, data.reading)
        normalization = theirs or normalization
    return model, normalization


def _own_normalization(data: Data) -> models.Normalization:
    """Mean and deviation of the channels of the training images, because they are not the RGB that others know."""
    assert data.moments is not None
    mean, square = data.moments
    deviation = (square - mean**2).clip(0) ** 0.5
    flat = [channel for channel, value in enumerate(deviation) if value < _LEAST_DEVIATION]
    if flat:
        _show.warn(f"channel {flat[0]} of the training images hardly varies: nothing is learnt from it; see data.range")
    bands = ",".join(map(str, data.reading.bands or ()))
    shown = (" ".join(f"{value:.3f}" for value in values) for values in (mean, deviation))
    _show.say("bands [{}]: mean {}, deviation {}, of the training images".format(bands, *shown))
    return tuple(mean.tolist()), tuple(deviation.clip(_LEAST_DEVIATION).tolist())


def _start_from(path: str, model: nn.Module, labels: LabelMap, reading: Reading) -> models.Normalization | None:
    """Take the weights of a checkpoint, of the head by class name, and say what was left.

    Returns:
        its normalisation; None if its images had other bands.
    """
    start = trained.read(path)
    before = trained.reading_of(path, start)
    if before != reading:
        _show.warn(
            f"init: the images of {path} were read with {before.text()}, those of this run with {reading.text()}: the "
            "weights see other values than in their training; give data.bands, data.range and data.exif if that is not "
            "meant"
        )
    theirs, ours = trained.labels_of(path, start).names, labels.names
    shared = [(ours.index(name), theirs.index(name)) for name in ours if name in theirs]
    left = models.transfer(model, start["model"], rows=None if ours == theirs else shared)
    _show.say(f"init: weights of {path}" + (f", except {len(left)} such as {left[0]}" if left else ""))
    if ours != theirs:
        new = [name for name in ours if name not in theirs]
        _show.say(
            f"init: the classes differ; the head starts with the rows of {len(shared)} of {len(ours)} classes, by name"
            + (f"; from scratch: {', '.join(new)}" if new else "")
        )
    if before.bands != reading.bands and not (before.is_rgb and reading.is_rgb):
        return None
    return tuple(start["normalization"]["mean"]), tuple(start["normalization"]["std"])
