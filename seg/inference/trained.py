"""A trained model: what a checkpoint holds, and what can be done with it.

    from seg.inference.trained import load
    mask = load("runs/camvid/best.pt").predict(rgb)  # (H, W, 3) uint8 -> (H, W) uint8

A checkpoint is a dict of plain data and tensors. Every one holds ``format``, ``model`` (weights), ``objective``,
``position``, and what the weights mean: ``model_config``, ``labels``, ``reading``, ``normalization``, ``config``.
``last.pt`` holds the other parts of `seg.training.State` as well, to go on from; where one of them is an average of the
weights, it is what is loaded, and in ``best.pt`` it is ``model`` itself.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seg import inference, models
from seg.files import checks
from seg.files.notebook import listed, said, table
from seg.images import RGB, Image, Reading, read_image
from seg.inference import runtime
from seg.inference.ensemble import Ensemble, SlidingTogether
from seg.inference.sizes import Size, check_size, only_size
from seg.inference.validated import WHOLE, Way, is_ours, restored
from seg.labels import LabelMap
from seg.models import checkpoint
from seg.models.heads import Heads
from seg.regularizers import attach

FORMAT = 5
_SLIDING = (inference.Sliding, SlidingTogether)

T = TypeVar("T")


@dataclass(frozen=True)
class Trained:
    """Model, label map, reading and normalisation of one checkpoint, on one device.

    Attributes:
        model: ``(N, channels, H, W) -> logits (N, C, H, W)``, in evaluation mode, without its regularizers; one with
            further heads is a `seg.models.WithHeads`, several together are a `seg.inference.ensemble.Ensemble`.
        labels: what the classes mean.
        mean, std: of each channel, for images scaled to 0..1.
        reading: bands and range of values that it was trained with.
        regularizer: settings of `seg.regularizers.attach` that it was trained with.
        infer: wraps the model so that it accepts images of any size, see `seg.inference`; as loaded, the way in which
            its run was validated, or whole images where that is a function of the user's own.
        validated: how its run was validated, plain data: the group ``inference``.
        heads: those that `strips` and `predict_marked` predict besides; none unless they are asked for.
        certain: it gives masks alone (exported with argmax=true), so that its probabilities mean nothing.
        size: height and width of the only images that it takes; None = any.
        path: of the file that it was loaded from, for messages.
        score: name and value of the monitored score in the validation of these weights, where the file says it.
    """

    model: nn.Module
    labels: LabelMap
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    regularizer: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading = RGB
    infer: Callable[[inference.Model], inference.Model] = inference.whole
    validated: Mapping[str, Any] = field(default_factory=lambda: {"_target_": WHOLE.target})
    heads: Heads = field(default_factory=Heads)
    certain: bool = False
    size: Size | None = None
    path: str = "model"
    score: tuple[str, float] | None = None

    def __repr__(self) -> str:
        facts = self._facts()
        del facts["file"]
        return said("Trained", *facts.values())

    def _repr_html_(self) -> str:
        """Return a table of what it is, for notebooks."""
        return table("Trained", (), [(key, value) for key, value in self._facts().items() if value])

    def _facts(self) -> dict[str, str]:
        """Say what it is, in words."""
        name = getattr(self.model, "name", None)
        count = sum(parameter.numel() for parameter in self.model.parameters())
        amount = f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"
        size = "any size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        bands = "RGB" if self.reading.is_rgb else f"{self.reading.channels} bands"
        return {
            "model": name if isinstance(name, str) else type(self.model).__name__,
            "size": f"{amount} parameters" if count else "",  # an exported file does not tell them
            "score": f"{self.score[0]} {self.score[1]:.3f}" if self.score else "",
            "classes": f"{self.labels.classes} classes: {listed(self.labels.names, 15)}",
            "images": f"{bands}, {size}",
            "device": self.device,
            "file": self.path,
        }

    def predict(self, pixels: NDArray[Any]) -> Image:
        """Predict the mask (H, W) uint8 of the values of a file of any size, (H, W) or (H, W, bands), red first.

        They are what the file holds, of any type: bands are chosen and values scaled here, as in training; uint8 RGB
        stays as it is.

        Raises:
            ValueError: bands that are missing, or a type of numbers that it was not trained on.
        """
        if pixels.ndim not in (2, 3):
            raise ValueError(f"pixels: expected (H, W) or (H, W, bands), got {pixels.shape}; give one image")
        return self.predict_read(self.reading.converted(pixels))

    def read(self, path: str | os.PathLike[str]) -> Image:
        """Return the image (H, W, channels) uint8 of a file, as in training.

        Raises:
            ValueError: see `seg.images.read_image`.
        """
        return read_image(path, self.reading)

    def inputs(self, image: Image) -> torch.Tensor:
        """Return what `read` gives as the model takes it: (1, channels, H, W) float32, normalised, on its device."""
        return inference.normalized(inference.as_tensor(image), self.mean, self.std, self.device)

    def predictor(self, *, heads: bool = True) -> inference.Model:
        """Return the model as ``infer`` has it: normalised images of any size -> logits, and the maps of ``heads``."""
        wanted = self.heads if heads else Heads()
        if isinstance(self.model, Ensemble):
            return self.model.predictor(self.infer, wanted)
        return self.infer(wanted.joined(self.model))

    @property
    def way(self) -> Way:
        """How its run was validated."""
        return _way(self.validated)

    @property
    def slides(self) -> bool:
        """Whether it predicts windows, so that an image need not fit into memory."""
        return isinstance(self.predictor(), _SLIDING)

    @torch.inference_mode()
    def strips(self, rows: Callable[[int, int], Image], height: int, width: int) -> Iterator[torch.Tensor]:
        """Yield logits (1, classes, h, width), and the maps of ``heads`` after them, of an image from the top down.

        Strips as they are finished if ``infer`` slides, so that memory does not grow with the height; else one.

        Args:
            rows: (first, last) -> image (last - first, width, channels) uint8, as `read` gives it.

        Raises:
            MemoryError: it is too large for what is free on the device.
            ValueError: see `check_size`.
        """
        self.check_size(height, width)

        def pixels(first: int, last: int) -> torch.Tensor:
            return inference.as_tensor(rows(first, last))

        model = self.predictor()
        prepare = partial(inference.normalized, mean=self.mean, std=self.std, device=self.device)
        try:
            if isinstance(model, _SLIDING):
                yield from map(inference.finite, model.strips(pixels, height, width, prepare))
            else:
                yield inference.finite(model(prepare(pixels(0, height))))
        except (MemoryError, RuntimeError) as error:
            if not inference.out_of_memory(error):
                raise
            remedy = (
                "give a smaller window" if isinstance(model, _SLIDING) else "predict windows with inference=sliding"
            )
            raise MemoryError(
                f"expected memory for {height}x{width} pixels on {self.device}, got none; {remedy}, cut the image "
                "into tiles, free memory, or take another device"
            ) from None

    def check_size(self, height: int, width: int) -> None:
        """Refuse an image that a model of one size does not take in the way that ``infer`` presents it.

        Raises:
            ValueError: it says which inference would do.
        """
        if self.size is not None:
            check_size(self.size, self.infer, (height, width), self.path)

    def describe(self) -> dict[str, Any]:
        """Return plain data of what the model's outputs mean, and how its images are read and normalised."""
        about = _described(self.labels, (self.mean, self.std), self.reading)
        return {"classes": self.labels.classes, **about}

    def regularized(self) -> nn.Module:
        """Return the model with the regularizers that it was trained with.

        Raises:
            ValueError: settings that none could have been trained with.
        """
        try:
            return attach(self.model, **self.regularizer)
        except Exception as error:  # what a damaged or edited file names
            raise ValueError(
                f"checkpoint: expected settings of regularizers in '{self.path}', got {dict(self.regularizer)} "
                f"({error}); give a checkpoint that seg-train wrote"
            ) from None

    def predict_read(self, image: Image) -> Image:
        """Predict the mask (H, W) uint8 of what `read` gives."""
        strips = self.strips(lambda first, last: image[first:last], *image.shape[:2])
        masks = [inference.mask_of(self.heads.split(strip)[0]) for strip in strips]
        return np.concatenate(masks)

    @torch.inference_mode()
    def predict_marked(self, image: Image) -> tuple[Image, Callable[[Image], Image] | None]:
        """Predict the mask of what `read` gives, and what draws the predictions of ``heads``, if any, on a picture."""
        if not self.heads:
            return self.predict_read(image), None
        logits, outputs = self.heads.split(self.predictor()(self.inputs(image)))
        mark = partial(self.heads.draw, logits=logits, outputs=outputs, palette=self.labels.palette)
        return inference.mask_of(logits), mark


