"""What a training begins with: the first weights of its model, and the normalisation of its images."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from seg import models, runs
from seg.data.pairs.folders import check_apart
from seg.data.source import Data, Source, file_sizes
from seg.files import checks
from seg.images import Reading
from seg.inference import trained
from seg.labels import LabelMap
from seg.models import checkpoint
from seg.regularizers import describe
from seg.training.optim import freeze
from seg.training.resume import kept_reading

log = logging.getLogger(__name__)

_LEAST_DEVIATION = 1 / 255  # one gray level: a channel that varies less would be blown up to noise


@dataclass(frozen=True)
class NormalizationOptions:
    """Mean and deviation of each channel of images scaled to 0..1: the group ``normalization``.

    Args:
        mean, std: a number for each channel; None = that of the encoder's weights, or of the training images.
    """

    mean: list[float] | None = None
    std: list[float] | None = None

    def given(self, channels: int) -> models.Normalization | None:
        """Return what was given, if anything.

        Raises:
            ValueError: not a number for each channel.
        """
        if self.mean is None and self.std is None:
            return None
        for key, values in (("mean", self.mean), ("std", self.std)):
            if not (
                isinstance(values, list)
                and len(values) == channels
                and all(map(checks.is_number, values))
                and (key == "mean" or min(values) > 0)
            ):
                positive = " positive" if key == "std" else ""
                raise ValueError(
                    f"normalization.{key}: expected {channels}{positive} numbers, one for each channel of images "
                    f"scaled to 0..1, got {values!r}; give both mean and std, or neither"
                )
        mean, std = (tuple(map(float, values or ())) for values in (self.mean, self.std))
        return mean, std


def read_data(
    source: Source, folder: Path, labels: str | None, *, overfit: int | None = None, few: tuple[int, int] | None = None
) -> Data:
    """Pair, split and check the images and masks of a run.

    Args:
        source: where they lie.
        folder: of the run, which may be one that goes on, with the same data.
        labels: the label map; None = that beside the masks.
        overfit, few: see `seg.data.source.Source.take`.

    Raises:
        ValueError: whatever is wrong with them.
    """
    train, val = source.take(overfit=overfit, few=few)
    check_apart(folder, source.folders, "runs")
    runs.check_pairs(folder, {"train": file_sizes(train), "val": file_sizes(val)})
    data = source.read((train, val), source.load_labels(labels), kept_reading(source.reading, folder))
    runs.check_pairs(folder, data.files)  # now that their pixels are known
    return data


def check_unchanged(source: Source, folder: Path, *, overfit: int | None, few: tuple[int, int] | None) -> None:
    """Refuse to call the run in a folder complete if its data have changed since; see `read_data`."""
    try:
        train, val = source.take(overfit=overfit, few=few)
    except ValueError:  # they may have been moved away, now that nobody needs them
        return
    runs.check_pairs(folder, {"train": file_sizes(train), "val": file_sizes(val)})


def first_model(
    build: "partial[nn.Module]",
    data: Data,
    given: NormalizationOptions,
    *,
    make_heads: Callable[[int], dict[str, nn.Module]] | None,
    regularize: Callable[[nn.Module], nn.Module] | None,
    sync_batchnorm: bool,
    init: str | None,
    frozen: float = 0.0,
) -> tuple[nn.Module, models.Normalization]:
    """Build a model with its heads, regularizers and first weights.

    Args:
        build: with all arguments.
        given: normalisation of the images, if any.
        make_heads: number of the decoder's channels -> further heads by name.
        regularize: puts regularizers into the model.
        init: checkpoint, or file of weights, to start from.
        frozen: share of the encoder's layers that are not trained, see `seg.training.optim.freeze`.

    Returns:
        the model, and the normalisation of its images.
    """
    encoder, weights = build.keywords.get("encoder_name", ""), build.keywords.get("encoder_weights")
    normalization = asked = given.given(data.reading.channels)
    if normalization is None:
        bands = data.moments is not None  # others than the RGB that pretrained weights know
        normalization = _own_normalization(data) if bands else models.normalization(encoder, weights)
    model = build()
    if build.func is models.build and models.is_file(weights):
        mean, std = ("[" + ", ".join(f"{value:.3g}" for value in values) + "]" for values in normalization)
        log.info(
            f"images are normalised by mean {mean}, deviation {std}; other weights may want others: normalization="
        )
    if make_heads is not None:
        model = models.WithHeads(model, make_heads(models.features_of(model)))
    model = models.adapted(model, data.labels.classes)
    if sync_batchnorm:  # before regularizers find their places among the normalisations
        model = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if regularize is not None:
        model = regularize(model)
    if (lines := describe(model).splitlines()) != ["no regularizers"]:
        for text in ("regularizers:", *map("  {}".format, lines)):
            log.info(text)
    if init is not None:
        theirs = _take_weights(init, model, data.labels, data.reading)
        normalization = asked or theirs or normalization
        if theirs not in (None, normalization):
            log.warning("init: normalization= holds, which is not that of these weights; leave it out to take theirs")
    freeze(model, frozen)
    if frozen and init is None and build.func is models.build and weights is None:
        log.warning(
            "rates.frozen: the encoder begins at random, and its first layers stay as they are; give "
            "model.encoder_weights or init, or rates.frozen=0"
        )
    return model, normalization


def _own_normalization(data: Data) -> models.Normalization:
    """Return mean and deviation of the training images' channels, which are not the usual RGB."""
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


def _take_weights(path: str, model: nn.Module, labels: LabelMap, reading: Reading) -> models.Normalization | None:
    """Take the weights that ``init`` names, of the head by class name, and say what was left.

    Returns:
        its normalisation; None if its images had other bands.
    """
    if path.endswith(".safetensors") or "format" not in checkpoint.load(path):  # not of this toolkit
        taken = models.fill(model, models.read_weights(path), path)
        log.warning(
            f"init: {path} does not say which classes it knows or how images are normalised; {taken}; the head "
            "is taken as it is where its shape fits, and normalization= says the rest"
        )
        return None
    start = trained.read(path)
    before = trained.description_of(path, start)
    if before.reading != reading:
        log.warning(
            f"init: the images of {path} were read with {before.reading.text()}, those of this run with "
            f"{reading.text()}: the weights see other values than in their training; give data.bands, data.range and "
            "data.exif if that is not meant"
        )
    theirs, ours = before.labels.names, labels.names
    shared = [(ours.index(name), theirs.index(name)) for name in ours if name in theirs]
    left = models.transfer(model, trained.weights_of(start), rows=None if ours == theirs else shared)
    log.info(f"init: weights of {path}" + (f", except {len(left)} such as {left[0]}" if left else ""))
    if ours != theirs:
        new = [name for name in ours if name not in theirs]
        log.info(
            f"init: the classes differ; the head starts with the rows of {len(shared)} of {len(ours)} classes, by name"
            + (f"; from scratch: {', '.join(new)}" if new else "")
        )
    if before.reading.bands != reading.bands and not (before.reading.is_rgb and reading.is_rgb):
        return None
    return before.normalization