def load(path: str | os.PathLike[str], device: str = "auto", *, trust: Sequence[str] = ()) -> Trained:
    """Rebuild the model of a checkpoint that ``seg-train`` wrote; runs, fetches and writes nothing, whatever it says.

    Or take the one of an exported file, .onnx or .pt2; a .pt2 is a program, see `seg.inference.export`.

    Args:
        device: as torch names it; ``auto`` = a GPU where there is one.
        trust: modules of your own from which the checkpoint may name a model, or heads beside the segmentation's;
            heads of others are left out.

    Raises:
        ValueError: not such a checkpoint, or no such device.
    """
    if Path(path).suffix.lower() in runtime.SUFFIXES:
        device = device_of(device)
        model, state = runtime.read(path, device)
        _check_fields(path, state, ("labels", "normalization", "reading"))
        about, certain = description_of(path, state), state["output"] == "mask"
        size = state["size"] and (state["size"][0], state["size"][1])
        runtime.check_outputs(model, path, about.labels.classes, about.reading.channels, size, device)
        more: dict[str, Any] = {"reading": about.reading, "certain": certain, "size": size, **_inference(path, state)}
        return Trained(model, about.labels, *about.normalization, device, **more, path=str(path))
    state = read(path)
    device = device_of(device)
    about = description_of(path, state)
    model = models.restore(about.model_config, weights_of(state), trust=trust)
    for what, expected, got in (
        ("classes of its label map", about.labels.classes, about.model_config.get("classes")),
        ("channels that its images have", about.reading.channels, about.model_config.get("in_channels", 3)),
    ):
        if got != expected:
            raise ValueError(
                f"checkpoint: expected a model for the {expected} {what} in '{path}', got one for {got!r}; the file "
                "was edited"
            )
    model = model.to(device)
    more = {"reading": about.reading, "size": only_size(model, about.reading.channels), "score": _score(state)}
    more |= _inference(path, state["config"])
    return Trained(model, about.labels, *about.normalization, device, _regularizer(state), **more, path=str(path))


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a checkpoint, of this format or an older one.

    Raises:
        ValueError: no such file, or not a checkpoint of this toolkit.
    """
    state = checkpoint.load(path)
    found = state.get("format")
    if not isinstance(found, int) or found not in {FORMAT, *_MIGRATIONS}:
        raise ValueError(
            f"checkpoint: expected one that seg-train wrote, format {FORMAT} or older, got '{path}' with "
            f"{'no format mark' if found is None else f'format {found!r}'}; give best.pt or last.pt of a run, and use "
            "the version that wrote it, or a newer one"
        )
    while state["format"] != FORMAT:
        state = _MIGRATIONS[state["format"]](state)
    _check_fields(path, state)
    return state


def weights_of(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights whose scores count: the average where a checkpoint that was read has one."""
    weights: Mapping[str, Any] = state.get("average", state["model"])
    return weights


def description_of(path: str | os.PathLike[str], state: Mapping[str, Any]) -> "Description":
    """Return what a checkpoint that was read, or an exported file, says besides the weights.

    Args:
        path: for the message.

    Raises:
        ValueError: no label map, or no reading for as many channels as have a mean and a deviation.
    """
    normalization = tuple(state["normalization"]["mean"]), tuple(state["normalization"]["std"])

    def parse(plain: Any) -> Reading:
        reading = Reading.from_dict(plain)
        if (channels := {*map(len, normalization)}) != {reading.channels}:
            raise ValueError(f"{reading.channels} channels, but mean and deviation of {channels}")
        return reading

    labels = _parsed(path, "a label map", state["labels"], LabelMap.from_list)
    reading = _parsed(path, "how images are read", state["reading"], parse)
    return Description(state.get("model_config", {}), labels, normalization, reading, state.get("config", {}))


def _parsed(path: str | os.PathLike[str], what: str, plain: Any, parse: Callable[[Any], T]) -> T:
    try:
        return parse(plain)
    except Exception as error:  # damaged data make nearly anything of it
        raise ValueError(
            f"checkpoint: expected {what} in '{path}', got {str(plain)[:60]!r} ({error}); the file is damaged or was "
            "edited"
        ) from None


@dataclass(frozen=True)
class Description:
    """What a checkpoint says besides the state: how to rebuild the model, and what its outputs mean.

    Attributes:
        model_config: ``_target_`` and arguments of the model, without regularizers.
        normalization: mean and standard deviation of each channel.
        reading: how images are read.
        config: of the whole run, for the record.
    """

    model_config: Mapping[str, Any]
    labels: LabelMap
    normalization: models.Normalization
    reading: Reading
    config: Mapping[str, Any]


def save(path: str | os.PathLike[str], state: Mapping[str, Any], about: Description, *, resumable: bool = True) -> None:
    """Write a checkpoint.

    Args:
        state: of `seg.training.State`.
        about: what it says besides.
        resumable: with all parts; without, a third of the size, for use and for ``init=``.
    """
    parts = state
    if not resumable:
        parts = {"model": weights_of(state), "objective": state["objective"], "position": state["position"]}
    description = {
        "config": dict(about.config),
        "model_config": dict(about.model_config),
        **_described(about.labels, about.normalization, about.reading),
    }
    checkpoint.save(path, {"format": FORMAT, **parts, **description})


def _described(labels: LabelMap, normalization: models.Normalization, reading: Reading) -> dict[str, Any]:
    mean, std = map(list, normalization)
    return {"labels": labels.to_list(), "normalization": {"mean": mean, "std": std}, "reading": reading.to_dict()}


def _check_fields(path: str | os.PathLike[str], state: Mapping[str, Any], names: Sequence[str] | None = None) -> None:
    """Make sure that what a checkpoint says of its weights is of the right kind; a damaged file may hold anything."""

    def numbers(values: Any) -> bool:
        return isinstance(values, list) and len(values) > 0 and all(map(checks.is_number, values))

    right: dict[str, Callable[[Any], bool]] = {
        "model": lambda weights: (
            isinstance(weights, dict) and all(isinstance(w, torch.Tensor) for w in weights.values())
        ),
        "model_config": lambda config: isinstance(config, dict) and all(isinstance(key, str) for key in config),
        "labels": lambda labels: isinstance(labels, list),
        "normalization": lambda values: (
            isinstance(values, dict) and all(numbers(values.get(k)) for k in ("mean", "std")) and min(values["std"]) > 0
        ),
        **dict.fromkeys(("reading", "config", "position"), lambda value: isinstance(value, dict)),
    }
    writer = "seg-train" if names is None else "seg-export"
    for name in right if names is None else names:
        if name not in state:
            raise ValueError(
                f"checkpoint: expected '{name}' in '{path}', got {', '.join(map(str, state))}; give one that {writer} "
                "wrote"
            )
        if not right[name](state[name]):
            raise ValueError(
                f"checkpoint: expected '{name}' in '{path}' as {writer} writes it, got {str(state[name])[:60]!r}; the "
                "file is damaged or was edited"
            )


def device_of(device: str) -> str:
    """Return the device that is meant: for ``auto`` a GPU where there is one.

    Raises:
        ValueError: it is not usable here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's answers to a device that is not there
        raise ValueError(
            f"device: expected one that is usable here, got '{device}' ({str(error).splitlines()[0]}); try device=cpu"
        ) from None
    return device


def _regularizer(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of regularizers; none where they are not ours: a checkpoint's config is never executed."""
    settings = state["config"].get("regularizer")
    if not isinstance(settings, dict) or settings.get("_target_") != "seg.regularizers.attach":
        return {}
    return {key: value for key, value in settings.items() if key != "_target_"}


def _inference(path: str | os.PathLike[str], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Trained` that say how it predicts: as it was validated, if that is ours."""
    found = config.get("inference") or {"_target_": WHOLE.target}
    found = found if isinstance(found, Mapping) else {"_target_": found}
    return {"validated": found} | ({"infer": restored(way, path)} if is_ours(way := _way(found)) else {})


def _way(config: Mapping[str, Any]) -> Way:
    options = {key: value for key, value in config.items() if key not in ("_target_", "_partial_")}
    return Way(str(config.get("_target_")), {k: _way(v) if isinstance(v, Mapping) else v for k, v in options.items()})


def _score(state: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the monitored score of the weights, if the last epoch that they saw is one of the best that were kept."""
    position, fit = state.get("position"), state["config"].get("fit")
    if not isinstance(position, dict) or not isinstance(fit, dict) or not isinstance(fit.get("monitor"), str):
        return None
    top = position.get("top")
    for pair in top if isinstance(top, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and all(map(checks.is_number, pair)):
            goodness, epoch = pair
            if epoch + 1 == position.get("epoch"):
                return fit["monitor"], float(-goodness if fit.get("mode") == "min" else goodness)
    return None


_AT_START = {"epoch": 0, "step": 0, "loss_sum": 0.0, "term_sums": {}, "seconds": 0.0, "best": float("-inf")}


def _from_format_1(state: dict[str, Any]) -> dict[str, Any]:
    """Migrate: the loss joined the objective, and the position is a part by itself (``best.pt`` held half of one)."""
    return {
        **{key: value for key, value in state.items() if key not in ("loss", *_AT_START)},
        "format": 2,
        "objective": {f"loss.{name}": value for name, value in state.get("loss", {}).items()},
        "position": {key: state.get(key, default) for key, default in _AT_START.items()},
    }


def _from_format_2(state: dict[str, Any]) -> dict[str, Any]:
    """Migrate: images were read in one way."""
    return {**state, "format": 3, "reading": Reading().to_dict()}


def _from_format_3(state: dict[str, Any]) -> dict[str, Any]:
    """Migrate: the position learnt of waiting, of the best validations and of the end of patience."""
    more = {"wait": 0.0, "since_best": 0, "top": [], "skipped": 0, "stopped": False}
    position = {**more, **state["position"]} if isinstance(state.get("position"), dict) else {}
    return {**state, "format": 4, **({"position": position} if position else {})}


def _from_format_4(state: dict[str, Any]) -> dict[str, Any]:
    """Migrate: the head of boxes moved to the tasks."""
    config = state.get("model_config")
    if not isinstance(config, dict) or not isinstance(config.get("heads"), dict):
        return {**state, "format": 5}
    heads = {
        name: {**head, "_target_": "seg.tasks.boxes.BoxHead"}
        if isinstance(head, dict) and head.get("_target_") == "seg.boxes.BoxHead"
        else head
        for name, head in config["heads"].items()
    }
    return {**state, "format": 5, "model_config": {**config, "heads": heads}}


_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_format_1,
    2: _from_format_2,
    3: _from_format_3,
    4: _from_format_4,
}
